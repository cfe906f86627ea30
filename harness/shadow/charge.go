//go:build !nosim

package shadow

import "math"

// charge compares the reported state of charge with counted charge. Over blocks of
// ten minutes or 2 % of the capacity it explains
//
//	change reported - change counted = k*counted + b*hours
//
// by regression: k is what the capacity lacks, b what leaks.
type charge struct {
	tol      *Tolerance
	capacity float64 // A*h of the pack
	reg      regression

	last    float64 // reported, 0..1; NaN before the first
	from    float64 // reported at the start of the block
	counted float64 // charge moved since, share of capacity
	unsure  float64 // variance of that, because nobody knows the current between readings
	seconds float64 // since
	kept    float64 // charge moved since the report last changed
	steps   float64 // smallest change seen in the report, 0..1

	astray  bool    // the last block was beyond tolerance
	jump    float64 // reported at once and not counted, 0 without
	jumping hold
	back    hold
	alarm   alarm
}

const (
	blockS     = 600.0
	blockShare = 0.02
	// sampling is what the count of a block is off by, as a share of it, beside what
	// the distance of the readings makes.
	sampling = 0.002
	// surprise is the innovation of a block, in sigmas, after which the regression
	// begins to learn anew.
	surprise = 4.0
)

var (
	chargePrior = []float64{0.1, 0.02}
	chargeDrift = []float64{0.01, 3e-4}
)

func newCharge(tol *Tolerance, capacityAh float64) charge {
	return charge{tol: tol, capacity: capacityAh, reg: newRegression(chargePrior, chargeDrift), last: math.NaN(), steps: 0.01}
}

// restart begins a new block at the next reading.
func (c *charge) restart() { c.last, c.jump, c.jumping = math.NaN(), 0, 0 }

// trusted reports whether the twin may be drawn to the reported state of charge.
func (c *charge) trusted() bool { return c.jump == 0 && !c.alarm.is("soc") }

// beyond reports whether charge counted and reported have parted since the block began
// by more than the tolerance beyond what is known of the device.
func (c *charge) beyond(soc float64) bool {
	hours := c.seconds / 3600
	parted := soc - c.from - c.counted*(1+c.reg.theta[0]) - c.reg.theta[1]*hours
	return math.Abs(parted) > c.tol.Capacity*math.Abs(c.counted)+2*c.tol.LeakPerH*hours+2*c.steps+3*math.Sqrt(c.unsure)
}

// doubtful reports whether the charge goes astray, so that the voltage may follow it.
func (c *charge) doubtful() bool { return c.astray || c.beyond(c.last) }

// count is one reported state of charge and what has been counted since the last.
type count struct {
	dt     float64 // s
	soc    float64 // reported, 0..1
	moved  float64 // share of capacity
	unsure float64 // share of capacity that moved may be off by
	away   float64 // reported less the twin's
}

// step takes in a report. What comes while it must be quiet says nothing.
func (c *charge) step(x *count, quiet bool) {
	if c.last != c.last {
		c.last = x.soc
		c.begin(x.soc)
		return
	}
	change := x.soc - c.last
	c.last = x.soc
	if d := math.Abs(change); d > 1e-6 {
		c.steps = min(c.steps, d)
		c.kept = 0
	}
	if c.alarm.is("soc") || c.jump != 0 {
		c.settle(x)
		return
	}
	if step := change - x.moved; math.Abs(step) > c.tol.SoCJump {
		c.jump, c.jumping = step, 0
		return
	}
	c.counted += x.moved
	c.kept += x.moved
	c.unsure += sq(x.unsure)
	c.seconds += x.dt
	if c.seconds < blockS && math.Abs(c.counted) < blockShare {
		return
	}
	c.astray = c.beyond(x.soc)
	c.learn(x.soc, quiet)
	c.begin(x.soc)
}

func (c *charge) begin(soc float64) { c.from, c.counted, c.unsure, c.seconds = soc, 0, 0, 0 }

// settle finds out whether a jump stays, and when it is over.
func (c *charge) settle(x *count) {
	stays := math.Abs(x.away) > c.tol.SoCJump/2
	switch {
	case c.alarm.is("soc"):
		if c.back.over(x.dt, !stays, 60) {
			c.alarm.on = false
			c.jump = 0
			c.begin(x.soc)
		}
	case !stays:
		c.jump = 0
		c.begin(x.soc)
	case c.jumping.over(x.dt, true, 10) && !c.alarm.on:
		c.alarm.raise(SensorOffset, "soc", 100*x.away, 0, "%")
		c.back = 0
	}
}

// learn takes in a block and judges, unless it must be quiet.
func (c *charge) learn(soc float64, quiet bool) {
	hours := c.seconds / 3600
	x := vector{c.counted, hours}
	noise := sq(c.steps)/6 + sq(sampling*c.counted) + c.unsure
	c.reg.forget(c.seconds)
	if frozen := math.Abs(c.kept) > 3*c.steps; quiet || frozen {
		return
	}
	nu, predicted := c.reg.innovation(&x, soc-c.from-c.counted)
	if nu*nu > surprise*surprise*(predicted+noise) {
		// What was known does not hold any more, and this block is half of either.
		c.reg.doubt()
		return
	}
	c.reg.learn(&x, nu, noise)
	k, b := c.reg.theta[0], c.reg.theta[1]
	sk, sb := c.reg.sigma(0), c.reg.sigma(1)
	// Both in tolerances, two standard deviations taken off.
	lacks, leaks := (math.Abs(k)-2*sk)/c.tol.Capacity, (-b-2*sb)/c.tol.LeakPerH
	switch {
	case c.alarm.on:
		if math.Abs(k) < c.tol.Capacity/2 && -b < c.tol.LeakPerH/2 {
			c.alarm.on = false
		}
	case lacks > 1 && lacks > leaks:
		c.alarm.raise(CapacityOrLeak, "capacity", -100*k/(1+k), 100*sk, "%")
	case leaks > 1:
		c.alarm.raise(CapacityOrLeak, "leak", -b*c.capacity, sb*c.capacity, "A")
	}
}
