package report_test

import (
	"bytes"
	"encoding/json"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"yunchu/harness/report"
)

func TestDiff(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, change func(*report.Run)) string {
		run := synthetic(t)
		change(run)
		run.Verdict = report.Decide(report.Outcome{}, run.Scores, run.Checks)
		out := filepath.Join(dir, name)
		if err := report.Write(out, run); err != nil {
			t.Fatal(err)
		}
		return out
	}
	a := write("a", func(*report.Run) {})
	same := write("same", func(r *report.Run) { r.WallS, r.Speed = 2.4, 1500 })
	b := write("b", func(r *report.Run) {
		r.Seed = 43
		r.Scores[2].Value, r.Scores[2].CI95, r.Scores[2].Pass = 80, [2]float64{78, 82}, true
		r.Scores[0].Value, r.Scores[0].Pass = 0.09, false
		r.Scores[1].Value = 0.99
		r.Scores = r.Scores[:15]
		r.Checks[1].Pass, r.Checks[1].Detail = false, "ess-007 at 2.1 %"
		r.Inputs[0] = report.HashBytes("regulation-hour.yaml", []byte("kind: Other\n"))
	})
	d, err := report.DiffPaths(a, filepath.Join(same, "report.json"))
	if err != nil || !d.Same {
		t.Errorf("two runs of one thing: %+v, %v", d, err)
	}
	d, err = report.DiffPaths(a, b)
	if err != nil || d.Same {
		t.Fatalf("%+v, %v", d, err)
	}
	status := map[string]string{}
	for _, s := range d.Scores {
		status[s.Metric+" "+s.Stat] = s.Status
		if s.Metric == "command.latency_ms" && s.Stat == "p99" && !s.Distinct {
			t.Error("intervals apart are not called distinct")
		}
	}
	want := map[string]string{
		"tracking.rms_error_ratio last": report.Broken, "tracking.delivered_ratio last": report.Changed, "command.latency_ms p99": report.Fixed,
		"command.latency_ms p50": report.Same, "regulation.k last": report.Same, "speed last": report.Removed,
	}
	for k, w := range want {
		if status[k] != w {
			t.Errorf("%s: %s, want %s", k, status[k], w)
		}
	}
	if len(d.Inputs) != 1 || len(d.Fields) != 1 || d.Fields[0].Name != "seed" || d.Checks[1].Status != report.Broken {
		t.Errorf("inputs %v fields %v checks %v", d.Inputs, d.Fields, d.Checks)
	}
	var text bytes.Buffer
	if err := d.Text(&text, false); err != nil {
		t.Fatal(err)
	}
	for _, w := range []string{"seed  42 → 43", "regulation-hour.yaml", "broken", "fixed", "removed", "ess-007 at 2.1 %", "failed → ✗ failed"} {
		if !strings.Contains(text.String(), w) {
			t.Errorf("no %q in\n%s", w, text.String())
		}
	}
	if j, err := json.Marshal(d); err != nil || !json.Valid(j) || !bytes.Contains(j, []byte(`"status":"broken"`)) {
		t.Errorf("%s, %v", j, err)
	}
	if _, err := report.DiffPaths(a, filepath.Join(dir, "nothing")); err == nil {
		t.Error("a folder that is not there")
	}
}

func TestSummarise(t *testing.T) {
	var runs []*report.Report
	for i, v := range []float64{10, 12, 14, nan} {
		s := report.Score{Metric: "m", Stat: "p99", Value: v, Limit: "< 13", Pass: v < 13, Inconclusive: math.IsNaN(v), Unit: "ms"}
		r := &report.Report{Scenario: "x", Seed: uint64(i + 1), Scores: []report.Score{s}}
		r.Verdict = report.Decide(report.Outcome{}, r.Scores, nil)
		runs = append(runs, r)
	}
	s := report.Summarise(runs[:3])
	row := s.Summary[0]
	// Student's t with two degrees of freedom: 4.302653 · 2/√3.
	if h := 4.302653 * 2 / math.Sqrt(3); row.Mean != 12 || math.Abs(row.CI95[1]-12-h) > 1e-5 || math.Abs(row.PassRatio-2.0/3) > 1e-12 || row.Worst != 3 {
		t.Errorf("%+v", row)
	}
	all := report.Summarise(runs)
	if row := all.Summary[0]; row.PassRatio != 0.5 || row.N != 3 || row.Mean != 12 || row.Worst != 4 || all.Verdict() != report.Failed {
		t.Errorf("a run without a value has not passed: %+v %s", row, all.Verdict())
	}
	b, err := json.Marshal(report.Summarise(runs[:1]))
	if err != nil || !bytes.Contains(b, []byte(`"summary":[{"metric":"m","stat":"p99","mean":10,"ci95":null,"pass_ratio":1,`)) {
		t.Errorf("%s, %v", b, err)
	}
	if v := report.Summarise(nil).Verdict(); v != report.Inconclusive {
		t.Errorf("no runs: %s", v)
	}
	var text bytes.Buffer
	if err := all.Text(&text, false); err != nil || !strings.Contains(text.String(), "FAILED: 2 of 4 runs passed") {
		t.Errorf("%s, %v", text.String(), err)
	}
}
