package guard

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"

	"yunchu/platform/device"
)

// life is whether a device may act at all. A device on a wire is armed by somebody,
// after a sign test; it loses that with its link, to a second master or to the switch
// on its panel, and nothing but being armed again gives it back. The emergency stop
// latches for every device until it is reset.
type life struct {
	armed   bool
	ours    bool    // armed or tested since the start: what it runs at is our doing
	auto    bool    // arms itself with its first good reading
	why     string  // why it is not armed
	misfit  string  // why it must not be armed: its nameplate contradicts what is known of it
	stopped bool    // emergency stop
	unheard bool    // which the device has not taken yet
	owed    string  // why it is told it then
	part    string  // whose button it was, where the device has several
	tell    fix     // it once more
	reset   int64   // ms, when it was reset: what was measured before does not count
	since   int64   // ms, when the device took a setpoint of another direction than the one before
	power   float64 // kW, of the newest good reading
	against int     // readings in a row that run against the setpoint
	flags   device.Flags
	status  device.Status
	test    signTest
	// back is the mode that the device goes back to unless it is armed, Run for none, and
	// rest the correction that takes it there.
	back device.Mode
	rest fix
}

// OnProfileAlone is what people are told of a device that was armed without evidence of
// which direction is charging beyond what its profile says.
const OnProfileAlone = "rest on the profile alone"

// NoGoodReading begins the refusal of a device that has not been read of late, or whose
// readings are in doubt.
const NoGoodReading = "no fresh and good reading of it"

// Notice is a change in the life of a device that people and the registry are told of.
type Notice struct {
	Slot  device.Slot
	State device.State // what it is from here on
	Kind  string       // armed, disarmed, arm-failed, e-stop, reset
	Text  string
	// By, of armed and arm-failed, is the command that asked for it, zero for none; of
	// e-stop it is the guard's own where a device has said that its button is pressed, so
	// that it latches across restarts like one that somebody has asked for.
	By   device.Command
	Was  device.Standing // when that was asked
	Code string          // of arm-failed: CodeNotArmed, CodeSign when a sign was found to be wrong, or CodeTwin when it is no such device
}

// Notices hands out what has changed since the last call.
func (g *Guard) Notices() []Notice {
	n := g.notices
	g.notices = nil
	return n
}

func (g *Guard) notice(s device.Slot, st device.State, kind, text string) {
	g.notices = append(g.notices, Notice{Slot: s, State: st, Kind: kind, Text: text})
}

// barred is why the device may not act at all, "" when it may.
func (d *state) barred() string {
	switch l := &d.life; {
	case l.stopped:
		return "emergency stop"
	case d.env.Wired && !l.armed && !l.test.running():
		return cmp.Or(l.why, "not armed")
	case !d.env.Wired && !d.active:
		return "not active"
	}
	return ""
}

func (d *state) barredOr(other string) string {
	if d.life.test.running() {
		return "its signs are being tested"
	}
	return cmp.Or(d.barred(), other)
}

// bar takes the right to act from a device. The correction that follows takes it to 0.
func (g *Guard) bar(s device.Slot, d *state, why string) {
	l := &d.life
	if !d.env.Wired {
		return
	}
	l.auto = false
	switch {
	case l.test.running():
		g.endTest(s, d, why)
	case l.armed:
		g.notice(s, device.Inactive, "disarmed", why)
	}
	l.armed, l.why, l.against, d.moved = false, why, 0, true
}

// stop latches the emergency stop.
func (g *Guard) stop(s device.Slot, d *state, why string, by device.Command) {
	was := d.standing()
	g.bar(s, d, "emergency stop")
	if !d.life.stopped {
		d.life.stopped, d.life.unheard, d.life.owed, d.life.tell, d.moved = true, true, "", fix{}, true
		d.life.back = device.Run // it is more than at rest
		g.notices = append(g.notices, Notice{Slot: s, State: device.Failed, Kind: "e-stop", Text: why, By: by, Was: was})
	}
}

func (g *Guard) reset(s device.Slot, d *state, at int64) {
	l := &d.life
	if !l.stopped {
		return
	}
	l.stopped, l.unheard, l.reset, d.moved = false, false, at, true
	st := device.Active
	if d.env.Wired {
		st = device.Inactive
	}
	g.notice(s, st, "reset", "the emergency stop is lifted")
}

// Misfit bars a device from being armed because what it says of itself contradicts
// what is known of it; "" lifts that.
func (g *Guard) Misfit(s device.Slot, why string) {
	if d := g.device(s); d != nil {
		d.life.misfit = why
		if why != "" {
			g.bar(s, d, why)
		}
	}
}

// ArmItself lets a device arm itself with its first good reading: an emulator on this
// machine, which nobody has to be kept away from.
func (g *Guard) ArmItself(s device.Slot) {
	if d := g.device(s); d != nil && d.env.Wired {
		d.life.auto = true
	}
}

// Armed reports whether a device on a wire may act.
func (g *Guard) Armed(s device.Slot) bool {
	d := g.device(s)
	return d != nil && d.life.armed && !d.life.stopped
}

// Stopped reports whether the emergency stop of a device is latched.
func (g *Guard) Stopped(s device.Slot) bool {
	d := g.device(s)
	return d != nil && d.life.stopped
}

// A device that runs against its setpoint, or against what it says itself, is believed
// to be wired or described with a wrong sign. settle is how long it may take to follow,
// patience how many readings in a row must agree.
const (
	settle   = 3 * time.Second
	patience = 3
	clearly  = 0.1 // of rated power: less says nothing about a sign
)

// gap is that between two good readings, the newer of which is r. A process that stood
// still finds its devices reporting again at once: they were alone meanwhile all the
// same.
func (d *state) gap(r *device.Reading) time.Duration {
	if d.arrived == 0 {
		return 0
	}
	return time.Duration(r.Arrived-d.arrived) * time.Millisecond
}

// flagged draws the consequences from what a reading's flags say about the device's life,
// and reports whether it goes on.
func (g *Guard) flagged(r *device.Reading, d *state) bool {
	l := &d.life
	l.flags, l.status = r.Flags, r.Status
	if r.Flags&device.FlagEStop != 0 && min(r.At, r.Arrived) >= l.reset && !l.stopped {
		acts := l.armed || l.test.running()
		why := l.button()
		g.stop(r.Slot, d, why, device.Command{
			Slot: r.Slot, Verb: device.EStop, Priority: device.Safety, At: r.Arrived, Source: Source, Reason: why,
		})
		l.unheard, l.owed = acts, why+": all of the device is told" // it stopped itself, but it may be a part that has
	}
	switch {
	case !d.env.Wired || !l.armed && !l.test.running():
	case r.Flags&device.FlagMaster != 0:
		// Somebody else has it. To write on would be a fight that no battery
		// should see: it is handed over, and people are told.
		g.bar(r.Slot, d, "a second master writes its setpoint")
		l.back = device.Run
		if d.asked == (request{}) { // else a setpoint of ours is on its way there, and is taken back
			d.set.power, d.set.doubt, d.set.until, d.set.hold = 0, 0, 0, 0
			g.changed(d, r.Arrived)
		}
	case r.Flags&device.FlagLocal != 0:
		g.bar(r.Slot, d, "local control")
	default:
		return true
	}
	return false
}

// Repeat takes note of a reading whose measurements are known already: its flags, and the
// limits that are narrower now, are not.
func (g *Guard) Repeat(r *device.Reading) {
	d := g.device(r.Slot)
	if d == nil || min(r.At, r.Arrived) < d.at {
		return
	}
	g.flagged(r, d)
	d.narrow(r)
}

// watch draws the consequences from what a reading says about the device's life.
func (g *Guard) watch(r *device.Reading, d *state) {
	acts := g.flagged(r, d)
	l := &d.life
	if !d.env.Wired {
		return
	}
	if acts && l.armed && g.against(r, d) {
		g.bar(r.Slot, d, AgainstSetpoint+": a sign is wrong")
	}
	if r.Quality != device.Good {
		return
	}
	if l.stopped && !l.unheard && d.runs(r) && r.At > l.since+settle.Milliseconds() {
		l.unheard, l.owed = true, "it runs, and nobody has reset its emergency stop"
	}
	l.power = r.Power
	if l.auto && !l.armed && !l.stopped && l.misfit == "" && !d.chargeless() && r.Flags&(device.FlagMaster|device.FlagLocal|device.FlagHeartbeat) == 0 {
		l.armed, l.ours, l.auto, l.why, d.moved = true, true, false, "", true
		g.notice(r.Slot, device.Active, "armed", "it arms itself: an emulator on this machine")
	}
	d.twin.see(r, l.test.running())
	l.test.observe(r, d)
}

// How the reasons begin for which an armed device is barred that shows a fault of its own.
const (
	AgainstSetpoint = "its power runs against the setpoint"
	HeartbeatStands = "its heartbeat stands still"
)

// against counts readings whose power runs against the setpoint.
func (g *Guard) against(r *device.Reading, d *state) bool {
	l := &d.life
	set, rated := d.set.power, d.env.RatedKW
	live := d.asked == request{} && d.set.until > r.Arrived && r.At > l.since+settle.Milliseconds()
	if !live || math.Abs(set) < clearly*rated || !(r.Power*set < 0) || math.Abs(r.Power) < math.Abs(set)/2 {
		l.against = 0
		return false
	}
	l.against++
	return l.against >= patience
}

// runs reports whether there is clearly power.
func (d *state) runs(r *device.Reading) bool {
	return d.env.RatedKW > 0 && math.Abs(r.Power) >= clearly*d.env.RatedKW
}

// stopAgain tells a device its emergency stop that has not taken it: one that was not
// reached, or not before a restart. It is the one thing that is written to a device which
// is only read.
func (d *state) stopAgain(s device.Slot, now int64) (c Correction, ok bool) {
	l := &d.life
	why := cmp.Or(l.owed, "it has not taken its emergency stop")
	if !l.stopped || !l.unheard || d.asked != (request{}) || !l.tell.due(now, 0, why) {
		return Correction{}, false
	}
	before, was := d.set.live(now), d.standing()
	d.ask(now, d.mine())
	d.put(device.EStop, device.Run, device.Safety, 0, 0, Source)
	return Correction{Before: before, Was: was, Attempt: l.tell.attempt, Command: device.Command{
		Slot: s, Seq: d.asked.seq, Verb: device.EStop, Priority: device.Safety, At: now, Source: Source, Reason: why,
	}}, true
}

// Pressed says of which part of a device the emergency stop is pressed or latched, before
// the reading that says that one is.
func (g *Guard) Pressed(s device.Slot, part string) {
	if int(s) < len(g.devices) {
		g.devices[s].life.part = part
	}
}

// button is what has happened when a device says that its emergency stop is pressed.
func (l *life) button() string {
	if l.part == "" {
		return "its own emergency stop is pressed or latched"
	}
	return "the emergency stop of its " + l.part + " is pressed or latched"
}

// heard draws the consequences from how an emergency stop has ended. That a device reads as
// stopped is not enough, as one of its parts may have heard and another not; but then it
// may refuse to be told, and one that has no emergency stop is not asked again either.
func (l *life) heard(a *device.Ack) {
	if a.Status == device.Done || a.Code == CodeUnsupported || a.Status == device.Rejected && l.flags&device.FlagEStop != 0 {
		l.unheard, l.tell = false, fix{}
	}
}

// attend looks after a device on a wire between its readings: without fresh ones its
// link is lost.
func (g *Guard) attend(s device.Slot, d *state, now int64) {
	l := &d.life
	if !l.ours {
		// Nobody has armed it since the start. What it was told before a restart is
		// not in force: its dead-man has seen to that, and it is only read.
		d.set.power, d.set.doubt, d.set.until, d.set.hold, d.again = 0, 0, 0, 0, false
		return
	}
	if !l.armed && !l.test.running() {
		return
	}
	if d.stale(now) {
		g.bar(s, d, d.lost(millis(now-d.arrived)))
		return
	}
	if done, why := l.test.due(d, now); done && why == "" {
		by, was := l.test.by, l.test.stood
		evidence := "the voltage confirms the directions"
		if l.test.voltage() == 0 {
			evidence = "the voltage does not tell the directions: they " + OnProfileAlone
		}
		if math.IsNaN(d.soc) {
			evidence += "; it is armed without its state of charge, as its entry says"
		}
		if list := d.unwatched(); len(list) > 0 {
			evidence += "; no window is kept on what it does not report: " + strings.Join(list, ", ")
		}
		if compared, differs := d.twin.compare(); differs != "" {
			l.test.differs = true
			g.bar(s, d, differs)
			return
		} else if compared != "" {
			evidence += "; " + compared
		}
		l.test = signTest{}
		l.armed, l.why, d.moved = true, "", true
		l.back, l.rest = device.Run, fix{}
		d.set = setpoint{mode: d.set.mode} // nobody holds it
		g.notices = append(g.notices, Notice{
			Slot: s, State: device.Active, Kind: "armed", Text: "sign test passed, armed by " + by.Source + "; " + evidence, By: by, Was: was,
		})
	} else if done {
		g.bar(s, d, why)
	}
}

// chargeless reports whether a device must not be armed because nobody knows its state of
// charge.
func (d *state) chargeless() bool { return math.IsNaN(d.soc) && !d.env.WithoutSoC }

// unwatched are the quantities that have a window, and no value to keep it by.
func (d *state) unwatched() (list []string) {
	for _, q := range []struct {
		name  string
		value float64
	}{{"state of charge", d.soc}, {"temperature", d.temp}, {"voltage", d.volt}} {
		if math.IsNaN(q.value) {
			list = append(list, q.name)
		}
	}
	return list
}

// busy is how long a device was told something that it has answered: it is not read
// meanwhile, and shows that it is there. What it has not answered is silence, and so is what
// takes longer than its readings explain: this process may have stood still. All in ms.
type busy struct {
	since int64    // when it was asked for what is open
	heard int64    // when it last answered a part of that
	told  int64    // since the newest reading, of what is not open any more
	took  int64    // the newest command
	reads [2]int64 // how long the newest readings took on the wire
}

// A command takes up to busyReads times as long as a reading, and explains no more of a
// silence than busyMost.
const (
	busyReads = 10
	busyMost  = 5000
)

// Paced takes note of how long the newest reading of a device has taken, as it was measured
// on its wire. What was read may be older.
func (g *Guard) Paced(s device.Slot, took time.Duration) {
	if d := g.device(s); d != nil {
		d.busy.reads = [2]int64{d.busy.reads[1], max(took.Milliseconds(), 0)}
	}
}

// Heard takes note that a device has answered a part of what it was asked last, which is open.
func (g *Guard) Heard(s device.Slot, now time.Time) {
	if d := g.device(s); d != nil && d.asked != (request{}) {
		d.busy.heard = max(d.busy.heard, now.UnixMilli())
	}
}

// answered is how long of what was asked the device has answered until at, beyond its newest
// reading, which arrived at read.
func (b *busy) answered(at, read int64) int64 { return max(at-max(b.since, read), 0) }

// done takes note of how a command has ended; read is when the newest reading arrived.
func (b *busy) done(a *device.Ack, read int64) {
	until := b.heard
	if a.Status == device.Done {
		until, b.took = a.At, min(max(a.At-b.since, 0), busyMost)
	}
	b.told, b.heard = b.told+b.answered(until, read), 0
}

// silence is how long a device has not been heard of at now but for the time that it was
// busy.
func (d *state) silence(now int64) time.Duration {
	b := &d.busy
	told := b.told
	if d.asked != (request{}) {
		told += b.answered(b.heard, d.arrived)
	}
	return millis(now - d.arrived - min(told, busyReads*min(b.reads[0], b.reads[1]), busyMost))
}

// stale reports whether the newest good reading is too old to act on. One that
// arrived after now tells of a clock that was set back, and is fresh.
func (d *state) stale(now int64) bool { return d.arrived == 0 || d.silence(now) > d.env.StaleAfter }

// lost says why a device is disarmed that was not heard of for so long.
func (d *state) lost(silence time.Duration) string {
	why := "link lost"
	if d.life.flags&device.FlagHeartbeat != 0 {
		why = HeartbeatStands
	}
	why = fmt.Sprintf("%s: no good reading for %.1f s", why, silence.Seconds())
	if took := millis(d.busy.reads[1]); stalePolls*took > d.env.StaleAfter {
		why += fmt.Sprintf(", where a reading takes %.1f s: raise its period (poll in its entry, or --poll)", took.Seconds())
	}
	if x := d.doubt; x != nil {
		why += ": " + x.String()
	}
	return why
}

// mayArm judges whether a device can be armed now.
func (d *state) mayArm(now int64, c *device.Command, lease time.Duration) Verdict {
	l := &d.life
	switch {
	case !d.env.Wired:
		return refuse(CodeNotActive, "only a device on a wire is armed")
	case l.stopped:
		return refuse(CodeEStop, "the emergency stop is latched: reset it first")
	case l.misfit != "":
		return refuse(CodeNotArmed, "%s", l.misfit)
	case l.armed:
		return refuse(CodeNotArmed, "it is armed")
	case l.test.running():
		return refuse(CodeNotArmed, "its signs are being tested")
	case timely(now, c).Code != "":
		return timely(now, c)
	case d.stale(now):
		return refuse(CodeNotArmed, "%s: %s", NoGoodReading, d.unread(now))
	case l.flags&device.FlagLocal != 0:
		return refuse(CodeNotArmed, "local control")
	case l.flags&device.FlagHeartbeat != 0:
		return refuse(CodeNotArmed, "%s", HeartbeatStands)
	case !(d.env.RatedKW > 0):
		return refuse(CodeNotArmed, "its rating is not known")
	case d.chargeless():
		return refuse(CodeNotArmed, "its state of charge is not known, and without it nothing keeps a battery from being emptied or overcharged: let it report it, or, where its entry is to answer for that, add arm_without_soc: true there")
	case d.brief(lease) != "":
		return refuse(CodeLease, "%s", d.brief(lease))
	case d.resting() == device.MaintenanceMode:
		return refuse(CodeMode, "the device is in maintenance: who has ended that puts it into standby first")
	}
	return Verdict{}
}

// resting is the mode in which the device is at rest, as it was told or as it shows; Run
// when it is not.
func (d *state) resting() device.Mode {
	switch l := &d.life; {
	case d.set.mode == device.MaintenanceMode || l.back == device.MaintenanceMode || l.status == device.Maintenance:
		return device.MaintenanceMode
	case d.set.mode == device.StandbyMode || l.back == device.StandbyMode || l.status == device.Standby:
		return device.StandbyMode
	}
	return device.Run
}

// arm begins the sign test, and before it starts a device that is at rest.
func (g *Guard) arm(s device.Slot, d *state, now int64, c *device.Command) {
	d.life.flags &^= device.FlagMaster
	d.life.ours = true
	d.twin.begin()
	d.life.test = signTest{phase: testCharge, by: *c, stood: d.standing(), from: now, was: d.life.power}
	if m := d.resting(); m != device.Run {
		d.life.back, d.life.rest = m, fix{}
		d.life.test.phase, d.life.test.last = testStart, "it does not go into mode run"
	}
}

// endTest ends a sign test that has failed.
func (g *Guard) endTest(s device.Slot, d *state, why string) {
	t := d.life.test
	code := CodeNotArmed
	if t.wrong >= patience || t.phase == testDone && t.voltage() < 0 {
		code = CodeSign
	}
	if t.differs {
		code = CodeTwin
	}
	d.life.test = signTest{}
	g.notices = append(g.notices, Notice{Slot: s, State: device.Inactive, Kind: "arm-failed", Text: why, By: t.by, Was: t.stood, Code: code})
}
