package scenario_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"yunchu/harness/scenario"
)

var update = flag.Bool("update", false, "write what is reported into testdata/bad/*.want; review it")

// read reads a file as the kind it says it is.
func read(name string, text []byte, opt scenario.Options) error {
	var err error
	switch scenario.KindOf(text) {
	case "Rig":
		if strings.Contains(name, "other-kind") {
			_, err = scenario.Parse(name, text, opt)
			return err
		}
		_, err = scenario.ParseRig(name, text, opt)
	case "Config":
		_, err = scenario.ParseConfig(name, text, opt)
	case "Load":
		_, err = scenario.ParseLoad(name, text, opt)
	case "Procedure":
		_, err = scenario.ParseProcedure(name, text, opt)
	case "Trace":
		_, err = scenario.ParseTrace(name, text, opt)
	default:
		_, err = scenario.Parse(name, text, opt)
	}
	return err
}

// TestBadFiles holds what is reported for every kind of wrong file against
// testdata/bad/*.want: all faults of the file, in order, with line, caret and
// hint, as a user sees them.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			err = read(file, text, opt)
			faults, ok := errors.AsType[scenario.Faults](err)
			if !ok || len(faults) == 0 {
				t.Fatalf("accepted: %v", err)
			}
			for i, f := range faults {
				if f.Path != file && filepath.Ext(f.Path) != ".csv" || f.Msg == "" || f.Line < 1 || f.Col < 1 {
					t.Errorf("fault without place: %+v", f)
				}
				if i > 0 && f.Path == faults[i-1].Path && (f.Line < faults[i-1].Line || f.Line == faults[i-1].Line && f.Col < faults[i-1].Col) {
					t.Errorf("line %d:%d comes after %d:%d", f.Line, f.Col, faults[i-1].Line, faults[i-1].Col)
				}
			}
			want := strings.TrimSuffix(file, ".yaml") + ".want"
			var got bytes.Buffer
			faults.Print(&got)
			if *update {
				if err := os.WriteFile(want, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			expected, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), expected) {
				t.Errorf("reported:\n%s\nwant:\n%s", got.Bytes(), expected)
			}
		})
	}
}

// TestTwoLimitsOverOneGlob: they are told to overlap, and neither to be empty.
func TestTwoLimitsOverOneGlob(t *testing.T) {
	t.Parallel()
	_, err := scenario.Parse("x.yaml", []byte(`apiVersion: yunchu/v1
kind: Scenario
name: x
duration: 1h
fleet: [{id: ess, count: 2, device: sim, model: ess-100kw-215kwh}]
dispatch:
  limits:
    - {name: a, devices: "ess*", import_kw: 10}
    - {name: b, devices: "ess*", import_kw: 20}
`), scenario.Options{})
	faults, ok := errors.AsType[scenario.Faults](err)
	if !ok || len(faults) != 1 || !strings.Contains(faults[0].Msg, "device ess-001 is behind both a and b") {
		t.Errorf("%v", err)
	}
}

// TestBadCellOfASeries: what is wrong in a CSV is told with its line, its column and what to write.
func TestBadCellOfASeries(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ rows, want, hint string }{
		{"2026-01-01T00:00:00Z,x\n", `target.csv:2:22: "x" in column target_kw is not a number`, "write a number"},
		{"noon,1\n", `target.csv:2:1: "noon" in column time is neither seconds nor an instant`, "2026-01-01T00:00:00Z"},
		{"2026-01-01T00:00:00Z,1\n2026-01-01T00:00:00Z,2\n", "target.csv:3:1: time 2026-01-01T00:00:00Z does not come after the row before", "sort the rows"},
		{"2026-01-01T00:00:00Z,1,2\n", "target.csv:2:", "as many fields as the first line, 2"},
	} {
		files := fstest.MapFS{
			"x.yaml":     {Data: []byte("apiVersion: yunchu/v1\nkind: Scenario\nname: x\nstart: 2026-01-01T00:00:00Z\nduration: 1h\nfleet: [{id: a, device: sim, model: ess-100kw-215kwh}]\ndispatch: {target: {csv: target.csv, time: time, column: target_kw}}\n")},
			"target.csv": {Data: []byte("time,target_kw\n" + tt.rows)},
		}
		_, err := scenario.Load("x.yaml", scenario.Options{FS: files})
		faults, ok := errors.AsType[scenario.Faults](err)
		if !ok || len(faults) != 1 || !strings.Contains(faults[0].Msg, tt.want) || !strings.Contains(faults[0].Hint, tt.hint) {
			t.Errorf("%q: %v, want %s, hint %s", tt.rows, err, tt.want, tt.hint)
		}
	}
}
