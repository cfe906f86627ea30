package accept_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/harness/accept"
	"yunchu/harness/scenario"
	"yunchu/platform/device"
	"yunchu/platform/gateway"
)

// procedure reads a procedure of the given body.
func procedure(t interface {
	Helper()
	Fatal(args ...any)
}, body string,
) *scenario.Procedure {
	t.Helper()
	text := "apiVersion: yunchu/v1\nkind: Procedure\nname: X\ntitle: x\nsource: test\n" + body
	if !strings.Contains(body, "limits:") {
		text += "limits:\n  - {name: gaps, measure: test, metric: gaps, source: test}\n"
	}
	p, err := scenario.ParseProcedure("x.yaml", []byte(text), scenario.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// unit answers a player as a device and its bench do, well or badly.
type unit struct {
	rng   *rand.Rand
	bad   float64 // share of what goes wrong
	kw    float64
	until time.Time
	soc   float64
	acks  []device.Ack
	done  []accept.Done
	last  *device.Command
	cmds  []device.Command
	jobs  []accept.JobKind
	armed bool
	// overtaken: renewals wait for so long that the next one takes their place.
	overtaken bool
	// refuses is why it takes no setpoint from an instant on, and the guard takes it away, by an
	// event that comes after the refusal.
	refuses     string
	refusesFrom time.Time
	events      []device.Event
}

func (u *unit) wrong() bool { return u.rng.Float64() < u.bad }

func (u *unit) see(now time.Time) *accept.Observation {
	if now.After(u.until) {
		u.kw = 0
	}
	r := device.Empty()
	r.At, r.Power, r.SoC = now.UnixMilli(), u.kw, u.soc
	r.Arrived = r.At
	o := &accept.Observation{Reading: r, Has: !u.wrong(), Acks: u.acks, Done: u.done, Armed: u.armed}
	if len(u.acks) == 0 {
		o.Events, u.events = u.events, nil
	}
	u.acks, u.done = nil, nil
	return o
}

func (u *unit) take(now time.Time, list []accept.Action) {
	for _, a := range list {
		if a.Job != nil {
			u.jobs = append(u.jobs, a.Job.Kind)
			d := accept.Done{ID: a.Job.ID}
			if u.wrong() {
				continue // never answered
			} else if u.wrong() {
				d.Err = errors.New("broken")
			} else if u.wrong() {
				d.Err, d.Unable = errors.New("no such thing"), true
			}
			u.done = append(u.done, d)
			continue
		}
		c := *a.Command
		u.cmds, u.last = append(u.cmds, c), a.Command
		ack := c.Answer(device.Done, now.UnixMilli(), "", "")
		switch {
		case u.wrong():
			continue
		case u.wrong():
			ack.Status, ack.Code = device.Rejected, "ENVELOPE"
		case u.wrong():
			ack.Status, ack.Code = device.Failure, "OFFLINE"
		case u.refuses != "" && c.Verb == device.SetPower && !now.Before(u.refusesFrom):
			ack.Status, ack.Code, ack.Reason = device.Rejected, "LOCAL", "the device is in local control"
			u.events = append(u.events, device.Event{Type: "disarmed", Text: "X: " + u.refuses})
		case u.overtaken && c.Verb == device.SetPower && c.Power == u.kw:
			ack.Status, ack.Code = device.Expired, gateway.CodeSuperseded
			u.until = now.Add(time.Duration(c.Duration) * time.Millisecond)
		case c.Verb == device.SetPower:
			u.kw, u.until = c.Power, now.Add(time.Duration(c.Duration)*time.Millisecond)
		case c.Verb == device.Arm:
			u.armed = true
		case c.Verb == device.Disarm:
			u.armed, u.kw = false, 0
		default:
			u.kw = 0
		}
		u.acks = append(u.acks, ack)
	}
}

// play lets a player and a unit work together, and breaks the test off at an instant.
func play(p *scenario.Procedure, u *unit, abort time.Duration) (*accept.Record, time.Duration, error) {
	g, err := accept.Compile(p, 100, false)
	if err != nil {
		return nil, 0, err
	}
	rec := &accept.Record{Test: "X", Begin: origin, RatedKW: 100, Period: 100 * time.Millisecond, MaxAge: time.Second}
	player := accept.NewPlayer(g, rec, func(what string) bool { return what != "grid" })
	for at := time.Duration(0); at < 24*time.Hour; at += 100 * time.Millisecond {
		now := origin.Add(at)
		if abort > 0 && at >= abort {
			player.Abort(now, "interrupted")
		}
		u.soc += u.kw / 100 / 36000 * 100 // a battery of one hour
		u.take(now, player.Step(now, u.see(now)))
		if player.Over() {
			rec.End = now
			return rec, at, nil
		}
	}
	return rec, 24 * time.Hour, errors.New("the player does not end")
}

const walk = `parameters:
  levels: {value: [50, -50, 90], unit: percent, doc: levels}
counts: discharge
prepare:
  - {bring_soc: {to: 50, within: 2, timeout_s: 3600}}
preconditions: {soc_min_percent: 40, soc_max_percent: 60, quiet_s: 1}
steps:
  - each: level
    in: levels
    steps:
      - {power_percent: level, hold_s: 3, measure: {name: step, kind: step}}
  - {setting: {name: ramp, value: 10}, hold_s: 1}
  - {cut: {for_s: 5}, measure: {name: lost, kind: zero}}
  - {rest: true, hold_s: 1}
  - {grid: {hz: 49}, when: grid}
  - {fault: {kind: over-voltage, for_s: 2}}
  - {power_percent: -20, hold_s: 2}
  - {e_stop: true, hold_s: 1}
  - {refused_percent: 20, measure: {name: latched, kind: refused}}
  - {reset: true}
  - {arm: true}
  - {power_percent: 30, hold_s: 3}
`

func TestPlayerDoesWhatTheFileSays(t *testing.T) {
	u := &unit{rng: rand.New(rand.NewPCG(1, 1)), soc: 40, armed: true}
	rec, _, err := play(procedure(t, walk), u, 0)
	if err != nil || rec.Aborted != "" {
		t.Fatal(err, rec.Aborted)
	}
	var told []string
	for _, c := range u.cmds {
		s := fmt.Sprintf("%v %g", c.Verb, c.Power)
		if n := len(told); n == 0 || told[n-1] != s {
			told = append(told, s)
		}
	}
	// Counted as the file counts discharge: 50 there is −50 kW here.
	want := "setPower 50, setPower 0, setPower -50, setPower 50, setPower -90, release 0, setPower 20, eStop 0, setPower -20, reset 0, setPower -30, stop 0"
	if got := strings.Join(told, ", "); got != want {
		t.Errorf("told\n  %s\nwant\n  %s", got, want)
	}
	var names []string
	for _, w := range rec.Windows {
		names = append(names, fmt.Sprintf("%s %g", w.Name, w.ToKW))
	}
	if got := fmt.Sprint(names); got != "[step -50 step 50 step -90 lost NaN latched NaN]" {
		t.Errorf("windows %s", got)
	}
	if got := fmt.Sprint(u.jobs); got != fmt.Sprint([]accept.JobKind{accept.JobSetting, accept.JobCut, accept.JobUncut, accept.JobFault, accept.JobEndFault, accept.JobRestore}) {
		t.Errorf("jobs %s", got)
	}
	if len(rec.Notes) != 1 || !strings.Contains(rec.Notes[0], "needs grid") {
		t.Errorf("notes %q", rec.Notes)
	}
	// While a setpoint holds it is renewed, and each holds for a few seconds only.
	for _, c := range u.cmds {
		if c.Verb == device.SetPower && c.Duration > 6000 {
			t.Errorf("a setpoint that holds for %d ms outlives its sender", c.Duration)
		}
	}
}

// A renewal that the next one has overtaken says nothing about what is measured.
func TestOvertakenRenewalIsNoDoubt(t *testing.T) {
	u := &unit{rng: rand.New(rand.NewPCG(1, 1)), soc: 50, armed: true, overtaken: true}
	rec, _, err := play(procedure(t, "steps:\n  - {power_percent: 50, hold_s: 9, measure: {name: step, kind: step}}\n"), u, 0)
	if err != nil || rec.Aborted != "" || len(rec.Windows) != 1 || len(rec.Windows[0].Doubts) != 0 {
		t.Errorf("%v %q %+v", err, rec.Aborted, rec.Windows)
	}
}

// TestPlayerEndsAtRest: whatever is refused, lost, broken or broken off, the last word
// about power is to have none, nothing is asked for after that, and it comes to an end.
// TestRefusalBeforeItsReason: a device that refuses a setpoint may be taken away by the guard a
// moment later, for what made it refuse: that is the reason of what became of the test.
func TestRefusalBeforeItsReason(t *testing.T) {
	p := procedure(t, "steps:\n  - {power_percent: 50, hold_s: 30, measure: {name: step, kind: step}}\n")
	for name, from := range map[string]time.Duration{"the first": 0, "a renewal": 3 * time.Second} {
		u := &unit{rng: rand.New(rand.NewPCG(1, 1)), soc: 50, refuses: "local control", refusesFrom: origin.Add(from)}
		rec, _, err := play(p, u, 0)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(rec.Aborted, "LOCAL") || rec.Barred != "local control" {
			t.Errorf("%s is refused: aborted %q, barred %q", name, rec.Aborted, rec.Barred)
		}
	}
}

func TestPlayerEndsAtRest(t *testing.T) {
	p := procedure(t, walk)
	rapid.Check(t, func(t *rapid.T) {
		u := &unit{
			rng:   rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 7)),
			bad:   rapid.SampledFrom([]float64{0, 0.01, 0.1, 0.5, 1}).Draw(t, "bad"),
			soc:   rapid.Float64Range(0, 100).Draw(t, "soc"),
			armed: rapid.Bool().Draw(t, "armed"),
		}
		abort := time.Duration(rapid.IntRange(0, 60_000).Draw(t, "abort")) * time.Millisecond
		rec, took, err := play(p, u, abort)
		if err != nil {
			t.Fatal(err)
		}
		if abort > 0 && took > abort+3*time.Minute {
			t.Fatalf("broken off at %v, over at %v", abort, took)
		}
		if v := u.last.Verb; v != device.Stop {
			t.Fatalf("the last word is %v %g kW", v, u.last.Power)
		}
		stops := 0
		for i := len(u.cmds) - 1; i >= 0 && stops < 2; i-- {
			switch u.cmds[i].Verb {
			case device.Stop:
				stops++
			case device.SetPower:
				t.Fatalf("%g kW is asked for after the end", u.cmds[i].Power)
			}
		}
		if u.bad == 0 && math.Abs(u.kw) > 0 {
			t.Fatalf("the device is left at %g kW", u.kw)
		}
		for _, w := range rec.Windows {
			if w.Skipped == "" && w.End.Before(w.T0) {
				t.Fatalf("window %s from %v to %v", w.Name, w.T0, w.End)
			}
		}
	})
}

func TestPreconditions(t *testing.T) {
	const body = "preconditions: {soc_min_percent: 40, soc_max_percent: 60}\nsteps:\n  - {power_percent: 10, hold_s: 1, measure: {name: step, kind: step}}\n"
	for soc, want := range map[float64]string{30: "precondition: the state of charge is 30.0 %", 70: "precondition: the state of charge is 70.0 %", 50: ""} {
		u := &unit{rng: rand.New(rand.NewPCG(1, 1)), soc: soc, armed: true}
		rec, _, err := play(procedure(t, body), u, 0)
		if err != nil || !strings.HasPrefix(rec.Aborted, want) || want == "" && rec.Aborted != "" {
			t.Errorf("at %g %%: %v, %q", soc, err, rec.Aborted)
		}
		if want != "" && len(rec.Windows) > 0 {
			t.Errorf("at %g %%: something was measured", soc)
		}
	}
}

func TestOverrides(t *testing.T) {
	p := procedure(t, walk)
	for _, tt := range []struct {
		over accept.Overrides
		want string
	}{
		{accept.Overrides{Parameters: map[string]scenario.Values{"levels": {10}}}, ""},
		{accept.Overrides{Parameters: map[string]scenario.Values{"level": {10}}}, `did you mean "levels"`},
		{accept.Overrides{Limits: map[string]scenario.Limit{"gap": {Op: "<", Value: 1}}}, `did you mean "gaps"`},
	} {
		_, err := accept.Compile(p, 100, false, tt.over)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%v: %v", tt.over, err)
		}
	}
	some, err := accept.Compile(procedure(t, strings.Replace(walk, "steps:\n", "steps:\n  - repeat: 1.5\n    steps: [{power_percent: 0, hold_s: 1}]\n", 1)), 100, false)
	if err == nil || !strings.Contains(err.Error(), "repeat 1.5 times") {
		t.Errorf("one and a half rounds: %v, %v", some, err)
	}
	g, err := accept.Compile(p, 100, false, accept.Overrides{Limits: map[string]scenario.Limit{"gaps": {Op: "<", Value: 7}}})
	if err != nil || g.Procedure.Limits[0].Limit.Value != 7 || !p.Limits[0].Limit.IsZero() {
		t.Errorf("%v: %+v, and the file's own %+v", err, g.Procedure.Limits[0].Limit, p.Limits[0].Limit)
	}
}

// A setpoint that is not renewed any more is let go: the same power once more is a new one.
func TestSetpointThatIsLetGo(t *testing.T) {
	for name, step := range map[string]string{
		"cut":     "{cut: {for_s: 30}}",
		"refused": "{refused_percent: 30}",
		"disarm":  "{disarm: true}",
	} {
		p := procedure(t, fmt.Sprintf("requires: [power, link]\nsteps:\n  - {power_percent: 50, hold_s: 5}\n  - %s\n  - {arm: true}\n  - {power_percent: 50, hold_s: 5}\n", step))
		rec, _, err := play(p, &unit{rng: rand.New(rand.NewPCG(1, 1)), soc: 50, armed: true}, 0)
		if err != nil || rec.Aborted != "" {
			t.Fatalf("%s: %v, %s", name, err, rec.Aborted)
		}
		var at []float64
		for _, x := range rec.Setpoints {
			if x.V == 50 {
				at = append(at, x.T)
			}
		}
		if len(at) != 2 || len(rec.Let) != 1 || rec.Let[0] <= at[0] || rec.Let[0] >= at[1] {
			t.Errorf("%s: asked for 50 kW at %v s and let go at %v s", name, at, rec.Let)
		}
	}
}
