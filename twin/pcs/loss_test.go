package pcs_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"pgregory.net/rapid"

	"yunchu/twin/params"
	"yunchu/twin/pcs"
)

// converters are the sets that ship, and a formula with every term.
func converters(t testing.TB) map[string]*pcs.Params {
	t.Helper()
	all := map[string]*pcs.Params{"rampinelli": {
		RatedW: 100e3, StandbyW: 60, RampWPerS: 250e3,
		Charge: pcs.Loss{P0: 0.008, K1: 0.01, K2: 0.02, Divide: true}, Discharge: pcs.Loss{P0: 0.008, K1: 0.01, K2: 0.02},
	}}
	for _, name := range params.Converters() {
		c, err := params.LoadConverter(name)
		if err != nil {
			t.Fatal(err)
		}
		p := &pcs.Params{RatedW: 100e3, StandbyW: 60, RampWPerS: 250e3}
		if tab := c.Table; tab != nil {
			if p.Surface, err = pcs.FromEfficiency(tab.Power, tab.DCVolt, tab.Charge, tab.Discharge, tab.NominalV); err != nil {
				t.Fatal(err)
			}
		} else {
			p.Charge, p.Discharge = pcs.Loss(*c.Charge), pcs.Loss(*c.Discharge)
		}
		all[name] = p
	}
	return all
}

// each runs a check for every converter.
func each(t *testing.T, check func(t *testing.T, p *pcs.Params)) {
	for name, p := range converters(t) {
		t.Run(name, func(t *testing.T) { check(t, p) })
	}
}

// anywhere draws a power in W between 1e-7 of rated power and a bit more than it, on
// a logarithmic scale, in both directions.
func anywhere(t *rapid.T, what string) float64 {
	x := 110e3 * math.Pow(10, rapid.Float64Range(-7, 0).Draw(t, what))
	if rapid.Bool().Draw(t, what+" discharging") {
		return -x
	}
	return x
}

func conditions(t *rapid.T) pcs.At {
	at := pcs.At{RestW: 60, DCVolt: rapid.SampledFrom([]float64{0, 600, 660.4, 700, 850, 958.8, 1000}).Draw(t, "volt")}
	if rapid.Bool().Draw(t, "reactive") {
		at.QVar = anywhere(t, "q")
	}
	return at
}

// What an AC power makes of DC power, AC makes of it again, and the other way round.
func TestInverseOfEveryForm(t *testing.T) {
	each(t, func(t *testing.T, p *pcs.Params) {
		const within = 1e-12
		rapid.Check(t, func(t *rapid.T) {
			at := conditions(t)
			ac := anywhere(t, "ac")
			dc := p.DCAt(ac, at)
			back := p.ACAt(dc, at)
			if d := math.Abs(p.DCAt(back, at) - dc); !(d <= within*p.RatedW) && (at.QVar != 0 || dc > 0 || ac < 0) {
				t.Fatalf("DC(AC(%g)) is off by %g W", dc, d)
			}
			if ac > 0 && dc <= 0 || at.QVar != 0 && back*ac < 0 {
				return // less than the loss of no load, or where both directions yield this power
			}
			if d := math.Abs(back - ac); !(d <= within*p.RatedW) {
				t.Fatalf("AC(DC(%g)) is off by %g W at %+v", ac, d, at)
			}
		})
		rapid.Check(t, func(t *rapid.T) {
			at := conditions(t)
			at.QVar = 0
			dc := anywhere(t, "dc")
			ac := p.ACAt(dc, at)
			if noLoad := p.LossAt(-1e-9, at); dc < 0 && -dc <= noLoad {
				if ac != dc+at.RestW {
					t.Fatalf("AC(%g) = %g W with %g W lost at no load, want standby power from the grid", dc, ac, noLoad)
				}
				return
			}
			if d := math.Abs(p.DCAt(ac, at) - dc); !(d <= within*p.RatedW) {
				t.Fatalf("DC(AC(%g)) is off by %g W", dc, d)
			}
		})
		if got := p.AC(p.DC(0)); got != 0 {
			t.Errorf("AC(DC(0)) = %g W, want 0", got)
		}
		if got := p.AC(0); got != p.StandbyW {
			t.Errorf("AC(0) = %g W, want the standby power", got)
		}
	})
}

// More AC power is more DC power, in each direction.
func TestMonotone(t *testing.T) {
	each(t, func(t *testing.T, p *pcs.Params) {
		rapid.Check(t, func(t *rapid.T) {
			at := conditions(t)
			a := anywhere(t, "a")
			b := a * (1 + rapid.Float64Range(1e-6, 1).Draw(t, "more"))
			if (p.DCAt(b, at)-p.DCAt(a, at))*a <= 0 {
				t.Fatalf("%g W at %g W, %g W at %g W", p.DCAt(a, at), a, p.DCAt(b, at), b)
			}
		})
	})
}

type measured struct {
	P         []float64 `yaml:"p"`
	Charge    []float64 `yaml:"eta_charge"`
	Discharge []float64 `yaml:"eta_discharge"`
}

func sinamics(t *testing.T) measured {
	t.Helper()
	root := os.Getenv("YUNCHU_DATA")
	if root == "" {
		t.Skip("YUNCHU_DATA is not set: the measured efficiencies are not at hand")
	}
	src, err := os.ReadFile(filepath.Join(root, "twin", "params", "pcs.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		M measured `yaml:"sinamics_S120_measured"`
	}
	if err := yaml.Unmarshal(src, &f); err != nil {
		t.Fatal(err)
	}
	if len(f.M.P) < 10 {
		t.Fatalf("%d points in the measurement", len(f.M.P))
	}
	return f.M
}

// worst is the largest difference to the measured efficiencies above a power, in
// percentage points, and the power where it is.
func (m measured) worst(p *pcs.Params, above float64, charging bool) (points, at float64) {
	for i, x := range m.P {
		ac := x * p.RatedW
		diff := ac/-p.DC(-ac) - m.Discharge[i]
		if charging {
			diff = p.DC(ac)/ac - m.Charge[i]
		}
		if d := 100 * math.Abs(diff); x > above && !(d <= points) {
			points, at = d, x
		}
	}
	return points, at
}

func TestMeasuredEfficiencies(t *testing.T) {
	m, all := sinamics(t), converters(t)
	for _, tt := range []struct {
		set               string
		above             float64
		charge, discharge float64 // percentage points
	}{
		{"sinamics-s120-table", 0, 1e-12, 1e-12},
		{"sinamics-s120-fit", 0.05, 0.14, 0.35},
		{"sinamics-s120-fit", 0.075, 0.05, 0.19},
		{"sinamics-s120-refit", 0.05, 0.14, 0.12},
	} {
		charge, at := m.worst(all[tt.set], tt.above, true)
		discharge, at2 := m.worst(all[tt.set], tt.above, false)
		t.Logf("%s above %g of rated power: %.2g points charging (at %g), %.2g discharging (at %g)", tt.set, tt.above, charge, at, discharge, at2)
		if charge > tt.charge || discharge > tt.discharge {
			t.Errorf("%s above %g: off by %g and %g points, want at most %g and %g", tt.set, tt.above, charge, discharge, tt.charge, tt.discharge)
		}
	}
}

// A formula that divides yields the efficiency of its source in both directions.
func TestNottonEfficiency(t *testing.T) {
	all := converters(t)
	for _, name := range []string{"notton-type1", "notton-type2", "notton-type3", "sungrow-sc1000tl-field", "bonfiglioli-tl4q-field"} {
		p := all[name]
		for _, x := range []float64{1e-6, 0.001, 0.05, 0.5, 1} {
			eta := func(l pcs.Loss) float64 { return x / (x + l.P0 + l.K2*x*x) }
			ac := x * p.RatedW
			if got, want := p.DC(ac)/ac, eta(p.Charge); !(math.Abs(got/want-1) <= 1e-9) {
				t.Errorf("%s charging at %g: %.15g, want %.15g", name, x, got, want)
			}
			if got, want := ac/-p.DC(-ac), eta(p.Discharge); !(math.Abs(got/want-1) <= 1e-12) {
				t.Errorf("%s discharging at %g: %.15g, want %.15g", name, x, got, want)
			}
		}
	}
}

// Between its voltages a surface lies between its rows, and at them on them.
func TestSurfaceOverVoltage(t *testing.T) {
	p := converters(t)["cec-333kw-surface"]
	at := func(v float64) float64 { return p.LossAt(-0.5*p.RatedW, pcs.At{DCVolt: v}) }
	if a, b, mid := at(740.2), at(958.8), at((740.2+958.8)/2); !(math.Abs(mid-(a+b)/2) <= 1e-9) || a >= b {
		t.Errorf("%g W at 740.2 V, %g W at 958.8 V, %g W between", a, b, mid)
	}
	if at(0) != at(740.2) || at(500) != at(660.4) || at(1500) != at(958.8) {
		t.Errorf("nominal %g W, low %g W, high %g W", at(0), at(500), at(1500))
	}
	for x, eta := range map[float64]float64{0.0985: 0.95468, 0.5028: 0.97597, 0.9532: 0.97238} {
		ac := x * p.RatedW
		if got := ac / -p.DC(-ac); !(math.Abs(got-eta) <= 1e-12) {
			t.Errorf("efficiency %.15g at %g, want %g", got, x, eta)
		}
	}
}

func TestSurfaceThatCannotBeTurnedRound(t *testing.T) {
	rows := [][]float64{{0.9, 0.95}}
	for name, s := range map[string]struct {
		power  []float64
		charge [][]float64
	}{
		"loss that eats the power": {[]float64{0.1, 0.2}, [][]float64{{0.9, 0.4}}},
		"power that falls":         {[]float64{0.2, 0.1}, rows},
		"rows too short":           {[]float64{0.1, 0.2, 0.3}, rows},
		"one power":                {[]float64{0.1}, [][]float64{{1.1}}},
		"no rows":                  {[]float64{0.1, 0.2}, nil},
	} {
		if _, err := pcs.FromEfficiency(s.power, nil, s.charge, rows, 0); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// The loss on a ramp is the integral of the loss, by a second way: a sum of many
// short pieces.
func TestLossOnARamp(t *testing.T) {
	each(t, func(t *testing.T, p *pcs.Params) {
		p.Capability = &pcs.Capability{SVA: 110e3, ChargeW: 100e3, DischargeW: 100e3, AbsorbVar: 100e3, InjectVar: 100e3}
		for _, line := range [][4]float64{ // P and Q at both ends
			{0, 0, 90e3, 0},
			{0, 0, -90e3, 0},
			{-90e3, 0, 50e3, 0},
			{30e3, 0, 31e3, 0},
			{0, 0, 60e3, 60e3},
			{-60e3, 40e3, 80e3, -10e3},
			{0, -50e3, 0, 50e3},
			{50e3, 1e-3, -50e3, 1e-3},
			{70e3, 30e3, 20e3, 30e3},
		} {
			s := pcs.State{PowerW: line[0], QVar: line[1], Active: pcs.Setpoint{Until: pcs.Never}, DCVolt: 800}
			p.AcceptPQ(&s, 0, line[2], line[3], pcs.Never)
			need := max(math.Abs(line[2]-line[0]), math.Abs(line[3]-line[1])) / p.RampWPerS
			var f pcs.Flow
			p.Advance(&s, 0, time.Duration(need*1e9), -100e3, 100e3, &f)
			const n = 140_000 // a multiple of 14, so that no piece lies across the change of direction
			var loss, square float64
			for k := range n {
				x := (float64(k) + 0.5) / n
				ac, q := line[0]+x*(line[2]-line[0]), line[1]+x*(line[3]-line[1])
				loss += p.LossAt(ac, pcs.At{QVar: q, DCVolt: 800})
				square += ac*ac + q*q
			}
			loss *= need / n
			square *= need / n
			if d := math.Abs(f.LossJ/loss - 1); !(d <= 2e-9) {
				t.Errorf("%v: loss %.12g J, want %.12g J: %g", line, f.LossJ, loss, d)
			}
			if d := math.Abs(f.VA2S/square - 1); !(d <= 2e-9) {
				t.Errorf("%v: %.12g VA^2*s, want %.12g", line, f.VA2S, square)
			}
		}
	})
}
