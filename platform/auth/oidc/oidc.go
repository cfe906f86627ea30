// Package oidc believes the tokens of an OpenID Connect issuer: it finds the issuer's keys
// by discovery, keeps them, and turns a claim into a role.
//
// The issuer may be away. Keys that were read once are used on; those that are not known
// are asked for, a few times a minute at most, whoever sends tokens that name them.
package oidc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/time/rate"

	"yunchu/platform/auth"
)

// Options say whose tokens are believed, and for what. Issuer, Audience and Roles are
// required.
type Options struct {
	Issuer   string               // its URL, as its tokens say it
	Audience string               // whom tokens must be for
	Claim    string               // that holds a role's name or a list of them; dots lead into objects
	Name     string               // claim that names the person; empty: sub
	Roles    map[string]auth.Role // by what the claim says
	CA       string               // path of the authority of its certificate; empty: the system's
	Log      *slog.Logger         // nil: none
}

// How the issuer is asked.
const (
	askEvery = 10 * time.Second // on average
	askBurst = 6
	askTime  = 5 * time.Second
	maxName  = 128
)

// algorithms are those of public keys. A token chooses among them, never what is not here.
var algorithms = []string{
	goidc.RS256, goidc.RS384, goidc.RS512, goidc.ES256, goidc.ES384, goidc.ES512, goidc.PS256, goidc.PS384, goidc.PS512, goidc.EdDSA,
}

// order is which role counts where a claim names several.
var order = []auth.Role{auth.Admin, auth.Engineer, auth.Operator, auth.Auditor, auth.Viewer}

// Verifier believes the tokens of one issuer. It is an auth.Verifier.
type Verifier struct {
	o      Options
	client *http.Client

	mu       sync.Mutex
	provider *goidc.Provider // nil until it was found
}

var _ auth.Verifier = (*Verifier)(nil)

// New returns a verifier. It asks the issuer when the first token comes.
func New(o Options) (*Verifier, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	t := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, Proxy: http.ProxyFromEnvironment, IdleConnTimeout: time.Minute}
	if o.CA != "" {
		pem, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, fmt.Errorf("authority of %s: %w", o.Issuer, err)
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("authority of %s: %s holds no certificate", o.Issuer, o.CA)
		}
	}
	limited := &sparing{t, rate.NewLimiter(rate.Every(askEvery), askBurst)}
	return &Verifier{o: o, client: &http.Client{Transport: limited, Timeout: askTime}}, nil
}

// sparing asks no more often than it may.
type sparing struct {
	next  http.RoundTripper
	limit *rate.Limiter
}

var errOften = errors.New("the issuer was asked too often")

// RoundTrip implements http.RoundTripper.
func (s *sparing) RoundTrip(r *http.Request) (*http.Response, error) {
	if !s.limit.Allow() {
		return nil, errOften
	}
	return s.next.RoundTrip(r)
}

// Close lets go of connections that nothing uses.
func (v *Verifier) Close() { v.client.CloseIdleConnections() }

// Issuer implements auth.Verifier.
func (v *Verifier) Issuer() string { return v.o.Issuer }

func (v *Verifier) find(ctx context.Context) (*goidc.Provider, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.provider != nil {
		return v.provider, nil
	}
	p, err := goidc.NewProvider(goidc.ClientContext(ctx, v.client), v.o.Issuer)
	if err != nil {
		v.o.Log.Warn("issuer of tokens not found", "issuer", v.o.Issuer, "error", err)
		return nil, err
	}
	v.provider = p
	return p, nil
}

// Verify implements auth.Verifier.
func (v *Verifier) Verify(token string, now time.Time) (auth.Identity, error) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	p, err := v.find(ctx)
	if err != nil {
		return auth.Identity{}, err
	}
	t, err := p.Verifier(&goidc.Config{
		ClientID: v.o.Audience, SupportedSigningAlgs: algorithms, Now: func() time.Time { return now },
	}).Verify(ctx, token)
	if err != nil {
		return auth.Identity{}, err
	}
	var claims map[string]any
	if err := t.Claims(&claims); err != nil {
		return auth.Identity{}, err
	}
	who := auth.Identity{Name: t.Subject, Expires: t.Expiry, Role: v.role(claims)}
	if v.o.Name != "" {
		who.Name, _ = find(claims, v.o.Name).(string)
	}
	switch {
	case who.Role == 0:
		return who, fmt.Errorf("the claim %s gives no role", v.o.Claim)
	case who.Name == "" || len(who.Name) > maxName:
		return who, errors.New("the token names nobody")
	case t.Expiry.IsZero() || !now.Before(t.Expiry):
		return who, &goidc.TokenExpiredError{Expiry: t.Expiry}
	}
	return who, nil
}

// find is the claim at a path of names with dots between.
func find(claims map[string]any, path string) any {
	if v, whole := claims[path]; whole { // a name may have dots itself, as a URL does
		return v
	}
	first, rest, more := strings.Cut(path, ".")
	if !more {
		return nil
	}
	inner, _ := claims[first].(map[string]any)
	return find(inner, rest)
}

func (v *Verifier) role(claims map[string]any) auth.Role {
	var said []any
	switch x := find(claims, v.o.Claim).(type) {
	case []any:
		said = x
	default:
		said = []any{x}
	}
	has := map[auth.Role]bool{}
	for _, x := range said {
		if s, ok := x.(string); ok {
			has[v.o.Roles[s]] = true
		}
	}
	for _, r := range order {
		if has[r] {
			return r
		}
	}
	return 0
}
