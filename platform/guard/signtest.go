package guard

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"yunchu/platform/device"
)

// signTest proves, before a device on a wire is given to anybody, that what we call
// charging is charging: a small power into it must show as power above zero, with the
// battery's current of the same sign, and the same out of it; then it rests. A device
// that is at rest is first put into mode run, at no power. Vendors count the battery's current in both ways, and a wrong sign is the mistake that a
// battery does not forgive.
type signTest struct {
	phase   phase
	by      device.Command  // who asked for it
	stood   device.Standing // when it was asked for
	from    int64           // ms, when the phase began
	sent    int64           // ms, when its setpoint was handed out last
	waits   bool            // for a ramp to have room for all of its setpoint
	deaf    bool            // it did not take the last one
	refused string          // what it said to that
	right   int             // readings in a row that are as they should be
	wrong   int             // and that contradict it
	last    string          // the newest complaint
	bound   string          // what keeps the device from the test's power
	unfit   string          // why the device could not be put into mode run
	brief   string          // why its setpoints hold for too short

	differs bool    // it is not what it is held against
	was     float64 // kW, its power when the phase began

	// The battery's voltage while it charges and while it discharges, V; NaN without.
	// Power, setpoint and status may all be described with one wrong sign and agree; a
	// voltage has none, and is higher while a battery charges.
	in, out float64
}

// tells is the part of a voltage by which it must differ to tell a direction: a tenth of
// a volt of a battery of 1,000 V, which is what registers resolve.
const tells = 1e-4

// voltage compares both directions: 1 where it confirms them, -1 where it contradicts
// them, 0 where it says nothing.
func (t *signTest) voltage() int {
	switch d := t.in - t.out; {
	case d >= tells*t.in:
		return 1
	case -d >= tells*t.in:
		return -1
	}
	return 0
}

type phase uint8

const (
	testOff   phase = iota
	testStart       // into mode run, at no power
	testCharge
	testDischarge
	testRest
	testDone
)

const (
	// testShare is the test's power in parts of the rating: enough to tell it from
	// the losses of a converter at rest, a tenth of what a step test asks for.
	testShare = 0.05
	testMost  = 1.01 * testShare
	// testWithin is how long a phase may take, testHold how long its setpoint holds
	// unless it is written again, testAgain when it is. A device that is slow to take a
	// setpoint has longer, and one that is read seldom: see spans.
	testWithin = 10 * time.Second
	testSteady = time.Second // a phase lasts at least so long
	testHold   = 3 * time.Second
	testAgain  = time.Second
)

// spans are those times for a device as slow as it has been: while it takes a setpoint it is
// not read, and what was read as it was written again does not count. So that is done at every
// second reading at most, and a phase has room for patience readings between.
func (d *state) spans() (within, hold, again int64) {
	took, read := d.busy.took, d.env.StaleAfter.Milliseconds()/stalePolls
	within = max(testWithin.Milliseconds(), 2*took+(2*patience+1)*(took+read))
	return within, max(testHold.Milliseconds(), 4*took, 4*read), max(testAgain.Milliseconds(), 2*took, 2*read)
}

// brief says why a lease is too short for the test, whose setpoints hold for no longer either and
// must not lapse before they are written again: half as long is for that to arrive.
func (d *state) brief(lease time.Duration) string {
	_, _, again := d.spans()
	need := millis(again + again/2)
	if lease >= need {
		return ""
	}
	return fmt.Sprintf("a setpoint holds at most %v unless it is renewed, and for the sign test of this device, which is told every %v, it must hold for %v: raise guard.lease", lease, millis(again), need)
}

func (t *signTest) running() bool { return t.phase != testOff }

// power is what the phase asks for, kW.
func (t *signTest) power(d *state) float64 {
	switch t.phase {
	case testCharge:
		return testShare * d.env.RatedKW
	case testDischarge:
		return -testShare * d.env.RatedKW
	}
	return 0
}

// observe compares a good reading with what the phase asks for.
func (t *signTest) observe(r *device.Reading, d *state) {
	if !t.running() || t.phase == testStart || t.phase == testDone || t.sent == 0 || r.At < t.sent || d.asked != (request{}) {
		return
	}
	want, rated := t.power(d), d.env.RatedKW
	switch complaint, contradicts := t.judge(r, want, rated); {
	case complaint == "" && want != 0 && d.amps && math.IsNaN(r.Current): // says nothing of the current now
	case complaint == "":
		t.right, t.wrong = t.right+1, 0
	case contradicts:
		t.right, t.wrong, t.last = 0, t.wrong+1, complaint
	default:
		t.right, t.last = 0, complaint
	}
	if t.right >= patience && r.Arrived-t.from >= d.twin.steady().Milliseconds() {
		d.twin.mark(want)
		switch t.phase {
		case testCharge:
			t.in, t.out = r.Voltage, math.NaN()
		case testDischarge:
			t.out = r.Voltage
		}
		*t = signTest{phase: t.phase + 1, by: t.by, stood: t.stood, from: r.Arrived, was: r.Power, in: t.in, out: t.out}
	}
}

// coming reports whether the power of a reading lies on the way from what it was when the
// phase began, of which a device may be slow, or was driven there by somebody else. Who
// writes again is found out meanwhile, and named rather than a wrong sign.
func (t *signTest) coming(r *device.Reading, want float64) bool {
	return r.Arrived < t.from+settle.Milliseconds() && (r.Power-t.was)*(r.Power-want) <= 0
}

// judge says what is wrong with a reading while want kW is asked for, and whether it
// contradicts the sign rather than being late.
func (t *signTest) judge(r *device.Reading, want, rated float64) (complaint string, contradicts bool) {
	half := testShare * rated / 2
	// A battery management tells its current once a second, and later than its converter the
	// power and the status: until then it is that of the phase before.
	settled := r.Arrived >= t.from+settle.Milliseconds()
	switch {
	case math.IsNaN(r.Power):
		return "it reports no power", false
	case r.Flags&device.FlagSign != 0 && math.Abs(r.Power) >= half && math.Abs(r.Voltage*r.Current/1000) < half*2/3:
		// Of a power with a wrong scale the current may be that of the losses alone.
		return "its status says the other direction than its power or its current, and voltage times current is too small for that power: a scale or a sign is wrong", settled
	case r.Flags&device.FlagSign != 0:
		return "its status says the other direction than its power or its current", settled
	case want == 0 && math.Abs(r.Power) > half:
		return "it does not come to rest", false
	case want == 0:
		return "", false
	case r.Power*want < 0 && math.Abs(r.Power) >= half:
		return "its power runs against the setpoint: the sign of its power is wrong", !t.coming(r, want)
	case math.Abs(r.Power) < half:
		return "it does not follow the setpoint", false
	case math.Abs(r.Power) > 2*testShare*rated:
		return "it takes more power than it was asked to", !t.coming(r, want)
	}
	// The battery's own current, where it is large enough to have a sign: a third of
	// the test's power, since the converter takes its losses from it.
	if dc := r.Voltage * r.Current / 1000; math.Abs(dc) >= half*2/3 && dc*want < 0 {
		return "its current has another sign than its power: the sign of the battery's current is wrong", settled
	}
	return "", false
}

// due reports that the test is over at now, and why it failed.
func (t *signTest) due(d *state, now int64) (done bool, why string) {
	switch {
	case !t.running():
		return false, ""
	case t.phase == testDone && t.voltage() < 0:
		return true, "sign test: its voltage is higher while it discharges: setpoint and power both have the wrong sign"
	case t.phase == testDone:
		return true, ""
	case t.brief != "":
		return true, "sign test: " + t.brief
	case t.unfit != "":
		return true, "it is not put into mode run: " + t.unfit
	case t.wrong >= patience:
		return true, "sign test: " + t.last
	case d.phaseOver(now):
		return true, "sign test: " + cmp.Or(t.bound, t.last, d.unseen(now))
	}
	return false, ""
}

// phaseOver reports whether a phase has taken its time.
func (d *state) phaseOver(now int64) bool {
	within, _, _ := d.spans()
	return now-d.life.test.from > within
}

// unseen says why a phase has ended without enough readings: what was too slow, and what to
// set.
func (d *state) unseen(now int64) string {
	t, s := &d.life.test, func(ms int64) string { return fmt.Sprintf("%.3g s", float64(ms)/1000) }
	const hint = "make an exchange shorter (a faster line, fewer registers in a request) or the period longer (poll in its entry, or --poll)"
	switch {
	case t.deaf:
		return "it has not taken the setpoint: " + cmp.Or(t.refused, "no answer in time")
	case d.asked != (request{}):
		return "it has not answered the setpoint for " + s(now-d.busy.since) + ": " + hint
	}
	return fmt.Sprintf("only %d of %d readings came in the %s of a phase: a reading takes %s, a setpoint %s: %s",
		t.right, patience, s(now-t.from), s(d.busy.reads[1]), s(d.busy.took), hint)
}

// test hands out the setpoint of the phase, and again before it expires. Where the ramp of the
// fleet or of the device has no room for all of it, it is climbed to in parts, since a single
// step may be more than that ever has room for; the time of the phase begins when it is reached.
func (g *Guard) test(s device.Slot, d *state, now int64, out []Correction) []Correction {
	t := &d.life.test
	switch t.phase {
	case testStart:
		return d.start(s, now, out)
	case testDone:
		return out
	}
	w := d.window()
	all := w.clamp(t.power(d))
	if all != t.power(d) {
		t.bound = "no power in this direction: " + w.why(t.power(d))
	}
	kw, step := g.climb(d, now, all)
	part := kw != all
	if t.waits = (t.waits || part) && !t.deaf; t.waits { // who takes nothing does not wait
		t.from, t.was = now, d.life.power
	}
	_, hold, again := d.spans()
	lease := g.lease(&device.Command{Source: Source})
	if t.brief = d.brief(lease); t.brief != "" {
		return out
	}
	hold = min(hold, lease.Milliseconds())
	lately := now-t.sent < again
	switch {
	case d.asked.source == Source && now-t.sent < max(hold, busyMost): // a wire answers for all that it is handed
		return out
	case lately && d.asked != (request{}):
		return out
	case lately && (d.set.power == kw || (part || t.waits) && step != 0): // no more parts than one a second
		return out
	case part && kw == 0 && d.set.power == 0 && !t.deaf: // nothing to say yet
		return out
	}
	t.sent, t.waits = now, part && !t.deaf
	before := d.set.live(now)
	d.ask(now, d.mine())
	d.put(device.SetPower, device.Run, device.Safety, kw, now+hold, Source)
	return append(out, Correction{Command: d.correction(s, now, "sign test"), Before: before, Attempt: 1, Routine: true})
}

// climb is how far the ramps let a device go now on its way to kw, and what of that counts as
// a step: the way towards 0 is free.
func (g *Guard) climb(d *state, now int64, kw float64) (to, step float64) {
	w := d.window()
	was := d.set.live(now)
	from := free(&device.Command{Priority: device.Safety}, w.clamp(was), kw)
	lo, hi := g.room(d, now, from-was)
	if most := min(max(kw-from, lo), hi); most != kw-from {
		kw = from + most
	}
	return kw, kw - from
}

// start puts the device into mode run, and again while nobody knows whether it has taken
// that.
func (d *state) start(s device.Slot, now int64, out []Correction) []Correction {
	t := &d.life.test
	if d.asked != (request{}) || t.sent != 0 && now-t.sent < testAgain.Milliseconds() {
		return out
	}
	attempt := 1
	if t.sent != 0 {
		attempt++
	}
	t.sent = now
	before, was := d.set.live(now), d.standing()
	c := d.bring(s, now, device.Run, "to be armed by "+t.by.Source)
	return append(out, Correction{Command: c, Before: before, Was: was, Attempt: attempt, Routine: true})
}

// putBack takes a device that was at rest before somebody tried to arm it, and was not
// armed, back to that rest, once its power is 0.
func (d *state) putBack(s device.Slot, now int64, out []Correction) []Correction {
	l := &d.life
	why := "it was not armed"
	if l.back == device.Run || l.armed || l.test.running() || d.asked != (request{}) || d.set.power != 0 || !l.rest.due(now, 0, why) {
		return out
	}
	was := d.standing()
	return append(out, Correction{Command: d.bring(s, now, l.back, why), Was: was, Attempt: l.rest.attempt, Routine: true})
}

// bring asks for a mode, at no power.
func (d *state) bring(s device.Slot, now int64, m device.Mode, why string) device.Command {
	d.ask(now, d.mine())
	d.put(device.SetMode, m, device.Safety, 0, 0, Source)
	return device.Command{
		Slot: s, Seq: d.asked.seq, Verb: device.SetMode, Mode: m, Priority: device.Safety, At: now, Source: Source, Reason: why,
	}
}

// brought draws the consequences from how a change of mode has ended that the guard asked
// for in mode was. A device that refuses to be started has not moved; one that was not
// known to rest may have no modes, and the sign test tells.
func (l *life) brought(a *device.Ack, was device.Mode) {
	answered := a.Status == device.Done || a.Status == device.Rejected
	switch t := &l.test; {
	case !answered: // tried again
	case a.Mode != device.Run: // put back, or left to whoever does not let us
		l.back, l.rest = device.Run, fix{}
	case t.phase != testStart:
	case a.Status == device.Done:
		*t = signTest{phase: testCharge, by: t.by, stood: t.stood, from: a.At, was: l.power}
	case was == device.Run:
		l.back = device.Run
		*t = signTest{phase: testCharge, by: t.by, stood: t.stood, from: a.At, was: l.power}
	default:
		l.back, t.unfit = device.Run, cmp.Or(a.Reason, a.Code)
	}
}
