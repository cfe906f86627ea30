package pcs

import (
	"math"
	"testing"
)

// The quadrature against what can be integrated by hand.
func TestIntegralAgainstClosedForms(t *testing.T) {
	const p0, m0 = 0.006, 97.0
	fit, notton := Loss{P0: p0, M0: m0}, Loss{P0: p0, Divide: true}
	plain := Loss{P0: p0, K1: 0.01, K2: 0.02}
	same := plain
	same.M0 = 1e9 // a factor of 1 at any distance from the origin
	worst := 0.0
	for _, s := range []float64{1e-9, 1e-6, 1e-3, 0.01, 0.1, 0.5, 1, 1.2} {
		for _, tt := range []struct{ got, want float64 }{
			{fit.integral(s, 0), p0 * (s + math.Expm1(-m0*s)/m0)},
			{notton.integral(s, 0), p0 * (s - p0*math.Log1p(s/p0))},
			{same.integral(s, 1e-3), plain.integral(s, 1e-3)},
			{same.integral(s, 0.7), plain.integral(s, 0.7)},
		} {
			worst = max(worst, math.Abs(tt.got-tt.want))
		}
	}
	t.Logf("off by %.2g of rated power at most", worst)
	if worst > 1e-13 {
		t.Errorf("off by %g of rated power", worst)
	}
}

// The derivative that the solution goes by.
func TestSlope(t *testing.T) {
	for _, l := range []Loss{
		{P0: 0.006, K1: 0.01, K2: 0.02},
		{P0: 0.006, K1: 0.01, K2: 0.02, M0: 97},
		{P0: 0.006, K2: 0.02, Divide: true},
		{P0: 0.006, K1: 0.01, K2: 0.02, M0: 97, Divide: true},
		{K1: 0.01, Divide: true},
	} {
		for _, x := range []float64{0.001, 0.01, 0.3, 1} {
			const h = 1e-6
			want := (l.at(x*(1+h)) - l.at(x*(1-h))) / (2 * h * x)
			if got := l.slope(x); !(math.Abs(got-want) <= 1e-8) {
				t.Errorf("%+v at %g: slope %.12g, want %.12g", l, x, got, want)
			}
		}
	}
}
