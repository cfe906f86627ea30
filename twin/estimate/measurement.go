package estimate

import (
	"math"

	"yunchu/twin/cell"
)

// measurement is the terminal voltage as a line in the states.
type measurement struct {
	v     float64 // V, mean
	h     vector  // sensitivity to each state
	bend  float64 // V^2, variance that the line leaves out
	model float64 // V^2, variance of what the model is wrong by
}

// hermite are nodes and weights of the five-point Gauss–Hermite rule for a standard
// normal variable.
var hermite = [5]struct{ x, w float64 }{
	{-2.8569700138728056, 0.011257411327720691},
	{-1.3556261799742659, 0.22207592200561266},
	{0, 0.53333333333333333},
	{1.3556261799742659, 0.22207592200561266},
	{2.8569700138728056, 0.011257411327720691},
}

// about is what the voltage is made a line over.
type about struct{ z, sigma, hyst float64 }

// believed is what the states say.
func (f *Filter) believed() about {
	return about{f.x[iSoC], math.Sqrt(f.p.variance(iSoC)), f.x[iHyst]}
}

// rounds of making a line anew, halfway to what the one before has led to. They are
// enough for the first reading of a full cell that is told to be empty.
const rounds = 10

// measure is the voltage at i ampere as a line, for a reading of v. The first reading
// may move the state of charge by more than the line holds for: then it is the line
// over what is believed afterwards (García-Fernández 2015).
func (f *Filter) measure(fresh bool, i, v float64) measurement {
	a := f.believed()
	m := f.linearise(i, a)
	if !fresh {
		return m
	}
	x, p := f.x, f.p
	for range rounds {
		proj, variance := f.p.project(&m.h)
		e, noise := v-m.v, f.opt.SensorSigmaV*f.opt.SensorSigmaV+m.bend+m.model
		noise += f.beyond(e*e/(variance+noise), variance+noise)
		gain := f.p.update(&proj, noise)
		for k := range f.x {
			f.x[k] += gain[k] * e
		}
		f.bound()
		b := f.believed()
		a = about{(a.z + b.z) / 2, (a.sigma + b.sigma) / 2, (a.hyst + b.hyst) / 2}
		f.x, f.p = x, p
		m = f.linearise(i, a)
	}
	return m
}

// linearise is the voltage at i ampere, a line over a. That the ohmic resistance depends on the state
// of charge is left out of its slope: a few per cent of wrong resistance would pass
// for knowledge of the state of charge at every change of current.
func (f *Filter) linearise(i float64, a about) measurement {
	theta := f.tempK - f.par.TRefK
	ohmic := f.resistance.Factor * f.par.Resistance.Frac.R0 * f.factors[0]
	var mean, slope, square, gap, r0 float64
	for _, n := range hermite {
		at := min(max(a.z+a.sigma*n.x, 0), 1)
		var s cell.Span
		s, f.at = f.model.Span(f.at, at)
		m := s.M0 + s.DM*at
		u := s.U0 + s.DU*at + theta*(s.E0+s.DE*at) + a.hyst*m
		mean += n.w * u
		slope += n.w * n.x * u
		square += n.w * u * u
		gap += n.w * m
		r0 += n.w * ohmic * (s.R0 + s.DR*at)
	}
	out := measurement{
		v:    mean + gap*(f.x[iHyst]-a.hyst) + f.x[iV1] + f.x[iV2] + r0*i,
		h:    vector{iV1: 1, iV2: 1, iHyst: gap, iOffset: -r0},
		bend: max(0, square-mean*mean-slope*slope),
	}
	if a.sigma > 0 {
		out.h[iSoC] = slope / a.sigma
		out.v += out.h[iSoC] * (f.x[iSoC] - a.z)
	}
	table, over := f.opt.TableSigma*out.h[iSoC], f.opt.ResistanceSigma*r0*i
	out.model = f.opt.ModelSigmaV*f.opt.ModelSigmaV + table*table + over*over
	return out
}
