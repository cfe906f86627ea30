//go:build !nosim

package simworld_test

import (
	"slices"
	"strings"
	"testing"

	"yunchu/harness/report"
	"yunchu/harness/run"
)

// TestEachLimitBinds drives one unit into each limit that a file may set, by a person's
// command or by dispatch: the guard keeps it, says what has bound, and gives the way free
// again only behind the hysteresis.
func TestEachLimitBinds(t *testing.T) {
	const charge = "dispatch: {target: {kw: 80}}\ntimeline:\n  - {at: 40m, target_kw: -80}\n"
	for _, tt := range []struct {
		limit, rest string
		bound, free string // what is said, of the guard
		cut         string // how a command or a setpoint in force is cut
		metric      string // whose largest value is
		most        float64
	}{
		{
			"cap_kw: 40", "timeline: [{at: 1m, command: {device: u, power_kw: 80, duration: 5m}}]\n",
			"cap", "", "", "fleet.power_kw", 40,
		},
		{
			"ramp_kw_per_s: 10", "timeline: [{at: 1m, command: {device: u, power_kw: 80, duration: 5m}}]\n",
			"ramp limit of the device", "", "", "fleet.power_kw", 10,
		},
		{
			"soc_percent: [40, 60]", charge,
			"state of charge high, no charging at or above 60 %", "state of charge high, no charging at or above 60 %",
			"set to 0 kW: state of charge high", "fleet.soc", 60.05,
		},
		{
			"voltage_v: [700, 803]", charge,
			"voltage high, no charging at or above 803 V", "voltage high, no charging at or above 803 V",
			"set to 0 kW: voltage high", "fleet.soc", 90,
		},
		{
			"temperature_c: [5, 45]", charge + "  - {at: 10m, fault: {kind: overheat, to_c: 50, for: 2m}}\n",
			"temperature high, no power at or above 45 °C", "temperature high, no power at or above 45 °C",
			"set to 0 kW: temperature high", "fleet.temperature_c", 50.1, // the fault's
		},
	} {
		t.Run(tt.limit, func(t *testing.T) {
			r := scene(t, "duration: 2h\nfleet: [{id: u, soc: 55, limits: {"+tt.limit+"}}]\n"+tt.rest+
				"score: [{metric: "+tt.metric+", stat: max}, {metric: guard.violations}]\n")
			at := func(kind, text string) int {
				return slices.IndexFunc(r.EventLog, func(e report.Event) bool { return e.Kind == kind && strings.HasSuffix(e.Text, text) })
			}
			bound := at("guard-bound", "u bound by the guard: "+tt.bound)
			if bound < 0 || r.EventLog[bound].Device != "u" {
				t.Fatalf("not said that it binds: %+v", r.EventLog)
			}
			if tt.free != "" {
				if free := at("guard-free", "u no longer bound by the guard: "+tt.free); free < bound {
					t.Errorf("not said that it is free again: %+v", r.EventLog)
				}
				if at("guard", tt.cut) < 0 {
					t.Errorf("the setpoint in force was not cut: %+v", r.EventLog)
				}
			}
			if got := score(t, r, tt.metric); got > tt.most {
				t.Errorf("%s reaches %g, want at most %g", tt.metric, got, tt.most)
			}
			if n := score(t, r, "guard.violations"); n != 0 {
				t.Errorf("%g violations", n)
			}
			for _, c := range r.Checks {
				if !c.Pass {
					t.Errorf("%s: %s", c.Name, c.Detail)
				}
			}
		})
	}
}

// TestEnvelopeScenario: in the shipped scenario each of its limits binds and is named, and
// none is left.
func TestEnvelopeScenario(t *testing.T) {
	r := do(t, load(t, "../../scenarios/envelope.yaml"), run.Options{})
	if r.Verdict != report.Passed {
		t.Errorf("verdict %s: %+v %+v", r.Verdict, r.Scores, r.Checks)
	}
	for _, limit := range []string{
		"fleet ramp limit", "ramp limit of the device", ": cap", "state of charge high", "state of charge low", "voltage high", "temperature high",
	} {
		if !slices.ContainsFunc(r.EventLog, func(e report.Event) bool { return e.Kind == "guard-bound" && strings.Contains(e.Text, limit) }) {
			t.Errorf("nothing is said to be bound by %q", limit)
		}
	}
	n := 0
	for _, e := range r.EventLog {
		if strings.HasPrefix(e.Kind, "guard-") {
			n++
		}
	}
	if n > 60 {
		t.Errorf("%d events of limits in two hours of 15 devices", n)
	}
}
