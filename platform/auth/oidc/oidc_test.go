package oidc_test

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/oauth2-proxy/mockoidc"

	"yunchu/platform/auth"
	"yunchu/platform/auth/oidc"
	"yunchu/platform/device"
)

// provider is an OpenID Connect provider of another hand, on a socket of its own.
type provider struct {
	*mockoidc.MockOIDC
	t    testing.TB
	asks atomic.Int32
}

func open(t testing.TB) *provider {
	t.Helper()
	key, err := mockoidc.RandomKeypair(2048)
	if err != nil {
		t.Fatal(err)
	}
	m, err := mockoidc.NewServer(key.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{MockOIDC: m, t: t}
	if err := m.AddMiddleware(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == mockoidc.JWKSEndpoint || r.URL.Path == mockoidc.DiscoveryEndpoint {
				p.asks.Add(1)
			}
			next.ServeHTTP(w, r)
		})
	}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(l, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Shutdown() }) // a test may have done it
	return p
}

// login goes the way of a browser and of its application: a code, and the tokens for it.
func (p *provider) login(groups ...string) (id, access string) {
	p.t.Helper()
	p.QueueUser(&mockoidc.MockUser{Subject: "u-17", Email: "eve@example.com", PreferredUsername: "eve", Groups: groups})
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer c.CloseIdleConnections()
	q := url.Values{
		"scope": {"openid profile groups"}, "state": {"s"}, "client_id": {p.ClientID}, "response_type": {"code"},
		"redirect_uri": {"http://127.0.0.1/back"},
	}
	r, err := c.Get(p.AuthorizationEndpoint() + "?" + q.Encode())
	if err != nil {
		p.t.Fatal(err)
	}
	r.Body.Close()
	back, err := r.Location()
	if err != nil {
		p.t.Fatal(err)
	}
	r, err = c.PostForm(p.TokenEndpoint(), url.Values{
		"client_id": {p.ClientID}, "client_secret": {p.ClientSecret}, "grant_type": {"authorization_code"}, "code": {back.Query().Get("code")},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	var tokens struct {
		ID     string `json:"id_token"`
		Access string `json:"access_token"`
	}
	if err := json.Unmarshal(b, &tokens); err != nil || tokens.ID == "" {
		p.t.Fatalf("the provider answers %s", b)
	}
	return tokens.ID, tokens.Access
}

// none is Records that keep nothing.
type none struct{}

func (none) Put(_, _, _ string, _ []byte, done func(error)) { done(nil) }
func (none) Act(device.Act)                                 {}
func (none) Load(string, func(string, []byte)) error        { return nil }

func (p *provider) options() oidc.Options {
	return oidc.Options{
		Issuer: p.Issuer(), Audience: p.ClientID, Claim: "groups", Name: "preferred_username",
		Roles: map[string]auth.Role{"plant-ops": auth.Operator, "plant-admins": auth.Admin, "everybody": auth.Viewer},
	}
}

func (p *provider) authority(o oidc.Options) *auth.Authority {
	p.t.Helper()
	v, err := oidc.New(o)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(v.Close)
	a, err := auth.New(none{}, time.Now(), auth.Options{External: v})
	if err != nil {
		p.t.Fatal(err)
	}
	return a
}

func TestTokensOfAnIssuer(t *testing.T) {
	p := open(t)
	a := p.authority(p.options())
	now := time.Now()
	id, access := p.login("everybody", "plant-ops", "others")
	who, err := a.Check(id, now)
	if err != nil || who.Name != "oidc:eve" || who.Role != auth.Operator || !who.May(auth.Control) || who.May(auth.Users) {
		t.Fatalf("an operator there is %+v, %v", who, err)
	}
	if who.Expires <= now.UnixMilli() || who.Expires > now.Add(p.AccessTTL+time.Minute).UnixMilli() {
		t.Errorf("it ends at %d", who.Expires)
	}
	if _, err := a.Check(access, now); !errors.Is(err, auth.ErrForeign) || !strings.Contains(err.Error(), "gives no role") {
		t.Errorf("a token without groups: %v", err)
	}
	bySubject := p.options()
	bySubject.Claim, bySubject.Name, bySubject.Roles = "sub", "", map[string]auth.Role{"u-17": auth.Auditor}
	if who, err := p.authority(bySubject).Check(access, now); err != nil || who.Role != auth.Auditor || who.Name != "oidc:u-17" {
		t.Errorf("an access token by its subject: %+v, %v", who, err)
	}
	admin, _ := p.login("plant-ops", "plant-admins")
	if who, err := a.Check(admin, now); err != nil || who.Role != auth.Admin {
		t.Errorf("the strongest role of several: %+v, %v", who, err)
	}
	for name, token := range map[string]string{"no group": first(p.login()), "another group": first(p.login("visitors"))} {
		if _, err := a.Check(token, now); !errors.Is(err, auth.ErrForeign) {
			t.Errorf("%s: %v, want ErrForeign", name, err)
		}
	}
	if _, err := a.Check(id, now.Add(p.AccessTTL+time.Second)); !errors.Is(err, auth.ErrForeign) {
		t.Errorf("an expired token: %v, want ErrForeign", err)
	}
	other := p.options()
	other.Audience = "another plant"
	if _, err := p.authority(other).Check(id, now); !errors.Is(err, auth.ErrForeign) {
		t.Errorf("a token for somebody else: %v, want ErrForeign", err)
	}
	// The issuer is no longer believed: what its tokens have opened ends.
	a.SetExternal(nil)
	select {
	case <-who.Revoked():
	default:
		t.Error("the token is not revoked")
	}
	if _, err := a.Check(id, now); !errors.Is(err, auth.ErrUnknown) {
		t.Errorf("a token of nobody's issuer: %v, want ErrUnknown", err)
	}
}

func first(id, _ string) string { return id }

func TestForgedTokensOfAnIssuer(t *testing.T) {
	p := open(t)
	a := p.authority(p.options())
	now := time.Now()
	id, _ := p.login("plant-admins")
	claims := jwt.MapClaims{}
	good, _, err := jwt.NewParser().ParseUnverified(id, claims)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := mockoidc.RandomKeypair(2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := p.Keypair.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		method jwt.SigningMethod
		key    any
		change map[string]any
	}{
		{"no signature", jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil},
		{"the public keys as a password", jwt.SigningMethodHS256, public, nil},
		{"another key", jwt.SigningMethodRS256, theirs.PrivateKey, nil},
		{"expired", jwt.SigningMethodRS256, p.Keypair.PrivateKey, map[string]any{"exp": now.Add(-time.Minute).Unix()}},
		{"for ever", jwt.SigningMethodRS256, p.Keypair.PrivateKey, map[string]any{"exp": nil}},
		{"not yet", jwt.SigningMethodRS256, p.Keypair.PrivateKey, map[string]any{"nbf": now.Add(time.Hour).Unix()}},
		{"for nobody", jwt.SigningMethodRS256, p.Keypair.PrivateKey, map[string]any{"aud": nil}},
		{"another issuer", jwt.SigningMethodRS256, p.Keypair.PrivateKey, map[string]any{"iss": p.Issuer() + "/x"}},
		{"our own issuer", jwt.SigningMethodRS256, p.Keypair.PrivateKey, map[string]any{"iss": "yunchu"}},
		{"no name", jwt.SigningMethodRS256, p.Keypair.PrivateKey, map[string]any{"preferred_username": nil}},
	} {
		says := maps.Clone(claims)
		for k, v := range tt.change {
			if says[k] = v; v == nil {
				delete(says, k)
			}
		}
		x := jwt.NewWithClaims(tt.method, says)
		x.Header["kid"] = good.Header["kid"]
		text, err := x.SignedString(tt.key)
		if err != nil {
			t.Fatal(err)
		}
		if who, err := a.Check(text, now); !errors.Is(err, auth.ErrUnknown) {
			t.Errorf("%s: %+v, %v; want ErrUnknown", tt.name, who, err)
		}
	}
}

// TestIssuerChangesItsKeysAndGoesAway: a new key is found, the issuer is not asked for each
// token that names one, and those that are known are used on without it.
func TestIssuerChangesItsKeysAndGoesAway(t *testing.T) {
	p := open(t)
	a := p.authority(p.options())
	now := time.Now()
	if _, err := a.Check(first(p.login("plant-ops")), now); err != nil {
		t.Fatal(err)
	}
	old := p.Keypair
	next, err := mockoidc.RandomKeypair(2048)
	if err != nil {
		t.Fatal(err)
	}
	p.Keypair = next
	if _, err := a.Check(first(p.login("plant-ops")), now); err != nil {
		t.Errorf("after the issuer has changed its key: %v", err)
	}
	asked := p.asks.Load()
	p.Keypair = old // which the issuer does not show any more, so that each looks new
	for range 50 {
		text := first(p.login("plant-ops"))
		p.Keypair = next
		if _, err := a.Check(text, now); !errors.Is(err, auth.ErrForeign) {
			t.Fatalf("a token of a key that is gone: %v", err)
		}
		p.Keypair = old
	}
	if n := p.asks.Load() - asked; n > 10 {
		t.Errorf("50 tokens of an unknown key had the issuer asked %d times", n)
	}
	p.Keypair = next
	fresh := first(p.login("plant-admins"))
	if err := p.Shutdown(); err != nil {
		t.Fatal(err)
	}
	if who, err := a.Check(fresh, now); err != nil || who.Role != auth.Admin {
		t.Errorf("while the issuer is away: %+v, %v", who, err)
	}
	// Who has never asked it cannot believe it, and is not held up.
	if _, err := p.authority(p.options()).Check(fresh, now); !errors.Is(err, auth.ErrForeign) {
		t.Errorf("without the issuer: %v, want ErrForeign", err)
	}
}

func FuzzClaims(f *testing.F) {
	p := open(f)
	a := p.authority(p.options())
	f.Add(first(p.login("plant-ops")) + "x")
	f.Add("eyJhbGciOiJub25lIn0." + "eyJpc3MiOiJ4In0" + ".")
	f.Fuzz(func(t *testing.T, token string) {
		if who, err := a.Check(token, time.Now()); err == nil {
			t.Errorf("%q speaks for %s", token, who.Name)
		}
	})
}
