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

// linearise is the voltage at i ampere. That the ohmic resistance depends on the state
// of charge is left out of its slope: a few per cent of wrong resistance would pass
// for knowledge of the state of charge at every change of current.
func (f *Filter) linearise(i float64) measurement {
	z, sigma := f.x[iSoC], math.Sqrt(f.p.variance(iSoC))
	theta := f.tempK - f.par.TRefK
	ohmic := f.resistance.Factor * f.par.Resistance.Frac.R0 * f.factors[0]
	var mean, slope, square, gap, r0 float64
	for _, n := range hermite {
		at := min(max(z+sigma*n.x, 0), 1)
		var s cell.Span
		s, f.at = f.model.Span(f.at, at)
		m := s.M0 + s.DM*at
		u := s.U0 + s.DU*at + theta*(s.E0+s.DE*at) + f.x[iHyst]*m
		mean += n.w * u
		slope += n.w * n.x * u
		square += n.w * u * u
		gap += n.w * m
		r0 += n.w * ohmic * (s.R0 + s.DR*at)
	}
	out := measurement{
		v:    mean + f.x[iV1] + f.x[iV2] + r0*i,
		h:    vector{iV1: 1, iV2: 1, iHyst: gap, iOffset: -r0},
		bend: max(0, square-mean*mean-slope*slope),
	}
	if sigma > 0 {
		out.h[iSoC] = slope / sigma
	}
	table, over := f.opt.TableSigma*out.h[iSoC], f.opt.ResistanceSigma*r0*i
	out.model = f.opt.ModelSigmaV*f.opt.ModelSigmaV + table*table + over*over
	return out
}
