package scenario_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yunchu/harness/scenario"
)

const head = "apiVersion: yunchu/v1\nkind: Scenario\nname: t\nduration: 1h\n"

// TestBounds holds that no file, however made, costs more than a file people
// write: it is refused, and soon.
func TestBounds(t *testing.T) {
	for _, tt := range []struct {
		name, text, want string
	}{
		{"too large", head + strings.Repeat("# padding padding padding\n", 50_000), "the most that is read"},
		{"nested flow", head + "fleet: " + strings.Repeat("[", 200_000), "nested or packed"},
		{"nested mappings", head + "fleet: " + strings.Repeat("{a: ", 100_000), "nested or packed"},
		{"nested dashes", head + "fleet:\n  " + strings.Repeat("- ", 200_000), "nested or packed"},
		{"nested keys", head + strings.Repeat("? ", 200_000), "nested or packed"},
		{"tags", head + "seed: " + strings.Repeat("!!a ", 100_000), "nested or packed"},
		{"anchors", head + "seed: " + strings.Repeat("&a ", 100_000), "nested or packed"},
		{"tokens", head + "fleet:\n" + strings.Repeat("- a\n", 200_000), "nested or packed"},
		{"keys", head + numbered("k%d: 1\n", 60_000), "nested or packed"},
		{"indented keys", head + "site:\n" + numbered("  k%d: 1\n", 60_000), "nested or packed"},
		{"flow keys", head + "site: {" + numbered("k%d: 1, ", 60_000) + "}\n", "nested or packed"},
		{"a large fleet", head + "fleet:\n" + numbered("  - {id: e%d, soc: 50}\n", 20_000) + "x: 1\n", "unknown field \"x\""},
		{"a large block fleet", head + "fleet:\n" + numbered("  - id: e%d\n    soc: 50\n", 20_000) + "x: 1\n", "unknown field \"x\""},
		{"alias bomb", head + "description: &a [x]\n" + bomb(30), "is a text, got a list"},
		{"aliases of a mapping", head + "timeline:\n  - &e {at: 1m, target_kw: 5}\n" + strings.Repeat("  - *e\n", 90_000), "once aliases are followed"},
		{"alias of itself", head + "fleet: &a [*a, *a]\n", "got a"},
		{"many faults", head + "fleet:\n" + strings.Repeat("  - {id: a, zzz: 1}\n", 500), "more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			begin := time.Now()
			_, err := scenario.Parse("bomb.yaml", []byte(tt.text), opt)
			if took := time.Since(begin); took > time.Minute {
				t.Errorf("took %v", took)
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("want a fault with %q, got %.300v", tt.want, err)
			}
			if n := len(err.Error()); n > 100_000 {
				t.Errorf("the report has %d bytes", n)
			}
		})
	}
}

// numbered repeats a line n times with its number.
func numbered(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// bomb doubles a value n times by aliases.
func bomb(n int) string {
	var b strings.Builder
	b.WriteString("fleet:\n  - &a0 {id: a}\n")
	for i := range n {
		fmt.Fprintf(&b, "  - &a%d [*a%d, *a%d]\n", i+1, i, i)
	}
	return b.String()
}

// TestAliases holds that anchors, which YAML has, work.
func TestAliases(t *testing.T) {
	s, err := scenario.Parse("t.yaml", []byte(head+"fleet:\n  - {id: a, soc: &soc {mean: 30}}\n  - {id: b, soc: *soc}\n"), opt)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Fleet[1].SoC.Mean; got != 30 {
		t.Errorf("soc %g, want 30", got)
	}
}

func TestFileThatIsNotThere(t *testing.T) {
	_, err := scenario.Load("testdata/good/minimall.yaml", opt)
	faults, ok := errors.AsType[scenario.Faults](err)
	if !ok || len(faults) != 1 || faults[0].Msg != "no such file" || faults[0].Hint != `did you mean "minimal.yaml" in the same folder?` {
		t.Errorf("got %#v", err)
	}
	if _, err := scenario.Load("testdata", opt); err == nil {
		t.Error("a folder is read as a scenario")
	}
}

// TestPrint holds the form: position and message, the line, a caret under the
// column, the hint.
func TestPrint(t *testing.T) {
	_, err := scenario.Parse("day.yaml", []byte(head+"fleet: [{}]\ndispatch:\n\tstrategy: cost\n"), opt)
	if err == nil || !strings.Contains(err.Error(), "day.yaml:7:1: not valid YAML") {
		t.Errorf("tab: %v", err)
	}
	long := strings.Repeat("x", 300)
	faults := scenario.Faults{
		{Path: "a.yaml", Line: 3, Col: 9, Msg: "wrong", Source: "储能: {a: 1}", Hint: "right"},
		{Path: "a.yaml", Line: 4, Col: 150, Msg: "long", Source: long[:149] + "!" + long},
		{Path: "a.yaml", Msg: "no such file"},
	}
	var b bytes.Buffer
	faults.Print(&b)
	got := strings.Split(b.String(), "\n")
	if got[0] != "a.yaml:3:9: wrong" || got[1] != "    3 | 储能: {a: 1}" || got[2] != "      |           ^" || got[3] != "      right" {
		t.Errorf("printed\n%s", b.String())
	}
	line, caret := []rune(got[5]), []rune(got[6])
	if at := strings.IndexRune(string(caret), '^'); len(line) > 160 || line[at] != '!' {
		t.Errorf("the caret of a long line is off:\n%s\n%s", got[5], got[6])
	}
	if got[7] != "a.yaml: no such file" {
		t.Errorf("without a line: %q", got[7])
	}
}

func TestDecode(t *testing.T) {
	type cell struct {
		Name     string             `yaml:"name" jsonschema:"required"`
		Capacity float64            `yaml:"capacity_ah" jsonschema:"exclusiveMinimum=0"`
		Tables   map[string]float64 `yaml:"tables"`
	}
	var c cell
	if err := scenario.Decode("cell.yaml", []byte("name: a\ncapacity_ah: 2.8e2\ntables: {r: 1e-3}\n"), &c); err != nil || c.Capacity != 280 || c.Tables["r"] != 1e-3 {
		t.Errorf("read %+v, %v", c, err)
	}
	err := scenario.Decode("cell.yaml", []byte("capacity_ah: -1\ncapacty: 5\ntables: {r: x, r: 1}\n"), &c)
	faults, _ := errors.AsType[scenario.Faults](err)
	if len(faults) != 5 {
		t.Errorf("want 5 faults, got\n%v", err)
	}
	if err := scenario.Decode("x", nil, c); err == nil {
		t.Error("a value that cannot be set is accepted")
	}
}

// FuzzParse: whatever is sent, every reader returns; what it accepts it accepts
// again, and what it refuses has a place.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.yaml", "testdata/bad/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		name := filepath.Join("testdata", "good", "fuzz.yaml")
		readers := map[string]func() error{
			"scenario": func() error { _, err := scenario.Parse(name, text, opt); return err },
			"rig":      func() error { _, err := scenario.ParseRig(name, text, opt); return err },
			"config":   func() error { _, err := scenario.ParseConfig(name, text, opt); return err },
			"trace":    func() error { _, err := scenario.ParseTrace(name, text, opt); return err },
			"test":     func() error { _, err := scenario.ParseProcedure(name, text, opt); return err },
		}
		lines := bytes.Count(text, []byte("\n")) + bytes.Count(text, []byte("\r")) + 1
		for kind, parse := range readers {
			err := parse()
			if err == nil {
				continue
			}
			faults, ok := errors.AsType[scenario.Faults](err)
			if !ok || len(faults) == 0 {
				t.Fatalf("%s: not faults: %v", kind, err)
			}
			for _, f := range faults {
				if f.Msg == "" || f.Line < 0 || f.Line > lines || f.Line > 0 && f.Col < 1 {
					t.Fatalf("%s: %+v in %d lines", kind, f, lines)
				}
			}
			_ = faults.Error()
		}
		scenario.KindOf(text)
	})
}

func BenchmarkSeriesAt(b *testing.B) {
	ts, vs := make([]float64, 43200), make([]float64, 43200)
	for i := range ts {
		ts[i], vs[i] = float64(2*i), float64(i)
	}
	s, err := scenario.NewSeries(ts, vs)
	if err != nil {
		b.Fatal(err)
	}
	at := time.Duration(0)
	for b.Loop() {
		if at += 2 * time.Second; at > 24*time.Hour {
			at = 0
		}
		s.At(at)
	}
}

func BenchmarkParse(b *testing.B) {
	text, err := os.ReadFile("testdata/good/regulation-hour.yaml")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := scenario.Parse("testdata/good/regulation-hour.yaml", text, opt); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseMillion(b *testing.B) {
	text := []byte(head + "fleet: [{id: ess, count: 1000000}]\ntimeline: [{at: 1m, fault: {kind: link-down, devices: \"ess-*5\"}}]\n")
	for b.Loop() {
		if _, err := scenario.Parse("t.yaml", text, opt); err != nil {
			b.Fatal(err)
		}
	}
}
