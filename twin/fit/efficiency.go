package fit

import (
	"math"

	"gonum.org/v1/gonum/stat"
)

const (
	steep        = 2.0   // V per state of charge, where a rest voltage tells it
	endSigma     = 0.005 // state of charge, of what it tells after a short rest
	restShare    = 0.02  // of the current of one hour that passes for rest
	restS        = 60.0  // s of rest at least
	enoughMoved  = 0.2   // capacities of charge taken in, at least
	givenSigma   = 1e-6  // of an efficiency that was given: it stays
	unknownSigma = 0.002 // of 1, without a record that ends at rest
)

// efficiency is the coulombic efficiency with which the records end where their
// voltage at rest says: (given off - (start - end)*capacity)/taken in. It holds what
// the current sensor counts differently in the two directions as well. Without a
// record that ends at rest where the voltage is steep it is 1.
func (in *Input) efficiency() (eta, sigma float64) {
	if in.Efficiency > 0 {
		return in.Efficiency, givenSigma
	}
	var all []float64
	for _, r := range in.Records {
		end, ok := in.restSoC(r)
		taken, given := r.Moved()
		if !ok || taken < enoughMoved*in.CapacityAh {
			continue
		}
		all = append(all, min(1, (given-(r.SoC-end)*in.CapacityAh)/taken))
		sigma = max(sigma, endSigma*in.CapacityAh/taken)
	}
	if len(all) == 0 {
		return 1, unknownSigma
	}
	return stat.Mean(all, nil), sigma / math.Sqrt(float64(len(all)))
}

// restSoC is the state of charge at the end of r by its voltage.
func (in *Input) restSoC(r *Record) (soc float64, ok bool) {
	n := len(r.T)
	for k := n - 1; k >= 0 && r.T[k] > r.T[n-1]-restS; k-- {
		if math.Abs(r.I[k]) > restShare*in.CapacityAh {
			return 0, false
		}
	}
	taken, given := r.Moved()
	branch := 1.0
	if given > taken {
		branch = -1
	}
	return in.OCV.SoCAt(r.V[n-1], branch, r.TempK, in.TRefK)
}

// SoCAt is the state of charge with the voltage v at rest and at tempK, where the
// voltage is steep enough to tell it: of a cell on its charge branch for branch 1, on
// its discharge branch for -1, in the middle for 0.
func (o *OpenCircuit) SoCAt(v, branch, tempK, tRefK float64) (soc float64, ok bool) {
	at := func(i int) float64 { return o.U[i] + branch*o.Gap[i] + (tempK-tRefK)*o.DUDT[i] }
	last := len(o.SoC) - 1
	switch {
	case v >= at(last):
		return o.SoC[last], true
	case v <= at(0):
		return o.SoC[0], true
	}
	for i := 1; i <= last; i++ {
		a, b := at(i-1), at(i)
		if v <= b {
			dz := o.SoC[i] - o.SoC[i-1]
			return o.SoC[i-1] + dz*(v-a)/(b-a), (b-a)/dz >= steep
		}
	}
	return 0, false
}
