//go:build !nosim

package simworld_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/harness/report"
	"yunchu/harness/run"
	"yunchu/harness/scenario"
	"yunchu/harness/simworld"
	"yunchu/twin/params"
)

func load(t *testing.T, path string) *scenario.Scenario {
	t.Helper()
	s, err := scenario.Load(path, scenario.Options{Models: func(n string) bool { return slices.Contains(params.Models(), n) }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func do(t *testing.T, s *scenario.Scenario, opt run.Options) *report.Run {
	t.Helper()
	opt.World = simworld.Open
	r, err := run.Do(t.Context(), s, opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestQuickstart(t *testing.T) {
	if testing.Short() {
		t.Skip("an hour of 100 devices; TestEnvelopeScenario and TestFaultsActAtTheirInstant run what it is made of")
	}
	r := do(t, load(t, "../../scenarios/quickstart.yaml"), run.Options{Out: t.TempDir()})
	var text strings.Builder
	if err := report.Text(&text, &r.Report, false); err != nil {
		t.Fatal(err)
	}
	if r.Verdict != report.Passed {
		t.Errorf("verdict %s:\n%s", r.Verdict, text.String())
	}
	// The scenario promises that each of these is seen with its reason.
	for kind, what := range map[string]string{"offline": "ess-02", "shortfall": "the fleet can give", "rejected": "rating", "fault": "link-down"} {
		if !slices.ContainsFunc(r.EventLog, func(e report.Event) bool { return e.Kind == kind && strings.Contains(e.Text, what) }) {
			t.Errorf("no event %q that says %q among %d", kind, what, len(r.EventLog))
		}
	}
}

// TestRunawayPropagates counts what burns in the two modules, and that each burns one cell
// after the other: the metric must not only know the end.
func TestRunawayPropagates(t *testing.T) {
	burnt := func(path string, change func(*scenario.Scenario)) float64 {
		s := load(t, path)
		change(s)
		return score(t, do(t, s, run.Options{}), "fleet.burnt_cells")
	}
	if n := burnt("../../scenarios/propagation.yaml", func(s *scenario.Scenario) { s.Duration = 20 * time.Minute }); n < 3 || n > 12 {
		t.Errorf("%g cells have burnt after twenty minutes, want some", n)
	}
	if n := burnt("../../scenarios/runaway.yaml", func(*scenario.Scenario) {}); n != 1 {
		t.Errorf("%g cells have burnt in a module that ships, want 1", n)
	}
	if testing.Short() {
		return // more of the same
	}
	for seed := range uint64(3) {
		if n := burnt("../../scenarios/propagation.yaml", func(s *scenario.Scenario) { s.Seed = seed }); n != 17 {
			t.Errorf("seed %d: %g cells have burnt, want 16 and 1", seed, n)
		}
	}
}
