package thermal

// Chain is a row of cells alike, each joined to its neighbours and to the
// environment, the first and the last also to a coolant.
type Chain struct {
	Cells        int
	Capacity     float64 // J/K, of one cell
	Neighbour    float64 // W/K, between two cells
	Env          float64 // W/K, from each cell to the environment
	CoolantFirst float64 // W/K, from the first cell to the coolant, 0 without
	CoolantLast  float64 // W/K, from the last cell
}

// Network returns the row as a network, cell i as node i.
func (c Chain) Network() *Network {
	capacity := make([]float64, c.Cells)
	for i := range capacity {
		capacity[i] = c.Capacity
	}
	w := NewNetwork(capacity...)
	for i := range c.Cells {
		w.Ground(i, c.Env)
		if i > 0 {
			w.Connect(i-1, i, c.Neighbour)
		}
	}
	w.Ground(0, c.CoolantFirst)
	w.Ground(c.Cells-1, c.CoolantLast)
	return w
}

// Heat puts into p the heat inputs of a step: the cells' own heat q (W) and what
// the surroundings (K) add. p may be q.
func (c Chain) Heat(p, q []float64, envK, firstK, lastK float64) {
	for i, w := range q {
		p[i] = w + c.Env*envK
	}
	p[0] += c.CoolantFirst * firstK
	p[len(q)-1] += c.CoolantLast * lastK
}
