package fit_test

import (
	"math"
	"math/rand"
	"testing"

	"yunchu/twin/fit"
)

// winding is what is known of the AHR32113: a cylinder of 32 mm and 113 mm with
// 2680 kg/m3, 910 J/kg/K and a radial conductivity of 0.35 W/m/K (from the repository of
// the records).
var winding = fit.ThermalPrior{JPerK: 2680 * 910 * math.Pi * 0.016 * 0.016 * 0.113, LinkWPerK: 4 * math.Pi * 0.35 * 0.113}

func ahr(t testing.TB, name string) *fit.ThermalRecord {
	t.Helper()
	c := columns(t, measured(t, "lfp_ahr32113_oxford", name+".csv"))
	r := &fit.ThermalRecord{Name: name, T: c["t_s"], I: c["I_A"], V: c["V_V"]}
	for k := range r.T {
		r.Core = append(r.Core, c["T_core_C"][k]+273.15)
		r.Surface = append(r.Surface, c["T_surf_mid_C"][k]+273.15)
		r.Env = append(r.Env, c["T_env_C"][k]+273.15)
	}
	return r
}

// A cell fitted in one cooling set-up is scored in the other one. The conductances of
// that set-up are its own: taken from the whole record, the bars are 0.5 K at the
// surface and 0.7 K in the core, stretch 0.3 and 0.5; taken from its first half hour
// and scored on the rest, 0.5 and 0.7.
func TestAHR32113(t *testing.T) {
	a, b := ahr(t, "ahr32113_insulated_1"), ahr(t, "ahr32113_uninsulated_2")
	for _, p := range [][2]*fit.ThermalRecord{{a, b}, {b, a}} {
		n, c, err := fit.Thermal(p[0], winding)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %+v, %+v: %+v", p[0].Name, n, c, n.Score(p[0], c, 0))
		for _, part := range []struct{ until, from, surface, core float64 }{{math.Inf(1), 0, 0.3, 0.5}, {1800, 1800, 0.5, 0.7}} {
			c, err := n.Cooling(p[1], part.until)
			if err != nil {
				t.Fatal(err)
			}
			s := n.Score(p[1], c, part.from)
			t.Logf("%s: cooling until %g s %+v: surface %.2f K, core %.2f K from %g s on", p[1].Name, part.until, c, s.Surface, s.Core, part.from)
			if s.Surface > part.surface || s.Core > part.core {
				t.Errorf("%s from %g s on: %.2f K at the surface, %.2f K in the core, want %g and %g", p[1].Name, part.from, s.Surface, s.Core, part.surface, part.core)
			}
		}
	}
}

// heated is an hour of a made-up cell in a made-up set-up.
func heated(n fit.TwoNode, c fit.Cooling) *fit.ThermalRecord {
	rng := rand.New(rand.NewSource(1))
	r := &fit.ThermalRecord{Name: "made up"}
	i := 0.0
	for k := range 3600 {
		if k%20 == 0 {
			i = 20 * rng.NormFloat64()
		}
		r.T, r.I, r.V = append(r.T, float64(k)), append(r.I, i), append(r.V, 3.3+0.006*i)
		r.Env = append(r.Env, 283+math.Sin(float64(k)/500))
	}
	r.Core, r.Surface = make([]float64, len(r.T)), make([]float64, len(r.T))
	r.Core[0], r.Surface[0] = 284, 283.5
	n.Simulate(r, c, r.Core, r.Surface)
	return r
}

func TestRecoversTwoNode(t *testing.T) {
	n := fit.TwoNode{CoreJPerK: 150, SurfaceJPerK: 40, LinkWPerK: 0.55, BalanceV: 3.31, ProbeS: 30}
	warm, cold := fit.Cooling{MantleWPerK: 0.2, EndWPerK: 0.1}, fit.Cooling{MantleWPerK: 0.8, EndWPerK: 0.05}
	got, c, err := fit.Thermal(heated(n, warm), fit.ThermalPrior{JPerK: 200, LinkWPerK: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	if s := got.Score(heated(n, warm), c, 0); s.Core > 0.02 || s.Surface > 0.02 {
		t.Errorf("fitted: %+v", s)
	}
	if whole := got.CoreJPerK + got.SurfaceJPerK; math.Abs(whole/190-1) > 0.03 || math.Abs(got.BalanceV-3.31) > 0.005 {
		t.Errorf("%+v, want %+v", got, n)
	}
	if c, err = got.Cooling(heated(n, cold), 1800); err != nil {
		t.Fatal(err)
	}
	if s := got.Score(heated(n, cold), c, 1800); s.Core > 0.05 || s.Surface > 0.05 {
		t.Errorf("in another set-up: %+v with %+v", s, c)
	}
}

// What is not lost is kept: with no cooling the heat of the record is in the two nodes.
func TestTwoNodeKeepsHeat(t *testing.T) {
	n := fit.TwoNode{CoreJPerK: 150, SurfaceJPerK: 40, LinkWPerK: 0.55, BalanceV: 3.3, ProbeS: 1e-3}
	r := heated(n, fit.Cooling{})
	var q float64
	for k := 1; k < len(r.T); k++ {
		q += r.I[k-1] * ((r.V[k-1]+r.V[k])/2 - 3.3)
	}
	last := len(r.T) - 1
	kept := 150*(r.Core[last]-284) + 40*(r.Surface[last]-283.5)
	if math.Abs(kept-q) > 1e-3*math.Abs(q) { // the thermocouple of the core is a millisecond behind
		t.Errorf("%.3f J made, %.3f J kept", q, kept)
	}
}

func TestThermalRefuses(t *testing.T) {
	if _, _, err := fit.Thermal(&fit.ThermalRecord{Name: "x", T: []float64{0, 1}}, winding); err == nil {
		t.Error("columns of different lengths: no error")
	}
	n := fit.TwoNode{CoreJPerK: 150, SurfaceJPerK: 40, LinkWPerK: 0.5, BalanceV: 3.3, ProbeS: 1}
	if _, err := n.Cooling(heated(n, fit.Cooling{MantleWPerK: 1}), 0); err == nil {
		t.Error("no readings to fit: no error")
	}
}
