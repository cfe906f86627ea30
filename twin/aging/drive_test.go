package aging_test

import (
	"math"

	"yunchu/twin/aging"
)

// rest is a new cell after so many seconds at rest.
func rest(m *aging.Model, seconds, soc, tempC float64) aging.Cell {
	c := m.Start(aging.State{})
	c.Advance(seconds, soc, tempC+zeroCelsius, 0)
	return c
}

// swing is a new cell after so many cycles up from empty and down again, its open
// swings counted.
func swing(m *aging.Model, cycles int, depth, cRate, tempC float64) aging.Cell {
	c := m.Start(aging.State{})
	half := depth / cRate * 3600
	c.Advance(1e-9, 0, tempC+zeroCelsius, 0)
	for range cycles {
		c.Advance(half, depth, tempC+zeroCelsius, cRate)
		c.Advance(half, 0, tempC+zeroCelsius, -cRate)
	}
	c.Flush()
	return c
}

// cycled is the loss by so many full equivalent cycles: that of whole cycles, with
// the age of what is left over added in proportion.
func cycled(m *aging.Model, fec, depth, cRate, tempC float64) aging.Loss {
	whole := math.Floor(fec/depth + 1e-9)
	c := swing(m, int(whole), depth, cRate, tempC)
	s := c.State()
	for i := range s.Cycle.Sum {
		s.Cycle.Sum[i] *= fec / (whole * depth)
	}
	c = m.Start(s)
	_, cycle := c.Losses()
	return cycle
}
