package forecast

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestLassoOfAnOrthogonalDesign: there each coefficient is its correlation, drawn to 0 by λ.
func TestLassoOfAnOrthogonalDesign(t *testing.T) {
	gram := []float64{1, 0, 0, 0, 1, 0, 0, 0, 1}
	l := newLasso(gram, []float64{0.8, -0.3, 0.1})
	for _, tt := range []struct {
		lambda float64
		want   [3]float64
	}{
		{1, [3]float64{0, 0, 0}},
		{0.5, [3]float64{0.3, 0, 0}},
		{0.2, [3]float64{0.6, -0.1, 0}},
		{0, [3]float64{0.8, -0.3, 0.1}},
	} {
		l.solve(tt.lambda, 1e-12)
		for j, want := range tt.want {
			if got := l.beta[j]; math.Abs(got-want) > 1e-12 {
				t.Errorf("λ %g: coefficient %d is %g, want %g", tt.lambda, j, got, want)
			}
		}
	}
}

// TestLassoOptimality: at the minimum the gradient of a coefficient that is not 0 is λ with its
// sign, and that of one that is 0 is at most λ (Karush, Kuhn, Tucker).
func TestLassoOptimality(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const n, p = 80, 30
	x := make([]float64, n*p)
	for i := range x {
		x[i] = r.NormFloat64()
		if i%p > 0 {
			x[i] += 0.9 * x[i-1] // neighbours are alike, as hours are
		}
	}
	standardise(x, n, p)
	gram, c := make([]float64, p*p), make([]float64, p)
	for i := range n {
		y := x[i*p+3] - 2*x[i*p+17] + r.NormFloat64()
		for j := range p {
			c[j] += x[i*p+j] * y / n
			for k := range p {
				gram[j*p+k] += x[i*p+j] * x[i*p+k] / n
			}
		}
	}
	l := newLasso(gram, c)
	for _, lambda := range []float64{0.5, 0.1, 0.02, 0.004} {
		l.solve(lambda, 1e-10)
		some := 0
		for j, b := range l.beta {
			g := c[j]
			for k := range p {
				g -= gram[j*p+k] * l.beta[k]
			}
			if b != 0 {
				some++
				if math.Abs(g-math.Copysign(lambda, b)) > 1e-7 {
					t.Errorf("λ %g: coefficient %d is %g with gradient %g", lambda, j, b, g)
				}
			} else if math.Abs(g) > lambda+1e-7 {
				t.Errorf("λ %g: coefficient %d is 0 with gradient %g", lambda, j, g)
			}
		}
		if some == 0 || lambda == 0.5 && some == p {
			t.Errorf("λ %g: %d of %d coefficients are not 0", lambda, some, p)
		}
	}
}
