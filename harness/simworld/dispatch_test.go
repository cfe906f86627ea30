//go:build !nosim

package simworld_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/harness/report"
	"yunchu/harness/run"
	"yunchu/harness/scenario"
	"yunchu/harness/simworld"
)

// written is a scenario of a text.
func written(t *testing.T, text string) *scenario.Scenario {
	t.Helper()
	s, err := scenario.Parse("x.yaml", []byte("apiVersion: yunchu/v1\nkind: Scenario\nname: x\n"+text), scenario.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func passed(t *testing.T, r *report.Run) {
	t.Helper()
	if r.Verdict != report.Passed {
		var text strings.Builder
		if err := report.Text(&text, &r.Report, false); err != nil {
			t.Fatal(err)
		}
		t.Errorf("verdict %s:\n%s", r.Verdict, text.String())
	}
}

// TestDispatchScenarios: the shipped scenarios of dispatch pass, and are the same again.
func TestDispatchScenarios(t *testing.T) {
	for _, name := range []string{"feeders", "frequency-droop"} {
		var hash string
		for range 2 {
			s := load(t, "../../scenarios/"+name+".yaml")
			s.Duration = 2 * time.Minute
			s.Timeline = slices.DeleteFunc(s.Timeline, func(e scenario.Event) bool { return e.At > s.Duration })
			r := do(t, s, run.Options{})
			passed(t, r)
			if hash != "" && r.JournalSHA256 != hash {
				t.Errorf("%s: journals %s and %s", name, hash, r.JournalSHA256)
			}
			hash = r.JournalSHA256
		}
	}
}

// TestLimitOfAGroup: somebody brings a feeder beyond its limit, which is told, and told to be
// over; before and after it is kept, whatever else flows there.
func TestLimitOfAGroup(t *testing.T) {
	s := written(t, `duration: 10m
fleet: [{id: n, count: 3, soc: 50}, {id: s, count: 2, soc: 50}]
dispatch:
  strategy: proportional
  target: {kw: -400}
  limits: [{name: feeder, devices: "n-*", import_kw: 80, export_kw: 150, load: {kw: 40}}]
timeline: [{at: 4m, command: {device: "n-*", power_kw: -90, duration: 2m}}]
score: [{metric: fleet.power_kw, stat: min}, {metric: limit.excess_kw, stat: p50}, {metric: limit.excess_kw, stat: max}]
`)
	r := do(t, s, run.Options{})
	passed(t, r)
	for _, e := range []struct {
		kind, what string
		n          int
	}{
		{"limit-broken", "limit feeder of -150 kW cannot be kept by its devices: -230 kW", 1},
		{"limit-kept", "limit feeder", 1},
		{"shortfall", "limit feeder binds at -150 kW", 2}, // before and after
	} {
		n := 0
		for _, x := range r.EventLog {
			if x.Kind == e.kind && strings.Contains(x.Text, e.what) {
				n++
			}
		}
		if n != e.n {
			t.Errorf("%d events %q that say %q, want %d: %+v", n, e.kind, e.what, e.n, r.EventLog)
		}
	}
	if half, most := r.Scores[1].Value, r.Scores[2].Value; half > 1e-6 || most < 79 || most > 81 {
		t.Errorf("the limit is passed by %g kW in half of the time and by %g at most; want 0 and 80, while others hold the feeder", half, most)
	}
}

// TestExcessBehindAMeter: what a meter shows counts against its limit and the one around it,
// whatever else is known.
func TestExcessBehindAMeter(t *testing.T) {
	s := written(t, `duration: 2m
fleet: [{id: n, count: 2, soc: 50}, {id: meter, soc: 50}]
dispatch:
  strategy: proportional
  target: {kw: 0}
  limits:
    - {name: feeder, devices: "n-*", import_kw: 60, meter: meter, within: site}
    - {name: site, import_kw: 50, load: {kw: 10}}
timeline: [{at: 10s, command: {device: meter, power_kw: 90, duration: 2m}}]
score: [{metric: limit.excess_kw, stat: max}]
`)
	r := do(t, s, run.Options{})
	if most := r.Scores[0].Value; math.Abs(most-50) > 1 {
		t.Errorf("the limits are passed by %g kW, want 90 + 10 − 50", most)
	}
}

// TestRestSaves: at part load a fleet loses less when some of its converters rest, and
// follows its target no worse.
func TestRestSaves(t *testing.T) {
	play := func(rest string) (efficiency, off float64) {
		s := written(t, `duration: 1h
step: 5s
fleet: [{id: ess, count: 12, soc: 50}]
dispatch: {every: 5s, strategy: cost, rest: `+rest+`, target: {kw: -110}}
timeline: [{at: 30m, target_kw: 120}]
score: [{metric: fleet.efficiency_percent}, {metric: tracking.rms_error_ratio}]
`)
		r := do(t, s, run.Options{})
		passed(t, r)
		return r.Scores[0].Value, r.Scores[1].Value
	}
	all, allOff := play("false")
	some, someOff := play("true")
	t.Logf("efficiency %.2f %% with all, %.2f %% with some", all, some)
	if some < all+2 || someOff > allOff+0.002 {
		t.Errorf("efficiency %.2f %% with all and %.2f %% with some, error %.4f and %.4f", all, some, allOff, someOff)
	}
}

// TestDepthSpares: of cells that wear differently the fleet uses those that wear less, and
// what its use costs falls.
func TestDepthSpares(t *testing.T) {
	play := func(strategy string) float64 {
		s := written(t, `duration: 2h
step: 10s
fleet:
  - {id: soft, count: 3, soc: 50, wear: [{to_percent: 20, cost_per_kwh: 0.005}, {to_percent: 100, cost_per_kwh: 0.05}]}
  - {id: hard, count: 3, soc: 50, wear: [{to_percent: 100, cost_per_kwh: 0.01}]}
dispatch: {every: 10s, strategy: `+strategy+`, target: {kw: -370}}
timeline: [{at: 1h, target_kw: 390}]
score: [{metric: fleet.wear_cost}]
`)
		r := do(t, s, run.Options{})
		passed(t, r)
		return r.Scores[0].Value
	}
	even, cost := play("proportional"), play("cost")
	t.Logf("wear costs %.3f with equal shares, %.3f by depth", even, cost)
	if !(cost < 0.9*even) {
		t.Errorf("wear costs %.3f with equal shares, %.3f by depth", even, cost)
	}
}

// TestRiskKeepsTheWindow: with a state of charge that is read with noise a risk keeps the
// true one within its window where without it is left by the noise.
func TestRiskKeepsTheWindow(t *testing.T) {
	play := func(risk string) float64 {
		s := written(t, `duration: 90m
step: 5s
fleet: [{id: ess, count: 6, soc: 35, limits: {soc_percent: [20, 90]}}]
dispatch: {every: 5s, target: {kw: -200}`+risk+`}
timeline: [{fault: {kind: noise, field: soc, sd: 1}}]
score: [{metric: fleet.soc, stat: min}]
`)
		return do(t, s, run.Options{}).Scores[0].Value
	}
	without, with := play(""), play(", risk: 0.01, soc_sd_percent: 1")
	t.Logf("lowest charge %.2f %% without a risk, %.2f %% with one", without, with)
	if without > 19.5 || with < 19.7 {
		t.Errorf("lowest charge %.2f %% without a risk, %.2f %% with one in a hundred; the window ends at 20 %%", without, with)
	}
}

// TestWear: the steps that a command writes are those of the laws.
func TestWear(t *testing.T) {
	w, err := simworld.Wear(simworld.WearOptions{Model: "ess-100kw-215kwh", Aging: "sony-naumann", Price: 80, Segments: 8, TempC: 25, SoC: 50, EndSoH: 80})
	if err != nil {
		t.Fatal(err)
	}
	whole := 0.0
	for i, s := range w.Wear {
		if s.ToPercent != 12.5*float64(i+1) {
			t.Errorf("step %d goes to %g %%", i, s.ToPercent)
		}
		whole += s.CostPerKWh / 8
	}
	// A life of whole cycles costs the cells.
	if total := whole * w.Whole; total < 79.99 || total > 80.01 {
		t.Errorf("%.0f cycles of the whole depth cost %.4f for a kWh of cells, want 80", w.Whole, total)
	}
}
