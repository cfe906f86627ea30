package estimate

import "gonum.org/v1/gonum/mat"

// States of the filter, in the order of its vectors.
const (
	iSoC    = iota // 0..1
	iV1            // V, first RC pair
	iV2            // V, second RC pair
	iHyst          // -1..1
	iOffset        // A, what the current sensor reads too much
	order          // of the filter
)

type vector [order]float64

// covariance is P = U*diag(D)*Uᵀ with U unit upper triangular: symmetric by form and
// positive semidefinite as long as no D is below zero, which neither update can
// bring about (Bierman, Factorization Methods for Discrete Sequential Estimation, 1977).
type covariance struct {
	U [order]vector // strictly upper part; the ones of the diagonal are not stored
	D vector
}

// diagonal is the covariance of independent states with these variances.
func diagonal(variance vector) covariance { return covariance{D: variance} }

// variance is that of state i.
func (c *covariance) variance(i int) float64 {
	s := c.D[i]
	for j := i + 1; j < order; j++ {
		s += c.U[i][j] * c.U[i][j] * c.D[j]
	}
	return s
}

// transition is the linear step of the states: each keeps a share of itself, and
// the current offset leaks into those before it.
type transition struct {
	keep   vector // diagonal
	offset vector // column of the offset, its own entry and those after it 0
}

// unchanged leaves all states as they are.
var unchanged = transition{keep: vector{1, 1, 1, 1, 1}}

// predict takes P through the transition and adds independent noise of variance q
// (modified weighted Gram–Schmidt, Thornton 1976).
func (c *covariance) predict(f *transition, q *vector) {
	// Rows of W = [F*U | I], orthogonalised from the last one up with weights [D | q].
	var w [order]vector
	for i := range order {
		w[i][i] = f.keep[i]
		for j := i + 1; j < order; j++ {
			w[i][j] = f.keep[i] * c.U[i][j]
		}
		if k := f.offset[i]; k != 0 {
			w[i][iOffset] += k
			for j := iOffset + 1; j < order; j++ {
				w[i][j] += k * c.U[iOffset][j]
			}
		}
	}
	var noise [order]vector // the right half of W
	for i := range order {
		noise[i][i] = 1
	}
	d := c.D
	for j := order - 1; j >= 0; j-- {
		var s float64
		for k := range order {
			s += w[j][k]*w[j][k]*d[k] + noise[j][k]*noise[j][k]*q[k]
		}
		c.D[j] = s
		if s == 0 { // a state that is known exactly has no company
			for i := range j {
				c.U[i][j] = 0
			}
			continue
		}
		for i := range j {
			var dot float64
			for k := range order {
				dot += w[i][k]*w[j][k]*d[k] + noise[i][k]*noise[j][k]*q[k]
			}
			u := dot / s
			c.U[i][j] = u
			for k := range order {
				w[i][k] -= u * w[j][k]
				noise[i][k] -= u * noise[j][k]
			}
		}
	}
}

// project returns Uᵀ*h and h*P*hᵀ, the variance that the states give a measurement
// of sensitivity h.
func (c *covariance) project(h *vector) (f vector, variance float64) {
	for j := range order {
		f[j] = h[j]
		for i := range j {
			f[j] += c.U[i][j] * h[i]
		}
		variance += f[j] * f[j] * c.D[j]
	}
	return f, variance
}

// update takes in a measurement of noise variance r > 0 whose projection is f, and
// returns the gain (Bierman 1977).
func (c *covariance) update(f *vector, r float64) (gain vector) {
	alpha := r
	for j := range order {
		v := c.D[j] * f[j]
		before := alpha
		alpha += v * f[j]
		c.D[j] *= before / alpha
		lambda := -f[j] / before
		for i := range j {
			u := c.U[i][j]
			c.U[i][j] = u + lambda*gain[i]
			gain[i] += v * u
		}
		gain[j] = v
	}
	for i := range gain {
		gain[i] /= alpha
	}
	return gain
}

// dense is P as a matrix.
func (c *covariance) dense() *mat.SymDense {
	p := mat.NewSymDense(order, nil)
	for k := range order {
		col := mat.NewVecDense(order, nil)
		col.SetVec(k, 1)
		for i := range k {
			col.SetVec(i, c.U[i][k])
		}
		p.SymRankOne(p, c.D[k], col)
	}
	return p
}
