// Package pcs is what stands between the battery and the grid: the power conversion
// system with what it loses, what it is able to do, how late it answers, how fast it
// ramps and how it sleeps; the transformer behind it; and the auxiliary loads.
//
// Signs are passive: AC power above zero is drawn from the grid, DC power above zero
// goes into the battery, reactive power above zero is absorbed as by a coil. With
// p = |S|/rated, S the apparent power on the AC side,
//
//	DC = AC - rated*loss(p), both directions
//
// where loss is that of the direction of the AC power, by formula (Loss) or by table
// over power and DC voltage (Surface). It is taken at the apparent power, because
// the current makes it, not the power (Braun 2007, "Reactive power supplied by PV
// inverters", 22nd EU PVSEC). At exactly zero the converter does not switch and
// draws its standby power from the battery, or what its phase of rest draws (Rest).
//
// A setpoint acts one response delay after it was accepted; from then on active and
// reactive power move towards it in a straight line, the faster of the two at the
// ramp limit. What a converter is able to do (Capability) is convex, so that no point
// on the way lies outside it. When a setpoint expires the power ramps to zero. Within
// a step this makes a chain of straight pieces, and energy and loss are their exact
// integrals, so they do not depend on how a time is cut into steps.
package pcs

import (
	"math"
	"time"
)

// Params are the constants of a converter. They may be shared.
type Params struct {
	RatedW     float64 // W, AC, either direction
	Charge     Loss
	Discharge  Loss
	Surface    *Surface    // takes the place of Charge and Discharge, nil without
	StandbyW   float64     // W, when it moves no power
	Rest       Rest        // phases of rest, zero without
	Capability *Capability // what it is able to do, nil: active power alone, in the range given to Advance
	Delay      time.Duration
	RampWPerS  float64 // W/s, and var/s
}

// At are the conditions that the loss depends on besides the AC power.
type At struct {
	QVar   float64 // var
	DCVolt float64 // V, 0: the nominal one of the surface
	RestW  float64 // W drawn when it moves no power
}

// At are the conditions that s stands in.
func (p *Params) At(s *State) At {
	return At{QVar: s.QVar, DCVolt: s.DCVolt, RestW: p.RestW(s)}
}

// LossW is what is lost at ac watt on the AC side, without reactive power, at
// nominal DC voltage and in standby.
func (p *Params) LossW(ac float64) float64 { return p.LossAt(ac, At{RestW: p.StandbyW}) }

// LossAt is what is lost at ac watt on the AC side.
func (p *Params) LossAt(ac float64, at At) float64 {
	if at.QVar != 0 {
		return p.curveLoss(math.Hypot(ac, at.QVar), ac > 0, at.DCVolt)
	}
	if ac == 0 {
		return at.RestW
	}
	x := math.Abs(ac)
	if l := p.polynomial(ac > 0); l != nil {
		return p.RatedW*l.P0 + x*(l.K1+x*(l.K2/p.RatedW))
	}
	return p.curveLoss(x, ac > 0, at.DCVolt)
}

// curveLoss is the loss in W at an apparent power in VA.
func (p *Params) curveLoss(va float64, charging bool, volt float64) float64 {
	c := p.curve(charging, volt)
	return p.RatedW * c.at(va/p.RatedW)
}

// DC is the power on the DC side at ac watt on the AC side, as LossW.
func (p *Params) DC(ac float64) float64 { return ac - p.LossW(ac) }

// DCAt is the power on the DC side at ac watt on the AC side.
func (p *Params) DCAt(ac float64, at At) float64 { return ac - p.LossAt(ac, at) }

// AC is the inverse of DC. Between its two branches lies what no AC power yields:
// a battery that neither takes power nor gives more than the no-load loss. There
// the converter does not switch, and the grid makes up its standby power.
func (p *Params) AC(dc float64) float64 { return p.ACAt(dc, At{RestW: p.StandbyW}) }

// ACAt is the inverse of DCAt, as AC is that of DC. With reactive power the
// converter switches at every AC power: where the losses of the two directions leave
// a gap in DC power, it answers 0, and where they overlap, the charging branch.
func (p *Params) ACAt(dc float64, at At) float64 {
	if at.QVar != 0 {
		return p.switching(dc, at)
	}
	x := dc / p.RatedW
	if p.idle(dc, at) {
		return dc + at.RestW
	}
	l := p.polynomial(dc > 0)
	switch {
	case l == nil:
		return p.switching(dc, at)
	case dc > 0: // p - P0 - K1*p - K2*p^2 = x
		b, c := 1-l.K1, x+l.P0
		return p.RatedW * 2 * c / (b + math.Sqrt(max(b*b-4*l.K2*c, 0)))
	}
	// p + P0 + K1*p + K2*p^2 = -x
	b, c := 1+l.K1, -x-l.P0
	return -p.RatedW * 2 * c / (b + math.Sqrt(b*b+4*l.K2*c))
}

// switching is the inverse of DCAt by solution.
func (p *Params) switching(dc float64, at At) float64 {
	x, q := dc/p.RatedW, at.QVar/p.RatedW
	if c := p.curve(true, at.DCVolt); x > 0 || q != 0 && x >= -c.at(math.Abs(q)) {
		return p.RatedW * c.solve(x, q, -1)
	}
	c := p.curve(false, at.DCVolt)
	if -x <= c.at(math.Abs(q)) {
		return 0
	}
	return -p.RatedW * c.solve(-x, q, 1)
}

// idle reports whether at dc watt into the battery, and without reactive power, the
// converter does not switch: no more is given than the loss at no load, or just what
// rest draws.
func (p *Params) idle(dc float64, at At) bool {
	c := p.curve(false, at.DCVolt)
	return dc == -at.RestW || dc <= 0 && dc/p.RatedW >= -c.at(0)
}

// polynomial is the loss of a direction if it is a plain polynomial, else nil.
func (p *Params) polynomial(charging bool) *Loss {
	if p.Surface != nil {
		return nil
	}
	l := &p.Discharge
	if charging {
		l = &p.Charge
	}
	if !l.quadratic() {
		return nil
	}
	return l
}

// Flow is what a converter moved in one step.
type Flow struct {
	InJ      float64 // J drawn from the grid
	OutJ     float64 // J delivered to the grid, >= 0
	LossJ    float64 // J lost while it moved power
	StandbyJ float64 // J drawn at rest
	VarS     float64 // var*s absorbed
	VA2S     float64 // VA^2*s, integral of the square of the apparent power
	Bound    bool    // a limit, not the setpoint, was the target at the end
	By       Bound   // the limit
	Steady   bool    // the power was the same all the time
}

// ACJ is the energy taken on the AC side in J, negative when delivered.
func (f *Flow) ACJ() float64 { return f.InJ - f.OutJ }

// DCJ is the energy given to the battery in J, negative when taken from it.
func (f *Flow) DCJ() float64 { return f.InJ - f.OutJ - f.LossJ - f.StandbyJ }

// Constant makes f a step of dt seconds that moves a steady dc watt into the
// battery, without reactive power, at nominal DC voltage and in standby.
func (p *Params) Constant(dc, dt float64, f *Flow) {
	p.ConstantAt(dc, dt, At{RestW: p.StandbyW}, f)
}

// ConstantAt makes f a step of dt seconds that moves a steady dc watt into the battery.
func (p *Params) ConstantAt(dc, dt float64, at At, f *Flow) {
	ac := p.ACAt(dc, at)
	*f = Flow{
		InJ: max(ac, 0) * dt, OutJ: max(-ac, 0) * dt,
		VarS: at.QVar * dt, VA2S: (ac*ac + at.QVar*at.QVar) * dt, Steady: true,
	}
	if at.QVar == 0 && p.idle(dc, at) {
		f.StandbyJ = (ac - dc) * dt
	} else {
		f.LossJ = (ac - dc) * dt
	}
}
