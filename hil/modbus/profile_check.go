package modbus

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"yunchu/hil/strict"
)

// check finds what is wrong with a profile beyond its form, and completes it.
func (p *Profile) check(f *strict.File) {
	f.OneOf("apiVersion", p.APIVersion, "yunchu/v1")
	f.OneOf("kind", p.Kind, "Profile")
	if p.Name == "" {
		f.Wrong("name", "", "name: missing: give the profile a name")
	}
	p.Positive = cmp.Or(p.Positive, charge)
	f.OneOf("positive", p.Positive, charge, discharge)
	p.WordOrder, p.ByteOrder = cmp.Or(p.WordOrder, big), cmp.Or(p.ByteOrder, big)
	f.OneOf("word_order", p.WordOrder, big, little)
	f.OneOf("byte_order", p.ByteOrder, big, little)
	r := &p.Requests
	r.MaxRegisters = cmp.Or(r.MaxRegisters, MaxRead)
	r.Write = cmp.Or(r.Write, multiple)
	f.OneOf("requests.write", r.Write, multiple, single)
	if r.MaxRegisters < 1 || r.MaxRegisters > MaxRead {
		f.Wrong("requests.max_registers", "", "requests.max_registers: is %d, want 1 to %d", r.MaxRegisters, MaxRead)
	}
	if r.MaxGap < 0 || r.MaxGap >= MaxRead {
		f.Wrong("requests.max_gap", "", "requests.max_gap: is %d, want 0 to %d", r.MaxGap, MaxRead-1)
	}
	if len(p.Points) == 0 {
		f.Wrong("points", "", "points: missing: say what the device has")
	}
	for name, x := range p.Points {
		q, ok := quantities[name]
		if !ok {
			f.Wrong("points."+name, strict.Suggest(name, Names()), "points: unknown point %q; values of the device's own go under settings", name)
			continue
		}
		p.add(f, "points."+name, &point{name: name, quantity: q}, &x)
	}
	for name, x := range p.Settings {
		if _, taken := quantities[name]; taken || strings.TrimSpace(name) == "" {
			f.Wrong("settings."+name, "", "settings: %q is a name of points", name)
			continue
		}
		if common := settingOf(name); common != "" {
			f.Wrong("settings."+name, "describe it under points", "settings: %q is the setting of the point %s", name, common)
			continue
		}
		p.add(f, "settings."+name, &point{name: name, own: true, quantity: quantity{unit: x.Unit, written: true}}, &x)
	}
	slices.SortFunc(p.points, func(a, b *point) int { return strings.Compare(a.name, b.name) })
	p.together(f)
}

// checker is one point being checked.
type checker struct {
	*strict.File
	profile *Profile
	key     string
	in      *Point
	*point
}

func (c *checker) wrong(field, hint, format string, args ...any) {
	c.Wrong(c.key+"."+field, hint, "%s.%s: %s", c.key, field, fmt.Sprintf(format, args...))
}

func (p *Profile) add(f *strict.File, key string, x *point, in *Point) {
	if f.Lost(key) { // what else it says follows from what could not be read
		p.lost = append(p.lost, x.name)
		return
	}
	c := &checker{f, p, key, in, x}
	c.place()
	c.access()
	c.conversion()
	c.words()
	c.ranges()
	if f.Misspelt(key) { // where it is, and what it is, may be said there
		p.lost = append(p.lost, x.name)
		return
	}
	p.points = append(p.points, x)
}

// place is where the value is and how it lies there.
func (c *checker) place() {
	in := c.in
	table := cmp.Or(in.Table, Holding.String())
	if c.OneOf(c.key+".table", table, tableNames[:]...) {
		c.table = Table(slices.Index(tableNames[:], table))
	}
	if in.Address == nil {
		c.wrong("address", "addresses count from 0: register 40001 of a manual is holding 0", "missing")
		return
	}
	c.addr = *in.Address
	bits := c.table == Coils || c.table == Discrete
	switch {
	case bits:
		c.shape, c.size = bitShape, 1
		if in.Type != "" || in.Bit != nil || in.Mask != 0 {
			c.Wrong(c.key, "", "%s: a %s is one bit: it has no type, bit or mask", c.key, table)
		}
		if c.form == number || c.form == text || c.form == counter {
			c.Wrong(c.key, "", "%s: is a number or a text, and a %s is one bit", c.key, table)
		}
	default:
		name := cmp.Or(in.Type, "uint16")
		s, ok := shapes[name]
		if !ok {
			c.wrong("type", strict.Suggest(name, slices.Sorted(maps.Keys(shapes))), "unknown %q", name)
			s = shapes["uint16"]
		}
		c.shape, c.size = s.shape, s.size
	}
	c.chars()
	c.masking()
	if most := c.profile.Requests.MaxRegisters; c.shape != bitShape && int(c.size) > most && most > 0 {
		c.Wrong(c.key, "", "%s: has %d registers, and one request at most %d", c.key, c.size, most)
	}
	if int(c.addr)+int(c.size) > 1<<16 {
		c.wrong("address", "", "the value ends beyond 65535")
	}
	c.littleWords = cmp.Or(in.WordOrder, c.profile.WordOrder) == little
	c.littleBytes = cmp.Or(in.ByteOrder, c.profile.ByteOrder) == little
	if in.WordOrder != "" {
		c.OneOf(c.key+".word_order", in.WordOrder, big, little)
	}
	if in.ByteOrder != "" {
		c.OneOf(c.key+".byte_order", in.ByteOrder, big, little)
	}
	if bits {
		c.littleWords, c.littleBytes = false, false
	}
	c.absent = in.NotImplemented
	for i, raw := range in.NotImplemented {
		c.fits(fmt.Sprintf("not_implemented[%d]", i), raw)
		if ones := uint64(math.MaxUint64) >> (64 - min(c.bits(), 64)); c.warns && len(in.Values) == 0 && c.masked(raw) == c.masked(ones) {
			c.wrong("not_implemented", "leave it out, or the point where the device does not have it", "%#x says with all its bits that it is so", raw)
		}
	}
}

// chars checks a text. Only texts are strings.
func (c *checker) chars() {
	in := c.in
	switch {
	case (c.shape == chars) != (c.form == text):
		c.wrong("type", "", "%s is %s", c.name, map[bool]string{true: "a text: write string and a length", false: "no text"}[c.form == text])
		c.size = max(c.size, 1)
	case c.shape == chars && (in.Length < 1 || in.Length > MaxRead):
		c.wrong("length", "", "is %d registers, want 1 to %d", in.Length, MaxRead)
		c.size = 1
	case c.shape == chars:
		c.size = uint16(in.Length)
	case in.Length != 0:
		c.wrong("length", "", "belongs to a string")
	}
	if c.shape == float && c.form != number {
		c.wrong("type", "", "%s is not a number with a fraction", c.name)
	}
}

func (c *checker) masking() {
	in := c.in
	if in.Bit == nil && in.Mask == 0 || c.shape == bitShape {
		return
	}
	if c.shape != unsigned {
		c.wrong("type", "", "only an unsigned value has bits")
		return
	}
	if in.Bit != nil && in.Mask != 0 {
		c.wrong("mask", "", "want bit or mask, not both")
	}
	c.mask = in.Mask
	if in.Bit != nil {
		if *in.Bit < 0 || *in.Bit >= c.bits() {
			c.wrong("bit", "", "is %d, want 0 to %d", *in.Bit, c.bits()-1)
			return
		}
		c.mask = 1 << *in.Bit
	}
	c.fits("mask", c.mask)
}

// fits demands a raw value that its registers can hold.
func (c *checker) fits(field string, raw uint64) {
	if most := uint64(math.MaxUint64) >> (64 - min(c.bits(), 64)); raw > most {
		c.wrong(field, "", "is %#x, and the value has %d bits", raw, c.bits())
	}
}

// access is whether the value is read and written.
func (c *checker) access() {
	in := c.in
	access := in.Access
	if access == "" {
		access = readOnly
		if c.written && c.table != Input && c.table != Discrete {
			access = readWrite
		}
	} else if !c.OneOf(c.key+".access", access, readOnly, writeOnly, readWrite) {
		return
	}
	c.reads, c.writes = access != writeOnly, access != readOnly
	switch {
	case c.writes && !c.written:
		c.wrong("access", "", "%s is only read", c.name)
	case !c.writes && c.written && !c.own && in.Access == "":
		c.wrong("table", "write access: read where it is only shown", "%s is written, and this table is only read", c.name)
	case c.writes && (c.table == Input || c.table == Discrete):
		c.wrong("access", "", "table %s is only read", c.table)
	case c.writes && c.mask != 0:
		c.wrong("access", "write access: read, or leave bit and mask out", "a write would change the other bits of the register")
	case c.writes && c.shape != bitShape && c.size > 1 && c.profile.Requests.Write == single:
		c.wrong("type", "", "a value of %d registers cannot be written one register at a time", c.size)
	case c.writes && in.Exponent != nil:
		c.wrong("exponent", "", "a value that is written has a fixed scale")
	}
}

// conversion is what brings a number into the quantity's unit and sign.
func (c *checker) conversion() {
	in := c.in
	c.scale, c.offset, c.factor, c.sign = cmp.Or(in.Scale, 1), in.Offset, 1, 1
	if c.form != number {
		for field, given := range map[string]bool{
			"scale": in.Scale != 0, "offset": in.Offset != 0, "unit": in.Unit != "", "exponent": in.Exponent != nil, "valid": in.Valid != nil, "range": in.Range != nil,
		} {
			if given {
				c.wrong(field, "", "%s has no unit", c.name)
			}
		}
	}
	if c.Has(c.key+".scale") && (in.Scale == 0 || math.Abs(in.Scale) > 1e12 || math.Abs(in.Scale) < 1e-12) {
		c.wrong("scale", "", "is %g", in.Scale)
		c.scale = 1
	}
	if c.form == number && !c.own && in.Unit != "" && in.Unit != c.unit {
		u, ok := c.units[in.Unit]
		if !ok {
			c.wrong("unit", strict.Suggest(in.Unit, c.unitNames()), "unknown %q for %s", in.Unit, c.name)
			u = unit{1, 0}
		}
		c.factor, c.shift = u.factor, u.shift
	}
	if in.Positive != "" && !c.directed {
		c.wrong("positive", "", "%s has no direction", c.name)
	}
	positive := cmp.Or(in.Positive, c.profile.Positive)
	if in.Positive != "" {
		c.OneOf(c.key+".positive", in.Positive, charge, discharge)
	}
	if c.directed && positive == discharge {
		c.sign = -1
	}
	if in.Exponent != nil {
		if c.table == Coils || c.table == Discrete || c.shape == float {
			c.wrong("exponent", "", "belongs to a whole number in registers")
			return
		}
		c.exponent = in.Exponent
	}
}

// words checks the meanings of raw values.
func (c *checker) words() {
	in := c.in
	c.values = in.Values
	if len(in.Values) > 0 && c.form != word && c.form != condition {
		c.wrong("values", "", "belong to a word or a condition")
		return
	}
	if c.form == word && len(in.Values) == 0 {
		c.wrong("values", "words are "+strings.Join(c.quantity.words, ", "), "missing: say which raw values mean what")
	}
	means := map[uint64]string{}
	for _, w := range slices.Sorted(maps.Keys(in.Values)) {
		if !slices.Contains(c.quantity.words, w) {
			c.wrong("values."+w, strict.Suggest(w, c.quantity.words), "unknown word %q", w)
			continue
		}
		if len(in.Values[w]) == 0 {
			c.wrong("values."+w, "", "no raw value")
		}
		for i, raw := range in.Values[w] {
			field := fmt.Sprintf("values.%s[%d]", w, i)
			c.fits(field, raw)
			if other, taken := means[raw]; taken {
				c.wrong(field, "", "%d means %s as well", raw, other)
			}
			means[raw] = w
		}
	}
	if c.form == condition && c.writes && len(in.Values) == 1 {
		c.wrong("values", "", "a condition that is written has a value for %s and one for %s", active, inactive)
	}
}

// ranges are in the point's unit in the file.
func (c *checker) ranges() {
	in := c.in
	convert := func(field string, r *Range) *Range {
		if r == nil {
			return nil
		}
		if r.Min > r.Max || r.Step < 0 {
			c.wrong(field, "", "is %g to %g in steps of %g", r.Min, r.Max, r.Step)
		}
		a, b := c.sign*(r.Min*c.factor+c.shift), c.sign*(r.Max*c.factor+c.shift)
		return &Range{Min: min(a, b), Max: max(a, b), Step: r.Step * c.factor}
	}
	c.valid, c.limits = convert("valid", in.Valid), convert("range", in.Range)
	if in.Range != nil && !c.writes {
		c.wrong("range", "", "belongs to a value that is written")
	}
	if in.Patience != 0 && (c.name != "heartbeat" || in.Patience < 0) {
		c.wrong("patience", "", "belongs to heartbeat, and is a time")
	}
	c.patience = cmp.Or(in.Patience, HeartbeatPatience)
}

// together checks points against each other. Two writers of one register would undo each
// other's writes. A setting is written past the guard, so that its register must be nothing
// else: not the setpoint, nor what starts, stops or watches the device. And what is measured
// is nothing that was written: a power read where its setpoint lies would be there at once,
// whatever the device does.
func (p *Profile) together(f *strict.File) {
	const hint = "access: read, or leave it out: commands write it, which pass the guard"
	for i, a := range p.points {
		for _, b := range p.points[i+1:] {
			x, y := a, b // y is the one to tell of: a setting rather than another, else the later
			if x.sets() && !y.sets() || x.own && !y.own {
				x, y = y, x
			}
			switch shared := overlap(x.span(), y.span()); {
			case shared && y.sets():
				f.Wrong(y.key(), hint, "%s: is the register of %s, and a setting may not move that", y.key(), x.name)
			case shared && x.writes && y.writes:
				f.Wrong(y.key(), "one register has one point that is written", "%s: %s and %s are written to the same register", y.key(), x.name, y.name)
			case shared && x.measures() && y.writes:
				f.Wrong(x.key(), "look for the register of what is measured", "%s: is the register of %s, which shows what was written and not what is", x.key(), y.name)
			case shared && y.measures() && x.writes:
				f.Wrong(y.key(), "look for the register of what is measured", "%s: is the register of %s, which shows what was written and not what is", y.key(), x.name)
			}
		}
		for _, b := range p.points {
			if b.exponent != nil && a.writes && overlap(a.span(), span{b.table, *b.exponent, 1}) {
				f.Wrong(a.key(), "who writes it changes what that reads", "%s: is the power of ten of %s", a.key(), b.name)
			}
		}
	}
	lost := func(name string) bool { return slices.Contains(p.lost, name) }
	if p.takes("setpoint") && !p.Watched && !p.takes("revert_s") && !p.takes("controller_heartbeat") && !lost("revert_s") && !lost("controller_heartbeat") && !f.Lost("watched") {
		f.Wrong("points.setpoint", "add revert_s or controller_heartbeat; or write watched: true at the top, if the device stops by itself when its link is lost",
			"points.setpoint: nothing in the device takes it back when nobody renews it")
	}
	if x := p.find("revert_s"); x != nil && x.writes && !x.reads && p.takes("setpoint") && !p.Watched && !p.takes("controller_heartbeat") {
		f.Wrong("points.revert_s.access", "leave access out, if the register can be read; or write watched: true at the top, if the device stops by itself when its link is lost",
			"points.revert_s.access: a time to revert that nobody can read back is none")
	}
	for _, w := range []string{"soc", "voltage", "temperature"} {
		for _, edge := range []string{w + "_min", w + "_max"} {
			if p.find(edge) != nil && p.find(w) == nil && !lost(w) {
				f.Wrong("points."+edge, "add "+w+", or take it out", "points.%s: is a bound of %s, which is not among the points: no power would ever be within it", edge, w)
			}
		}
	}
	if p.find("setpoint_enable") != nil && p.find("setpoint") == nil && !lost("setpoint") {
		f.Wrong("points.setpoint_enable", "", "points: setpoint_enable without a setpoint")
	}
}

// takes reports whether a point is there and written.
func (p *Profile) takes(name string) bool {
	x := p.find(name)
	return x != nil && x.writes
}

func (x *point) span() span { return span{x.table, x.addr, x.size} }

func overlap(x, y span) bool {
	return x.table == y.table && x.n > 0 && y.n > 0 && int(x.addr) < y.end() && int(y.addr) < x.end()
}

// sets reports whether a point is written as a setting alone, and by no command.
func (x *point) sets() bool {
	return x.writes && (x.own || x.name == "ramp" || x.name == "power_limit" || x.name == "reserve")
}

// measures reports whether a point is a measurement that tests rest on.
func (x *point) measures() bool {
	return !x.own && !x.writes && slices.Contains([]string{"power", "reactive", "voltage", "current", "soc", "temperature"}, x.name)
}

// key is where the point stands in its file.
func (x *point) key() string {
	if x.own {
		return "settings." + x.name
	}
	return "points." + x.name
}

// settingOf is the point whose setting has a name, "" for none.
func settingOf(name string) string {
	for of, common := range settingNames {
		if common == name && of != name {
			return of
		}
	}
	return ""
}
