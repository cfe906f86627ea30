package pcs

import "math"

// curve is the loss of one direction over p = |S|/rated at one DC voltage, per unit
// of rated power: a formula, or two rows of a surface and the weight of the second.
type curve struct {
	formula   *Loss // nil: a surface
	power     []float64
	low, high []float64
	weight    float64
}

// curve is that of the direction at a DC voltage in V.
func (p *Params) curve(charging bool, volt float64) curve {
	switch {
	case p.Surface != nil:
		return p.Surface.cut(charging, volt)
	case charging:
		return curve{formula: &p.Charge}
	}
	return curve{formula: &p.Discharge}
}

// node is the loss at entry k of the power axis.
func (c *curve) node(k int) float64 { return c.low[k] + (c.high[k]-c.low[k])*c.weight }

// piece is the line of segment k: the loss at power 0 and the slope.
func (c *curve) piece(k int) (offset, slope float64) {
	a, b := c.node(k), c.node(k+1)
	slope = (b - a) / (c.power[k+1] - c.power[k])
	return a - slope*c.power[k], slope
}

func (c *curve) at(x float64) float64 {
	if c.formula != nil {
		return c.formula.at(x)
	}
	k := segment(c.power, x)
	a, b := c.node(k), c.node(k+1)
	return a + (b-a)*((x-c.power[k])/(c.power[k+1]-c.power[k]))
}

func (c *curve) slope(x float64) float64 {
	if c.formula != nil {
		return c.formula.slope(x)
	}
	_, slope := c.piece(segment(c.power, x))
	return slope
}

// integral is that of at(sqrt(d^2+s^2)) over s from 0 to s, d >= 0; odd in s.
func (c *curve) integral(s, d float64) float64 {
	if s < 0 {
		return -c.integral(-s, d)
	}
	if c.formula != nil {
		return c.formula.integral(s, d)
	}
	far := math.Hypot(s, d)
	var sum, from, fromRoot float64
	for k := segment(c.power, d); ; k++ {
		to := s
		inside := k+2 < len(c.power) && c.power[k+1] < far
		if inside {
			to = math.Sqrt((c.power[k+1] - d) * (c.power[k+1] + d))
		}
		root := rootIntegral(to, d)
		offset, slope := c.piece(k)
		sum += offset*(to-from) + slope*(root-fromRoot)
		if !inside {
			return sum
		}
		from, fromRoot = to, root
	}
}

// solve is the x >= 0 at which x + sign*at(sqrt(x^2+q^2)) is y, where sign is -1
// charging and +1 discharging and such an x exists: Newton's method inside a
// bracket. Exact for the straight pieces of a surface, to rounding for a formula.
func (c *curve) solve(y, q, sign float64) float64 {
	past := func(x float64) float64 { return x + sign*c.at(math.Hypot(x, q)) - y }
	lo, hi := 0.0, max(y, 0)
	if sign < 0 {
		for lo, hi = hi, max(2*hi, 1e-3); past(hi) < 0 && hi < 8; {
			lo, hi = hi, 2*hi
		}
	}
	x := lo + (hi-lo)/2
	for range 100 {
		f := past(x)
		if f > 0 {
			hi = x
		} else {
			lo = x
		}
		grow := 1.0
		if s := math.Hypot(x, q); s > 0 {
			grow += sign * c.slope(s) * x / s
		}
		step := f / grow
		if math.Abs(step) <= 1e-16*x+1e-19 {
			return x
		}
		if x -= step; !(x > lo && x < hi) {
			x = lo + (hi-lo)/2
		}
	}
	return x
}
