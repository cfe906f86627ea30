package twin

import "yunchu/twin/params"

const zeroCelsius = 273.15 // K

// limits is the window of a model in SI.
type limits struct {
	soc               params.Range // 0..1
	volt              params.Range // V per cell
	charge, discharge params.Derating
	amps              params.CurrentLimit // A per cell, 0: none
	ratedW            float64
}

func newLimits(m *params.Model) limits {
	kelvin := func(d params.Derating) params.Derating {
		return params.Derating{Min: d.Min + zeroCelsius, FullFrom: d.FullFrom + zeroCelsius, FullTo: d.FullTo + zeroCelsius, Max: d.Max + zeroCelsius}
	}
	return limits{
		soc:       params.Range{Min: m.Limits.SoC.Min / 100, Max: m.Limits.SoC.Max / 100},
		volt:      m.Limits.CellV,
		charge:    kelvin(m.Limits.TempC.Charge),
		discharge: kelvin(m.Limits.TempC.Discharge),
		amps:      m.Limits.CellA,
		ratedW:    m.RatedKW * 1e3,
	}
}

// acRange is the AC power in W that rating and temperature allow.
func (l *limits) acRange(tempK float64) (lo, hi float64) {
	return -l.ratedW * derated(&l.discharge, tempK), l.ratedW * derated(&l.charge, tempK)
}

// derated is the share of full power at a temperature in K, 0..1.
func derated(d *params.Derating, t float64) float64 {
	switch {
	case t >= d.FullFrom && t <= d.FullTo:
		return 1
	case t <= d.Min || t >= d.Max:
		return 0
	case t < d.FullFrom:
		return (t - d.Min) / (d.FullFrom - d.Min)
	}
	return (d.Max - t) / (d.Max - d.FullTo)
}
