package runaway

import "fmt"

// Cell is one cell of a chain: plain data, copy it to take a snapshot.
type Cell struct {
	State State
	TempK float64 // K
}

// Chain is a row of cells in which heat goes from neighbour to neighbour. It holds
// the memory that a step needs, and no state: one chain per goroutine.
type Chain struct {
	capacity float64 // J/K of each cell
	row      row
}

// ChainFlow is what a step of a chain moved.
type ChainFlow struct {
	Heat           // made by all cells
	GivenJ float64 // by the HeatW of their surroundings
	LostJ  float64 // to their surroundings
}

// NewChain returns a row of len(joined)+1 cells of a heat capacity in J/K each,
// joined by conductances in W/K.
func NewChain(k *Kinetics, capacity float64, joined []float64) (*Chain, error) {
	if !(capacity > 0) {
		return nil, fmt.Errorf("runaway chain: heat capacity %g J/K is not above 0", capacity)
	}
	for i, g := range joined {
		if !(g >= 0) {
			return nil, fmt.Errorf("runaway chain: conductance %g W/K between cells %d and %d is below 0", g, i, i+1)
		}
	}
	n := len(joined) + 1
	cells, own := make([]body, n), append([]float64(nil), joined...)
	return &Chain{capacity: capacity, row: newRow(k, cells, own, make([]float64, memory(n)))}, nil
}

// Step moves cells on by dt seconds in their surroundings, one for each. A trigger
// is heat in the surroundings of a cell (heater, nail), or a ShortOhm in its state.
// The heat stored, sum of capacity*(T1 - T0), is f.CellJ() + f.GivenJ - f.LostJ.
func (c *Chain) Step(cells []Cell, around []Surroundings, dt float64, f *ChainFlow) {
	*f = ChainFlow{}
	if !(dt > 0) {
		return
	}
	for i := range cells {
		c.row.body[i] = body{s: cells[i].State, t0: cells[i].TempK, perJ: 1 / c.capacity, around: around[i]}
		f.GivenJ += around[i].HeatW * dt
	}
	f.Heat, f.LostJ = c.row.advance(dt)
	for i := range cells {
		cells[i] = Cell{State: c.row.body[i].s, TempK: c.row.body[i].t0}
	}
}
