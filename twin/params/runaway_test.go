package params_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"yunchu/twin/params"
)

func TestShippedRunaways(t *testing.T) {
	if n := len(params.Runaways()); n < 2 {
		t.Errorf("%d runaway sets ship, want two or more", n)
	}
	for _, name := range params.Runaways() {
		r, err := params.LoadRunaway(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if r.Name != name || r.Source == "" {
			t.Errorf("set %s is called %s, from %q", name, r.Name, r.Source)
		}
	}
	lfp, err := params.LoadRunaway("runaway-lfp")
	if err != nil {
		t.Fatal(err)
	}
	if lfp.Positive.Status != "unverified" {
		t.Errorf("the iron phosphate row is %s: it was not checked against its papers", lfp.Positive.Status)
	}
}

// The sets carry the numbers of the shared parameter file.
func TestRunawaysAreTheSharedKinetics(t *testing.T) {
	src, err := os.ReadFile(filepath.Join(dataDir(t), "thermal_runaway.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		A      float64 `yaml:"A"`
		Ea     float64 `yaml:"Ea"`
		H      float64 `yaml:"H_J_per_kg"`
		W      float64 `yaml:"W_kg_per_m3"`
		C0     float64 `yaml:"c0"`
		Alpha0 float64 `yaml:"alpha0"`
		TSei0  float64 `yaml:"t_sei0"`
	}
	var shared struct {
		Kim struct {
			SEI         row `yaml:"sei"`
			Negative    row `yaml:"negative_electrolyte"`
			Positive    row `yaml:"positive_electrolyte"`
			Electrolyte row `yaml:"electrolyte"`
		} `yaml:"kim2007_hatchard2001_LCO"`
		LFP row `yaml:"lfp_cathode"`
	}
	if err := yaml.Unmarshal(src, &shared); err != nil {
		t.Fatal(err)
	}
	kim := shared.Kim
	lfpPositive := shared.LFP
	lfpPositive.W, lfpPositive.Alpha0 = kim.Positive.W, kim.Positive.Alpha0
	for name, positive := range map[string]row{"runaway-lco": kim.Positive, "runaway-lfp": lfpPositive} {
		r, err := params.LoadRunaway(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range []struct {
			name string
			got  params.RunawayReaction
			want row
		}{{"sei", r.SEI, kim.SEI}, {"negative", r.Negative, kim.Negative}, {"positive", r.Positive, positive}, {"electrolyte", r.Electrolyte, kim.Electrolyte}} {
			g, w := x.got, x.want
			if g.A != w.A || g.Ea != w.Ea || g.Heat != w.H || g.Content != w.W || g.Initial != w.C0+w.Alpha0 {
				t.Errorf("%s: %s is %+v, want %+v", name, x.name, g, w)
			}
		}
		if r.Film != kim.Negative.TSei0 {
			t.Errorf("%s: film %g, want %g", name, r.Film, kim.Negative.TSei0)
		}
	}
}

func TestRunawayFaults(t *testing.T) {
	text := readThermal(t, "runaway-lfp")
	for _, tt := range []struct{ name, old, new, want string }{
		{"unknown key", "film: 0.033", "layer: 0.033", "r.yaml:14:1: "},
		{"kind", "kind: Runaway", "kind: Fire", "kind: "},
		{"status", "status: unverified", "status: sure", "positive.status"},
		{"rate", "a_per_s: 2.0e8", "a_per_s: -2.0e8", "positive.a_per_s"},
		{"fraction", "initial: 0.75", "initial: 1.75", "negative.initial"},
		{"share", "share: 0.5", "share: 50", "short.share"},
		{"kelvin for ohm", "ohm: 0.001", "ohm: 0", "separator.ohm"},
		{"cold watch", "temp_c: 70", "temp_c: 7", "watch.temp_c"},
		{"no heater", "power_w: 2000", "power_w: 0", "heater.power_w"},
		{"cold vent", "temp_c: 180", "temp_c: 18", "vent.temp_c"},
	} {
		spoilt := strings.Replace(text, tt.old, tt.new, 1)
		if spoilt == text {
			t.Fatalf("%s: %q is not in the file", tt.name, tt.old)
		}
		if _, err := params.ParseRunaway("r.yaml", []byte(spoilt)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v does not say %q", tt.name, err, tt.want)
		}
	}
	path := filepath.Join(t.TempDir(), "mine.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := params.LoadRunaway(path); err != nil {
		t.Error(err)
	}
	if _, err := params.LoadRunaway("no-such-set"); err == nil || !strings.Contains(err.Error(), "runaway-lco") {
		t.Errorf("error %v does not name the sets that ship", err)
	}
}
