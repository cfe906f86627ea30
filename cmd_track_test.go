//go:build !nosim

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTrackCommand traces a cell and tracks the trace from a wrong start.
func TestTrackCommand(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	var profile strings.Builder
	profile.WriteString("t_s,current_a\n")
	for k := range 200 { // four hours, out and in with rests, on balance out
		fmt.Fprintf(&profile, "%d,%d\n", 72*k, []int{-200, -80, 0, 120}[k%4])
	}
	write := func(name, text string) {
		if err := os.WriteFile(path(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("profile.csv", profile.String())
	write("case.trace.yaml", "apiVersion: yunchu/v1\nkind: Trace\ncell: "+cellFile(t)+"\nsoc: 0.9\nheat: {env_w_per_k: 1000, env_k: 298.15}\nprofile: profile.csv\n")
	run := func(args ...string) (code int, stdout, stderr string) {
		var out, errs bytes.Buffer
		code = execute(t.Context(), args, &out, &errs)
		return code, out.String(), errs.String()
	}
	if code, _, stderr := run("trace", path("case.trace.yaml"), "--out", path("trace.csv")); code != exitPassed {
		t.Fatalf("trace: exit code %d: %s", code, stderr)
	}
	code, stdout, stderr := run("track", "--cell", "lfp280_ref", "--data", path("trace.csv"), "--true-soc", "90", "--soc0", "70",
		"--add-current-a", "2", "--json", "--out", path("rows.csv"), "--plot", path("track.svg"))
	if code != exitPassed {
		t.Fatalf("track: exit code %d: %s", code, stderr)
	}
	var got struct {
		RMSE float64 `json:"rmse_percent"`
		Max  float64 `json:"max_percent"`
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatalf("%v in %s", err, stdout)
	}
	if got.RMSE <= 0 || got.RMSE > 3 || got.Max > 6 {
		t.Errorf("state of charge within %.2f %%, at most %.2f %%", got.RMSE, got.Max)
	}
	for _, name := range []string{"rows.csv", "track.svg"} {
		if b, err := os.ReadFile(path(name)); err != nil || len(b) < 1000 {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
	write("bad.csv", "t_s,I_A,V_V\n0,full,3.3\n")
	for _, args := range [][]string{
		{"track"},
		{"track", "--cell", "lfp280_ref", "--data", path("bad.csv")},
		{"track", "--cell", "lfp280_ref", "--data", path("trace.csv"), "--soc0", "120"},
		{"fit"},
		{"fit", "--pulses", path("bad.csv"), "--ocv", path("bad.csv"), "--capacity-ah", "1"},
	} {
		if code, stdout, stderr := run(args...); code != exitInput || stdout != "" || stderr == "" {
			t.Errorf("yunchu %s: exit code %d, want %d: %q %q", strings.Join(args, " "), code, exitInput, stdout, stderr)
		}
	}
	write("short.csv", "t_s,I_A,V_V\n0,0,3.3\n1,0,3.3\n")
	if code, stdout, stderr := run("track", "--cell", "lfp280_ref", "--data", path("short.csv")); code != exitFailed || strings.Contains(stdout, "RMSE") || !strings.Contains(stderr, "nothing to score") {
		t.Errorf("nothing scored: exit code %d, want %d: %q %q", code, exitFailed, stdout, stderr)
	}
	if _, _, stderr := run("track", "--cell", "lfp280_ref", "--data", path("bad.csv")); !strings.Contains(stderr, `bad.csv:2:3: "full" in column I_A is not a number`) {
		t.Errorf("%s", stderr)
	}
}

// cellFile is the path of the reference cell.
func cellFile(t *testing.T) string {
	t.Helper()
	p, err := filepath.Abs("twin/params/lfp280_ref.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return p
}
