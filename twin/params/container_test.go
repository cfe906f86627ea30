package params_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"yunchu/twin/params"
)

func TestShippedContainers(t *testing.T) {
	if n := len(params.Containers()); n < 3 {
		t.Errorf("%d containers ship, want three or more", n)
	}
	for _, name := range params.Containers() {
		c, err := params.LoadContainer(name)
		if err != nil {
			t.Error(err)
			continue
		}
		sources := map[string]string{"box": c.Box.Source, "air": c.Air.Source, "plant": c.Plant.Source, "control": c.Control.Source}
		if c.Loop != nil {
			sources["loop"] = c.Loop.Source
		}
		for key, source := range sources {
			if source == "" {
				t.Errorf("%s: %s has no source", name, key)
			}
		}
		if c.Name != name {
			t.Errorf("set %s is called %s", name, c.Name)
		}
	}
}

// The presets carry the numbers of the shared parameter file.
func TestContainersAreTheSharedPresets(t *testing.T) {
	src, err := os.ReadFile(filepath.Join(dataDir(t), "container.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	type preset struct {
		L, W, H float64
		Inner   float64 `yaml:"h_inner"`
		Outer   float64 `yaml:"h_outer"`
		Layers  []struct {
			Name          string
			T, K, Rho, Cp float64
		}
	}
	var shared struct {
		Twenty preset `yaml:"twenty_ft"`
		Forty  preset `yaml:"forty_ft"`
		Air    struct{ Rho, Cp float64 }
		HVAC   struct {
			Cool float64 `yaml:"COP_cooling"`
			Heat float64 `yaml:"COP_heating"`
		}
	}
	// The file spells the keys of a preset in capitals.
	text := strings.NewReplacer("  L:", "  l:", "  W:", "  w:", "  H:", "  h:").Replace(string(src))
	if err := yaml.Unmarshal([]byte(text), &shared); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]preset{"container-20ft-hvac": shared.Twenty, "container-40ft-hvac": shared.Forty} {
		c, err := params.LoadContainer(name)
		if err != nil {
			t.Fatal(err)
		}
		b := c.Box
		got := []float64{b.Length, b.Width, b.Height, b.FilmInner, b.FilmOuter, c.Air.Density, c.Air.Cp, c.Plant.CopCool.COP[0], c.Plant.CopHeat.COP[0]}
		all := []float64{want.L, want.W, want.H, want.Inner, want.Outer, shared.Air.Rho, shared.Air.Cp, shared.HVAC.Cool, shared.HVAC.Heat}
		for i, l := range []params.WallLayer{b.Inner, b.Middle, b.Outer} {
			w := want.Layers[i]
			got = append(got, l.Thickness, l.Conductivity, l.Density, l.Cp)
			all = append(all, w.T, w.K, w.Rho, w.Cp)
			if l.Material != w.Name {
				t.Errorf("%s: layer %d is of %s, want %s", name, i, l.Material, w.Name)
			}
		}
		for i, v := range all {
			if v == 0 || math.Abs(got[i]/v-1) > 1e-12 {
				t.Errorf("%s: number %d is %g, want %g", name, i, got[i], v)
			}
		}
	}
}

func TestContainerFaults(t *testing.T) {
	hvac, liquid := readThermal(t, "container-20ft-hvac"), readThermal(t, "container-20ft-liquid")
	for _, tt := range []struct{ name, text, old, new, want string }{
		{"unknown key", hvac, "width_m", "wide_m", "c.yaml:7:3: "},
		{"kind", hvac, "kind: Container", "kind: Box", "kind: "},
		{"geometry", hvac, "length_m: 5.9", "length_m: -5.9", "c.yaml:6:13: box.length_m"},
		{"layer", hvac, "conductivity_w_per_mk: 0.022", "conductivity_w_per_mk: 0", "box.middle.conductivity_w_per_mk"},
		{"table lengths", liquid, "cop: [5.0, 4.0, 2.9, 2.3]", "cop: [5.0, 4.0, 2.9]", "plant.cop_cool"},
		{"table order", liquid, "ambient_c: [15, 25, 35, 45]", "ambient_c: [15, 35, 25, 45]", "plant.cop_cool.ambient_c"},
		{"efficiency", liquid, "cop: [1.0]", "cop: [0]", "plant.cop_heat.cop"},
		{"still", liquid, "still_ratio: 0.02", "still_ratio: 2", "plant.still_ratio"},
		{"threshold", hvac, "threshold_k: 5", "threshold_k: 0", "control.threshold_k"},
		{"control", hvac, "kind: thermostat", "kind: magic", "control.kind"},
		{"heating above cooling", liquid, "heat_set_c: 12", "heat_set_c: 20", "control.heat_set_c"},
		{"kelvin for celsius", liquid, "set_c: 18", "set_c: 291", "control.set_c"},
		{"flow", liquid, "flow_w_per_k: 27200", "flow_w_per_k: 0", "loop.flow_w_per_k"},
	} {
		spoilt := strings.Replace(tt.text, tt.old, tt.new, 1)
		if spoilt == tt.text {
			t.Fatalf("%s: %q is not in the file", tt.name, tt.old)
		}
		if _, err := params.ParseContainer("c.yaml", []byte(spoilt)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v does not say %q", tt.name, err, tt.want)
		}
	}
	if _, err := params.LoadContainer("no-such-container"); err == nil || !strings.Contains(err.Error(), "container-20ft-liquid") {
		t.Errorf("error %v does not name the sets that ship", err)
	}
	path := filepath.Join(t.TempDir(), "mine.yaml")
	if err := os.WriteFile(path, []byte(hvac), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := params.LoadContainer(path); err != nil {
		t.Error(err)
	}
}

// readThermal returns the text of a shipped file, to be spoilt.
func readThermal(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("thermal", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
