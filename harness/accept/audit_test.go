//go:build !nosim

package accept_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yunchu/harness/accept"
	"yunchu/harness/report"
	"yunchu/harness/scenario"
)

// TestReportForAnAuditor: what the numbers rest on stands on the page itself: the files
// that went in, when each test was done, why it has its verdict, which limits nobody has
// verified or somebody has changed, and what a requirement has not been held by.
func TestReportForAnAuditor(t *testing.T) {
	loose, err := scenario.ParseLimit("<= 60")
	if err != nil {
		t.Fatal(err)
	}
	b := bench(t, scenario.DefaultModel)
	b.Over = map[string]accept.Overrides{"T06": {Limits: map[string]scenario.Limit{"transition_fat_s": loose}}}
	list := shipped(t, "T00", "T03", "T05", "T06", "T32", "T04")
	for _, p := range list { // fails, and leaves a requirement half held
		if p.Name == "T05" {
			b.Over["T05"] = accept.Overrides{Limits: map[string]scenario.Limit{"response_s": {Op: "<=", Value: 0.16}}}
		}
	}
	doc := &accept.Document{
		Result: suite(t, b, list), Operator: "Li Wei", Rig: "site.yaml", Short: true, Binary: "abc123",
		Inputs: []report.File{{Name: "site.yaml", SHA256: "f00d", Bytes: 123}, {Name: "own-profile.yaml", SHA256: "beef", Bytes: 45}},
	}
	dir := t.TempDir()
	if err := accept.Write(dir, doc); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "accept.html"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	for _, s := range []string{
		"site.yaml · 123 bytes · SHA-256 f00d", "own-profile.yaml · 45 bytes · SHA-256 beef", // what went in
		"2026-01-01 00:00:00 to 2026-01-01 00:0", "virtual time", // when
		"response_s: response_time_s 0.4 ± ", // why, in the summary
		"changed from &lt;= 5 (",             // not the source's any more
		"twin-1/T04/exchange_ms (NOT-APPLICABLE)", "twin-1/T05/response_s (FAIL)",
		"confirmed within a factor of 1.3", "Limits that nobody has verified", "twin-1/T06/transition_fat_s",
	} {
		if !strings.Contains(page, s) {
			t.Errorf("the page does not say %q", s)
		}
	}
	raw, err = os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r accept.Report
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	for _, x := range r.Devices[0].Tests {
		if x.Verdict != "PASS" && x.Why == "" {
			t.Errorf("%s is %s, and nobody says why", x.Test, x.Verdict)
		}
		for _, l := range x.Limits {
			if l.Name == "transition_fat_s" && (l.Standing != "unverified" || l.Verdict != "PASS") {
				t.Errorf("%+v", l)
			}
		}
	}
	if len(r.Inputs) != 2 || r.Devices[0].PowerScale == "" {
		t.Errorf("inputs %v, scale %q", r.Inputs, r.Devices[0].PowerScale)
	}
}
