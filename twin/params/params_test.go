package params_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"yunchu/twin/params"
)

func TestShippedSets(t *testing.T) {
	if n := len(params.Models()); n < 2 {
		t.Errorf("%d models ship, want two or more", n)
	}
	for _, name := range params.Models() {
		m, err := params.LoadModel(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if m.Name != name || m.Cell == nil {
			t.Errorf("set %s is called %s, cell %v", name, m.Name, m.Cell)
		}
		// Any setpoint within a second: dead time and a full reversal.
		if s := time.Duration(m.PCS.ResponseDelay).Seconds() + 2/m.PCS.RampPerS; s >= 1 {
			t.Errorf("%s takes %.2f s from full charge to full discharge, want less than 1 s", name, s)
		}
		for key, source := range map[string]string{"model": m.Source, "pcs": m.PCS.Source, "heat": m.Heat.Source, "limits": m.Limits.Source} {
			if source == "" {
				t.Errorf("%s: %s has no source", name, key)
			}
		}
	}
	for _, name := range params.Cells() {
		if _, err := params.LoadCell(name); err != nil {
			t.Error(err)
		}
	}
}

func TestHundredKilowatts(t *testing.T) {
	m, err := params.LoadModel("ess-100kw-215kwh")
	if err != nil {
		t.Fatal(err)
	}
	if m.Series != 240 || m.Parallel != 1 || m.RatedKW != 100 || time.Duration(m.PCS.ResponseDelay) != 40*time.Millisecond || m.Cell.CapacityAh != 280 {
		t.Errorf("%+v", m)
	}
}

func dataDir(t *testing.T) string {
	root := os.Getenv("YUNCHU_DATA")
	if root == "" {
		t.Skip("YUNCHU_DATA is not set: the shared parameter files are not at hand")
	}
	return filepath.Join(root, "twin", "params")
}

func TestCellSetIsTheReferenceCell(t *testing.T) {
	want, err := params.LoadCell(filepath.Join(dataDir(t), "lfp280_ref.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := params.LoadCell("lfp280_ref")
	if err != nil {
		t.Fatal(err)
	}
	got.Source, want.Source = "", "" // words; the numbers are those of the reference
	if !reflect.DeepEqual(got, want) {
		t.Error("the cell set that ships differs from the reference cell")
	}
}

// The loss of the 100 kW converter against the measured efficiencies its fit was
// made from.
func TestConverterMatchesMeasurement(t *testing.T) {
	src, err := os.ReadFile(filepath.Join(dataDir(t), "pcs.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Measured struct {
			P         []float64 `yaml:"p"`
			Charge    []float64 `yaml:"eta_charge"`
			Discharge []float64 `yaml:"eta_discharge"`
		} `yaml:"sinamics_S120_measured"`
	}
	if err := yaml.Unmarshal(src, &f); err != nil {
		t.Fatal(err)
	}
	m, err := params.LoadModel("ess-100kw-215kwh")
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Measured.P) == 0 {
		t.Fatal("no measurement in the file")
	}
	for i, p := range f.Measured.P {
		if p < 0.05 {
			continue // the fit's no-load factor, which the set leaves out
		}
		loss := func(l params.Loss) float64 { return l.P0 + p*(l.K1+p*l.K2) }
		for _, eta := range []struct {
			name      string
			got, want float64
		}{
			{"charge", (p - loss(m.PCS.Charge)) / p, f.Measured.Charge[i]},
			{"discharge", p / (p + loss(m.PCS.Discharge)), f.Measured.Discharge[i]},
		} {
			if math.Abs(eta.got-eta.want) > 0.008 {
				t.Errorf("%s at p = %g: efficiency %.4f, measured %.4f", eta.name, p, eta.got, eta.want)
			}
		}
	}
}

// read returns the text of a shipped file, to be spoilt.
func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFaultsHaveAPlace(t *testing.T) {
	model, cell := read(t, "ess-100kw-215kwh"), read(t, "lfp280_ref")
	for _, tt := range []struct {
		name, text, old, new string
		want                 []string // each in the message
	}{
		{"unknown key", model, "series: 240", "serries: 240", []string{"m.yaml:9:1: ", "serries"}},
		{"repeated key", model, "parallel: 1", "parallel: 1\nparallel: 2", []string{"m.yaml:11:1: ", "parallel"}},
		{"wrong type", model, "series: 240", "series: many", []string{"m.yaml:9:9: "}},
		{"wrong duration", model, "response_delay: 40ms", "response_delay: 40 parsecs", []string{"m.yaml:23:19: ", "parsecs"}},
		{
			"all faults at once", model, "series: 240\nparallel: 1", "series: 0\nparallel: -1",
			[]string{"m.yaml:9:9: series", "m.yaml:10:11: parallel", "rated_kwh"},
		},
		{"missing part", model, "heat:", "limits2:", []string{"m.yaml:"}},
		{"unknown cell", model, "cell: lfp280_ref", "cell: lfp281", []string{"m.yaml:8:7: cell: ", "lfp281", "lfp280_ref"}},
		{"window turned round", model, "{min: 5, max: 95}", "{min: 95, max: 5}", []string{"limits.soc_percent", "95..5"}},
		{"voltage past the cell", model, "{min: 2.5, max: 3.65}", "{min: 2.4, max: 3.7}", []string{"limits.cell_v", "3.7"}},
		{"broken yaml", model, "pcs:", "pcs: [", []string{"m.yaml:"}},
		{"fractions", cell, "R0: 0.4", "R0: 0.5", []string{"m.yaml:", "resistance.frac: ", "1.1"}},
		{"soc not rising", cell, "soc: [0.0, 0.1, 0.2,", "soc: [0.0, 0.2, 0.1,", []string{"m.yaml:", "entropic.soc", "rising"}},
		{"table lengths", cell, "dUdT_V_per_K: [-0.000490011, ", "dUdT_V_per_K: [", []string{"m.yaml:", "entropic.dUdT_V_per_K", "10 entries, soc has 11"}},
		{"a capacity of no battery", cell, "capacity_Ah: 280.0", "capacity_Ah: 1e-12", []string{"m.yaml:4:14: capacity_Ah: is 1e-12, want a number of 1e-06..1e+06"}},
		{"an activation energy in kJ", cell, "R1: 18000", "R1: 18", []string{"Ea_J_per_mol.R1: is 18", "not kJ"}},
		{"negative capacity", cell, "capacity_Ah: 280.0", "capacity_Ah: -280.0", []string{"m.yaml:4:14: capacity_Ah"}},
		{"limits turned round", cell, "V_max: 3.65", "V_max: 1.65", []string{"m.yaml:7:8: V_max"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spoilt := strings.Replace(tt.text, tt.old, tt.new, 1)
			if spoilt == tt.text {
				t.Fatalf("%q is not in the file", tt.old)
			}
			path := filepath.Join(t.TempDir(), "m.yaml")
			if err := os.WriteFile(path, []byte(spoilt), 0o600); err != nil {
				t.Fatal(err)
			}
			var err error
			if tt.text == model {
				_, err = params.LoadModel(path)
			} else {
				_, err = params.LoadCell(path)
			}
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
}

func TestModelBesideItsCell(t *testing.T) {
	dir := t.TempDir()
	model := strings.Replace(read(t, "ess-100kw-215kwh"), "cell: lfp280_ref", "cell: ./mine.yaml", 1)
	for name, text := range map[string]string{"unit.yaml": model, "mine.yaml": strings.Replace(read(t, "lfp280_ref"), "name: LFP-280-REF", "name: mine", 1)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m, err := params.LoadModel(filepath.Join(dir, "unit.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if m.Cell.Name != "mine" {
		t.Errorf("the cell is %s, want the one beside the model", m.Cell.Name)
	}
	if _, err := params.LoadModel("no-such-model"); err == nil || !strings.Contains(err.Error(), "ess-100kw-215kwh") {
		t.Errorf("error %v does not name the sets that ship", err)
	}
}
