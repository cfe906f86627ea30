package guard

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"yunchu/platform/device"
)

// Verdict is what the guard makes of a command. Power is what may be handed to
// the device; Code is empty when the command is allowed.
type Verdict struct {
	Power   float64
	Before  float64 // the setpoint that was in force, kW
	Was     device.Standing
	Until   int64 // ms UTC, when what was allowed expires; 0: it holds nothing
	Reduced bool
	Code    string
	Reason  string

	limit string // which has bound, "" for none
}

// Check judges commands that arrive together, in their order, and notes those
// that are allowed as in force. verdicts has a place for each command. What the
// fleet's ramp leaves is shared among them in proportion to what each wants to
// change.
func (g *Guard) Check(now time.Time, cmds []device.Command, verdicts []Verdict) {
	ms := now.UnixMilli()
	g.heed(ms)
	for from := 0; from < len(cmds); {
		to := from
		for to < len(cmds) && g.judge(ms, &cmds[to], &verdicts[to], to == from) {
			to++
		}
		g.allow(ms, cmds[from:to], verdicts[from:to])
		from = to
	}
}

// judge gives c its verdict, the fleet's ramp aside, and reports true; or false,
// when an earlier command for the same device must be noted first.
func (g *Guard) judge(now int64, c *device.Command, v *Verdict, first bool) bool {
	if first {
		g.round++
	}
	d := g.device(c.Slot)
	if d == nil {
		*v = refuse(CodeUnknown, "the device is not registered")
		return true
	}
	if d.round == g.round {
		return false
	}
	d.round = g.round
	before := d.set.live(now)
	waits := paced(c, before)
	*v = d.admit(now, c, g.lease(c))
	if v.Code == "" && waits && g.flow.within(now) >= g.most() {
		*v = refuse(CodeRate, "more than %d commands to the fleet within a second", g.most())
	}
	if v.Code == "" && c.Verb == device.SetPower {
		*v = d.setPower(now, c, waits, v.Until)
	}
	if v.Code == "" && waits {
		g.flow.note(now)
	}
	v.Before, v.Was = before, d.standing()
	return true
}

// Standing is what a device may do now, and its mode; not known for one that is not.
func (g *Guard) Standing(s device.Slot) device.Standing {
	if d := g.device(s); d != nil {
		return d.standing()
	}
	return 0
}

func (d *state) standing() device.Standing {
	switch {
	case d.life.stopped:
		return device.Stand(device.Failed, d.set.mode)
	case d.env.Wired && !d.life.armed, !d.env.Wired && !d.active:
		return device.Stand(device.Inactive, d.set.mode)
	}
	return device.Stand(device.Active, d.set.mode)
}

// lease is how long a setpoint of whoever has sent c may hold.
func (g *Guard) lease(c *device.Command) time.Duration {
	if c.Source == device.Planner && g.PlannerLease > 0 {
		return g.PlannerLease
	}
	return min(cmp.Or(g.Lease, DefaultLease), MaxDuration)
}

// admit judges all of c but its power and how often such commands come.
func (d *state) admit(now int64, c *device.Command, lease time.Duration) Verdict {
	switch s := &d.set; {
	case c.Verb < device.SetPower || c.Verb > device.Disarm:
		return refuse(CodeMalformed, "unknown command %d", c.Verb)
	case c.Priority > device.Safety:
		return refuse(CodeMalformed, "unknown priority %d", c.Priority)
	case c.Verb == device.EStop || c.Verb == device.Disarm: // towards safety: however old, whoever asks
		return Verdict{}
	case c.Verb == device.Reset: // which starts it again
		return timely(now, c)
	case c.Verb == device.Arm:
		return d.mayArm(now, c, lease)
	case d.life.stopped:
		return refuse(CodeEStop, "the emergency stop is latched: reset it first")
	case d.env.Wired && !d.life.armed && !d.endsMaintenance(c):
		return refuse(CodeNotArmed, "the device may be read but must not act: %s", d.barredOr("not armed"))
	case d.env.Wired && d.stale(now):
		return refuse(CodeNotArmed, "no good reading of it for %.1f s", float64(now-d.arrived)/1000)
	case !d.env.Wired && !d.active:
		return refuse(CodeNotActive, "the device is not active: it may be read but must not act")
	case timely(now, c).Code != "":
		return timely(now, c)
	case s.hold > now && c.Priority < s.priority:
		return refuse(CodeHeld, "held by %s at priority %s until %s", s.source, s.priority, device.Time(s.hold).Format(time.RFC3339))
	}
	until := now + min(max(c.Duration, 0), MaxDuration.Milliseconds())
	switch c.Verb {
	case device.SetPower:
		switch {
		case c.Duration <= 0:
			return refuse(CodeMalformed, "a setpoint of %d ms holds nothing", c.Duration)
		case c.Duration > lease.Milliseconds():
			return refuse(CodeLease, "a setpoint holds at most %v unless it is renewed, not %v", lease, millis(c.Duration))
		}
		return Verdict{Until: until}
	case device.SetMode:
		if c.Mode > device.MaintenanceMode {
			return refuse(CodeMalformed, "unknown mode %d", c.Mode)
		}
		if c.Mode == device.Run { // gives the device back
			return Verdict{}
		}
		return Verdict{Until: until}
	case device.Stop:
		return Verdict{Until: until}
	}
	return Verdict{} // release
}

// timely refuses what was issued too long ago, or in the future.
func timely(now int64, c *device.Command) Verdict {
	switch {
	case c.At < now-MaxAge.Milliseconds():
		return refuse(CodeStale, "the command is %.1f s old, at most %v is accepted", float64(now)/1000-float64(c.At)/1000, MaxAge)
	case c.At > now+MaxAhead.Milliseconds():
		return refuse(CodeStale, "the command was issued %.1f s in the future, at most %v is accepted", float64(c.At)/1000-float64(now)/1000, MaxAhead)
	}
	return Verdict{}
}

// millis is a duration of so many ms, as far as one goes.
func millis(ms int64) time.Duration {
	return time.Duration(min(ms, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
}

// endsMaintenance reports whether c leaves maintenance for standby, which is as still:
// nobody has to arm a device for that, and it must be done before it is armed.
func (d *state) endsMaintenance(c *device.Command) bool {
	return c.Verb == device.SetMode && c.Mode == device.StandbyMode && d.resting() == device.MaintenanceMode && !d.life.test.running()
}

// setPower judges the power of an admitted setpoint that counts in the device's rate if
// waits.
func (d *state) setPower(now int64, c *device.Command, waits bool, until int64) Verdict {
	kw := c.Power
	if !device.Finite(kw) {
		return refuse(CodeMalformed, "power %v is not a number", kw)
	}
	if waits && !d.rate.room(now, d.env.PerSecond) {
		return refuse(CodeRate, "more than %d setpoints within a second", d.env.PerSecond)
	}
	if d.set.mode != device.Run {
		return refuse(CodeMode, "the device is in mode %s", d.set.mode)
	}
	if limit := d.env.RatedKW; !(math.Abs(kw) <= limit*(1+1e-9)) {
		return refuse(CodeRange, "%.6g kW is beyond the rating of %.6g kW", kw, limit)
	}
	w := d.window()
	v := Verdict{Power: w.clamp(kw), Until: until}
	if v.Power == 0 && kw != 0 {
		v = refuse(CodeEnvelope, "no power in this direction now: %s", w.why(kw))
		v.limit = w.why(kw)
		return v
	}
	if v.Power != kw {
		v.reduce(kw, w.why(kw))
	}
	if d.own != nil {
		d.keepRamp(now, c, &v)
	}
	if waits {
		d.rate.note(now)
	}
	return v
}

// keepRamp keeps a setpoint within what the device's own ramp leaves of the way to it.
func (d *state) keepRamp(now int64, c *device.Command, v *Verdict) {
	w := d.window()
	was := d.set.live(now)
	from := free(c, w.clamp(was), v.Power)
	lo, hi := d.own.room(now, d.env.RampKWPerS, from-was)
	if kw := from + min(max(v.Power-from, lo), hi); kw != v.Power {
		v.Power = kw
		v.reduce(c.Power, "ramp limit of the device")
	}
}

func (v *Verdict) reduce(from float64, why string) {
	v.Reduced, v.Reason, v.limit = true, fmt.Sprintf("reduced from %.6g kW: %s", from, why), why
}

func refuse(code, format string, args ...any) Verdict {
	return Verdict{Code: code, Reason: fmt.Sprintf(format, args...)}
}

// allow applies the fleet's ramp to commands for different devices and notes what
// is left of them as in force.
func (g *Guard) allow(now int64, cmds []device.Command, verdicts []Verdict) {
	limit := g.RampKWPerS > 0
	up, down := 1.0, 1.0 // shares of the steps in each direction
	if limit {
		up, down = g.shares(now, cmds, verdicts)
	}
	sum := 0.0
	for i := range cmds {
		c, v := &cmds[i], &verdicts[i]
		if v.Code != "" {
			g.Refusals++
			g.binds(c.Slot, now, v.limit)
			continue
		}
		d := &g.devices[c.Slot]
		if limit && bounded(c) {
			from, step := d.step(c, v)
			share := up
			if step < 0 {
				share = down
			}
			if kw := min(max(from+share*step, min(from, v.Power)), max(from, v.Power)); share < 1 && kw != v.Power {
				v.Power = kw
				v.reduce(c.Power, "fleet ramp limit")
			}
		}
		if v.Reduced {
			g.Reductions++
			g.binds(c.Slot, now, v.limit)
		}
		g.take(c.Slot, d, now, c, v)
		sum += g.shift(d, now)
	}
	g.note(now, sum)
}

// bounded reports whether a ramp bounds c. All others go to a safe state.
func bounded(c *device.Command) bool { return c.Verb == device.SetPower }

// free is how far c gets from one power to another without any ramp: for safety all the
// way towards 0, and no further.
func free(c *device.Command, from, to float64) float64 {
	if c.Priority < device.Safety {
		return from
	}
	return min(max(from, min(0, to)), max(0, to))
}

// step is what an allowed command changes of the power in force, as far as that
// is within the window: going back into it is a correction. What is free is no part of it.
func (d *state) step(c *device.Command, v *Verdict) (from, step float64) {
	w := d.window()
	from = free(c, w.clamp(v.Before), v.Power)
	return from, v.Power - from
}

// shares are the parts of all steps up and of all steps down that the ramp leaves.
// The side that is too large is cut to what fits with all of the other.
func (g *Guard) shares(now int64, cmds []device.Command, verdicts []Verdict) (up, down float64) {
	var rise, fall, free float64 // kW; rise and fall >= 0
	for i := range cmds {
		switch c, v := &cmds[i], &verdicts[i]; {
		case v.Code != "" || c.Verb == device.Arm:
		case bounded(c):
			from, step := g.devices[c.Slot].step(c, v)
			rise += max(0, step)
			fall -= min(0, step)
			free += from - v.Before
		default:
			free -= v.Before
		}
	}
	up, down = 1, 1
	lo, hi := g.ramp.room(now, g.RampKWPerS, free)
	switch net := rise - fall; {
	case net > hi:
		up = max(0, (hi+fall)/rise)
	case net < lo:
		down = max(0, (rise-lo)/fall)
	}
	return up, down
}

// take notes an allowed command as in force.
func (g *Guard) take(slot device.Slot, d *state, now int64, c *device.Command, v *Verdict) {
	switch c.Verb {
	case device.Arm:
		g.arm(slot, d, now, c)
		return
	case device.EStop:
		g.stop(slot, d, "emergency stop by "+c.Source, device.Command{})
	case device.Disarm:
		g.bar(slot, d, "disarmed by "+c.Source)
	}
	d.again = false
	d.ask(now, request{c.Seq, c.ID, c.Source})
	d.put(c.Verb, c.Mode, c.Priority, v.Power, v.Until, c.Source)
}

func (d *state) put(verb device.Verb, m device.Mode, p device.Priority, kw float64, until int64, source string) {
	mode := d.set.mode
	if verb == device.SetMode {
		mode = m
	}
	d.set = setpoint{mode: mode, priority: p, power: kw, until: until, hold: until, source: source}
}

// Settle tells the guard at now how a command that it allowed, or a correction, has
// ended. What a device has refused is as if it had not been asked. Where nobody
// knows whether it was taken, the device is not held, and is taken to run at the
// larger of both powers; where their signs differ, at either of them.
func (g *Guard) Settle(now time.Time, a *device.Ack) {
	d := g.device(a.Slot)
	if d == nil {
		return
	}
	if a.Verb == device.EStop {
		d.life.heard(a)
	}
	if r := (request{a.Seq, a.ID, a.Source}); d.asked != r { // something newer is in force
		if d.earlier.request == r && r != (request{}) {
			d.fallBack(a.Status)
		}
		return
	}
	correction := d.asked.source == Source
	d.asked = request{}
	d.busy.done(a, d.arrived)
	if correction && a.Verb == device.SetMode {
		d.life.brought(a, d.before.mode)
	}
	if correction && a.Verb == device.SetPower {
		d.life.test.deaf, d.life.test.refused = a.Status != device.Done, cmp.Or(a.Reason, a.Code)
	}
	if a.Status == device.Done {
		d.fix = fix{}
		if a.Verb == device.Reset {
			g.reset(a.Slot, d, a.At)
		}
		if b := &d.before; b.doubt != 0 || b.until <= a.At || !(b.power*d.set.power > 0) {
			d.life.since = a.At
		}
		return
	}
	s := d.set
	d.set = d.before
	// A correction is between 0 and what it corrects. A setpoint that has expired
	// and is not 0 is on its way there, whatever was asked in between.
	if a.Status == device.Failure && !correction && (d.set.power == 0 || d.set.until > a.At) {
		d.set.or(&s)
		d.moved = true
	}
	g.changed(d, now.UnixMilli())
}

// or makes s what a device is taken to run at that runs at s or at o: the larger of both
// powers; where their signs differ, either of them.
func (s *setpoint) or(o *setpoint) {
	up, down := max(s.power, s.doubt, 0), min(s.power, s.doubt, 0)
	if max(o.power, o.doubt) <= up && min(o.power, o.doubt) >= down {
		return
	}
	up, down = max(up, o.power, o.doubt), min(down, o.power, o.doubt)
	s.power, s.doubt, s.until = up, down, max(s.until, o.until)
	if -down > up {
		s.power, s.doubt = down, up
	}
}

// ask notes that the device is asked for something, and what it falls back to unless it
// takes it. While what it was asked before is open, that may have been taken or not.
func (d *state) ask(now int64, r request) {
	was, open := d.before, d.asked
	d.before, d.asked, d.earlier = d.set, r, earlier{}
	if open == (request{}) {
		d.busy.since = now
		return
	}
	d.earlier = earlier{open, was, d.set}
	if was.power != 0 && was.until <= now { // on its way to 0, whatever was asked in between
		d.before.power, d.before.doubt, d.before.until = was.power, was.doubt, was.until
		return
	}
	d.before.or(&was)
	if d.before.until = d.set.until; d.set.power == 0 {
		d.before.until = was.until
	}
}

// fallBack notes how what was asked before has ended.
func (d *state) fallBack(status device.AckStatus) {
	switch status {
	case device.Done:
		d.before = d.earlier.set
	case device.Rejected, device.Expired:
		d.before = d.earlier.was
	default: // as unsure as before
	}
	d.earlier = earlier{}
}

// mine is the next command of the guard's own for the device.
func (d *state) mine() request {
	d.corrections++
	return request{seq: d.corrections, source: Source}
}

// Restore takes note of a command that was acknowledged before a restart, for no longer
// than a lease of now. It is called in the order of the acknowledgements; of each device it takes its last
// SetMode, the last that is not a correction, and the last. An emergency stop latches
// however it was answered.
func (g *Guard) Restore(a *device.Ack) {
	if a.Status != device.Done && a.Verb != device.EStop || !device.Finite(a.Power) || int(a.Slot) >= len(g.devices) {
		return
	}
	d := &g.devices[a.Slot]
	switch a.Verb {
	case device.EStop:
		g.bar(a.Slot, d, "emergency stop") // an emulator may have armed itself by now
		d.life.stopped, d.life.unheard, d.moved = true, true, true
		d.life.heard(a)
		return
	case device.Reset:
		d.life.stopped = false
		return
	case device.Arm, device.Disarm: // a device on a wire is never armed by a restart
		return
	}
	by := a.Source
	if by == Source && d.set.source != "" { // a correction leaves the device to whom it was
		by = d.set.source
	}
	until := a.Until
	if a.Verb == device.SetPower {
		until = min(until, a.At+g.lease(&device.Command{Source: by}).Milliseconds())
	}
	d.put(a.Verb, a.Mode, a.Priority, a.Power, until, by)
	d.ramped = a.Power // it has been
	d.moved, d.again = true, a.Priority > device.Dispatch
}
