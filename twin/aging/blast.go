package aging

import "math"

// BLASTCalendar is a calendar law for capacity, t in days and U the potential of the
// anode:
//
//	loss = Ref*exp(TempK/T)*exp(AnodeKPer*U/T)*t^Exponent
//
// NREL BLAST-Lite, lfp_gr_250AhPrismatic_2019; data: doi 10.1016/j.est.2023.109042.
type BLASTCalendar struct {
	Ref       float64 // 1/day^Exponent
	TempK     float64 // K
	AnodeKPer float64 // K/V
	Exponent  float64
}

// Rates of the one process.
func (b *BLASTCalendar) Rates(s Stress) Processes {
	k := b.Ref * math.Exp((b.TempK+b.AnodeKPer*s.AnodeV)/s.TempK)
	return Processes{growth(k, b.Exponent) / day}
}

// Loss of capacity.
func (b *BLASTCalendar) Loss(age Processes) Loss { return Loss{Q: lossAt(age[0], b.Exponent)} }

// BLASTCycle is a cycle law for capacity, with C the mean C-rate, T the mean
// temperature and EFC the equivalent full cycles, half the depth for a half cycle:
//
//	loss = (Offset + DepthSlope*depth + RateSlope*C)*(exp(WarmK/T) + exp(-HotK/T))*EFC^Exponent
//
// Source as for BLASTCalendar.
type BLASTCycle struct {
	Offset     float64
	DepthSlope float64
	RateSlopeH float64 // h
	WarmK      float64 // K
	HotK       float64 // K
	Exponent   float64
}

// Ages of the one process.
func (b *BLASTCycle) Ages(c Cycle) Processes {
	k := (b.Offset + b.DepthSlope*c.Depth + b.RateSlopeH*c.CRate) * (math.Exp(b.WarmK/c.TempK) + math.Exp(-b.HotK/c.TempK))
	return Processes{growth(k, b.Exponent) * c.FEC()}
}

// Loss of capacity.
func (b *BLASTCycle) Loss(age Processes) Loss { return Loss{Q: lossAt(age[0], b.Exponent)} }
