package forecast

import (
	"fmt"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// member is a window, the regressions over it, and how its target is made comparable. Each
// penalty and each kernel gives a forecast.
type member struct {
	days    int
	asinh   bool
	lambdas []float64 // of lasso, falling
	ridges  []float64
	kernels []kernel
}

// all are the members. Long windows take weak penalties: what can be learned grows with the days.
// They were chosen on 2015 and 2016 of Nord Pool, as docs/market.md says.
var all = []member{
	{days: 84, asinh: true, lambdas: []float64{0.015, 0.005}},
	{days: 1456, asinh: true, lambdas: []float64{0.004, 0.0015}, ridges: []float64{0.01}},
	{days: 1092, asinh: true, kernels: []kernel{
		{linear: 4, reach: 0.5, noise: 0.1, halfLife: 300},
	}},
	{days: 728, asinh: true, kernels: []kernel{
		{linear: 4, reach: 0.3, noise: 0.1, halfLife: 120},
		{linear: 4, reach: 0.3, noise: 0.1, halfLife: 60},
	}},
	{days: 728, asinh: false, kernels: []kernel{
		{linear: 4, reach: 0.3, noise: 0.1, halfLife: 120},
	}},
}

// usualDays is over how many days a usual one is looked for. Of 7, 14, 28 and 56 it was the best for
// the load of 17 homes, and for their solar production.
const usualDays = 14

// plain are what needs no regression: the day before, and the median of the last days at each step.
// A sky that nobody has forecast leaves little more to say, and a price that has been forecast
// gives them no weight.
func plain(s *Series, d int) [][]float64 {
	usual := make([]float64, s.PerDay)
	var days []float64
	for k := range usual {
		days = days[:0]
		for before := 1; before <= usualDays; before++ {
			days = append(days, s.day(s.Target, d-before)[k])
		}
		usual[k] = middle(days)
	}
	return [][]float64{slices.Clone(s.day(s.Target, d-1)), usual}
}

// longest is the longest window, in days.
func longest() (days int) {
	for _, m := range all {
		days = max(days, m.days)
	}
	return days
}

// Members names the members in the order of what Day returns.
func Members() (names []string) {
	for _, m := range all {
		over := fmt.Sprintf("%d days", m.days)
		for _, l := range m.lambdas {
			names = append(names, fmt.Sprintf("lasso %g, %s", l, over))
		}
		for _, l := range m.ridges {
			names = append(names, fmt.Sprintf("ridge %g, %s", l, over))
		}
		for _, k := range m.kernels {
			names = append(names, fmt.Sprintf("kernel %g %g %g %g, %s", k.linear, k.reach, k.noise, k.halfLife, over))
		}
	}
	return append(names, "the day before", fmt.Sprintf("median of %d days", usualDays))
}

// Day is what each member says of day d. It reads the target before d and what was forecast up
// to d. The caller has called Check.
func Day(s *Series, d int) (forecasts [][]float64) {
	s = s.ordered(d)
	for _, m := range all {
		q := newDesign(s, d, m.days, m.asinh)
		if len(m.lambdas)+len(m.ridges) > 0 {
			q.normal()
		}
		forecasts = append(forecasts, q.lassos(m.lambdas)...)
		for _, l := range m.ridges {
			forecasts = append(forecasts, q.ridge(l))
		}
		if len(m.kernels) > 0 {
			products := q.products(likeness(s))
			for _, k := range m.kernels {
				forecasts = append(forecasts, k.forecast(q, products))
			}
		}
	}
	return append(forecasts, plain(s, d)...)
}

// lassos forecasts with each of the penalties.
func (q *design) lassos(lambdas []float64) [][]float64 {
	const tol = 1e-3 // standard deviations of the target
	out := make([][]float64, len(lambdas))
	for i := range out {
		out[i] = make([]float64, q.steps)
	}
	if len(lambdas) == 0 {
		return nil
	}
	for k := range q.steps {
		l := newLasso(q.gram, q.correlation(k))
		for lambda := 0.4; lambda > 1.5*lambdas[0]; lambda /= 2 {
			l.solve(lambda, tol)
		}
		for i, lambda := range lambdas {
			l.solve(lambda, tol)
			out[i][k] = q.value(k, dot(l.beta, q.today()))
		}
	}
	return out
}

// ridge forecasts with the minimum of ½βᵀGβ − cᵀβ + ½λ‖β‖².
func (q *design) ridge(lambda float64) []float64 {
	g := mat.NewSymDense(q.p, append([]float64(nil), q.gram...))
	for j := range q.p {
		g.SetSym(j, j, g.At(j, j)+lambda)
	}
	var factor mat.Cholesky
	factor.Factorize(g) // it is positive definite by λ
	var effect mat.VecDense
	// What the day's row weighs is the same for all steps: one solution serves them.
	_ = factor.SolveVecTo(&effect, mat.NewVecDense(q.p, q.today())) // its error is a high condition, which λ bounds
	out := make([]float64, q.steps)
	for k := range out {
		out[k] = q.value(k, dot(effect.RawVector().Data, q.correlation(k)))
	}
	return out
}
