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

// What the coefficients may be at the start and how far they wander in an hour: V
// for the level, shares of R0 for the others.
var (
	voltagePrior = []float64{5e-3, 0.2, 0.2, 0.2, 0.2, 0.2}
	voltageDrift = []float64{8e-3, 0.4, 0.1, 0.1, 0.1, 0.1}
)

const (
	// correlated is for how long the errors of a model are alike, s: a reading says
	// something new only as its share of this time.
	correlated = 180.0
	// settling is how long the channel only learns, s. known is how long the
	// resistance must have been known in that time, s.
	settling = 3600.0
	known    = 600.0
	// outlier is the innovation, in sigmas of the filter, that it does not learn from.
	outlier = 5.0
	// foreign is how long outliers are passed over before they are taken for real, s.
	foreign = 120.0
	// scatter is the mean of innovations squared over their expected variance that
	// counts as a sensor that scatters: four sigma. scatterS is over how long it is taken.
	scatter  = 16.0
	scatterS = 60.0
	// scaleS is over how long the filter learns the size of its innovations, s, and
	// scaleMin the least share of the tolerated variance that it comes to rely on.
	scaleS   = 3600.0
	scaleMin = 0.02
	// excited is the standard deviation of the resistance, a share, below which it is
	// known: enough current has changed.
	excited = 0.1
)

// voltage watches what the twin leaves of the voltage of a cell.
type voltage struct {
	tol *Tolerance
	reg regression

	lag    [len(lags)]float64 // A, current behind the low-passes
	share  [len(lags)]float64 // of the way that a low-pass goes in dt
	dt     float64            // s, that share holds for
	busy   float64            // V, overpotential of the last half minute
	age    float64            // s of readings so far
	before float64            // V, innovation of the reading before
	scale  float64            // of the expected variance, as the innovations of the last hour have it
	nis    float64            // mean of innovation squared over its expected variance
	up     run
	down   run

	aside hold // outliers
	ohmic hold
	off   hold
	noisy hold
	back  hold
	home  float64 // V, the level that a voltage offset has left
	new   mean    // resistance of the device when it was new to us, a share beyond its model's
	alarm alarm
}

// sample is what the twin leaves of one reading.
type sample struct {
	dt       float64 // s since the reading before
	left     float64 // V per cell, measured less twin
	amps     float64 // A per cell, now
	mean     float64 // A per cell, since the reading before
	ohmic    float64 // ohm, of the twin
	over     float64 // V, its overpotential
	quick    float64 // V, the part of that which comes within a minute
	slope    float64 // V per unit of state of charge
	anchored bool    // the device reports its state of charge
}

func newVoltage(tol *Tolerance) voltage {
	return voltage{tol: tol, reg: newRegression(voltagePrior, voltageDrift), scale: 1, nis: 1}
}

// restart forgets what came before a gap, but not what is known of the device.
func (v *voltage) restart() {
	v.lag, v.busy, v.age, v.nis = [len(lags)]float64{}, 0, 0, 1
	v.up, v.down = run{}, run{}
	v.ohmic, v.off, v.noisy, v.aside = 0, 0, 0, 0
	v.reg.widen(atLevel, v.reg.prior[atLevel])
}

// step takes in a reading. Nothing is raised while quiet.
func (v *voltage) step(x *sample, quiet bool) {
	v.follow(x)
	noise := sq(v.tol.NoiseV) + sq(v.tol.Overpotential*max(math.Abs(x.over), v.busy)) + sq(v.tol.SoC*x.slope)
	regressors := vector{atLevel: 1, atOhmic: x.ohmic * x.amps}
	for k, a := range v.lag {
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
	if far := nu*nu > outlier*outlier*(predicted+effective); !far {
		v.aside = 0
		v.reg.learn(&regressors, nu, effective)
	} else if v.aside.over(x.dt, true, foreign) {
		v.reg.widen(atLevel, nu*nu)
		v.aside = 0
	}
	v.nis += (min(nu*nu/noise, 100) - v.nis) * min(x.dt/scatterS, 1)
	if !v.alarm.on {
		v.scale = max(v.scale+(min(nu*nu/noise, 25)-v.scale)*min(x.dt/scaleS, 1), scaleMin)
	}
	v.age += x.dt
	if (v.age < settling || v.new.n < known) && v.reg.sigma(atOhmic) < excited {
		v.new.add(v.reg.theta[atOhmic], x.dt)
	}
	if v.age < settling || quiet {
		v.up, v.down = run{}, run{}
		return
	}
	if v.alarm.on {
		v.recover(x)
		return
	}
	weight := sq(v.tol.NoiseV) / noise
	o := observation{nu: nu, rise: nu - v.before, level: level, ohmic: regressors[atOhmic], quick: x.quick, weight: weight, dt: x.dt}
	v.before = nu
	v.up.step(1, &o, v.tol)
	v.down.step(-1, &o, v.tol)
	v.judge(x)
}

// follow moves the low-passes on.
func (v *voltage) follow(x *sample) {
	if x.dt != v.dt {
		v.dt = x.dt
		for k, tau := range lags {
			v.share[k] = -math.Expm1(-x.dt / tau)
		}
	}
	for k := range v.lag {
		v.lag[k] += (x.mean - v.lag[k]) * v.share[k]
	}
	v.busy += (math.Abs(x.over) - v.busy) * min(x.dt/30, 1)
}

// judge raises what is beyond tolerance.
func (v *voltage) judge(x *sample) {
	rise, sigma := v.rise(), v.reg.sigma(atOhmic)
	level := v.reg.theta[atLevel]
	beyond := (rise > v.tol.Resistance || rise < -3*v.tol.Resistance) && math.Abs(rise) > 1.5*sigma && v.new.n >= known
	slow := v.tol.ModelV + 3*v.tol.SoC*x.slope
	switch {
	case v.ohmic.over(x.dt, beyond, 30):
		v.alarm.raise(Resistance, "resistance", 100*rise, 100*sigma, "%")
	case v.up.full(v.tol):
		v.offset(&v.up, x)
	case v.down.full(v.tol):
		v.offset(&v.down, x)
	case v.off.over(x.dt, math.Abs(level) > slow && v.reg.sigma(atLevel) < slow/4, 120):
		v.home = 0
		v.astray(level, x.anchored)
	case v.noisy.over(x.dt, v.nis > scatter, 300):
		v.alarm.raise(SensorOffset, "voltage noise", 1e3*v.tol.NoiseV*math.Sqrt(v.nis), 0, "mV")
	default:
		return
	}
	v.up, v.down = run{}, run{}
	v.ohmic, v.off, v.noisy, v.back = 0, 0, 0, 0
}

// rise is by how much the resistance is beyond what it was when the device was new
// to us. Half the tolerance may have been the model's then, and no more.
func (v *voltage) rise() float64 {
	most := v.tol.Resistance / 2
	return v.reg.theta[atOhmic] - min(max(v.new.value, -most), most)
}

// offset raises what a CUSUM has found and lets the level find its new place.
func (v *voltage) offset(r *run, x *sample) {
	shift := r.shift()
	v.home = r.level
	v.astray(shift, x.anchored || r.sudden())
	v.reg.widen(atLevel, shift*shift)
}

// astray raises a voltage that is off by so many V: the sensor's, unless nobody says
// what the state of charge is and it came slowly, as charge does that is lost.
func (v *voltage) astray(by float64, sensor bool) {
	if sensor {
		v.alarm.raise(SensorOffset, "voltage", 1e3*by, 1e3*v.reg.sigma(atLevel), "mV")
		return
	}
	v.alarm.raise(CapacityOrLeak, "drift", 1e3*by, 1e3*v.reg.sigma(atLevel), "mV")
}

// recover clears the finding when it is over.
func (v *voltage) recover(x *sample) {
	var gone bool
	need := 120.0
	switch v.alarm.finding.What {
	case "resistance":
		rise := v.rise()
		gone = rise < v.tol.Resistance/2 && rise > -2*v.tol.Resistance
		need = 600
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
	}
}

func sq(x float64) float64 { return x * x }

// mean is the mean of what was added, and for how long, s.
type mean struct{ value, n float64 }

func (m *mean) add(x, dt float64) {
	m.n += dt
	m.value += (x - m.value) * dt / m.n
}
