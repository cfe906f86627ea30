package twin

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"yunchu/twin/thermal"
)

// The row of cells, solved as a series of small steps of its own, is the network of
// the same row, solved by its modes.
func TestChainIsTheNetwork(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := func(name string, low, high float64) float64 { return rapid.Float64Range(low, high).Draw(t, name) }
		n := rapid.IntRange(1, 9).Draw(t, "cells")
		h := HeatPaths{
			EnvWPerK: f("around", 0, 2), EnvK: 298, NeighbourWPerK: f("between", 0, 5), CoolantWPerK: f("coolant", 0, 8), CoolantK: 290,
			CoolFirst: rapid.Bool().Draw(t, "first"), CoolLast: rapid.Bool().Draw(t, "last"),
		}
		capacity, dt := f("J/K", 50, 6000), math.Pow(10, f("log dt", -2, 3))
		row := thermal.Chain{Cells: n, Capacity: capacity, Neighbour: h.NeighbourWPerK, Env: h.EnvWPerK}
		if h.CoolFirst {
			row.CoolantFirst = h.CoolantWPerK
		}
		if h.CoolLast {
			row.CoolantLast = h.CoolantWPerK
		}
		from, watts := make([]float64, n), make([]float64, n)
		for k := range n {
			from[k], watts[k] = f("K", 280, 320), f("W", -30, 60)
		}
		c := newChain(n, capacity, h)
		got, want, p := make([]float64, n), make([]float64, n), make([]float64, n)
		c.advance(got, from, watts, dt)
		row.Heat(p, watts, h.EnvK, h.CoolantK, h.CoolantK)
		end := row.Network().Spectrum().Propagator(dt).End
		end.Apply(want, from, p)
		for k := range n {
			if d := math.Abs(got[k] - want[k]); d > 1e-10*(1+math.Abs(want[k]-300)) {
				t.Fatalf("after %g s cell %d has %.14g K, the network %.14g K", dt, k, got[k], want[k])
			}
		}
	})
}
