package cell

// SetScatter changes how the cell differs from its type: as it ages, or as a fault
// has it. Its state stays, the state of charge among it.
func (c *Cell) SetScatter(x Scatter) {
	c.kr, c.kq, c.invQ = x.Resistance, x.Capacity, 1/(c.m.coulombs*x.Capacity)
	c.refresh()
}
