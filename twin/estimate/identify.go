package estimate

import "math"

// ResistanceState is what the identification of the resistance remembers.
type ResistanceState struct {
	Factor      float64 // on all resistances
	Information float64 // 1/variance of Factor
	LastV       float64 // V, what the last reading left unexplained
	LastOver    float64 // V, the model's resistive voltage then, at a factor of 1
	Seen        bool    // there was a last reading
}

type resistanceEstimator struct{ ResistanceState }

const (
	factorSigma   = 0.3 // of the resistance factor before anything was seen
	factorMin     = 0.3
	factorMax     = 4
	excitationV   = 0.003  // V, changes of the resistive voltage that count
	differenceV   = 0.002  // V, noise of the change of the unexplained voltage
	forgetSamples = 2000.0 // excited samples after which the past counts 1/e
)

func (r *resistanceEstimator) init() {
	r.Factor, r.Information = 1, 1/(factorSigma*factorSigma)
}

func (r *resistanceEstimator) sigma() float64 { return 1 / math.Sqrt(r.Information) }

// learn takes in how the innovation e changed since the reading before while the
// model's resistive voltage at factor 1 went from over to what it is before this one.
func (r *resistanceEstimator) learn(e, over float64) {
	change, phi := e-r.LastV, over-r.LastOver
	if !r.Seen || math.Abs(phi) < excitationV {
		return
	}
	limit := 4 * differenceV
	change = min(max(change, -limit), limit)
	info := phi * phi / (differenceV * differenceV)
	r.Information = r.Information*(1-1/forgetSamples) + info
	r.Factor += change * phi / (differenceV * differenceV) / r.Information
	r.Factor = min(max(r.Factor, factorMin), factorMax)
}

// CapacityState is what the identification of the capacity remembers.
type CapacityState struct {
	Factor      float64 // on the capacity of the cell file
	Information float64 // 1/variance of Factor
	SinceAs     float64 // A*s stored since the anchor
	AnchorSoC   float64 // 0..1
	AnchorVar   float64 // variance of AnchorSoC
	Anchored    bool
}

type capacityEstimator struct{ CapacityState }

func (c *capacityEstimator) init() {
	c.Factor, c.Information = 1, 1/(0.05*0.05)
}

func (c *capacityEstimator) sigma() float64 { return 1 / math.Sqrt(c.Information) }

func (c *capacityEstimator) count(as float64) { c.SinceAs += as }

// identify learns from the innovation e of the reading just taken in.
func (f *Filter) identify(res *Result, slope, e, i, v, tempK float64) {
	span, _ := f.model.Span(0, f.x[iSoC])
	r := f.resistances(span, f.x[iSoC], tempK)
	over := (r[0]*i + f.x[iV1] + f.x[iV2]) / f.res.Factor
	if !f.opt.FixedResistance && !res.Gated && math.Abs(slope) < 2 {
		f.res.learn(e, over)
	}
	m := f.linearise(i, tempK)
	f.res.LastV, f.res.LastOver, f.res.Seen = v-m.v, over, true
}
