package estimate

import (
	"math"
	"math/rand"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// The factored covariance does what the plain equations do with gonum's matrices.
func TestCovarianceMatchesPlainFilter(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	c := diagonal(vector{0.04, 1e-4, 1e-4, 0.25, 0})
	p := mat.DenseCopyOf(c.dense())
	for n := range 500 {
		var f transition
		var q vector
		for i := range order {
			f.keep[i] = 0.9 + 0.1*rng.Float64()
			q[i] = 1e-6 * rng.Float64()
		}
		f.keep[iSoC], f.keep[iOffset] = 1, 1
		for i := range iOffset {
			f.offset[i] = 0.1 * rng.NormFloat64()
		}
		q[iOffset] = 0
		if n == 100 {
			q[iOffset] = 1e-3
		}
		full := mat.NewDense(order, order, nil)
		noise := mat.NewDense(order, order, nil)
		for i := range order {
			full.Set(i, i, f.keep[i])
			full.Set(i, iOffset, full.At(i, iOffset)+f.offset[i])
			noise.Set(i, i, q[i])
		}
		c.predict(&f, &q)
		var next mat.Dense
		next.Product(full, p, full.T())
		next.Add(&next, noise)

		var h vector
		for i := range h {
			h[i] = rng.NormFloat64()
		}
		r := 1e-4
		proj, variance := c.project(&h)
		hv := mat.NewVecDense(order, h[:])
		var ph mat.VecDense
		ph.MulVec(&next, hv)
		s := mat.Dot(hv, &ph)
		if math.Abs(variance/s-1) > 1e-9 {
			t.Fatalf("step %d: variance %g, want %g", n, variance, s)
		}
		gain := c.update(&proj, r)
		var out mat.Dense
		out.Outer(1/(s+r), &ph, &ph)
		next.Sub(&next, &out)
		p = &next
		for i := range order {
			if want := ph.AtVec(i) / (s + r); math.Abs(gain[i]-want) > 1e-8*(1+math.Abs(want)) {
				t.Fatalf("step %d: gain %d is %g, want %g", n, i, gain[i], want)
			}
		}
		if got := c.dense(); !mat.EqualApprox(got, p, 1e-9) {
			t.Fatalf("step %d: covariance\n%v\nwant\n%v", n, mat.Formatted(got), mat.Formatted(p))
		}
	}
}
