package pcs_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/twin/pcs"
)

var converter = pcs.Params{
	RatedW: 100e3,
	Charge: pcs.Loss{P0: 0.006, K1: 0.0086, K2: 0.012}, Discharge: pcs.Loss{P0: 0.005, K1: 0.002, K2: 0.02},
	StandbyW: 60, Delay: 40 * time.Millisecond, RampWPerS: 250e3,
}

func rest() pcs.State { return pcs.State{Active: pcs.Setpoint{Until: pcs.Never}} }

func TestInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ac := rapid.Float64Range(-120e3, 120e3).Draw(t, "ac")
		if ac > 0 && converter.DC(ac) <= 0 {
			t.Skip("charging less than the no-load loss is the idle branch")
		}
		if math.Abs(ac) < 1 {
			t.Skip("standby, or too near to be told from it")
		}
		if got := converter.AC(converter.DC(ac)); math.Abs(got-ac) > 1e-7 {
			t.Fatalf("AC(DC(%g)) = %g", ac, got)
		}
	})
	if got := converter.AC(0); got != 60 {
		t.Errorf("AC(0) = %g W, want the standby power: the battery gives nothing", got)
	}
	if got := converter.AC(converter.DC(0)); got != 0 {
		t.Errorf("AC(DC(0)) = %g W, want 0", got)
	}
}

func TestSetpointIsReachedExactly(t *testing.T) {
	for _, tt := range []struct{ from, to float64 }{{0, 50e3}, {0, -50e3}, {100e3, -100e3}, {-100e3, 100e3}, {33333.3, 0}} {
		s := rest()
		s.PowerW, s.Active.PowerW = tt.from, tt.from
		converter.Accept(&s, 0, tt.to, pcs.Never)
		var f pcs.Flow
		converter.Advance(&s, 0, time.Second, -100e3, 100e3, &f)
		if s.PowerW != tt.to {
			t.Errorf("%g W a second after %g W was asked for at %g W", s.PowerW, tt.to, tt.from)
		}
		if f.Steady {
			t.Error("a ramp was called steady")
		}
	}
}

// A ramp from 0 after 40 ms, at 250 kW/s to 50 kW, held to 1 s: all known.
func TestRampEnergy(t *testing.T) {
	s := rest()
	converter.Accept(&s, 0, 50e3, pcs.Never)
	var f pcs.Flow
	converter.Advance(&s, 0, time.Second, -100e3, 100e3, &f)
	ac := 25e3*0.2 + 50e3*0.76
	loss := 600*0.96 + 0.0086*ac + 0.012/100e3*(0.2*50e3*50e3/3+0.76*50e3*50e3)
	standby := 60 * 0.04
	for _, q := range []struct {
		name      string
		got, want float64
	}{{"in", f.InJ, ac}, {"out", f.OutJ, 0}, {"loss", f.LossJ, loss}, {"standby", f.StandbyJ, standby}, {"dc", f.DCJ(), ac - loss - standby}} {
		if math.Abs(q.got-q.want) > 1e-8 {
			t.Errorf("%s %.10g J, want %.10g J", q.name, q.got, q.want)
		}
	}
}

// Energy, loss and power must not depend on how the time is cut into steps.
func TestCutsDoNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole, cut := rest(), rest()
		whole.PowerW = rapid.Float64Range(-100e3, 100e3).Draw(t, "at")
		cut.PowerW = whole.PowerW
		for n := range rapid.IntRange(1, 2).Draw(t, "setpoints") {
			at := time.Duration(n) * 300 * time.Millisecond
			p := rapid.Float64Range(-100e3, 100e3).Draw(t, "power")
			until := at + time.Duration(rapid.Int64Range(0, int64(2*time.Second)).Draw(t, "until"))
			converter.Accept(&whole, at, p, until)
			converter.Accept(&cut, at, p, until)
		}
		const total = 2 * time.Second
		var f, sum, g pcs.Flow
		converter.Advance(&whole, 0, total, -80e3, 90e3, &f)
		for t0 := time.Duration(0); t0 < total; {
			t1 := min(total, t0+time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(500*time.Millisecond)).Draw(t, "dt")))
			converter.Advance(&cut, t0, t1, -80e3, 90e3, &g)
			sum.InJ += g.InJ
			sum.OutJ += g.OutJ
			sum.LossJ += g.LossJ
			sum.StandbyJ += g.StandbyJ
			t0 = t1
		}
		if math.Abs(whole.PowerW-cut.PowerW) > 1e-6 {
			t.Fatalf("power %g W at once, %g W in parts", whole.PowerW, cut.PowerW)
		}
		// Rounding may leave a sliver of a ramp at zero crossing; it is worth a nanosecond of P0.
		for _, d := range []float64{f.InJ - sum.InJ, f.OutJ - sum.OutJ, f.LossJ - sum.LossJ, f.StandbyJ - sum.StandbyJ} {
			if math.Abs(d) > 1e-4 {
				t.Fatalf("energies differ: %+v and %+v", f, sum)
			}
		}
	})
}

func TestDeadMan(t *testing.T) {
	s := rest()
	converter.Accept(&s, 0, 50e3, 2*time.Second)
	var f pcs.Flow
	converter.Advance(&s, 0, 2*time.Second, -100e3, 100e3, &f)
	if s.PowerW != 50e3 {
		t.Errorf("%g W when the setpoint expires, want 50 kW", s.PowerW)
	}
	converter.Advance(&s, 2*time.Second, 2100*time.Millisecond, -100e3, 100e3, &f)
	if math.Abs(s.PowerW-25e3) > 1e-6 {
		t.Errorf("%g W 0.1 s after, want 25 kW on the way down", s.PowerW)
	}
	converter.Advance(&s, 2100*time.Millisecond, 3*time.Second, -100e3, 100e3, &f)
	if s.PowerW != 0 {
		t.Errorf("%g W a second after, want 0", s.PowerW)
	}
}

// A stream of setpoints faster than the response delay must not starve the first.
func TestFastSetpoints(t *testing.T) {
	s := rest()
	var f pcs.Flow
	for n := range 100 {
		at := time.Duration(n) * 10 * time.Millisecond
		converter.Accept(&s, at, 10e3+float64(n), pcs.Never)
		converter.Advance(&s, at, at+10*time.Millisecond, -100e3, 100e3, &f)
	}
	if s.PowerW < 10090 {
		t.Errorf("%g W after a second of setpoints every 10 ms, want about 10.09 kW", s.PowerW)
	}
}

func TestLatestAtOneMomentWins(t *testing.T) {
	s := rest()
	converter.Accept(&s, 0, 10e3, pcs.Never)
	converter.Accept(&s, 0, 20e3, pcs.Never)
	var f pcs.Flow
	converter.Advance(&s, 0, time.Second, -100e3, 100e3, &f)
	if s.PowerW != 20e3 {
		t.Errorf("%g W, want the later 20 kW", s.PowerW)
	}
}

func TestRangeBinds(t *testing.T) {
	s := rest()
	converter.Accept(&s, 0, 150e3, pcs.Never)
	var f pcs.Flow
	converter.Advance(&s, 0, time.Second, -100e3, 100e3, &f)
	if s.PowerW != 100e3 || !f.Bound {
		t.Errorf("150 kW asked for: %g W, bound %v", s.PowerW, f.Bound)
	}
}
