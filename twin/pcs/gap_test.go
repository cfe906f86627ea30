package pcs_test

import (
	"testing"
	"time"

	"yunchu/twin/pcs"
)

// A converter that was not advanced for longer than its phases last goes on from
// there: behind an open contactor nobody advances it.
func TestAdvanceAfterGap(t *testing.T) {
	p := pcs.Params{
		RatedW: 1000, StandbyW: 1, RampWPerS: 1000,
		Rest: pcs.Rest{IdleW: 10, After: time.Minute, WakeUp: 10 * time.Second, OffAfter: time.Hour, OffW: 0.1, StartUp: time.Minute},
	}
	s := pcs.State{Active: pcs.Setpoint{Until: pcs.Never}}
	var f pcs.Flow
	p.Advance(&s, 0, time.Second, -1000, 1000, &f)
	for _, at := range []time.Duration{10 * time.Minute, 3 * time.Hour} {
		p.Advance(&s, at, at+time.Second, -1000, 1000, &f)
	}
	if s.Phase != pcs.Off {
		t.Errorf("after three hours the converter is %v", s.Phase)
	}
	p.Accept(&s, 4*time.Hour, 500, pcs.Never)
	p.Advance(&s, 4*time.Hour, 4*time.Hour+2*time.Minute, -1000, 1000, &f)
	if s.PowerW != 500 {
		t.Errorf("two minutes after a setpoint it has %g W", s.PowerW)
	}
}
