package fit_test

import (
	"fmt"
	"testing"

	"yunchu/twin/fit"
)

func ahr(t testing.TB, name string) *fit.ThermalRecord {
	c := columns(t, measured(t, "lfp_ahr32113_oxford", name+".csv"))
	r := &fit.ThermalRecord{Name: name, T: c["t_s"], I: c["I_A"], V: c["V_V"]}
	for k := range r.T {
		r.Core = append(r.Core, c["T_core_C"][k]+273.15)
		r.Surface = append(r.Surface, c["T_surf_mid_C"][k]+273.15)
		r.Env = append(r.Env, c["T_env_C"][k]+273.15)
	}
	return r
}

func TestAHR(t *testing.T) {
	a, b := ahr(t, "ahr32113_insulated_1"), ahr(t, "ahr32113_uninsulated_2")
	for _, p := range [][2]*fit.ThermalRecord{{a, b}, {b, a}} {
		n, m, err := fit.Thermal(p[0], fit.ThermalPrior{221, 0.497})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("%s %+v  %+v in-sample %+v\n", p[0].Name, n, m, n.Score(p[0], m, 0))
		for _, until := range []float64{1200, 1500, 1800, 1e9} {
			m2, err := n.Cooling(p[1], until)
			if err != nil {
				t.Fatal(err)
			}
			from := until
			if until > 1e6 {
				from = 0
			}
			fmt.Printf("   other, from %g s: %+v rest %+v all %+v\n", until, m2, n.Score(p[1], m2, from), n.Score(p[1], m2, 0))
		}
	}
}
