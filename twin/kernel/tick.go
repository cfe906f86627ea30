package kernel

import (
	"math"

	"yunchu/twin/cell"
)

// Tick is the coefficients of a step of one length, for one type of cell. The
// assembly knows it by offset.
type Tick struct {
	Dt     float64 // s
	HalfDt float64 // s
	DtC    float64 // K/W, Dt over the heat capacity of a cell
	HalfC  float64 // K/W, half of it

	Eta   float64 // charge stored per charge taken in
	Gamma float64
	TRef  float64    // K
	Ea    [3]float64 // K, activation energies over the gas constant

	Decay [2]float64 // exp(-Dt/tau)
	Gain  [2]float64 // 1 - Decay
	Mean  [2]float64 // mean over the step of exp(-t/tau)
	Late  [2]float64 // 1 - Mean

	// Constants of the formulas, here so that vector code can broadcast them.
	One, Half, Sixth float64
	Phi              [6]float64 // (1-exp(-x))/x = 1 + x*(Phi0 + x*(Phi1 + ..))
	Stale            float64    // |T/T0 - 1| beyond which a node is replaced
}

// phi are the coefficients of (1-exp(-x))/x after its leading 1: -1/2!, 1/3!, ...
// With x at most MaxX the first term left out is below 2e-14.
var phi = [6]float64{-1. / 2, 1. / 6, -1. / 24, 1. / 120, -1. / 720, 1. / 5040}

// MaxX is the largest move of the hysteresis in one step, gamma*|dz|, that the
// series takes.
const MaxX = 0.1

// stale is |T/T0 - 1| at which the Arrhenius factors are taken at another node:
// half a kelvin at 278 K, 0.54 K at 300 K.
const stale = 0.0018

// NewTick prepares steps of dt seconds for cells of type m with a heat capacity in J/K.
func NewTick(m *cell.Model, heatCapacity, dt float64) Tick {
	c := m.Constants()
	t := Tick{
		Dt: dt, HalfDt: dt / 2, DtC: dt / heatCapacity, HalfC: dt / 2 / heatCapacity,
		Eta: c.Efficiency, Gamma: c.Gamma, TRef: c.TRefK, Ea: c.Activation,
		One: 1, Half: 0.5, Sixth: 1. / 6, Phi: phi, Stale: stale,
	}
	for k, tau := range c.Tau {
		x := dt / tau
		gone := -math.Expm1(-x)
		t.Decay[k], t.Gain[k] = 1-gone, gone
		t.Mean[k] = gone / x
		t.Late[k] = 1 - t.Mean[k]
	}
	return t
}

// MaxCurrent is the largest current in A at which a cell of capacity coulombs may
// take a step of t: the hysteresis moves by MaxX at most.
func (t *Tick) MaxCurrent(coulombs float64) float64 {
	if t.Gamma == 0 {
		return math.Inf(1)
	}
	return MaxX * coulombs / (t.Gamma * t.Dt)
}
