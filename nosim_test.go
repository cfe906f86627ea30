package main

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestProductionBuild builds the program without simulation and looks at what it
// still does, and at what it says of the rest.
func TestProductionBuild(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "yunchu")
	if b, err := exec.Command("go", "build", "-tags", "nosim", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build -tags nosim: %v\n%s", err, b)
	}
	t.Setenv("PATH", dir+":"+filepath.Dir(mustLook(t, "go")))
	const token = "token-of-production"
	p := fresh(t, "YUNCHU_TOKEN="+token)
	quickstart, err := filepath.Abs("scenarios/quickstart.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"demo"},
		{"demo", "--listen", "127.0.0.1:0"},
		{"trace", "x.yaml"},
		{"trace", "--cell", "x", "--profile", "y"},
		{"run", quickstart},
		{"run", quickstart, "--seeds", "2"},
		{"run", quickstart, "--json"},
	} {
		o := p.run(t, args...)
		if o.code != exitInput || !strings.Contains(o.stderr, "built without simulation") || o.stdout != "" {
			t.Errorf("yunchu %s: exit code %d, want %d, %q", strings.Join(args, " "), o.code, exitInput, o.stderr)
		}
	}
	if o := p.run(t, "validate", quickstart); o.code != exitPassed {
		t.Errorf("validate: exit code %d: %s", o.code, o.stderr)
	}
	x, c := serving(t, p)
	c.token = token
	var system struct {
		Simulation bool
		Tags       []string
		Binary     string `json:"binary_sha256"`
	}
	c.get(t, "/api/v1/system", &system)
	if system.Simulation || !slices.Contains(system.Tags, "nosim") || len(system.Binary) != 64 {
		t.Errorf("system says %+v", system)
	}
	c.do(t, http.StatusOK, http.MethodPost, "/api/v1/device/data/sync", reading{
		Device: "real", Timestamp: time.Now().UnixMilli(), Data: values{SoC: 50, Voltage: 400, Temperature: 20, Status: "idle"},
	})
	if n := len(c.history(t, "real")); n != 1 {
		t.Errorf("%d readings in the history, want 1", n)
	}
	if code := x.signal(t, syscall.SIGTERM); code != exitPassed {
		t.Errorf("exit code %d after SIGTERM, want %d", code, exitPassed)
	}
	p.leavesNothing(t)
}

func mustLook(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
