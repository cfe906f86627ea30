package twin

import (
	"errors"
	"fmt"
	"math"
)

// HeatPaths are where the heat of a module's cells goes: to surroundings that keep
// their temperature, from neighbour to neighbour, and from one or both ends of the
// row to a coolant. A conductance of 0 is no path.
type HeatPaths struct {
	EnvWPerK       float64 // W/K, each cell to the surroundings
	EnvK           float64 // K
	NeighbourWPerK float64 // W/K, between neighbours
	CoolantWPerK   float64 // W/K, each cooled end to the coolant
	CoolantK       float64 // K
	CoolFirst      bool    // the first cell is cooled
	CoolLast       bool    // the last cell is cooled
}

// Validate returns all that is impossible, joined.
func (h *HeatPaths) Validate() error {
	var errs []error
	for _, p := range []struct {
		name  string
		wPerK float64
		to    bool // a temperature belongs to it
		kelv  float64
	}{
		{"surroundings", h.EnvWPerK, true, h.EnvK},
		{"neighbour", h.NeighbourWPerK, false, 0},
		{"coolant", h.CoolantWPerK, true, h.CoolantK},
	} {
		if !(p.wPerK >= 0) || math.IsInf(p.wPerK, 1) {
			errs = append(errs, fmt.Errorf("heat path to %s: %g W/K is impossible", p.name, p.wPerK))
		}
		if p.to && p.wPerK > 0 && !(p.kelv > 0) {
			errs = append(errs, fmt.Errorf("heat path to %s: %g K is impossible", p.name, p.kelv))
		}
	}
	return errors.Join(errs...)
}

// chain is the row of cells as a thermal network: equal heat capacities, each joined
// to its neighbours and by one path to what is around.
//
//	dT/dt = b + A*T,  A tridiagonal
type chain struct {
	perJ      float64   // K/J, inverse heat capacity
	neighbour float64   // 1/s
	out       []float64 // 1/s, to the surroundings and the coolant
	in        []float64 // K/s, from them
	rate      float64   // 1/s, bound of the norm of A
	term      []float64 // K
	other     []float64 // K
}

func newChain(n int, capacity float64, h HeatPaths) chain {
	c := chain{
		perJ: 1 / capacity, neighbour: h.NeighbourWPerK / capacity,
		out: make([]float64, n), in: make([]float64, n), term: make([]float64, n), other: make([]float64, n),
	}
	join := func(k int, wPerK, kelvin float64) {
		c.out[k] += wPerK / capacity
		c.in[k] += wPerK * kelvin / capacity
	}
	for k := range n {
		join(k, h.EnvWPerK, h.EnvK)
	}
	if h.CoolFirst {
		join(0, h.CoolantWPerK, h.CoolantK)
	}
	if h.CoolLast {
		join(n-1, h.CoolantWPerK, h.CoolantK)
	}
	for k := range n {
		c.rate = max(c.rate, c.out[k]+4*c.neighbour)
	}
	return c
}

// advance puts into to the temperatures after dt seconds from those in from, with
// heat watts made in each cell: the exact solution
//
//	T(t) = T + sum over k >= 1 of t^k/k! * A^(k-1)*(b + A*T)
//
// summed until the terms vanish, in as many parts as keep them falling from the first.
// to, from and watts have an entry per cell; to is none of the others.
func (c *chain) advance(to, from, watts []float64, dt float64) {
	parts := math.Max(1, math.Ceil(c.rate*dt))
	h := dt / parts
	copy(to, from)
	for range int(parts) {
		c.slope(c.term, to)
		for k := range c.term {
			c.term[k] = h * (c.term[k] + c.in[k] + watts[k]*c.perJ)
		}
		for n := 2.0; ; n++ {
			largest := 0.0
			for k, x := range c.term {
				to[k] += x
				largest = max(largest, math.Abs(x))
			}
			if largest < 1e-15 { // K, a hundredth of the last digit of a temperature
				break
			}
			c.slope(c.other, c.term)
			c.term, c.other = c.other, c.term
			for k := range c.term {
				c.term[k] *= h / n
			}
		}
	}
}

// slope puts A*x into y.
func (c *chain) slope(y, x []float64) {
	last := len(x) - 1
	for k, v := range x {
		s := -c.out[k] * v
		if k > 0 {
			s += c.neighbour * (x[k-1] - v)
		}
		if k < last {
			s += c.neighbour * (x[k+1] - v)
		}
		y[k] = s
	}
}
