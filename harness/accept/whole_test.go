//go:build !nosim

package accept_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yunchu/harness/accept"
	"yunchu/harness/report"
	"yunchu/harness/scenario"
)

// TestWhatIsBesideTheLimitsIsTold: a test that has failed though each of its limits was kept, as
// of a device that was not at rest afterwards, has failed in JUnit's file and in the matrix too.
func TestWhatIsBesideTheLimitsIsTold(t *testing.T) {
	r := suite(t, bench(t, scenario.DefaultModel), shipped(t, "T00", "T05"))
	x := r.Devices[0].Tests[1]
	if x.Verdict != report.Passed {
		t.Fatalf("T05 has %s: %s", x.Verdict, x.Why)
	}
	for _, tt := range []struct {
		verdict             report.Verdict
		word, junit, beside string
	}{
		{report.Passed, "PASS", `failures="0"`, ""},
		{report.Failed, "FAIL", `failures="1"`, `<failure message="it has 50 kW"`},
		{report.Inconclusive, "INCONCLUSIVE", `errors="1"`, `<error message="it has 50 kW"`},
	} {
		x.Verdict, x.Why = tt.verdict, "it has 50 kW"
		dir := t.TempDir()
		doc := &accept.Document{Result: r, Short: true}
		if err := accept.Write(dir, doc); err != nil {
			t.Fatal(err)
		}
		junit, err := os.ReadFile(filepath.Join(dir, "junit.xml"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(junit), tt.junit) || !strings.Contains(string(junit), tt.beside) || strings.Contains(string(junit), "as a whole") != (tt.beside != "") {
			t.Errorf("%s: want %s and %s in\n%.1500s", tt.verdict, tt.junit, tt.beside, junit)
		}
		n := 0
		for _, q := range doc.Report().Requirements {
			for _, l := range q.Limits {
				if strings.Contains(l, "/T05/") {
					n++
					if q.Verdict != tt.word {
						t.Errorf("%s: requirement %s is %s", tt.verdict, q.Requirement, q.Verdict)
					}
					break
				}
			}
		}
		if n == 0 {
			t.Error("no requirement rests on T05")
		}
	}
}
