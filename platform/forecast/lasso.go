package forecast

import (
	"math"

	"gonum.org/v1/gonum/blas/blas64"
)

// lasso minimises ½βᵀGβ − cᵀβ + λ‖β‖₁ by coordinate descent (J. Friedman, T. Hastie,
// R. Tibshirani, J. Stat. Software 33, 2010) on the normal equations, from where it stands: so
// a falling sequence of λ costs little more than its last. Penalties are relative to columns of
// variance 1.
type lasso struct {
	gram     []float64 // p × p
	beta     []float64
	gradient []float64 // c − Gβ
	active   []int
}

func newLasso(gram, c []float64) *lasso {
	return &lasso{gram: gram, beta: make([]float64, len(c)), gradient: append([]float64(nil), c...)}
}

// sweepsAtMost ends a descent that goes on: the columns of neighbouring hours are nearly the
// same, and a forecast has no use for the last digits of who of them has the weight.
const sweepsAtMost = 2000

// solve goes to the minimum for lambda: until a sweep moves no coefficient by tol.
func (l *lasso) solve(lambda, tol float64) {
	for left := sweepsAtMost; left > 0; left-- {
		l.active = l.active[:0]
		moved := 0.0
		for j := range l.beta {
			moved = max(moved, l.update(j, lambda))
			if l.beta[j] != 0 {
				l.active = append(l.active, j)
			}
		}
		if moved < tol {
			return
		}
		for ; left > 0 && moved >= tol; left-- { // those that count, until they rest
			moved = 0
			for _, j := range l.active {
				moved = max(moved, l.update(j, lambda))
			}
		}
	}
}

// update minimises over one coefficient and returns how far it went.
func (l *lasso) update(j int, lambda float64) float64 {
	p := len(l.beta)
	diagonal := l.gram[j*p+j]
	if diagonal < 1e-12 { // a constant column
		return 0
	}
	was := l.beta[j]
	full := l.gradient[j] + diagonal*was
	is := 0.0
	switch {
	case full > lambda:
		is = (full - lambda) / diagonal
	case full < -lambda:
		is = (full + lambda) / diagonal
	}
	if is == was {
		return 0
	}
	l.beta[j] = is
	blas64.Axpy(was-is, blas64.Vector{N: p, Inc: 1, Data: l.gram[j*p : (j+1)*p]}, blas64.Vector{N: p, Inc: 1, Data: l.gradient})
	return math.Abs(is - was)
}
