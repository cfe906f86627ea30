package guard

import (
	"math"
	"time"

	"yunchu/platform/device"
)

// Source is the guard's own name in commands.
const Source = "guard"

// A correction that the device has not taken is repeated after firstWait, then
// after twice as long each time, up to maxWait.
const (
	firstWait = time.Second
	maxWait   = 30 * time.Second
)

// Correction is a command of the guard's own.
type Correction struct {
	device.Command
	Before  float64 // kW, the setpoint that it corrects
	Was     device.Standing
	Attempt int  // 1 is the first for its reason, higher ones repeat it
	Routine bool // nothing is wrong: arming, or a setpoint again after a restart
}

// fix is a correction that is under way.
type fix struct {
	why     string  // "" for none
	power   float64 // kW
	attempt int
	sent    int64 // ms, when it was last handed out
	wait    int64 // ms, from then until it is repeated
}

// Tick appends to out what must be corrected at now: a setpoint that has expired
// becomes 0, one that has left the envelope is moved to its edge. Where the device
// may run at either of two powers with different signs and one of them has left
// the envelope, it becomes 0, which is right for both. The caller hands the
// corrections to the devices at once and settles them; one that the device has not
// taken comes again after 1 s, 2 s, 4 s and so on, at most 30 s, and at once when
// the envelope has become narrower.
func (g *Guard) Tick(now time.Time, out []Correction) []Correction {
	ms := now.UnixMilli()
	g.heed(ms)
	g.soonest = math.MaxInt64
	for i := range g.devices {
		d := &g.devices[i]
		out = g.tend(device.Slot(i), d, ms, out)
		g.note(ms, g.shift(d, ms))
	}
	return out
}

// tend appends what a device must be told at now.
func (g *Guard) tend(s device.Slot, d *state, now int64, out []Correction) []Correction {
	if d.known && d.env.Wired {
		g.attend(s, d, now)
		if d.life.test.running() {
			return g.test(s, d, now, out)
		}
		if c, ok := d.stopAgain(s, now); ok {
			return append(out, c)
		}
		out = d.putBack(s, now, out)
	}
	if d.again {
		out = d.sendAgain(s, now, out)
	}
	if !d.known || d.set.until == 0 && d.set.power == 0 || d.set.until > now && !d.moved && d.fix.why == "" {
		return out
	}
	d.moved = false
	kw, why := d.outside(now)
	if why == "" {
		if d.asked.source != Source { // else its answer tells
			d.fix = fix{}
		}
		if d.set.until <= now {
			d.set.until = 0
		}
		return out
	}
	if !d.fix.due(now, kw, why) {
		return out
	}
	if d.fix.attempt == 1 && d.set.until > now {
		g.Reductions++
	}
	before := d.set.power
	d.ask(now, d.mine())
	d.set.power, d.set.doubt = kw, 0
	if d.set.until <= now {
		d.set.until = 0
	}
	return append(out, Correction{Command: d.correction(s, now, why), Before: before, Attempt: d.fix.attempt})
}

// sendAgain hands out the rest of a person's setpoint that a restart has found: the
// device may have lost it meanwhile. It waits until the device may act, and for a good
// reading of it.
func (d *state) sendAgain(s device.Slot, now int64, out []Correction) []Correction {
	if d.set.until <= now || d.set.power == 0 {
		d.again = false
		return out
	}
	if w := d.window(); d.arrived == 0 || w.clamp(d.set.power) != d.set.power {
		return out
	}
	d.again = false
	d.ask(now, d.mine())
	return append(out, Correction{Command: d.correction(s, now, "again after a restart"), Before: d.set.power, Attempt: 1, Routine: true})
}

// outside is the power that the device must be brought to at now, and why; ""
// when it may stay as it is.
func (d *state) outside(now int64) (kw float64, why string) {
	s := &d.set
	if s.until <= now {
		if s.power == 0 {
			return 0, ""
		}
		return 0, "setpoint expired"
	}
	w := d.window()
	kw = w.clamp(s.power)
	switch {
	case kw == s.power && w.clamp(s.doubt) == s.doubt:
		return 0, ""
	case s.doubt == 0:
		return kw, w.why(s.power)
	case kw == s.power:
		return 0, w.why(s.doubt)
	}
	return 0, w.why(s.power)
}

// due reports whether a correction to kw is to be handed out at now, and notes
// that it is.
func (f *fix) due(now int64, kw float64, why string) bool {
	switch {
	case f.why != why:
		*f = fix{why: why, wait: firstWait.Milliseconds() / 2}
	case math.Abs(kw) < math.Abs(f.power): // must not wait
	case now >= f.sent && now < f.sent+f.wait:
		return false
	}
	f.power, f.sent = kw, now
	f.attempt++
	f.wait = min(2*f.wait, maxWait.Milliseconds())
	return true
}

// correction is the setpoint in force as a command of the guard's own, which ask has
// noted.
func (d *state) correction(s device.Slot, now int64, why string) device.Command {
	p := &d.set
	left := max(0, p.until-now)
	return device.Command{
		Slot: s, Seq: d.asked.seq, Verb: device.SetPower, Priority: p.priority, Power: p.power,
		At: now, Duration: left, Until: now + left, Source: Source, Reason: why,
	}
}
