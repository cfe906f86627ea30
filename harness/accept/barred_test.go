package accept_test

import (
	"math"
	"strings"
	"testing"

	"yunchu/harness/accept"
	"yunchu/harness/report"
	"yunchu/platform/device"
)

// A fault that begins under power is the reason of the test it breaks off: a failure where
// it is the device's own.
func TestFaultsInMidRun(t *testing.T) {
	t.Parallel()
	const held = `counts: charge
requires: [power]
steps:
  - {power_percent: 50, hold_s: 8, measure: {name: m, kind: hold, after_s: 1}}
limits:
  - {name: deviation, measure: m, metric: deviation_percent, limit: "<= 2", source: test}
`
	for name, tt := range map[string]struct {
		bend func(r *device.Reading)
		want report.Verdict
		why  string
	}{
		"sign":  {func(r *device.Reading) { r.Power, r.Current = -r.Power, -r.Current }, report.Failed, "its power runs against the setpoint"},
		"beat":  {func(r *device.Reading) { r.Flags |= device.FlagHeartbeat }, report.Failed, "its heartbeat stands still"},
		"local": {func(r *device.Reading) { r.Flags |= device.FlagLocal }, report.Inconclusive, "local control"},
		"other": {func(r *device.Reading) { r.Flags |= device.FlagMaster }, report.Inconclusive, "a second master"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broken := false // for good, once it had its power
			p := &pcs{sign: 1, bend: func(r *device.Reading) {
				if broken = broken || math.Abs(r.Power) > 40; broken {
					tt.bend(r)
				}
			}}
			r, err := onWire(t, t.Context(), p, accept.Options{}, signTest(t), procedure(t, held))
			if err != nil {
				t.Fatal(err)
			}
			if x := r.Devices[0].Tests[1]; x.Verdict != tt.want || !strings.HasPrefix(x.Why, tt.why) {
				t.Errorf("%s: %q, want %s: %q", x.Verdict, x.Why, tt.want, tt.why)
			}
		})
	}
}
