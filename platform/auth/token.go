package auth

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"time"

	"yunchu/platform/device"
)

// maxToken bounds what is hashed for a stranger.
const maxToken = 4096

// draw makes a secret of 256 bits.
func (a *Authority) draw() (string, error) {
	var b [32]byte
	if _, err := io.ReadFull(a.rand, b[:]); err != nil {
		return "", fmt.Errorf("draw a token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}

// mint draws a token. The prefix tells secret scanners and people what they
// hold.
func (a *Authority) mint(prefix string) (secret string, hash [sha256.Size]byte, err error) {
	if secret, err = a.draw(); err != nil {
		return "", hash, err
	}
	secret = "yc_" + prefix + "_" + secret
	return secret, sha256.Sum256([]byte(secret)), nil
}

// Grant is what a new token shall be.
type Grant struct {
	Role   Role
	Device device.ID     // required for the role Device, and only for it
	Name   string        // for people; up to 64 characters
	Life   time.Duration // 0: it does not expire
}

// TokenInfo is what may be told of a token after it was shown.
type TokenInfo struct {
	ID      string
	Name    string
	Role    Role
	Device  device.ID
	User    string // whose session it is
	By      string // who issued it
	Created time.Time
	Expires time.Time // zero: never
}

func (t *token) info() TokenInfo {
	i := TokenInfo{
		ID: t.ID, Name: t.Name, Role: t.Role, Device: t.Device, User: t.User, By: t.By,
		Created: time.UnixMilli(t.Created).UTC(),
	}
	if t.Expires != 0 {
		i.Expires = time.UnixMilli(t.Expires).UTC()
	}
	return i
}

// Issued is a new token, the only time that it is shown.
type Issued struct {
	Secret string
	TokenInfo
}

// Issue makes a token durable and shows it. ErrInvalid when the grant asks for
// what cannot be.
func (a *Authority) Issue(ctx context.Context, now time.Time, by string, g Grant) (Issued, error) {
	switch {
	case !g.Role.valid():
		return Issued{}, fmt.Errorf("%w: no such role", ErrInvalid)
	case g.Role == Device && !g.Device.Valid():
		return Issued{}, fmt.Errorf("%w: a device token needs the id of its device", ErrInvalid)
	case g.Role != Device && g.Device != "":
		return Issued{}, fmt.Errorf("%w: only a device token belongs to a device", ErrInvalid)
	case len(g.Name) > 64:
		return Issued{}, fmt.Errorf("%w: a token's name has at most 64 characters", ErrInvalid)
	case g.Life < 0:
		return Issued{}, fmt.Errorf("%w: the token would have expired already", ErrInvalid)
	}
	a.change.Lock()
	defer a.change.Unlock()
	secret, hash, err := a.mint(g.Role.String())
	if err != nil {
		return Issued{}, err
	}
	t := &token{
		ID: hex.EncodeToString(hash[:6]), Name: g.Name, Role: g.Role, Device: g.Device,
		Hash: hash[:], Created: now.UnixMilli(), By: by,
	}
	if g.Life > 0 {
		t.Expires = now.Add(g.Life).UnixMilli()
	}
	a.sweep(now)
	if err := a.put(ctx, KindToken, t.ID, by, t); err != nil {
		return Issued{}, err
	}
	a.mu.Lock()
	a.add(t)
	a.mu.Unlock()
	a.log.Info("token issued", "token", t.ID, "role", t.Role.String(), "device", t.Device, "by", by)
	return Issued{secret, t.info()}, nil
}

// Tokens lists the tokens and sessions that are valid at now, oldest first, without the
// token of the environment.
func (a *Authority) Tokens(now time.Time) []TokenInfo {
	a.mu.RLock()
	defer a.mu.RUnlock()
	list := make([]TokenInfo, 0, len(a.byID))
	for _, t := range a.byID {
		if t.Expires == 0 || t.Expires > now.UnixMilli() {
			list = append(list, t.info())
		}
	}
	for _, s := range a.sessions {
		if !s.over() && s.Expires > now.UnixMilli() {
			list = append(list, s.info())
		}
	}
	slices.SortFunc(list, func(x, y TokenInfo) int {
		return cmp.Or(x.Created.Compare(y.Created), cmp.Compare(x.ID, y.ID))
	})
	return list
}

// Revoke ends a token or a session. It ends at once; an error says that the end is not
// durable yet and that Revoke should be repeated. ErrNotFound when no token has
// the id.
func (a *Authority) Revoke(ctx context.Context, id, by string) error {
	a.change.Lock()
	defer a.change.Unlock()
	return a.revoke(ctx, id, by)
}

func (a *Authority) revoke(ctx context.Context, id, by string) error {
	a.mu.Lock()
	s := a.sessions[id]
	if s != nil {
		a.dropSession(s)
	}
	a.mu.Unlock()
	if s != nil {
		if err := a.put(ctx, KindSession, id, by, nil); err != nil {
			return err
		}
		a.mu.Lock()
		delete(a.sessions, id)
		a.mu.Unlock()
		a.log.Info("session ended", "session", id, "user", s.User, "by", by)
		return nil
	}
	a.mu.Lock()
	t := a.byID[id]
	if t != nil {
		delete(a.tokens, [sha256.Size]byte(t.Hash))
		select {
		case <-t.principal.revoked: // a repetition
		default:
			close(t.principal.revoked)
		}
	}
	a.mu.Unlock()
	if t == nil {
		return fmt.Errorf("token %q: %w", id, ErrNotFound)
	}
	if err := a.put(ctx, KindToken, id, by, nil); err != nil {
		return err
	}
	a.mu.Lock()
	delete(a.byID, id)
	a.mu.Unlock()
	a.log.Info("token revoked", "token", id, "by", by)
	return nil
}

// expired is a record of something that is over.
type expired struct{ kind, id string }

// sweepAtOnce is how many expired records are deleted at once, and a second at the most: each
// is a frame of the log, where commands need room.
const sweepAtOnce = 8

// sweep forgets, now and then, tokens and sessions that have expired, and deletes some of
// their records. What is left of them is found again at the next start.
func (a *Authority) sweep(now time.Time) {
	if now.Sub(a.looked) >= time.Hour {
		a.looked = now
		a.expire(now)
	}
	if now.Sub(a.swept) < time.Second {
		return
	}
	a.swept = now
	n := min(len(a.expired), sweepAtOnce)
	for _, x := range a.expired[:n] {
		a.records.Put(x.kind, x.id, "expiry", nil, func(err error) {
			if err != nil {
				a.log.Warn("what has expired is kept in the records", "kind", x.kind, "id", x.id, "error", err)
			}
		})
	}
	a.expired = slices.Delete(a.expired, 0, n)
}

func (a *Authority) expire(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, t := range a.byID {
		if t.Expires != 0 && t.Expires <= now.UnixMilli() {
			delete(a.tokens, [sha256.Size]byte(t.Hash))
			delete(a.byID, id)
			a.expired = append(a.expired, expired{KindToken, id})
		}
	}
	for id, s := range a.sessions {
		if s.Expires <= now.UnixMilli() {
			a.dropSession(s)
			delete(a.sessions, id)
			a.expired = append(a.expired, expired{KindSession, id})
		}
	}
}
