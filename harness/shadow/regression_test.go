//go:build !nosim

package shadow

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"
	"pgregory.net/rapid"
)

// Without wandering the filter is the least-squares fit with a prior, which has a
// closed form: (X'X/s^2 + P0^-1) theta = X'y/s^2.
func TestRegressionIsLeastSquares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sigma := []float64{5e-3, 0.2, 0.1}
		r := newRegression(sigma, []float64{0, 0, 0})
		noise := rapid.Float64Range(1e-8, 1e-2).Draw(t, "noise")
		a, b := mat.NewDense(3, 3, nil), mat.NewVecDense(3, nil)
		for i, s := range sigma {
			a.Set(i, i, 1/(s*s))
		}
		for range rapid.IntRange(1, 60).Draw(t, "rows") {
			x := vector{1, rapid.Float64Range(-1, 1).Draw(t, "x1"), rapid.Float64Range(-1, 1).Draw(t, "x2")}
			y := rapid.Float64Range(-1, 1).Draw(t, "y")
			for i := range 3 {
				b.SetVec(i, b.AtVec(i)+x[i]*y/noise)
				for j := range 3 {
					a.Set(i, j, a.At(i, j)+x[i]*x[j]/noise)
				}
			}
			nu, _ := r.innovation(&x, y)
			r.forget(1)
			r.learn(&x, nu, noise)
		}
		var theta mat.VecDense
		if err := theta.SolveVec(a, b); err != nil {
			t.Skip("the normal equations are too ill to solve: ", err)
		}
		var covariance mat.Dense
		if err := covariance.Inverse(a); err != nil {
			t.Skip("likewise: ", err)
		}
		for i := range 3 {
			if d := math.Abs(r.theta[i] - theta.AtVec(i)); d > 1e-6*(1+math.Abs(theta.AtVec(i))) {
				t.Errorf("coefficient %d is %g, least squares give %g", i, r.theta[i], theta.AtVec(i))
			}
			if want := math.Sqrt(covariance.At(i, i)); math.Abs(r.sigma(i)-want) > 1e-6*want {
				t.Errorf("sigma of coefficient %d is %g, least squares give %g", i, r.sigma(i), want)
			}
		}
	})
}

// Years of readings leave the covariance what it has to be: symmetric, positive, and
// within what was believed at the start.
func TestCovarianceStaysSound(t *testing.T) {
	if testing.Short() {
		t.Skip("arithmetic of one goroutine")
	}
	r := newRegression(voltagePrior, voltageDrift)
	for n := range 5_000_000 {
		s := float64(n)
		x := vector{1, 0.02 * math.Sin(s/7), 0.02 * math.Sin(s/9), 0.02 * math.Sin(s/11), 0.01, 0.01}
		if n/100000%2 == 0 { // days of rest
			x = vector{1}
		}
		r.forget(1)
		nu, _ := r.innovation(&x, 1e-3*math.Sin(s/3))
		r.learn(&x, nu, 1e-6)
	}
	p := mat.NewSymDense(terms, nil)
	for i := range terms {
		if v := r.p[i][i]; !(v > 0 && v <= r.prior[i]*(1+1e-9)) {
			t.Errorf("variance %d is %g, want 0..%g", i, v, r.prior[i])
		}
		for j := range terms {
			if r.p[i][j] != r.p[j][i] {
				t.Errorf("covariance %d,%d is %g, %d,%d is %g", i, j, r.p[i][j], j, i, r.p[j][i])
			}
			p.SetSym(i, j, r.p[i][j]/math.Sqrt(r.prior[i]*r.prior[j]))
		}
	}
	var e mat.EigenSym
	if !e.Factorize(p, false) {
		t.Fatal("no eigenvalues")
	}
	if low := mat.Min(mat.NewVecDense(terms, e.Values(nil))); low <= 0 {
		t.Errorf("smallest eigenvalue %g, want above 0", low)
	}
}
