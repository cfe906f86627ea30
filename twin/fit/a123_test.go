package fit_test

import (
	"fmt"
	"testing"

	"yunchu/twin/cell"
	"yunchu/twin/fit"
)

// a123 is the drive cycle and the slow cycle of the A123 26650 cell at a temperature.
func a123(t testing.TB, degC int) (*fit.Record, fit.SlowCycle) {
	t.Helper()
	tag := fmt.Sprintf("P%02d.csv", degC)
	kelvin := float64(degC) + 273.15
	c := columns(t, measured(t, "lfp_a123_esc_uccs", "a123_dyn_"+tag))
	r := &fit.Record{Name: "a123_dyn_" + tag, T: c["t_s"], I: c["I_A"], V: c["V_V"], TempK: kelvin, SoC: 1, Hyst: 1}
	r.Follow(c["chgAh"], c["disAh"])
	c = columns(t, measured(t, "lfp_a123_esc_uccs", "a123_ocv_C30_"+tag))
	s := fit.SlowCycle{Name: "a123_ocv_C30_" + tag, TempK: kelvin}
	for k, script := range c["script"] {
		if script == 1 {
			s.DischargeAh, s.DischargeV = append(s.DischargeAh, c["disAh"][k]), append(s.DischargeV, c["V_V"][k])
		} else {
			s.ChargeAh, s.ChargeV = append(s.ChargeAh, c["chgAh"][k]), append(s.ChargeV, c["V_V"][k])
		}
	}
	return r, s
}

// A cell fitted at two temperatures is scored at the third, which it has not seen: the
// bar is 15 mV, good 10. At those it was fitted to the bar is 8 mV.
func TestA123(t *testing.T) {
	for _, tt := range []struct {
		fitted []int
		scored int
	}{{[]int{5, 25}, 45}, {[]int{5, 45}, 25}, {[]int{25, 45}, 5}} {
		t.Run(fmt.Sprintf("%d", tt.scored), func(t *testing.T) {
			in := fit.Input{CapacityAh: 2.0495, TRefK: 298.15}
			var cycles []fit.SlowCycle
			for _, c := range tt.fitted {
				r, s := a123(t, c)
				in.Records, cycles = append(in.Records, r), append(cycles, s)
			}
			branches, err := fit.NewBranches(cycles, in.CapacityAh)
			if err != nil {
				t.Fatal(err)
			}
			if in.OCV, err = fit.NewOpenCircuit(branches, in.TRefK); err != nil {
				t.Fatal(err)
			}
			got, err := fit.Cell(in)
			if err != nil {
				t.Fatal(err)
			}
			for k, s := range got.Scores {
				if s.RMSE > 0.008 {
					t.Errorf("at %d degC, fitted: %.2f mV, want 8", tt.fitted[k], 1e3*s.RMSE)
				}
				t.Logf("at %d degC, fitted: RMSE %.2f mV, at most %.1f mV", tt.fitted[k], 1e3*s.RMSE, 1e3*s.Max)
			}
			m, err := cell.New(got.Params)
			if err != nil {
				t.Fatal(err)
			}
			r, _ := a123(t, tt.scored)
			s := r.Score(m, fit.WindowLow, fit.WindowHigh)
			if s.RMSE > 0.010 {
				t.Errorf("at %d degC, not fitted: %.2f mV, want 10", tt.scored, 1e3*s.RMSE)
			}
			t.Logf("at %d degC, not fitted: RMSE %.2f mV, at most %.1f mV", tt.scored, 1e3*s.RMSE, 1e3*s.Max)
			// The laboratory's own figure at 25 degC is 0.9945 with a sensor that counts the directions differently.
			if eta := got.Params.CoulombicEfficiency; eta < 0.98 || eta > 1 {
				t.Errorf("coulombic efficiency %.4f", eta)
			}
		})
	}
}
