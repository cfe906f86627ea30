package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts plays testdata/script: what people type and what they see. A
// script has the folders of the shipped scenarios and parameters in $SCENARIOS
// and $PARAMS, and the command
//
//	exits CODE yunchu ARGUMENT...
//
// which runs the program and wants this exit code.
func TestScripts(t *testing.T) {
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Deadline:            time.Now().Add(5 * time.Minute), // a script has no command that goes on; with the race detector a forecast takes one
		Setup: func(e *testscript.Env) error {
			e.Setenv("SCENARIOS", filepath.Join(root, "scenarios"))
			e.Setenv("PARAMS", filepath.Join(root, "twin", "params"))
			e.Setenv("TMPDIR", filepath.Join(e.WorkDir, ".tmp"))
			return os.MkdirAll(filepath.Join(e.WorkDir, ".tmp"), 0o700)
		},
		Condition: func(name string) (bool, error) {
			if name == "sim" {
				return openWorld != nil, nil
			}
			return false, errors.New("unknown condition " + name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg || len(args) < 2 {
					ts.Fatalf("usage: exits CODE PROGRAM ARGUMENT...")
				}
				want, err := strconv.Atoi(args[0])
				ts.Check(err)
				got := 0
				err = ts.Exec(args[1], args[2:]...)
				if failed, ok := errors.AsType[*exec.ExitError](err); ok {
					got = failed.ExitCode()
				} else {
					ts.Check(err)
				}
				if got != want {
					ts.Fatalf("exit code %d, want %d", got, want)
				}
			},
		},
	})
}
