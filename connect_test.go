//go:build !nosim && unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yunchu/harness/report"
	"yunchu/hil/record"
)

// block is the YAML block of a document that has a line.
func block(t *testing.T, document, line string) string {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range strings.Split(string(text), "```") {
		if i%2 == 1 && strings.HasPrefix(b, "yaml\n") && strings.Contains(b, line) {
			return strings.TrimPrefix(b, "yaml\n")
		}
	}
	t.Fatalf("%s has no block with %q", document, line)
	return ""
}

// TestConnectARig is what docs/connect-a-rig.md has a newcomer do, with its rig file and the
// profile that it arrives at: a PASS, and a report with what crossed the wire.
func TestConnectARig(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("does the suite on the wall clock")
	}
	p := fresh(t)
	at := fmt.Sprintf("127.0.0.1:%d", ports(t, 1)[0])
	copied := func(from, to string) {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		p.write(t, to, strings.ReplaceAll(string(text), "127.0.0.1:15020", at))
	}
	copied("docs/practice/pcs-hx100.yaml", "pcs-hx100.yaml")
	copied("docs/practice/pcs-hx100.yaml", "hx.yaml")
	copied("docs/practice/unit.yaml", "unit.yaml")
	p.write(t, "rig.yaml", strings.ReplaceAll(block(t, "docs/connect-a-rig.md", "kind: Rig"), "127.0.0.1:15020", at))

	unit := p.start(t, "rig", "unit.yaml")
	eventually(t, "the unit is ready", func() bool { return strings.Contains(unit.stdout.String(), "ready") })
	var out string
	for range 3 { // a machine that stood still has made it inconclusive
		if out = p.run(t, "accept", "--rig", "rig.yaml", "--test", "T05", "--short", "--operator", "a newcomer", "--out", "out").stdout; !strings.Contains(out, "INCONCLUSIVE") {
			break
		}
		t.Log(out)
	}
	if !strings.Contains(out, "T00  PASS") || !strings.Contains(out, "T05  PASS") {
		t.Fatal(out)
	}
	dir := filepath.Join(p.dir, "out")
	if err := report.Verify(dir); err != nil {
		t.Error(err)
	}
	if m, err := report.LoadManifest(dir); err != nil || !slices.ContainsFunc(m.Outputs, func(f report.File) bool { return f.Name == "audit/hx/audit/checkpoint" }) {
		t.Errorf("the manifest has no audit: %+v, %v", m, err)
	}
	rec, err := record.Open(filepath.Join(dir, "links-hx.rec.gz"))
	if err != nil {
		t.Fatal(err)
	}
	if !rec.Whole || len(rec.Commands(rec.Began)) < 5 || rec.Info.RatedKW != 100 {
		t.Errorf("recorded: whole %v, %d commands, %+v", rec.Whole, len(rec.Commands(rec.Began)), rec.Info)
	}
	if page := p.read(t, filepath.Join("out", "accept.html")); !strings.Contains(page, "links-hx.rec.gz") {
		t.Error("the report says nothing of what crossed the wire")
	}
}
