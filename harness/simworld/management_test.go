//go:build !nosim

package simworld_test

import (
	"strings"
	"testing"

	"yunchu/harness/run"
	"yunchu/harness/scenario"
)

// An emergency stop outlasts the fault until the unit is told to run; a sensor that is
// off takes one string away; nothing healthy is asked to take back a trip.
func TestManagementFaults(t *testing.T) {
	s, err := scenario.Parse("management_test.go", []byte(`apiVersion: yunchu/v1
kind: Scenario
name: x
duration: 10m
fleet: [{id: b, count: 2, device: sim, model: ess-1500kw-3mwh, soc: 60}]
dispatch: {target: {kw: -500}}
timeline:
  - {at: 1m, fault: {kind: e-stop, devices: b-001, for: 30s}}
  - {at: 1m, fault: {kind: bms-bias, devices: b-002, string: 3, field: temperature, by: 40, for: 60s}}
  - {at: 5m, command: {device: "*", mode: run}}
`), scenario.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := do(t, s, run.Options{})
	seen := map[string]int{}
	for _, e := range r.EventLog {
		for _, what := range []string{"emergency-stop", "temp-high"} {
			if strings.Contains(e.Kind, "bms-trip") && !strings.Contains(e.Kind, "cleared") && strings.Contains(e.Text, what) {
				seen[e.Device+" "+what]++
			}
		}
		seen[e.Kind]++
		if e.Kind == "bms-closed" && e.T < 300 {
			t.Errorf("closed after %v s, before the reset", e.T)
		}
	}
	if seen["b-001 emergency-stop"] != 8 || seen["b-002 temp-high"] != 1 || seen["bms-closed"] != 9 || seen["bms-reset"] != 9 || seen["bms-reset-refused"] != 0 {
		t.Errorf("%v", seen)
	}
	for _, c := range r.Checks {
		if !c.Pass {
			t.Errorf("%+v", c)
		}
	}
}
