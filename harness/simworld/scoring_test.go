//go:build !nosim

package simworld_test

import (
	"math"
	"strings"
	"testing"

	"yunchu/harness/report"
	"yunchu/harness/run"
	"yunchu/harness/scenario"
)

// TestScoresCatch holds what is scored against runs in which something is wrong,
// or ends, that dispatch itself does not notice.
func TestScoresCatch(t *testing.T) {
	fleet := "fleet: [{id: ess, count: 10, device: sim}]\n"
	tests := []struct {
		name, text, metric string
		verdict            report.Verdict
		n                  int64 // of the metric, 0: whatever it is
		event              string
	}{
		{
			name: "a cycle far slower than its target",
			text: fleet + "duration: 20m\ndispatch: {every: 5m, target: {csv: ../../scenarios/inputs/regulation-1h.csv, column: regulation, scale_kw: -800}}\n" +
				`score: [{metric: tracking.rms_error_ratio, limit: "<= 0.05"}]`,
			metric: "tracking.rms_error_ratio", verdict: report.Failed,
		},
		{
			name: "steps that fall between two cycles",
			text: fleet + "duration: 5m\ndispatch: {every: 30s, target: {kw: -100}}\ntimeline: [{at: 61s, target_kw: 500, for: 28s}]\n" +
				`score: [{metric: tracking.rms_error_ratio, limit: "<= 0.05"}]`,
			metric: "tracking.rms_error_ratio", verdict: report.Failed,
		},
		{
			name: "a target that ends is in force no longer",
			text: fleet + "duration: 10m\ntimeline: [{at: 1m, target_kw: -500, for: 2m}]\n" +
				`score: [{metric: tracking.rms_error_ratio, limit: "<= 0.05"}]`,
			metric: "tracking.rms_error_ratio", verdict: report.Passed, n: 120,
		},
		{
			name: "a target beyond the import limit is a shortfall",
			text: fleet + "duration: 5m\nsite: {load: {kw: 1500}, import_limit_kw: 1600}\ndispatch: {target: {kw: 800}}\n" +
				`score: [{metric: tracking.delivered_ratio, limit: ">= 0.9"}]`,
			metric: "tracking.delivered_ratio", verdict: report.Failed, event: "import limit",
		},
		{
			name: "commands that come too late count",
			text: fleet + "duration: 5m\ndispatch: {target: {kw: -100}}\ntimeline: [{at: 1m, fault: {kind: latency, by: 12s, jitter: 0s, on: commands, for: 2m}}]\n" +
				`score: [{metric: command.latency_ms, limit: "< 100"}]`,
			metric: "command.latency_ms", verdict: report.Failed,
		},
		{
			name: "lost commands count",
			text: fleet + "duration: 5m\ndispatch: {target: {kw: -100}}\ntimeline: [{at: 1m, fault: {kind: drop, ratio: 1, on: commands, for: 2m}}]\n" +
				`score: [{metric: command.latency_ms, limit: "< 100"}]`,
			metric: "command.latency_ms", verdict: report.Failed,
		},
		{
			name:   "nothing to judge is no pass",
			text:   fleet + "duration: 1m\n" + `score: [{metric: command.latency_ms, limit: "< 100"}]`,
			metric: "command.latency_ms", verdict: report.Inconclusive,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := scenario.Parse("scoring_test.go", []byte("apiVersion: yunchu/v1\nkind: Scenario\nname: x\n"+tt.text), scenario.Options{})
			if err != nil {
				t.Fatal(err)
			}
			r := do(t, s, run.Options{})
			for _, sc := range r.Scores {
				if sc.Metric == tt.metric && tt.n != 0 && sc.N != tt.n {
					t.Errorf("%s from %d samples, want %d", sc.Metric, sc.N, tt.n)
				}
			}
			if r.Verdict != tt.verdict {
				t.Errorf("verdict %s, want %s: %+v %+v", r.Verdict, tt.verdict, r.Scores, r.Checks)
			}
			found := tt.event == ""
			for _, e := range r.EventLog {
				found = found || strings.Contains(e.Text, tt.event)
			}
			if !found {
				t.Errorf("no event says %q: %+v", tt.event, r.EventLog)
			}
		})
	}
}

// TestOverheatedUnitStops: beyond its temperature a unit moves no power, and the
// check that says so looks.
func TestOverheatedUnitStops(t *testing.T) {
	s, err := scenario.Parse("scoring_test.go", []byte(`apiVersion: yunchu/v1
kind: Scenario
name: x
duration: 1m
fleet: [{id: ess, count: 2, device: sim}]
timeline: [{at: 10s, fault: {kind: overheat, to_c: 90, for: 20s}}]
dispatch: {target: {kw: 100}}
`), scenario.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := do(t, s, run.Options{})
	for _, c := range r.Checks {
		if c.Name == scenario.CheckLimits && !c.Pass {
			t.Errorf("an overheated unit must take its power away: %s", c.Detail)
		}
	}
	for i, temp := range r.Signals.TempMax {
		if math.IsNaN(temp) || temp > 91 {
			t.Errorf("temperature %v at %v s", temp, r.Signals.T[i])
		}
	}
}
