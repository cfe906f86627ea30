package billing

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"yunchu/harness/scenario"
	"yunchu/harness/sheet"
	"yunchu/platform/device"
	"yunchu/platform/settle"
)

// The columns of a file of readings; others are read where a rule needs them. What yunchu export writes has device and flags.
const (
	timeColumn   = "time"
	deviceColumn = "device"
	powerColumn  = "power_kw"
	energyColumn = "energy_kwh"
	inColumn     = "charge_kwh"    // of a meter with a register each way, both at least 0
	outColumn    = "discharge_kwh" // the other one
)

var textColumns = []string{timeColumn, deviceColumn, "quality", "flags", "status", "gap_until", "gap_reason"}

// series is a file of rows by time, equally long.
type series struct {
	*sheet.Sheet
	at    []time.Time
	width time.Duration
}

// readSeries reads of a file what the rules need, and of columns besides.
func readSeries(path string, rules []*settle.Tariff, besides ...string) (*series, error) {
	needed := func(column string) bool {
		return slices.Contains(besides, column) || slices.ContainsFunc(rules, func(t *settle.Tariff) bool { return slices.Contains(t.Columns(), column) })
	}
	s, err := sheet.Read(path, needed, textColumns...)
	if err != nil {
		return nil, err
	}
	t := rules[0]
	f := &series{Sheet: s, width: t.Step}
	if s.Has(deviceColumn) {
		return f, nil // by device and then time
	}
	if s.Has("available_discharge_kw") && s.Has("soc_mean_percent") {
		return nil, s.Fault(1, 1, "bill its readings.csv, which says of each reading what it is worth: record: {readings: \"*\"} in the scenario", "these are the signals of a run, which may be simulated, and no meter's readings")
	}
	if f.at, err = s.Times(timeColumn); err != nil {
		return nil, err
	}
	for i := 1; i < len(f.at); i++ {
		if d := f.at[i].Sub(f.at[i-1]); i == 1 || d < f.width {
			f.width = d
		}
	}
	for i := range f.at {
		if !t.Begins(f.at[i], f.width) {
			return nil, s.At(i, []string{timeColumn}, "intervals are equally long, and begin where they should in "+t.Zone, "rows are %v apart, and %s is not at a multiple of it", f.width, f.at[i].In(t.Location()).Format(time.RFC3339))
		}
	}
	return f, nil
}

// dataset is what bills are made of, and what of it is simulated.
type dataset struct {
	*settle.Data
	simulated   bool
	devicesRead []string // sorted
}

// span are the begins of the intervals that are billed.
type span struct {
	from, to time.Time
	step     time.Duration
}

func (p span) n() int { return int(p.to.Sub(p.from) / p.step) }

// index is the interval that t lies in, -1 outside.
func (p span) index(t time.Time) int {
	i := int(t.Sub(p.from) / p.step)
	if t.Before(p.from) || i >= p.n() { // behind the last whole one
		return -1
	}
	return i
}

// period is what is billed: from one local date or instant to another, where they are given, else what
// the first file of prices spans, else the readings.
func (o *BillOptions) period(t *settle.Tariff, readings *series, others []*series) (p span, err error) {
	p.step = t.Step
	switch {
	case len(others) > 0:
		p.from, p.to = others[0].at[0], others[0].at[len(others[0].at)-1].Add(others[0].width)
	case readings.at != nil:
		p.from, p.to = t.Floor(readings.at[0], p.step), t.Floor(readings.at[len(readings.at)-1].Add(readings.width+p.step-1), p.step)
	default:
		for _, word := range readings.Texts(timeColumn) {
			at, ok := sheet.Instant(word)
			if !ok {
				continue // told when the rows are read
			}
			if p.from.IsZero() || at.Before(p.from) {
				p.from = at
			}
			if at.After(p.to) {
				p.to = at
			}
		}
		p.from, p.to = t.Floor(p.from, p.step), t.Floor(p.to.Add(p.step-1), p.step)
	}
	loc := t.Location()
	for _, day := range []struct {
		flag, text string
		to         *time.Time
		add        int
	}{{"from", o.From, &p.from, 0}, {"to", o.To, &p.to, 1}} {
		if day.text == "" {
			continue
		}
		if at, err := time.ParseInLocation(time.DateOnly, day.text, loc); err == nil {
			*day.to = at.AddDate(0, 0, day.add).UTC()
			continue
		}
		at, ok := sheet.Instant(day.text)
		if !ok || !t.Begins(at, p.step) {
			return p, fmt.Errorf("--%s %s: write a date, as in 2025-01-31, or the begin of an interval, as in 2025-01-31T13:00:00Z", day.flag, day.text)
		}
		*day.to = at
	}
	if p.n() < 1 {
		return p, fmt.Errorf("from %s to %s there is nothing to bill", p.from.Format(time.RFC3339), p.to.Format(time.RFC3339))
	}
	return p, nil
}

// load reads the files and brings them to the intervals of the rule, all of whose versions
// have the same.
func (o *BillOptions) load(rules []*settle.Tariff) (*dataset, error) {
	t := rules[0]
	readings, err := readSeries(o.Readings, rules, powerColumn, energyColumn, inColumn, outColumn)
	if err != nil {
		return nil, err
	}
	var others []*series
	for _, path := range o.Data {
		s, err := readSeries(path, rules)
		if err != nil {
			return nil, err
		}
		if s.at == nil {
			return nil, s.Fault(1, 1, "readings of devices go to --readings", "this is a file of readings of devices")
		}
		others = append(others, s)
	}
	p, err := o.period(t, readings, others)
	if err != nil {
		return nil, err
	}
	d := &dataset{Data: &settle.Data{Column: map[string][]float64{}}}
	for i := range p.n() {
		d.At = append(d.At, p.from.Add(time.Duration(i)*p.step))
	}
	if readings.at == nil {
		err = d.devices(o, t, readings, p)
	} else {
		others = append(others, readings)
		err = d.meter(o, readings, p)
	}
	if err != nil {
		return nil, err
	}
	for _, t := range rules {
		for _, name := range t.Columns() {
			if d.Column[name] != nil {
				continue
			}
			i := slices.IndexFunc(others, func(s *series) bool { return s.Has(name) })
			if i < 0 {
				files := append(slices.Clone(o.Data), o.Readings)
				return nil, scenario.Faults{{Path: strings.Join(files, ", "), Msg: fmt.Sprintf("rule %s of %s needs a column %s", t.Name, t.Version, name), Hint: "it needs " + strings.Join(t.Columns(), ", ")}}
			}
			if d.Column[name], err = others[i].column(name, p); err != nil {
				return nil, err
			}
		}
	}
	return d, nil
}

// column brings a column to the intervals: a coarser one holds for all of its intervals,
// energy (a name that ends in _kwh) evenly spread.
func (s *series) column(name string, p span) ([]float64, error) {
	if s.width < p.step || s.width%p.step != 0 {
		return nil, s.apart(p, "write a value for each interval, or for several whole ones")
	}
	if s.Texts(name) != nil {
		return nil, s.Fault(1, 1, "a rule needs numbers: give the column another name", "column %s is one of texts", name)
	}
	out := make([]float64, p.n())
	for i := range out {
		out[i] = math.NaN()
	}
	values := s.Column[slices.Index(s.Header, name)]
	each := int(s.width / p.step)
	for i, at := range s.at {
		x := values[i]
		if strings.HasSuffix(name, "_kwh") {
			x /= float64(each)
		}
		for k := range each {
			if j := p.index(at.Add(time.Duration(k) * p.step)); j >= 0 {
				out[j] = x
			}
		}
	}
	return out, nil
}

// quality of a row: whether it may be billed. A simulated one is an error.
func (d *dataset) quality(o *BillOptions, s *series, i int) (good bool, err error) {
	if flags := s.Texts("flags"); flags != nil && slices.Contains(strings.Split(flags[i], ","), device.FlagSimulated.String()) {
		if !o.ProForma {
			return false, s.At(i, []string{"flags"}, "--pro-forma shows what the bill would be; it is none and is not booked", "%v", &settle.SimulatedError{Row: s.Line[i]})
		}
		d.simulated = true
	}
	q := s.Texts("quality")
	return q == nil || q[i] == "" || q[i] == device.Good.String(), nil
}

// apart is the fault of rows of a width that the rule cannot be billed by.
func (s *series) apart(p span, hint string) error {
	return s.At(min(1, len(s.Line)-1), []string{timeColumn}, hint, "the rows are %v apart, where the rule bills by %v", s.width, p.step)
}

// meter takes rows of one meter, each the energy or the mean power from its time on, or what its
// two registers counted. Without registers what goes in and out within an interval is netted.
func (d *dataset) meter(o *BillOptions, s *series, p span) (err error) {
	if p.step%s.width != 0 {
		return s.apart(p, fmt.Sprintf("read the meter every %v or a whole part of it: what a longer time was made of is not known", p.step))
	}
	if net := s.Has(energyColumn, powerColumn); s.Has(inColumn) && s.Has(outColumn) || !net && s.Has(inColumn, outColumn) {
		if d.In, err = d.sums(o, s, p, inColumn, 1); err != nil {
			return err
		}
		if d.Out, err = d.sums(o, s, p, outColumn, 1); err != nil {
			return err
		}
		d.Energy = make([]float64, p.n())
		for j := range d.Energy {
			d.Energy[j] = math.Round((d.In[j]-d.Out[j])*1e9) / 1e9
		}
		return nil
	}
	column, hours := energyColumn, 1.0
	if !s.Has(energyColumn) {
		column, hours = powerColumn, s.width.Hours()
	}
	if !s.Has(column) {
		return s.Fault(1, 1, "its columns are "+strings.Join(s.Header, ", "), "there is no column %s, %s, or %s and %s", energyColumn, powerColumn, inColumn, outColumn)
	}
	d.Energy, err = d.sums(o, s, p, column, hours)
	return err
}

// sums adds up a column by the intervals, times hours: NaN where not every row of one is good.
func (d *dataset) sums(o *BillOptions, s *series, p span, column string, hours float64) ([]float64, error) {
	k := slices.Index(s.Header, column)
	if k < 0 {
		return nil, s.Fault(1, 1, "of a meter's two registers both are needed", "there is no column %s", column)
	}
	need := int(p.step / s.width)
	have, sum := make([]int, p.n()), make([]float64, p.n())
	d.Rows = make([][2]int, p.n())
	for i, at := range s.at {
		j := p.index(at)
		if j < 0 {
			continue
		}
		good, err := d.quality(o, s, i)
		if err != nil {
			return nil, err
		}
		x := s.Column[k][i]
		if x < 0 && (column == inColumn || column == outColumn) {
			return nil, s.At(i, []string{column}, "write what was counted from this row to the next, or the net of both as "+energyColumn, "a register that counts down")
		}
		if !good || math.IsNaN(x) {
			continue
		}
		sum[j] += x * hours
		have[j]++
		if d.Rows[j][0] == 0 {
			d.Rows[j][0] = s.Line[i]
		}
		d.Rows[j][1] = s.Line[i]
	}
	for j := range sum {
		if have[j] < need {
			sum[j] = math.NaN()
			continue
		}
		sum[j] = math.Round(sum[j]*1e9) / 1e9 // what a sum of products leaves behind is no reading
	}
	return sum, nil
}

// devices takes the readings of devices, and adds up what each of them amounts to.
func (d *dataset) devices(o *BillOptions, t *settle.Tariff, s *series, p span) error {
	k := slices.Index(s.Header, powerColumn)
	if k < 0 {
		return s.Fault(1, 1, "export with --fields power", "there is no column %s", powerColumn)
	}
	of := map[string][]settle.Sample{}
	var order []string
	for i, id := range s.Texts(deviceColumn) {
		at, ok := sheet.Instant(s.Texts(timeColumn)[i])
		if !ok {
			return s.At(i, []string{timeColumn}, "write it as 2020-01-31T13:00:00Z", "%q is no instant", s.Texts(timeColumn)[i])
		}
		good, err := d.quality(o, s, i)
		if err != nil {
			return err
		}
		x := settle.Sample{At: at.UnixMilli(), KW: s.Column[k][i], Row: s.Line[i]}
		if !good {
			x.Quality = device.Bad
		}
		if gaps := s.Texts("gap_until"); gaps != nil && gaps[i] != "" {
			x.Gap = true
		}
		if of[id] == nil {
			order = append(order, id)
		} else if last := of[id][len(of[id])-1]; x.At < last.At {
			return s.At(i, []string{timeColumn}, "sort the rows by device and then time", "the reading comes before the one above")
		}
		of[id] = append(of[id], x)
	}
	d.devicesRead = slices.Sorted(slices.Values(order))
	gap := o.Gap
	if gap <= 0 {
		gap = time.Minute
	}
	for _, id := range order {
		energy, rows, known, err := settle.Meter(of[id], p.from, p.to, p.step, gap, t.Needs())
		if err != nil {
			return err
		}
		if d.Energy == nil {
			d.Energy, d.Rows, d.Known = energy, rows, known
			continue
		}
		for j := range energy {
			d.Energy[j] = math.Round((d.Energy[j]+energy[j])*1e6) / 1e6
			d.Known[j] = min(d.Known[j], known[j])
			d.Rows[j] = [2]int{min(d.Rows[j][0], rows[j][0]), max(d.Rows[j][1], rows[j][1])}
		}
	}
	return nil
}
