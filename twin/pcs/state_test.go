package pcs_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/twin/pcs"
)

// sleeper is a converter with phases of rest and reactive power.
func sleeper() pcs.Params {
	p := converter
	p.Rest = pcs.Rest{IdleW: 500, After: 10 * time.Second, WakeUp: 2 * time.Second, OffAfter: time.Minute, OffW: 5, StartUp: 30 * time.Second}
	p.Capability = &pcs.Capability{SVA: 110e3, ChargeW: 100e3, DischargeW: 90e3, AbsorbVar: 60e3, InjectVar: 50e3}
	return p
}

// It idles for 10 s, stands by until a minute is over, and is off until it is asked
// for power: then it starts up.
func TestRest(t *testing.T) {
	p := sleeper()
	for _, tt := range []struct {
		name           string
		ask            time.Duration // when 50 kW is asked for
		flows          time.Duration // when the power leaves zero
		phase          pcs.Phase     // just before it is asked
		standbyJ       float64       // drawn at rest until power flows
		idle, asleep   float64       // s of each phase before the power flows
		off, beginning float64
	}{
		{name: "awake", ask: 4 * time.Second, flows: 4040 * time.Millisecond, phase: pcs.Awake, idle: 4.04},
		{name: "asleep", ask: 20 * time.Second, flows: 22040 * time.Millisecond, phase: pcs.Asleep, idle: 10, asleep: 10.04, beginning: 2},
		{name: "off", ask: 100 * time.Second, flows: 130040 * time.Millisecond, phase: pcs.Off, idle: 10, asleep: 50, off: 40.04, beginning: 30},
	} {
		for _, dt := range []time.Duration{time.Millisecond, 700 * time.Millisecond, time.Hour} {
			t.Run(fmt.Sprint(tt.name, " ", dt), func(t *testing.T) {
				s := rest()
				var f, sum pcs.Flow
				advance := func(from, to time.Duration) {
					for from < to {
						next := min(to, from+dt)
						p.Advance(&s, from, next, -100e3, 100e3, &f)
						sum.StandbyJ += f.StandbyJ
						sum.InJ += f.InJ
						from = next
					}
				}
				advance(0, tt.ask)
				if s.Phase != tt.phase {
					t.Errorf("%v after %v of rest, want %v", s.Phase, tt.ask, tt.phase)
				}
				p.Accept(&s, tt.ask, 50e3, pcs.Never)
				advance(tt.ask, tt.flows)
				if s.PowerW != 0 || sum.InJ != 0 {
					t.Errorf("%g W and %g J at %v: it was not awake yet", s.PowerW, sum.InJ, tt.flows)
				}
				if want := 500*(tt.idle+tt.beginning) + 60*tt.asleep + 5*tt.off; !(math.Abs(sum.StandbyJ-want) <= 1e-6) {
					t.Errorf("%.9g J at rest, want %.9g J", sum.StandbyJ, want)
				}
				advance(tt.flows, tt.flows+100*time.Millisecond)
				if !(math.Abs(s.PowerW-25e3) <= 1e-6) || !(math.Abs(sum.InJ-1250) <= 1e-6) {
					t.Errorf("%g W and %g J 0.1 s after it woke, want 25 kW and 1250 J", s.PowerW, sum.InJ)
				}
			})
		}
	}
}

// A power that passes zero does not rest there, and one that was stopped from outside
// rests from then on.
func TestRestBegins(t *testing.T) {
	p := sleeper()
	s := rest()
	var f pcs.Flow
	p.Accept(&s, 0, 50e3, pcs.Never)
	p.Advance(&s, 0, time.Second, -100e3, 100e3, &f)
	p.Accept(&s, time.Second, -50e3, pcs.Never)
	at := time.Second + p.Delay + 200*time.Millisecond // 50 kW at 250 kW/s
	p.Advance(&s, time.Second, at, -100e3, 100e3, &f)
	if !(math.Abs(s.PowerW) <= 1e-6) {
		t.Fatalf("%g W in mid-reversal, want 0", s.PowerW)
	}
	p.Advance(&s, at, at+time.Second, -100e3, 100e3, &f)
	if s.PowerW != -50e3 || f.StandbyJ > 1e-6 {
		t.Errorf("%g W and %g J of rest after a reversal", s.PowerW, f.StandbyJ)
	}
	s.Trip()
	p.Advance(&s, time.Minute, time.Minute+11*time.Second, -100e3, 100e3, &f)
	if s.Phase != pcs.Asleep || !(math.Abs(f.StandbyJ-(500*10+60)) <= 1e-6) {
		t.Errorf("%v with %g J drawn 11 s after the trip, want standby for the last second", s.Phase, f.StandbyJ)
	}
}

// Asked while it sleeps and no longer when it is awake, it idles from then on.
func TestWokenInVain(t *testing.T) {
	p := sleeper()
	s := rest()
	var f pcs.Flow
	p.Advance(&s, 0, 20*time.Second, -100e3, 100e3, &f)
	p.Accept(&s, 20*time.Second, 50e3, 21*time.Second)
	p.Advance(&s, 20*time.Second, 22*time.Second+p.Delay+9*time.Second, -100e3, 100e3, &f)
	if s.Phase != pcs.Awake {
		t.Errorf("%v 9 s after it woke, want awake", s.Phase)
	}
	p.Advance(&s, 31*time.Second+p.Delay, 33*time.Second, -100e3, 100e3, &f)
	if s.Phase != pcs.Asleep {
		t.Errorf("%v 11 s after it woke, want standby", s.Phase)
	}
}

// Energies, phases and powers do not depend on how time is cut into steps, whatever
// the form of the loss, with reactive power and phases of rest.
func TestCutsDoNotMatterWithOptions(t *testing.T) {
	all := converters(t)
	rapid.Check(t, func(t *rapid.T) {
		p := sleeper()
		loss := all[rapid.SampledFrom([]string{"notton-type2", "sinamics-s120-fit", "sinamics-s120-table", "cec-333kw-surface", "rampinelli"}).Draw(t, "loss")]
		p.Charge, p.Discharge, p.Surface = loss.Charge, loss.Discharge, loss.Surface
		p.Capability.QFirst = rapid.Bool().Draw(t, "Q first")
		whole, cut := rest(), rest()
		var at time.Duration
		for range rapid.IntRange(1, 4).Draw(t, "setpoints") {
			ac := rapid.SampledFrom([]float64{0, 0, 100e3, -100e3, 20e3, -3e3}).Draw(t, "p")
			q := rapid.SampledFrom([]float64{0, 0, 60e3, -50e3, 1e3}).Draw(t, "q")
			until := pcs.Never
			if rapid.Bool().Draw(t, "expires") {
				until = at + time.Duration(rapid.Int64Range(0, int64(90*time.Second)).Draw(t, "until"))
			}
			p.AcceptPQ(&whole, at, ac, q, until)
			p.AcceptPQ(&cut, at, ac, q, until)
			end := at + time.Duration(rapid.Int64Range(1, int64(90*time.Second)).Draw(t, "time"))
			var f, sum, g pcs.Flow
			p.Advance(&whole, at, end, -80e3, 90e3, &f)
			for t0 := at; t0 < end; {
				t1 := min(end, t0+time.Duration(rapid.Int64Range(int64(10*time.Millisecond), int64(40*time.Second)).Draw(t, "dt")))
				p.Advance(&cut, t0, t1, -80e3, 90e3, &g)
				sum.InJ += g.InJ
				sum.OutJ += g.OutJ
				sum.LossJ += g.LossJ
				sum.StandbyJ += g.StandbyJ
				sum.VarS += g.VarS
				sum.VA2S += g.VA2S / 100e3
				t0 = t1
			}
			f.VA2S /= 100e3
			if whole.Phase != cut.Phase || !(math.Abs(whole.PowerW-cut.PowerW) <= 1e-6) || !(math.Abs(whole.QVar-cut.QVar) <= 1e-6) {
				t.Fatalf("%+v at once, %+v in parts", whole, cut)
			}
			// A sliver of a ramp or of a phase may fall to the other side: nanoseconds of full power.
			for _, d := range []float64{f.InJ - sum.InJ, f.OutJ - sum.OutJ, f.LossJ - sum.LossJ, f.StandbyJ - sum.StandbyJ, f.VarS - sum.VarS, f.VA2S - sum.VA2S} {
				if !(math.Abs(d) <= 5e-4) {
					t.Fatalf("%+v at once, %+v in parts", f, sum)
				}
			}
			at = end
		}
	})
}

// What a converter moves is what its map says at each moment, and the books of a
// flow close.
func TestConstantClosesTheBooks(t *testing.T) {
	each(t, func(t *testing.T, p *pcs.Params) {
		rapid.Check(t, func(t *rapid.T) {
			at := conditions(t)
			dc := anywhere(t, "dc")
			var f pcs.Flow
			p.ConstantAt(dc, 2, at, &f)
			if d := math.Abs(f.DCJ() - 2*dc); !(d <= 1e-6) {
				t.Fatalf("%g J for %g W in 2 s", f.DCJ(), dc)
			}
			if f.InJ < 0 || f.OutJ < 0 || f.InJ*f.OutJ != 0 {
				t.Fatalf("%+v", f)
			}
		})
	})
}

func TestAdvanceDoesNotAllocate(t *testing.T) {
	for name, loss := range converters(t) {
		p := sleeper()
		p.Charge, p.Discharge, p.Surface = loss.Charge, loss.Discharge, loss.Surface
		s := rest()
		var f pcs.Flow
		var now time.Duration
		ac := 80e3
		if n := testing.AllocsPerRun(100, func() {
			ac = -ac
			p.AcceptPQ(&s, now, ac, ac/2, pcs.Never)
			p.Advance(&s, now, now+time.Second, -100e3, 100e3, &f)
			now += time.Second
			_ = p.ACAt(p.DCAt(ac, p.At(&s)), p.At(&s))
		}); n != 0 {
			t.Errorf("%s: %g allocations a step", name, n)
		}
	}
}

func BenchmarkAdvance(b *testing.B) {
	for _, name := range []string{"sungrow-sc1000tl-field", "sinamics-s120-refit", "sinamics-s120-fit", "sinamics-s120-table", "cec-333kw-surface"} {
		for _, ramping := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/ramp=%v", name, ramping), func(b *testing.B) {
				p := converters(b)[name]
				s := rest()
				var f pcs.Flow
				var now time.Duration
				ac := 80e3
				p.Accept(&s, now, ac, pcs.Never)
				b.ReportAllocs()
				for b.Loop() {
					if ramping {
						ac = -ac
						p.Accept(&s, now, ac, pcs.Never)
					}
					p.Advance(&s, now, now+time.Second, -100e3, 100e3, &f)
					now += time.Second
				}
			})
		}
	}
}
