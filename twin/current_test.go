package twin_test

import (
	"math"
	"testing"
	"time"

	"yunchu/twin"
	"yunchu/twin/params"
)

// A limit on the current of the cells binds before the rating, in either direction,
// and is named.
func TestCurrentLimitBinds(t *testing.T) {
	m := *loadModel(t, model100)
	m.Limits.CellA = params.CurrentLimit{Charge: 60, Discharge: 80}
	f, err := twin.NewFleet(&m, []string{"a"}, twin.Options{SoCMean: 50, Start: start})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Duration(0)
	for _, tt := range []struct{ w, a float64 }{{100e3, 60}, {-100e3, -80}, {30e3, 0}} {
		f.SetPower(0, at(now), tt.w, time.Time{})
		for range 30 {
			now += time.Second
			f.Step(at(now))
		}
		s := f.State(0)
		if tt.a == 0 {
			if s.Limit != twin.LimitNone || s.ACPowerW != tt.w {
				t.Errorf("asked for %g W: %+v", tt.w, s)
			}
			continue
		}
		if s.Limit != twin.LimitCurrent || math.Abs(s.PackI-tt.a) > 0.01 {
			t.Errorf("asked for %g W: %g A with limit %v, want %g A", tt.w, s.PackI, s.Limit, tt.a)
		}
		if got := max(s.AvailableChargeW, s.AvailableDischargeW); got > 65e3 {
			t.Errorf("%g W said to be available", got)
		}
	}
}

// What the converter is not able to do is a limit of power, whatever the cells are.
func TestCapabilityIsALimitOfPower(t *testing.T) {
	m := *loadModel(t, model100)
	m.PCS.Capability = &params.Capability{S: 0.1, Charge: 0.1, Discharge: 0.1}
	f, err := twin.NewFleet(&m, []string{"a"}, twin.Options{SoCMean: 50, AmbientK: 280, Start: start})
	if err != nil {
		t.Fatal(err)
	}
	f.SetPower(0, start, m.RatedKW*1e3, time.Time{})
	f.Step(at(10 * time.Second))
	if s := f.State(0); s.Limit != twin.LimitPower || s.ACPowerW != 0.1*m.RatedKW*1e3 {
		t.Errorf("%g W with limit %v", s.ACPowerW, s.Limit)
	}
}
