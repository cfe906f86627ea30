package schema_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yunchu/harness/scenario"
	"yunchu/harness/scenario/schema"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func compile(t *testing.T, kind string) *jsonschema.Schema {
	t.Helper()
	text, err := schema.New().JSON(kind)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(kind+".json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(kind + ".json")
	if err != nil {
		t.Fatalf("the schema of %s does not compile: %v", kind, err)
	}
	return s
}

// document reads YAML into what a JSON Schema validator takes.
func document(t *testing.T, text []byte) any {
	t.Helper()
	data, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestGoodFilesAgree: what the reader accepts, the schema accepts.
func TestGoodFilesAgree(t *testing.T) {
	files, _ := filepath.Glob("../testdata/good/*.yaml")
	if len(files) == 0 {
		t.Fatal("no files")
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			kind := strings.ToLower(scenario.KindOf(text))
			if err := compile(t, kind).Validate(document(t, text)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestBadFilesAgree: what is wrong with a single key, the schema refuses too.
func TestBadFilesAgree(t *testing.T) {
	for _, name := range []string{
		"unknown-fields", "wrong-types", "durations", "impossible-rated", "checks", "load-api", "required", "required-fleet",
		"strategy-model", "version-kind", "names", "rig-missing", "trace-required", "target", "target-empty", "scores",
	} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile("../testdata/bad/" + name + ".yaml")
			if err != nil {
				t.Fatal(err)
			}
			kind := strings.ToLower(scenario.KindOf(text))
			if kind != "rig" && kind != "trace" {
				kind = "scenario"
			}
			if err := compile(t, kind).Validate(document(t, text)); err == nil {
				t.Error("the schema accepts it")
			}
		})
	}
}

// TestDescribed: every key says what it is, so that editors can show it.
func TestDescribed(t *testing.T) {
	for _, kind := range schema.New().Kinds() {
		text, err := schema.New().JSON(kind)
		if err != nil {
			t.Fatal(err)
		}
		var doc map[string]any
		if err := json.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		if doc["$schema"] != "https://json-schema.org/draft/2020-12/schema" {
			t.Errorf("%s is written in %v", kind, doc["$schema"])
		}
		defs, _ := doc["$defs"].(map[string]any)
		for name, d := range defs {
			described(t, kind+" "+name, d)
		}
		described(t, kind, doc)
	}
}

func described(t *testing.T, where string, def any) {
	t.Helper()
	m, _ := def.(map[string]any)
	props, _ := m["properties"].(map[string]any)
	for key, p := range props {
		if text, _ := p.(map[string]any)["description"].(string); text == "" {
			t.Errorf("%s: %s has no description", where, key)
		}
	}
}

func TestRegister(t *testing.T) {
	type report struct {
		Scenario string  `json:"scenario"`
		Speed    float64 `json:"speed" doc:"simulated time / wall time"`
	}
	s := schema.New()
	for _, kind := range []string{"report", "profile", "rules", "nonsense"} {
		if _, err := s.JSON(kind); !errors.Is(err, schema.ErrNoKind) {
			t.Errorf("%s: %v, want ErrNoKind", kind, err)
		}
	}
	s.Register("report", &report{})
	text, err := s.JSON("report")
	if err != nil || !strings.Contains(string(text), `"speed"`) || !strings.Contains(string(text), "simulated time / wall time") {
		t.Errorf("%s, %v", text, err)
	}
	if got := fmt.Sprint(s.Kinds()); got != "[scenario config rig trace procedure load report]" {
		t.Errorf("kinds %s", got)
	}
}
