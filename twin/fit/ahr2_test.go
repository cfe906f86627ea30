package fit_test

import (
	"fmt"
	"testing"

	"yunchu/twin/fit"
)

func TestAHR2(t *testing.T) {
	for _, name := range []string{"ahr32113_insulated_1", "ahr32113_uninsulated_2"} {
		a := ahr(t, name)
		n, m, _ := fit.Thermal(a)
		core, surf := make([]float64, len(a.T)), make([]float64, len(a.T))
		n.Simulate(a, m, core, surf)
		q := 0.0
		qs := 0.0
		for k := range a.T {
			if k > 0 { q += a.I[k] / 3600 ; qs += a.I[k]*(a.V[k]-3.29)}
			if k%100 == 0 {
				fmt.Printf("%5.0f q %.3f heat %.2f core %.2f %+.2f surf %.2f %+.2f env %.2f\n", a.T[k], q, qs/100, a.Core[k]-273.15, core[k]-a.Core[k], a.Surface[k]-273.15, surf[k]-a.Surface[k], a.Envs[k]-273.15)
				qs = 0
			}
		}
	}
}
