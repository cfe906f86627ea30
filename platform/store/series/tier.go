package series

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go/format"

	"yunchu/platform/device"
)

// Tier is a step in which what readings amount to is stored beside them.
type Tier struct {
	Step time.Duration // one of Steps
	Keep time.Duration // how long it is kept; 0: for ever
}

// Steps are the steps that tiers may have.
var Steps = []time.Duration{time.Second, time.Minute, 15 * time.Minute, time.Hour}

// DefaultTiers are those of a store that is not told otherwise. One of a second is worth
// its space only where devices report several times a second.
func DefaultTiers() []Tier {
	return []Tier{{Step: time.Minute}, {Step: 15 * time.Minute}, {Step: time.Hour}}
}

// tierName is the folder of a tier, such as 15m.
func tierName(step int64) string {
	d := time.Duration(step) * time.Millisecond
	switch {
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// A table of parts has a row for each slot and step. Columns of times, counts and words
// come first, then five of each quantity, then what the power's integral needs.
type partInt struct {
	name   string
	of     Fields // that need it; 0: every part
	energy bool   // the energy needs it
	get    func(p *part) int64
	set    func(p *part, v int64)
}

type partNumber struct {
	name     string
	quantity int
	mean     bool // the mean needs it
	get      func(p *part) float64
	set      func(p *part, v float64)
}

const (
	colWhole       = 3 // after slot, device and time, as in a table of readings
	colPartStatus  = 4
	colPartQuality = 5
	colPartFlags   = 6
	colPartInts    = 7
)

var partInts = func() []partInt {
	list := []partInt{
		{"first_ms", 0, false, func(p *part) int64 { return p.first }, func(p *part, v int64) { p.first = v }},
		{"last_ms", 0, false, func(p *part) int64 { return p.last }, func(p *part, v int64) { p.last = v }},
		{"arrived_ms", Status, false, func(p *part) int64 { return p.arrived }, func(p *part, v int64) { p.arrived = v }},
		{"count", 0, false, func(p *part) int64 { return p.n }, func(p *part, v int64) { p.n = v }},
		{"bad_count", 0, false, func(p *part) int64 { return p.bad }, func(p *part, v int64) { p.bad = v }},
		{"covered_ms", Power, true, func(p *part) int64 { return p.covered }, func(p *part, v int64) { p.covered = v }},
		{"power_first_ms", Power, true, func(p *part) int64 {
			if !p.powered {
				return p.at - 1 // before the step: there is none
			}
			return p.head.at
		}, func(p *part, v int64) { p.head.at, p.powered = v, v >= p.at }},
		{"power_last_ms", Power, true, func(p *part) int64 {
			if !p.powered {
				return p.at - 1
			}
			return p.tail.at
		}, func(p *part, v int64) { p.tail.at = v }},
	}
	for k := range values {
		name := columnNames[colValues+k]
		list = append(list, partInt{
			name[:strings.LastIndexByte(name, '_')] + "_count", 1 << k, false,
			func(p *part) int64 { return p.values[k].n }, func(p *part, v int64) { p.values[k].n = v },
		})
	}
	return list
}()

var partNumbers = func() (list []partNumber) {
	for k := range values {
		name := columnNames[colValues+k]
		cut := strings.LastIndexByte(name, '_')
		base, unit := name[:cut], name[cut:]
		list = append(list,
			partNumber{base + "_sum" + unit, k, true, func(p *part) float64 { return p.values[k].sum }, func(p *part, v float64) { p.values[k].sum = v }},
			partNumber{base + "_min" + unit, k, false, func(p *part) float64 { return p.values[k].min }, func(p *part, v float64) { p.values[k].min = v }},
			partNumber{base + "_max" + unit, k, false, func(p *part) float64 { return p.values[k].max }, func(p *part, v float64) { p.values[k].max = v }},
			partNumber{base + "_last" + unit, k, false, func(p *part) float64 { return p.values[k].last }, func(p *part, v float64) { p.values[k].last = v }},
		)
	}
	return append(list,
		partNumber{"power_first_kw", power, false, func(p *part) float64 { return p.head.kw }, func(p *part, v float64) { p.head.kw = v }},
		// Null where it is power_last_kw: other than that it is finite.
		partNumber{"power_end_kw", power, false, func(p *part) float64 {
			if p.tail.kw == p.values[power].last {
				return math.NaN()
			}
			return p.tail.kw
		}, func(p *part, v float64) {
			if p.tail.kw = v; v != v {
				p.tail.kw = p.values[power].last
			}
		}},
		// A kW·ms is a joule.
		partNumber{"energy_in_j", power, false, func(p *part) float64 { return p.in }, func(p *part, v float64) { p.in = v }},
		partNumber{"energy_out_j", power, false, func(p *part) float64 { return p.out }, func(p *part, v float64) { p.out = v }},
	)
}()

// power is the position of the power among the measured quantities.
const power = 4

var partNames = func() []string {
	names := []string{columnNames[colSlot], columnNames[colDevice], columnNames[colTime], "whole", "status", "quality", "flags"}
	for _, c := range partInts {
		names = append(names, c.name)
	}
	for _, c := range partNumbers {
		names = append(names, c.name)
	}
	return names
}()

var kindWhole = kind{kindFlags.physical, -1, false, kindFlags.logical, kindFlags.legacy}

// tidy rounds what was computed to a millionth, where that is as good as the number: what
// devices report lies on decimal grids, and so do its sums.
func tidy(x float64) float64 {
	const fine = 1e6
	if a := math.Abs(x); a < 1<<52/fine {
		return math.RoundToEven(x*fine) / fine
	}
	return x
}

// parts writes a table of parts, by slot and time, under a temporary name.
func (w *writer) parts(parts []part, t *table, opt *Options, dir string) error {
	var slots []device.Slot
	var ends []int
	for i := range parts {
		p := &parts[i]
		if n := len(slots); n == 0 || slots[n-1] != p.slot {
			ends = cutPages(ends, i, minParts)
			slots = append(slots, p.slot)
		}
		p.in, p.out = tidy(p.in), tidy(p.out)
		for k := range p.values {
			if v := &p.values[k]; math.Abs(tidy(v.sum)-v.sum) <= 1e-12*math.Abs(v.sum) {
				v.sum = tidy(v.sum)
			}
		}
	}
	if ends = cutPages(ends, len(parts), minParts); len(ends) == 0 || ends[len(ends)-1] < len(parts) {
		ends = append(ends, len(parts))
	}
	names := make([]string, len(slots))
	for i, slot := range slots {
		names[i] = string(opt.Name(slot))
	}
	dict, code := dictOf(names)
	states := newVocabulary(func(yield func(string) bool) {
		for i := range parts {
			if parts[i].word != "" && !yield(parts[i].word) {
				return
			}
		}
	})
	w.encode(len(partNames), ends, opt.Workers, func(e *encoder, col *column, i int) {
		name := partNames[i]
		switch i {
		case colDevice:
			e.words(col, name, dict, func(dst []int32, a, b int) {
				rank, _ := slices.BinarySearch(slots, parts[a].slot)
				for j := range dst {
					if parts[a+j].slot != slots[rank] {
						rank++
					}
					dst[j] = code[rank]
				}
			})
		case colPartStatus:
			e.words(col, name, states.dict, func(dst []int32, a, b int) {
				for j := range dst {
					p := &parts[a+j]
					if dst[j] = states.known[p.status]; p.status == device.OtherStatus {
						dst[j] = states.code(p.word)
					}
				}
			})
		case colPartQuality:
			e.words(col, name, qualityWords, func(dst []int32, a, b int) {
				for j := range dst {
					dst[j] = qualityCode[parts[a+j].quality]
				}
			})
		default:
			k := partKind(i)
			if c := numberOf(i); c != nil {
				k = c.kind(parts)
			}
			e.begin(col, name, k, k.encoding())
			e.each(func(a, b int) { e.partPage(i, a, parts[a:b]) })
			e.finish()
		}
	})
	t.Rows, t.MinSlot, t.MaxSlot = int64(len(parts)), slots[0], slots[len(slots)-1]
	t.MinAt, t.MaxAt = math.MaxInt64, math.MinInt64
	for i := range parts {
		t.MinAt, t.MaxAt = min(t.MinAt, parts[i].at), max(t.MaxAt, parts[i].at+t.step-1)
	}
	return w.save(t, "part", len(slots), dir)
}

// numberOf is the number that column i of a table of parts holds, nil when it holds something else.
func numberOf(i int) *partNumber {
	if n := i - colPartInts - len(partInts); n >= 0 {
		return &partNumbers[n]
	}
	return nil
}

// partKind is the kind of a column of parts that is neither a word nor a number.
func partKind(i int) kind {
	switch i {
	case colSlot:
		return kindSlot
	case colWhole:
		return kindWhole
	case colPartFlags:
		return kindFlags
	}
	return kindTime
}

// value is what the column holds of a part: NaN for null, where no reading has it.
func (c *partNumber) value(p *part) float64 {
	if p.values[c.quantity].n == 0 {
		return math.NaN()
	}
	return c.get(p) + 0 // -0 becomes 0
}

// kind is the column for the parts.
func (c *partNumber) kind(parts []part) kind {
	g := grid{scale: baseScale}
	var some [chunkRows]float64
	for i := 0; i < len(parts); {
		n := 0
		for ; n < len(some) && i < len(parts); i, n = i+1, n+1 {
			some[n] = c.value(&parts[i])
		}
		g.look(some[:n])
	}
	return g.kind()
}

// partPage adds a page of column i, which holds no words. It begins at a row.
func (e *encoder) partPage(i, row int, parts []part) {
	if c := numberOf(i); c != nil {
		e.floats = resize(e.floats, len(parts))
		e.present = resize(e.present, (len(parts)+7)/8)
		clear(e.present)
		n := 0
		for j := range parts {
			if x := c.value(&parts[j]); x == x {
				e.floats[n] = x
				n++
				e.present[j/8] |= 1 << (j % 8)
			}
		}
		e.pageNumbers(row, len(parts), e.floats[:n])
		return
	}
	if partKind(i).physical == format.Int64 {
		e.large = resize(e.large, len(parts))
		for j := range parts {
			if e.large[j] = parts[j].at; i != colTime {
				e.large[j] = partInts[i-colPartInts].get(&parts[j])
			}
		}
		e.page64(row, e.large)
		return
	}
	e.small = resize(e.small, len(parts))
	for j := range parts {
		switch p := &parts[j]; {
		case i == colSlot:
			e.small[j] = int32(p.slot)
		case i == colPartFlags:
			e.small[j] = int32(p.flags)
		case p.whole:
			e.small[j] = 1
		default:
			e.small[j] = 0
		}
	}
	e.page32(row, e.small)
}

// meansOnly asks for what the mean of a step needs, and nothing else of a quantity.
const meansOnly Fields = 1 << 14

// partReader reads the parts of one slot after the other out of a table.
type partReader struct {
	reader
	fields Fields
	single bool // one slot is asked for, so that others on its pages are passed over
	page   int  // that is decoded; -1: none
	parts  []part
	floats []float64
}

func (s *Store) newPartReader(t *table, fields Fields) (*partReader, error) {
	x, err := s.index.get(t)
	if err != nil {
		return nil, err
	}
	return &partReader{reader: reader{g: t, x: x, files: &s.files}, fields: fields, page: -1}, nil
}

// slotParts calls yield with the parts of the slot that begin in from ≤ t < to, ascending.
func (r *partReader) slotParts(slot device.Slot, from, to int64, yield func(p *part)) error {
	first, end := r.x.pages(slot)
	for p := first; p < end; p++ {
		if r.x.hiAt[p] < from || r.x.loAt[p] >= to {
			continue
		}
		if p != r.page {
			if err := r.load(p, slot); err != nil {
				return err
			}
		}
		n := sort.Search(len(r.parts), func(i int) bool { return r.parts[i].slot >= slot })
		rest := r.parts[n:]
		rest = rest[:sort.Search(len(rest), func(i int) bool { return rest[i].slot > slot })]
		for i := sort.Search(len(rest), func(i int) bool { return rest[i].at >= from }); i < len(rest) && rest[i].at < to; i++ {
			yield(&rest[i])
		}
	}
	return nil
}

// load reads page p.
func (r *partReader) load(p int, slot device.Slot) error {
	r.page = -1
	if err := r.hold(); err != nil {
		return err
	}
	defer r.drop()
	if err := r.decode(p, slot); err != nil {
		return r.g.damaged(err)
	}
	r.page = p
	return nil
}

// decode reads page p.
func (r *partReader) decode(p int, slot device.Slot) error {
	slots, err := r.ints32(colSlot, p)
	if err != nil {
		return err
	}
	lo, hi := 0, len(slots)
	if r.single {
		lo = sort.Search(hi, func(i int) bool { return device.Slot(slots[i]) >= slot })
		hi = sort.Search(hi, func(i int) bool { return device.Slot(slots[i]) > slot })
	}
	r.parts = resize(r.parts, hi-lo)
	clear(r.parts)
	for j, v := range slots[lo:hi] {
		r.parts[j].slot = device.Slot(v)
	}
	if lo == hi {
		return nil
	}
	at, err := r.ints64(colTime, p)
	if err != nil {
		return err
	}
	for j, v := range at[lo:hi] {
		r.parts[j].at = v
	}
	whole, err := r.ints32(colWhole, p)
	if err != nil {
		return err
	}
	for j, v := range whole[lo:hi] {
		r.parts[j].whole = v != 0
	}
	if r.fields&Status != 0 {
		if err := r.decodeState(p, lo, hi); err != nil {
			return err
		}
	}
	for i, c := range partInts {
		if c.of != 0 && r.fields&c.of == 0 || c.energy && r.fields&meansOnly != 0 {
			continue
		}
		v, err := r.ints64(colPartInts+i, p)
		if err != nil {
			return err
		}
		for j, x := range v[lo:hi] {
			c.set(&r.parts[j], x)
		}
	}
	for i, c := range partNumbers {
		if r.fields&(1<<c.quantity) == 0 || !c.mean && r.fields&meansOnly != 0 {
			continue
		}
		r.floats = resize(r.floats, hi-lo)
		if err := r.values(r.floats, colPartInts+len(partInts)+i, p, lo); err != nil {
			return err
		}
		for j, x := range r.floats {
			if q := &r.parts[j]; q.values[c.quantity].n > 0 {
				c.set(q, x)
			}
		}
	}
	return nil
}

// decodeState reads status, quality and flags of rows [lo, hi) of page p.
func (r *partReader) decodeState(p, lo, hi int) error {
	flags, err := r.ints32(colPartFlags, p)
	if err != nil {
		return err
	}
	for j, v := range flags[lo:hi] {
		r.parts[j].flags = device.Flags(v)
	}
	quality, err := r.indices(colPartQuality, p)
	if err != nil {
		return err
	}
	for j, v := range quality[lo:hi] {
		r.parts[j].quality = r.x.qualities[v]
	}
	status, err := r.indices(colPartStatus, p)
	if err != nil {
		return err
	}
	for j, v := range status[lo:hi] {
		s := &r.x.statuses[v]
		r.parts[j].status, r.parts[j].word = s.status, s.word
	}
	return nil
}
