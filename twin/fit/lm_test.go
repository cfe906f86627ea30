package fit

import (
	"math"
	"testing"
)

// rosenbrock is the banana valley as residuals, (10(y-x^2), 1-x).
func rosenbrock(dst, x []float64, _ int) {
	dst[0], dst[1] = 10*(x[1]-x[0]*x[0]), 1-x[0]
}

func TestLeastSquares(t *testing.T) {
	for _, tt := range []struct {
		name      string
		high      []float64
		x, y, sum float64
	}{
		{"free", []float64{5, 5}, 1, 1, 0},
		// At y = 1/2 the slope along x is 0 where 200x^3 - 99x - 1 = 0.
		{"at a bound", []float64{5, 0.5}, 0.708610, 0.5, 0.085364},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &leastSquares{low: []float64{-5, -5}, high: tt.high, step: []float64{1e-7, 1e-7}, residuals: rosenbrock, size: 2}
			s, err := p.solve([]float64{-1.2, 0.4})
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(s.theta[0]-tt.x) > 1e-4 || math.Abs(s.theta[1]-tt.y) > 1e-4 || math.Abs(s.cost-tt.sum) > 1e-4 {
				t.Errorf("%v with a sum of squares of %g after %d iterations, want (%g, %g) with %g", s.theta, s.cost, s.iterations, tt.x, tt.y, tt.sum)
			}
		})
	}
}

func TestLeastSquaresRefusesNonsense(t *testing.T) {
	p := &leastSquares{low: []float64{0}, high: []float64{1}, step: []float64{1e-3}, size: 1, residuals: func(dst, _ []float64, _ int) { dst[0] = math.NaN() }}
	if _, err := p.solve([]float64{0.5}); err == nil {
		t.Error("no error")
	}
}

// White noise has a correlation time of one sample; noise that keeps the share a from
// sample to sample has (1+a)/(1-a).
func TestCorrelation(t *testing.T) {
	for _, a := range []float64{0, 0.9} {
		e := make([]float64, 40000)
		seed, x := uint32(1), 0.0
		for k := range e {
			seed = seed*1664525 + 1013904223
			x = a*x + float64(seed)/math.MaxUint32 - 0.5
			e[k] = x
		}
		if got, want := correlation(e), (1+a)/(1-a); got < 0.8*want || got > 1.2*want {
			t.Errorf("share %g: correlation time %.2f samples, want %.2f", a, got, want)
		}
	}
}
