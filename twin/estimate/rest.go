package estimate

import "math"

// Rest is what the filter remembers of a rest: sums over the readings since it last
// learnt from one.
type Rest struct {
	Seconds       float64 // s at rest
	Start         float64 // V, first reading of the sums
	N, T, V       float64 // readings, their times (s), their voltages less Start (V)
	Square, Mixed float64 // times squared, times by voltages
}

const (
	settled = 3.0   // time constants of the fast pair, after which only the slow one moves the voltage
	watched = 120.0 // s over which it is seen to move
)

// relax learns what the slow pair holds from how the voltage of a cell at rest moves:
// dV/dt = -v2/tau2. The level of the voltage does not enter, so the state of charge
// does not, nor what the model is wrong by. A real cell relaxes with more time
// constants than two, and v2 is taken to be as uncertain as the movement makes it
// large: a voltage that stands still says that the cell is at rest for good, one that
// moves says little.
func (f *Filter) relax(dt, i, v float64) {
	r := &f.rest
	if math.Abs(i) > 2*f.opt.OffsetSigmaA {
		*r = Rest{}
		return
	}
	tau := f.par.Resistance.Tau
	r.Seconds += dt
	t := r.Seconds - settled*tau.Tau1
	if t < 0 {
		return
	}
	if r.N == 0 {
		r.Start = v
	}
	v -= r.Start
	r.N++
	r.T += t
	r.V += v
	r.Square += t * t
	r.Mixed += t * v
	spread := r.Square - r.T*r.T/r.N
	if t < watched || r.N < 3 || !(spread > 0) {
		return
	}
	// The slope is that in the middle; v2 has decayed since.
	scale := -tau.Tau2 * math.Exp((r.T/r.N-t)/tau.Tau2)
	told := scale * (r.Mixed - r.T*r.V/r.N) / spread
	sensor := scale * f.opt.SensorSigmaV
	noise := sensor*sensor/spread + told*told + f.opt.ModelSigmaV*f.opt.ModelSigmaV
	proj, _ := f.p.project(&vector{iV2: 1})
	e := told - f.x[iV2]
	gain := f.p.update(&proj, noise)
	for k := range f.x {
		f.x[k] += gain[k] * e
	}
	f.bound()
	*r = Rest{Seconds: settled * tau.Tau1}
}
