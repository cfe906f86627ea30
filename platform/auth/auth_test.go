package auth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"yunchu/platform/auth"
	"yunchu/platform/device"
)

// memory is Records in memory; fail, when set, is what every Put answers.
type memory struct {
	mu     sync.Mutex
	values map[string]map[string][]byte
	fail   error
	acts   []device.Act
	by     string // who asked for the newest Put
}

func (m *memory) Act(a device.Act) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.acts = append(m.acts, a)
}

func (m *memory) Put(kind, key, by string, value []byte, done func(error)) {
	m.mu.Lock()
	m.by = by
	err := m.fail
	if err == nil {
		if m.values == nil {
			m.values = map[string]map[string][]byte{}
		}
		if m.values[kind] == nil {
			m.values[kind] = map[string][]byte{}
		}
		if len(value) == 0 {
			delete(m.values[kind], key)
		} else {
			m.values[kind][key] = value
		}
	}
	m.mu.Unlock()
	done(err)
}

func (m *memory) Load(kind string, each func(string, []byte)) error {
	for k, v := range m.values[kind] {
		each(k, v)
	}
	return nil
}

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const password = "correct horse battery"

func open(t testing.TB, m *memory, o auth.Options) *auth.Authority {
	t.Helper()
	a, err := auth.New(m, start, o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// withAdmin is a plant that has been set up by alice.
func withAdmin(t testing.TB, m *memory) (*auth.Authority, auth.Session) {
	t.Helper()
	a := open(t, m, auth.Options{})
	secret, ok, err := a.NewSetup(start)
	if err != nil || !ok {
		t.Fatalf("NewSetup: %v, %v", ok, err)
	}
	got, err := a.Setup(t.Context(), start, secret, "alice", password)
	if err != nil {
		t.Fatal(err)
	}
	return a, got
}

func TestSetupWorksOnce(t *testing.T) {
	m := &memory{}
	a := open(t, m, auth.Options{})
	old, _, _ := a.NewSetup(start)
	secret, _, _ := a.NewSetup(start)
	tests := []struct {
		name           string
		after          time.Duration
		secret, user   string
		password, want string
	}{
		{"a guess", 0, "yc_setup_guess", "alice", password, auth.ErrSetup.Error()},
		{"the token of an earlier start", 0, old, "alice", password, auth.ErrSetup.Error()},
		{"too late", auth.SetupLife, secret, "alice", password, auth.ErrSetup.Error()},
		{"short password", 0, secret, "alice", "elevenchars", "at least 12"},
		{"bad name", 0, secret, "alice smith", password, "letters, digits"},
		{"right", auth.SetupLife - time.Second, secret, "alice", password, ""},
		{"again", 0, secret, "mallory", password, auth.ErrSetupDone.Error()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := a.Setup(t.Context(), start.Add(tt.after), tt.secret, tt.user, tt.password)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("Setup: %v, want an error with %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			p, err := a.Check(got.Secret, start.Add(tt.after))
			if err != nil || p.Role != auth.Admin || p.Name != "user:alice" {
				t.Errorf("the answer speaks for %+v, %v; want alice as admin", p, err)
			}
			if !strings.HasPrefix(got.Refresh, "yc_refresh_") {
				t.Errorf("refresh token %q has no prefix yc_refresh_", got.Refresh)
			}
		})
	}
	if _, ok, _ := open(t, m, auth.Options{}).NewSetup(start); ok {
		t.Error("a plant with an administrator offers a setup token")
	}
}

func TestSetupRacesToOneAdmin(t *testing.T) {
	a := open(t, &memory{}, auth.Options{})
	secret, _, _ := a.NewSetup(start)
	results := make(chan error)
	for i := range 4 {
		go func() {
			_, err := a.Setup(t.Context(), start, secret, fmt.Sprintf("user%d", i), password)
			results <- err
		}()
	}
	won := 0
	for range 4 {
		if err := <-results; err == nil {
			won++
		} else if !errors.Is(err, auth.ErrSetupDone) {
			t.Errorf("a late setup: %v, want ErrSetupDone", err)
		}
	}
	if won != 1 || len(a.Users()) != 1 {
		t.Errorf("%d setups succeeded and made %d users, want 1 and 1", won, len(a.Users()))
	}
}

func TestTokensSurviveARestart(t *testing.T) {
	m := &memory{}
	a, admin := withAdmin(t, m)
	viewer, err := a.Issue(t.Context(), start, "user:alice", auth.Grant{Role: auth.Viewer, Name: "wall"})
	if err != nil {
		t.Fatal(err)
	}
	box, err := a.Issue(t.Context(), start, "user:alice", auth.Grant{Role: auth.Device, Device: "ess-1", Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for _, values := range m.values {
		for key, v := range values {
			for _, secret := range []string{admin.Secret, viewer.Secret, box.Secret, password} {
				if strings.Contains(string(v), secret) {
					t.Errorf("record %s holds a secret in clear text", key)
				}
			}
		}
	}
	b := open(t, m, auth.Options{})
	if p, err := b.Check(viewer.Secret, start.Add(1e6*time.Hour)); err != nil || p.Role != auth.Viewer || p.Name != "token:wall" {
		t.Errorf("viewer after a restart: %+v, %v", p, err)
	}
	p, err := b.Check(box.Secret, start.Add(time.Hour-time.Millisecond))
	if err != nil || !p.MayOn(auth.Ingest, "ess-1") || p.MayOn(auth.Ingest, "ess-2") || p.Name != "device:ess-1" {
		t.Errorf("device after a restart: %+v, %v", p, err)
	}
	if _, err := b.Check(box.Secret, start.Add(time.Hour)); !errors.Is(err, auth.ErrUnknown) {
		t.Errorf("an expired token: %v, want ErrUnknown", err)
	}
	if err := b.Revoke(t.Context(), viewer.ID, "test"); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, m, auth.Options{}).Check(viewer.Secret, start); !errors.Is(err, auth.ErrUnknown) {
		t.Errorf("a revoked token after a restart: %v, want ErrUnknown", err)
	}
	if got := len(b.Tokens(start.Add(2 * time.Hour))); got != 1 {
		t.Errorf("%d tokens are listed after an expiry and a revocation, want alice's session alone", got)
	}
}

func TestRevokeActsAtOnceAndCanBeRepeated(t *testing.T) {
	m := &memory{}
	a, admin := withAdmin(t, m)
	p, _ := a.Check(admin.Secret, start)
	m.fail = errors.New("disk full")
	if err := a.Revoke(t.Context(), admin.ID, "test"); !errors.Is(err, m.fail) {
		t.Errorf("Revoke with a full disk: %v, want its error", err)
	}
	select {
	case <-p.Revoked():
	default:
		t.Error("Revoked is still open")
	}
	if _, err := a.Check(admin.Secret, start); !errors.Is(err, auth.ErrUnknown) {
		t.Errorf("Check after Revoke: %v, want ErrUnknown", err)
	}
	m.fail = nil
	if err := a.Revoke(t.Context(), admin.ID, "test"); err != nil {
		t.Errorf("Revoke repeated: %v", err)
	}
	if err := a.Revoke(t.Context(), admin.ID, "test"); !errors.Is(err, auth.ErrNotFound) {
		t.Errorf("Revoke of what is gone: %v, want ErrNotFound", err)
	}
}

func TestIssueRefuses(t *testing.T) {
	a, _ := withAdmin(t, &memory{})
	for name, g := range map[string]auth.Grant{
		"no role":                 {},
		"unknown role":            {Role: 77},
		"device without id":       {Role: auth.Device},
		"device with a wrong id":  {Role: auth.Device, Device: "a b"},
		"viewer of one device":    {Role: auth.Viewer, Device: "ess-1"},
		"expired before it began": {Role: auth.Viewer, Life: -1},
		"a novel for a name":      {Role: auth.Viewer, Name: strings.Repeat("x", 65)},
	} {
		if _, err := a.Issue(t.Context(), start, "test", g); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("Issue, %s: %v, want ErrInvalid", name, err)
		}
	}
}

func TestIssueThatIsNotDurableShowsNothing(t *testing.T) {
	m := &memory{}
	a, _ := withAdmin(t, m)
	m.fail = errors.New("disk full")
	got, err := a.Issue(t.Context(), start, "test", auth.Grant{Role: auth.Viewer})
	if !errors.Is(err, m.fail) || got.Secret != "" {
		t.Errorf("Issue with a full disk: %q, %v; want no token and the error", got.Secret, err)
	}
}

func TestLogin(t *testing.T) {
	a, _ := withAdmin(t, &memory{})
	if _, err := a.Login(t.Context(), start, "10.0.0.1", "alice", "wrong password"); !errors.Is(err, auth.ErrCredentials) {
		t.Errorf("wrong password: %v, want ErrCredentials", err)
	}
	if _, err := a.Login(t.Context(), start, "10.0.0.1", "nobody", password); !errors.Is(err, auth.ErrCredentials) {
		t.Errorf("unknown user: %v, want ErrCredentials", err)
	}
	got, err := a.Login(t.Context(), start, "10.0.0.1", "alice", password)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := a.Check(got.Secret, start); err != nil || p.Name != "user:alice" {
		t.Errorf("the token speaks for %+v, %v", p, err)
	}
}

func TestGuessesAreSlowedAndTheOwnerStillGetsIn(t *testing.T) {
	a, _ := withAdmin(t, &memory{})
	ctx, now := t.Context(), start
	if _, err := a.Login(ctx, now, "home", "alice", password); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if _, err := a.Login(ctx, now, "evil", "alice", "guess"); !errors.Is(err, auth.ErrCredentials) {
			t.Fatalf("guess %d: %v", i, err)
		}
	}
	var many *auth.TooManyError
	if _, err := a.Login(ctx, now, "evil", "alice", password); !errors.As(err, &many) || many.Wait <= 0 || many.Wait > time.Minute {
		t.Fatalf("the sixth attempt, with the right password: %v, want to wait up to a minute", err)
	}
	// From many addresses: the account's own bucket stops them.
	stopped := false
	for i := range 30 {
		_, err := a.Login(ctx, now, fmt.Sprintf("evil%d", i), "alice", "guess")
		stopped = stopped || errors.As(err, &many)
	}
	if !stopped {
		t.Error("30 addresses were never slowed")
	}
	if _, err := a.Login(ctx, now, "home", "alice", password); err != nil {
		t.Errorf("the owner from a known address: %v", err)
	}
	if _, err := a.Login(ctx, now.Add(time.Minute), "evil", "alice", "guess"); !errors.Is(err, auth.ErrCredentials) {
		t.Errorf("after the wait: %v, want ErrCredentials", err)
	}
}

func TestUsers(t *testing.T) {
	m := &memory{}
	a, alice := withAdmin(t, m)
	ctx := t.Context()
	if err := a.PutUser(ctx, start, "bob", auth.Operator, "another long one", "test"); err != nil {
		t.Fatal(err)
	}
	bob, err := a.Login(ctx, start, "h", "bob", "another long one")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.PutUser(ctx, start, "bob", auth.Viewer, "yet another one", "test"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Check(bob.Secret, start); !errors.Is(err, auth.ErrUnknown) {
		t.Errorf("bob's session after a change of role: %v, want ErrUnknown", err)
	}
	if err := a.RemoveUser(ctx, "alice", "test"); !errors.Is(err, auth.ErrLastAdmin) {
		t.Errorf("removing the last administrator: %v, want ErrLastAdmin", err)
	}
	if err := a.PutUser(ctx, start, "alice", auth.Viewer, password, "test"); !errors.Is(err, auth.ErrLastAdmin) {
		t.Errorf("demoting the last administrator: %v, want ErrLastAdmin", err)
	}
	if err := a.PutUser(ctx, start, "carol", auth.Admin, "yet another one", "test"); err != nil {
		t.Fatal(err)
	}
	if err := a.RemoveUser(ctx, "alice", "test"); err != nil {
		t.Errorf("removing one of two administrators: %v", err)
	}
	if _, err := a.Check(alice.Secret, start); !errors.Is(err, auth.ErrUnknown) {
		t.Errorf("alice's session after her removal: %v, want ErrUnknown", err)
	}
	if err := a.RemoveUser(ctx, "alice", "test"); !errors.Is(err, auth.ErrNotFound) {
		t.Errorf("removing her again: %v, want ErrNotFound", err)
	}
	if err := a.PutUser(ctx, start, "box", auth.Device, password, "test"); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("a user as device: %v, want ErrInvalid", err)
	}
	if got := open(t, m, auth.Options{}).Users(); len(got) != 2 || got[0].Name != "bob" || got[0].Role != auth.Viewer {
		t.Errorf("users after a restart: %+v, want bob and carol", got)
	}
}

func TestStaticToken(t *testing.T) {
	if _, err := auth.New(&memory{}, start, auth.Options{Static: "fifteen-letters"}); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("a token of 15 characters: %v, want ErrInvalid", err)
	}
	m := &memory{}
	a := open(t, m, auth.Options{Static: "sixteen-letters!"})
	p, err := a.Check("sixteen-letters!", start.Add(1e6*time.Hour))
	if err != nil || p.Role != auth.Engineer {
		t.Errorf("Check: %+v, %v; want an engineer", p, err)
	}
	if len(m.values) != 0 || len(a.Tokens(start)) != 0 {
		t.Error("the token of the environment was stored or listed")
	}
	for _, wrong := range []string{"", "sixteen-letters", strings.Repeat("x", 10_000)} {
		if _, err := a.Check(wrong, start); !errors.Is(err, auth.ErrUnknown) {
			t.Errorf("Check of %d other characters: %v, want ErrUnknown", len(wrong), err)
		}
	}
}

func TestBrokenRecordsAreNamed(t *testing.T) {
	m := &memory{values: map[string]map[string][]byte{auth.KindToken: {"abc": []byte("{")}, auth.KindUser: {"eve": []byte("[]")}, auth.KindSession: {"s": []byte("{}")}}}
	_, err := auth.New(m, start, auth.Options{})
	if err == nil || !strings.Contains(err.Error(), `token "abc"`) || !strings.Contains(err.Error(), `user "eve"`) || !strings.Contains(err.Error(), `session "s"`) {
		t.Errorf("New: %v, want all records named", err)
	}
}

// stuck is Records whose disk never answers.
type stuck struct{ memory }

func (*stuck) Put(string, string, string, []byte, func(error)) {}

func TestPutWaitsNoLongerThanItsCaller(t *testing.T) {
	a, err := auth.New(&stuck{}, start, auth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	secret, _, _ := a.NewSetup(start)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Setup(ctx, start, secret, "alice", password); !errors.Is(err, context.Canceled) {
		t.Errorf("Setup: %v, want context.Canceled", err)
	}
}

func BenchmarkCheck(b *testing.B) {
	a, _ := withAdmin(b, &memory{})
	var secret string
	for i := range 1000 {
		got, err := a.Issue(b.Context(), start, "bench", auth.Grant{Role: auth.Viewer, Name: fmt.Sprint(i)})
		if err != nil {
			b.Fatal(err)
		}
		secret = got.Secret
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Check(secret, start); err != nil {
			b.Fatal(err)
		}
	}
}

// TestWhatExpiresLeavesTheRecordsALittleAtATime: thousands of tokens that end together do not
// fill the log.
func TestWhatExpiresLeavesTheRecordsALittleAtATime(t *testing.T) {
	m := &memory{}
	a, err := auth.New(m, start, auth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	issue := func(now time.Time, life time.Duration) {
		t.Helper()
		if _, err := a.Issue(t.Context(), now, "user:alice", auth.Grant{Role: auth.Viewer, Name: "x", Life: life}); err != nil {
			t.Fatal(err)
		}
	}
	left := func() int {
		m.mu.Lock()
		defer m.mu.Unlock()
		return len(m.values[auth.KindToken])
	}
	const short = 50
	for range short {
		issue(start, time.Minute)
	}
	const rounds = short/8 + 1
	for i := range rounds {
		now, before := start.Add(2*time.Hour+time.Duration(i)*time.Second), left()
		issue(now, 0)
		if gone := before + 1 - left(); gone > 8 || gone < 1 {
			t.Fatalf("%d records went at once", gone)
		}
		before = left()
		if issue(now, 0); left() != before+1 {
			t.Fatalf("%d records within the same second, they were %d", left(), before)
		}
	}
	if left() != 2*rounds {
		t.Fatalf("%d records are left, want the %d that do not expire", left(), 2*rounds)
	}
}
