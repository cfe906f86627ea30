package twin

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"yunchu/twin/cell"
	"yunchu/twin/params"
	"yunchu/twin/thermal"
)

// ErrVoltage is the end of a trace at V_min or V_max of its cell.
var ErrVoltage = errors.New("voltage limit")

// TraceCase is one cell driven through a profile of current or power.
type TraceCase struct {
	Cell       *params.Cell
	Capacity   float64 // factor on the capacity, 1 when 0
	Resistance float64 // factor on the resistances, 1 when 0

	SoC   float64 // 0..1, at the start
	Hyst  float64 // -1..1, at the start
	TempK float64 // K, at the start

	EnvWPerK float64 // W/K to the surroundings
	EnvK     float64 // K, of the surroundings

	Profile     []ProfileRow
	Step        time.Duration // of the integration; profile rows cut it
	OutputEvery time.Duration // Step when 0
}

// ProfileRow is an input that acts from T on until the next row.
type ProfileRow struct {
	T     time.Duration // since the start
	Power bool          // Value is a power in W, else a current in A; > 0 charges
	Value float64
}

// TraceRow is the state at T and what the input that acts from T on makes of it.
type TraceRow struct {
	T        time.Duration // since the start
	CurrentA float64
	VoltageV float64
	PowerW   float64
	SoC      float64 // 0..1
	TempK    float64 // K
	Hyst     float64 // -1..1
	V1, V2   float64 // V across the RC pairs
	HeatW    float64
}

// Validate returns all that is wrong with the case, joined.
func (c *TraceCase) Validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Cell == nil {
		add("no cell")
	} else if err := c.Cell.Validate(); err != nil {
		errs = append(errs, err)
	}
	if c.Capacity < 0 || c.Resistance < 0 {
		add("factors of capacity %g and resistance %g must be above 0", c.Capacity, c.Resistance)
	}
	if !(c.SoC >= 0 && c.SoC <= 1) {
		add("soc %g is not within 0..1", c.SoC)
	}
	if !(c.Hyst >= -1 && c.Hyst <= 1) {
		add("hysteresis %g is not within -1..1", c.Hyst)
	}
	if !(c.TempK > 200 && c.TempK < 480) {
		add("temperature %g K is not within 200..480 K", c.TempK)
	}
	if !(c.EnvWPerK >= 0) || c.EnvWPerK > 0 && !(c.EnvK > 0) {
		add("heat path of %g W/K to %g K is impossible", c.EnvWPerK, c.EnvK)
	}
	if c.Step <= 0 || c.OutputEvery < 0 {
		add("step %v must be above 0, output every %v not below", c.Step, c.OutputEvery)
	}
	if len(c.Profile) < 2 || c.Profile[0].T != 0 {
		add("the profile needs a row at 0 s and one at its end, it has %d", len(c.Profile))
	}
	for i := 1; i < len(c.Profile); i++ {
		if c.Profile[i].T <= c.Profile[i-1].T {
			add("profile row %d at %v does not follow %v", i+1, c.Profile[i].T, c.Profile[i-1].T)
			break
		}
	}
	return errors.Join(errs...)
}

// Run drives the cell and hands every row to emit: one each OutputEvery and one at
// the end, which is the last row of the profile, its input shown but not applied.
// Between two steps a row is reached from the step before it by a shorter one that
// leaves no trace, so the output does not alter the result. Run stops with
// ErrVoltage, saying when and at what voltage, once the cell leaves V_min..V_max
// at a step or a row, which is still emitted; and with the first error of emit.
func (c TraceCase) Run(emit func(TraceRow) error) error {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	m, err := newCellModel(c.Cell)
	if err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	r := tracer{
		TraceCase: c,
		model:     m,
		cell: m.Cell(
			cell.State{SoC: c.SoC, Hyst: c.Hyst, TempK: c.TempK},
			cell.Scatter{Capacity: cmp.Or(c.Capacity, 1), Resistance: cmp.Or(c.Resistance, 1)}),
	}
	out := cmp.Or(c.OutputEvery, c.Step)
	end := c.Profile[len(c.Profile)-1].T
	next := time.Duration(0) // time of the next row to emit
	for t := time.Duration(0); ; {
		for r.row+1 < len(c.Profile) && c.Profile[r.row+1].T <= t {
			r.row++
		}
		if t == next || t == end {
			if err := emit(r.at(&r.cell, t)); err != nil {
				return err
			}
			next += out
		}
		if err := r.check(t); err != nil || t == end {
			return err
		}
		to := min((t/c.Step+1)*c.Step, c.Profile[r.row+1].T)
		for ; next < to; next += out {
			between := r.cell
			r.advance(&between, next-t)
			if err := emit(r.at(&between, next)); err != nil {
				return err
			}
		}
		r.advance(&r.cell, to-t)
		if err := r.check(to); err != nil { // with the input that led here
			return errors.Join(emit(r.at(&r.cell, to)), err)
		}
		t = to
	}
}

// tracer is a run under way.
type tracer struct {
	TraceCase
	model *cell.Model
	cell  cell.Cell
	row   int // of the profile that acts

	ticks [2]traceTick // coefficients of the last step lengths
}

type traceTick struct {
	dt         time.Duration
	cell       cell.Tick
	half, full thermal.Step
}

// tick returns the coefficients of a step, kept for the two lengths used last.
func (r *tracer) tick(dt time.Duration) *traceTick {
	if r.ticks[0].dt != dt {
		r.ticks[0], r.ticks[1] = r.ticks[1], r.ticks[0]
	}
	if k := &r.ticks[0]; k.dt != dt {
		s, capacity := dt.Seconds(), r.Cell.Thermal.HeatCapacity()
		*k = traceTick{
			dt: dt, cell: r.model.Tick(s),
			half: thermal.NewStep(capacity, r.EnvWPerK, s/2), full: thermal.NewStep(capacity, r.EnvWPerK, s),
		}
	}
	return &r.ticks[0]
}

// current is what the acting input draws through c now, in A.
func (r *tracer) current(c *cell.Cell) float64 {
	if in := r.Profile[r.row]; !in.Power {
		return in.Value
	}
	return c.Current(r.Profile[r.row].Value)
}

// advance moves c on by dt under the acting input.
func (r *tracer) advance(c *cell.Cell, dt time.Duration) {
	k, t, i := r.tick(dt), c.TempK(), r.current(c)
	tMid := k.half.Next(t, r.EnvK, c.Heat(i))
	var flow cell.Flow
	if in := r.Profile[r.row]; in.Power {
		c.StepPower(in.Value, i, tMid, &k.cell, &flow)
	} else {
		c.StepCurrent(i, tMid, &k.cell, &flow)
	}
	c.SetTemp(k.full.Next(t, r.EnvK, flow.HeatW))
}

// at is the row of c at t.
func (r *tracer) at(c *cell.Cell, t time.Duration) TraceRow {
	i, s := r.current(c), c.State()
	v := c.Voltage(i)
	return TraceRow{
		T: t, CurrentA: i, VoltageV: v, PowerW: v * i,
		SoC: s.SoC, TempK: s.TempK, Hyst: s.Hyst, V1: s.V1, V2: s.V2, HeatW: c.Heat(i),
	}
}

// check holds the cell against its voltage window at t.
func (r *tracer) check(t time.Duration) error {
	if in := r.Profile[r.row]; in.Power && in.Value < r.cell.MinPower() {
		return fmt.Errorf("at %.3f s the cell cannot give %g W, %.4g W at most: %w", t.Seconds(), -in.Value, -r.cell.MinPower(), ErrVoltage)
	}
	switch v := r.cell.Voltage(r.current(&r.cell)); {
	case v > r.Cell.VMax:
		return fmt.Errorf("at %.3f s the cell reached %.4f V, above V_max %g V: %w", t.Seconds(), v, r.Cell.VMax, ErrVoltage)
	case v < r.Cell.VMin:
		return fmt.Errorf("at %.3f s the cell reached %.4f V, below V_min %g V: %w", t.Seconds(), v, r.Cell.VMin, ErrVoltage)
	}
	return nil
}
