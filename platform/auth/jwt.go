package auth

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// AccessLife is how long an access token is good.
const AccessLife = 15 * time.Minute

// accessType is the typ of an access token (RFC 9068): no other token that a key of ours
// may ever sign is taken for one.
const accessType = "at+jwt"

// audience is who access tokens are for.
const audience = "yunchu"

// accessClaims is what an access token says. The role is for its reader; what counts is
// that of the session.
type accessClaims struct {
	jwt.RegisteredClaims
	Role    Role   `json:"role"`
	Session string `json:"sid"`
}

// signAccess makes an access token of the session.
func (a *Authority) signAccess(s *session, now time.Time) (text string, expires time.Time, err error) {
	key, due := a.keys.signer(now)
	if due {
		if err := a.keys.Rotate(now, false); err != nil {
			a.log.Error("key of access tokens not changed, the old one stays", "error", err)
		}
		key, _ = a.keys.signer(now)
	}
	// Whole seconds, as the token says it.
	expires = now.Add(AccessLife).Truncate(time.Second)
	if end := time.UnixMilli(s.Expires).Truncate(time.Second); end.Before(expires) {
		expires = end
	}
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, &accessClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: a.issuer, Audience: jwt.ClaimStrings{audience}, Subject: s.User,
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(expires),
		},
		Role: s.Role, Session: s.ID,
	})
	t.Header["kid"], t.Header["typ"] = key.id, accessType
	text, err = t.SignedString(key.secret)
	return text, expires, err
}

// Keys are the public keys of access tokens, oldest first.
func (a *Authority) Keys() []JWK { return a.keys.Public() }

// Reload reads the keys again, those that another process has made.
func (a *Authority) Reload(now time.Time) error {
	defer a.seen.forget()
	return a.keys.Reload(now)
}

// isJWT tells a signed token from ours, which begin otherwise.
func isJWT(token string) bool {
	return strings.HasPrefix(token, "eyJ") && strings.Count(token, ".") == 2
}

// verify finds whose session an access token belongs to.
func (a *Authority) verify(token string, now time.Time) (*Principal, error) {
	p := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithIssuer(a.issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithNotBeforeRequired(), jwt.WithIssuedAt(), jwt.WithStrictDecoding(),
		jwt.WithTimeFunc(func() time.Time { return now }),
	)
	var c accessClaims
	t, err := p.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		id, _ := t.Header["kid"].(string)
		if key := a.keys.verifier(id, now); key != nil {
			return key, nil
		}
		return nil, errors.New("no such key")
	})
	switch {
	case errors.Is(err, jwt.ErrTokenExpired): // which is looked at once the signature is right
		return nil, ErrUnknown
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrForged, err)
	case t.Header["typ"] != accessType:
		return nil, fmt.Errorf("%w: it is no access token", ErrForged)
	}
	a.mu.RLock()
	s := a.sessions[c.Session]
	a.mu.RUnlock()
	if s == nil || s.over() || s.User != c.Subject {
		return nil, ErrUnknown
	}
	return a.principal(Principal{Name: userName(s.User), Role: s.Role, Token: s.ID, Expires: c.ExpiresAt.UnixMilli(), revoked: s.ended}), nil
}

// verified remembers whom signed tokens and certificates speak for: to check a signature
// takes fifty times as long as to look it up.
type verified struct {
	mu   sync.RWMutex
	list map[string]*Principal
}

func (v *verified) get(token string) *Principal {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.list[token]
}

func (v *verified) put(token string, p *Principal, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.list == nil {
		v.list = map[string]*Principal{}
	}
	makeRoom(v.list, func(p *Principal) bool { return !p.good(now) })
	v.list[token] = p
}

// forget lets go of all: keys or policies have changed.
func (v *verified) forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.list = nil
}
