package accept_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yunchu/harness/accept"
	"yunchu/harness/report"
	"yunchu/platform/device"
)

// TestTerminalTellsWhatWasNotJudged: a PASS shows which of its limits do not apply, and which
// were kept by the device's word alone although there was a reference.
func TestTerminalTellsWhatWasNotJudged(t *testing.T) {
	r := ramped(50*time.Millisecond, 0.1, 1000)
	echoes(time.Second, step(11, 1e9, 100))(r)
	p := limit(t, "m", "response_time_s", "<= 0.8")
	for metric, text := range map[string]string{"frozen_channels": "== 0", "frame_loss_percent": "<= 1"} {
		l := limit(t, "test", metric, text).Limits[0]
		if l.Name = metric; metric == "frame_loss_percent" {
			l.Measure = "e"
			r.Windows = append(r.Windows, window("exchange", 10, 30))
			r.Windows[1].Name = "e"
		}
		p.Limits = append(p.Limits, l)
	}
	g, err := accept.Compile(p, 100, false)
	if err != nil {
		t.Fatal(err)
	}
	x := &accept.TestResult{Program: g, Record: r, Limits: accept.Judge(p, r)}
	x.Verdict = accept.Verdict(x.Limits)
	if x.Verdict != report.Passed {
		t.Fatalf("%s: %+v", x.Verdict, x.Limits)
	}
	doc := &accept.Document{Result: &accept.Result{Verdict: x.Verdict, Devices: []*accept.DeviceResult{{Info: device.Info{ID: "d"}, Tests: []*accept.TestResult{x}}}}}
	var screen strings.Builder
	if err := doc.Text(&screen, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"not judged: ", "frozen_channels (no channel had to move", "frame_loss_percent (step 1: no wire of it", "which the reference cannot tell: 2"} {
		if !strings.Contains(screen.String(), want) {
			t.Errorf("no %q in\n%s", want, screen.String())
		}
	}
	if n := strings.Count(screen.String(), "not judged"); n != 1 {
		t.Errorf("%d lines of it", n)
	}
}

// TestReportTellsWhatTheSuiteDoesNot: nothing of the suite asks for reactive power or a power
// factor, and a report says so, and what else of the published tests is not in it.
func TestReportTellsWhatTheSuiteDoesNot(t *testing.T) {
	r := ramped(50*time.Millisecond, 0.1, 100)
	reactive([]float64{0}, 0)(r)
	p := limit(t, "m", "reactive_error_percent", "<= 0.5")
	g, err := accept.Compile(p, 100, false)
	if err != nil {
		t.Fatal(err)
	}
	x := &accept.TestResult{Program: g, Record: r, Limits: accept.Judge(p, r)}
	x.Verdict = accept.Verdict(x.Limits)
	doc := &accept.Document{Result: &accept.Result{Verdict: report.Inconclusive, Devices: []*accept.DeviceResult{{Info: device.Info{ID: "d"}, Tests: []*accept.TestResult{x}}}}}
	dir := t.TempDir()
	if err := accept.Write(dir, doc); err != nil {
		t.Fatal(err)
	}
	var screen strings.Builder
	if err := doc.Text(&screen, false); err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{"the terminal": screen.String()}
	for _, name := range []string{"accept.html", "report.json", "junit.xml"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
	}
	for where, text := range texts {
		for _, want := range []string{"NOT-APPLICABLE", "the suite asks for none", "reactive power and power factor as they are asked for (T15)", "fault ride-through (T23)"} {
			if where == "junit.xml" && want == "NOT-APPLICABLE" {
				want = "skipped"
			}
			if !strings.Contains(text, want) {
				t.Errorf("%s does not say %q", where, want)
			}
		}
	}
}
