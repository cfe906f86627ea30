package auth

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Verifier believes tokens that another issuer has signed.
type Verifier interface {
	// Issuer is what the claim iss of its tokens says.
	Issuer() string
	// Verify finds who a token of the issuer speaks for. It may ask the issuer for its keys,
	// for some seconds at most.
	Verify(token string, now time.Time) (Identity, error)
}

// Identity is who a token of another issuer speaks for.
type Identity struct {
	Name    string // as the issuer knows the person
	Role    Role
	Expires time.Time
}

// external is another issuer while its tokens are believed.
type external struct {
	Verifier
	ended chan struct{}
}

// SetExternal replaces the issuer whose tokens are believed beside our own; nil: nobody.
// What tokens of the one before have opened ends.
func (a *Authority) SetExternal(v Verifier) {
	var next *external
	if v != nil {
		next = &external{v, make(chan struct{})}
	}
	if old := a.external.Swap(next); old != nil {
		close(old.ended)
	}
}

// speaks reports whether a token says that it is of the issuer, which nobody has proven yet.
func (x *external) speaks(token string) bool {
	if x == nil {
		return false
	}
	_, rest, _ := strings.Cut(token, ".")
	body, _, _ := strings.Cut(rest, ".")
	b, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		return false
	}
	var c struct {
		Issuer string `json:"iss"`
	}
	return json.Unmarshal(b, &c) == nil && c.Issuer == x.Issuer()
}

func (a *Authority) verifyExternal(x *external, token string, now time.Time) (*Principal, error) {
	who, err := x.Verify(token, now)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrForeign, x.Issuer(), err)
	}
	return a.principal(Principal{Name: "oidc:" + who.Name, Role: who.Role, Expires: who.Expires.UnixMilli(), revoked: x.ended}), nil
}
