package accept_test

import (
	"strings"
	"testing"
	"time"

	"yunchu/harness/accept"
	"yunchu/harness/report"
)

// TestSlowLineIsToldWhatToSet: a device of which a reading takes 0.3 s and a setpoint 1.6 s,
// which is a line of some 2,400 bit/s, is armed; what is measured of it at a period that has no
// room for that is not passed, and the reason says what to set.
func TestSlowLineIsToldWhatToSet(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for as long as a slow line takes")
	}
	t.Parallel()
	p := &pcs{sign: 1, reading: 300 * time.Millisecond, telling: 1600 * time.Millisecond}
	sign := procedure(t, strings.ReplaceAll(strings.ReplaceAll(sign, "hold_s: 0.4", "hold_s: 4"), "after_s: 0.2", "after_s: 0.5"))
	sign.Name = accept.SignTest
	r, err := onWire(t, t.Context(), p, accept.Options{}, sign)
	if err != nil {
		t.Fatal(err)
	}
	x := r.Devices[0].Tests[0]
	if x.Verdict != report.Inconclusive || x.Record.Aborted != "" || x.Record.Barred != "" || x.Limits[0].Value != 0 {
		t.Errorf("verdict %v: %s %+v, aborted %q, barred %q", x.Verdict, x.Why, x.Limits, x.Record.Aborted, x.Record.Barred)
	}
	const want = "at most 1 s is allowed: the device is slow, a reading of it takes 0.3 s and it is not read while it is told something; read it less often (--poll "
	if !strings.Contains(x.Limits[0].Note, want) {
		t.Errorf("it says %q, want %q", x.Limits[0].Note, want)
	}
}
