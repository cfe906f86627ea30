package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestAudit: what people do at a running plant is in its audit a second later, survives
// kill -9, is proved by the command from the folder and over the API, and a change of it
// is found.
func TestAudit(t *testing.T) {
	p := fresh(t)
	x, c := serving(t, p)
	setup := map[string]string{"token": x.says(t, "setup token: "), "user": "ann", "password": password}
	var admin struct{ Token string }
	decode(t, c.do(t, http.StatusCreated, http.MethodPost, "/api/v1/setup", setup), &admin)
	c.token = admin.Token
	c.do(t, http.StatusUnauthorized, http.MethodPost, "/api/v1/login", map[string]string{"user": "ann", "password": "wrong password!"})
	c.do(t, http.StatusOK, http.MethodPut, "/api/v1/devices/ess-1", map[string]any{"ratedKw": 100})
	c.do(t, http.StatusOK, http.MethodPut, "/api/v1/dispatch", map[string]any{"enabled": false, "strategy": "cost", "target_kw": nil})
	var auditor, viewer struct{ Token string }
	decode(t, c.do(t, http.StatusCreated, http.MethodPost, "/api/v1/tokens", map[string]string{"role": "auditor"}), &auditor)
	decode(t, c.do(t, http.StatusCreated, http.MethodPost, "/api/v1/tokens", map[string]string{"role": "viewer"}), &viewer)
	client{base: c.base, token: viewer.Token}.do(t, http.StatusForbidden, http.MethodGet, "/api/v1/audit", nil)
	a := client{base: c.base, token: auditor.Token}
	sees := []string{
		`"kind":"login","source":"user:ann","from":"127.0.0.1","outcome":"failed"`,
		`"kind":"device","deviceId":"ess-1","source":"user:ann","act":"added"`,
		`"kind":"setting","source":"user:ann","subject":"dispatch"`,
		`"kind":"refused","source":"token:`,
	}
	all := func(when string) {
		t.Helper()
		eventually(t, "the audit "+when, func() bool {
			text := string(a.do(t, http.StatusOK, http.MethodGet, "/api/v1/audit?from=0", nil))
			for _, s := range sees {
				if !strings.Contains(text, s) {
					return false
				}
			}
			return !strings.Contains(text, "argon2id")
		})
	}
	all("has it all")
	remote := func(args ...string) outcome {
		q := p
		q.env = []string{"YUNCHU_TOKEN=" + auditor.Token}
		return q.run(t, append([]string{"audit"}, append(args, "--url", c.base)...)...)
	}
	if o := remote("verify"); o.code != exitPassed || !strings.HasPrefix(o.stdout, "intact: ") {
		t.Fatalf("verify --url: exit code %d, %s%s", o.code, o.stdout, o.stderr)
	}
	kept := filepath.Join(p.dir, "kept")
	if err := os.WriteFile(kept, []byte(remote("checkpoint").stdout), 0o600); err != nil {
		t.Fatal(err)
	}

	x.signal(t, syscall.SIGKILL)
	x, c = serving(t, p)
	a.base = c.base
	all("after kill -9")
	if o := remote("verify", "--checkpoint", kept); o.code != exitPassed || !strings.Contains(o.stdout, "kept checkpoint") {
		t.Errorf("verify --url --checkpoint: exit code %d, %s%s", o.code, o.stdout, o.stderr)
	}
	x.signal(t, syscall.SIGTERM)
	local := func(want int, says string) {
		t.Helper()
		if o := p.run(t, "audit", "verify", "--data", "data", "--checkpoint", kept); o.code != want || !strings.Contains(o.stdout, says) {
			t.Errorf("verify: exit code %d, want %d and %q:\n%s%s", o.code, want, says, o.stdout, o.stderr)
		}
	}
	local(exitPassed, "intact")
	segment := filepath.Join(p.dir, "data", "audit", "entries-000000000000.jsonl")
	text, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(segment, bytes.Replace(text, []byte(`"outcome":"failed"`), []byte(`"outcome":"done"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	local(exitFailed, "was changed")
	// The plant says so too, where damage of every store stands.
	_, c = serving(t, p)
	c.token = admin.Token
	var system struct {
		Damage []struct{ Store, What string }
	}
	c.get(t, "/api/v1/system", &system)
	if len(system.Damage) != 1 || system.Damage[0].Store != "audit" || !strings.Contains(system.Damage[0].What, "is not what was signed") {
		t.Errorf("damage: %+v, want that of the audit", system.Damage)
	}
	if o := p.run(t, "audit", "verify", "--data", "nothing-here"); o.code != exitEnvironment {
		t.Errorf("verify without an audit: exit code %d", o.code)
	}
}
