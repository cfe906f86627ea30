//go:build !nosim

package simworld_test

import (
	"strings"
	"testing"
	"time"

	"yunchu/harness/report"
	"yunchu/harness/run"
	"yunchu/harness/scenario"
	"yunchu/harness/shadow"
)

// named collects what the shadows of a run have said, by device.
func named(r *report.Run) (diverged, recovered map[string][]string) {
	diverged, recovered = map[string][]string{}, map[string][]string{}
	for _, e := range r.EventLog {
		switch e.Kind {
		case shadow.Diverged:
			diverged[e.Device] = append(diverged[e.Device], e.Text)
		case shadow.Recovered:
			recovered[e.Device] = append(recovered[e.Device], e.Text)
		}
	}
	return diverged, recovered
}

// TestShadowScenario: every shadow names the fault of its own device, once, and those
// of healthy devices name nothing, also when the runtime starts anew in between.
func TestShadowScenario(t *testing.T) {
	for _, restart := range []bool{false, true} {
		if testing.Short() && !restart {
			continue // the other way does the same and more
		}
		s := load(t, "../../scenarios/shadow.yaml")
		if restart {
			s.Timeline = append(s.Timeline, scenario.Event{At: 90 * time.Minute, Fault: &scenario.Injection{Kind: "restart"}})
		}
		r := do(t, s, run.Options{})
		if r.Verdict != report.Passed && !restart { // which moves the cycles of dispatch
			t.Errorf("verdict %s: %+v", r.Verdict, r.Scores)
		}
		diverged, recovered := named(r)
		for device, want := range map[string]string{
			"ess-001": "resistance: resistance +",
			"ess-002": "sensor-offset: voltage +",
			"ess-003": "capacity-or-leak: leak +",
			"ess-004": "capacity-or-leak: capacity -",
			"ess-005": "sensor-offset: current +",
			"ess-006": "sensor-offset: temperature +",
			"ess-007": "sensor-offset: soc +",
			"ess-008": "thermal: temperature +",
			"ess-009": "communication: frozen readings ",
			"ess-010": "communication: silence ",
		} {
			if got := diverged[device]; len(got) != 1 || !strings.HasPrefix(got[0], want) {
				t.Errorf("restart %v: the shadow of %s said %q, want one %q…", restart, device, got, want)
			}
			delete(diverged, device)
		}
		for device, text := range diverged {
			t.Errorf("restart %v: the shadow of %s, which is healthy, said %q", restart, device, text)
		}
		for _, device := range []string{"ess-007", "ess-009", "ess-010"} {
			if len(recovered[device]) != 1 {
				t.Errorf("restart %v: the fault of %s has ended, its shadow said %q", restart, device, recovered[device])
			}
		}
	}
}

// A shadow may be of another model than the device: then it says so.
func TestShadowOfAnotherModel(t *testing.T) {
	s := load(t, "../../scenarios/shadow.yaml")
	s.Timeline, s.Score, s.Duration = nil, nil, 3*time.Hour
	s.Fleet[0].Shadow.Model = "ess-250kw-500kwh"
	diverged, _ := named(do(t, s, run.Options{}))
	if len(diverged) != 20 {
		t.Errorf("%d of 20 shadows of a model with other cells in series said something", len(diverged))
	}
}
