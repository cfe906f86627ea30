package main

import (
	"bytes"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// fault is how one thing that is wrong with a file is told: its place and what it
// is, the line with a caret under it where there is one, and what to write
// instead. Only what another file contains, and what is no number at all, may
// stand without a hint.
var (
	fault    = regexp.MustCompile(`^([^\n]+?\.(?:yaml|csv):\d+:\d+: [^\n]+)\n( +\d+ \| [^\n]*\n +\| \s*\^\n)?( {6}\S[^\n]*\n)?`)
	hintless = regexp.MustCompile(`\.csv|finite number`)
	// What stands on a line that may hold a password is not shown.
	secret = regexp.MustCompile(`/config-history-(files|form|password)\.yaml:`)
)

// TestBadFiles: every wrong file ends with exit 2 and a message that tells a
// newcomer what to change, whichever command reads it.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("harness/scenario/testdata/bad/*.yaml")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			for _, command := range []string{"validate", "run"} {
				var stdout, stderr bytes.Buffer
				code := execute(t.Context(), []string{command, file}, &stdout, &stderr)
				if code != exitInput || stdout.Len() > 0 {
					t.Errorf("yunchu %s: exit code %d, want %d, and %q on stdout", command, code, exitInput, stdout.String())
				}
				rest, n := stderr.Bytes(), 0
				for len(rest) > 0 {
					m := fault.FindSubmatch(rest)
					if m == nil {
						t.Fatalf("yunchu %s: no place in\n%s", command, rest)
					}
					if len(m[2]) == 0 && !bytes.Contains(m[1], []byte("empty")) && !secret.Match(m[1]) {
						t.Errorf("yunchu %s: no caret under %s", command, m[1])
					}
					if len(m[3]) == 0 && !hintless.Match(m[1]) {
						t.Errorf("yunchu %s: no hint with %s", command, m[1])
					}
					rest = rest[len(m[0]):]
					n++
				}
				if n == 0 {
					t.Errorf("yunchu %s says nothing", command)
				}
			}
		})
	}
}
