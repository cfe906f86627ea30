package fit

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"yunchu/twin/params"
)

// Sheet is what a cell file says and no electrical record shows.
type Sheet struct {
	Name          string
	Source        string  // of the open-circuit voltage
	VMin, VMax    float64 // V
	ThermalSource string
	MassKg        float64 // kg
	CpJPerKg      float64 // J/kg/K
	HAPerK        float64 // W/K
}

// File is the fitted cell as a cell set.
func (r *Result) File(in *Input, s Sheet) *params.Cell {
	c, p := &params.Cell{}, &r.Params
	c.Name = s.Name
	c.Convention = "passive: I > 0 and P > 0 charge the cell"
	c.Interpolation = "piecewise linear in soc, flat clamp outside [0,1]"
	c.CapacityAh, c.CoulombicEfficiency = p.CapacityAh, round(p.CoulombicEfficiency)
	c.VMin, c.VMax, c.TRefK, c.RGas = s.VMin, s.VMax, p.TRefK, p.RGas
	c.OCV = params.OCV{Source: s.Source, SoC: p.OCV.SoC, V: rounded(p.OCV.Value)}
	c.Hysteresis = params.Hysteresis{Source: s.Source + "; gamma fitted", Gamma: round(p.Gamma), SoC: p.HalfGap.SoC, M: rounded(p.HalfGap.Value)}
	c.Entropic = params.Entropic{Source: entropySource(in), SoC: p.Entropy.SoC, DUDT: rounded(p.Entropy.Value)}
	var names []string
	for _, rec := range in.Records {
		names = append(names, fmt.Sprintf("%s (%.4g degC)", rec.Name, rec.TempK-zeroCelsius))
	}
	source := "fitted to " + strings.Join(names, ", ")
	if !slices.ContainsFunc(in.Records, func(r *Record) bool { return r.TempK != in.Records[0].TempK }) {
		source += "; ASSUMPTION: activation energies, from one temperature they are those of the Sony US26650FTC1 (SimSES), 15 +- 3 kJ/mol"
	}
	c.Resistance = params.Resistance{
		Source: source, SoC: p.Resistance.SoC, RTot: rounded(p.Resistance.Value),
		Frac:     params.Split{R0: share(p.Fraction[0]), R1: share(p.Fraction[1]), R2: share(1 - share(p.Fraction[0]) - share(p.Fraction[1]))},
		EaPerMol: params.Split{R0: round(p.Activation[0]), R1: round(p.Activation[1]), R2: round(p.Activation[2])},
		Tau:      params.TimeConsts{Tau1: round(p.Tau[0]), Tau2: round(p.Tau[1])},
	}
	c.Thermal = params.Thermal{Source: s.ThermalSource, MassKg: s.MassKg, CpJPerKg: s.CpJPerKg, HAPerK: s.HAPerK}
	c.Fit = &params.Fit{
		Source:       "Levenberg-Marquardt on the cell's own simulation with priors on the activation energies; intervals count readings within a correlation time as one",
		CorrelationS: math.Round(r.CorrelationS), Confidence: Confidence,
	}
	for k, rec := range in.Records {
		c.Fit.Records = append(c.Fit.Records, params.FitRecord{
			Name: rec.Name, TempC: math.Round(100*(rec.TempK-zeroCelsius)) / 100,
			RMSE: round(1e3 * r.Scores[k].RMSE), Max: round(1e3 * r.Scores[k].Max),
		})
	}
	for _, i := range r.Intervals {
		c.Fit.Intervals = append(c.Fit.Intervals, params.FitInterval{Key: i.Key, Low: round(i.Low), High: round(i.High)})
	}
	return c
}

const zeroCelsius = 273.15 // K

func entropySource(in *Input) string {
	for _, e := range in.OCV.DUDT {
		if e != 0 {
			return "regression of the open-circuit voltage over temperature"
		}
	}
	return "ASSUMPTION: none; the open-circuit voltage was measured at one temperature"
}

// round keeps six digits.
func round(x float64) float64 {
	if x == 0 || math.IsInf(x, 0) || math.IsNaN(x) {
		return x
	}
	scale := math.Pow(10, 5-math.Floor(math.Log10(math.Abs(x))))
	return math.Round(x*scale) / scale
}

// share keeps six places behind the point, so that shares still add up.
func share(x float64) float64 { return math.Round(x*1e6) / 1e6 }

func rounded(x []float64) []float64 {
	y := make([]float64, len(x))
	for k := range x {
		y[k] = round(x[k])
	}
	return y
}
