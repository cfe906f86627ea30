// Package auth knows who may do what: users with passwords, bearer tokens // Package auth knows who may do what: users with passwords, bearer tokens with
// roles, and policies in Cedar that say which role may take which action.
//
// There is no default password. A plant without an administrator prints a setup
// token at each start; whoever holds it names the first administrator. From then
// on people log in, and machines get tokens that
// an administrator issues. A token is 256 random bits, shown once; what is kept
// is its SHA-256, so a stolen record opens nothing. People get a session: access
// tokens of some minutes (JWT, Ed25519), each renewed with a refresh token that
// is good once.
//
// The truth about users and tokens lies with Records, the log of the plant; an
// Authority holds all of it in memory and answers from there. Whoever calls
// passes the time: the package has no clock.
package auth

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"yunchu/platform/device"
)

// Errors that callers branch on.
var (
	// ErrUnknown: no such token, or one that has expired or was revoked.
	ErrUnknown = errors.New("token unknown, expired or revoked")
	// ErrForged is an ErrUnknown of a signed token that this plant has not signed, or not
	// for this.
	ErrForged = fmt.Errorf("%w: not signed by this plant for this", ErrUnknown)
	// ErrForeign is an ErrUnknown of a token of another issuer that is not believed.
	ErrForeign = fmt.Errorf("%w: not believed", ErrUnknown)
	// ErrRefresh: no session has this refresh token, or the session is over.
	ErrRefresh = errors.New("refresh token unknown, used or expired")
	// ErrCredentials: user and password do not belong together. It does not say
	// whether the user exists.
	ErrCredentials = errors.New("wrong user or password")
	// ErrSetup: the setup token is wrong, older than an hour or used up.
	ErrSetup = errors.New("setup token wrong, expired or used")
	// ErrSetupDone: the plant has an administrator already.
	ErrSetupDone = errors.New("setup is done")
	// ErrInvalid: a name, password, role or device that cannot be accepted.
	ErrInvalid = errors.New("invalid")
	// ErrNotFound: no such user, or no token with this id.
	ErrNotFound = errors.New("not found")
	// ErrLastAdmin: the plant would be left without an administrator.
	ErrLastAdmin = errors.New("the last administrator cannot go")
	// ErrBusy: too many passwords are being checked at this moment.
	ErrBusy = errors.New("too many logins at once")
)

// TooManyError refuses a login that would be one of too many.
type TooManyError struct{ Wait time.Duration }

// Error implements error.
func (e *TooManyError) Error() string {
	return fmt.Sprintf("too many attempts; the next one is open in %s", e.Wait.Round(time.Second))
}

// The kinds of records that an Authority keeps.
const (
	KindUser    = "user"
	KindToken   = "token"
	KindSession = "session"
)

// Records keeps what an Authority must not forget. The newest value of a kind
// and key holds; an empty value deletes it.
type Records interface {
	// Put makes a value durable and then calls done exactly once. by is who asks.
	Put(kind, key, by string, value []byte, done func(error))
	// Act puts down, for the audit, what somebody did or tried. It does not wait, and
	// sets the act's time.
	Act(a device.Act)
	// Load calls each with every record of the kind that is not deleted.
	Load(kind string, each func(key string, value []byte)) error
}

// SetupLife is how long a setup token is good.
const SetupLife = time.Hour

// Options adjust an Authority.
type Options struct {
	// Static is a token that comes from the environment and counts as an
	// engineer's; at least 16 characters, empty for none. It is never stored.
	Static string
	// Users are those that the configuration names, beside those of the records. It wins
	// where both name one.
	Users []User
	// External believes the tokens of another issuer; nil: there is none.
	External Verifier
	// Policies decide; nil stands for those that ship.
	Policies *Policies
	// Keys sign access tokens; nil makes one that is kept in memory.
	Keys *Keys
	// Issuer is who access tokens say that they are from; empty stands for yunchu.
	Issuer string
	// Rand is the source of secrets; nil stands for crypto/rand.
	Rand io.Reader
	// Log receives the audit trail; nil discards it.
	Log *slog.Logger
}

// MinStatic is the shortest token that may come from the environment.
const MinStatic = 16

// Authority answers who a token speaks for and manages users and tokens. It is
// safe for use by several goroutines.
type Authority struct {
	records  Records
	keys     *Keys
	issuer   string
	seen     verified
	policies atomic.Pointer[Policies]
	devices  atomic.Pointer[func(id device.ID) Place]
	external atomic.Pointer[external]
	rand     io.Reader
	log      *slog.Logger
	hasher   *hasher
	attempts *attempts
	refusals refusals

	change sync.Mutex // one change at a time, held while it becomes durable
	looked time.Time  // for what has expired, under change
	swept  time.Time  // likewise

	mu     sync.RWMutex
	tokens map[[sha256.Size]byte]*Principal
	byID   map[string]*token
	users  map[string]*user // of the records
	fixed  map[string]*user // of the configuration
	setup  setup

	sessions map[string]*session
	families map[[sha256.Size]byte]*session // those that are not over
	expired  []expired                      // to be deleted from the records, under change
}

type setup struct {
	hash    [sha256.Size]byte
	expires time.Time // zero when there is none
}

// token is a record of KindToken; its key is the ID.
type token struct {
	ID      string    `json:"id"`
	Name    string    `json:"name,omitempty"`
	Role    Role      `json:"role"`
	Device  device.ID `json:"deviceId,omitempty"`
	User    string    `json:"user,omitempty"` // whose session it is; sessions were tokens once
	Hash    []byte    `json:"sha256"`
	Created int64     `json:"created"`           // ms UTC
	Expires int64     `json:"expires,omitempty"` // ms UTC; 0 never
	By      string    `json:"by,omitempty"`

	principal *Principal
}

// New reads the records. The error names the record that cannot be read.
func New(r Records, now time.Time, o Options) (*Authority, error) {
	a := &Authority{
		records: r, rand: o.Rand, log: o.Log, attempts: newAttempts(), looked: now,
		tokens: map[[sha256.Size]byte]*Principal{}, byID: map[string]*token{}, users: map[string]*user{},
		sessions: map[string]*session{}, families: map[[sha256.Size]byte]*session{}, keys: o.Keys, issuer: cmp.Or(o.Issuer, "yunchu"),
	}
	if a.rand == nil {
		a.rand = rand.Reader
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	h, err := newHasher(a.rand)
	if err != nil {
		return nil, err
	}
	a.hasher = h
	if a.fixed, err = configured(o.Users); err != nil {
		return nil, err
	}
	a.SetExternal(o.External)
	a.policies.Store(o.Policies)
	if o.Policies == nil {
		p, err := ParsePolicies("", nil)
		if err != nil {
			return nil, err
		}
		a.policies.Store(p)
	}
	if a.keys == nil {
		if a.keys, err = OpenKeys("", a.rand, now); err != nil {
			return nil, err
		}
	}
	if o.Static != "" {
		if len(o.Static) < MinStatic || len(o.Static) > maxToken {
			return nil, fmt.Errorf("%w: the token from the environment must have %d to %d characters", ErrInvalid, MinStatic, maxToken)
		}
		a.tokens[sha256.Sum256([]byte(o.Static))] = a.principal(Principal{Name: "token:environment", Role: Engineer, Token: "environment", revoked: make(chan struct{})})
	}
	return a, a.load(now)
}

func (a *Authority) load(now time.Time) error {
	var faults []error
	read := func(kind, key string, value []byte, into any) bool {
		if err := json.Unmarshal(value, into); err != nil {
			faults = append(faults, fmt.Errorf("read %s %q: %w", kind, key, err))
			return false
		}
		return true
	}
	err := a.records.Load(KindUser, func(key string, value []byte) {
		u := &user{}
		if read(KindUser, key, value, u) {
			a.users[u.Name] = u
		}
	})
	if err != nil {
		return fmt.Errorf("load users: %w", err)
	}
	err = a.records.Load(KindToken, func(key string, value []byte) {
		t := &token{}
		if !read(KindToken, key, value, t) || t.Expires != 0 && t.Expires <= now.UnixMilli() {
			return
		}
		if len(t.Hash) != sha256.Size {
			faults = append(faults, fmt.Errorf("read token %q: no hash", key))
			return
		}
		a.add(t)
	})
	if err != nil {
		return fmt.Errorf("load tokens: %w", err)
	}
	err = a.records.Load(KindSession, func(key string, value []byte) {
		s := &session{}
		if !read(KindSession, key, value, s) {
			return
		}
		if len(s.Family) != sha256.Size || len(s.Current) != sha256.Size {
			faults = append(faults, fmt.Errorf("read session %q: no hash", key))
			return
		}
		a.resume(s, now)
	})
	if err != nil {
		return fmt.Errorf("load sessions: %w", err)
	}
	return errors.Join(faults...)
}

func (a *Authority) add(t *token) {
	t.principal = a.principal(Principal{
		Name: t.principalName(), Role: t.Role, Device: t.Device, Token: t.ID, Expires: t.Expires,
		revoked: make(chan struct{}),
	})
	a.tokens[[sha256.Size]byte(t.Hash)] = t.principal
	a.byID[t.ID] = t
}

func (t *token) principalName() string {
	switch {
	case t.User != "":
		return "user:" + t.User
	case t.Device != "":
		return "device:" + string(t.Device)
	case t.Name != "":
		return "token:" + t.Name
	}
	return "token:" + t.ID
}

// Check finds who a token speaks for. ErrUnknown when it speaks for nobody.
func (a *Authority) Check(token string, now time.Time) (*Principal, error) {
	if token == "" || len(token) > maxToken {
		return nil, ErrUnknown
	}
	if isJWT(token) {
		if p := a.seen.get(token); p != nil && p.good(now) {
			return p, nil
		}
		verify := a.verify
		if x := a.external.Load(); x.speaks(token) {
			verify = func(token string, now time.Time) (*Principal, error) { return a.verifyExternal(x, token, now) }
		}
		p, err := verify(token, now)
		if err == nil {
			a.seen.put(token, p, now)
		}
		return p, err
	}
	// A look-up by hash gives away nothing by its time: who could choose the
	// hash would have the token.
	var room [128]byte
	hash := sha256.Sum256(append(room[:0], token...))
	a.mu.RLock()
	p := a.tokens[hash]
	a.mu.RUnlock()
	if p == nil || !p.good(now) {
		return nil, ErrUnknown
	}
	return p, nil
}

// put stores a record and waits until it is durable. On an error of ctx nobody
// can say whether it is.
func (a *Authority) put(ctx context.Context, kind, key, by string, record any) error {
	var value []byte
	if record != nil {
		var err error
		if value, err = json.Marshal(record); err != nil {
			return fmt.Errorf("write %s %q: %w", kind, key, err)
		}
	}
	stored := make(chan error, 1)
	a.records.Put(kind, key, by, value, func(err error) { stored <- err })
	select {
	case err := <-stored:
		if err != nil {
			return fmt.Errorf("store %s %q: %w", kind, key, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("store %s %q: %w", kind, key, ctx.Err())
	}
}
