package fit

import (
	"math"
	"slices"

	"yunchu/twin/cell"
)

// knots of the resistance over the state of charge.
var knots = []float64{0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1}

const rGas = 8.314462618 // J/mol/K

// Places in the vector of parameters. Behind them stand the deviations of the three
// resistances at each temperature.
const (
	atR         = 0           // ln of the total resistance in ohm, one per knot
	atSplit     = atR + 11    // ln of the first and second RC pair's share over the ohmic one
	atEa        = atSplit + 2 // kJ/mol, three
	atTau       = atEa + 3    // ln s, two
	atGamma     = atTau + 2   // ln of the hysteresis rate
	atEta       = atGamma + 1 // coulombic efficiency
	atDeviation = atEta + 1
)

// belief is a parameter's range, what is known of it beforehand, and the step of
// its forward difference. A sigma of 0 means that nothing is known.
type belief struct {
	low, high   float64
	mean, sigma float64
	step        float64
}

// beliefs returns those of all parameters for a cell whose total resistance is
// about ohm.
func beliefs(temperatures int, ohm, eta, etaSigma float64) []belief {
	b := make([]belief, atDeviation+3*temperatures)
	for j := range knots {
		b[atR+j] = belief{low: math.Log(ohm / 50), high: math.Log(ohm * 50), mean: math.Log(ohm), step: 1e-4}
	}
	b[atSplit] = belief{low: -4, high: 4, step: 1e-4}
	b[atSplit+1] = belief{low: -4, high: 4, step: 1e-4}
	for k := range 3 {
		b[atEa+k] = belief{low: 0, high: 80, mean: activationMean, sigma: activationSigma, step: 1e-2}
	}
	b[atTau] = belief{low: math.Log(2), high: math.Log(120), step: 1e-3}
	b[atTau+1] = belief{low: math.Log(120), high: math.Log(3000), step: 1e-3}
	b[atGamma] = belief{low: math.Log(3), high: math.Log(300), mean: math.Log(10), sigma: 1, step: 1e-3}
	b[atEta] = belief{low: min(eta, 0.95), high: max(eta, 1), mean: eta, sigma: etaSigma, step: 1e-5}
	for j := atDeviation; j < len(b); j++ {
		b[j] = belief{low: -2, high: 2, sigma: deviationSigma, step: 1e-4}
	}
	return b
}

// What is known of the temperature dependence of LFP cells: between 10 and 40 degC
// the resistance of the Sony US26650FTC1 (SimSES, CLFP_Sony_US26650_Rint.csv) rises as
// with 11 to 17 kJ/mol, more in the cold, and leaves a single line by some 5 %.
const (
	activationMean  = 15.0 // kJ/mol
	activationSigma = 3.0
	deviationSigma  = 0.1
)

// params is the cell type of a parameter vector. temperature is that of the record
// to be simulated, which takes its deviations; below 0 stands for none: the cell of
// the file.
func (p *problem) params(theta []float64, temperature int) cell.Params {
	c := cell.Params{
		CapacityAh: p.CapacityAh, CoulombicEfficiency: theta[atEta],
		TRefK: p.TRefK, RGas: rGas, Gamma: math.Exp(theta[atGamma]),
		Tau: [2]float64{math.Exp(theta[atTau]), math.Exp(theta[atTau+1])},
	}
	c.OCV = cell.Table{SoC: p.OCV.SoC, Value: p.OCV.U}
	c.HalfGap = cell.Table{SoC: p.OCV.SoC, Value: p.OCV.Gap}
	c.Entropy = cell.Table{SoC: p.OCV.SoC, Value: p.OCV.DUDT}

	part := [3]float64{1, math.Exp(theta[atSplit]), math.Exp(theta[atSplit+1])}
	whole := part[0] + part[1] + part[2]
	var sum float64 // of the parts at this temperature, 1 without deviations
	for k := range part {
		part[k] /= whole
		if temperature >= 0 {
			part[k] *= math.Exp(theta[atDeviation+3*temperature+k])
		}
		sum += part[k]
		c.Activation[k] = 1e3 * theta[atEa+k]
	}
	for k := range part {
		c.Fraction[k] = part[k] / sum
	}
	c.Resistance = cell.Table{SoC: slices.Clone(knots), Value: make([]float64, len(knots))}
	for j := range knots {
		c.Resistance.Value[j] = math.Exp(theta[atR+j]) * sum
	}
	return c
}
