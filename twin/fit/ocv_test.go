package fit_test

import (
	"math"
	"testing"

	"yunchu/twin/fit"
)

// slow is a slow cycle of a cell of 2 Ah with U = 3 + 0.5z + 1e-4(z-0.5)(T-298.15) and
// branches 10 mV away, whose discharge ends before it is empty.
func slow(tempK float64) fit.SlowCycle {
	c := fit.SlowCycle{Name: "slow", TempK: tempK}
	u := func(z float64) float64 { return 3 + 0.5*z + 1e-4*(z-0.5)*(tempK-298.15) }
	for k := range 401 {
		ah := float64(k) / 200
		if ah <= 1.97 {
			c.DischargeAh, c.DischargeV = append(c.DischargeAh, ah), append(c.DischargeV, u(1-ah/2)-0.01)
		}
		c.ChargeAh, c.ChargeV = append(c.ChargeAh, ah), append(c.ChargeV, u(ah/2)+0.01)
	}
	return c
}

func TestOpenCircuit(t *testing.T) {
	b, err := fit.NewBranches([]fit.SlowCycle{slow(278.15), slow(298.15), slow(318.15)}, 1.9)
	if err != nil {
		t.Fatal(err)
	}
	o, err := fit.NewOpenCircuit(b, 298.15)
	if err != nil {
		t.Fatal(err)
	}
	for k, z := range o.SoC {
		if u := 3 + 0.5*z; math.Abs(o.U[k]-u) > 1e-9 {
			t.Errorf("U(%.3f) = %.6f V, want %.6f", z, o.U[k], u)
		}
		if math.Abs(o.Gap[k]-0.01) > 1e-9 {
			t.Errorf("M(%.3f) = %.6f V, want 0.01", z, o.Gap[k])
		}
		if e := 1e-4 * (z - 0.5); math.Abs(o.DUDT[k]-e) > 1e-12 {
			t.Errorf("E(%.3f) = %.3g V/K, want %.3g", z, o.DUDT[k], e)
		}
	}
	if _, ok := o.SoCAt(3.25, 0, 298.15, 298.15); ok {
		t.Error("half a volt in all is too flat to tell the state of charge")
	}
}

func TestOpenCircuitRefuses(t *testing.T) {
	nan := math.NaN()
	for name, b := range map[string][]fit.Branches{
		"nothing":     nil,
		"half a cell": {{Name: "x", SoC: []float64{0, 0.25, 0.5, 0.75, 1}, Discharge: []float64{nan, nan, nan, 3.2, 3.3}, Charge: []float64{3, 3.1, 3.2, 3.3, 3.4}}},
		"a hole":      {{Name: "x", SoC: []float64{0, 0.25, 0.5, 0.75, 1}, Discharge: []float64{3, 3.1, nan, 3.2, 3.3}, Charge: []float64{3, 3.1, 3.2, 3.3, 3.4}}},
		"other axis":  {{Name: "x", SoC: []float64{0, 1}, Discharge: []float64{3, 3.1}, Charge: []float64{3, 3.1}}, {Name: "y", SoC: []float64{0.1, 1}, Discharge: []float64{3, 3.1}, Charge: []float64{3, 3.1}}},
	} {
		if _, err := fit.NewOpenCircuit(b, 298.15); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := fit.NewBranches([]fit.SlowCycle{{Name: "x", DischargeAh: []float64{0, 1}, DischargeV: []float64{3.3, 3}}}, 1); err == nil {
		t.Error("a cycle without a charge: no error")
	}
}
