//go:build !nosim

package shadow

import "math"

const (
	// allowance is the share of the tolerance that a deviation may have for ever.
	allowance = 0.65
	// cusumS is how long a deviation of the full tolerance beyond that takes, s.
	cusumS = 16.0
	// clearly is by what factor a shift must explain better than a growth does, and
	// patience for how long that is waited for, s.
	clearly  = 1.25
	patience = 300.0
)

// run is one side of a CUSUM: the sum of what deviations are beyond the
// allowance, since the last time that it was nothing. Deviations under a large
// overpotential weigh less, as the twin knows less there.
type run struct {
	sum   float64 // V*s
	level float64 // V, of the filter when the run began

	// Of the deviations from that level since then, weighted:
	n       float64
	seconds float64
	shifts  float64 // sum of deviations, V
	ohmic   growth
	quick   growth

	edge float64 // V, the largest since then and in the minute before
}

// growth is how well a deviation goes with one overpotential of the twin, as it does
// when a resistance has grown.
type growth struct{ mixed, square float64 } // V^2

func (g *growth) add(y, over, weight float64) {
	g.mixed += weight * y * over
	g.square += weight * over * over
}

// explains is what the growth takes off the sum of squares, V^2. Resistance does not
// fall by more than half, nor does it double at once.
func (g *growth) explains() float64 {
	if g.square == 0 {
		return 0
	}
	by := min(max(g.mixed/g.square, -0.5), 1)
	return by * (2*g.mixed - by*g.square)
}

// observation is what the filter did not foresee in one reading.
type observation struct {
	nu     float64 // V
	level  float64 // V, of the filter before this reading
	ohmic  float64 // V, R0*I
	quick  float64 // V, overpotential that comes within a minute
	weight float64 // 0..1
	dt     float64 // s
}

// step adds an observation; edge is the largest rise of the last minute, V. A single
// reading counts for no more than three tolerances and no more than a third of the way,
// so that one wrong value raises nothing.
func (r *run) step(sign, edge float64, o *observation, tol *Tolerance) {
	gain := o.weight * (min(sign*o.nu, 3*tol.OffsetV) - allowance*tol.OffsetV) * o.dt
	sum := r.sum + min(gain, tol.OffsetV*cusumS/3)
	if sum <= 0 {
		*r = run{}
		return
	}
	if r.n == 0 {
		r.level = o.level
	}
	r.sum, r.edge = sum, max(r.edge, edge)
	y := o.nu + o.level - r.level
	r.n += o.weight
	r.seconds += o.dt
	r.shifts += o.weight * y
	r.ohmic.add(y, o.ohmic, o.weight)
	r.quick.add(y, o.quick, o.weight)
}

// doubtful reports whether the run has come so far that the level must wait for it.
func (r *run) doubtful(tol *Tolerance) bool { return r.sum > tol.OffsetV*cusumS/8 && r.shifted(1) }

// full reports whether the run has come far enough and is a shift beyond doubt. Under
// a steady current nobody can tell a shift from a growth of resistance; when the
// current stays so, a shift is the likelier: resistance does not change in minutes.
func (r *run) full(tol *Tolerance) bool {
	return r.sum > tol.OffsetV*cusumS && (r.shifted(clearly) || r.seconds > patience && r.shifted(1))
}

// shifted reports whether a shift explains the run better by a factor than a growth of
// the ohmic or of the quick overpotential does: of the fits with one parameter, the one
// that takes most off the sum of squares.
func (r *run) shifted(factor float64) bool {
	return r.shifts*r.shifts/r.n >= factor*max(r.ohmic.explains(), r.quick.explains())
}

// sudden reports whether the shift came from one reading to the next.
func (r *run) sudden() bool { return r.edge > math.Abs(r.shift())/3 }

// shift is the mean deviation since the run began, V.
func (r *run) shift() float64 { return r.shifts / r.n }

// edges are the largest rises of the innovation from one reading to the next in the
// last minute, up and down, two of its standard deviations taken off, V.
type edges struct{ before, up, down float64 }

func (e *edges) step(nu, sigma, dt float64) {
	rise, fade := nu-e.before, math.Exp(-dt/60)
	e.before = nu
	e.up = max(e.up*fade, rise-2*sigma)
	e.down = max(e.down*fade, -rise-2*sigma)
}
