package params_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"yunchu/twin/params"
)

// folder puts files into a folder of their own, and answers with its path.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func shippedFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func change(t *testing.T, text string, oldNew ...string) string {
	t.Helper()
	for i := 0; i < len(oldNew); i += 2 {
		if !strings.Contains(text, oldNew[i]) {
			t.Fatalf("%q is not in the file", oldNew[i])
		}
		text = strings.Replace(text, oldNew[i], oldNew[i+1], 1)
	}
	return text
}

// block is the model of single cells, changed.
func block(t *testing.T, oldNew ...string) string {
	return change(t, read(t, "ess-1500kw-3mwh"), oldNew...)
}

const gridLine = "grid: {transformer: transformers-eu548-tier2, auxiliary: auxiliary-pcs-250kva}"

// TestSetsBesideTheModel names converter, transformers and auxiliaries by a path beside
// the model file, from another working folder.
func TestSetsBesideTheModel(t *testing.T) {
	dir := folder(t, map[string]string{
		"conv.yaml": shippedFile(t, "pcs/cec-333kw-surface.yaml"),
		"tr.yaml":   change(t, shippedFile(t, "pcs/transformers-eu548-tier2.yaml"), "{kva: 1600, no_load_w: 1080", "{kva: 1600, no_load_w: 1234"),
		"aux.yaml":  change(t, shippedFile(t, "pcs/auxiliary-pcs-250kva.yaml"), "constant_w: 150", "constant_w: 321"),
		"m.yaml": block(t, gridLine, "grid: {transformer: tr.yaml, auxiliary: aux.yaml}",
			"  charge: {p0: 0.007701864, k1: 0, k2: 0.017290859}\n", "", "  discharge: {p0: 0.00551158, k1: 0, k2: 0.018772838}\n", "  losses: conv.yaml\n"),
	})
	m, err := params.LoadModel(filepath.Join(dir, "m.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if m.Converter == nil || m.Converter.Table == nil || m.Transformer.NoLoadW != 1234 || m.Auxiliary.ConstantW != 321 {
		t.Errorf("converter %v, transformer %v, auxiliary %v", m.Converter, m.Transformer, m.Auxiliary)
	}
	if err := m.Complete(); err != nil {
		t.Error(err)
	}
	m.Converter = nil
	if err := m.Complete(); err == nil {
		t.Error("a model whose converter was not loaded is complete")
	}
}

// TestFaultsOfSetsThatAModelNames holds that each has its place: in the file that names
// what is not there, else in the file that is wrong.
func TestFaultsOfSetsThatAModelNames(t *testing.T) {
	for _, tt := range []struct {
		name, old, new, file, key, msg string
	}{
		{"no converter", "  standby_w: 800", "  losses: nosuch\n  standby_w: 800", "m.yaml", "pcs.losses", `stands beside`},
		{"no transformers", "transformer: transformers-eu548-tier2", "transformer: nosuch", "m.yaml", "grid.transformer", `is "nosuch"`},
		{"no auxiliary", "auxiliary: auxiliary-pcs-250kva", "auxiliary: nosuch.yaml", "m.yaml", "grid.auxiliary", `is "nosuch.yaml"`},
		{"none carries it", "transformer: transformers-eu548-tier2", "transformer: small.yaml", "m.yaml", "grid.transformer", "none carries 1500 kVA"},
		{"wrong inside", "auxiliary: auxiliary-pcs-250kva", "auxiliary: bad.yaml", "bad.yaml", "rated_kva", "want a number above 0"},
		{"no container", "container: container-20ft-liquid", "container: nosuch", "m.yaml", "container", `is "nosuch"`},
		{"no management", "bms: lfp280-rack", "bms: nosuch", "m.yaml", "strings.bms", `is "nosuch"`},
		{"no runaway", "runaway: runaway-lfp", "runaway: nosuch", "m.yaml", "strings.runaway", `is "nosuch"`},
		{"no separator", "runaway: runaway-lfp", "runaway: runaway-lco", "m.yaml", "strings.runaway", "a separator that fails"},
		{"no cell", "cell: lfp280_ref", "cell: nosuch", "m.yaml", "cell", `is "nosuch"`},
		{"a heat sink for nothing", "container: container-20ft-liquid", "container: container-20ft-hvac", "m.yaml", "strings.coolant_w_per_k", "no coolant loop"},
		{"spread of capacity", "capacity: 0.5", "capacity: 60", "m.yaml", "strings.spread_percent.capacity", "want 0..20"},
		{"spread of resistance", "resistance: 2", "resistance: 21", "m.yaml", "strings.spread_percent.resistance", "want 0..20"},
		{"spread of charge", "soc: 0.5", "soc: 30", "m.yaml", "strings.spread_percent.soc", "want 0..20"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := folder(t, map[string]string{
				"small.yaml": change(t, shippedFile(t, "pcs/transformers-eu548-tier2.yaml"), "{kva: 1600", "{kva: 1400", "{kva: 2000", "{kva: 1410", "{kva: 2500", "{kva: 1420", "{kva: 3150", "{kva: 1430"),
				"bad.yaml":   change(t, shippedFile(t, "pcs/auxiliary-pcs-250kva.yaml"), "rated_kva: 250", "rated_kva: -1"),
				"m.yaml":     block(t, tt.old, tt.new),
			})
			_, err := params.LoadModel(filepath.Join(dir, "m.yaml"))
			f, ok := errors.AsType[*params.Fault](err)
			if !ok || f.Key != tt.key || filepath.Base(f.File) != tt.file || f.Line < 2 || !strings.Contains(f.Msg, tt.msg) {
				t.Errorf("%v, want %s: %s in %s, with its line", err, tt.key, tt.msg, tt.file)
			}
		})
	}
}

// TestRestHasASource lets a converter's rest say where its numbers come from.
func TestRestHasASource(t *testing.T) {
	m, err := pcsBlock(t, false, `rest: {source: "assumption: like its neighbours", idle_w: 400, standby_after: 5m, wake_up: 10s}`)
	if err != nil || m.PCS.Rest.Source == "" {
		t.Errorf("%v", err)
	}
}

// TestNumbersHaveSources walks all files that ship: whatever holds a number has a source
// of its own or stands in something that has.
func TestNumbersHaveSources(t *testing.T) {
	n := 0
	for _, pattern := range []string{"*.yaml", "pcs/*.yaml", "bms/*.yaml", "thermal/*.yaml", "aging/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			var tree map[string]any
			if err := yaml.Unmarshal([]byte(shippedFile(t, file)), &tree); err != nil {
				t.Fatal(err)
			}
			n++
			for _, key := range unsourced("", tree) {
				t.Errorf("%s: %s has no source", file, key)
			}
		}
	}
	if n < 20 {
		t.Errorf("%d files seen: the test looks at the wrong folder", n)
	}
}

func unsourced(at string, m map[string]any) (keys []string) {
	for _, key := range []string{"source", "sources"} {
		if m[key] != nil {
			return nil
		}
	}
	for key, v := range m {
		switch v := v.(type) {
		case map[string]any:
			keys = append(keys, unsourced(at+key+".", v)...)
		case uint64, int64, float64, []any:
			keys = append(keys, at+key)
		}
	}
	return keys
}
