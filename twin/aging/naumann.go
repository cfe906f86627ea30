package aging

import "math"

// Naumann2018 is a calendar law for capacity and resistance, t in s:
//
//	loss = Ref*exp(-Activation/R*(1/T - 1/TRef))*(SoCSlope*(soc - SoCCentre)^SoCPower + SoCOffset)*t^Exponent
//
// M. Naumann et al., J. Energy Storage 17 (2018) 153.
type Naumann2018 struct {
	GasConstant float64 // J/mol/K
	TRefK       float64 // K
	SoCCentre   float64
	QRef        float64 // 1/s^QExponent
	QActivation float64 // J/mol
	QSoCSlope   float64
	QSoCOffset  float64
	QSoCPower   int // 2 or 3
	QExponent   float64
	RRef        float64 // 1/s^RExponent
	RActivation float64 // J/mol
	RSoCSlope   float64
	RSoCOffset  float64
	RSoCPower   int // 2 or 3
	RExponent   float64
}

// Rates of the two processes, capacity and resistance.
func (n *Naumann2018) Rates(s Stress) Processes {
	x := (1/s.TempK - 1/n.TRefK) / n.GasConstant
	square := (s.SoC - n.SoCCentre) * (s.SoC - n.SoCCentre)
	cube := square * (s.SoC - n.SoCCentre)
	power := func(p int) float64 {
		if p == 2 {
			return square
		}
		return cube
	}
	q := n.QRef * math.Exp(-n.QActivation*x) * (n.QSoCSlope*power(n.QSoCPower) + n.QSoCOffset)
	r := n.RRef * math.Exp(-n.RActivation*x) * (n.RSoCSlope*power(n.RSoCPower) + n.RSoCOffset)
	return Processes{growth(q, n.QExponent), growth(r, n.RExponent)}
}

// Loss of capacity and rise of resistance.
func (n *Naumann2018) Loss(age Processes) Loss {
	return Loss{Q: lossAt(age[0], n.QExponent), R: lossAt(age[1], n.RExponent)}
}

// Naumann2020 is a cycle law for capacity and resistance, both in percent, with C
// the mean C-rate and FEC the full equivalent cycles, half the depth for a half
// cycle:
//
//	loss = (RateSlope*C + RateOffset)*(DepthSlope*(depth - DepthCentre)^3 + DepthOffset)*FEC^Exponent
//
// M. Naumann et al., J. Power Sources 451 (2020) 227666.
type Naumann2020 struct {
	QRateSlope   float64 // % h
	QRateOffset  float64 // %
	QDepthSlope  float64
	QDepthOffset float64
	QDepthCentre float64
	QExponent    float64
	RRateSlope   float64 // % h
	RRateOffset  float64 // %
	RDepthSlope  float64
	RDepthOffset float64
	RDepthCentre float64
	RExponent    float64
}

// Ages of the two processes, capacity and resistance.
func (n *Naumann2020) Ages(c Cycle) Processes {
	dq, dr := c.Depth-n.QDepthCentre, c.Depth-n.RDepthCentre
	q := (n.QRateSlope*c.CRate + n.QRateOffset) * (n.QDepthSlope*dq*dq*dq + n.QDepthOffset) * percent
	r := (n.RRateSlope*c.CRate + n.RRateOffset) * (n.RDepthSlope*dr*dr*dr + n.RDepthOffset) * percent
	return Processes{growth(q, n.QExponent) * c.FEC(), growth(r, n.RExponent) * c.FEC()}
}

// Loss of capacity and rise of resistance.
func (n *Naumann2020) Loss(age Processes) Loss {
	return Loss{Q: lossAt(age[0], n.QExponent), R: lossAt(age[1], n.RExponent)}
}
