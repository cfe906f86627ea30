package accept_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yunchu/harness/accept"
	"yunchu/platform/audit"
)

// TestSuiteKeepsItsAudit: everything that a suite has written to a device on a wire is in
// an audit that is kept and can be proved, each value with what it was before, what it is
// after, who did it and for which test.
func TestSuiteKeepsItsAudit(t *testing.T) {
	const settings = `counts: charge
steps:
  - {setting: {name: power-limit, value: 30}}
  - {settings_all: true, measure: {name: settings, kind: settings}}
  - {probe: true, measure: {name: trials, kind: probe}}
limits:
  - {name: mismatches, measure: settings, metric: mismatches, limit: "== 0", source: test}
  - {name: not_refused, measure: trials, metric: not_refused, limit: "== 1", source: test}
`
	dir := t.TempDir()
	p := &pcs{sign: 1}
	x := procedure(t, settings)
	x.Name = "T03"
	r, err := onWire(t, t.Context(), p, accept.Options{Operator: "Li Wei", Audit: dir}, signTest(t), x)
	if err != nil {
		t.Fatal(err)
	}
	if v := r.Devices[0].Tests[1].Verdict; v != "passed" {
		t.Errorf("the test is %s", v)
	}
	for _, l := range r.Devices[0].Tests[1].Limits {
		if l.Name == "not_refused" && (l.N != 2 || l.Note != "read-only: wanted exception 2, got taken, taken and put back; another role not tried: the link has none") {
			t.Errorf("%d trials, %q", l.N, l.Note)
		}
	}
	data := filepath.Join(dir, "rig-1")
	if v, err := audit.VerifyFolder(data, "", nil); err != nil || !v.Intact() || v.Entries == 0 {
		t.Fatalf("%+v, %v", v, err)
	}
	if _, err := os.Stat(filepath.Join(data, "keys", "audit.key")); !os.IsNotExist(err) {
		t.Errorf("the key that signs lies beside the audit: %v", err)
	}
	f, err := os.Open(filepath.Join(data, audit.Folder, "entries-000000000000.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var got []string
	armed := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var e audit.Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		armed = armed || e.Kind == "outcome" && e.Act == "arm" && e.StateBefore == "inactive" && e.StateAfter == "active" && e.ModeBefore == "run"
		if e.Kind != "write" && e.Kind != "work" {
			continue
		}
		if e.Source != "user:Li Wei" || e.Reason != "test T03" || e.Device != "rig-1" {
			t.Errorf("%s", lines.Bytes())
		}
		if e.Kind == "write" {
			got = append(got, fmt.Sprintf("%s %s: %g to %g, is %g %s: %s", e.Act, e.Subject, *e.Was, *e.Wrote, *e.Is, e.Unit, e.Outcome))
		}
	}
	want := []string{
		"adjusted power-limit: 100 to 30, is 30 %: done",
		"adjusted ramp: 100 to 96, is 96 %/s: done", "restored ramp: 96 to 100, is 100 %/s: done",
		"adjusted power-limit: 30 to 25, is 25 %: done", "restored power-limit: 25 to 30, is 30 %: done",
		"probed power: 0 to 1, is 1 W: done", "restored power: 1 to 0, is 0 W: done",
		"restored power-limit: 30 to 100, is 100 %: done",
	}
	if !slices.Equal(got, want) || !armed {
		t.Errorf("armed %t\ngot  %s\nwant %s", armed, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}
