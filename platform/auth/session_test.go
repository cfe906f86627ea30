package auth_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"yunchu/platform/auth"
)

func TestRefreshTokensAreGoodOnce(t *testing.T) {
	m := &memory{}
	a, first := withAdmin(t, m)
	ctx := t.Context()
	if !first.Expires.Equal(start.Add(auth.AccessLife)) || !first.RefreshExpires.Equal(start.Add(auth.SessionLife)) {
		t.Errorf("the access token ends at %s, the session at %s", first.Expires, first.RefreshExpires)
	}
	now := start.Add(10 * time.Minute)
	second, err := a.Refresh(ctx, now, "h", first.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{"first": first.Secret, "second": second.Secret} {
		if p, err := a.Check(token, now); err != nil || p.Role != auth.Admin || p.Name != "user:alice" {
			t.Errorf("the %s access token: %+v, %v", name, p, err)
		}
	}
	if _, err := a.Check(first.Secret, start.Add(auth.AccessLife)); !errors.Is(err, auth.ErrUnknown) {
		t.Errorf("an access token at its end: %v, want ErrUnknown", err)
	}
	// It goes on after a restart, from the records alone.
	keys, err := auth.OpenKeys("", rand.Reader, start)
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, m, auth.Options{Keys: keys})
	third, err := b.Refresh(ctx, now, "h", second.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	if third.RefreshExpires != first.RefreshExpires {
		t.Errorf("refreshing moved the end of the session to %s", third.RefreshExpires)
	}
	p, err := b.Check(third.Secret, now)
	if err != nil {
		t.Fatal(err)
	}
	// A stranger who knows no half of it changes nothing.
	half, _, _ := strings.Cut(third.Refresh, ".")
	for _, guess := range []string{"", ".", "yc_refresh_guess.guess", third.ID, strings.Repeat("x", 5000)} {
		if _, err := b.Refresh(ctx, now, "evil", guess); !errors.Is(err, auth.ErrRefresh) {
			t.Errorf("a guess %.20q: %v, want ErrRefresh", guess, err)
		}
	}
	if _, err := b.Check(third.Secret, now); err != nil {
		t.Fatalf("guesses ended the session: %v", err)
	}
	// An older one of the session is a copy in somebody's hands.
	if _, err := b.Refresh(ctx, now, "thief", first.Refresh); !errors.Is(err, auth.ErrRefresh) {
		t.Errorf("the first refresh token again: %v, want ErrRefresh", err)
	}
	select {
	case <-p.Revoked():
	default:
		t.Error("the access token of a stolen session is not revoked")
	}
	if _, err := b.Check(third.Secret, now); !errors.Is(err, auth.ErrUnknown) {
		t.Errorf("the access token of a stolen session: %v, want ErrUnknown", err)
	}
	for _, c := range []*auth.Authority{b, open(t, m, auth.Options{})} {
		if _, err := c.Refresh(ctx, now, "h", third.Refresh); !errors.Is(err, auth.ErrRefresh) {
			t.Errorf("the newest refresh token of a stolen session: %v, want ErrRefresh", err)
		}
	}
	told := false
	for _, act := range m.acts {
		told = told || act.Type == "refresh" && act.From == "thief" && act.Outcome == "failed"
	}
	if !told {
		t.Errorf("the reuse is not in the audit: %+v", m.acts)
	}
	for _, values := range m.values {
		for key, v := range values {
			for _, secret := range []string{third.Refresh, half, third.Secret} {
				if strings.Contains(string(v), secret) {
					t.Errorf("record %s holds a secret in clear text", key)
				}
			}
		}
	}
}

func TestRefreshThatIsNotDurableChangesNothing(t *testing.T) {
	m := &memory{}
	a, s := withAdmin(t, m)
	m.fail = errors.New("disk full")
	if got, err := a.Refresh(t.Context(), start, "h", s.Refresh); !errors.Is(err, m.fail) || got.Secret != "" || got.Refresh != "" {
		t.Errorf("Refresh with a full disk: %+v, %v", got, err)
	}
	m.fail = nil
	if _, err := a.Refresh(t.Context(), start, "h", s.Refresh); err != nil {
		t.Errorf("Refresh repeated: %v", err)
	}
}

func TestLogoutEndsTheSession(t *testing.T) {
	m := &memory{}
	a, s := withAdmin(t, m)
	other, err := a.Login(t.Context(), start, "h", "alice", password)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Logout(t.Context(), "h", s.Refresh); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Check(s.Secret, start); !errors.Is(err, auth.ErrUnknown) {
		t.Errorf("the access token after the logout: %v, want ErrUnknown", err)
	}
	if _, err := a.Check(other.Secret, start); err != nil {
		t.Errorf("another session of the user: %v", err)
	}
	if err := a.Logout(t.Context(), "h", s.Refresh); !errors.Is(err, auth.ErrRefresh) {
		t.Errorf("a second logout: %v, want ErrRefresh", err)
	}
	if got := len(m.values[auth.KindSession]); got != 1 {
		t.Errorf("%d sessions are kept, want 1", got)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	m := &memory{}
	a, first := withAdmin(t, m)
	var newest auth.Session
	for i := range 16 {
		var err error
		if newest, err = a.Login(t.Context(), start.Add(time.Duration(i+1)*time.Second), "h", "alice", password); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(m.values[auth.KindSession]); got != 16 {
		t.Errorf("%d sessions are kept, want 16", got)
	}
	now := start.Add(time.Minute)
	if _, err := a.Check(first.Secret, now); !errors.Is(err, auth.ErrUnknown) {
		t.Errorf("the oldest session: %v, want ErrUnknown", err)
	}
	var many *auth.TooManyError
	for range 10 {
		var err error
		if newest, err = a.Refresh(t.Context(), now, "h", newest.Refresh); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Refresh(t.Context(), now, "h", newest.Refresh); !errors.As(err, &many) {
		t.Errorf("the eleventh refresh in a moment: %v, want TooManyError", err)
	}
	if _, err := a.Refresh(t.Context(), now.Add(time.Minute), "h", newest.Refresh); err != nil {
		t.Errorf("a minute later: %v", err)
	}
	// What is over is deleted in time.
	const logins = 3
	for i := range logins {
		if _, err := a.Login(t.Context(), start.Add(2*auth.SessionLife+time.Duration(i)*time.Second), "h", "alice", password); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(m.values[auth.KindSession]); got != logins {
		t.Errorf("%d sessions are kept after all but %d have expired", got, logins)
	}
}

func TestUsersOfTheConfiguration(t *testing.T) {
	ctx := t.Context()
	hash := func(password string) string {
		t.Helper()
		h, err := auth.Hash(ctx, rand.Reader, password)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	if _, err := auth.Hash(ctx, rand.Reader, "short"); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("the hash of a short password: %v, want ErrInvalid", err)
	}
	dave, m := auth.User{Name: "dave", Role: auth.Operator, Hash: hash("dave's password")}, &memory{}
	a := open(t, m, auth.Options{Users: []auth.User{dave}})
	s, err := a.Login(ctx, start, "h", "dave", "dave's password")
	if err != nil {
		t.Fatal(err)
	}
	if p, err := a.Check(s.Secret, start); err != nil || p.Role != auth.Operator || p.Name != "user:dave" {
		t.Errorf("dave: %+v, %v", p, err)
	}
	if err := a.PutUser(ctx, start, "dave", auth.Admin, password, "test"); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("a change of a configured user: %v, want ErrInvalid", err)
	}
	if err := a.RemoveUser(ctx, "dave", "test"); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("a removal of a configured user: %v, want ErrInvalid", err)
	}
	if len(m.values[auth.KindUser]) != 0 {
		t.Error("a configured user is in the records")
	}
	// The same again leaves the session, also over a restart; another password ends it.
	if err := a.Configure(ctx, []auth.User{dave}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Check(s.Secret, start); err != nil {
		t.Errorf("after the same configuration: %v", err)
	}
	s, err = open(t, m, auth.Options{Users: []auth.User{dave}}).Refresh(ctx, start, "h", s.Refresh)
	if err != nil {
		t.Errorf("after a restart: %v", err)
	}
	for name, list := range map[string][]auth.User{
		"another password": {{Name: "dave", Role: auth.Operator, Hash: hash("dave's new password")}},
		"another role":     {{Name: "dave", Role: auth.Viewer, Hash: dave.Hash}},
		"gone":             nil,
	} {
		if _, err := open(t, m, auth.Options{Users: list}).Refresh(ctx, start, "h", s.Refresh); !errors.Is(err, auth.ErrRefresh) {
			t.Errorf("after a restart with %s: %v, want ErrRefresh", name, err)
		}
		b := open(t, &memory{}, auth.Options{Users: []auth.User{dave}})
		s, err := b.Login(ctx, start, "h", "dave", "dave's password")
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Configure(ctx, list); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Check(s.Secret, start); !errors.Is(err, auth.ErrUnknown) {
			t.Errorf("a session after %s: %v, want ErrUnknown", name, err)
		}
	}
	for name, u := range map[string]auth.User{
		"clear text":  {Name: "eve", Role: auth.Viewer, Hash: "eve's password"},
		"device":      {Name: "eve", Role: auth.Device, Hash: dave.Hash},
		"costly":      {Name: "eve", Role: auth.Viewer, Hash: strings.Replace(dave.Hash, "m=19456", "m=999999999", 1)},
		"wrong name":  {Name: "e v e", Role: auth.Viewer, Hash: dave.Hash},
		"cut":         {Name: "eve", Role: auth.Viewer, Hash: dave.Hash[:60]},
		"a namesake":  dave,
		"no password": {Name: "eve", Role: auth.Viewer},
	} {
		if _, err := auth.New(&memory{}, start, auth.Options{Users: []auth.User{dave, u}}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("user %q", u.Name)) {
			t.Errorf("%s: %v, want an error that names the user", name, err)
		}
	}
}

// TestConfiguredAdminNeedsNoSetup: there is an administrator already.
func TestConfiguredAdminNeedsNoSetup(t *testing.T) {
	hash, err := auth.Hash(t.Context(), rand.Reader, password)
	if err != nil {
		t.Fatal(err)
	}
	a := open(t, &memory{}, auth.Options{Users: []auth.User{{Name: "root", Role: auth.Admin, Hash: hash}}})
	if _, needed, err := a.NewSetup(start); needed || err != nil {
		t.Errorf("NewSetup: %v, %v; want none", needed, err)
	}
}
