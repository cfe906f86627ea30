//go:build !nosim

package shadow

import "math"

// terms is the most regressors that a regression has.
const terms = 6

type vector [terms]float64

// regression explains a stream of numbers, y = x·theta + noise, by coefficients that
// wander: a Kalman filter whose state is theta and whose transition is identity. How
// far each coefficient wanders is its own, so that one remembers minutes and another
// hours.
type regression struct {
	n     int
	theta vector
	p     [terms]vector // covariance of theta
	prior vector        // variances at the start; forgetting never goes beyond them
	walk  vector        // variance gained per second
}

// newRegression begins at theta = 0 with standard deviations sigma; drift is how far
// each coefficient wanders in an hour, one standard deviation.
func newRegression(sigma, drift []float64) regression {
	r := regression{n: len(sigma)}
	for i := range sigma {
		r.prior[i] = sigma[i] * sigma[i]
		r.walk[i] = drift[i] * drift[i] / 3600
	}
	r.doubt()
	return r
}

// forget lets the coefficients wander for dt seconds.
func (r *regression) forget(dt float64) {
	for i := range r.n {
		if v := &r.p[i][i]; *v < r.prior[i] {
			*v = min(*v+r.walk[i]*dt, r.prior[i])
		}
	}
}

// widen gives coefficient i the variance v beyond what it has.
func (r *regression) widen(i int, v float64) { r.p[i][i] += v }

// doubt gives all coefficients the uncertainty of the start.
func (r *regression) doubt() {
	r.p = [terms]vector{}
	for i := range r.n {
		r.p[i][i] = r.prior[i]
	}
}

// innovation is what y is beyond its prediction, before it has been learnt, with the
// variance of that prediction.
func (r *regression) innovation(x *vector, y float64) (nu, variance float64) {
	nu = y
	for i := range r.n {
		nu -= r.theta[i] * x[i]
		for j := range r.n {
			variance += x[i] * r.p[i][j] * x[j]
		}
	}
	return nu, variance
}

// learn takes in the innovation nu of regressors x, of variance noise beside that of
// the prediction.
func (r *regression) learn(x *vector, nu, noise float64) {
	var px vector
	s := noise
	for i := range r.n {
		for j := range r.n {
			px[i] += r.p[i][j] * x[j]
		}
		s += x[i] * px[i]
	}
	for i := range r.n {
		k := px[i] / s
		r.theta[i] += k * nu
		for j := range i + 1 {
			r.p[i][j] -= k * px[j]
			r.p[j][i] = r.p[i][j] // symmetric to the last bit
		}
	}
}

// sigma is the standard deviation of coefficient i.
func (r *regression) sigma(i int) float64 { return math.Sqrt(max(r.p[i][i], 0)) }
