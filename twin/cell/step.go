package cell

import "math"

// Flow is what one step of a cell moved, as means over the step. Steps fill in the
// one they are given: returned by value it would cost a tenth of the step.
// PowerW = StoredW + HeatW - EntropicW holds to rounding.
type Flow struct {
	CurrentA  float64 // into the terminals
	InnerA    float64 // through the cell itself: less by the current of a short
	VoltageV  float64 // at the terminals
	PowerW    float64 // into the terminals
	StoredW   float64 // integral of U_a dq: into chemical energy and entropy
	HeatW     float64 // made in the cell, entropic part and short included
	EntropicW float64 // I*T*dU/dT, the reversible part of HeatW
}

// StepPower moves the cell on by one step during which it takes p watt. i is the
// terminal current at the start, c.Current(p); tMid the temperature in K half a
// step on. The power asked for is met to 1e-11 of its size, unless p is more than
// the cell can give: then it gives about the most it can.
func (c *Cell) StepPower(p, i, tMid float64, t *Tick, f *Flow) {
	var a arc
	if c.leak != 0 {
		i -= c.leak * c.Voltage(i)
	}
	a.begin(c, i, tMid, t)
	a.takePower(c, p)
	a.finish(c, t, f)
}

// StepCurrent moves the cell on by one step during which i ampere flow into its
// terminals; tMid is the temperature in K half a step on.
func (c *Cell) StepCurrent(i, tMid float64, t *Tick, f *Flow) {
	var a arc
	inner := i
	if c.leak != 0 {
		inner -= c.leak * c.Voltage(i)
	}
	a.begin(c, inner, tMid, t)
	a.take(c, inner)
	for range maxIterations {
		d := a.i + c.leak*a.v - i
		if math.Abs(d) <= tolerance*math.Abs(i) {
			break
		}
		a.take(c, a.i-d/(1+c.leak*a.slope))
	}
	a.finish(c, t, f)
}

// StepInner is StepCurrent with the current through the cell itself given, which
// differs from that at the terminals by the current of a short.
func (c *Cell) StepInner(i, tMid float64, t *Tick, f *Flow) {
	var a arc
	a.begin(c, i, tMid, t)
	a.take(c, i)
	a.finish(c, t, f)
}

const (
	tolerance     = 1e-11 // relative, of the power or current asked for
	maxIterations = 12
)

// arc is a step in the making. What begin sets stays frozen while the current is
// sought; take fills in the rest for one current.
type arc struct {
	theta      float64 // K, temperature over reference at mid-step
	tMid       float64 // K
	m          float64 // V, half gap at mid-step
	r0, r1, r2 float64 // ohm at mid-step
	perA       float64 // state of charge per ampere on discharge; times the efficiency on charge
	base       float64 // V, mean of what is left of the RC pairs' voltages at the start
	rStep      float64 // ohm, mean overpotential per current without hysteresis
	slope      float64 // ohm, mean terminal voltage per current

	i       float64 // A, through the cell itself
	v       float64 // V, mean terminal voltage
	z       float64 // state of charge at the end
	hyst    float64 // at the end
	ocv     float64 // V, mean U_a
	entropy float64 // V/K, mean dU/dT
	over    float64 // V, mean overpotential
}

// begin freezes the middle of the step as the inner current i puts it.
func (a *arc) begin(c *Cell, i, tMid float64, t *Tick) {
	m := c.m
	a.tMid = tMid
	a.theta = tMid - m.tRef
	a.perA = t.dt * c.invQ
	dz := a.perA * i
	toward := -1.0
	if i > 0 {
		dz *= m.eta
		toward = 1
	}
	mid := c.s.SoC + dz/2
	s := &m.grid.spans[m.grid.near(c.at, mid)]
	d := mid - s.from
	a.m = s.m + s.dm*d
	r := c.kr * (s.r + s.dr*d)
	f0, f1, f2 := m.arrhenius.nearby(&c.f, tMid-c.s.TempK)
	a.r0, a.r1, a.r2 = r*m.frac[0]*f0, r*m.frac[1]*f1, r*m.frac[2]*f2

	a.base = c.s.V1*t.phi[0] + c.s.V2*t.phi[1]
	a.rStep = a.r0 + a.r1*(1-t.phi[0]) + a.r2*(1-t.phi[1])
	// 1 - phi(k) = k/2 - k^2/6 + ..; the second term at the expected current makes
	// the line through zero current a secant.
	k := m.gamma * math.Abs(dz)
	secant := 1 - k*(1.0/3)*(1-k*(1.0/4))
	a.slope = a.rStep + a.perA/2*(s.du+a.theta*s.de+a.m*m.gamma*secant*(1-toward*c.s.Hyst))
}

// take works out the step with inner current i: table integral of U_a, exact
// means of h and of the RC pairs.
func (a *arc) take(c *Cell, i float64) {
	dz := a.perA * i
	branch := -1.0
	if i > 0 {
		dz *= c.m.eta
		branch = 1
	}
	a.i = i
	a.z = c.s.SoC + dz
	k := c.m.gamma * math.Abs(dz)
	ph := phi(k)
	far := c.s.Hyst - branch
	a.hyst = c.s.Hyst - far*k*ph // exp(-k) = 1 - k*phi(k)
	s := &c.m.grid.spans[c.at]
	d := c.s.SoC + dz/2 - s.from
	u, e := s.u+s.du*d, s.e+s.de*d // mean of a line
	if a.z < s.from || a.z > s.to {
		u, e = c.m.grid.mean(c.at, c.s.SoC, a.z)
	}
	a.entropy = e
	a.ocv = u + a.theta*e
	a.over = a.m*(branch+far*ph) + a.base + a.rStep*i
	a.v = a.ocv + a.over
}

// takePower finds the inner current with which the step takes p watt, the root of
// v*(i + leak*v) = p with v the mean terminal voltage.
func (a *arc) takePower(c *Cell, p float64) {
	if p == 0 && c.leak == 0 {
		a.take(c, 0)
		return
	}
	// The mean voltage is a line in the current but for the kinks of the tables and
	// the curvature of the hysteresis: the quadratic is all but the answer. A short
	// turns the line v = e + slope*i into that of an equivalent source.
	e := c.u + (a.tMid-c.s.TempK)*c.en + a.m*c.s.Hyst + a.base
	r, leak := a.slope, c.leak
	i, enough := 0.0, false
	if leak == 0 {
		i, enough = root(e, r, p)
	} else {
		short := 1 + leak*r
		i, enough = root(e/short, r/short, p)
		i -= leak * (e + r*i) / short
	}
	a.take(c, i)
	scale := tolerance * (math.Abs(p) + leak*e*e)
	for n := 0; n < maxIterations && enough; n++ {
		f := a.v*(a.i+leak*a.v) - p
		if math.Abs(f) <= scale {
			return
		}
		a.take(c, a.i-f/(a.v+r*(a.i+2*leak*a.v)))
	}
}

// finish moves c to the end of the step. The temperature is left to the caller,
// who ends the step with SetTemp.
func (a *arc) finish(c *Cell, t *Tick, f *Flow) {
	i, leak := a.i, c.leak*a.v
	c.s.SoC = a.z
	c.s.Hyst = a.hyst
	c.s.V1 = a.r1*i + (c.s.V1-a.r1*i)*t.decay[0]
	c.s.V2 = a.r2*i + (c.s.V2-a.r2*i)*t.decay[1]
	c.at = c.m.grid.near(c.at, a.z)
	entropic := i * a.tMid * a.entropy
	f.CurrentA = i + leak
	f.InnerA = i
	f.VoltageV = a.v
	f.PowerW = a.v * (i + leak)
	f.StoredW = i * a.ocv
	f.HeatW = i*a.over + entropic + leak*a.v
	f.EntropicW = entropic
}
