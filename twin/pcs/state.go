package pcs

import (
	"math"
	"time"
)

// Never is the expiry of a setpoint that does not expire.
const Never = time.Duration(math.MaxInt64)

// Setpoint is a power to be held until it expires. Times are measured from an
// instant of the caller's choice.
type Setpoint struct {
	PowerW float64       // AC
	QVar   float64       // var, AC
	From   time.Duration // when it begins to act
	Until  time.Duration // when the power ramps to zero by itself
}

// State is all a converter remembers. It is a value: copy it to take a snapshot.
// DCVolt and AirK are set by whoever knows them, before a step.
type State struct {
	PowerW float64     // W, AC power now
	QVar   float64     // var, AC reactive power now
	Active Setpoint    // what it follows
	Queue  [2]Setpoint // accepted and not yet acting, in order
	Queued int

	DCVolt float64 // V at the DC terminals, 0: the nominal one
	AirK   float64 // K of the cooling air, 0: no derating by it

	Phase  Phase
	Moving bool          // it moved power at the end of the last step
	Since  time.Duration // when it came to rest
	WakeAt time.Duration // when it will be awake, in phase Waking
}

// Accept takes a setpoint without reactive power, as AcceptPQ.
func (p *Params) Accept(s *State, now time.Duration, powerW float64, until time.Duration) {
	p.AcceptPQ(s, now, powerW, 0, until)
}

// AcceptPQ takes a setpoint at now: it begins to act a response delay later. Of
// those that wait, the first keeps its turn and the newest follows it; what came
// between is dropped.
func (p *Params) AcceptPQ(s *State, now time.Duration, powerW, qVar float64, until time.Duration) {
	sp := Setpoint{PowerW: powerW, QVar: qVar, From: now + p.Delay, Until: until}
	for s.Queued > 0 && s.Queue[s.Queued-1].From >= sp.From {
		s.Queued-- // accepted at the same moment or later: the new one stands for it
	}
	s.Queued = min(s.Queued, 1)
	s.Queue[s.Queued] = sp
	s.Queued++
}

// Cancel drops all setpoints: the power ramps to zero from now on.
func (s *State) Cancel() {
	s.Active = Setpoint{Until: Never}
	s.Queued = 0
}

// Trip drops all setpoints and the power with them, at once.
func (s *State) Trip() {
	s.Cancel()
	s.PowerW, s.QVar = 0, 0
}

// point is a pair of active and reactive power, in W and var.
type point struct{ p, q float64 }

func (s *State) point() point { return point{s.PowerW, s.QVar} }

// turn gives the setpoints whose time has come at t their turn.
func (s *State) turn(t time.Duration) {
	for s.Queued > 0 && s.Queue[0].From <= t {
		s.Active = s.Queue[0]
		s.Queue[0] = s.Queue[1]
		s.Queued--
	}
	if s.Active.Until <= t {
		s.Active = Setpoint{Until: Never}
	}
}

// target is what s moves towards, and the limit that keeps it from its setpoint.
func (p *Params) target(s *State, lo, hi float64) (point, Bound) {
	a := &s.Active
	if p.Capability == nil {
		to := point{p: min(max(a.PowerW, lo), hi)}
		switch {
		case to.p != a.PowerW:
			return to, BoundRange
		case a.QVar != 0:
			return to, BoundQ
		}
		return to, BoundNone
	}
	d := p.Capability.Limit(Request{PowerW: a.PowerW, QVar: a.QVar, LowW: lo, HighW: hi, DCVolt: s.DCVolt, AirK: s.AirK})
	return point{d.PowerW, d.QVar}, max(d.PowerBy, d.QBy)
}

// Advance moves s from one instant to a later one, with the AC target kept within
// lo..hi watt (lo <= 0 <= hi), and puts what it moved into f.
func (p *Params) Advance(s *State, from, to time.Duration, lo, hi float64, f *Flow) {
	*f = Flow{}
	if s.Moving && s.PowerW == 0 && s.QVar == 0 {
		s.Since = from // it was stopped from outside
	}
	if p.steady(s, to, lo, hi) {
		f.Steady = true // the common case
		p.hold(s, (to - from).Seconds(), f)
		s.Moving = s.PowerW != 0 || s.QVar != 0
		return
	}
	for t := from; ; {
		s.turn(t)
		target, by := p.target(s, lo, hi)
		f.Bound, f.By = by != BoundNone, by
		if t >= to {
			break
		}
		end := min(to, s.Active.Until)
		if s.Queued > 0 {
			end = min(end, s.Queue[0].From)
		}
		t = p.piece(s, target, t, end, f)
	}
	s.Moving = s.point() != point{}
}

// steady reports whether nothing changes up to and including to.
func (p *Params) steady(s *State, to time.Duration, lo, hi float64) bool {
	a := &s.Active
	if s.Queued > 0 || a.Until <= to || s.PowerW != a.PowerW || s.QVar != a.QVar {
		return false
	}
	if s.PowerW < lo || s.PowerW > hi {
		return false
	}
	if p.Capability != nil || s.QVar != 0 {
		if _, by := p.target(s, lo, hi); by != BoundNone {
			return false
		}
	}
	return s.PowerW != 0 || s.QVar != 0 || p.phaseEnds(s) > to
}

// piece moves s towards target from t until end, or until the phase of its rest
// changes, and answers when that was.
func (p *Params) piece(s *State, target point, t, end time.Duration, f *Flow) time.Duration {
	if p.Rest.given() && s.point() == (point{}) {
		if until, resting := p.rest(s, target, t, end); resting {
			f.StandbyJ += p.RestW(s) * (until - t).Seconds()
			if p.phaseEnds(s) <= until { // long ago for one that stood apart meanwhile
				p.nextPhase(s)
			}
			return until
		}
	}
	left := p.ramp(s, target, (end - t).Seconds(), f)
	if p.Rest.given() && s.point() == (point{}) {
		s.Since = max(t, end-time.Duration(left*1e9))
		return s.Since
	}
	if left > 0 {
		p.hold(s, left, f)
	}
	return end
}

// ramp moves the power towards target for dt seconds at most, and answers what was
// left of them when it was there.
func (p *Params) ramp(s *State, target point, dt float64, f *Flow) (left float64) {
	a := s.point()
	dp, dq := target.p-a.p, target.q-a.q
	if dp == 0 && dq == 0 {
		return dt
	}
	need := max(math.Abs(dp), math.Abs(dq)) / p.RampWPerS
	b := target
	if reached := need <= dt; !reached {
		b = point{a.p + p.share(dp, need, dt), a.q + p.share(dq, need, dt)}
		need = dt
	}
	if a.p*b.p < 0 {
		cut := need * a.p / (a.p - b.p)
		zero := point{q: a.q + (b.q-a.q)*(cut/need)}
		p.line(s, a, zero, cut, f)
		p.line(s, zero, b, need-cut, f)
	} else {
		p.line(s, a, b, need, f)
	}
	s.PowerW, s.QVar = b.p, b.q
	return dt - need
}

// share is how far a power that is to change by d within need seconds comes in dt.
func (p *Params) share(d, need, dt float64) float64 {
	if math.Abs(d)/p.RampWPerS == need {
		return math.Copysign(p.RampWPerS*dt, d)
	}
	return d * (dt / need)
}

// hold adds dt seconds at a steady power.
func (p *Params) hold(s *State, dt float64, f *Flow) {
	ac, q := s.PowerW, s.QVar
	if ac == 0 && q == 0 {
		f.StandbyJ += p.RestW(s) * dt
		return
	}
	if ac > 0 {
		f.InJ += ac * dt
	} else {
		f.OutJ -= ac * dt
	}
	f.LossJ += p.LossAt(ac, At{QVar: q, DCVolt: s.DCVolt}) * dt
	f.VarS += q * dt
	f.VA2S += (ac*ac + q*q) * dt
}

// line adds dt seconds on which the power goes from a to b in a straight line
// without changing the sign of the active power.
func (p *Params) line(s *State, a, b point, dt float64, f *Flow) {
	sum := a.p + b.p
	e := sum / 2 * dt
	if e > 0 {
		f.InJ += e
	} else {
		f.OutJ -= e
	}
	square := meanSquare(a.p, b.p)
	if a.q == 0 && b.q == 0 {
		f.VA2S += dt * square
		if l := p.polynomial(sum > 0); l != nil {
			f.LossJ += dt * (p.RatedW*l.P0 + l.K1*math.Abs(sum)/2 + l.K2*square/p.RatedW)
			return
		}
	} else {
		f.VarS += (a.q + b.q) / 2 * dt
		f.VA2S += dt * (square + meanSquare(a.q, b.q))
	}
	// In the plane of P and Q the line passes the origin at distance d; along it, from
	// the foot of that, |S| = sqrt(d^2 + s^2).
	dp, dq := b.p-a.p, b.q-a.q
	long := math.Hypot(dp, dq)
	if long == 0 {
		return
	}
	perUnit := 1 / (long * p.RatedW)
	d := math.Abs(a.p*dq-a.q*dp) * perUnit
	from, to := (a.p*dp+a.q*dq)*perUnit, (b.p*dp+b.q*dq)*perUnit
	c := p.curve(sum > 0, s.DCVolt)
	f.LossJ += dt * p.RatedW * (c.integral(to, d) - c.integral(from, d)) / (to - from)
}

// meanSquare is the mean of the square of a line from a to b.
func meanSquare(a, b float64) float64 { return (a*a + a*b + b*b) * (1.0 / 3) }
