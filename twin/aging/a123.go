package aging

import (
	"math"
	"slices"
)

// Swierczynski2015 is a calendar law for capacity, in percent, with T in degC (below
// 0 degC it counts as 0 degC) and t in months:
//
//	loss = (SoCSlope*(100*soc)^SoCPower + SoCOffset)*(TempSlope*T^TempPower + TempOffset)*t^Exponent
//
// M. Swierczynski et al., IEEE Trans. Industry Applications 51 (2015) 3453.
type Swierczynski2015 struct {
	SoCSlope   float64 // %
	SoCPower   float64
	SoCOffset  float64 // %
	TempSlope  float64
	TempPower  float64
	TempOffset float64
	Exponent   float64
	MonthS     float64 // s
}

// Rates of the one process.
func (w *Swierczynski2015) Rates(s Stress) Processes {
	byCharge := w.SoCSlope*math.Pow(s.SoC/percent, w.SoCPower) + w.SoCOffset
	byWarmth := w.TempSlope*math.Pow(max(s.TempK-zeroCelsius, 0), w.TempPower) + w.TempOffset
	return Processes{growth(byCharge*byWarmth*percent, w.Exponent) / w.MonthS}
}

// Loss of capacity.
func (w *Swierczynski2015) Loss(age Processes) Loss { return Loss{Q: lossAt(age[0], w.Exponent)} }

// Wang2011 is a law for the capacity lost to charge, in percent, with C the C-rate,
// held within RatePerH, and Ah the charge of a cell of CapacityAh, of which
// CountedShare counts:
//
//	loss = B(C)*exp((-Activation + ActivationSlope*C)/(R*T))*Ah^Exponent
//
// J. Wang et al., J. Power Sources 196 (2011) 3942.
type Wang2011 struct {
	GasConstant     float64   // J/mol/K
	Activation      float64   // J/mol
	ActivationSlope float64   // J h/mol
	RatePerH        []float64 // 1/h, strictly rising
	B               []float64 // %/Ah^Exponent at those rates, linear in between
	Exponent        float64
	CapacityAh      float64
	CountedShare    float64 // 0..1
}

// Rates of the one process.
func (w *Wang2011) Rates(s Stress) Processes {
	flow := math.Abs(s.CRate)
	if flow == 0 {
		return Processes{}
	}
	c := min(max(flow, w.RatePerH[0]), w.RatePerH[len(w.RatePerH)-1])
	k := w.b(c) * math.Exp((w.ActivationSlope*c-w.Activation)/(w.GasConstant*s.TempK)) * percent
	return Processes{growth(k, w.Exponent) * flow * w.CapacityAh * w.CountedShare / hour}
}

// b is B at a rate within RatePerH.
func (w *Wang2011) b(c float64) float64 {
	i, found := slices.BinarySearch(w.RatePerH, c)
	if found {
		return w.B[i]
	}
	c0, c1 := w.RatePerH[i-1], w.RatePerH[i]
	return w.B[i-1] + (w.B[i]-w.B[i-1])*(c-c0)/(c1-c0)
}

// Loss of capacity.
func (w *Wang2011) Loss(age Processes) Loss { return Loss{Q: lossAt(age[0], w.Exponent)} }
