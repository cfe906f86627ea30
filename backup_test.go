package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"yunchu/platform/ops"
)

// TestBackupUnderLoad backs a running plant up, restores it elsewhere and finds there what
// had been acknowledged before; a bit that has changed is noticed. The same of a plant that
// is stopped.
func TestBackupUnderLoad(t *testing.T) {
	const token = "token-of-an-engineer"
	p := fresh(t, "YUNCHU_TOKEN="+token)
	x, c := serving(t, p)
	var admin struct{ Token, RefreshToken string }
	decode(t, c.do(t, http.StatusCreated, http.MethodPost, "/api/v1/setup", map[string]string{
		"token": x.says(t, "setup token: "), "user": "ann", "password": password,
	}), &admin)
	p.env = append(p.env, adminVariable+"="+admin.Token)
	c.token = token
	before := startWriters(c, 8, 0, 64)
	eventually(t, "readings before the backup", func() bool { return before.acknowledged() > 3000 })
	before.stop()
	meanwhile := startWriters(c, 8, 1, 64)
	if o := p.run(t, "backup", "--url", c.base, "--to", "plant.backup"); o.code != exitPassed {
		t.Fatalf("backup: exit code %d: %s", o.code, o.stderr)
	}
	meanwhile.stop()
	if o := p.run(t, "backup", "--to", "no.backup"); o.code != exitEnvironment || !strings.Contains(o.stderr, "--url") {
		t.Errorf("backup of the folder of a plant that runs: exit code %d, %s", o.code, o.stderr)
	}
	if code := x.signal(t, syscall.SIGTERM); code != exitPassed {
		t.Fatalf("exit code %d", code)
	}
	if o := p.run(t, "backup", "--to", "stopped.backup"); o.code != exitPassed {
		t.Fatalf("backup of a stopped plant: exit code %d: %s", o.code, o.stderr)
	}
	for file, all := range map[string][]*writers{"plant.backup": {before}, "stopped.backup": {before, meanwhile}} {
		q := fresh(t, "YUNCHU_TOKEN="+token)
		path := filepath.Join(p.dir, file)
		if o := q.run(t, "restore", path, "--verify-only"); o.code != exitPassed || !strings.Contains(o.stdout, "verified") {
			t.Fatalf("verify %s: exit code %d: %s", file, o.code, o.stderr)
		}
		if o := q.run(t, "restore", path, "--to", "data"); o.code != exitPassed {
			t.Fatalf("restore %s: exit code %d: %s", file, o.code, o.stderr)
		}
		y, c := serving(t, q)
		c.token = token
		for _, w := range all {
			w.verify(t, c)
		}
		client{base: c.base, token: admin.Token}.do(t, http.StatusUnauthorized, http.MethodGet, "/api/v1/users", nil) // the key that signed it is not there
		var again struct{ Token string }
		decode(t, c.do(t, http.StatusOK, http.MethodPost, "/api/v1/refresh", map[string]string{"refreshToken": admin.RefreshToken}), &again)
		client{base: c.base, token: again.Token}.do(t, http.StatusOK, http.MethodGet, "/api/v1/users", nil)
		var about struct{ Damage []any }
		c.get(t, "/api/v1/system", &about)
		if len(about.Damage) > 0 {
			t.Errorf("%s: a restored plant is damaged: %v", file, about.Damage)
		}
		if code := y.signal(t, syscall.SIGTERM); code != exitPassed {
			t.Errorf("exit code %d", code)
		}
		if o := q.run(t, "restore", path, "--to", "data"); o.code == exitPassed {
			t.Error("restored over a plant")
		}
	}
	path := filepath.Join(p.dir, "plant.backup")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if o := p.run(t, "restore", path, "--to", "elsewhere"); o.code != exitInput || !strings.Contains(o.stderr, "not a whole backup") {
		t.Errorf("restore of a changed backup: exit code %d, %s", o.code, o.stderr)
	}
	if _, err := os.Stat(filepath.Join(p.dir, "elsewhere")); err == nil {
		t.Error("something of a changed backup was written")
	}
}

// TestServeRefusesNewerFolder: a data folder of a newer program is not touched.
func TestServeRefusesNewerFolder(t *testing.T) {
	p := fresh(t)
	x, _ := serving(t, p)
	if code := x.signal(t, syscall.SIGTERM); code != exitPassed {
		t.Fatalf("exit code %d", code)
	}
	path := filepath.Join(p.dir, "data", "version")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	decode(t, b, &v)
	v["format"] = 1000
	if b, err = json.Marshal(v); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	o := p.run(t, "serve", "--listen", "127.0.0.1:0")
	if o.code != exitEnvironment || !strings.Contains(o.stderr, "format 1000") || !strings.Contains(o.stderr, fmt.Sprintf("up to %d;", ops.Format)) {
		t.Errorf("exit code %d, want %d, and %q", o.code, exitEnvironment, o.stderr)
	}
}
