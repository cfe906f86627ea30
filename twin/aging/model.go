package aging

import (
	"errors"
	"fmt"
	"math"
)

// Params are the laws of a cell. Laws left out do not age it.
type Params struct {
	Calendar   RateLaw  // by time
	Throughput RateLaw  // by charge; not beside Cycle
	Cycle      CycleLaw // by cycles, rainflow-counted
	Anode      *Anode   // for laws that ask for Stress.AnodeV, else nil
	MaxK       float64  // K, hotter counts as this; 0: no bound
	Scale      float64  // hours of ageing per hour, above 0; 1 is real
}

// Model is how a kind of cell ages. It is immutable and shared by all cells of the
// kind.
type Model struct{ laws Params }

// New returns the model of p, or what is impossible about p.
func New(p Params) (*Model, error) {
	var errs []error
	if !(p.Scale > 0 && p.Scale < 1e9) {
		errs = append(errs, fmt.Errorf("scale %g is not above 0 or too large", p.Scale))
	}
	if !(p.MaxK >= 0) {
		errs = append(errs, fmt.Errorf("bound of the temperature %g K is below 0", p.MaxK))
	}
	if p.Throughput != nil && p.Cycle != nil {
		errs = append(errs, errors.New("a law by charge and one by cycles would count the same use twice"))
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("ageing parameters: %w", errors.Join(errs...))
	}
	if p.MaxK == 0 {
		p.MaxK = math.Inf(1)
	}
	return &Model{laws: p}, nil
}

// Felt is the temperature in K by which a cell of tempK ages.
func (m *Model) Felt(tempK float64) float64 { return min(tempK, m.laws.MaxK) }

// Stress is what the laws see.
func (m *Model) Stress(soc, tempK, cRate float64) Stress {
	s := Stress{SoC: min(max(soc, 0), 1), TempK: m.Felt(tempK), CRate: cRate}
	if a := m.laws.Anode; a != nil {
		s.AnodeV = a.Potential(s.SoC)
	}
	return s
}

// State is all that a cell remembers of its life, as plain data. The zero value is
// a new cell.
type State struct {
	Calendar Age
	Cycle    Age // by cycles or by charge
	Rainflow Rainflow
}

// Cell is a cell, or whatever ages as one, on its way through life. It is a value:
// copy it to take a snapshot.
type Cell struct {
	model *Model
	state State
}

// Start returns a cell that goes on from s.
func (m *Model) Start(s State) Cell { return Cell{model: m, state: s} }

// State is all that the cell remembers.
func (c *Cell) State() State { return c.state }

// Advance ages the cell by dt seconds in which soc (0..1, held within), tempK (K)
// and cRate (1/h, above 0 charges) held. How an interval in which they hold is cut
// makes no difference to the laws by time and by charge. Cycles are counted as if
// soc had moved there evenly from where it was before, and cutting that makes no
// difference to the cycles. A dt of 0 or less does nothing. It does not allocate.
func (c *Cell) Advance(dt, soc, tempK, cRate float64) {
	if !(dt > 0) {
		return // nothing held for no time
	}
	m, s := &c.model.laws, c.model.Stress(soc, tempK, cRate)
	if m.Calendar != nil {
		c.state.Calendar.add(m.Calendar.Rates(s), dt*m.Scale)
	}
	if m.Throughput != nil {
		c.state.Cycle.add(m.Throughput.Rates(s), dt*m.Scale)
	}
	if m.Cycle != nil {
		c.state.Rainflow.Push(Sample{SoC: s.SoC, CRate: cRate, TempK: s.TempK, Seconds: dt}, c.count)
	}
}

// Flush counts the swings that are still open as half cycles. Call it at the end of
// a record; while the cell lives on they close by themselves.
func (c *Cell) Flush() {
	if c.model.laws.Cycle != nil {
		c.state.Rainflow.Flush(c.count)
	}
}

func (c *Cell) count(y Cycle) {
	c.state.Cycle.add(c.model.laws.Cycle.Ages(y), c.model.laws.Scale)
}

// Losses are the parts that time and use have in the loss so far.
func (c *Cell) Losses() (calendar, cycle Loss) {
	if law := c.model.laws.Calendar; law != nil {
		calendar = law.Loss(c.state.Calendar.Sum)
	}
	return calendar, c.model.useLoss(c.state.Cycle.Sum)
}

// useLoss is the loss by charge or cycles.
func (m *Model) useLoss(age Processes) Loss {
	switch {
	case m.laws.Cycle != nil:
		return m.laws.Cycle.Loss(age)
	case m.laws.Throughput != nil:
		return m.laws.Throughput.Loss(age)
	}
	return Loss{}
}

// SoHQ is the factor on the capacity of the new cell. Nothing keeps it above 0 far
// beyond the life that the laws were fitted to.
func (c *Cell) SoHQ() float64 {
	calendar, cycle := c.Losses()
	return 1 - calendar.Q - cycle.Q
}

// SoHR is the factor on the resistance of the new cell, 1 or more.
func (c *Cell) SoHR() float64 {
	calendar, cycle := c.Losses()
	return 1 + calendar.R + cycle.R
}
