package estimate

import "math"

// ResistanceState is what the identification of the resistance remembers.
type ResistanceState struct {
	Factor      float64 // on all resistances
	Information float64 // 1/variance of Factor
	LastV       float64 // V, what the last reading left unexplained
	LastOverV   float64 // V, resistive voltage of the model then, at a factor of 1
	Seen        bool    // there was a last reading
}

// startResistance is 1 give or take 0.3.
var startResistance = ResistanceState{Factor: 1, Information: 1 / (0.3 * 0.3)}

const (
	minResistance = 0.3
	maxResistance = 4.0
	excitedV      = 0.003  // V, a change of resistive voltage that counts
	differenceV   = 0.002  // V, noise of the change of what is unexplained
	forgetting    = 2000.0 // readings with a change until the past counts 1/e
	steepest      = 2.0    // V per state of charge: beyond, the open-circuit voltage moves as fast
)

type resistance struct{ ResistanceState }

func (r *resistance) sigma() float64 { return 1 / math.Sqrt(r.Information) }

// learn takes in the innovation e of a reading at which the model's resistive voltage
// at a factor of 1 is over.
func (r *resistance) learn(e, over float64) {
	change, phi := e-r.LastV, over-r.LastOverV
	if !r.Seen || math.Abs(phi) < excitedV {
		return
	}
	change = min(max(change, -4*differenceV), 4*differenceV)
	weight := 1 / (differenceV * differenceV)
	r.Information = r.Information*(1-1/forgetting) + phi*phi*weight
	r.Factor += change * phi * weight / r.Information
	r.Factor = min(max(r.Factor, minResistance), maxResistance)
}

// identify learns from a reading of i ampere, offset taken off, that the filter has
// just taken in: e is its innovation, rest what the states then left of it, in V.
func (f *Filter) identify(m *measurement, gated bool, i, e, rest float64) {
	r := f.resistances()
	over := (r[0]*i + f.x[iV1] + f.x[iV2]) / f.resistance.Factor
	if !f.opt.FixedResistance && !gated && math.Abs(m.h[iSoC]) < steepest {
		f.resistance.learn(e, over)
	}
	f.resistance.LastV, f.resistance.LastOverV, f.resistance.Seen = rest, over, true
	if !f.opt.FixedCapacity && !gated {
		f.capacity.learn(f.x[iSoC], m, rest, f.drift())
	}
}

// drift is by how much the count of charge goes wrong per second, in capacities.
func (f *Filter) drift() float64 {
	sigma := f.opt.OffsetSigmaA
	if f.offset {
		sigma = math.Sqrt(f.p.variance(iOffset))
	}
	return sigma / (3600 * f.par.CapacityAh)
}
