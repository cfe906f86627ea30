//go:build !nosim

package simworld

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"yunchu/harness/plot"
	"yunchu/harness/scenario"
	"yunchu/harness/sheet"
	"yunchu/twin/cell"
	"yunchu/twin/fit"
	"yunchu/twin/params"
)

// FitOptions say what to fit a cell to. Lists that go with files hold one value for
// each, or one for all.
type FitOptions struct {
	Pulses     []string  // CSV files of dynamic records
	TempC      []float64 // degC, of the records; empty: from the files
	SoC        []float64 // per cent at their starts; empty: from their first voltages
	OCV        []string  // CSV files of slow cycles, or of tables
	OCVTempC   []float64 // degC, of those; empty: from the files, or those of the records
	Score      []string  // CSV files of records that are only scored
	CapacityAh float64
	Efficiency float64 // coulombic; 0: from the ends of the records
	Name       string  // of the cell set

	VMin, VMax float64 // V; 0: a tenth of a volt beyond the records
	MassKg     float64 // kg; 0: an assumption from the capacity
	CpJPerKg   float64 // J/kg/K; likewise
	HAPerK     float64 // W/K; likewise

	Stop func() error // asked now and then; its error ends the fit; may be nil
}

// FitResult is a fitted cell set and what was assumed on the way.
type FitResult struct {
	Cell   *params.Cell
	Notes  []string
	Scored []params.FitRecord // records that were not fitted

	model   *cell.Model
	records []*fit.Record // fitted ones, then those only scored
}

// tRefK is the reference temperature of fitted cell sets.
const tRefK = 298.15

// Fit identifies a cell set from laboratory records. Faults in the files come back as
// scenario.Faults.
func Fit(o FitOptions) (*FitResult, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	out := &FitResult{}
	labs, err := o.records()
	if err != nil {
		return nil, err
	}
	branches, err := o.branches(labs, out)
	if err != nil {
		return nil, err
	}
	in := fit.Input{CapacityAh: o.CapacityAh, Efficiency: o.Efficiency, TRefK: tRefK, Stop: o.Stop}
	if in.OCV, err = fit.NewOpenCircuit(branches, tRefK); err != nil {
		return nil, err
	}
	var all wrong
	for k, l := range labs {
		r, err := o.record(l, of(o.SoC, k), in.OCV)
		if err != nil {
			all.add(err)
			continue
		}
		in.Records = append(in.Records, r)
		out.Notes = append(out.Notes, fmt.Sprintf("%v, from %.4g %%", l, 100*r.SoC))
	}
	if err := all.err(); err != nil {
		return nil, err
	}
	for _, b := range branches {
		out.Notes = append(out.Notes, fmt.Sprintf("open-circuit voltage from %s at %g degC", b.Name, round2(b.TempK-kelvin)))
	}
	r, err := fit.Cell(in)
	if err != nil {
		return nil, err
	}
	if out.model, err = cell.New(r.Params); err != nil {
		return nil, err
	}
	out.records = in.Records
	if err := o.score(out, in.OCV); err != nil {
		return nil, err
	}
	looks, err := o.sheet(labs, branches)
	if err != nil {
		return nil, err
	}
	out.Cell = r.File(&in, looks)
	return out, out.Cell.Validate()
}

// score compares the fitted cell with records it has not seen.
func (o *FitOptions) score(out *FitResult, ocv *fit.OpenCircuit) error {
	for _, path := range o.Score {
		l, err := readLab(path)
		if err != nil {
			return err
		}
		if err := l.settle(nil, o.around()...); err != nil {
			return err
		}
		r, err := o.record(l, nil, ocv)
		if err != nil {
			return err
		}
		s := r.Score(out.model, fit.WindowLow, fit.WindowHigh)
		out.Scored = append(out.Scored, params.FitRecord{Name: r.Name, TempC: l.tempKnown, RMSE: round4(1e3 * s.RMSE), Max: round4(1e3 * s.Max)})
		out.records = append(out.records, r)
	}
	return nil
}

// Plot draws the voltage of every record, measured and simulated, as SVG.
func (r *FitResult) Plot(w io.Writer) error {
	f := plot.Figure{Title: r.Cell.Name + ": measured voltage and that of the fitted cell"}
	known := len(r.records) - len(r.Scored)
	for k, rec := range r.records {
		v := make([]float64, len(rec.T))
		rec.Simulate(r.model, v, make([]float64, len(rec.T)))
		d := make([]float64, len(v))
		for i := range v {
			d[i] = 1e3 * (v[i] - rec.V[i])
		}
		var x []float64
		x, f.X = plot.Seconds(rec.T)
		name := fmt.Sprintf("%g °C", round2(rec.TempK-kelvin))
		if k >= known {
			name += ", not fitted"
		}
		f.Panels = append(f.Panels,
			plot.Panel{Y: name + ", V", Curves: []plot.Curve{{Name: "measured", X: x, Y: rec.V, Color: plot.Black}, {Name: "fitted cell", X: x, Y: v, Color: plot.Blue, Style: plot.Thin}}},
			plot.Panel{Y: "Δ, mV", Curves: []plot.Curve{{X: x, Y: d}}})
	}
	return f.WriteSVG(w)
}

func (o *FitOptions) check() error {
	var errs []error
	if len(o.Pulses) == 0 || len(o.OCV) == 0 {
		errs = append(errs, errors.New("name a dynamic record and an open-circuit record: --pulses CSV --ocv CSV"))
	}
	if !(o.CapacityAh > 0) || math.IsInf(o.CapacityAh, 0) {
		errs = append(errs, fmt.Errorf("--capacity-ah %g: want the capacity in Ah, above 0", o.CapacityAh))
	}
	if !(o.Efficiency >= 0 && o.Efficiency <= 1) {
		errs = append(errs, fmt.Errorf("--efficiency %g: want 0..1", o.Efficiency))
	}
	for _, l := range []struct {
		flag  string
		n     int
		files int
	}{{"--temp-c", len(o.TempC), len(o.Pulses)}, {"--soc", len(o.SoC), len(o.Pulses)}} {
		if l.n > 1 && l.n != l.files {
			errs = append(errs, fmt.Errorf("%s has %d values for %d files, want one for all or one for each", l.flag, l.n, l.files))
		}
	}
	for _, c := range o.OCVTempC {
		if !livable(c) {
			errs = append(errs, fmt.Errorf("--ocv-temp-c %g: want degC, %g..%g", c, coldestC, hottestC))
		}
	}
	for _, z := range o.SoC {
		if !(z >= 0 && z <= 100) {
			errs = append(errs, fmt.Errorf("--soc %g: want per cent, 0..100", z))
		}
	}
	return errors.Join(errs...)
}

// of is the value of file k in a list that may be empty.
func of(list []float64, k int) *float64 {
	switch {
	case len(list) == 0:
		return nil
	case len(list) == 1:
		return &list[0]
	}
	return &list[k]
}

func (o *FitOptions) records() ([]*lab, error) {
	var labs []*lab
	var all wrong
	for k, path := range o.Pulses {
		l, err := readLab(path)
		if err == nil {
			err = l.settle(of(o.TempC, k), o.around()...)
		}
		all.add(err)
		labs = append(labs, l)
	}
	return labs, all.err()
}

// around are the temperatures in degC that the open-circuit records are known to have.
func (o *FitOptions) around() (c []float64) {
	c = slices.Clone(o.OCVTempC)
	if len(c) == 0 {
		for _, path := range o.OCV {
			c = append(c, chambers(path)...)
		}
	}
	slices.Sort(c)
	return slices.Compact(c)
}

// wrong collects what is wrong with several files, so that all of it is told at once.
type wrong struct {
	faults scenario.Faults
	other  []error
}

func (w *wrong) add(err error) {
	var f scenario.Faults
	switch {
	case errors.As(err, &f):
		w.faults = append(w.faults, f...)
	case err != nil:
		w.other = append(w.other, err)
	}
}

func (w *wrong) err() error {
	if len(w.other) > 0 {
		return errors.Join(w.other...)
	}
	if len(w.faults) > 0 {
		return w.faults
	}
	return nil
}

// record readies a record for the fit; given is the state of charge at its start in per
// cent, if that is known.
func (o *FitOptions) record(l *lab, given *float64, ocv *fit.OpenCircuit) (*fit.Record, error) {
	last := len(ocv.U) - 1
	if err := l.plausible(ocv.U[0], ocv.U[last], o.CapacityAh, "the open-circuit record"); err != nil {
		return nil, err
	}
	r := &fit.Record{Name: filepath.Base(l.path), T: l.t, I: l.i, V: l.v, TempK: l.tempKnown + kelvin}
	if given != nil {
		r.SoC = *given / 100
		if r.SoC == 1 {
			r.Hyst = 1
		}
	} else {
		var ok bool
		if r.SoC, r.Hyst, ok = begin(ocv, o.CapacityAh, l.i[0], l.v[0], r.TempK, tRefK); !ok {
			return nil, l.at(0, voltageColumn, "give it with --soc", "the first reading, %g V at %g A, does not tell the state of charge", l.v[0], l.i[0])
		}
	}
	if l.in != nil {
		r.Follow(l.in, l.out)
	}
	soc := r.Count(o.CapacityAh, 1)
	if err := l.within(soc, o.CapacityAh); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(soc, func(z float64) bool { return z >= fit.WindowLow && z <= fit.WindowHigh }) {
		return nil, l.at(0, currentColumn, "a cell is fitted and scored there; take more of the record", "from %.4g to %.4g %%, the record has no state of charge of %g to %g %%",
			100*soc[0], 100*soc[len(soc)-1], 100*fit.WindowLow, 100*fit.WindowHigh)
	}
	return r, nil
}

// branches reads the open-circuit files: slow cycles, or tables.
func (o *FitOptions) branches(labs []*lab, out *FitResult) ([]fit.Branches, error) {
	var cycles []fit.SlowCycle
	var tables []fit.Branches
	for k, path := range o.OCV {
		s, err := sheet.Read(path, ocvColumn)
		if err != nil {
			return nil, err
		}
		if s.Has("z", "soc") {
			b, err := tableBranches(s, o.tableTemps(labs))
			if err != nil {
				return nil, err
			}
			tables = append(tables, b...)
			continue
		}
		c, err := slowCycle(s)
		if err != nil {
			return nil, err
		}
		degC, err := o.slowTemp(k, path, labs)
		if err != nil {
			return nil, err
		}
		c.TempK = degC + kelvin
		cycles = append(cycles, c)
	}
	if len(cycles) > 0 && len(tables) > 0 {
		return nil, errors.New("--ocv: slow cycles and tables cannot be mixed")
	}
	if len(tables) > 0 {
		return tables, nil
	}
	if err := o.doubt(cycles, out); err != nil {
		return nil, err
	}
	return fit.NewBranches(cycles, o.CapacityAh)
}

// doubt holds the capacity against what slow cycles move between full and empty.
func (o *FitOptions) doubt(cycles []fit.SlowCycle, out *FitResult) error {
	const notes, refuses = 0.05, 0.5 // of the capacity or of what was moved
	most := 0.0
	for _, c := range cycles {
		most = max(most, c.DischargeAh[len(c.DischargeAh)-1], c.ChargeAh[len(c.ChargeAh)-1])
	}
	off := math.Abs(o.CapacityAh-most) / max(o.CapacityAh, most)
	msg := fmt.Sprintf("--capacity-ah %g: the slow cycles move %.4g Ah at most between full and empty", o.CapacityAh, most)
	if off > refuses {
		return errors.New(msg + ": check the units of both")
	}
	if off > notes {
		out.Notes = append(out.Notes, "warning: "+msg+"; every state of charge is counted with the capacity")
	}
	return nil
}

// ocvColumn tells the columns of slow cycles and of tables.
func ocvColumn(name string) bool {
	known := slices.Concat([]string{"z", "soc"}, timeColumn, currentColumn, voltageColumn, chargeColumn, givenColumn)
	return slices.Contains(known, name) || strings.HasPrefix(name, "U_dis") || strings.HasPrefix(name, "U_chg")
}

// slowTemp is the temperature of slow cycle k in degC: the one given, that of its name,
// or that of the record in the same place.
func (o *FitOptions) slowTemp(k int, path string, labs []*lab) (float64, error) {
	if given := of(o.OCVTempC, min(k, max(0, len(o.OCVTempC)-1))); given != nil {
		return *given, nil
	}
	switch c := chambers(path); len(c) {
	case 0:
		return labs[min(k, len(labs)-1)].tempKnown, nil
	case 1:
		return c[0], nil
	default:
		return 0, scenario.Faults{{Path: path, Msg: fmt.Sprintf("its temperature is not clear: its name says %s degC", list(c)), Hint: "give it with --ocv-temp-c"}}
	}
}

// tableTemps are the temperatures in degC to take from a table of several.
func (o *FitOptions) tableTemps(labs []*lab) []float64 {
	if len(o.OCVTempC) > 0 {
		return o.OCVTempC
	}
	var c []float64
	for _, l := range labs {
		c = append(c, l.tempKnown)
	}
	return c
}

// slowCycle takes the longest discharge and the longest charge of a slow record.
func slowCycle(s *sheet.Sheet) (fit.SlowCycle, error) {
	c := fit.SlowCycle{Name: filepath.Base(s.Path)}
	t, err := s.Full(timeColumn...)
	if err != nil {
		return c, err
	}
	i, err := s.Full(currentColumn...)
	if err != nil {
		return c, err
	}
	v, err := s.Full(voltageColumn...)
	if err != nil {
		return c, err
	}
	for _, side := range []struct {
		sign    float64
		counter []string
		ah, v   *[]float64
	}{{-1, givenColumn, &c.DischargeAh, &c.DischargeV}, {1, chargeColumn, &c.ChargeAh, &c.ChargeV}} {
		var count []float64
		if s.Has(side.counter...) {
			if count, err = s.Full(side.counter...); err != nil {
				return c, err
			}
		}
		from, to := longest(i, side.sign)
		if to-from < 10 {
			return c, s.Fault(1, 1, "a slow cycle has rows of current below 0 and rows above 0; a table has columns z, U_dis, U_chg", "the record has no branch with current %+g", side.sign)
		}
		if rise := (v[to-1] - v[from]) * side.sign; !(rise > 0) {
			return c, s.At(from, voltageColumn, "a current above 0 charges", "from here on the current is %g A, and the voltage goes from %g to %g V", i[from], v[from], v[to-1])
		}
		var ah float64
		for k := from; k < to; k++ {
			if count != nil && k > from && count[k] < count[k-1] {
				return c, s.At(k, side.counter, "the counters of a cycler rise", "the charge falls from %g to %g Ah", count[k-1], count[k])
			}
			switch {
			case count != nil:
				ah = count[k] - count[from]
			case k > from:
				ah += math.Abs(i[k]+i[k-1]) / 2 * (t[k] - t[k-1]) / 3600
			}
			*side.ah, *side.v = append(*side.ah, ah), append(*side.v, v[k])
		}
	}
	return c, nil
}

// longest is the longest run of rows with a current of the sign.
func longest(i []float64, sign float64) (from, to int) {
	for k := 0; k < len(i); k++ {
		start := k
		for k < len(i) && i[k]*sign > 0 {
			k++
		}
		if k-start > to-from {
			from, to = start, k
		}
	}
	return from, to
}

// tableBranches takes the columns U_dis and U_chg of a table over z, and from one of
// several temperatures (U_dis_P05_V, …) those asked for, or all if it has none of them.
func tableBranches(s *sheet.Sheet, tempC []float64) ([]fit.Branches, error) {
	z, err := s.Full("z", "soc")
	if err != nil {
		return nil, err
	}
	for k, x := range z {
		switch {
		case !(x >= 0 && x <= 1):
			return nil, s.At(k, []string{"z", "soc"}, "write it from 0 to 1, not in per cent", "a state of charge of %g", x)
		case k > 0 && x <= z[k-1]:
			return nil, s.At(k, []string{"z", "soc"}, "sort the rows from empty to full", "the state of charge does not rise from %g to %g", z[k-1], x)
		}
	}
	var asked, all []fit.Branches
	for k, h := range s.Header {
		tag, ok := strings.CutPrefix(h, "U_dis")
		if !ok {
			continue
		}
		chg := slices.Index(s.Header, "U_chg"+tag)
		if chg < 0 {
			return nil, s.Fault(1, 1, "", "column %s has no partner U_chg%s", h, tag)
		}
		for _, i := range []int{k, chg} {
			if err := rises(s, i); err != nil {
				return nil, err
			}
		}
		b := fit.Branches{Name: filepath.Base(s.Path), TempK: tRefK, SoC: z, Discharge: s.Column[k], Charge: s.Column[chg]}
		c := 25.0
		if told := chambers(h); len(told) > 0 {
			c = told[0]
		}
		b.TempK = c + kelvin
		all = append(all, b)
		if slices.Contains(tempC, c) {
			asked = append(asked, b)
		}
	}
	if len(all) == 0 {
		return nil, s.Fault(1, 1, "a table of open-circuit voltages has columns z, U_dis, U_chg", "there are no columns U_dis and U_chg")
	}
	if len(asked) > 0 {
		return asked, nil
	}
	return all, nil
}

// rises finds where a column of voltages falls over the state of charge, by more than
// the noise of a measurement.
func rises(s *sheet.Sheet, column int) error {
	const noise = 0.05 // V
	most := math.Inf(-1)
	for k, v := range s.Column[column] {
		if v < most-noise {
			return s.At(k, s.Header[column:column+1], "voltages of one cell in V, from empty at 0 to full at 1", "%s falls from %g to %g V as the state of charge rises", s.Header[column], most, v)
		}
		if !math.IsNaN(v) {
			most = max(most, v)
		}
	}
	return nil
}

// sheet is what the electrical records do not show.
func (o *FitOptions) sheet(labs []*lab, branches []fit.Branches) (fit.Sheet, error) {
	s := fit.Sheet{Name: o.Name, VMin: o.VMin, VMax: o.VMax, MassKg: o.MassKg, CpJPerKg: o.CpJPerKg, HAPerK: o.HAPerK}
	if s.Name == "" {
		s.Name = strings.TrimSuffix(filepath.Base(labs[0].path), filepath.Ext(labs[0].path))
	}
	var names []string
	low, high := math.Inf(1), math.Inf(-1)
	for _, b := range branches {
		names = append(names, fmt.Sprintf("%s (%g degC)", b.Name, round2(b.TempK-kelvin)))
		for _, v := range slices.Concat(b.Discharge, b.Charge) {
			if !math.IsNaN(v) {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	s.Source = "mean and half distance of the branches of " + strings.Join(names, ", ")
	for _, l := range labs {
		low, high = min(low, slices.Min(l.v)), max(high, slices.Max(l.v))
	}
	if s.VMin == 0 {
		s.VMin = math.Floor(10*low-1) / 10
	}
	if s.VMax == 0 {
		s.VMax = math.Ceil(10*high+1) / 10
	}
	return s, o.thermal(&s)
}

// assumed is the cell set whose thermal numbers stand in for those not given.
const assumed = "lfp280_ref"

// thermal fills in what is not given: of a cell like the assumed one, the mass goes with
// the capacity and the heat loss with the surface.
func (o *FitOptions) thermal(s *fit.Sheet) error {
	s.ThermalSource = "given"
	if s.MassKg > 0 && s.CpJPerKg > 0 && s.HAPerK > 0 {
		return nil
	}
	like, err := params.LoadCell(assumed)
	if err != nil {
		return err
	}
	s.ThermalSource = "ASSUMPTION where not given: " + assumed + ", mass scaled by the capacity and heat loss by its power of 2/3"
	scale := o.CapacityAh / like.CapacityAh
	s.MassKg = cmp.Or(s.MassKg, round4(like.Thermal.MassKg*scale))
	s.CpJPerKg = cmp.Or(s.CpJPerKg, like.Thermal.CpJPerKg)
	s.HAPerK = cmp.Or(s.HAPerK, round4(like.Thermal.HAPerK*math.Cbrt(scale*scale)))
	return nil
}

func round4(x float64) float64 { return math.Round(1e4*x) / 1e4 }

func round2(x float64) float64 { return math.Round(100*x) / 100 }

// WriteCell is the text of a cell file: lists of numbers on one line each.
func WriteCell(c *params.Cell) ([]byte, error) {
	list := func(x []float64) ([]byte, error) {
		text := make([]string, len(x))
		for k, v := range x {
			text[k] = strconv.FormatFloat(v, 'g', -1, 64)
		}
		return []byte("[" + strings.Join(text, ", ") + "]"), nil
	}
	return yaml.MarshalWithOptions(c, yaml.CustomMarshaler[[]float64](list))
}
