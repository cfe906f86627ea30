package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestExport exports the same readings of a plant that runs and of the one that is stopped,
// verifies its history, and finds a bit of it that was turned.
func TestExport(t *testing.T) {
	const token = "token-of-an-engineer"
	p := fresh(t, "YUNCHU_TOKEN="+token)
	x, c := serving(t, p)
	c.token = token
	start := time.Now().Add(-time.Hour).Truncate(time.Second)
	var body []map[string]any
	for i := range 300 {
		body = append(body, map[string]any{
			"deviceId": []string{"ess-a", "ess-b", "pv-c"}[i%3], "timestamp": start.Add(time.Duration(i) * time.Second).UnixMilli(),
			"data": map[string]any{"soc": 50 + float64(i)/100, "power": 1.5, "voltage": 700, "current": 2.1, "temperature": 25, "status": "charging"},
		})
	}
	for _, id := range []string{"ess-a", "ess-b", "pv-c"} {
		c.do(t, http.StatusOK, http.MethodPut, "/api/v1/devices/"+id, map[string]any{"ratedKw": 100})
	}
	c.do(t, http.StatusOK, http.MethodPost, "/api/v1/device/data/sync", body)
	flags := []string{"--devices", "ess-*", "--from", start.Format(time.RFC3339), "--until", start.Add(time.Hour).Format(time.RFC3339), "--fields", "soc,power"}
	if o := p.run(t, append([]string{"export", "--url", c.base, "--to", "running.csv"}, flags...)...); o.code != exitPassed || !strings.Contains(o.stderr, "200 readings") {
		t.Fatalf("export of a running plant: exit code %d: %s", o.code, o.stderr)
	}
	if o := p.run(t, append([]string{"export", "--url", c.base, "--to", "running.parquet"}, flags...)...); o.code != exitPassed {
		t.Fatalf("export of a running plant: exit code %d: %s", o.code, o.stderr)
	}
	if o := p.run(t, "export", "--to", "no.csv"); o.code != exitEnvironment || !strings.Contains(o.stderr, "--url") {
		t.Errorf("export of the folder of a plant that runs: exit code %d, %s", o.code, o.stderr)
	}
	if o := p.run(t, "export", "--to", "no.csv", "--from", "yesterday"); o.code != exitInput {
		t.Errorf("export from yesterday: exit code %d, %s", o.code, o.stderr)
	}
	c.do(t, http.StatusBadRequest, http.MethodGet, "/api/v1/history/export?format=xlsx", nil)
	if code := x.signal(t, syscall.SIGTERM); code != exitPassed {
		t.Fatalf("exit code %d", code)
	}
	if o := p.run(t, append([]string{"export", "--to", "stopped.csv"}, flags...)...); o.code != exitPassed {
		t.Fatalf("export of a stopped plant: exit code %d: %s", o.code, o.stderr)
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(p.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if a, b := read("running.csv"), read("stopped.csv"); a != b || strings.Count(a, "\n") != 201 || strings.Contains(a, "pv-c") {
		t.Errorf("running:\n%.400s\nstopped:\n%.400s", a, b)
	}
	if !strings.HasPrefix(read("running.parquet"), "PAR1") {
		t.Error("not a Parquet file")
	}
	if o := p.run(t, "history", "verify"); o.code != exitPassed || !strings.Contains(o.stdout, "intact") {
		t.Errorf("verify: exit code %d: %s%s", o.code, o.stdout, o.stderr)
	}
	path := filepath.Join(p.dir, "data", "history", "manifest")
	b := []byte(read("data/history/manifest"))
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if o := p.run(t, "history", "verify"); o.code != exitFailed || !strings.Contains(o.stdout, "damaged") {
		t.Errorf("verify of a changed manifest: exit code %d: %s%s", o.code, o.stdout, o.stderr)
	}
}
