//go:build !nosim

package accept_test

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/harness/accept"
	"yunchu/harness/backend"
	"yunchu/harness/report"
	"yunchu/harness/scenario"
	"yunchu/harness/simworld"
	"yunchu/platform/device"
	"yunchu/scenarios"
)

var update = flag.Bool("update", false, "write testdata/*.golden; review it")

// shipped are procedures that ship, by name; all without one.
func shipped(t *testing.T, names ...string) (list []*scenario.Procedure) {
	t.Helper()
	if len(names) == 0 {
		files, err := fs.Glob(scenarios.Files, "accept/*.yaml")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			names = append(names, strings.TrimSuffix(filepath.Base(f), ".yaml"))
		}
	}
	for _, n := range names {
		p, err := scenario.LoadProcedure("accept/"+n+".yaml", scenario.Options{FS: scenarios.Files})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

// bench is a twin, of a model by name or path.
func bench(t *testing.T, model string) *accept.Bench {
	t.Helper()
	d := &scenario.RigDevice{Device: scenario.Device{ID: "twin-1", Model: model, SoC: scenario.SoC{Mean: 50}}}
	b, err := simworld.OpenBench(d, origin, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// suite does procedures, short, with one bench.
func suite(t *testing.T, b *accept.Bench, list []*scenario.Procedure) *accept.Result {
	t.Helper()
	r, err := accept.Run(t.Context(), []*accept.Bench{b}, list, accept.Options{Short: true, Start: origin})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// of finds a test of the first device, and one of its limits.
func of(t *testing.T, r *accept.Result, test, limit string) (*accept.TestResult, accept.Judged) {
	t.Helper()
	for _, x := range r.Devices[0].Tests {
		if x.Program.Procedure.Name != test {
			continue
		}
		for _, j := range x.Limits {
			if j.Name == limit {
				return x, j
			}
		}
	}
	t.Fatalf("no limit %s of %s", limit, test)
	return nil, accept.Judged{}
}

// TestShippedSuiteWithTwin: everything that ships can be done with the twin that ships,
// and what it cannot do is said not to apply.
func TestShippedSuiteWithTwin(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine does the suite, in the time of the twin")
	}
	// What takes hours of the twin's time is read less often, to spare ours.
	var quick, long []*scenario.Procedure
	for _, p := range shipped(t) {
		if slices.Contains(p.Requires, "time") {
			long = append(long, p)
		} else {
			quick = append(quick, p)
		}
	}
	r, slow := suite(t, bench(t, scenario.DefaultModel), quick), bench(t, scenario.DefaultModel)
	slow.Period = 500 * time.Millisecond
	hours := suite(t, slow, long)
	r.Devices[0].Tests = append(r.Devices[0].Tests, hours.Devices[0].Tests...)
	absent := map[string]bool{"T03": true, "T04": true, "T08": true, "T09": true, "T10": true, "T11": true, "T13": true, "T22": true, "T33": true}
	if n := len(r.Devices[0].Tests); n != 25 {
		t.Errorf("%d tests", n)
	}
	for _, x := range r.Devices[0].Tests {
		name := x.Program.Procedure.Name
		want := report.Passed
		if absent[name] {
			want = report.NotApplicable
		}
		if x.Verdict != want {
			t.Errorf("%s is %s (%s), want %s", name, x.Verdict, x.Why, want)
			for _, j := range x.Limits {
				t.Logf("  %s %v %s %s", j.Name, j.Value, j.Verdict, j.Note)
			}
		}
		if x.Record == nil {
			continue
		}
		last := x.Record.Samples[len(x.Record.Samples)-1]
		if last.Power > 2 || last.Power < -2 {
			t.Errorf("%s leaves the device at %g kW", name, last.Power)
		}
		if len(x.Record.Samples) < 10 {
			t.Errorf("%s has %d samples", name, len(x.Record.Samples))
		}
	}
	if r.Verdict != report.Passed || hours.Verdict != report.Passed {
		t.Errorf("the suite is %s and %s", r.Verdict, hours.Verdict)
	}
}

// TestSignTestSpeaksForNoOther: where nothing applies but the sign test, nothing of what
// was asked for has passed.
func TestSignTestSpeaksForNoOther(t *testing.T) {
	var list []*scenario.Procedure
	for _, p := range shipped(t) {
		if p.Name == accept.SignTest || p.Name == "T04" {
			list = append(list, p)
		}
	}
	for n, want := range map[int]report.Verdict{1: report.Passed, 2: report.Inconclusive} {
		if r := suite(t, bench(t, scenario.DefaultModel), list[:n]); r.Verdict != want {
			t.Errorf("the first %d tests are %s, want %s", n, r.Verdict, want)
		}
	}
}

// TestDocumentationIsComplete: the table of docs/acceptance.md has every procedure with
// its limits, and says which of them nobody has verified.
func TestDocumentationIsComplete(t *testing.T) {
	text, err := os.ReadFile("../../docs/acceptance.md")
	if err != nil {
		t.Fatal(err)
	}
	signs := strings.NewReplacer("<=", "≤", ">=", "≥", "==", "=")
	for _, p := range shipped(t) {
		row := fmt.Sprintf("| %s | %s | %s | ", p.Name, p.Title, strings.Join(p.Requires, ", "))
		for i, l := range p.Limits {
			if i > 0 {
				row += "; "
			}
			switch {
			case l.Limit.IsZero():
				row += l.Name + " (reported)"
			case l.Standing() == scenario.Unverified:
				row += l.Name + " " + signs.Replace(l.Limit.String()) + " **unverified**"
			default:
				row += l.Name + " " + signs.Replace(l.Limit.String())
			}
			if unverified := strings.HasPrefix(l.Source, "unverified"); unverified != (l.Standing() == scenario.Unverified) && !l.Limit.IsZero() {
				t.Errorf("%s %s: %s with the source %q", p.Name, l.Name, l.Standing(), l.Source)
			}
		}
		if !strings.Contains(string(text), row+" | "+p.Source+" |") {
			t.Errorf("docs/acceptance.md does not have the row\n%s | %s |", row, p.Source)
		}
	}
}

// altered is the shipped model with a line changed, as a file.
func altered(t *testing.T, pattern, with string) string {
	t.Helper()
	text, err := os.ReadFile("../../twin/params/" + scenario.DefaultModel + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	re := regexp.MustCompile(pattern)
	if !re.Match(text) {
		t.Fatalf("no %s in the model", pattern)
	}
	path := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(path, re.ReplaceAll(text, []byte(with)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSlowTwinFailsForBeingSlow(t *testing.T) {
	r := suite(t, bench(t, altered(t, `ramp_per_second: [0-9.]+`, "ramp_per_second: 0.3")), shipped(t, "T00", "T05", "T06"))
	x, j := of(t, r, "T05", "response_s")
	// 90 % of 90 kW at 30 kW/s, after 40 ms.
	if x.Verdict != report.Failed || j.Verdict != report.Failed || j.Value < 2.6 || j.Value > 2.9 {
		t.Errorf("response %v ± %v is %s (%s)", j.Value, j.Res, j.Verdict, j.Note)
	}
	if _, j := of(t, r, "T05", "deviation_percent"); j.Verdict != report.Passed {
		t.Errorf("its accuracy is %s (%s)", j.Verdict, j.Note)
	}
	if x, _ := of(t, r, "T06", "transition_s"); x.Verdict != report.Failed {
		t.Errorf("T06 is %s", x.Verdict)
	}
	if r.Verdict != report.Failed {
		t.Errorf("the suite is %s", r.Verdict)
	}
}

// broken is a bench whose readings pass through something on their way.
type broken struct {
	accept.World
	change func(now time.Time, r *device.Reading) (lost bool)
}

func (b broken) Devices() device.Fleet { return distorted{b.World.Devices(), b.change} }

type distorted struct {
	device.Fleet
	change func(now time.Time, r *device.Reading) (lost bool)
}

func (d distorted) ReadAll(ctx context.Context, now time.Time, into *device.Readings) error {
	var in device.Readings
	err := d.Fleet.ReadAll(ctx, now, &in)
	var r device.Reading
	for i := range in.Rows() {
		in.Row(i, &r)
		if !d.change(now, &r) {
			into.Append(&r)
		}
	}
	return err
}

func distort(t *testing.T, change func(now time.Time, r *device.Reading) bool) *accept.Bench {
	b := bench(t, scenario.DefaultModel)
	b.World = broken{b.World, change}
	return b
}

// echo is a device that reports the setpoint as its power, from the moment it takes it.
type echo struct {
	device.Fleet
	kw *float64
}

func (e echo) WriteAll(ctx context.Context, now time.Time, cmds []device.Command, acks []device.Ack) ([]device.Ack, error) {
	for i := range cmds {
		if cmds[i].Verb == device.SetPower {
			*e.kw = cmds[i].Power
		}
	}
	return e.Fleet.WriteAll(ctx, now, cmds, acks)
}

func (e echo) ReadAll(ctx context.Context, now time.Time, into *device.Readings) error {
	return distorted{e.Fleet, func(_ time.Time, r *device.Reading) bool { r.Power = *e.kw; return false }}.ReadAll(ctx, now, into)
}

type echoing struct{ accept.World }

func (e echoing) Devices() device.Fleet { return echo{e.World.Devices(), new(float64)} }

// blind is a bench without a reference.
type blind struct{ accept.World }

func (blind) Truth(context.Context, string) (backend.Truth, error) {
	return backend.Truth{}, backend.ErrUnknown
}

// TestEchoedSetpointPassesNoTime: a device that tells what it was asked for instead of what
// it does is as fast as anybody wants. Its battery makes that doubtful, a reference a failure.
func TestEchoedSetpointPassesNoTime(t *testing.T) {
	for _, tt := range []struct {
		bench func(accept.World) accept.World
		want  report.Verdict
		note  string
	}{
		{func(w accept.World) accept.World { return blind{echoing{w}} }, report.Inconclusive, "later than the reported power"},
		{func(w accept.World) accept.World { return echoing{w} }, report.Failed, "reference 0.85"},
	} {
		b := bench(t, altered(t, `ramp_per_second: [0-9.]+`, "ramp_per_second: 1"))
		b.World = tt.bench(b.World)
		x, j := of(t, suite(t, b, shipped(t, "T00", "T05")), "T05", "response_s")
		if x.Verdict != tt.want || !strings.Contains(j.Note, tt.note) {
			t.Errorf("T05 is %s: %v (%s), want %s with %q", x.Verdict, j.Value, j.Note, tt.want, tt.note)
		}
	}
}

func TestWrongSignFailsBeforeAnythingElseIsDone(t *testing.T) {
	for name, change := range map[string]func(r *device.Reading){
		"power and current": func(r *device.Reading) {
			r.Power, r.Current = -r.Power, -r.Current
			switch r.Status {
			case device.Charging:
				r.Status = device.Discharging
			case device.Discharging:
				r.Status = device.Charging
			}
		},
		"current": func(r *device.Reading) { r.Current = -r.Current; r.Status = device.Idle },
	} {
		r := suite(t, distort(t, func(_ time.Time, r *device.Reading) bool { change(r); return false }), shipped(t, "T00", "T05"))
		sign, j := of(t, r, "T00", "wrong_sign")
		if name == "power and current" && (sign.Verdict != report.Failed || j.Value < 10) {
			t.Errorf("%s: T00 is %s: %v (%s)", name, sign.Verdict, j.Value, j.Note)
		}
		if sign.Verdict == report.Passed {
			t.Errorf("%s: T00 has passed", name)
		}
		step, _ := of(t, r, "T05", "response_s")
		if step.Verdict != report.Inconclusive || step.Record != nil || !strings.Contains(step.Why, "sign test") {
			t.Errorf("%s: T05 is %s (%s), and was done: %v", name, step.Verdict, step.Why, step.Record != nil)
		}
	}
}

func TestStaleReadingsAreInconclusive(t *testing.T) {
	// For two seconds of every six nothing comes.
	r := suite(t, distort(t, func(now time.Time, _ *device.Reading) bool {
		return now.Unix()%6 < 2 && now.After(origin.Add(20*time.Second))
	}), shipped(t, "T00", "T05"))
	x, j := of(t, r, "T05", "response_s")
	if x.Verdict != report.Inconclusive || !strings.Contains(j.Note, "no reading for") {
		t.Errorf("T05 is %s: %s", x.Verdict, j.Note)
	}
}

func TestFrozenReadingsFail(t *testing.T) {
	var held device.Reading
	r := suite(t, distort(t, func(now time.Time, r *device.Reading) bool {
		if now.Before(origin.Add(20 * time.Second)) {
			held = *r
			return false
		}
		at, power := r.At, r.Power
		*r = held
		r.At, r.Arrived, r.Power, r.Current = at, at, power, 0 // power of the wire, the rest stands still
		return false
	}), shipped(t, "T00", "T05"))
	if _, j := of(t, r, "T05", "response_s"); j.Verdict != report.Inconclusive || !strings.Contains(j.Note, "not good (logic") {
		t.Errorf("response_s is %s: %s", j.Verdict, j.Note)
	}
	if x, j := of(t, r, "T05", "frozen_channels"); x.Verdict != report.Failed || !strings.Contains(j.Note, "current stands still") {
		t.Errorf("T05 is %s: %s", x.Verdict, j.Note)
	}
}

func TestInterruptionBringsTheDeviceToRest(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	opt := accept.Options{Short: true, Start: origin, Progress: func(_, test, _ string, at time.Duration) {
		if test == "T05" && at > 4*time.Second {
			cancel()
		}
	}}
	r, err := accept.Run(ctx, []*accept.Bench{bench(t, scenario.DefaultModel)}, shipped(t, "T00", "T05", "T06"), opt)
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict != report.Interrupted || len(r.Devices[0].Tests) != 2 {
		t.Fatalf("%s after %d tests", r.Verdict, len(r.Devices[0].Tests))
	}
	x, _ := of(t, r, "T05", "response_s")
	last := x.Record.Samples[len(x.Record.Samples)-1]
	if x.Verdict != report.Inconclusive || x.Record.Aborted != "interrupted" || last.Power > 2 || last.Power < -2 {
		t.Errorf("%s, %q, at %g kW", x.Verdict, x.Record.Aborted, last.Power)
	}
}

// outline is what a page is made of: its headings, the heads of its tables, and its verdicts.
func outline(page string) string {
	var b strings.Builder
	for _, m := range regexp.MustCompile(`(?s)<(h1|h2|h4|th|dt)(?: [^>]*)?>(.*?)</|<section[^>]*id="([^"]*)"|<tr><td>([a-z_]+)<br>`).FindAllStringSubmatch(page, -1) {
		switch {
		case m[3] != "":
			fmt.Fprintf(&b, "section %s\n", m[3])
		case m[4] != "":
			fmt.Fprintf(&b, "  limit %s\n", m[4])
		default:
			fmt.Fprintf(&b, "  %s %s\n", m[1], strings.TrimSpace(m[2]))
		}
	}
	return b.String()
}

// A step to a fifth of the power is answered sooner than one to all of it: whoever reads
// the report is told at its top that it was not the procedure's.
func TestReportTellsOfOtherParameters(t *testing.T) {
	for _, tt := range []struct {
		short bool
		over  map[string]scenario.Values
		want  string // "": nothing is told
	}{
		{true, nil, ""},
		{true, map[string]scenario.Values{"levels": {20}, "hold_s": {8}}, "twin-1/T05 (levels)"},
		{false, map[string]scenario.Values{"levels": {20}, "rounds": {1}}, "twin-1/T05 (levels, rounds)"},
		{false, map[string]scenario.Values{"levels": {90, -90}, "rounds": {1}, "hold_s": {8}, "rest_s": {4}, "quiet_s": {2}}, "twin-1/T05 (hold_s, levels, quiet_s, rest_s, rounds)"},
	} {
		b := bench(t, scenario.DefaultModel)
		r, err := accept.Run(t.Context(), []*accept.Bench{b}, shipped(t, "T00", "T05"), accept.Options{
			Short: tt.short, Start: origin, Over: map[string]accept.Overrides{"T05": {Parameters: tt.over}},
		})
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		doc := &accept.Document{Result: r, Short: tt.short}
		if err := accept.Write(dir, doc); err != nil {
			t.Fatal(err)
		}
		var screen strings.Builder
		if err := doc.Text(&screen, false); err != nil {
			t.Fatal(err)
		}
		if _, text, told := strings.Cut(screen.String(), "done with other parameters than the procedure's: "); told != (tt.want != "") || told && !strings.Contains(tt.want, "("+text[:strings.Index(text, "\n")]+")") {
			t.Errorf("short %v, %v: the terminal tells %v, %.60s", tt.short, tt.over, told, text)
		}
		page, err := os.ReadFile(filepath.Join(dir, "accept.html"))
		if err != nil {
			t.Fatal(err)
		}
		if _, text, told := strings.Cut(string(page), "other parameters than the procedure has"); told != (tt.want != "") || told && !strings.Contains(text[:200], ": "+tt.want+".") {
			t.Errorf("short %v, %v: told %v, %.200s", tt.short, tt.over, told, text)
		}
	}
}

func TestReport(t *testing.T) {
	b := bench(t, scenario.DefaultModel)
	b.Serials = []string{"PCS <4711>"}
	b.Tools = []scenario.Instrument{{Name: "power analyser", Serial: "PA-1", Calibrated: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)}}
	doc := &accept.Document{Result: suite(t, b, shipped(t, "T00", "T03", "T05", "T19")), Operator: "Li Wei", Short: true, Binary: "abc123", Tags: []string{"x"}}
	dir := t.TempDir()
	if err := accept.Write(dir, doc); err != nil {
		t.Fatal(err)
	}
	if err := report.Verify(dir); err != nil {
		t.Error(err)
	}
	text := func(name string) string {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	page := text("accept.html")
	got, golden := outline(page), "testdata/outline.golden"
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the page is made of\n%s\nwant\n%s", got, want)
	}
	samples, err := report.HashFile("x", filepath.Join(dir, "samples-twin-1-T05.csv"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{
		samples.SHA256, "Li Wei", "abc123", "PCS &lt;4711&gt;", "calibrated 2020-01-01", "more than a year ago", "not verified", "short parameters",
		"NOT-APPLICABLE", "PASS", "needs settings", "<svg", "0.4 ± ", "≤ 0.5 s", "Signatures", "counts discharge above zero",
	} {
		if !strings.Contains(page, s) {
			t.Errorf("the page does not say %q", s)
		}
	}
	for _, s := range []string{"<script", "http://", "src=", "@import", "NaN"} {
		if strings.Contains(strings.ReplaceAll(strings.ReplaceAll(page, "http://www.w3.org", ""), `xlink="http:`, ""), s) {
			t.Errorf("the page has %q: it must stand alone", s)
		}
	}
	junit := text("junit.xml")
	for _, s := range []string{`tests="14"`, `limit = 0; needs settings"></skipped>`, `failures="0"`, `name="response_s &lt;= 0.5"`} {
		if !strings.Contains(junit, s) {
			t.Errorf("junit.xml does not have %s:\n%.2000s", s, junit)
		}
	}
	if csv := text("samples-twin-1-T05.csv"); !strings.HasPrefix(csv, "t_s,at_ms,arrived_ms,setpoint_kw,power_kw,") || strings.Count(csv, "\n") < 400 {
		t.Errorf("%d rows of %.100s", strings.Count(csv, "\n"), csv)
	}
}
