package bms_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/twin/bms"
)

// What is allowed is continuous in each value, falls towards its bad side, is never
// more than the rating, and names what binds.
func TestTapers(t *testing.T) {
	p := rack(t)
	for _, x := range []struct {
		name      string
		of        func(in *bms.Input) *float64
		from, to  float64 // charging falls along it, or does not change
		slope     float64 // of the charge rating, per unit of x
		disRises  bool    // discharging does not fall along it
		by        bms.Bound
		none      float64 // where nothing is left
		discharge bool    // it is the discharge that it bounds
	}{
		{name: "highest cell", of: func(in *bms.Input) *float64 { return &in.MaxCellV }, from: 3.3, to: 3.7, slope: 1 / 0.15, by: bms.BoundCellV, none: 3.6},
		{name: "lowest cell", of: func(in *bms.Input) *float64 { return &in.MinCellV }, from: 3.2, to: 2.3, slope: 1 / 0.3, by: bms.BoundCellV, none: 2.7, discharge: true},
		{name: "warmest cell", of: func(in *bms.Input) *float64 { return &in.MaxCellK }, from: 300, to: 340, slope: 0.1, by: bms.BoundHot, none: zeroC + 55},
		{name: "coldest cell", of: func(in *bms.Input) *float64 { return &in.MinCellK }, from: 295, to: 245, slope: 1 / 12.0, by: bms.BoundCold, none: zeroC},
		{name: "fullest cell", of: func(in *bms.Input) *float64 { return &in.MaxSoC }, from: 0.5, to: 1, slope: 25, by: bms.BoundSoC, none: 1},
		{name: "emptiest cell", of: func(in *bms.Input) *float64 { return &in.MinSoC }, from: 0.5, to: 0, slope: 1 / 0.06, by: bms.BoundSoC, none: 0.02, discharge: true},
	} {
		t.Run(x.name, func(t *testing.T) {
			at := func(v float64) bms.Allowed {
				in := well()
				*x.of(&in) = v
				return p.Allowed(&in, &bms.State{Mode: bms.Connected})
			}
			const n = 10_000
			step := (x.to - x.from) / n
			most := 196 * x.slope * math.Abs(step) * (1 + 1e-6)
			last := at(x.from)
			for k := 1; k <= n; k++ {
				a := at(x.from + step*float64(k))
				if a.ChargeA > last.ChargeA || a.DischargeA > last.DischargeA || last.ChargeA-a.ChargeA > most || last.DischargeA-a.DischargeA > most {
					t.Fatalf("from %+v to %+v at %g", last, a, x.from+step*float64(k))
				}
				if a.ChargeA > 196 || a.ChargeA < 0 || a.DischargeA > 196 || a.DischargeA < 0 {
					t.Fatalf("%+v", a)
				}
				last = a
			}
			a := at(x.none)
			left, by := a.ChargeA, a.ChargeBy
			if x.discharge {
				left, by = a.DischargeA, a.DischargeBy
			}
			if !(left <= 1e-9) || by != x.by {
				t.Errorf("%g A bound by %v at %g, want none by %v", left, by, x.none, x.by)
			}
		})
	}
	in := well()
	if a := p.Allowed(&in, &bms.State{Mode: bms.Connected}); a.ChargeA != 196 || a.DischargeA != 196 || a.ChargeBy != bms.BoundNone || a.DischargeBy != bms.BoundNone {
		t.Errorf("%+v where nothing binds", a)
	}
	in.MaxCellV, in.MinCellK = math.NaN(), math.NaN()
	if a := p.Allowed(&in, &bms.State{Mode: bms.Connected}); a.ChargeA != 0 || a.DischargeA != 0 {
		t.Errorf("%+v where nothing is known", a)
	}
}

// Down at 200 A/s, up at 10 A/s, and a warning of level 2 halves the current of its
// direction alone.
func TestAnnouncedCurrents(t *testing.T) {
	p := rack(t)
	s, now := connected(t, p)
	in := well()
	in.MaxCellV = 3.525 // half of the taper
	o, _ := p.Step(&s, now, now+100*time.Millisecond, &in, nil)
	if !(math.Abs(o.ChargeA-176) <= 1e-9) || o.ChargeBy != bms.BoundCellV || o.DischargeA != 196 {
		t.Errorf("0.1 s after: %+v", o)
	}
	now += 100 * time.Millisecond
	o, _ = p.Step(&s, now, now+9*time.Second, &in, nil)
	if !(math.Abs(o.ChargeA-98) <= 1e-9) {
		t.Errorf("9 s after: %+v", o)
	}
	now += 9 * time.Second
	in = well()
	o, _ = p.Step(&s, now, now+2*time.Second, &in, nil)
	if !(math.Abs(o.ChargeA-118) <= 1e-9) {
		t.Errorf("2 s after it was well again: %+v", o)
	}
	now += 2 * time.Second
	in.MinCellV = 2.6
	p.Step(&s, now, now+21*time.Second, &in, nil)
	now += 21 * time.Second
	in = well()
	o, _ = p.Step(&s, now, now+10*time.Second, &in, nil)
	if o.Warning != 2 || !(math.Abs(o.DischargeA-98) <= 1e-9) || o.DischargeBy != bms.BoundWarning || o.ChargeA != 196 {
		t.Errorf("with an under-voltage warning of level 2: %+v", o)
	}
}

// The band does not keep the current from its full rating, nor from falling by less.
func TestBand(t *testing.T) {
	p := rack(t)
	s, now := connected(t, p)
	in := well()
	for _, x := range []struct{ v, want float64 }{{3.452, 196 * 0.148 / 0.15}, {3.451, 196 * 0.148 / 0.15}, {3.45, 196}} {
		in.MaxCellV = x.v
		o, _ := p.Step(&s, now, now+time.Minute, &in, nil)
		now += time.Minute
		if !(math.Abs(o.ChargeA-x.want) <= 1e-9) {
			t.Errorf("%g A announced at %g V, want %g A", o.ChargeA, x.v, x.want)
		}
	}
}

// A value that trembles does not make the announced current flap: it goes down to
// what the worst allows and stays.
func TestNoFlapping(t *testing.T) {
	p := rack(t)
	rapid.Check(t, func(t *rapid.T) {
		s, now := connectedT(t, p)
		base := rapid.Float64Range(3.46, 3.59).Draw(t, "V")
		turns, last, down := 0, s.ChargeA, true
		for range 300 {
			in := well()
			in.MaxCellV = base + rapid.Float64Range(-0.0015, 0.0015).Draw(t, "noise") // 0.003 V are 3.9 A, less than the band
			o, _ := p.Step(&s, now, now+100*time.Millisecond, &in, nil)
			now += 100 * time.Millisecond
			if o.ChargeA != last && (o.ChargeA < last) != down {
				turns, down = turns+1, !down
			}
			last = o.ChargeA
		}
		if turns > 0 {
			t.Fatalf("the announced current turned %d times", turns)
		}
	})
}

func connectedT(t *rapid.T, p *bms.Params) (s bms.State, now time.Duration) {
	in := well()
	in.Close = true
	if o, _ := p.Step(&s, 0, 30*time.Second, &in, nil); o.Mode != bms.Connected {
		t.Fatalf("%+v", o)
	}
	return s, 30 * time.Second
}

// At its full rating the rack warms up to the continuous current, after a time that
// follows from the mean square: x(t) = I^2*(1 - exp(-t/tau)).
func TestContinuousCurrent(t *testing.T) {
	p := rack(t)
	s, now := connected(t, p)
	in := well()
	in.CurrentA = 196
	binds := 0.0
	for k := range 2000 {
		o, _ := p.Step(&s, now, now+time.Second, &in, nil)
		now += time.Second
		if binds == 0 && o.ChargeBy == bms.BoundHeat {
			binds = float64(k + 1)
		}
		in.CurrentA = o.ChargeA
	}
	want := -300 * math.Log(1-0.9*168*168/(196*196.0))
	if !(math.Abs(binds-want) <= 2) {
		t.Errorf("bound by its heat after %g s, want %.0f s", binds, want)
	}
	if !(math.Abs(in.CurrentA-168) <= 3) {
		t.Errorf("%g A in the end, want about 168 A", in.CurrentA)
	}
}

// A rack that takes whatever is announced is filled and emptied without a warning of
// level 2: the limits bind softly, before any protection.
func TestSoftLimitsComeFirst(t *testing.T) {
	p := rack(t)
	for _, charge := range []bool{true, false} {
		s, now := connected(t, p)
		soc, amps := 0.5, 0.0
		ocv := func(z float64) float64 { // V, about that of LFP
			return 3.2 + 0.2*z + 0.25*math.Exp((z-1)/0.02) - 0.7*math.Exp(-z/0.02)
		}
		const ohm = 0.5e-3
		var o bms.Output
		last := amps
		for range 4 * 3600 {
			v := ocv(soc) + ohm*amps
			in := well()
			in.MinCellV, in.MaxCellV, in.MinSoC, in.MaxSoC, in.CurrentA = v-0.005, v+0.005, soc-0.002, soc+0.002, amps
			o, _ = p.Step(&s, now, now+time.Second, &in, nil)
			now += time.Second
			if o.Mode != bms.Connected || o.Warning > 1 {
				t.Fatalf("charging %v: %+v at %g V and %g A", charge, o, v, amps)
			}
			if amps = o.ChargeA; !charge {
				amps = -o.DischargeA
			}
			if d := math.Abs(amps - last); d > 196 {
				t.Fatalf("a jump of %g A", d)
			}
			last = amps
			soc += amps / (280 * 3600)
		}
		t.Logf("charging %v: ends at %.1f %% with %.2f A, bound by %v, %v", charge, 100*soc, amps, o.ChargeBy, o.DischargeBy)
		if !(math.Abs(amps) <= 10) || charge != (soc > 0.9) {
			t.Errorf("charging %v: %g A at %g %% in the end", charge, amps, 100*soc)
		}
	}
}
