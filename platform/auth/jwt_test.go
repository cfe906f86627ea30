package auth_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yunchu/platform/auth"
	"yunchu/platform/auth/authtest"
)

func TestForgedTokensAreRefused(t *testing.T) {
	keys := authtest.Keys(t, start)
	a := open(t, &memory{}, auth.Options{Keys: keys, Issuer: "plant-1"})
	secret, _, _ := a.NewSetup(start)
	s, err := a.Setup(t.Context(), start, secret, "alice", password)
	if err != nil {
		t.Fatal(err)
	}
	header, claims := authtest.Parse(t, s.Secret)
	if header["alg"] != "EdDSA" || header["typ"] != "at+jwt" || header["kid"] != keys.Public()[0].ID || claims["iss"] != "plant-1" ||
		claims["sub"] != "alice" || claims["role"] != "admin" {
		t.Errorf("the token says %v %v", header, claims)
	}
	if _, err := a.Check(authtest.Sign(t, s.Secret, nil), start); err != nil {
		t.Errorf("signed as we do it: %v", err)
	}
	for name, text := range authtest.Forgeries(t, s.Secret, start) {
		if _, err := a.Check(text, start); !errors.Is(err, auth.ErrUnknown) {
			t.Errorf("%s: %v, want ErrUnknown", name, err)
		}
	}
	// Whatever one bit of it is changed to, it is not believed.
	for i := range len(s.Secret) {
		broken := []byte(s.Secret)
		broken[i] ^= 1
		if p, err := a.Check(string(broken), start); err == nil {
			t.Errorf("with bit %d changed it speaks for %s", 8*i, p.Name)
		}
	}
}

func TestKeysAreMadeOnceAndRotated(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys", "jwt")
	openKeys := func(now time.Time) *auth.Keys {
		t.Helper()
		k, err := auth.OpenKeys(dir, rand.Reader, now)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	ids := func(k *auth.Keys) (out []string) {
		for _, x := range k.Public() {
			if x.Type != "OKP" || x.Curve != "Ed25519" || x.Algorithm != "EdDSA" {
				t.Errorf("key %+v", x)
			}
			out = append(out, x.ID)
		}
		return out
	}
	first := openKeys(start)
	again := openKeys(start)
	if len(ids(again)) != 1 || ids(first)[0] != ids(again)[0] {
		t.Fatalf("another start has the keys %v, the first %v", ids(again), ids(first))
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.pem"))
	info, err := os.Stat(files[0])
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key has the mode %v, %v", info.Mode(), err)
	}
	m := &memory{}
	a := open(t, m, auth.Options{Keys: first})
	secret, _, _ := a.NewSetup(start)
	s, err := a.Setup(t.Context(), start, secret, "alice", password)
	if err != nil {
		t.Fatal(err)
	}
	// Another process makes a new key: the plant takes it, and believes the old one.
	now := start.Add(time.Minute)
	if err := again.Rotate(now, false); err != nil {
		t.Fatal(err)
	}
	if err := a.Reload(now); err != nil {
		t.Fatal(err)
	}
	if got := ids(first); len(got) != 2 || got[1] != ids(again)[1] {
		t.Errorf("keys after the rotation: %v, want %v", got, ids(again))
	}
	if _, err := a.Check(s.Secret, now); err != nil {
		t.Errorf("a token of the old key: %v", err)
	}
	next, err := a.Refresh(t.Context(), now, "h", s.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	if header, _ := authtest.Parse(t, next.Secret); header["kid"] != ids(again)[1] {
		t.Errorf("the next token is signed with %v", header["kid"])
	}
	if got := ids(openKeys(now.Add(auth.KeyOverlap + time.Second))); len(got) != 1 || got[0] != ids(again)[1] {
		t.Errorf("keys after the overlap: %v", got)
	}
	// Dropped: what it has signed is worth nothing.
	third := openKeys(now)
	if err := third.Rotate(now.Add(time.Second), true); err != nil {
		t.Fatal(err)
	}
	if err := a.Reload(now); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Check(next.Secret, now); !errors.Is(err, auth.ErrForged) {
		t.Errorf("a token of a dropped key: %v, want ErrForged", err)
	}
	// In time the plant changes it by itself.
	later := start.Add(auth.KeyLife + time.Hour)
	before := ids(first)
	if _, err := a.Login(t.Context(), later, "h", "alice", password); err != nil {
		t.Fatal(err)
	}
	if got := ids(first); len(got) != 2 || got[0] != before[0] {
		t.Errorf("keys after %v: %v", auth.KeyLife, got)
	}
	for name, break_ := range map[string]func(path string) error{
		"open to others": func(p string) error { return os.Chmod(p, 0o644) },
		"no key":         func(p string) error { return os.WriteFile(p, []byte("key"), 0o600) },
	} {
		dir = filepath.Join(t.TempDir(), name)
		openKeys(start)
		files, _ := filepath.Glob(filepath.Join(dir, "*.pem"))
		if err := break_(files[0]); err != nil {
			t.Fatal(err)
		}
		if _, err := auth.OpenKeys(dir, rand.Reader, start); err == nil || !strings.Contains(err.Error(), files[0]) {
			t.Errorf("%s: %v, want the file named", name, err)
		}
	}
}

// FuzzCheck: no text speaks for anybody by chance, and none brings the plant down.
func FuzzCheck(f *testing.F) {
	a, s := withAdmin(f, &memory{})
	f.Add(s.Secret[:len(s.Secret)-2])
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("yc_admin_x")
	claims, _ := json.Marshal(map[string]any{"sid": s.ID})
	f.Add("eyJhbGciOiJFZERTQSJ9." + base64.RawURLEncoding.EncodeToString(claims) + ".AAAA")
	f.Fuzz(func(t *testing.T, token string) {
		if token == s.Secret {
			return
		}
		if p, err := a.Check(token, start); err == nil {
			t.Errorf("%q speaks for %s", token, p.Name)
		}
		if _, err := a.Refresh(t.Context(), start, "h", token); err == nil && token != s.Refresh {
			t.Errorf("%q is a refresh token", token)
		}
	})
}

func BenchmarkCheckJWT(b *testing.B) {
	a, s := withAdmin(b, &memory{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Check(s.Secret, start); err != nil {
			b.Fatal(err)
		}
	}
}
