//go:build !nosim

package simworld

import (
	"fmt"
	"io"
	"math"
	"strconv"

	"yunchu/harness/plot"
	"yunchu/harness/scenario"
	"yunchu/twin"
)

// Recording keeps of a trace what a plot of it shows, and compares it with a reference
// where there is one.
type Recording struct {
	reference *TraceReference
	trace     *scenario.Trace

	t              []float64 // s
	packV, packI   []float64 // V, A
	power          []float64 // W
	v, i, soc, tmp quantity  // V, A, percent, degC

	refT          []float64 // s, of the rows that the reference has
	refV, refTemp []float64 // V, degC, of the reference, mean of the cells
	dV, dI, dT    quantity  // V, A, K
	worst         TraceDifferences
}

// NewRecording returns an empty recording; reference may be nil.
func NewRecording(reference *TraceReference) *Recording { return &Recording{reference: reference} }

// mostLines is how many cells are drawn each by a line; more are drawn by their mean
// and the area from the lowest to the highest.
const mostLines = 8

// quantity is one quantity of all cells over rows: that of each cell if there are few,
// else the lowest, the mean and the highest.
type quantity struct{ each, spread [][]float64 }

func (q *quantity) add(n int, of func(i int) float64) {
	if n > mostLines {
		q.spread = appendRow(q.spread, spread(n, of))
		return
	}
	row := make([]float64, n)
	for i := range row {
		row[i] = of(i)
	}
	q.each = appendRow(q.each, row)
}

// spread is the lowest, the mean and the highest of n values.
func spread(n int, of func(i int) float64) []float64 {
	low, high, sum := math.Inf(1), math.Inf(-1), 0.0
	for i := range n {
		x := of(i)
		low, high, sum = min(low, x), max(high, x), sum+x
	}
	return []float64{low, sum / float64(n), high}
}

// appendRow puts one value at the end of each column.
func appendRow(columns [][]float64, row []float64) [][]float64 {
	if columns == nil {
		columns = make([][]float64, len(row))
	}
	for i, x := range row {
		columns[i] = append(columns[i], x)
	}
	return columns
}

// curves draws q times scale against x.
func (q *quantity) curves(x []float64, scale float64) (out []plot.Curve) {
	if s := q.spread; s != nil {
		return []plot.Curve{
			{Name: "all cells", X: x, Low: scaled(s[0], scale), Y: scaled(s[2], scale), Color: plot.Blue},
			{Name: "mean", X: x, Y: scaled(s[1], scale), Color: plot.Blue},
		}
	}
	for i, y := range q.each {
		c := plot.Curve{X: x, Y: scaled(y, scale), Color: plot.Cycle(i)}
		if len(q.each) > 1 {
			c.Name, c.Style = "cell "+strconv.Itoa(i+1), plot.Thin
		}
		out = append(out, c)
	}
	return out
}

func scaled(v []float64, by float64) []float64 {
	if by == 1 {
		return v
	}
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = by * x
	}
	return out
}

// add records a row.
func (rec *Recording) add(r twin.TraceRow) {
	n := len(r.Cells)
	rec.t = append(rec.t, r.T.Seconds())
	rec.packV, rec.packI, rec.power = append(rec.packV, r.VoltageV), append(rec.packI, r.CurrentA), append(rec.power, r.PowerW)
	rec.v.add(n, func(k int) float64 { return r.Cells[k].VoltageV })
	rec.i.add(n, func(k int) float64 { return r.Cells[k].CurrentA })
	rec.soc.add(n, func(k int) float64 { return 100 * r.Cells[k].SoC })
	rec.tmp.add(n, func(k int) float64 { return r.Cells[k].TempK - kelvin })
	if rec.reference != nil {
		rec.compare(r)
	}
}

// compare records the differences of a row against the reference.
func (rec *Recording) compare(r twin.TraceRow) {
	d, ok := rec.reference.at(r)
	if !ok {
		return
	}
	n := len(r.Cells)
	rec.refT = append(rec.refT, r.T.Seconds())
	rec.refTemp = append(rec.refTemp, spread(n, func(k int) float64 { return d.refT[k] - kelvin })[1])
	rec.dT.add(n, func(k int) float64 { return d.temp[k] })
	if rec.bus() {
		d.v = []float64{d.packV}
		rec.refV = append(rec.refV, r.VoltageV-d.packV)
	} else {
		rec.refV = append(rec.refV, spread(n, func(k int) float64 { return d.refV[k] })[1])
	}
	rec.dV.add(len(d.v), func(k int) float64 { return d.v[k] })
	if r := rec.reference; r.i[0].at < 0 {
		d.i = []float64{d.curI}
	}
	rec.dI.add(len(d.i), func(k int) float64 { return d.i[k] })

	w := &rec.worst
	w.Rows++
	for _, q := range []struct {
		most   *float64
		scale  float64
		values []float64
	}{{&w.VoltageMV, 1e3, d.v}, {&w.TempMK, 1e3, d.temp}, {&w.CurrentMA, 1e3, d.i}, {&w.SoCPPM, 1e6, d.soc}} {
		for _, x := range q.values {
			if x = math.Abs(x) * q.scale; x > *q.most {
				*q.most = x
			}
		}
	}
}

// bus tells whether the reference has the voltage of the module alone.
func (rec *Recording) bus() bool { return rec.reference.v[0].at < 0 }

// finish ends the recording of t.
func (rec *Recording) finish(t *scenario.Trace, sum *TraceSummary) error {
	rec.trace = t
	if rec.reference == nil {
		return nil
	}
	if rec.worst.Rows == 0 {
		return fmt.Errorf("%s has no row at a time of the trace", rec.reference.path)
	}
	sum.Reference = &rec.worst
	return nil
}

// Plot draws the recording as SVG: voltage, current, power, state of charge and
// temperature, and below them the differences against the reference.
func (rec *Recording) Plot(w io.Writer) error {
	f := rec.Figure()
	return f.WriteSVG(w)
}

// Figure is the figure that Plot draws.
func (rec *Recording) Figure() plot.Figure {
	x, label := plot.Seconds(rec.t)
	perS := 1.0 // of the axis
	if n := len(x); n > 1 {
		perS = x[n-1] / rec.t[n-1]
	}
	refX := scaled(rec.refT, perS)
	f := plot.Figure{Title: rec.title(), X: label}
	panel := func(name string, curves []plot.Curve, reference []float64) {
		if reference != nil {
			curves = append(curves, plot.Curve{Name: "reference", X: some(refX), Y: some(reference), Color: plot.Black, Style: plot.Points})
		}
		f.Panels = append(f.Panels, plot.Panel{Y: name, Curves: curves})
	}
	line := func(y []float64) []plot.Curve { return []plot.Curve{{X: x, Y: y}} }

	top := rec.trace.Topology
	if top.Series == 1 {
		panel("voltage, V", line(rec.packV), rec.refV)
	} else {
		panel("cell voltage, V", rec.v.curves(x, 1), rec.refV)
	}
	if top.Parallel == 1 {
		panel("current, A", line(rec.packI), nil)
	} else {
		panel("cell current, A", rec.i.curves(x, 1), nil)
	}
	scale, unit := prefix(rec.power, "W")
	panel("power, "+unit, line(scaled(rec.power, scale)), nil)
	panel("state of charge, %", rec.soc.curves(x, 1), nil)
	panel("temperature, °C", rec.tmp.curves(x, 1), rec.refTemp)

	for _, d := range []struct {
		of   string
		q    *quantity
		unit string
		show bool
	}{{"voltage", &rec.dV, "V", true}, {"temperature", &rec.dT, "K", true}, {"current", &rec.dI, "A", top.Parallel > 1}} {
		if all := append(append([][]float64{}, d.q.each...), d.q.spread...); d.show && len(all) > 0 {
			scale, unit := prefix(flat(all), d.unit)
			panel("Δ "+d.of+", "+unit, d.q.curves(refX, scale), nil)
		}
	}
	return f
}

// some are about sixty of values, for points that are told apart.
func some(values []float64) (out []float64) {
	each := max(1, len(values)/60)
	for i := 0; i < len(values); i += each {
		out = append(out, values[i])
	}
	return out
}

func flat(columns [][]float64) (out []float64) {
	for _, c := range columns {
		out = append(out, c...)
	}
	return out
}

// prefix is the scale and the name of the unit in which values have one to three digits
// before the point.
func prefix(values []float64, unit string) (scale float64, name string) {
	most := 0.0
	for _, x := range values {
		most = max(most, math.Abs(x))
	}
	for _, p := range []struct {
		scale float64
		name  string
	}{{1e-6, "M"}, {1e-3, "k"}, {1, ""}, {1e3, "m"}, {1e6, "µ"}, {1e9, "n"}, {1e12, "p"}} {
		if most*p.scale >= 1 {
			return p.scale, p.name + unit
		}
	}
	return 1, unit
}

// quantityOf is x with two digits and a unit that suits it.
func quantityOf(x float64, unit string) string {
	scale, name := prefix([]float64{x}, unit)
	digits := 0
	if x*scale < 10 {
		digits = 1
	}
	return strconv.FormatFloat(x*scale, 'f', digits, 64) + " " + name
}

// title says what was stepped, and how far it is from the reference.
func (rec *Recording) title() string {
	top := rec.trace.Topology
	what := "one cell"
	switch {
	case top.Series > 1 && top.Parallel > 1:
		what = fmt.Sprintf("%d groups of %d parallel cells in series", top.Series, top.Parallel)
	case top.Series > 1:
		what = fmt.Sprintf("%d cells in series", top.Series)
	case top.Parallel > 1:
		what = fmt.Sprintf("%d cells in parallel", top.Parallel)
	}
	s := fmt.Sprintf("%s: %s, step %v", rec.trace.Name, what, rec.trace.Step)
	if w := rec.worst; w.Rows > 0 {
		s += "; at most " + quantityOf(w.VoltageMV/1e3, "V") + " and " + quantityOf(w.TempMK/1e3, "K") + " from the reference"
	}
	return s
}
