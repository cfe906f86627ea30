package fit

import (
	"errors"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// leastSquares is a nonlinear least-squares problem within bounds.
type leastSquares struct {
	low, high []float64 // of the parameters
	step      []float64 // of the forward differences

	// residuals writes the residuals at theta into dst. changed is the one parameter
	// that differs from the last call with changed below 0, which may spare work.
	residuals func(dst, theta []float64, changed int)
	size      int // number of residuals

	stop func() error // asked before residuals; its error ends the search; may be nil
}

// solution is a minimum found.
type solution struct {
	theta      []float64
	residuals  []float64
	jacobian   *mat.Dense // of the residuals
	cost       float64    // sum of squares
	iterations int
}

var errNoDescent = errors.New("no parameters near the start give finite residuals")

const (
	maxIterations = 60
	smallGain     = 1e-6 // relative, of the cost: less ends the search
	maxDamping    = 1e9
)

// solve minimises by Levenberg–Marquardt with the scaling of Marquardt (1963).
// Parameters at a bound that the gradient holds there sit out an iteration.
func (p *leastSquares) solve(start []float64) (*solution, error) {
	if p.stop == nil {
		p.stop = func() error { return nil }
	}
	n := len(start)
	s := &solution{theta: append([]float64(nil), start...), residuals: make([]float64, p.size), jacobian: mat.NewDense(p.size, n, nil)}
	p.clamp(s.theta)
	p.residuals(s.residuals, s.theta, -1)
	s.cost = floats.Dot(s.residuals, s.residuals)
	if math.IsNaN(s.cost) || math.IsInf(s.cost, 0) {
		return nil, errNoDescent
	}
	damping := 1e-2
	trial, next := make([]float64, n), make([]float64, p.size)
	for s.iterations = 1; s.iterations <= maxIterations; s.iterations++ {
		if err := p.differentiate(s); err != nil {
			return nil, err
		}
		before := s.cost
		for ; damping < maxDamping; damping *= 5 {
			if !p.propose(trial, s, damping) {
				continue
			}
			if err := p.stop(); err != nil {
				return nil, err
			}
			p.residuals(next, trial, -1)
			if cost := floats.Dot(next, next); cost < s.cost {
				s.cost = cost
				copy(s.theta, trial)
				copy(s.residuals, next)
				damping = max(damping/5, 1e-9)
				break
			}
		}
		if damping >= maxDamping || before-s.cost < smallGain*before {
			break
		}
	}
	p.residuals(s.residuals, s.theta, -1)
	return s, p.differentiate(s)
}

func (p *leastSquares) clamp(theta []float64) {
	for j := range theta {
		theta[j] = min(max(theta[j], p.low[j]), p.high[j])
	}
}

// differentiate fills the Jacobian at s.theta, where s.residuals were the last.
func (p *leastSquares) differentiate(s *solution) error {
	theta, r := append([]float64(nil), s.theta...), make([]float64, p.size)
	for j := range theta {
		if err := p.stop(); err != nil {
			return err
		}
		h := p.step[j]
		if theta[j]+h > p.high[j] {
			h = -h
		}
		theta[j] += h
		p.residuals(r, theta, j)
		theta[j] = s.theta[j]
		for k := range r {
			s.jacobian.Set(k, j, (r[k]-s.residuals[k])/h)
		}
	}
	return nil
}

// propose solves (J'J + damping*diag(J'J))*d = -J'r for the free parameters and
// writes theta+d within the bounds.
func (p *leastSquares) propose(trial []float64, s *solution, damping float64) bool {
	n := len(s.theta)
	var normal mat.SymDense
	normal.SymOuterK(1, s.jacobian.T())
	gradient := mat.NewVecDense(n, nil)
	gradient.MulVec(s.jacobian.T(), mat.NewVecDense(p.size, s.residuals))
	for j := range n {
		g := gradient.AtVec(j)
		if s.theta[j] <= p.low[j] && g > 0 || s.theta[j] >= p.high[j] && g < 0 || normal.At(j, j) == 0 {
			for k := range n {
				normal.SetSym(j, k, 0)
			}
			normal.SetSym(j, j, 1)
			gradient.SetVec(j, 0)
		}
		normal.SetSym(j, j, normal.At(j, j)*(1+damping))
	}
	var chol mat.Cholesky
	if !chol.Factorize(&normal) {
		return false
	}
	var d mat.VecDense
	if err := chol.SolveVecTo(&d, gradient); err != nil {
		return false
	}
	floats.SubTo(trial, s.theta, d.RawVector().Data)
	p.clamp(trial)
	return true
}
