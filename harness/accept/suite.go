package accept

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"yunchu/harness/report"
	"yunchu/harness/scenario"
	"yunchu/platform/device"
	"yunchu/platform/guard"
)

// Result is what the suite came to.
type Result struct {
	Verdict report.Verdict
	Begin   time.Time // on the wall clock
	End     time.Time
	Devices []*DeviceResult
}

// DeviceResult is what one device came to.
type DeviceResult struct {
	Info    device.Info
	Said    device.Info // what it says of itself
	Address string
	Serials []string
	Tools   []scenario.Instrument
	Virtual bool // a twin in virtual time
	Able    []string
	Scale   Scale // of its power
	Tests   []*TestResult
}

// TestResult is what one test came to.
type TestResult struct {
	Program *Program
	Verdict report.Verdict
	Why     string // of a test that does not apply, or was not done
	Limits  []Judged
	Record  *Record // nil when nothing was done
}

// needsHours is what a test requires that takes hours of the device's time.
const needsHours = "time"

// SignTest is the name of the procedure that is done before all others.
const SignTest = "T00"

// Run does the procedures on the benches, one after the other. ErrNotThere for a device
// that does not answer; a result comes with an error of the environment as far as it went.
func Run(ctx context.Context, benches []*Bench, procedures []*scenario.Procedure, opt Options) (*Result, error) {
	out := &Result{Begin: time.Now().UTC()}
	var err error
	for _, b := range benches {
		var d *DeviceResult
		if d, err = one(ctx, b, procedures, &opt); d != nil {
			out.Devices = append(out.Devices, d)
		}
		if err != nil || ctx.Err() != nil {
			break
		}
	}
	out.End = time.Now().UTC()
	out.Verdict = out.verdict(ctx.Err() != nil)
	return out, err
}

// verdict is that of all tests of all devices. A sign test that was passed speaks for no
// other test.
func (r *Result) verdict(interrupted bool) report.Verdict {
	passed, gap := false, false
	for _, d := range r.Devices {
		for _, t := range d.Tests {
			switch t.Verdict {
			case report.Failed:
				return report.Failed
			case report.Passed:
				passed = passed || t.Program.Procedure.Name != SignTest || len(d.Tests) == 1
			case report.NotApplicable:
			default:
				gap = true
			}
		}
	}
	switch {
	case interrupted:
		return report.Interrupted
	case gap || !passed:
		return report.Inconclusive
	}
	return report.Passed
}

func one(ctx context.Context, b *Bench, procedures []*scenario.Procedure, opt *Options) (out *DeviceResult, err error) {
	s, err := open(ctx, b, opt)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	known, _ := s.plant.Fleet.Device(s.slot)
	out = &DeviceResult{
		Info: known.Info, Said: s.said, Address: b.Address, Serials: b.Serials, Tools: b.Tools, Virtual: b.World != nil,
	}
	for c, ok := range s.able {
		if ok {
			out.Able = append(out.Able, c)
		}
	}
	slices.Sort(out.Able)
	barred := ""
	if b.World == nil && !b.Loopback && !slices.Contains(opt.Arm, string(b.Info.ID)) {
		barred = "it was not to be armed: name it with --arm " + string(b.Info.ID)
	}
	for _, p := range procedures {
		g, err := Compile(p, known.Info.RatedKW, opt.Short, b.Over[p.Name], opt.Over[p.Name])
		if err != nil {
			return out, err
		}
		t := s.test(ctx, g, barred)
		out.Tests = append(out.Tests, t)
		if t.Record != nil && t.Record.Unrest != "" && barred == "" {
			barred = p.Name + ": " + t.Record.Unrest
		}
		if p.Name == SignTest && t.Verdict != report.Passed && barred == "" {
			barred = "the sign test was not passed"
			if why := t.reason(); why != "" {
				barred += ": " + why
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	out.Scale = ScaleOf(out.Tests, s.links["meter"] != nil && s.links["pcs"] != nil)
	out.Scale.doubt(out.Tests)
	return out, nil
}

// test does one program, where it applies and may be done.
func (s *session) test(ctx context.Context, g *Program, barred string) *TestResult {
	t := &TestResult{Program: g}
	var lacks []string
	for _, c := range g.Procedure.Requires {
		if !s.able[c] {
			lacks = append(lacks, c)
		}
	}
	switch {
	case len(lacks) > 0:
		t.Verdict, t.Why = report.NotApplicable, "needs "+strings.Join(lacks, ", ")
		if slices.Contains(lacks, needsHours) {
			t.Why += "; on a wire it takes hours, and is not done with short parameters"
		}
	case barred != "" && g.writes:
		t.Verdict, t.Why = report.Inconclusive, barred
	}
	if t.Verdict != "" {
		for _, l := range g.Procedure.Limits {
			def, _ := scenario.FindTestMetric(l.Metric)
			t.Limits = append(t.Limits, Judged{ProcedureLimit: l, Unit: def.Unit, Value: nan, Res: nan, Verdict: t.Verdict, Note: t.Why})
		}
		return t
	}
	if known, _ := s.plant.Fleet.Device(s.slot); g.writes && g.Procedure.Name != SignTest && known.Info.State != device.Active {
		g.ops = slices.Insert(g.ops, 0, op{act: actArm, label: "arming"})
	}
	t.Record = s.play(ctx, g)
	t.Limits = Judge(g.Procedure, t.Record)
	t.Verdict, t.Why = Verdict(t.Limits), t.Record.Aborted
	if g.Procedure.Name == SignTest && (t.Record.SignWrong || t.Record.Other) {
		t.Verdict = report.Failed
	}
	t.left()
	t.barred()
	return t
}

// asAWhole is the name of what a test has come to beside its limits.
const asAWhole = "as a whole"

// whole is what a test has come to where that is graver than what its limits have: how the
// device was left, or was taken away, counts beside them. nil: nothing is.
func (t *TestResult) whole() *Judged {
	of := Verdict(t.Limits)
	if t.Verdict == of || t.Verdict != report.Failed && (t.Verdict != report.Inconclusive || of == report.Failed) {
		return nil
	}
	return &Judged{ProcedureLimit: scenario.ProcedureLimit{Name: asAWhole}, Value: math.NaN(), Verdict: t.Verdict, Note: cmp.Or(t.Why, "it has "+Word(t.Verdict))}
}

// shown are the limits, and what the test has come to beside them, once for each requirement
// that rests on it.
func (t *TestResult) shown() []Judged {
	whole := t.whole()
	if whole == nil {
		return t.Limits
	}
	out := slices.Clone(t.Limits)
	var told []string
	for _, j := range t.Limits {
		if j.Requirement == "" || j.Limit.IsZero() || slices.Contains(told, j.Requirement) {
			continue
		}
		told = append(told, j.Requirement)
		w := *whole
		w.Requirement = j.Requirement
		out = append(out, w)
	}
	return out
}

// left draws the consequences from how the device was left: one that has power when all is
// done has failed, and one of which nobody knows passes nothing.
func (t *TestResult) left() {
	r := t.Record
	switch {
	case r.Unrest != "":
		t.Verdict = report.Failed
	case r.Unfinished != "" && t.Verdict == report.Passed:
		t.Verdict = report.Inconclusive
	default:
		return
	}
	t.Why = strings.TrimSuffix(cmp.Or(r.Unrest, r.Unfinished)+"; "+t.Why, "; ")
}

// barred draws the consequences from the guard's having taken the device away in the midst
// of the test. A device on one wire that goes on reporting and runs against its setpoint, or
// whose heartbeat stands, has failed. Of a lost link, a panel switched to local or somebody
// else's setpoint nobody knows whose fault it is.
func (t *TestResult) barred() {
	r := t.Record
	if r.Barred == "" {
		return
	}
	own := strings.HasPrefix(r.Barred, guard.AgainstSetpoint) ||
		strings.HasPrefix(r.Barred, guard.HeartbeatStands) && !r.Parts && r.offline() == ""
	switch {
	case own:
		t.Verdict = report.Failed
	case t.Verdict == report.Passed:
		t.Verdict = report.Inconclusive
	}
	t.Why = strings.TrimSuffix(r.Barred+"; "+t.Why, "; ")
}

// reason is why a test has not passed, in a few words.
func (t *TestResult) reason() string {
	if t.Why != "" {
		return t.Why
	}
	for _, j := range t.Limits {
		if j.Verdict == report.Failed || j.Verdict == report.Inconclusive {
			return strings.TrimSpace(fmt.Sprintf("%s %s %s", j.Name, j.Verdict, j.Note))
		}
	}
	return ""
}
