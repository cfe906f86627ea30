package params_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"yunchu/twin/params"
)

func TestAgingSetsShip(t *testing.T) {
	names := params.AgingSets()
	if want := []string{"a123-wang", "blast-lfp250", "sony-naumann", "sony-schimpe"}; !slices.Equal(names, want) {
		t.Errorf("ageing sets %v, want %v", names, want)
	}
	for _, name := range names {
		a, err := params.LoadAging(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if a.Name != name || a.Cell == "" || a.Valid == "" {
			t.Errorf("set %s: %q of cell %q, valid %q", name, a.Name, a.Cell, a.Valid)
		}
		if a.Sources.Calendar == "" || a.Sources.Cycle == "" || (a.Anode != nil) != (a.Sources.Anode != "") {
			t.Errorf("set %s lacks a source: %+v", name, a.Sources)
		}
	}
	if slices.Contains(params.Cells(), "sony-naumann") || slices.Contains(params.Models(), "sony-naumann") {
		t.Error("an ageing set is listed as a cell or a model")
	}
}

func loadAging(t *testing.T, name string) *params.Aging {
	t.Helper()
	a, err := params.LoadAging(name)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// The sets hold the constants of the shared facts, each of them.
func TestAgingSetsHoldTheFacts(t *testing.T) {
	src, err := os.ReadFile(filepath.Join(dataDir(t), "aging.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var facts map[string]any
	if err := yaml.Unmarshal(src, &facts); err != nil {
		t.Fatal(err)
	}
	check := func(law, part string, got map[string]float64) {
		t.Helper()
		want, _ := facts[law].(map[string]any)
		if part != "" {
			want, _ = want[part].(map[string]any)
		}
		if len(want) == 0 {
			t.Errorf("%s.%s is not in the facts", law, part)
		}
		for key, value := range got {
			var number float64
			switch v := want[key].(type) {
			case float64:
				number = v
			case uint64:
				number = float64(v)
			case int64:
				number = float64(v)
			default:
				t.Errorf("%s.%s.%s is %v in the facts, no number", law, part, key, v)
			}
			if value != number {
				t.Errorf("%s.%s.%s is %g, the facts say %g", law, part, key, value, number)
			}
		}
	}
	sony := loadAging(t, "sony-naumann")
	n, y := sony.Calendar.Naumann2018, sony.Cycle.Naumann2020
	check("naumann2018_calendar", "", map[string]float64{"R": n.GasConstant})
	check("naumann2018_calendar", "qloss", map[string]float64{"kref": n.QRef, "Ea": n.QActivation, "c": n.QSoCSlope, "d": n.QSoCOffset})
	check("naumann2018_calendar", "rinc", map[string]float64{"kref": n.RRef, "Ea": n.RActivation, "c": n.RSoCSlope, "d": n.RSoCOffset})
	check("naumann2020_cycle", "qloss", map[string]float64{"a": y.QRateSlope, "b": y.QRateOffset, "c": y.QDepthSlope, "d": y.QDepthOffset})
	check("naumann2020_cycle", "rinc", map[string]float64{"a": y.RRateSlope, "b": y.RRateOffset, "c": y.RDepthSlope, "d": y.RDepthOffset})

	w := loadAging(t, "a123-wang").Cycle.Wang2011
	if !slices.Equal(w.RatePerH, []float64{0.5, 2, 6, 10}) {
		t.Fatalf("rates %v", w.RatePerH)
	}
	check("wang2011_cycle", "B", map[string]float64{"C/2": w.B[0], "2C": w.B[1], "6C": w.B[2], "10C": w.B[3]})

	schimpe := loadAging(t, "sony-schimpe")
	cal, cyc := schimpe.Calendar.Schimpe2018, schimpe.Cycle.Schimpe2018
	check("schimpe2018", "cal", map[string]float64{
		"kref_h05": cal.Ref, "Ea": cal.Activation, "alpha": cal.Alpha, "k0": cal.K0, "Ua_ref": cal.URef, "Tref": cal.TRefK, "F": cal.Faraday, "R": cal.GasConstant,
	})
	check("schimpe2018", "cyc", map[string]float64{
		"k_highT": cyc.WarmRef, "Ea_highT": cyc.WarmActivation, "k_lowT": cyc.ColdRef, "Ea_lowT": cyc.ColdActivation, "beta_lowT_h": cyc.ColdBetaH,
		"k_lowT_highSoC": cyc.ColdFullRef, "Ea_lowT_highSoC": cyc.ColdFullActivation, "beta_lowT_highSoC_h": cyc.ColdFullBetaH,
		"I_ch_ref_A": cyc.RateRefPerH * cyc.CapacityAh, "C0_Ah": cyc.CapacityAh, "soc_ref": cyc.ColdFullSoCRef,
	})

	blast := loadAging(t, "blast-lfp250")
	b, c := blast.Calendar.BLAST2019, blast.Cycle.BLAST2019
	check("blast_lfp250_2019", "p", map[string]float64{
		"p1": b.Ref, "p2": b.TempK, "p3": b.AnodeKPer, "pcal": b.Exponent,
		"p4": c.Offset, "p5": c.DepthSlope, "p6": c.RateSlopeH, "p7": c.WarmK, "p8": c.HotK, "pcyc": c.Exponent,
	})
	if !reflect.DeepEqual(blast.Anode, schimpe.Anode) {
		t.Error("the two sets have different anodes")
	}
}

func TestAgingFaultsHaveAPlace(t *testing.T) {
	for _, tt := range []struct {
		name, set, old, new string
		want                []string // each in the message
	}{
		{"unknown key", "sony-naumann", "q_ref:", "q_reff:", []string{"m.yaml:22:5: ", "q_reff"}},
		{"wrong kind", "sony-naumann", "kind: Aging", "kind: Cell", []string{"m.yaml:3:7: kind", "Cell"}},
		{"no name", "sony-naumann", "name: sony-naumann", "name:", []string{"name: missing"}},
		{"exponent of 0", "sony-naumann", "q_exponent: 0.5", "q_exponent: 0", []string{"calendar.naumann2018.q_exponent", "above 0"}},
		{"power unknown", "sony-naumann", "r_soc_power: 2", "r_soc_power: 4", []string{"calendar.naumann2018.r_soc_power", "is 4"}},
		{"no number", "sony-naumann", "q_depth_slope: 4.0253", "q_depth_slope: .nan", []string{"cycle.naumann2020.q_depth_slope", "NaN"}},
		{"two laws", "sony-naumann", "calendar:\n  naumann2018", "calendar:\n  blast2019: {ref: 1, exponent: 1}\n  naumann2018", []string{"calendar: has 2 laws", "anode: missing"}},
		{"degC for K", "a123-wang", "T_max_K: 343.15", "T_max_K: 70", []string{"T_max_K: is 70"}},
		{"no source", "a123-wang", "  cycle: >-", "  anode: >-", []string{"sources.cycle: missing"}},
		{"rates not rising", "a123-wang", "[0.5, 2, 6, 10]", "[0.5, 2, 1, 10]", []string{"cycle.wang2011.rate_per_h", "entry 3"}},
		{"rates and B", "a123-wang", "[0.5, 2, 6, 10]", "[0.5, 2, 6]", []string{"cycle.wang2011.rate_per_h", "3 entries and B_pct 4"}},
		{"negative B", "a123-wang", "31630,", "-31630,", []string{"cycle.wang2011.B_pct", "entry 1"}},
		{"no month", "a123-wang", "month_s: 2635200", "month_s: 0", []string{"calendar.swierczynski2015.month_s"}},
		{"no gas", "sony-schimpe", "gas_constant_J_per_molK: 8.314\n    faraday", "gas_constant_J_per_molK: 0\n    faraday", []string{"calendar.schimpe2018.gas_constant_J_per_molK"}},
		{"no capacity", "sony-schimpe", "capacity_Ah: 3", "capacity_Ah: -3", []string{"cycle.schimpe2018.capacity_Ah"}},
		{"no width", "blast-lfp250", "[0.1088,", "[0,", []string{"anode.step_width"}},
		{"too few steps", "blast-lfp250", "step_centre: [0.1958, ", "step_centre: [", []string{"anode.step_height_V", "step_centre 3"}},
		{"no exponent", "blast-lfp250", "exponent: 0.828", "exponent: -1", []string{"cycle.blast2019.exponent"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := read(t, "aging/"+tt.set)
			spoilt := strings.Replace(text, tt.old, tt.new, 1)
			if spoilt == text {
				t.Fatalf("%q is not in the file", tt.old)
			}
			path := filepath.Join(t.TempDir(), "m.yaml")
			if err := os.WriteFile(path, []byte(spoilt), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := params.LoadAging(path)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error does not say %q:\n%v", want, err)
				}
			}
			var f *params.Fault
			if !errors.As(err, &f) || f.Line == 0 {
				t.Errorf("no Fault with a line in %v", err)
			}
		})
	}
	if _, err := params.LoadAging("no-such-set"); err == nil || !strings.Contains(err.Error(), "blast-lfp250") {
		t.Errorf("error %v does not name the sets that ship", err)
	}
	if _, err := params.ParseAging("m.yaml", []byte("name: none\nkind: Aging\n")); err == nil || !strings.Contains(err.Error(), "give the set a law") {
		t.Errorf("a set without a law: %v", err)
	}
}
