package accept

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/harness/scenario"
	"yunchu/scenarios"
)

// procedures are all that ship.
func procedures(t *testing.T) (list []*scenario.Procedure) {
	t.Helper()
	files, err := fs.Glob(scenarios.Files, "accept/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		p, err := scenario.LoadProcedure(filepath.ToSlash(f), scenario.Options{FS: scenarios.Files})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

// TestLimitsInTimeCanBeFailed: whatever must be there within a time is watched for longer, in
// the short form too, with some room for the distance of samples: who never gets there has
// failed, and is not inconclusive.
func TestLimitsInTimeCanBeFailed(t *testing.T) {
	const room = 3 * 50 * time.Millisecond
	for _, p := range procedures(t) {
		for _, short := range []bool{false, true} {
			g, err := Compile(p, 100, short)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range p.Limits {
				if !inTime[l.Metric] || l.Metric == "settled" || l.Limit.IsZero() {
					continue
				}
				for _, o := range g.ops {
					if m := o.measure; m != nil && m.Name == l.Measure && o.hold < time.Duration(l.Limit.Value*float64(time.Second))+room {
						t.Errorf("%s, short %t: %s must be %v, and is watched for %v", p.Name, short, l.Name, l.Limit, o.hold)
					}
				}
			}
		}
	}
}

// TestShortFormsAreTold: the documentation says of each test what its short form leaves out.
func TestShortFormsAreTold(t *testing.T) {
	text, err := os.ReadFile("../../docs/acceptance.md")
	if err != nil {
		t.Fatal(err)
	}
	numbers := func(v scenario.Values) string { return strings.Trim(fmt.Sprint([]float64(v)), "[]") }
	for _, p := range procedures(t) {
		if len(p.Short) == 0 {
			continue
		}
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(p.Short)) {
			parts = append(parts, fmt.Sprintf("%s %s (%s)", name, numbers(p.Short[name]), numbers(p.Parameters[name].Value)))
		}
		if row := "| " + p.Name + " | " + strings.Join(parts, "; ") + " |"; !strings.Contains(string(text), row) {
			t.Errorf("docs/acceptance.md does not have the row\n%s", row)
		}
	}
}
