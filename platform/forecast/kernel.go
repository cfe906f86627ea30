package forecast

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"
)

// kernel is a regression by likeness of days (C. E. Rasmussen, C. K. I. Williams, Gaussian
// Processes for Machine Learning, 2006, chapter 2): days x and y that are v apart from the mean
// on average have the covariance
//
//	linear·x·y/v + exp(−|x − y|²/(2·reach·v)),
//
// each day is seen with noise, and more of it the longer it is ago. What it adds to a linear
// regression are bends, and that a day is above all like days that were like it.
type kernel struct {
	linear, reach, noise float64
	halfLife             float64 // days, in which what a day says becomes half as sure
}

// likeness is how much the columns of features count in it, by kind and lag: what is known of the
// day, and what came at the end of the day before, more than all that is older.
func likeness(s *Series) []float64 {
	b := s.blocks()
	var w []float64
	put := func(n int, x float64) {
		for range n {
			w = append(w, x)
		}
	}
	end := (b + 5) / 6
	put(b-end, 1)
	put(end, 3)
	put(b*(len(targetLags)-1), 0.1)
	for range s.Exog {
		put(b, 2)
		put(b, 0.2)
		put(b, 0.05)
	}
	put(7, 0.5)
	return w
}

// products are x·y of all days of a design, the day that is forecast being the last, with the
// columns weighted.
func (q *design) products(weight []float64) blas64.Symmetric {
	m := q.n + 1
	x := make([]float64, len(q.x))
	for i, v := range q.x {
		x[i] = v * weight[i%q.p]
	}
	s := blas64.Symmetric{N: m, Stride: m, Data: make([]float64, m*m), Uplo: blas.Upper}
	blas64.Syrk(blas.NoTrans, 1, blas64.General{Rows: m, Cols: q.p, Stride: q.p, Data: x}, 0, s)
	return s
}

// forecast is the mean of the process on the day that is forecast.
func (c kernel) forecast(q *design, products blas64.Symmetric) []float64 {
	n, m := q.n, q.n+1
	v := 0.0
	for i := range n {
		v += products.Data[i*m+i] / float64(n)
	}
	if v == 0 { // all days are the same
		v = 1
	}
	covariance := func(i, j int) float64 { // i <= j
		xy := products.Data[i*m+j]
		apart := products.Data[i*m+i] + products.Data[j*m+j] - 2*xy
		return c.linear*xy/v + math.Exp(-apart/(2*c.reach*v))
	}
	k := mat.NewSymDense(n, nil)
	today := mat.NewVecDense(n, nil)
	for i := range n {
		for j := i; j < n; j++ {
			k.SetSym(i, j, covariance(i, j))
		}
		k.SetSym(i, i, k.At(i, i)+c.noise*math.Exp2(float64(n-1-i)/c.halfLife))
		today.SetVec(i, covariance(i, n))
	}
	var factor mat.Cholesky
	factor.Factorize(k) // positive definite by the noise
	var share mat.VecDense
	_ = factor.SolveVecTo(&share, today) // its error is a high condition, which the noise bounds
	out := make([]float64, q.steps)
	for i, a := range share.RawVector().Data {
		blas64.Axpy(a, blas64.Vector{N: q.steps, Inc: 1, Data: q.y[i*q.steps : (i+1)*q.steps]}, blas64.Vector{N: q.steps, Inc: 1, Data: out})
	}
	for step, z := range out {
		out[step] = q.value(step, z)
	}
	return out
}
