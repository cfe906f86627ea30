package twin

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	"yunchu/twin/cell"
)

// ErrVoltage is the end of a trace at V_min or V_max of a cell.
var ErrVoltage = errors.New("voltage limit")

// TraceCase is a module, or one cell, driven through a profile.
type TraceCase struct {
	ModuleParams
	Profile     []ProfileRow
	Step        time.Duration // of the integration; profile rows cut it
	OutputEvery time.Duration // Step when 0
	Stop        func() error  // asked before every step; its error ends the run; may be nil
}

// ProfileRow is a drive that acts from T on until the next row.
type ProfileRow struct {
	T time.Duration // since the start
	Drive
}

// TraceRow is the state at T and what the drive that acts from T on makes of it.
type TraceRow struct {
	T        time.Duration // since the start
	CurrentA float64       // A, of the module
	VoltageV float64       // V, of the module
	PowerW   float64       // W, of the module
	Cells    []TraceCell   // in order; only valid until the next row
}

// TraceCell is one cell of a TraceRow.
type TraceCell struct {
	cell.State
	CurrentA float64 // A
	VoltageV float64 // V, at its own terminals, before its contact
}

// Validate returns all that is wrong with the case, joined.
func (c *TraceCase) Validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if err := c.ModuleParams.Validate(); err != nil {
		errs = append(errs, err)
	}
	if c.Step <= 0 || c.OutputEvery < 0 {
		add("step %v must be above 0, output every %v not below", c.Step, c.OutputEvery)
	}
	if capacity := c.heatCapacity(); capacity > 0 && c.Step > 0 && len(c.Cells) > 0 {
		// Beyond this the series of a step takes minutes, and what it solves is no cell.
		const most = 1e5
		if h := newChain(len(c.Cells), capacity, c.Heat); !(h.rate*c.Step.Seconds() <= most) {
			add("heat leaves a cell of %.3g J/K within %.3g s: want a step of at most %.3g s, or smaller conductances", capacity, 1/h.rate, most/h.rate)
		}
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

// heatCapacity is that of a cell in J/K, 0 where there is none.
func (c *TraceCase) heatCapacity() float64 {
	if c.Cell == nil {
		return 0
	}
	return c.Cell.Thermal.HeatCapacity()
}

// Run drives the module and hands every row to emit: one each OutputEvery and one at
// the end, which is the last row of the profile, its drive shown but not applied.
// Between two steps a row is reached from the step before it by a shorter one that
// leaves no trace, so the output does not alter the result. Run stops with
// ErrVoltage, saying when and which cell at what voltage, once a cell leaves
// V_min..V_max at a step or a row, which is still emitted; and with the first error
// of emit or Stop. The book is that of the steps taken.
func (c TraceCase) Run(emit func(TraceRow) error) (ModuleEnergy, error) {
	if err := c.Validate(); err != nil {
		return ModuleEnergy{}, fmt.Errorf("trace: %w", err)
	}
	r := tracer{TraceCase: c, emit: emit, cells: make([]TraceCell, len(c.Cells)), amps: make([]float64, len(c.Cells))}
	for _, m := range []**Module{&r.module, &r.between} {
		var err error
		if *m, err = NewModule(c.ModuleParams); err != nil {
			return ModuleEnergy{}, fmt.Errorf("trace: %w", err)
		}
	}
	err := r.run()
	return r.module.Energy(), err
}

// tracer is a run under way.
type tracer struct {
	TraceCase
	emit    func(TraceRow) error
	module  *Module
	between *Module // the module on its way to a row between two steps
	drive   Drive   // that acts
	cells   []TraceCell
	amps    []float64
}

func (r *tracer) run() error {
	out := cmp.Or(r.OutputEvery, r.Step)
	row, end := 0, r.Profile[len(r.Profile)-1].T
	next := time.Duration(0) // time of the next row to emit
	r.drive = r.Profile[0].Drive
	at, limit := r.look(r.module, 0)
	for t := time.Duration(0); ; {
		if t == next || t == end || limit != nil {
			if err := r.emit(at); err != nil {
				return err
			}
			next += out
		}
		if limit != nil || t == end {
			return limit
		}
		to := min((t/r.Step+1)*r.Step, r.Profile[row+1].T)
		for ; next < to; next += out {
			r.between.CopyFrom(r.module)
			r.between.Step(r.drive, (next - t).Seconds())
			at, limit := r.look(r.between, next)
			if err := errors.Join(r.emit(at), limit); err != nil {
				return err
			}
		}
		if r.Stop != nil {
			if err := r.Stop(); err != nil {
				return err
			}
		}
		r.module.Step(r.drive, (to - t).Seconds())
		t = to
		at, limit = r.look(r.module, t) // under the drive that led here
		if limit == nil && row+1 < len(r.Profile) && r.Profile[row+1].T == t {
			row++
			r.drive = r.Profile[row].Drive
			at, limit = r.look(r.module, t)
		}
	}
}

// look is the row of m at t, and ErrVoltage if a cell is beyond its limits.
func (r *tracer) look(m *Module, t time.Duration) (TraceRow, error) {
	i, v, ok := m.Terminals(r.drive, r.amps)
	for k := range r.cells {
		c := m.Cell(k)
		r.cells[k] = TraceCell{State: c.State(), CurrentA: r.amps[k], VoltageV: c.Voltage(r.amps[k])}
	}
	row := TraceRow{T: t, CurrentA: i, VoltageV: v, PowerW: v * i, Cells: r.cells}
	if !ok {
		return row, fmt.Errorf("at %.3f s %s cannot give %g W, %.4g W at most: %w", t.Seconds(), r.name(-1), -r.drive.Value, -v*i, ErrVoltage)
	}
	return row, r.check(t)
}

// slackV is how far past a limit a voltage may be, in V: rounding where the voltage
// held is the limit.
const slackV = 1e-9

// check holds the cells against their voltage window at t; of several beyond it the
// one that is furthest is named.
func (r *tracer) check(t time.Duration) error {
	worst, past := 0, math.Inf(-1)
	for k := range r.cells {
		v := r.cells[k].VoltageV
		if d := max(v-r.Cell.VMax, r.Cell.VMin-v); d > past || d != d {
			worst, past = k, d
		}
	}
	v := r.cells[worst].VoltageV
	switch {
	case past <= slackV:
		return nil
	case v > r.Cell.VMax:
		return fmt.Errorf("at %.3f s %s reached %.5g V, above V_max %g V: %w", t.Seconds(), r.name(worst), v, r.Cell.VMax, ErrVoltage)
	default:
		return fmt.Errorf("at %.3f s %s reached %.5g V, below V_min %g V: %w", t.Seconds(), r.name(worst), v, r.Cell.VMin, ErrVoltage)
	}
}

// name is what cell k is called in a message, the module with k below 0.
func (r *tracer) name(k int) string {
	switch {
	case len(r.cells) == 1:
		return "the cell"
	case k < 0:
		return "the module"
	}
	return fmt.Sprintf("cell %d", k+1)
}
