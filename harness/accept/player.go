package accept

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"yunchu/harness/scenario"
	"yunchu/platform/device"
	"yunchu/platform/gateway"
	"yunchu/platform/guard"
)

// Times of the player.
const (
	// lease is how long a setpoint of the suite holds unless it is renewed, and renew
	// how often it is: should the suite die, the device is at rest a moment later.
	lease = 6 * time.Second
	renew = 2 * time.Second
	// answerWithin is how long a command may be unanswered, armWithin how long a sign
	// test and jobWithin how long work beside the bus may take. Who answers, the gateway and
	// the guard, gives up before: a device on a slow line has the time that it needs.
	answerWithin = 10 * time.Second
	armWithin    = 200 * time.Second
	jobWithin    = 60 * time.Second
	// slowAnswer is what an answer takes of which the time shows in what is measured.
	slowAnswer = 500 * time.Millisecond
	// restWithin is how long a device may take to come to rest at the end of a test.
	restWithin = 15 * time.Second
	// restFor is how long a device must have no power by itself to be full or empty.
	restFor = 3 * time.Second
	// restKW is what counts as rest, in parts of the rated power.
	restShare = 0.02
	// quietSlack is how long beyond its quiet time a precondition is waited for.
	quietSlack = 30 * time.Second
)

// Observation is what the player is shown at a moment.
type Observation struct {
	Reading device.Reading // the newest, of whatever quality
	Has     bool           // there is one
	Acks    []device.Ack   // that came since the last look
	Done    []Done         // jobs that ended since the last look
	Events  []device.Event // of the device, since the last look
	Armed   bool           // the device may act: it is armed, or needs no arming
	Stopped bool           // its emergency stop is latched
}

// Job is work beside the bus that the player asks for.
type Job struct {
	ID      string
	Kind    JobKind
	Name    string // of a setting, a link or a fault
	Value   float64
	Voltage float64
	Numbers [3]float64
	For     time.Duration
}

// JobKind is what a job does.
type JobKind uint8

// The jobs.
const (
	JobSetting JobKind = iota + 1
	JobSettingsAll
	JobPollAll
	JobProbe
	JobCut
	JobUncut
	JobFault
	JobEndFault
	JobGrid
	JobRestore // of what the test has changed: settings, grid, links, faults
)

// Done is how a job ended. Unable means that the bench has nothing to do it with.
type Done struct {
	ID       string
	Err      error
	Unable   bool
	Trials   []device.Trial
	Settings []SettingTrial

	Came, Lost int64 // frames that the device sends by itself
}

// Action is what the player wants done: a command, or a job.
type Action struct {
	Command *device.Command // without slot and source
	Job     *Job
}

// Player does a program. It has no clock and no goroutine: whoever owns time shows it
// what there is to see and does what it asks for. Whatever happens, it ends with the
// device told to have no power.
type Player struct {
	g   *Program
	rec *Record
	can func(capability string) bool

	n      int // commands and jobs so far
	pc     int
	cur    *op
	began  time.Time // of cur
	done   time.Time // when its action was done, and its hold began; zero: not yet
	window *Window

	setKW   float64 // setpoint to be kept in force; NaN: none
	sentKW  float64
	renewed time.Time
	latency time.Duration // of the newest answer to the first command of an operation
	waits   string        // ID of the command or job that cur waits for
	first   string        // ID of its first command
	asked   time.Time     // when that was asked for

	socAt   float64 // at the beginning of cur
	resting time.Time
	quiet   time.Time // since when the power has been at rest; zero: it is not
	stopped bool      // we have pressed the emergency stop
	refused bool      // that a setpoint was refused has ended the test

	ending  phase
	endedAt time.Time
}

type phase uint8

const (
	playing phase = iota
	stopping
	restoring
	settling
	over
)

// NewPlayer returns a player for one test, which it notes in rec. can says what the
// device and its bench are able to do.
func NewPlayer(g *Program, rec *Record, can func(string) bool) *Player {
	return &Player{g: g, rec: rec, can: can, setKW: nan}
}

// Over reports that the test has ended and the device has been told to rest.
func (p *Player) Over() bool { return p.ending == over }

// Preparing reports that the preconditions have not been looked at yet.
func (p *Player) Preparing() bool {
	return p.ending == playing && slices.ContainsFunc(p.g.ops[p.pc:], func(o op) bool { return o.act == actCheck })
}

// Abort ends the test for a reason; the device is brought to rest.
func (p *Player) Abort(now time.Time, why string) {
	if p.ending != playing {
		return
	}
	if p.rec.Aborted == "" {
		p.rec.Aborted = why
	}
	p.closeWindow(now, why)
	p.cur, p.ending = nil, stopping
}

// Step looks at what there is to see at now and says what is to be done.
func (p *Player) Step(now time.Time, o *Observation) (actions []Action) {
	p.watch(now, o)
	for i := range o.Events {
		p.happened(&o.Events[i])
	}
	for i := range o.Acks {
		p.acknowledged(now, &o.Acks[i])
	}
	for i := range o.Done {
		p.finished(now, &o.Done[i])
	}
	for p.ending == playing {
		if p.cur == nil {
			if p.pc == len(p.g.ops) {
				p.ending = stopping
				break
			}
			p.begin(now, o, &actions)
			continue
		}
		switch over := p.over(now, o); {
		case p.ending != playing:
		case !over:
			p.keep(now, &actions)
			return actions
		default:
			p.leave(now, &actions)
		}
	}
	p.end(now, o, &actions)
	return actions
}

// watch follows whether the power is at rest.
func (p *Player) watch(now time.Time, o *Observation) {
	if !o.Has || math.Abs(o.Reading.Power) > restShare*p.g.RatedKW {
		p.quiet = time.Time{}
	} else if p.quiet.IsZero() {
		p.quiet = now
	}
}

func (p *Player) id() string {
	p.n++
	return fmt.Sprintf("%s-%d", p.rec.Test, p.n)
}

func (p *Player) command(now time.Time, c device.Command, out *[]Action) string {
	c.ID, c.Priority, c.At = p.id(), device.High, now.UnixMilli()
	c.Reason = p.g.Procedure.Name
	if p.cur != nil {
		c.Reason += " " + p.cur.label
	}
	*out = append(*out, Action{Command: &c})
	return c.ID
}

func (p *Player) setpoint(now time.Time, kw float64, out *[]Action) string {
	if p.sentKW != kw || math.IsNaN(p.setKW) {
		p.rec.Setpoints = append(p.rec.Setpoints, point(p.rec.at(now), kw))
	}
	p.setKW, p.sentKW, p.renewed = kw, kw, now
	return p.command(now, device.Command{Verb: device.SetPower, Power: kw, Duration: lease.Milliseconds()}, out)
}

// rest takes the setpoint back.
func (p *Player) rest(now time.Time, verb device.Verb, out *[]Action) string {
	p.rec.Setpoints = append(p.rec.Setpoints, point(p.rec.at(now), 0))
	p.setKW, p.sentKW = nan, 0
	return p.command(now, device.Command{Verb: verb, Duration: lease.Milliseconds()}, out)
}

// let has the setpoint not be renewed any more, whatever the device has of it for as long as it
// holds: the same power once more is a new one.
func (p *Player) let(now time.Time) {
	if !math.IsNaN(p.setKW) {
		p.rec.Let = append(p.rec.Let, p.rec.at(now))
	}
	p.setKW = nan
}

func (p *Player) job(j Job, out *[]Action) string {
	j.ID = p.id()
	*out = append(*out, Action{Job: &j})
	return j.ID
}

// begin starts the next operation.
func (p *Player) begin(now time.Time, o *Observation, out *[]Action) {
	x := &p.g.ops[p.pc]
	p.cur, p.began, p.done, p.asked = x, now, now, now
	p.waits, p.first, p.resting, p.socAt = "", "", time.Time{}, o.Reading.SoC
	if x.measure != nil {
		p.window = &Window{Measure: x.measure, Label: x.label, T0: now, ToKW: nan, AckKW: nan, From: len(p.rec.Exchanges)}
	}
	for _, c := range x.when {
		if !p.can(c) {
			p.skip("needs " + c)
			return
		}
	}
	w := p.window
	switch x.act {
	case actPower:
		p.first = p.setpoint(now, x.kw, out)
		p.issued(x.kw)
	case actSeries:
		kw := x.series(0)
		p.first = p.setpoint(now, kw, out)
		p.issued(kw)
	case actBring:
		if math.Abs(o.Reading.SoC-x.soc) <= x.within {
			p.skip("")
			return
		}
		p.first = p.setpoint(now, math.Copysign(x.kw, x.soc-o.Reading.SoC), out)
	case actRest:
		p.rest(now, device.Release, out)
	case actRefused:
		if w != nil {
			w.Tried++
		}
		p.let(now)
		p.waits = p.command(now, device.Command{Verb: device.SetPower, Power: x.kw, Duration: 1000}, out)
		p.done = time.Time{}
	case actEStop:
		p.setKW, p.stopped = nan, true
		p.rec.Setpoints = append(p.rec.Setpoints, point(p.rec.at(now), 0))
		p.wait(p.command(now, device.Command{Verb: device.EStop}, out))
		p.issued(0)
	case actReset:
		p.wait(p.command(now, device.Command{Verb: device.Reset}, out))
	case actDisarm:
		p.let(now)
		p.wait(p.command(now, device.Command{Verb: device.Disarm}, out))
	case actArm:
		if !o.Armed {
			p.wait(p.command(now, device.Command{Verb: device.Arm}, out))
		}
	case actCheck: // is looked at until it holds
		p.done = time.Time{}
	case actCut:
		p.let(now) // who cannot reach the device cannot renew its setpoint
		p.wait(p.job(Job{Kind: JobCut, Name: x.name}, out))
	case actFault:
		p.wait(p.job(Job{Kind: JobFault, Name: x.name, Numbers: x.numbers}, out))
	case actGrid:
		if p.window != nil && p.window.Kind == "trip" { // it is to go on with what it has
			p.window.ToKW = p.setKW
		}
		p.wait(p.job(Job{Kind: JobGrid, Value: x.value, Voltage: x.voltage}, out))
	case actSetting:
		if x.disconnects() {
			if !math.IsNaN(p.setKW) { // so that it is not the end of the setpoint that takes its power
				p.setpoint(now, p.setKW, out)
			}
			p.let(now) // nor can one that is disconnected
		}
		p.wait(p.job(Job{Kind: JobSetting, Name: x.name, Value: x.value}, out))
	case actSettingsAll:
		p.wait(p.job(Job{Kind: JobSettingsAll}, out))
	case actPollAll:
		p.wait(p.job(Job{Kind: JobPollAll, For: x.hold}, out))
	case actProbe:
		p.wait(p.job(Job{Kind: JobProbe}, out))
	}
}

// Brings says that the state of charge is being brought to where a test wants it, and
// about how long that takes: minutes or hours. Empty: it is not.
func (p *Player) Brings() string {
	x := p.cur
	if x == nil || x.act != actBring || !(p.rec.RatedKWh > 0) || !(x.kw > 0) {
		return ""
	}
	hours := math.Abs(x.soc-p.socAt) / 100 * p.rec.RatedKWh / x.kw
	return fmt.Sprintf("bringing the state of charge from %.3g %% to %.3g %%, about %s", p.socAt, x.soc,
		scenario.FormatDuration(time.Duration(hours*float64(time.Hour)).Round(time.Minute)+time.Minute))
}

// wait lets the operation be done only once the command or job has been answered.
func (p *Player) wait(id string) { p.waits, p.done = id, time.Time{} }

func (p *Player) issued(kw float64) {
	if p.window != nil {
		p.window.ToKW, p.window.Issued = kw, true
	}
}

// skip leaves the operation out; why is empty where nothing had to be done.
func (p *Player) skip(why string) {
	if p.window != nil {
		p.window.Skipped = why
		p.rec.Windows = append(p.rec.Windows, p.window)
		p.window = nil
	}
	if why != "" {
		p.rec.Notes = append(p.rec.Notes, p.cur.label+" was left out: "+why)
	}
	p.cur, p.pc = nil, p.pc+1
}

// over reports whether the operation has been done and has lasted.
func (p *Player) over(now time.Time, o *Observation) bool {
	x := p.cur
	if x.act == actCheck {
		return p.ready(now, o)
	}
	if p.done.IsZero() {
		limit := answerWithin
		switch {
		case x.act == actArm:
			limit = armWithin
		case x.act >= actSetting && x.act <= actGrid:
			limit = jobWithin + x.hold
		}
		if now.Sub(p.began) > limit {
			p.Abort(now, fmt.Sprintf("%s: no answer within %v", x.label, limit))
		}
		return false
	}
	switch x.until {
	case untilRest:
		return p.atRest(now)
	case untilSoC:
		return p.reached(now, fmt.Sprintf("the state of charge has not come to %g %%, it is %.1f %%", x.soc, o.Reading.SoC), (o.Reading.SoC-x.soc)*(p.socAt-x.soc) <= 0)
	case untilCool:
		return p.reached(now, fmt.Sprintf("the temperature has not fallen to %g °C, it is %.1f °C", x.cooled, o.Reading.Temperature), o.Reading.Temperature <= x.cooled)
	}
	return now.Sub(p.done) >= x.hold
}

// leave ends the operation: a cut or a fault does not outlast its step.
func (p *Player) leave(now time.Time, out *[]Action) {
	p.closeWindow(now, "")
	switch x := p.cur; {
	case x.act == actCut:
		p.job(Job{Kind: JobUncut, Name: x.name}, out)
	case x.act == actFault:
		p.job(Job{Kind: JobEndFault, Name: x.name}, out)
	case x.act == actBring:
		p.setKW = 0
	case x.disconnects():
		p.rest(now, device.Release, out) // it is to come back without
	case x.until == untilRest:
		p.let(now) // it has none, and is not asked for any more
	}
	p.cur, p.pc = nil, p.pc+1
}

// reached reports whether something is there, and ends the test when that takes too long.
func (p *Player) reached(now time.Time, not string, there bool) bool {
	if !there && now.Sub(p.began) > p.cur.timeout {
		p.Abort(now, fmt.Sprintf("%s: %s after %v", p.cur.label, not, p.cur.timeout))
	}
	return there
}

// atRest reports whether the device has taken its power away by itself.
func (p *Player) atRest(now time.Time) bool {
	if p.quiet.IsZero() || now.Sub(p.began) < restFor {
		p.resting = time.Time{}
	} else if p.resting.IsZero() {
		p.resting = now
	}
	return p.reached(now, "it has not come to rest", !p.resting.IsZero() && now.Sub(p.resting) >= restFor)
}

// ready looks at the preconditions: quiet is waited for, the rest must hold.
func (p *Player) ready(now time.Time, o *Observation) bool {
	pre := &p.g.pre
	f := &p.rec.Found
	f.SoC, f.Age = nan, 0
	if o.Has {
		f.SoC, f.Age = o.Reading.SoC, now.Sub(device.Time(o.Reading.At))
	}
	if f.Quiet = 0; !p.quiet.IsZero() {
		f.Quiet = now.Sub(p.quiet)
	}
	// Who only reads needs no fresh reading to begin with: that there is none is what it finds.
	fresh := o.Has && f.Age <= max(pre.age, p.rec.MaxAge) || !p.g.writes
	if (!fresh || f.Quiet < pre.quiet) && now.Sub(p.began) < pre.quiet+quietSlack {
		return false
	}
	switch {
	case !o.Has && !fresh:
		p.Abort(now, "precondition: there is no reading of the device")
	case !fresh:
		p.Abort(now, fmt.Sprintf("precondition: the newest reading is %.1f s old", f.Age.Seconds()))
	case f.Quiet < pre.quiet:
		p.Abort(now, fmt.Sprintf("precondition: the power was not at rest for %v, it is %.4g kW", pre.quiet, o.Reading.Power))
	case o.Reading.SoC < pre.socMin || o.Reading.SoC > pre.socMax: // one that is not reported bounds nothing
		p.Abort(now, fmt.Sprintf("precondition: the state of charge is %.1f %%, it must be from %g to %g %%", o.Reading.SoC, pre.socMin, pre.socMax))
	default:
		return true
	}
	return false
}

// keep renews the setpoint, and follows a series.
func (p *Player) keep(now time.Time, out *[]Action) {
	if p.cur.act == actSeries {
		p.setKW = p.cur.series(now.Sub(p.began))
	}
	again := max(renew, min(2*p.latency, lease/2)) // who is told is not read meanwhile
	if !math.IsNaN(p.setKW) && (p.setKW != p.sentKW || now.Sub(p.renewed) >= again) {
		p.setpoint(now, p.setKW, out)
	}
}

// happened takes note of the guard's taking the device away, unless the test is just doing
// what makes it do so.
func (p *Player) happened(e *device.Event) {
	// The refusal that it leads to may be heard of first, and so may the device's own.
	begun := p.ending == playing || p.refused
	if e.Type != "disarmed" || !begun || p.rec.Barred != "" {
		return
	}
	if p.cur != nil {
		switch p.cur.act {
		case actCut, actFault, actEStop, actReset, actDisarm, actRest, actRefused, actSetting:
			return
		}
	}
	_, p.rec.Barred, _ = strings.Cut(e.Text, ": ")
}

// acknowledged takes note of an answer.
func (p *Player) acknowledged(now time.Time, a *device.Ack) {
	if p.cur == nil || a.Repeat {
		return
	}
	w := p.window
	if a.Source == guard.Source {
		if w != nil && a.Verb == device.SetPower && a.Status == device.Done && w.Issued && w.Kind != "zero" {
			p.reduced(w, a.Power, strings.TrimSuffix(fmt.Sprintf("the guard has set it to %.4g kW: %s", a.Power, a.Reason), ": "))
		}
		return
	}
	if !strings.HasPrefix(a.ID, p.rec.Test+"-") {
		return
	}
	answers := a.ID == p.waits || a.ID == p.first
	if answers && w != nil && w.Ack.IsZero() {
		w.Ack, w.AckKW = device.Time(a.At), a.Power
	}
	if a.ID == p.first && a.Status == device.Done {
		// What is held is held from when a device that is slow to take it has it.
		if p.latency = now.Sub(p.asked); p.latency > slowAnswer && !p.done.IsZero() {
			p.done = now
		}
	}
	if a.ID == p.waits {
		p.waits = ""
		p.done = now
	}
	x := p.cur
	switch {
	case x.act == actRefused && answers:
		switch {
		case w == nil:
		case a.Status == device.Done:
			w.Accepted++
		case a.Status == device.Failure: // it may have it all the same
			w.doubt(fmt.Sprintf("nobody knows whether it was refused: %s %s", a.Code, a.Reason))
		}
	case a.Status == device.Done:
		if w != nil && a.Reduced && a.Verb == device.SetPower {
			p.reduced(w, a.Power, "the setpoint was "+a.Reason)
		}
	case (x.act == actFault || x.act == actSetting) && !answers: // what was done is to make it refuse
	case a.Status == device.Rejected && a.Code == guard.CodeEnvelope && x.until == untilRest:
		// It is full or empty: the power goes to rest by itself, and that ends the step.
		p.let(now)
	case a.Code == gateway.CodeSuperseded && !answers: // the newer one is answered too
	case a.Verb == device.SetPower && !answers && a.Status != device.Rejected:
		if w != nil {
			w.doubt(fmt.Sprintf("a renewal of the setpoint was %s: %s", a.Status, a.Reason))
		}
	case a.ID == p.first || answers || a.Verb == device.SetPower:
		p.rec.SignWrong = p.rec.SignWrong || a.Code == guard.CodeSign
		p.rec.Other = p.rec.Other || a.Code == guard.CodeTwin
		why := fmt.Sprintf("%s: %s %s: %s %s", x.label, a.Verb, a.Status, a.Code, a.Reason)
		if strings.HasPrefix(a.Reason, guard.NoGoodReading) {
			why += "; " + p.rec.lookAt()
		}
		p.refused = p.ending == playing && a.Verb == device.SetPower
		p.Abort(now, why)
	}
}

// reducedSlack is how much of the rated power may be missing from a setpoint that the
// guard has cut before what it measures is in doubt: limits that devices report are
// rounded.
const reducedSlack = 0.005

// reduced takes note of a setpoint that the guard has cut to kw. Measures of energy do
// not mind; one of a limit is told of, since the device's own limiter had less to do, or nothing.
func (p *Player) reduced(w *Window, kw float64, why string) {
	if math.Abs(kw-p.sentKW) <= reducedSlack*p.g.RatedKW {
		if w.ToKW == p.sentKW {
			w.ToKW = kw
		}
		return
	}
	switch w.Kind {
	case "charge", "discharge", "alive":
	case "limit":
		if math.Abs(kw) <= w.LimitKW+limitSlack*p.g.RatedKW {
			w.doubt("that the device itself keeps the limit is not shown: before it had to, the guard had cut its setpoint (" + why + ")")
			return
		}
		p.rec.note(w.Label + ": " + why)
	default:
		w.doubt(why)
	}
}

// finished takes note of a job that has ended.
func (p *Player) finished(now time.Time, d *Done) {
	if p.cur == nil || d.ID != p.waits {
		if p.ending == restoring && d.ID == p.waits {
			p.waits = ""
			if d.Err != nil {
				p.rec.unfinished("not restored: " + d.Err.Error())
			}
		}
		return
	}
	p.waits = ""
	switch {
	case d.Unable:
		p.skip(d.Err.Error())
		return
	case d.Err != nil:
		p.Abort(now, fmt.Sprintf("%s: %v", p.cur.label, d.Err))
		return
	}
	p.done = now
	if p.cur.act == actPollAll {
		p.done = now.Add(-p.cur.hold) // it took that long
	}
	if p.window != nil {
		p.window.Trials, p.window.Settings = d.Trials, d.Settings
		p.window.Came, p.window.Lost = d.Came, d.Lost
	}
}

func (p *Player) closeWindow(now time.Time, why string) {
	if w := p.window; w != nil {
		w.End, w.To = now, len(p.rec.Exchanges)
		if why != "" {
			w.doubt(why)
		}
		p.rec.Windows = append(p.rec.Windows, w)
		p.window = nil
	}
}
