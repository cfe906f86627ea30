package params_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"yunchu/twin/params"
)

func TestConverterSets(t *testing.T) {
	names := params.Converters()
	if len(names) < 10 {
		t.Errorf("%d converter sets ship: %v", len(names), names)
	}
	for _, name := range names {
		c, err := params.LoadConverter(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if c.Name != name {
			t.Errorf("set %s is called %s", name, c.Name)
		}
	}
	if _, err := params.LoadConverter("no-such-set"); err == nil || !strings.Contains(err.Error(), "sinamics-s120-table") {
		t.Errorf("error %v does not name the sets that ship", err)
	}
	for _, name := range params.Auxiliaries() {
		if _, err := params.LoadAuxiliary(name); err != nil {
			t.Error(err)
		}
	}
}

// The constants are those of the shared facts.
func TestConverterConstants(t *testing.T) {
	src, err := os.ReadFile(filepath.Join(dataDir(t), "pcs.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	type loss struct{ P0, K float64 }
	type pair struct{ Charge, Discharge loss }
	var f struct {
		Notton      map[string]loss                  `yaml:"notton"`
		Datasheet   loss                             `yaml:"bonfiglioli_TL4Q_datasheet"`
		Bonfiglioli pair                             `yaml:"bonfiglioli_TL4Q_field"`
		Sungrow     pair                             `yaml:"sungrow_SC1000TL_field"`
		Fit         struct{ K0, K1, K2, M0 float64 } `yaml:"sinamics_S120_fit"`
		Measured    struct {
			P         []float64 `yaml:"p"`
			Charge    []float64 `yaml:"eta_charge"`
			Discharge []float64 `yaml:"eta_discharge"`
		} `yaml:"sinamics_S120_measured"`
	}
	if err := yaml.UnmarshalWithOptions(src, &f, yaml.CustomUnmarshaler(func(l *loss, b []byte) error {
		var x struct {
			P0 float64 `yaml:"P0"`
			K  float64 `yaml:"K"`
		}
		err := yaml.Unmarshal(b, &x)
		*l = loss(x)
		return err
	})); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]pair{
		"notton-type1": {f.Notton["type1"], f.Notton["type1"]}, "notton-type2": {f.Notton["type2"], f.Notton["type2"]},
		"notton-type3":               {f.Notton["type3"], f.Notton["type3"]},
		"bonfiglioli-tl4q-datasheet": {f.Datasheet, f.Datasheet}, "bonfiglioli-tl4q-field": f.Bonfiglioli,
		"sungrow-sc1000tl-field": f.Sungrow,
	} {
		c, err := params.LoadConverter(name)
		if err != nil {
			t.Fatal(err)
		}
		got := pair{loss{c.Charge.P0, c.Charge.K2}, loss{c.Discharge.P0, c.Discharge.K2}}
		if got != want || want.Charge.P0 == 0 || !c.Charge.Divide {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	fit, err := params.LoadConverter("sinamics-s120-fit")
	if err != nil {
		t.Fatal(err)
	}
	if want := (params.Loss{P0: f.Fit.K0, K1: f.Fit.K1, K2: f.Fit.K2, M0: f.Fit.M0}); *fit.Charge != want || *fit.Discharge != want {
		t.Errorf("sinamics-s120-fit: %+v and %+v, want %+v", *fit.Charge, *fit.Discharge, want)
	}
	table, err := params.LoadConverter("sinamics-s120-table")
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range f.Measured.P {
		if table.Table.Power[i] != p || table.Table.Charge[0][i] != f.Measured.Charge[i] || table.Table.Discharge[0][i] != f.Measured.Discharge[i] {
			t.Errorf("sinamics-s120-table: entry %d differs", i+1)
		}
	}
}

// Commission Regulation (EU) 548/2014, table I.1, tier 2.
func TestTransformers(t *testing.T) {
	s, err := params.LoadTransformers("transformers-eu548-tier2")
	if err != nil {
		t.Fatal(err)
	}
	for kva, want := range map[float64][3]float64{700: {1000, 693, 7600}, 1600: {1600, 1080, 12000}, 2400: {2500, 1575, 18500}, 3150: {3150, 1980, 23000}} {
		r, err := s.Rated(kva)
		if err != nil {
			t.Fatal(err)
		}
		if got := [3]float64{r.KVA, r.NoLoadW, r.LoadW}; got != want {
			t.Errorf("for %g kVA: %v, want %v", kva, got, want)
		}
	}
	if _, err := s.Rated(4000); err == nil {
		t.Error("a transformer of 4000 kVA")
	}
}

// pcsBlock is the pcs block of a model file, with lines added to it.
func pcsBlock(t *testing.T, drop bool, add ...string) (*params.Model, error) {
	t.Helper()
	text := read(t, "ess-100kw-215kwh")
	if drop {
		for _, side := range []string{"charge", "discharge"} {
			text = strings.Replace(text, "  "+side+": {p0: 0.00601144, k1: 0.00863612, k2: 0.01195589}\n", "", 1)
		}
	}
	text = strings.Replace(text, "  standby_w: 60\n", "  standby_w: 60\n  "+strings.Join(add, "\n  ")+"\n", 1)
	path := filepath.Join(t.TempDir(), "m.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return params.LoadModel(path)
}

func TestOptionsOfTheConverter(t *testing.T) {
	m, err := pcsBlock(t, true, "losses: cec-333kw-surface",
		"rest: {idle_w: 400, standby_after: 5m, wake_up: 10s, off_after: 2h, off_w: 15, start_up: 60s}",
		"capability: {s: 1.1, charge: 1, discharge: 1, absorb: 0.6, inject: 0.6, dc_v: [600, 700], share: [0.8, 1], air_c: {full_to: 45, max: 60}}")
	if err != nil {
		t.Fatal(err)
	}
	if p := m.PCS; p.Losses != "cec-333kw-surface" || time.Duration(p.Rest.StandbyAfter) != 5*time.Minute || p.Capability.AirC.Max != 60 {
		t.Errorf("%+v", p)
	}
	m, err = pcsBlock(t, true, "table:", "  power: [0.5, 1]", "  eta_charge: [[0.97, 0.96]]", "  eta_discharge: [[0.97, 0.96]]")
	if err != nil || m.PCS.Table.Charge[0][1] != 0.96 {
		t.Errorf("%+v, %v", m, err)
	}
	m, err = params.LoadModel("ess-100kw-215kwh")
	if err != nil || m.PCS.Rest != nil || m.PCS.Capability != nil || m.PCS.Table != nil || m.PCS.Losses != "" {
		t.Errorf("%+v, %v: the options are not asked for", m.PCS, err)
	}
}

func TestFaultsOfTheConverter(t *testing.T) {
	for _, tt := range []struct {
		name string
		drop bool
		add  []string
		want string
	}{
		{"no such set", true, []string{"losses: nothing"}, "pcs.losses: is \"nothing\""},
		{"two sources", false, []string{"losses: notton-type2"}, "pcs.losses: stands beside"},
		{"table too short", true, []string{"table: {power: [0.5, 1], eta_charge: [[0.9]], eta_discharge: [[0.9, 0.9]]}"}, "pcs.table.eta_charge: row 1 has 1 entries"},
		{"efficiency above 1", true, []string{"table: {power: [0.5, 1], eta_charge: [[0.9, 1.1]], eta_discharge: [[0.9, 0.9]]}"}, "pcs.table.eta_charge: row 1 entry 2"},
		{"power that falls", true, []string{"table: {power: [0.5, 0.6], eta_charge: [[0.9, 0.5]], eta_discharge: [[0.9, 0.9]]}"}, "DC power falls"},
		{"voltage outside", true, []string{"table: {power: [0.5, 1], dc_v: [700], nominal_v: 800, eta_charge: [[0.9, 0.9]], eta_discharge: [[0.9, 0.9]]}"}, "pcs.table.nominal_v"},
		{"off before standby", false, []string{"rest: {standby_after: 5m, off_after: 1m}"}, "pcs.rest.off_after"},
		{"idle too thirsty", false, []string{"rest: {idle_w: 20000}"}, "pcs.rest.idle_w"},
		{"no apparent power", false, []string{"capability: {charge: 1, discharge: 1}"}, "pcs.capability.s"},
		{"share without voltage", false, []string{"capability: {s: 1, charge: 1, discharge: 1, share: [1]}"}, "pcs.capability.share"},
		{"air turned round", false, []string{"capability: {s: 1, charge: 1, discharge: 1, air_c: {full_to: 60, max: 45}}"}, "pcs.capability.air_c"},
		{"divides both ways", true, []string{"charge: {p0: 0.01, divide: true}", "discharge: {p0: 0.01, divide: true}"}, "pcs.discharge.divide"},
		{"loss rises faster than power", true, []string{"charge: {p0: 0.02, m0: 97}"}, "pcs.charge.m0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := pcsBlock(t, tt.drop, tt.add...)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want one with %q", err, tt.want)
			}
			var f *params.Fault
			if !errors.As(err, &f) || f.Line < 2 {
				t.Errorf("no place in %v", err)
			}
		})
	}
}
