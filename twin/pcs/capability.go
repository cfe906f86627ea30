package pcs

import "math"

// Capability is what a converter is able to do: a box of active and reactive power
// inside a circle of apparent power. It is convex.
type Capability struct {
	SVA        float64 // VA, apparent power
	ChargeW    float64 // W, >= 0
	DischargeW float64 // W, >= 0
	AbsorbVar  float64 // var, >= 0: the most of Q > 0
	InjectVar  float64 // var, >= 0: the most of -Q
	QFirst     bool    // the circle cuts active power; else reactive

	// The share of ChargeW and DischargeW over the DC voltage, linear between its
	// entries and flat beyond; empty: all of it.
	DCVolt []float64 // V, rising
	Share  []float64 // 0..1

	// The share of SVA falls from 1 at AirFullToK to 0 at AirMaxK; 0: it does not.
	AirFullToK, AirMaxK float64 // K
}

// Bound names the limit that cut a request.
type Bound uint8

// The limits.
const (
	BoundNone  Bound = iota
	BoundQ           // reactive power
	BoundS           // apparent power
	BoundAir         // apparent power, derated by the temperature of the air
	BoundP           // active power
	BoundVolt        // active power, derated by the DC voltage
	BoundRange       // the range that the caller gave
)

func (b Bound) String() string {
	return [...]string{"", "reactive-power", "apparent-power", "air-temp", "active-power", "dc-voltage", "range"}[min(b, BoundRange)]
}

// Request is a power asked of a converter.
type Request struct {
	PowerW, QVar float64 // W and var
	LowW, HighW  float64 // W, the range of the active power besides, LowW <= 0 <= HighW
	DCVolt       float64 // V, 0: no derating by it
	AirK         float64 // K, 0: no derating by it
}

// Delivered is what of a request is delivered, and what cut each part.
type Delivered struct {
	PowerW, QVar float64 // W and var
	PowerBy, QBy Bound
}

// Limit is what is delivered of r: nearest to it in the part that comes first, then
// in the other.
func (c *Capability) Limit(r Request) Delivered {
	d := Delivered{PowerW: r.PowerW, QVar: r.QVar}
	share, byP := 1.0, BoundP
	if r.DCVolt != 0 && len(c.DCVolt) > 0 {
		if share = lookUp(c.DCVolt, c.Share, r.DCVolt); share < 1 {
			byP = BoundVolt
		}
	}
	cut(&d.PowerW, &d.PowerBy, -share*c.DischargeW, share*c.ChargeW, byP)
	cut(&d.PowerW, &d.PowerBy, r.LowW, r.HighW, BoundRange)
	cut(&d.QVar, &d.QBy, -c.InjectVar, c.AbsorbVar, BoundQ)

	s, byS := c.SVA, BoundS
	if f := c.airShare(r.AirK); f < 1 {
		s, byS = s*f, BoundAir
	}
	if math.Hypot(d.PowerW, d.QVar) <= s {
		return d
	}
	first, firstBy, second, secondBy := &d.PowerW, &d.PowerBy, &d.QVar, &d.QBy
	if c.QFirst {
		first, firstBy, second, secondBy = second, secondBy, first, firstBy
	}
	cut(first, firstBy, -s, s, byS)
	rest := math.Sqrt(max((s-*first)*(s+*first), 0))
	cut(second, secondBy, -rest, rest, byS)
	return d
}

// cut keeps x within lo..hi and says by what it was cut.
func cut(x *float64, by *Bound, lo, hi float64, bound Bound) {
	if *x < lo {
		*x, *by = lo, bound
	} else if *x > hi {
		*x, *by = hi, bound
	}
}

// airShare is the share of the apparent power at a temperature of the air in K.
func (c *Capability) airShare(airK float64) float64 {
	if airK <= c.AirFullToK || c.AirMaxK == 0 {
		return 1
	}
	return max((c.AirMaxK-airK)/(c.AirMaxK-c.AirFullToK), 0)
}

// lookUp is y at x, linear between the entries and flat beyond them.
func lookUp(axis, y []float64, x float64) float64 {
	last := len(axis) - 1
	switch {
	case x <= axis[0]:
		return y[0]
	case x >= axis[last]:
		return y[last]
	}
	k := segment(axis, x)
	return y[k] + (y[k+1]-y[k])*((x-axis[k])/(axis[k+1]-axis[k]))
}
