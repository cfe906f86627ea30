//go:build !nosim

package shadow

import "math"

// The regressors of the voltage: its level, R0*I, and R0 times the current behind
// low-passes. The low-passes take up what the model's own dynamics lack.
const (
	atLevel = iota
	atOhmic
	atLags
)

// lags are the time constants of the low-passes, s.
var lags = [terms - atLags]float64{5, 20, 80, 320}

// What the coefficients may be at the start and how far they wander in an hour, one
// standard deviation: V for the level, shares of R0 for the others.
var (
	voltagePrior = []float64{5e-3, 0.2, 0.2, 0.2, 0.2, 0.2}
	voltageDrift = []float64{8e-3, 0.4, 0.1, 0.1, 0.1, 0.1}
)

const (
	// correlated is for how long the errors of a model are alike, s: a reading says
	// something new only as its share of this time.
	correlated = 180.0
	// settling is how long the channel only learns, s; after a gap it is resettling.
	settling   = 3600.0
	resettling = 600.0
	// excited is the standard deviation of the resistance, a share, below which it is
	// known because enough current has changed; known is for how long it must have been
	// before it is judged, s.
	excited = 0.1
	known   = 600.0
	// gradual is how long a voltage that leaves its place slowly is looked at, s.
	gradual = 150.0
	// outlier is the innovation, in sigmas of the filter, that it does not learn from,
	// and foreign how long outliers may last before they are taken for real, s.
	outlier = 5.0
	foreign = 120.0
	// scatter is the mean, over scatterS seconds, of innovations squared over their
	// expected variance that counts as a sensor that scatters: four sigma.
	scatter  = 16.0
	scatterS = 60.0
	// scaleS is over how long the filter learns the size of its innovations, s, and
	// scaleMin the least share of the tolerated variance that it comes to rely on.
	scaleS   = 3600.0
	scaleMin = 0.02
)

// voltage watches what the twin leaves of the voltage of a cell.
type voltage struct {
	tol *Tolerance
	reg regression
	lag lowpass
	new mean // resistance of the device when it was new to us, a share beyond its model's

	age   float64 // s of readings so far
	wait  float64 // s until something may be raised again
	busy  float64 // V, overpotential of the last half minute
	scale float64 // of the expected variance, as the innovations of the last hour have it
	nis   float64 // mean of innovations squared over their expected variance
	aside hold    // outliers

	edges    edges
	up, down run
	ohmic    hold
	slow     hold
	noisy    hold
	back     hold
	home     float64 // V, the level that an offset has left
	alarm    alarm
}

// sample is what the twin leaves of one reading, and what it says beside it.
type sample struct {
	dt       float64 // s since the reading before
	left     float64 // V per cell, measured less twin
	amps     float64 // A per cell, now
	ohmic    float64 // ohm, of the twin
	over     float64 // V, its overpotential
	quick    float64 // V, the part of that which comes within a minute
	slope    float64 // V per unit of state of charge
	unsure   float64 // V^2, variance of the twin because nobody knows the current between readings
	anchored bool    // the device reports its state of charge
}

func newVoltage(tol *Tolerance) voltage {
	return voltage{tol: tol, reg: newRegression(voltagePrior, voltageDrift), scale: 1, nis: 1}
}

// restart forgets what came before a gap, but not what is known of the device.
func (v *voltage) restart() {
	v.lag, v.busy, v.nis, v.wait = lowpass{}, 0, 1, resettling
	v.silence()
	v.reg.widen(atLevel, v.reg.prior[atLevel])
}

// silence forgets what was about to be raised.
func (v *voltage) silence() {
	v.up, v.down = run{}, run{}
	v.ohmic, v.slow, v.noisy, v.aside, v.back = 0, 0, 0, 0, 0
}

// step takes in a reading. Nothing is raised while quiet.
func (v *voltage) step(x *sample, quiet bool) {
	v.busy += (math.Abs(x.over) - v.busy) * min(x.dt/30, 1)
	noise := v.noise(x)
	o := v.learn(x, noise)
	v.measure(o.nu*o.nu/noise, x.dt)
	if v.age += x.dt; v.age < settling || v.new.n < known {
		v.acquaint(x.dt)
	}
	v.wait = max(v.wait-x.dt, 0)
	switch {
	case v.age < settling || v.wait > 0 || quiet:
		v.up, v.down = run{}, run{}
	case v.alarm.on:
		v.recover(x)
	default:
		v.up.step(1, v.edges.up, &o, v.tol)
		v.down.step(-1, v.edges.down, &o, v.tol)
		v.judge(x)
	}
}

// noise is the variance that the tolerance expects of a reading, V^2.
func (v *voltage) noise(x *sample) float64 {
	return sq(v.tol.NoiseV) + sq(v.tol.Overpotential*max(math.Abs(x.over), v.busy)) + sq(v.tol.SoC*x.slope) + x.unsure
}

// learn predicts the reading, lets the filter learn from it, and returns what it had
// not foreseen.
func (v *voltage) learn(x *sample, noise float64) observation {
	regressors := vector{atLevel: 1, atOhmic: x.ohmic * x.amps}
	for k, a := range v.lag.amps {
		regressors[atLags+k] = x.ohmic * a
	}
	// The level keeps its memory whatever the size of the innovations.
	v.reg.walk[atLevel] = v.scale * sq(voltageDrift[atLevel]) / 3600
	v.reg.forget(x.dt)
	level := v.reg.theta[atLevel]
	nu, predicted := v.reg.innovation(&regressors, x.left)
	effective := noise * v.scale * max(1, correlated/x.dt)
	if v.up.doubtful(v.tol) || v.down.doubtful(v.tol) {
		effective *= 10 // what is about to be raised is not learnt meanwhile
	}
	far := nu*nu > outlier*outlier*(predicted+effective)
	if v.aside.over(x.dt, far, foreign) {
		v.reg.widen(atLevel, nu*nu)
		far = false
	}
	if !far {
		v.reg.learn(&regressors, nu, effective)
	}
	v.edges.step(nu, math.Sqrt(noise), x.dt)
	return observation{
		nu: nu, level: level, ohmic: regressors[atOhmic], quick: x.quick, weight: sq(v.tol.NoiseV) / noise, dt: x.dt,
	}
}

// measure takes in an innovation squared over its expected variance.
func (v *voltage) measure(nis, dt float64) {
	v.nis += (min(nis, 100) - v.nis) * min(dt/scatterS, 1)
	if !v.alarm.on {
		v.scale = max(v.scale+(min(nis, 25)-v.scale)*min(dt/scaleS, 1), scaleMin)
	}
}

// acquaint takes in what the resistance of the device is when it is new to us.
func (v *voltage) acquaint(dt float64) {
	if v.reg.sigma(atOhmic) < excited {
		v.new.add(v.reg.theta[atOhmic], dt)
	}
}

// rise is by how much the resistance is beyond what it was when the device was new
// to us. Half the tolerance may have been the model's then, and no more.
func (v *voltage) rise() float64 {
	most := v.tol.Resistance / 2
	return v.reg.theta[atOhmic] - min(max(v.new.value, -most), most)
}

// judge raises what is beyond tolerance.
func (v *voltage) judge(x *sample) {
	rise, sigma := v.rise(), v.reg.sigma(atOhmic)
	level, most := v.reg.theta[atLevel], v.tol.ModelV+3*v.tol.SoC*x.slope
	changed := (rise > v.tol.Resistance || rise < -3*v.tol.Resistance) && math.Abs(rise) > 1.5*sigma && v.new.n >= known
	away := math.Abs(level) > most && v.reg.sigma(atLevel) < most/4
	switch {
	case v.ohmic.over(x.dt, changed, 30):
		v.alarm.raise(Resistance, "resistance", 100*rise, 100*sigma, "%")
	case v.up.full(v.tol) && v.clear(&v.up, x):
		v.shifted(&v.up, x)
	case v.down.full(v.tol) && v.clear(&v.down, x):
		v.shifted(&v.down, x)
	case v.slow.over(x.dt, away, 120):
		v.home = 0
		v.astray(level, x.anchored)
	case v.noisy.over(x.dt, v.nis > scatter, 300):
		v.alarm.raise(SensorOffset, "voltage noise", 1e3*v.tol.NoiseV*math.Sqrt(v.nis), 0, "mV")
	default:
		return
	}
	v.silence()
}

// clear reports whether what a CUSUM has found can be named. A voltage that has left
// its place slowly may be the work of a leak, which the channel of the charge will name
// in its own time where it can.
func (v *voltage) clear(r *run, x *sample) bool {
	return r.sudden() || !x.anchored || r.seconds > gradual
}

// shifted raises what a CUSUM has found and lets the level find its new place.
func (v *voltage) shifted(r *run, x *sample) {
	by := r.shift()
	v.home = r.level
	v.astray(by, x.anchored || r.sudden())
	v.reg.widen(atLevel, by*by)
}

// astray raises a voltage that is off by so many V: the sensor's, unless nobody says
// what the state of charge is and it came slowly, as charge does that is lost.
func (v *voltage) astray(by float64, sensor bool) {
	cause, what := SensorOffset, "voltage"
	if !sensor {
		cause, what = CapacityOrLeak, "drift"
	}
	v.alarm.raise(cause, what, 1e3*by, 1e3*v.reg.sigma(atLevel), "mV")
}

// recover clears the finding when it is over.
func (v *voltage) recover(x *sample) {
	var gone bool
	need := 120.0
	switch v.alarm.finding.What {
	case "resistance":
		rise := v.rise()
		gone, need = rise < v.tol.Resistance/2 && rise > -2*v.tol.Resistance, 600
	case "voltage noise":
		gone = v.nis < scatter/4
	default:
		limit := v.tol.OffsetV / 2
		if v.home == 0 {
			limit = v.tol.ModelV / 2
		}
		gone = math.Abs(v.reg.theta[atLevel]-v.home) < limit
	}
	if v.back.over(x.dt, gone, need) {
		v.alarm.on = false
		v.silence()
	}
}

// lowpass is the current behind the low-passes.
type lowpass struct {
	amps  [len(lags)]float64 // A
	share [len(lags)]float64 // of the way that each goes in dt
	dt    float64            // s
}

// step lets amps flow for dt seconds.
func (l *lowpass) step(amps, dt float64) {
	if dt != l.dt {
		l.dt = dt
		for k, tau := range lags {
			l.share[k] = -math.Expm1(-dt / tau)
		}
	}
	for k := range l.amps {
		l.amps[k] += (amps - l.amps[k]) * l.share[k]
	}
}

// mean is the mean of what was added, and for how long, s.
type mean struct{ value, n float64 }

func (m *mean) add(x, dt float64) {
	m.n += dt
	m.value += (x - m.value) * dt / m.n
}

func sq(x float64) float64 { return x * x }
