package hil

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"yunchu/platform/device"
)

// Parts is one device on several wires: a converter that is told the power, the
// battery management that says what the battery bears, a meter that says what flows.
// Any of them may be nil, but not all. A device without a converter only reports.
type Parts struct {
	PCS, BMS, Meter device.Driver
	// Tolerance is how far converter and meter may be apart, kW; 0: 5 % of what the
	// larger of them shows, and 1 kW.
	Tolerance float64

	moved   moved
	stated  map[statement]float64
	pressed []string // parts whose emergency stop is
}

// statement is a quantity of a part that has given it.
type statement struct{ part, quantity string }

// state remembers what a part gives, and reports whether it ever did.
func (p *Parts) state(part, quantity string, v float64) (last float64, ever bool) {
	at := statement{part, quantity}
	if !math.IsNaN(v) {
		if p.stated == nil {
			p.stated = map[statement]float64{}
		}
		p.stated[at] = v
	}
	last, ever = p.stated[at]
	return last, ever
}

// moved is when the power last changed, so that what another wire says of it, later and
// less often, is not held against it.
type moved struct {
	kw   float64
	at   int64   // ms UTC
	most float64 // that was ever seen, kW
}

// lag is how long a battery management may take until all that it reports is of after a
// step: it sends each of its messages about once a second.
const lag = 1500 * time.Millisecond

func (m *moved) note(kw, tolerance float64, at int64) {
	m.most = max(m.most, math.Abs(kw))
	if !(math.Abs(kw-m.kw) <= tolerance) {
		m.kw, m.at = kw, at
	}
}

var (
	_ device.Driver     = (*Parts)(nil)
	_ device.Described  = (*Parts)(nil)
	_ device.Adjustable = (*Parts)(nil)
	_ device.Probed     = (*Parts)(nil)
	_ device.Parted     = (*Parts)(nil)
)

type part struct {
	name   string
	driver device.Driver
}

func (p *Parts) all() (list []part) {
	for _, x := range []part{{"pcs", p.PCS}, {"bms", p.BMS}, {"meter", p.Meter}} {
		if x.driver != nil {
			list = append(list, x)
		}
	}
	return list
}

// Read asks every part, and reports only when all have answered: a battery whose
// management is silent must not be taken for one that is well. The reading is of the
// moment at which its power was measured; parts that report less often have their own
// word on what is too old. A current that was measured before the power changed, and
// contradicts it, is left out.
func (p *Parts) Read(ctx context.Context, now time.Time) (device.Reading, error) {
	out := device.Empty()
	out.At, out.Arrived = now.UnixMilli(), now.UnixMilli()
	got := map[string]device.Reading{}
	var silent []error
	var pressed []string
	for _, x := range p.all() {
		r, err := x.driver.Read(ctx, now) // each of them, so that all keep their heartbeats
		if err != nil {
			silent = append(silent, fmt.Errorf("%s: %w", x.name, err))
			continue
		}
		got[x.name] = r
		out.Arrived = max(out.Arrived, r.Arrived)
		out.Flags |= r.Flags
		if r.Flags&device.FlagEStop != 0 {
			pressed = append(pressed, x.name)
		}
		out.Beyond |= r.Beyond
	}
	if err := errors.Join(silent...); err != nil {
		return device.Reading{}, err
	}
	p.pressed = pressed
	// A part that has given a quantity once is asked for it for ever: where it becomes silent
	// about it, another's must not stand for it.
	first := func(quantity string, field func(*device.Reading) float64, order ...string) float64 {
		for _, name := range order {
			if r, ok := got[name]; ok {
				v := field(&r)
				if _, ever := p.state(name, quantity, v); ever {
					return v
				}
			}
		}
		return math.NaN()
	}
	// A limit that a part ceases to state stays in force.
	least := func(quantity string, field func(*device.Reading) float64) float64 {
		v := math.NaN()
		for name, r := range got {
			if x, ever := p.state(name, quantity, field(&r)); ever && !(x >= v) { // the first, or less
				v = x
			}
		}
		return v
	}
	out.Power = first("power", func(r *device.Reading) float64 { return r.Power }, "meter", "pcs")
	for _, name := range []string{"bms", "pcs", "meter"} { // the last of them that is there
		if r, ok := got[name]; ok && (name == "bms" || !math.IsNaN(r.Power)) {
			out.At = r.At
		}
	}
	out.SoC = first("soc", func(r *device.Reading) float64 { return r.SoC }, "bms", "pcs")
	out.SoH = first("soh", func(r *device.Reading) float64 { return r.SoH }, "bms", "pcs")
	out.Voltage = first("voltage", func(r *device.Reading) float64 { return r.Voltage }, "bms", "pcs")
	out.Current = first("current", func(r *device.Reading) float64 { return r.Current }, "bms", "pcs")
	out.Temperature = first("temperature", func(r *device.Reading) float64 { return r.Temperature }, "bms", "pcs")
	out.Frequency = first("frequency", frequency, "meter", "pcs")
	if math.IsNaN(out.Frequency) {
		out.Frequency = 0
	}
	out.Own = p.windows(got)
	out.MaxCharge = least("maxCharge", func(r *device.Reading) float64 { return r.MaxCharge })
	out.MaxDischarge = least("maxDischarge", func(r *device.Reading) float64 { return r.MaxDischarge })
	if a, b := got["pcs"].Power, got["meter"].Power; p.PCS != nil && p.Meter != nil && math.Abs(a-b) > p.tolerance(a, b) {
		out.Flags |= device.FlagLogic
	}
	out.Status, out.Word = status(got, out.Power)
	if bms, ok := got["bms"]; ok && !math.IsNaN(out.Power) {
		tolerance := p.tolerance(out.Power, p.moved.kw)
		p.moved.note(out.Power, tolerance, out.At)
		// A small unit is held to less than tolerance: see ingest.
		tolerance = min(tolerance, 0.05*p.moved.most)
		if dc := out.Voltage * out.Current / 1000; bms.At <= p.moved.at+lag.Milliseconds() && math.Abs(out.Power-dc) > tolerance {
			out.Current = math.NaN()
		}
	}
	return out, nil
}

// frequency is the one that a reading has, NaN where it has none.
func frequency(r *device.Reading) float64 {
	if r.Frequency > 0 {
		return r.Frequency
	}
	return math.NaN()
}

// windows are those that go with what the reading says: of each quantity the ones of the part
// whose value it is. A part keeps to its own by what it says that it takes and gives.
func (p *Parts) windows(got map[string]device.Reading) *device.OwnWindows {
	out := device.Untold()
	for _, x := range []struct {
		quantity string
		of       func(w *device.OwnWindows) *device.Span
	}{
		{"soc", func(w *device.OwnWindows) *device.Span { return &w.SoC }},
		{"voltage", func(w *device.OwnWindows) *device.Span { return &w.Voltage }},
		{"temperature", func(w *device.OwnWindows) *device.Span { return &w.Temperature }},
	} {
		for _, name := range []string{"bms", "pcs"} {
			if _, gives := p.stated[statement{name, x.quantity}]; gives {
				if own := got[name].Own; own != nil {
					*x.of(&out) = *x.of(own)
				}
				break
			}
		}
	}
	return out.Told()
}

func (p *Parts) tolerance(a, b float64) float64 {
	if p.Tolerance > 0 {
		return p.Tolerance
	}
	return 1 + 0.05*max(math.Abs(a), math.Abs(b))
}

// status is the gravest of the parts' words; without one, what the power says.
func status(got map[string]device.Reading, kw float64) (device.Status, string) {
	for _, grave := range []device.Status{device.Fault, device.Offline, device.Maintenance, device.Standby} {
		for _, r := range got {
			if r.Status == grave {
				return grave, ""
			}
		}
	}
	for _, name := range []string{"pcs", "bms"} {
		if r, ok := got[name]; ok && (r.Status != device.OtherStatus || r.Word != "") {
			return r.Status, r.Word
		}
	}
	switch {
	case kw > 0:
		return device.Charging, ""
	case kw < 0:
		return device.Discharging, ""
	}
	return device.Idle, ""
}

// Write gives the power to the converter. An emergency stop goes to every part; so does a
// reset, to the converter first. Parts that know neither are passed over.
func (p *Parts) Write(ctx context.Context, now time.Time, c device.Command) (device.Ack, error) {
	switch {
	case c.Verb == device.EStop || c.Verb == device.Reset:
		return p.writeAll(ctx, now, c)
	case p.PCS == nil:
		return c.Answer(device.Rejected, now.UnixMilli(), "UNSUPPORTED", "the device has no converter that could be told"), nil
	}
	return p.PCS.Write(ctx, now, c)
}

// writeAll tells all parts, and all that became of it. A stop goes to them side by side, so
// that one which does not answer takes no time from the others.
func (p *Parts) writeAll(ctx context.Context, now time.Time, c device.Command) (device.Ack, error) {
	parts := p.all()
	acks, failed := make([]device.Ack, len(parts)), make([]error, len(parts))
	var all sync.WaitGroup
	for i, x := range parts {
		tell := func() { acks[i], failed[i] = x.driver.Write(ctx, now, c) }
		if c.Verb == device.EStop {
			all.Go(tell)
		} else {
			tell()
		}
	}
	all.Wait()
	var (
		taken, refused *device.Ack
		errs           []error
		reasons        []string
		open           bool // one that refuses does not say that it is stopped
	)
	for i, x := range parts {
		switch a := &acks[i]; {
		case failed[i] != nil:
			errs = append(errs, fmt.Errorf("%s: %w", x.name, failed[i]))
		case a.Status == device.Done:
			taken = cmp.Or(taken, a)
		case a.Code != "UNSUPPORTED":
			refused = cmp.Or(refused, a)
			reasons = append(reasons, x.name+": "+a.Reason)
			open = open || !slices.Contains(p.pressed, x.name)
		}
	}
	told := strings.Join(reasons, "; ")
	switch err := errors.Join(errs...); {
	case err != nil && refused != nil:
		return device.Ack{}, fmt.Errorf("%w; %s", err, told)
	case err != nil:
		return device.Ack{}, err
	case refused != nil:
		refused.Reason = told
		if c.Verb == device.EStop && open && len(p.pressed) > 0 { // else another's word would be taken for its own
			refused.Status = device.Failure
		}
		return *refused, nil
	case taken != nil:
		return *taken, nil
	}
	return c.Answer(device.Rejected, now.UnixMilli(), "UNSUPPORTED", "no part of the device knows "+c.Verb.String()), nil
}

// Pressed implements device.Parted.
func (p *Parts) Pressed() string { return strings.Join(p.pressed, " and ") }

// Remarks are those of the parts.
func (p *Parts) Remarks() (list []device.Remark) {
	for _, x := range p.all() {
		if d, ok := x.driver.(device.Remarking); ok {
			for _, r := range d.Remarks() {
				r.Text = x.name + ": " + r.Text
				list = append(list, r)
			}
		}
	}
	return list
}

// Close closes every part.
func (p *Parts) Close() error {
	var errs []error
	for _, x := range p.all() {
		errs = append(errs, x.driver.Close())
	}
	return errors.Join(errs...)
}

// Describe joins what the parts say of themselves: the power is the converter's, the
// energy the battery's, what neither says comes from the other.
func (p *Parts) Describe(ctx context.Context, now time.Time) (device.Info, error) {
	var out device.Info
	for _, x := range p.all() { // converter first: what it says stays
		d, ok := x.driver.(device.Described)
		if !ok {
			continue
		}
		i, err := d.Describe(ctx, now)
		if err != nil {
			return device.Info{}, fmt.Errorf("%s: %w", x.name, err)
		}
		out.Manufacturer, out.Model = joined(out.Manufacturer, i.Manufacturer), joined(out.Model, i.Model)
		out.Firmware, out.Serial = joined(out.Firmware, i.Firmware), joined(out.Serial, i.Serial)
		if out.DeviceType == "" {
			out.DeviceType = i.DeviceType
		}
		if out.RatedKW == 0 && x.name == "pcs" {
			out.RatedKW = i.RatedKW
		}
		if x.name == "bms" && i.CapacityKWh > 0 || out.CapacityKWh == 0 {
			out.CapacityKWh = i.CapacityKWh
		}
		if _, gives := p.stated[statement{x.name, "voltage"}]; gives && (x.name == "bms" || x.name == "pcs") {
			out.VoltStep = i.VoltStep // of the battery management, which comes second, if it gives one
		}
		for _, f := range []struct {
			to   *float64
			from float64
		}{{&out.SoCMin, i.SoCMin}, {&out.SoCMax, i.SoCMax}, {&out.VoltMin, i.VoltMin}, {&out.VoltMax, i.VoltMax}} {
			if *f.to == 0 {
				*f.to = f.from
			}
		}
	}
	return out, nil
}

func joined(a, b string) string {
	if a == "" || b == "" || a == b {
		return a + b
	}
	return a + " + " + b
}

// adjustable finds the part that a setting belongs to: pcs.NAME, bms.NAME and
// meter.NAME name it, a plain name is the converter's.
func (p *Parts) adjustable(name string) (a device.Adjustable, rest string, err error) {
	where := p.PCS
	if head, tail, ok := strings.Cut(name, "."); ok {
		for _, x := range p.all() {
			if x.name == head {
				where, name = x.driver, tail
			}
		}
	}
	if a, ok := where.(device.Adjustable); ok {
		return a, name, nil
	}
	return nil, "", fmt.Errorf("setting %s: %w", name, device.ErrUnsupported)
}

// Settings implements device.Adjustable: the converter's by their own names, the
// others' with the part's name in front.
func (p *Parts) Settings(ctx context.Context) ([]device.Setting, error) {
	var out []device.Setting
	for _, x := range p.all() {
		a, ok := x.driver.(device.Adjustable)
		if !ok {
			continue
		}
		list, err := a.Settings(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", x.name, err)
		}
		for _, s := range list {
			if x.name != "pcs" {
				s.Name = x.name + "." + s.Name
			}
			out = append(out, s)
		}
	}
	return out, nil
}

// Setting implements device.Adjustable.
func (p *Parts) Setting(ctx context.Context, name string) (float64, error) {
	a, name, err := p.adjustable(name)
	if err != nil {
		return 0, err
	}
	return a.Setting(ctx, name)
}

// Adjust implements device.Adjustable.
func (p *Parts) Adjust(ctx context.Context, name string, value float64) (float64, error) {
	a, name, err := p.adjustable(name)
	if err != nil {
		return 0, err
	}
	return a.Adjust(ctx, name, value)
}

// Probe tries all parts.
func (p *Parts) Probe(ctx context.Context) ([]device.Trial, error) {
	var out []device.Trial
	for _, x := range p.all() {
		d, ok := x.driver.(device.Probed)
		if !ok {
			continue
		}
		trials, err := d.Probe(ctx)
		if errors.Is(err, device.ErrUnsupported) { // nothing can be tried on this one
			continue
		}
		if err != nil {
			return out, fmt.Errorf("%s: %w", x.name, err)
		}
		for _, t := range trials {
			t.Name = x.name + ": " + t.Name
			out = append(out, t)
		}
	}
	if out == nil {
		return nil, fmt.Errorf("probe: %w", device.ErrUnsupported)
	}
	return out, nil
}
