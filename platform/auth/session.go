package auth

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"yunchu/platform/device"
)

// Bounds of sessions. The oldest of a user makes room for a new one.
const (
	SessionLife     = 12 * time.Hour // from the login; refreshing does not move it
	sessionsOfUser  = 16
	sessionsOfPlant = 10_000
	// Each refresh is a record in the log: nobody needs more than one for a token's life.
	refreshEvery = time.Minute
	refreshBurst = 10
)

// session is a record of KindSession; its key is the ID. A refresh token has two halves:
// one is the session's for its life, the other changes with each refresh. Whoever sends
// the first with another second one holds a copy.
type session struct {
	ID      string `json:"id"`
	User    string `json:"user"`
	Role    Role   `json:"role"`
	Family  []byte `json:"hash"`        // SHA-256 of the half that stays
	Current []byte `json:"sha256"`      // of the half that changes
	Of      []byte `json:"credentials"` // fingerprint of the user's password hash
	Created int64  `json:"created"`     // ms UTC
	Expires int64  `json:"expires"`     // ms UTC
	Renewed int64  `json:"renewed"`     // ms UTC

	ended chan struct{}
	pace  *rate.Limiter // of refreshes
}

func (s *session) open() {
	s.ended, s.pace = make(chan struct{}), rate.NewLimiter(rate.Every(refreshEvery), refreshBurst)
}

func (s *session) over() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// end ends it at once; it may be repeated, under Authority.mu.
func (s *session) end() {
	if !s.over() {
		close(s.ended)
	}
}

func (s *session) info() TokenInfo {
	return TokenInfo{
		ID: s.ID, Role: s.Role, User: s.User, By: "login",
		Created: time.UnixMilli(s.Created).UTC(), Expires: time.UnixMilli(s.Expires).UTC(),
	}
}

// Session is what a login gives: an access token, which ends soon, and a refresh token for
// the next one.
type Session struct {
	Issued
	Refresh        string
	RefreshExpires time.Time // of the session
}

// fingerprint changes with the password.
func (u *user) fingerprint() []byte {
	sum := sha256.Sum256([]byte(u.Password))
	return sum[:8]
}

// holds reports whether the session is still one of the user's.
func (u *user) holds(s *session) bool {
	return u != nil && u.Role == s.Role && subtle.ConstantTimeCompare(u.fingerprint(), s.Of) == 1
}

// resume takes a session of the records, once the users are known. One of a user who is
// gone, or has another role or password, is over.
func (a *Authority) resume(s *session, now time.Time) {
	if s.Expires <= now.UnixMilli() || !a.findUser(s.User).holds(s) {
		a.expired = append(a.expired, expired{KindSession, s.ID})
		return
	}
	s.open()
	a.addSession(s)
}

func (a *Authority) addSession(s *session) {
	a.sessions[s.ID] = s
	a.families[[sha256.Size]byte(s.Family)] = s
}

func (a *Authority) dropSession(s *session) {
	s.end()
	delete(a.families, [sha256.Size]byte(s.Family))
}

// begin opens a session for a user whose password was right.
func (a *Authority) begin(ctx context.Context, now time.Time, u *user, by string) (Session, error) {
	family, familyHash, err := a.mint("refresh")
	if err != nil {
		return Session{}, err
	}
	s := &session{
		ID: hex.EncodeToString(familyHash[:6]), User: u.Name, Role: u.Role, Family: familyHash[:], Of: u.fingerprint(),
		Created: now.UnixMilli(), Expires: now.Add(SessionLife).UnixMilli(),
	}
	s.open()
	if err := a.makeRoomFor(ctx, now, u.Name); err != nil {
		return Session{}, err
	}
	out, err := a.renew(ctx, now, s, family, by)
	if err != nil {
		return Session{}, err
	}
	a.mu.Lock()
	a.addSession(s)
	a.mu.Unlock()
	return out, nil
}

// renew gives a session its next pair of tokens. s changes only once that is durable.
func (a *Authority) renew(ctx context.Context, now time.Time, s *session, family, by string) (Session, error) {
	half, err := a.draw()
	if err != nil {
		return Session{}, err
	}
	hash := sha256.Sum256([]byte(half))
	text, expires, err := a.signAccess(s, now)
	if err != nil {
		return Session{}, fmt.Errorf("sign an access token: %w", err)
	}
	next := *s
	next.Current, next.Renewed = hash[:], now.UnixMilli()
	if err := a.put(ctx, KindSession, s.ID, by, &next); err != nil {
		return Session{}, err
	}
	a.mu.Lock()
	s.Current, s.Renewed = next.Current, next.Renewed
	a.mu.Unlock()
	out := Session{Issued: Issued{text, s.info()}, Refresh: family + "." + half, RefreshExpires: s.info().Expires}
	out.Expires = expires.UTC()
	return out, nil
}

// makeRoomFor ends the oldest sessions where there are too many.
func (a *Authority) makeRoomFor(ctx context.Context, now time.Time, name string) error {
	a.sweep(now)
	a.mu.RLock()
	var mine, all []*session
	for _, s := range a.sessions {
		all = append(all, s)
		if s.User == name {
			mine = append(mine, s)
		}
	}
	a.mu.RUnlock()
	list, most := mine, sessionsOfUser
	if len(mine) < most {
		list, most = all, sessionsOfPlant
	}
	if len(list) < most {
		return nil
	}
	oldest := slices.MinFunc(list, func(x, y *session) int { return cmp.Compare(x.Renewed, y.Renewed) })
	return a.revoke(ctx, oldest.ID, "room")
}

// family finds the session of a refresh token, and whether it is its newest one.
func (a *Authority) family(refresh string) (s *session, family string, newest bool) {
	if len(refresh) > maxToken {
		return nil, "", false
	}
	family, half, _ := strings.Cut(refresh, ".")
	hash := sha256.Sum256([]byte(half))
	a.mu.RLock()
	defer a.mu.RUnlock()
	s = a.families[sha256.Sum256([]byte(family))]
	return s, family, s != nil && subtle.ConstantTimeCompare(hash[:], s.Current) == 1
}

// Refresh trades a refresh token for the next pair. Each is good once: an older one of the
// session is a copy in somebody's hands, and ends the session. ErrRefresh when it is not
// good, a TooManyError when it comes too soon.
func (a *Authority) Refresh(ctx context.Context, now time.Time, host, refresh string) (Session, error) {
	a.change.Lock()
	defer a.change.Unlock()
	s, family, newest := a.family(refresh)
	switch {
	case s == nil || s.over() || s.Expires <= now.UnixMilli():
		return Session{}, ErrRefresh
	case !newest:
		a.log.Warn("refresh token used twice, session ended", "session", s.ID, "user", s.User, "host", host)
		a.records.Act(device.Act{Type: "refresh", Source: userName(s.User), From: host, Subject: s.ID, Outcome: "failed", Text: "a refresh token was used twice: the session is ended"})
		if err := a.revoke(ctx, s.ID, "reuse"); err != nil {
			a.log.Error("end of a session is not durable", "session", s.ID, "error", err)
		}
		return Session{}, ErrRefresh
	case !s.pace.AllowN(now, 1):
		return Session{}, &TooManyError{refreshEvery}
	}
	return a.renew(ctx, now, s, family, userName(s.User))
}

// Logout ends the session of a refresh token, also of one that was used. ErrRefresh when
// there is none.
func (a *Authority) Logout(ctx context.Context, host, refresh string) error {
	a.change.Lock()
	defer a.change.Unlock()
	s, _, _ := a.family(refresh)
	if s == nil {
		return ErrRefresh
	}
	a.records.Act(device.Act{Type: "logout", Source: userName(s.User), From: host, Subject: s.ID, Outcome: "done"})
	return a.revoke(ctx, s.ID, userName(s.User))
}
