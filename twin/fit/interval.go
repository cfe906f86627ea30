package fit

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"yunchu/twin/cell"
)

// Confidence is the probability of the intervals of a fit.
const Confidence = 0.95

const quantile = 1.959963984540054 // of the standard normal distribution at 0.975

// Interval is the range of a parameter of a cell file.
type Interval struct {
	Key       string // as in the file
	Low, High float64
}

// result is the cell at s with its intervals: Confidence of the normal distribution
// whose covariance is the inverse of J'J. The residuals are in units of their RMSE
// times the root of the number of readings in a correlation time, so what is
// correlated is not counted twice; that the model itself is wrong is not in them.
func (p *problem) result(s *solution) (*Result, error) {
	c := p.params(s.theta, -1)
	m, err := cell.New(c)
	if err != nil {
		return nil, fmt.Errorf("fit: %w", err)
	}
	out := &Result{Params: c, SigmaV: p.sigmaV, CorrelationS: p.correlationS, Iterations: s.iterations}
	for _, r := range p.Records {
		out.Scores = append(out.Scores, r.Score(m, WindowLow, WindowHigh))
	}
	cov, err := s.covariance()
	if err != nil {
		return nil, err
	}
	out.Intervals = p.intervals(s.theta, cov)
	return out, nil
}

// covariance is the inverse of J'J.
func (s *solution) covariance() (*mat.SymDense, error) {
	var normal, cov mat.SymDense
	normal.SymOuterK(1, s.jacobian.T())
	var chol mat.Cholesky
	if !chol.Factorize(&normal) {
		return nil, errors.New("fit: the records leave some parameter undetermined")
	}
	if err := chol.InverseTo(&cov); err != nil {
		return nil, fmt.Errorf("fit: covariance: %w", err)
	}
	return &cov, nil
}

// quantity is a number of a cell file as a function of the parameters.
type quantity struct {
	key  string
	of   func(c *cell.Params) float64
	log  bool    // above 0: its logarithm is what is normal
	most float64 // it can be
}

func quantities() []quantity {
	var q []quantity
	for j := range knots {
		q = append(q, quantity{fmt.Sprintf("resistance.R_tot_ref_ohm[%d]", j), func(c *cell.Params) float64 { return c.Resistance.Value[j] }, true, math.Inf(1)})
	}
	for k := range 3 {
		q = append(q, quantity{fmt.Sprintf("resistance.frac.R%d", k), func(c *cell.Params) float64 { return c.Fraction[k] }, true, math.Inf(1)})
	}
	for k := range 3 {
		q = append(q, quantity{fmt.Sprintf("resistance.Ea_J_per_mol.R%d", k), func(c *cell.Params) float64 { return c.Activation[k] }, false, math.Inf(1)})
	}
	for k := range 2 {
		q = append(q, quantity{fmt.Sprintf("resistance.tau_s.tau%d", k+1), func(c *cell.Params) float64 { return c.Tau[k] }, true, math.Inf(1)})
	}
	return append(q,
		quantity{"hysteresis.gamma", func(c *cell.Params) float64 { return c.Gamma }, true, math.Inf(1)},
		quantity{"coulombic_efficiency_charge", func(c *cell.Params) float64 { return c.CoulombicEfficiency }, false, 1})
}

// intervals are those of all quantities, to first order in the parameters.
func (p *problem) intervals(theta []float64, cov *mat.SymDense) (out []Interval) {
	base, moved := p.params(theta, -1), append([]float64(nil), theta...)
	qs := quantities()
	gradient := mat.NewDense(len(qs), len(theta), nil)
	for j := range theta {
		h := p.beliefs[j].step
		moved[j] += h
		c := p.params(moved, -1)
		for i, q := range qs {
			a, b := q.of(&base), q.of(&c)
			if q.log {
				a, b = math.Log(a), math.Log(b)
			}
			gradient.Set(i, j, (b-a)/h)
		}
		moved[j] = theta[j]
	}
	for i, q := range qs {
		g := gradient.RowView(i)
		half := quantile * math.Sqrt(mat.Inner(g, cov, g))
		y := q.of(&base)
		if q.log {
			out = append(out, Interval{q.key, y * math.Exp(-half), y * math.Exp(half)})
		} else {
			out = append(out, Interval{q.key, max(0, y-half), min(y+half, q.most)})
		}
	}
	return out
}
