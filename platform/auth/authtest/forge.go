// Package authtest makes access tokens that no plant must believe.
package authtest

import (
	"crypto/ed25519"
	"crypto/rand"
	"maps"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"yunchu/platform/auth"
)

// counting is a source of the same secrets each time: so that a test can sign with the
// key of a plant.
type counting struct{ n byte }

func (s *counting) Read(p []byte) (int, error) {
	for i := range p {
		s.n++
		p[i] = s.n
	}
	return len(p), nil
}

// Keys are keys in memory whose first one Forgeries knows.
func Keys(t testing.TB, now time.Time) *auth.Keys {
	t.Helper()
	k, err := auth.OpenKeys("", &counting{}, now)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func known() ed25519.PrivateKey {
	var seed [ed25519.SeedSize]byte
	_, _ = (&counting{}).Read(seed[:]) // it cannot fail
	return ed25519.NewKeyFromSeed(seed[:])
}

// Parse takes a token apart without believing it.
func Parse(t testing.TB, token string) (header map[string]any, claims jwt.MapClaims) {
	t.Helper()
	claims = jwt.MapClaims{}
	x, _, err := jwt.NewParser().ParseUnverified(token, claims)
	if err != nil {
		t.Fatal(err)
	}
	return x.Header, claims
}

// Sign makes a token anew, with what change says in its claims (nil: without), signed by
// the first of Keys.
func Sign(t testing.TB, token string, change map[string]any) string {
	t.Helper()
	return remake(t, token, jwt.SigningMethodEdDSA, known(), nil, change)
}

func remake(t testing.TB, token string, m jwt.SigningMethod, key any, head, change map[string]any) string {
	t.Helper()
	header, claims := Parse(t, token)
	x := jwt.NewWithClaims(m, claims)
	delete(header, "alg")
	maps.Copy(x.Header, header)
	set(x.Header, head)
	set(claims, change)
	text, err := x.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func set(m, change map[string]any) {
	for k, v := range change {
		if m[k] = v; v == nil {
			delete(m, k)
		}
	}
}

// Forgeries are tokens made of one that is good at now, by what is wrong with them.
func Forgeries(t testing.TB, token string, now time.Time) map[string]string {
	t.Helper()
	_, theirs, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ours := known()
	later := now.Add(time.Hour).Unix()
	signed := func(change map[string]any) string { return Sign(t, token, change) }
	headed := func(head map[string]any) string {
		return remake(t, token, jwt.SigningMethodEdDSA, ours, head, nil)
	}
	return map[string]string{
		"no signature":                 remake(t, token, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, nil),
		"the public key as a password": remake(t, token, jwt.SigningMethodHS256, []byte(ours.Public().(ed25519.PublicKey)), nil, nil),
		"another key":                  remake(t, token, jwt.SigningMethodEdDSA, theirs, nil, nil),
		"a key nobody knows":           headed(map[string]any{"kid": "x"}),
		"no key named":                 headed(map[string]any{"kid": nil}),
		"another kind of token":        headed(map[string]any{"typ": "JWT"}),
		"another plant's":              signed(map[string]any{"iss": "another plant"}),
		"for somebody else":            signed(map[string]any{"aud": "other"}),
		"expired":                      signed(map[string]any{"exp": now.Unix() - 1}),
		"for ever":                     signed(map[string]any{"exp": nil}),
		"not yet":                      signed(map[string]any{"nbf": later}),
		"from tomorrow":                signed(map[string]any{"iat": later}),
		"no session":                   signed(map[string]any{"sid": "0123456789ab"}),
		"somebody else's session":      signed(map[string]any{"sub": "mallory"}),
	}
}
