package scenario_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
