package pcs

import "math"

// Loss is the loss of one direction as a formula. All of it is per unit of rated
// power; with p = |S|/rated on the AC side,
//
//	L(p) = P0*(1 - exp(-M0*p)) + K1*p + K2*p^2
//
// and the factor of P0 is 1 where M0 is 0. The forms of the literature are cases of
// it: P0 and K2 alone are Notton's (doi 10.1016/j.renene.2009.07.013), with K1
// Rampinelli's and Braun's c_self + c_V*S + c_R*S^2, with M0 the fit of the
// Sinamics S120 (Schimpe 2018, doi 10.1016/j.egypro.2018.11.065).
//
// What is lost is L itself, so that DC = AC - L. Notton and Rampinelli define the
// efficiency p/(p+L) in both directions: discharging, that is the same; charging,
// DC = p*p/(p+L), and the loss is p*L/(p+L). Divide takes this convention.
type Loss struct {
	P0, K1, K2 float64
	M0         float64 // per unit of p, 0: no such factor
	Divide     bool    // charging: the loss is p*L/(p+L)
}

// quadratic reports whether the loss is a plain polynomial.
func (l *Loss) quadratic() bool { return l.M0 == 0 && !l.Divide }

// at is the loss at p > 0, or its limit at p = 0.
func (l *Loss) at(p float64) float64 {
	x := l.P0
	if l.M0 > 0 {
		x *= -math.Expm1(-l.M0 * p)
	}
	x += p * (l.K1 + p*l.K2)
	if l.Divide && x > 0 {
		x = p * x / (p + x)
	}
	return x
}

// slope is the derivative of at.
func (l *Loss) slope(p float64) float64 {
	x, dx := l.P0, l.K1+2*l.K2*p
	if l.M0 > 0 {
		x *= -math.Expm1(-l.M0 * p)
		dx += l.P0 * l.M0 * math.Exp(-l.M0*p)
	}
	if !l.Divide {
		return dx
	}
	x += p * (l.K1 + p*l.K2)
	if x == 0 {
		return dx / (1 + dx)
	}
	return (x*x + p*p*dx) / ((p + x) * (p + x))
}

// integral is that of at(sqrt(d^2+s^2)) over s from 0 to s, where s >= 0 and d >= 0.
func (l *Loss) integral(s, d float64) float64 {
	if s == 0 {
		return 0
	}
	if l.quadratic() {
		return s*(l.P0+l.K2*(d*d+s*s/3)) + l.K1*rootIntegral(s, d)
	}
	// No closed form: Gauss and Legendre's rule over u, where s = d*sinh(u). In u the
	// integrand is smooth however small d is, so that panels of width 2 reach 1e-15.
	d = max(d, nearZero)
	end := math.Asinh(s / d)
	n := math.Ceil(end / 2)
	half := end / (2 * n)
	var sum float64
	for k := 0.5; k < n; k++ {
		mid := 2 * half * k
		for i, x := range gaussX {
			a, b := d*math.Cosh(mid-half*x), d*math.Cosh(mid+half*x)
			sum += gaussW[i] * (a*l.at(a) + b*l.at(b))
		}
	}
	return sum * half
}

// nearZero stands for a distance of 0, which adds 1e-13 to an integral.
const nearZero = 1e-7

// The ten nodes and weights of Gauss and Legendre, by pairs.
var (
	gaussX = [5]float64{0.1488743389816312, 0.4333953941292472, 0.6794095682990244, 0.8650633666889845, 0.9739065285171717}
	gaussW = [5]float64{0.2955242247147529, 0.2692667193099963, 0.2190863625159821, 0.1494513491505806, 0.0666713443086881}
)

// rootIntegral is the integral of sqrt(d^2+s^2) over s from 0 to s.
func rootIntegral(s, d float64) float64 {
	if d == 0 {
		return s * s / 2
	}
	return (s*math.Hypot(s, d) + d*d*math.Asinh(s/d)) / 2
}
