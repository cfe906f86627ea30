package twin

import (
	"errors"
	"fmt"
	"math"

	"yunchu/twin/cell"
	"yunchu/twin/celltype"
	"yunchu/twin/params"
)

// ModuleParams describe a module: groups of cells in parallel, the groups in series.
// Cells are numbered along the current: those of the first group first, and in the
// same order they stand side by side as thermal neighbours. One cell to a group is
// a series string, one group a parallel one.
type ModuleParams struct {
	Cell     *params.Cell
	Cells    []Member // all of them, in order
	Parallel int      // cells of a group; their number divides that of the cells
	Heat     HeatPaths
}

// Member is one cell of a module.
type Member struct {
	cell.Scatter
	State      cell.State // at the start
	ContactOhm float64    // ohm, between the terminals of the cell and the bars of its group
}

// DriveKind says what is held at the terminals.
type DriveKind uint8

// What can be held at the terminals of a module or a cell.
const (
	ByCurrent DriveKind = iota // A
	ByPower                    // W
	ByVoltage                  // V
)

func (k DriveKind) String() string {
	return [...]string{"current", "power", "voltage"}[min(k, ByVoltage)]
}

// Drive is what is held at the terminals. Current and power above zero charge.
// Power and voltage are held as the mean of every step, and at its ends.
type Drive struct {
	Kind  DriveKind
	Value float64 // A, W or V
}

// ModuleEnergy is the book of a module since its start, in J.
type ModuleEnergy struct {
	InJ       float64 // into the terminals less out of them
	MovedJ    float64 // into the terminals and out of them
	StoredJ   float64 // integral of U_a dq over all cells
	HeatJ     float64 // made by overpotentials, in cells
	EntropicJ float64 // integral of I*T*dU/dT: reversible heat, not part of HeatJ
	ContactJ  float64 // lost in contacts
}

// ResidualJ is what of the energy taken in is neither stored nor lost: rounding,
// else a fault of the model.
func (e *ModuleEnergy) ResidualJ() float64 { return e.InJ - e.StoredJ - e.HeatJ - e.ContactJ }

// BalanceError is the size of ResidualJ over all energy that moved.
func (e *ModuleEnergy) BalanceError() float64 {
	if moved := e.MovedJ + e.HeatJ; moved > 0 {
		return math.Abs(e.ResidualJ()) / moved
	}
	return 0
}

// Module is cells that share a current, a voltage and their heat. All cells of a
// step take part in one solution: currents are split so that the mean voltages over
// the step agree in every group, and the pack's current is the one that gives the
// current, power or voltage asked for with the mean voltage of the pack. So charge
// is conserved in every node and the energy balance closes at any step length.
type Module struct {
	model    *cell.Model
	parallel int
	heat     chain
	cells    []cell.Cell
	contact  []float64 // ohm
	energy   ModuleEnergy

	ticks [2]cell.Tick // of the step lengths used last

	// Of the step under way, by cell or group.
	trial       []cell.Trial
	flow        []cell.Flow
	from        []cell.Cell // at the start
	branch      []line      // each cell with its contact
	group       []bundle
	bars        []float64 // V, of each group
	first, last []float64 // A, at the start and at the end
	amps        []float64 // A, the mean
	watts       []float64 // W, heat
	temp, next  []float64 // K
}

// line is a voltage as a line in the current that makes it: v = e + r*i.
type line struct{ e, r float64 } // V, ohm

// bundle is the line of branches in parallel.
type bundle struct {
	line
	lift float64 // V, of e over that of the first branch
}

// NewModule returns the module that p describes, or all that is wrong with p.
func NewModule(p ModuleParams) (*Module, error) {
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("module: %w", err)
	}
	model, err := celltype.New(p.Cell)
	if err != nil {
		return nil, fmt.Errorf("module: %w", err)
	}
	n := len(p.Cells)
	floats := func() []float64 { return make([]float64, n) }
	m := &Module{
		model: model, parallel: p.Parallel, heat: newChain(n, p.Cell.Thermal.HeatCapacity(), p.Heat),
		cells: make([]cell.Cell, n), contact: floats(),
		trial: make([]cell.Trial, n), flow: make([]cell.Flow, n), from: make([]cell.Cell, n),
		branch: make([]line, n), group: make([]bundle, n/p.Parallel), bars: make([]float64, n/p.Parallel),
		first: floats(), last: floats(), amps: floats(), watts: floats(), temp: floats(), next: floats(),
	}
	for i, c := range p.Cells {
		m.cells[i] = model.Cell(c.State, c.Scatter)
		m.contact[i] = c.ContactOhm
	}
	return m, nil
}

// Validate returns all that is wrong with p, joined.
func (p *ModuleParams) Validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if p.Cell == nil {
		add("no cell type")
	} else if err := p.Cell.Validate(); err != nil {
		errs = append(errs, err)
	}
	if n := len(p.Cells); n == 0 || p.Parallel < 1 || n%p.Parallel != 0 {
		add("%d cells cannot be groups of %d", n, p.Parallel)
	}
	for i := range p.Cells {
		c := &p.Cells[i]
		bad := func(what string, x float64, want string) { add("cell %d: %s %g is not %s", i+1, what, x, want) }
		if !(c.Capacity > 0) {
			bad("capacity factor", c.Capacity, "above 0")
		}
		if !(c.Resistance > 0) {
			bad("resistance factor", c.Resistance, "above 0")
		}
		if s := c.State.SoC; !(s >= 0 && s <= 1) {
			bad("soc", s, "within 0..1")
		}
		if h := c.State.Hyst; !(h >= -1 && h <= 1) {
			bad("hysteresis", h, "within -1..1")
		}
		if t := c.State.TempK; !(t > 200 && t < 480) {
			bad("temperature in K", t, "within 200..480")
		}
		if !(c.ContactOhm >= 0) {
			bad("contact resistance in ohm", c.ContactOhm, "0 or more")
		}
	}
	if err := p.Heat.Validate(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Cell returns cell i, from 0, as it is now.
func (m *Module) Cell(i int) *cell.Cell { return &m.cells[i] }

// Energy returns the book.
func (m *Module) Energy() ModuleEnergy { return m.energy }

// CopyFrom puts the module into the state of o, a module of the same parameters.
func (m *Module) CopyFrom(o *Module) {
	copy(m.cells, o.cells)
	m.energy = o.energy
}

// Terminals returns the current in A and the voltage in V of the module under d now,
// and in amps, of length Len, the current of each cell. It is false, and the current
// that of the most power there is, when d asks to discharge with more.
func (m *Module) Terminals(d Drive, amps []float64) (i, v float64, ok bool) {
	for k := range m.cells {
		e, r := m.cells[k].Line()
		m.branch[k] = line{e, r + m.contact[k]}
	}
	return m.share(d, amps)
}

// Step moves the module on by dt seconds under d, dt > 0. It is taken twice: first
// with what holds at its start, which tells the mean currents and heats and how the
// currents change on the way, then with these.
func (m *Module) Step(d Drive, dt float64) {
	tick := m.tick(dt)
	i0, v0, _ := m.Terminals(d, m.first)
	copy(m.amps, m.first)
	for k := range m.cells {
		c := &m.cells[k]
		m.from[k], m.temp[k], m.watts[k] = *c, c.TempK(), c.Heat(m.first[k])
	}
	m.move(d, tick, false)
	i1, v1, _ := m.Terminals(d, m.last)
	ramp := (i1 - i0) * (v1 - v0) / 12 // W, mean of the product over that of the means
	if d.Kind == ByPower {
		d.Value -= ramp
	}
	i, v := m.move(d, tick, true)
	m.enter(v*i+ramp, dt)
}

// move takes the step from m.from to m.cells with the middle where the currents in
// m.amps and the heats in m.watts put it, and leaves there the means over the step.
// With ramp, the currents go from m.first to m.last. It returns the mean current in A
// and voltage in V at the terminals.
func (m *Module) move(d Drive, tick *cell.Tick, ramp bool) (i, v float64) {
	dt := tick.Seconds()
	m.heat.advance(m.next, m.temp, m.watts, dt/2)
	for k := range m.cells {
		m.trial[k].Begin(&m.from[k], m.amps[k], m.next[k], tick)
		if ramp {
			m.trial[k].Ramp(&m.from[k], &m.cells[k], m.first[k], m.last[k], tick)
		}
		m.cells[k] = m.from[k]
	}
	i, v = m.settle(d)
	for k := range m.cells {
		m.trial[k].End(&m.cells[k], tick, &m.flow[k])
		m.watts[k] = m.flow[k].HeatW
	}
	m.heat.advance(m.next, m.temp, m.watts, dt)
	for k := range m.cells {
		m.cells[k].SetTemp(m.next[k])
	}
	return i, v
}

// enter books a step of dt seconds with watts at the terminals and the flows of its
// cells.
func (m *Module) enter(watts, dt float64) {
	e := &m.energy
	e.InJ += watts * dt
	e.MovedJ += math.Abs(watts) * dt
	for k := range m.flow {
		f, di := &m.flow[k], m.last[k]-m.first[k]
		e.StoredJ += f.StoredW * dt
		e.HeatJ += (f.HeatW - f.EntropicW) * dt
		e.EntropicJ += f.EntropicW * dt
		e.ContactJ += m.contact[k] * (f.CurrentA*f.CurrentA + di*di/12) * dt
	}
}

// tick returns the coefficients of a step, kept for the two lengths used last.
func (m *Module) tick(dt float64) *cell.Tick {
	if m.ticks[0].Seconds() != dt {
		m.ticks[0], m.ticks[1] = m.ticks[1], m.ticks[0]
	}
	if m.ticks[0].Seconds() != dt {
		m.ticks[0] = m.model.Tick(dt)
	}
	return &m.ticks[0]
}

const (
	closeV    = 2e-13 // V, between voltages that should be one: thousands of roundings
	maxTrials = 30
)

// settle tries currents until the mean voltages over the step meet at the bars, and
// returns the mean current in A and voltage in V at the terminals. The mean voltages
// are lines in the currents but for kinks of the tables and the curvature of the
// hysteresis, so that Newton's method is all but there at once.
func (m *Module) settle(d Drive) (i, v float64) {
	for range maxTrials {
		for k := range m.cells {
			e, r := m.trial[k].Line(&m.cells[k])
			m.branch[k] = line{e, r + m.contact[k]}
		}
		var ok bool
		i, v, ok = m.share(d, m.amps)
		off := 0.0
		for k := range m.cells {
			amps := m.amps[k]
			bar := m.trial[k].Try(&m.cells[k], amps) + m.contact[k]*amps
			off = max(off, math.Abs(bar-m.bars[k/m.parallel]))
		}
		if off <= closeV || !ok {
			break
		}
	}
	return i, v
}

// share solves the circuit of the branches, which are lines: the sum of a group's
// currents is the module's, the voltage of its branches one (Thevenin's theorem).
// It returns current and voltage of the module, the current of each branch in amps,
// and false when d asks to discharge with more than there is.
func (m *Module) share(d Drive, amps []float64) (i, v float64, ok bool) {
	var pack line
	for g := range m.group {
		m.group[g] = thevenin(m.branch[g*m.parallel : (g+1)*m.parallel])
		pack.e += m.group[g].e
		pack.r += m.group[g].r
	}
	i, ok = pack.current(d)
	for g, t := range m.group {
		m.bars[g] = t.e + t.r*i
		if m.parallel == 1 {
			amps[g] = i
			continue
		}
		first := m.branch[g*m.parallel].e
		for k := g * m.parallel; k < (g+1)*m.parallel; k++ {
			// What circulates and the part of i: in differences of the branches, so that
			// the sum is i to rounding.
			amps[k] = (t.lift - (m.branch[k].e - first) + t.r*i) / m.branch[k].r
		}
	}
	return i, pack.e + pack.r*i, ok
}

// thevenin is the one line that equals all of branches in parallel.
func thevenin(branches []line) bundle {
	if len(branches) == 1 {
		return bundle{line: branches[0]}
	}
	var g, excess float64 // S, and A against the first branch
	for _, b := range branches {
		g += 1 / b.r
		excess += (b.e - branches[0].e) / b.r
	}
	lift := excess / g
	return bundle{line{branches[0].e + lift, 1 / g}, lift}
}

// current is what l draws under d, in A: with power, of the two solutions the one
// that is 0 with it, and the one of the most power if there is none, which is false.
func (l line) current(d Drive) (i float64, ok bool) {
	switch d.Kind {
	case ByPower:
		if w := l.e*l.e + 4*l.r*d.Value; w > 0 {
			return 2 * d.Value / (l.e + math.Sqrt(w)), true
		}
		return -l.e / (2 * l.r), false
	case ByVoltage:
		return (d.Value - l.e) / l.r, true
	}
	return d.Value, true
}
