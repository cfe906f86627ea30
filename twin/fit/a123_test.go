package fit_test

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/goccy/go-yaml"

	"yunchu/twin/cell"
	"yunchu/twin/fit"
)

// columns reads a CSV file of numbers; empty fields are NaN.
func columns(t testing.TB, path string) map[string][]float64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]float64{}
	for i, name := range rows[0] {
		for _, row := range rows[1:] {
			x, err := strconv.ParseFloat(row[i], 64)
			if err != nil {
				break // a column of words
			}
			out[name] = append(out[name], x)
		}
	}
	return out
}

func measured(t testing.TB, parts ...string) string {
	t.Helper()
	data := os.Getenv("YUNCHU_DATA")
	if data == "" {
		t.Skip("YUNCHU_DATA is not set: it names the folder with the measured records")
	}
	return filepath.Join(append([]string{data, "twin", "measured"}, parts...)...)
}

func a123(t testing.TB, degC int) (*fit.Record, fit.SlowCycle) {
	t.Helper()
	tag := fmt.Sprintf("P%02d.csv", degC)
	c := columns(t, measured(t, "lfp_a123_esc_uccs", "a123_dyn_"+tag))
	h0, _ := strconv.ParseFloat(os.Getenv("H0"), 64)
	kelvin := float64(degC) + 273.15
	r := &fit.Record{Name: "a123_dyn_" + tag, T: c["t_s"], I: c["I_A"], V: c["V_V"], TempK: kelvin, SoC: 1, Hyst: h0}
	if os.Getenv("NOCOUNT") == "" {
		r.Follow(c["chgAh"], c["disAh"])
	}
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

func TestA123(t *testing.T) {
	for _, tt := range [][]int{{5, 25, 45}, {5, 25}, {5, 45}, {25, 45}, {5}, {25}, {45}} {
		var in fit.Input
		in.CapacityAh, in.TRefK = 2.0495, 298.15
		var cycles []fit.SlowCycle
		for _, c := range tt {
			r, s := a123(t, c)
			in.Records, cycles = append(in.Records, r), append(cycles, s)
		}
		b, err := fit.NewBranches(cycles, 2.0495)
		if err != nil {
			t.Fatal(err)
		}
		if in.OCV, err = fit.NewOpenCircuit(b, in.TRefK); err != nil {
			t.Fatal(err)
		}
		res, err := fit.Cell(in)
		if err != nil {
			t.Fatal(err)
		}
		m, _ := cell.New(res.Params)
		if d := os.Getenv("OUTDIR"); d != "" {
			name := "a"
			for _, c := range tt {
				name += fmt.Sprintf("_%d", c)
			}
			b, _ := yaml.Marshal(res.File(&in, fit.Sheet{Name: name, Source: "x", VMin: 1.9, VMax: 3.6, ThermalSource: "x", MassKg: 0.076, CpJPerKg: 1000, HAPerK: 0.1}))
			os.WriteFile(filepath.Join(d, name+".yaml"), b, 0o644)
		}
		fmt.Printf("%v it %d sigma %.2f mV corr %.0f s:", tt, res.Iterations, 1e3*res.SigmaV, res.CorrelationS)
		for _, c := range []int{5, 25, 45} {
			r, _ := a123(t, c)
			s := r.Score(m, 0.1, 0.9)
			fmt.Printf("  %d: %.2f/%.0f", c, 1e3*s.RMSE, 1e3*s.Max)
		}
		fmt.Println()
		for _, iv := range res.Intervals {
			if os.Getenv("IV") == "" {
				break
			}

			fmt.Printf("    %s %.4g..%.4g\n", iv.Key, iv.Low, iv.High)
		}
		fmt.Printf("  Ea %.0f tau %.0f R %.4f f %.3f gamma %.1f eta %.4f\n", res.Params.Activation, res.Params.Tau, res.Params.Resistance.Value, res.Params.Fraction, res.Params.Gamma, res.Params.CoulombicEfficiency)
	}
}
