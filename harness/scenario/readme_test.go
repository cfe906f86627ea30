package scenario_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"yunchu/harness/scenario"
	"yunchu/harness/scenario/schema"
)

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestReadmeExamples: every example of the README is a file that can be run.
func TestReadmeExamples(t *testing.T) {
	opt := opt
	opt.FS = fstest.MapFS{
		"inputs/site.csv":  {Data: []byte("t_s,load_kw,regd\n0,500,0.5\n2,510,-0.5\n")},
		"cell.yaml":        {Data: []byte("name: cell\n")},
		"case.profile.csv": {Data: []byte("t_s,current_a\n0,10\n60,0\n")},
	}
	blocks := strings.Split(readme(t), "```yaml\n")[1:]
	if len(blocks) < 6 {
		t.Fatalf("only %d examples", len(blocks))
	}
	kinds := map[string]int{}
	for _, b := range blocks {
		text, _, _ := strings.Cut(b, "```")
		kinds[scenario.KindOf([]byte(text))]++
		if err := read("README.md", []byte(text), opt); err != nil {
			t.Error(err)
		}
	}
	for _, k := range []string{"Scenario", "Rig", "Config", "Trace", "Procedure", "Load"} {
		if kinds[k] == 0 {
			t.Errorf("no example of a %s", k)
		}
	}
}

// TestReadmeIsComplete: whatever can be written is in the README.
func TestReadmeIsComplete(t *testing.T) {
	text := readme(t)
	for _, k := range scenario.FaultKinds() {
		if !strings.Contains(text, "`"+k.Name+"`") {
			t.Errorf("the fault %s is missing", k.Name)
		}
		for p := range strings.FieldsSeq(k.Params) {
			if p = strings.Replace(p, "=", ": ", 1); !strings.Contains(text, p) {
				t.Errorf("the default %s of %s is missing", p, k.Name)
			}
		}
	}
	for _, m := range scenario.Metrics() {
		row := "| `" + strings.ReplaceAll(m.Name, "<load>", "NAME") + "` |"
		if !slices.ContainsFunc(strings.Split(text, "\n"), func(l string) bool {
			return strings.HasPrefix(l, row) && strings.Contains(l, "| "+m.Stat+" |")
		}) {
			t.Errorf("the metric %s with its default stat %s is missing", m.Name, m.Stat)
		}
	}
	for _, m := range scenario.TestMetrics() {
		row := "| `" + m.Name + "` | " + m.Unit + " | " + strings.Join(m.Kinds, ", ") + " | " + m.Doc + " |"
		if !strings.Contains(text, row) {
			t.Errorf("the metric of tests %s is missing, or differs: %s", m.Name, row)
		}
	}
	for _, c := range append(scenario.CheckNames(), scenario.Stats()...) {
		if !strings.Contains(text, c) {
			t.Errorf("%s is missing", c)
		}
	}
	for _, kind := range schema.New().Kinds() {
		data, err := schema.New().JSON(kind)
		if err != nil {
			t.Fatal(err)
		}
		var doc any
		if err := json.Unmarshal(data, &doc); err != nil {
			t.Fatal(err)
		}
		for _, key := range keys(doc) {
			if !strings.Contains(text, key) {
				t.Errorf("the key %s of %s is missing", key, kind)
			}
		}
	}
}

// keys are the names of all properties of a schema.
func keys(doc any) (found []string) {
	switch x := doc.(type) {
	case map[string]any:
		for name, v := range x {
			if props, ok := v.(map[string]any); ok && name == "properties" {
				for key := range props {
					found = append(found, key)
				}
			}
			found = append(found, keys(v)...)
		}
	case []any:
		for _, v := range x {
			found = append(found, keys(v)...)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}
