// Package pcs is the power conversion system between the battery and the grid:
// what it loses, how late it answers and how fast it ramps.
//
// Signs are passive: AC power above zero is drawn from the grid, DC power above
// zero goes into the battery. With p = |AC|/rated,
//
//	loss = rated*(P0 + K1*p + K2*p^2)        DC = AC - loss, both directions
//
// The coefficients are those of the direction of the AC power. At exactly zero the
// converter does not switch and draws its standby power from the battery.
//
// A setpoint acts one response delay after it was accepted; from then on the AC
// power moves towards it at the ramp limit, in a straight line. When a setpoint
// expires the power ramps to zero. Within a step this makes a chain of straight
// pieces, and energy and loss are their exact integrals, so they do not depend on
// how a time is cut into steps.
package pcs

import (
	"math"
	"time"
)

// Loss are the loss coefficients of one direction, per unit of rated power.
type Loss struct {
	P0, K1, K2 float64
}

// Params are the constants of a converter.
type Params struct {
	RatedW    float64 // W, AC, either direction
	Charge    Loss
	Discharge Loss
	StandbyW  float64 // W, when it moves no power
	Delay     time.Duration
	RampWPerS float64 // W/s
}

// LossW is what is lost at ac watt on the AC side.
func (p *Params) LossW(ac float64) float64 {
	if ac == 0 {
		return p.StandbyW
	}
	l := p.loss(ac)
	x := math.Abs(ac)
	return p.RatedW*l.P0 + x*(l.K1+x*(l.K2/p.RatedW))
}

// DC is the power on the DC side at ac watt on the AC side.
func (p *Params) DC(ac float64) float64 { return ac - p.LossW(ac) }

// AC is the inverse of DC. Between its two branches lies what no AC power yields:
// a battery that neither takes power nor gives more than the no-load loss. There
// the converter does not switch, and the grid makes up its standby power.
func (p *Params) AC(dc float64) float64 {
	x := dc / p.RatedW
	switch {
	case dc > 0: // p - P0 - K1*p - K2*p^2 = x
		l := p.Charge
		b, c := 1-l.K1, x+l.P0
		return p.RatedW * 2 * c / (b + math.Sqrt(max(b*b-4*l.K2*c, 0)))
	case x < -p.Discharge.P0: // p + P0 + K1*p + K2*p^2 = -x
		l := p.Discharge
		b, c := 1+l.K1, -x-l.P0
		return -p.RatedW * 2 * c / (b + math.Sqrt(b*b+4*l.K2*c))
	}
	return dc + p.StandbyW
}

func (p *Params) loss(ac float64) *Loss {
	if ac > 0 {
		return &p.Charge
	}
	return &p.Discharge
}

// Never is the expiry of a setpoint that does not expire.
const Never = time.Duration(math.MaxInt64)

// Setpoint is a power to be held until it expires. Times are measured from an
// instant of the caller's choice.
type Setpoint struct {
	PowerW float64       // AC
	From   time.Duration // when it begins to act
	Until  time.Duration // when the power ramps to zero by itself
}

// State is all a converter remembers. It is a value: copy it to take a snapshot.
type State struct {
	PowerW float64     // W, AC power now
	Active Setpoint    // what it follows
	Queue  [2]Setpoint // accepted and not yet acting, in order
	Queued int
}

// Accept takes a setpoint at now: it begins to act a response delay later. Of
// those that wait, the first keeps its turn and the newest follows it; what came
// between is dropped.
func (p *Params) Accept(s *State, now time.Duration, powerW float64, until time.Duration) {
	sp := Setpoint{PowerW: powerW, From: now + p.Delay, Until: until}
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

// Flow is what a converter moved in one step.
type Flow struct {
	InJ      float64 // J drawn from the grid
	OutJ     float64 // J delivered to the grid, >= 0
	LossJ    float64 // J lost while it moved power
	StandbyJ float64 // J of standby power
	Bound    bool    // the range, not the setpoint, was the target at the end
	Steady   bool    // the power was the same all the time
}

// ACJ is the energy taken on the AC side in J, negative when delivered.
func (f *Flow) ACJ() float64 { return f.InJ - f.OutJ }

// DCJ is the energy given to the battery in J, negative when taken from it.
func (f *Flow) DCJ() float64 { return f.InJ - f.OutJ - f.LossJ - f.StandbyJ }

// Constant makes f a step of dt seconds that moves a steady dc watt into the battery.
func (p *Params) Constant(dc, dt float64, f *Flow) {
	ac := p.AC(dc)
	*f = Flow{InJ: max(ac, 0) * dt, OutJ: max(-ac, 0) * dt, Steady: true}
	if idle := dc <= 0 && dc >= -p.Discharge.P0*p.RatedW; idle {
		f.StandbyJ = (ac - dc) * dt
	} else {
		f.LossJ = (ac - dc) * dt
	}
}

// Advance moves s from one instant to a later one, with the AC target kept within
// lo..hi watt (lo <= 0 <= hi), and puts what it moved into f.
func (p *Params) Advance(s *State, from, to time.Duration, lo, hi float64, f *Flow) {
	*f = Flow{}
	if s.Queued == 0 && s.Active.Until > to && s.PowerW == s.Active.PowerW && s.PowerW >= lo && s.PowerW <= hi {
		f.Steady = true // the common case
		p.hold(s.PowerW, (to - from).Seconds(), f)
		return
	}
	for t := from; ; {
		for s.Queued > 0 && s.Queue[0].From <= t {
			s.Active = s.Queue[0]
			s.Queue[0] = s.Queue[1]
			s.Queued--
		}
		if s.Active.Until <= t {
			s.Active = Setpoint{Until: Never}
		}
		target := min(max(s.Active.PowerW, lo), hi)
		f.Bound = target != s.Active.PowerW
		if t >= to {
			return
		}
		end := min(to, s.Active.Until)
		if s.Queued > 0 {
			end = min(end, s.Queue[0].From)
		}
		p.ramp(s, target, (end - t).Seconds(), f)
		t = end
	}
}

// ramp moves the power towards target for dt seconds.
func (p *Params) ramp(s *State, target, dt float64, f *Flow) {
	if d := target - s.PowerW; d != 0 {
		need := math.Abs(d) / p.RampWPerS
		reached := need <= dt
		next := target
		if !reached {
			need = dt
			next = s.PowerW + math.Copysign(p.RampWPerS*dt, d)
		}
		if a, b := s.PowerW, next; a*b < 0 {
			cut := need * a / (a - b)
			p.line(a, 0, cut, f)
			p.line(0, b, need-cut, f)
		} else {
			p.line(a, b, need, f)
		}
		s.PowerW = next
		dt -= need
		if !reached || dt <= 0 {
			return
		}
	}
	p.hold(s.PowerW, dt, f)
}

// hold adds dt seconds at a steady power.
func (p *Params) hold(ac, dt float64, f *Flow) {
	loss := p.LossW(ac) * dt
	switch {
	case ac == 0:
		f.StandbyJ += loss
		return
	case ac > 0:
		f.InJ += ac * dt
	default:
		f.OutJ -= ac * dt
	}
	f.LossJ += loss
}

// line adds dt seconds on which the power goes from a to b in a straight line
// without changing its sign.
func (p *Params) line(a, b, dt float64, f *Flow) {
	sum := a + b
	e := sum / 2 * dt
	if e > 0 {
		f.InJ += e
	} else {
		f.OutJ -= e
	}
	l := p.loss(sum)
	square := (a*a + a*b + b*b) * (1.0 / 3) // mean of the square of a line
	f.LossJ += dt * (p.RatedW*l.P0 + l.K1*math.Abs(sum)/2 + l.K2*square/p.RatedW)
}
