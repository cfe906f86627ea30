package aging

import "math"

// SchimpeCalendar is a calendar law for capacity, t in h and U the potential of the
// anode:
//
//	loss = Ref*exp(-Activation/R*(1/T - 1/TRef))*(exp(Alpha*F/R*(URef - U)/TRef) + K0)*t^Exponent
//
// M. Schimpe et al., J. Electrochem. Soc. 165 (2018) A181, eq. 9.
type SchimpeCalendar struct {
	GasConstant float64 // J/mol/K
	Faraday     float64 // C/mol
	TRefK       float64 // K
	Ref         float64 // 1/h^Exponent
	Activation  float64 // J/mol
	Alpha       float64
	K0          float64
	URef        float64 // V
	Exponent    float64
}

// Rates of the one process.
func (m *SchimpeCalendar) Rates(s Stress) Processes {
	warmth := math.Exp(-m.Activation / m.GasConstant * (1/s.TempK - 1/m.TRefK))
	charge := math.Exp(m.Alpha*m.Faraday/m.GasConstant*(m.URef-s.AnodeV)/m.TRefK) + m.K0
	return Processes{growth(m.Ref*warmth*charge, m.Exponent) / hour}
}

// Loss of capacity.
func (m *SchimpeCalendar) Loss(age Processes) Loss { return Loss{Q: lossAt(age[0], m.Exponent)} }

// SchimpeCycle is a law for the capacity lost to charge in three processes, in Ah of
// a cell of CapacityAh: warm, by the charge Q that flows either way, and cold and
// cold-full, by the charge Qin that flows in, with x = (1/T - 1/TRef)/R:
//
//	warm      = WarmRef*exp(-WarmActivation*x)*Q^Exponent
//	cold      = ColdRef*exp(ColdActivation*x)*exp(ColdBeta*(C - RateRef))*Qin^Exponent
//	cold-full = ColdFullRef*exp(ColdFullActivation*x)*exp(ColdFullBeta*(C - RateRef))*(sgn(soc - ColdFullSoCRef) + 1)/2*Qin
//
// M. Schimpe et al., J. Electrochem. Soc. 165 (2018) A181, eqs. 15, 18, 21.
type SchimpeCycle struct {
	GasConstant        float64 // J/mol/K
	TRefK              float64 // K
	CapacityAh         float64
	RateRefPerH        float64 // 1/h
	Exponent           float64
	WarmRef            float64 // 1/Ah^Exponent
	WarmActivation     float64 // J/mol
	ColdRef            float64 // 1/Ah^Exponent
	ColdActivation     float64 // J/mol
	ColdBetaH          float64 // h
	ColdFullRef        float64 // 1/Ah
	ColdFullActivation float64 // J/mol
	ColdFullBetaH      float64 // h
	ColdFullSoCRef     float64
}

// Rates of the three processes.
func (m *SchimpeCycle) Rates(s Stress) Processes {
	if s.CRate == 0 {
		return Processes{}
	}
	x := (1/s.TempK - 1/m.TRefK) / m.GasConstant
	flow := math.Abs(s.CRate) * m.CapacityAh / hour // Ah/s
	rates := Processes{growth(m.WarmRef*math.Exp(-m.WarmActivation*x), m.Exponent) * flow}
	if s.CRate < 0 {
		return rates
	}
	over := s.CRate - m.RateRefPerH
	rates[1] = growth(m.ColdRef*math.Exp(m.ColdActivation*x+m.ColdBetaH*over), m.Exponent) * flow
	if share := above(s.SoC, m.ColdFullSoCRef); share > 0 {
		rates[2] = m.ColdFullRef * math.Exp(m.ColdFullActivation*x+m.ColdFullBetaH*over) * share * flow
	}
	return rates
}

// above is (sgn(x - ref) + 1)/2.
func above(x, ref float64) float64 {
	switch {
	case x > ref:
		return 1
	case x == ref:
		return 0.5
	}
	return 0
}

// Loss of capacity.
func (m *SchimpeCycle) Loss(age Processes) Loss {
	return Loss{Q: lossAt(age[0], m.Exponent) + lossAt(age[1], m.Exponent) + age[2]}
}
