package twin_test

import (
	"math"
	"testing"
	"time"

	"yunchu/twin"
	"yunchu/twin/params"
)

// able gives a shipped model a converter whose abilities are written down.
func able(t *testing.T, name string, c params.Capability) *params.Model {
	t.Helper()
	m := *loadModel(t, name)
	m.PCS.Capability = &c
	return &m
}

func oneOf(t *testing.T, m *params.Model, opt twin.Options) *twin.Fleet {
	t.Helper()
	opt.Start, opt.SoCMean = start, 60
	f, err := twin.NewFleet(m, []string{"u"}, opt)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestReactivePowerOfAUnit asks units for a fixed reactive power beside their setpoints:
// it comes and goes with them, costs loss, and takes its share of the circle.
func TestReactivePowerOfAUnit(t *testing.T) {
	if testing.Short() {
		t.Skip("computes; what is stepped side by side is that of TestCellsAreDeterministic")
	}
	for _, name := range []string{model100, modelCells} {
		t.Run(name, func(t *testing.T) {
			c := params.Capability{S: 1, Charge: 1, Discharge: 1, Absorb: 0.8, Inject: 0.6}
			m := able(t, name, c)
			rated := m.RatedKW * 1e3
			run := func(c params.Capability, q, w float64) (twin.State, twin.Energy) {
				f := oneOf(t, able(t, name, c), twin.Options{ReactiveVar: q})
				f.SetPower(0, at(0), w, time.Time{})
				for n := range 300 {
					f.Step(at(time.Duration(n+1) * time.Second))
				}
				e := f.Energy(0)
				if r := e.BalanceError(); !(r < 1e-9) {
					t.Errorf("energy balance is off by %g", r)
				}
				return f.State(0), e
			}
			plain, without := run(c, 0, -0.5*rated)
			s, with := run(c, -0.6*rated, -0.5*rated)
			if s.ReactiveVar != -0.6*rated || s.ACPowerW != -0.5*rated || plain.ReactiveVar != 0 {
				t.Errorf("%g W, %g var, want half and -0.6 of rated", s.ACPowerW, s.ReactiveVar)
			}
			if !(with.PCSLossJ > 1.05*without.PCSLossJ) || !(s.SoC < plain.SoC) {
				t.Errorf("%g J lost with reactive power, %g J without", with.PCSLossJ, without.PCSLossJ)
			}
			// Inside the circle reactive power is what is left beside active power...
			s, _ = run(c, -0.6*rated, -0.9*rated)
			if want := -rated * math.Sqrt(1-0.9*0.9); math.Abs(s.ReactiveVar-want) > 1e-9*rated || s.ACPowerW != -0.9*rated {
				t.Errorf("%g W, %g var, want -0.9 of rated and %g", s.ACPowerW, s.ReactiveVar, want)
			}
			// ... or the other way round, and then less power is there to be had.
			c.QFirst = true
			s, _ = run(c, -0.6*rated, -0.9*rated)
			if want := -0.8 * rated; math.Abs(s.ACPowerW-want) > 1e-9*rated || math.Abs(s.ReactiveVar+0.6*rated) > 1e-9*rated {
				t.Errorf("%g W, %g var, want %g and -0.6 of rated", s.ACPowerW, s.ReactiveVar, want)
			}
			if math.Abs(s.AvailableDischargeW-0.8*rated) > 1e-9*rated || s.Limit == twin.LimitNone {
				t.Errorf("available %g W, limit %q, want 0.8 of rated and a name", s.AvailableDischargeW, s.Limit)
			}
			// No setpoint, no reactive power.
			f := oneOf(t, m, twin.Options{ReactiveVar: 0.3 * rated})
			f.SetPower(0, at(0), 0.2*rated, at(time.Minute))
			f.Step(at(30 * time.Second))
			if q := f.State(0).ReactiveVar; q != 0.3*rated {
				t.Errorf("%g var under a setpoint, want 0.3 of rated", q)
			}
			f.Step(at(2 * time.Minute))
			if q := f.State(0).ReactiveVar; q != 0 {
				t.Errorf("%g var after the setpoint has expired", q)
			}
		})
	}
}

// TestReactivePowerNeedsAConverterForIt refuses what the model cannot give.
func TestReactivePowerNeedsAConverterForIt(t *testing.T) {
	c := params.Capability{S: 1, Charge: 1, Discharge: 1, Absorb: 0.8, Inject: 0.6}
	for _, tt := range []struct {
		m  *params.Model
		q  float64
		ok bool
	}{
		{loadModel(t, model100), 1e3, false},
		{able(t, model100, c), 81e3, false},
		{able(t, model100, c), 80e3, true},
		{able(t, model100, c), -61e3, false},
		{able(t, model100, c), -60e3, true},
		{able(t, model100, c), math.NaN(), false},
	} {
		_, err := twin.NewFleet(tt.m, []string{"u"}, twin.Options{SoCMean: 50, ReactiveVar: tt.q})
		if (err == nil) != tt.ok {
			t.Errorf("%g var: %v", tt.q, err)
		}
	}
}

// TestHotAirDeratesTheConverter changes the numbers of pcs.capability.air_c and sees other
// power at the same temperature, as delivered and as available.
func TestHotAirDeratesTheConverter(t *testing.T) {
	for _, name := range []string{model100, modelCells} {
		for most, share := range map[float64]float64{50: 0.5, 80: 0.75} { // of (most-35)/(most-20)
			c := params.Capability{S: 1, Charge: 1, Discharge: 1}
			c.AirC.FullTo, c.AirC.Max = 20, most
			m := able(t, name, c)
			rated := m.RatedKW * 1e3
			f := oneOf(t, m, twin.Options{AmbientK: 273.15 + 35})
			f.SetPower(0, at(0), -rated, time.Time{})
			f.Step(at(time.Minute))
			s := f.State(0)
			if math.Abs(s.ACPowerW+share*rated) > 1e-9*rated || math.Abs(s.AvailableDischargeW-share*rated) > 1e-9*rated || s.Limit == twin.LimitNone {
				t.Errorf("%s, none at %g °C: %g W, available %g W, limit %q, want %g of rated", name, most, s.ACPowerW, s.AvailableDischargeW, s.Limit, share)
			}
		}
	}
}
