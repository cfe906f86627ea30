//go:build !nosim && unix

package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oauth2-proxy/mockoidc"
)

// pair is what a login gives.
type pair struct{ Token, RefreshToken string }

func (c client) refresh(t *testing.T, want int, s pair) (next pair) {
	t.Helper()
	b := c.do(t, want, http.MethodPost, "/api/v1/refresh", map[string]string{"refreshToken": s.RefreshToken})
	if want == http.StatusOK {
		decode(t, b, &next)
	}
	return next
}

// keyIDs are those of the public keys, oldest first.
func (c client) keyIDs(t *testing.T) (ids []string) {
	t.Helper()
	var set struct{ Keys []struct{ Kid string } }
	c.get(t, "/.well-known/jwks.json", &set)
	for _, k := range set.Keys {
		ids = append(ids, k.Kid)
	}
	return ids
}

func signedBy(t *testing.T, token string) string {
	t.Helper()
	head, _, _ := strings.Cut(token, ".")
	b, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		t.Fatal(err)
	}
	var h struct{ Kid string }
	if err := json.Unmarshal(b, &h); err != nil {
		t.Fatal(err)
	}
	return h.Kid
}

// hashed is what hash-password makes of a password.
func (p program) hashed(t *testing.T, password string) string {
	t.Helper()
	c := p.command("hash-password")
	c.Stdin = strings.NewReader(password + "\n")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("hash-password: %v\n%s", err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// TestServeSessions: a user of the configuration logs in, the session outlives kill -9, its
// keys are rotated while it lasts, and it ends when the configuration no longer has the user.
func TestServeSessions(t *testing.T) {
	p := fresh(t)
	const head = "apiVersion: yunchu/v1\nkind: Config\n"
	config := head + "access:\n  users:\n    - {name: dave, role: operator, password_hash: \"" + p.hashed(t, password) + "\"}\n"
	p.write(t, "plant.yaml", config)
	x, c := serving(t, p, "-c", "plant.yaml")
	var first pair
	decode(t, c.do(t, http.StatusOK, http.MethodPost, "/api/v1/login", map[string]string{"user": "dave", "password": password}), &first)
	second := c.refresh(t, http.StatusOK, first)
	x.kill(t)
	x, c = serving(t, p, "-c", "plant.yaml")
	c.token = second.Token
	c.do(t, http.StatusOK, http.MethodGet, "/api/v1/system", nil)
	c.do(t, http.StatusForbidden, http.MethodGet, "/api/v1/users", nil)
	secretsStayOut(t, filepath.Join(p.dir, "data"), password, first.RefreshToken, second.RefreshToken, second.Token)
	ownerOnly(t, filepath.Join(p.dir, "data", "keys", "jwt"))

	hangup := func(holds func() bool) {
		t.Helper()
		if err := x.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, "what changed is read again", holds)
	}
	old := c.keyIDs(t)
	if got := p.run(t, "keys", "rotate"); got.code != exitPassed || !strings.HasPrefix(got.stdout, old[0]+"\n") {
		t.Fatalf("keys rotate: %+v", got)
	}
	hangup(func() bool { return len(c.keyIDs(t)) == 2 })
	c.do(t, http.StatusOK, http.MethodGet, "/api/v1/system", nil)
	third := c.refresh(t, http.StatusOK, second)
	if kid := signedBy(t, third.Token); kid == old[0] || !slices.Contains(c.keyIDs(t), kid) {
		t.Errorf("after the rotation tokens are signed with %s", kid)
	}
	if got := p.run(t, "keys", "rotate", "--drop"); got.code != exitPassed {
		t.Fatalf("keys rotate --drop: %+v", got)
	}
	hangup(func() bool { return len(c.keyIDs(t)) == 1 })
	c.token = third.Token
	c.do(t, http.StatusUnauthorized, http.MethodGet, "/api/v1/system", nil)
	fourth := c.refresh(t, http.StatusOK, third)

	// A configuration that is wrong changes nothing; one without the user ends the session.
	p.write(t, "plant.yaml", strings.Replace(config, "argon2id", "argon3", 1))
	hangup(func() bool { return strings.Contains(x.stderr.String(), "password_hash") })
	fifth := c.refresh(t, http.StatusOK, fourth)
	p.write(t, "plant.yaml", head)
	c.token = fifth.Token
	hangup(func() bool {
		status, _, err := c.try(http.MethodGet, "/api/v1/system", nil)
		return err == nil && status == http.StatusUnauthorized
	})
	c.refresh(t, http.StatusUnauthorized, fifth)
	if got := p.run(t, "validate", "plant.yaml"); got.code != exitPassed {
		t.Errorf("validate: %+v", got)
	}
	p.write(t, "plant.yaml", strings.Replace(config, "argon2id", "argon3", 1))
	if got := p.run(t, "validate", "plant.yaml"); got.code != exitInput || !strings.Contains(got.stderr, "plant.yaml:5:") || !strings.Contains(got.stderr, "hash-password") {
		t.Errorf("validate of a wrong hash: %+v", got)
	}
	if code := x.signal(t, syscall.SIGTERM); code != exitPassed {
		t.Errorf("exit code %d", code)
	}
}

// TestServePolicies: policies of a file hold, others are taken with SIGHUP, and a file that
// is wrong is named with its place and changes nothing.
func TestServePolicies(t *testing.T) {
	p := fresh(t, tokenVariable+"=engineer-0123456789")
	p.write(t, "plant.yaml", "apiVersion: yunchu/v1\nkind: Config\naccess: {policies: plant.cedar}\n")
	const forbid = "forbid (principal == Token::\"environment\", action == Action::\"ingest\", resource == Device::\"closed\");\n"
	wrong := "forbid (principal,\n  action == Action::\"ingest\", resourc);\n"
	p.write(t, "plant.cedar", wrong)
	for _, args := range [][]string{{"validate", "plant.yaml"}, {"serve", "-c", "plant.yaml", "--listen", "127.0.0.1:0"}} {
		if got := p.run(t, args...); got.code != exitInput || !strings.Contains(got.stderr, "plant.cedar:2:38: ") || !strings.Contains(got.stderr, "resourc)") {
			t.Errorf("%s: %+v", args[0], got)
		}
	}
	p.write(t, "plant.cedar", forbid)
	x, c := serving(t, p, "-c", "plant.yaml")
	c.token = "engineer-0123456789"
	at := time.Now().UnixMilli()
	send := func(id string) int {
		t.Helper()
		at++
		status, _, err := c.try(http.MethodPost, "/api/v1/device/data/sync", reading{Device: id, Timestamp: at, Data: values{SoC: 50, Voltage: 400, Status: "idle"}})
		if err != nil {
			t.Fatal(err)
		}
		return status
	}
	if open, closed := send("open"), send("closed"); open != http.StatusOK || closed != http.StatusForbidden {
		t.Errorf("the open device is answered %d, the closed one %d", open, closed)
	}
	hangup := func(text string, holds func() bool) {
		t.Helper()
		p.write(t, "plant.cedar", text)
		if err := x.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the policies are read again", holds)
	}
	hangup(wrong, func() bool { return strings.Contains(x.stderr.String(), "plant.cedar:2:38") })
	if closed := send("closed"); closed != http.StatusForbidden {
		t.Errorf("after a wrong file the closed device is answered %d", closed)
	}
	hangup("", func() bool { return send("closed") == http.StatusOK })
}

// TestServeOIDC: the tokens of the configured issuer open the plant, with the role that
// they give; a wrong section is named with its place.
func TestServeOIDC(t *testing.T) {
	issuer, err := mockoidc.Run()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = issuer.Shutdown() })
	p := fresh(t)
	config := func(url string) string {
		return fmt.Sprintf("apiVersion: yunchu/v1\nkind: Config\naccess:\n  oidc: {issuer: %q, audience: %q, claim: groups, roles: {ops: operator}}\n", url, issuer.ClientID)
	}
	p.write(t, "plant.yaml", config("http://login.example.com"))
	if got := p.run(t, "validate", "plant.yaml"); got.code != exitInput || !strings.Contains(got.stderr, "plant.yaml:4:18: ") {
		t.Errorf("an issuer without TLS: %+v", got)
	}
	p.write(t, "plant.yaml", config(issuer.Issuer()))
	_, c := serving(t, p, "-c", "plant.yaml")
	session, err := issuer.SessionStore.NewSession("openid groups", "", &mockoidc.MockUser{Subject: "u", Groups: []string{"ops"}}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if c.token, err = session.IDToken(issuer.Config(), issuer.Keypair, time.Now()); err != nil {
		t.Fatal(err)
	}
	var about struct{ Role string }
	if c.get(t, "/api/v1/system", &about); about.Role != "operator" {
		t.Errorf("the role is %q", about.Role)
	}
	c.do(t, http.StatusForbidden, http.MethodGet, "/api/v1/users", nil)
	c.token = c.token[:len(c.token)-8] + "AAAAAAAA"
	c.do(t, http.StatusUnauthorized, http.MethodGet, "/api/v1/system", nil)
}

// TestServeTLSForMQTT: --tls makes a certificate for the broker too.
func TestServeTLSForMQTT(t *testing.T) {
	p := fresh(t)
	p.write(t, "plant.yaml", "apiVersion: yunchu/v1\nkind: Config\nmqtt: {listen: \"tls://127.0.0.1:0\"}\n")
	if got := p.run(t, "serve", "-c", "plant.yaml"); got.code != exitInput || !strings.Contains(got.stderr, "or serve --tls") {
		t.Errorf("without a certificate: %+v", got)
	}
	x, c := serving(t, p, "-c", "plant.yaml", "--tls")
	if !strings.HasPrefix(c.base, "https://") {
		t.Errorf("it listens on %s", c.base)
	}
	if err := x.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the configuration is read again", func() bool { return strings.Contains(x.stderr.String(), "access read again") })
	text, err := os.ReadFile(filepath.Join(p.dir, "data", "keys", "tls.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	conn, err := tls.Dial("tcp", x.broker(t), &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13})
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}
