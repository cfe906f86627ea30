package auth

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// Costs of a password hash: 19 MiB, two passes, one lane, the smallest set that
// OWASP recommends for argon2id. They are written beside each hash, so that they
// may grow and old hashes stay readable.
const (
	argonMemory  = 19 << 10 // KiB
	argonPasses  = 2
	argonLanes   = 1
	argonKey     = 32
	argonSalt    = 16
	minPassword  = 12
	maxPassword  = 256
	loginsInLine = 16 // logins that may wait for a turn
)

// hasher hashes passwords, as many at once as there are processors: a flood of
// logins waits in line, and is turned away when the line is long, instead of
// eating the memory.
type hasher struct {
	rand    io.Reader
	turn    chan struct{}
	waiting atomic.Int32
	// decoy is what an unknown user's password is checked against, so that the
	// answer takes as long as for a known one.
	decoy string
}

func newHasher(r io.Reader) (*hasher, error) {
	h := &hasher{rand: r, turn: make(chan struct{}, runtime.GOMAXPROCS(0))}
	var err error
	h.decoy, err = h.hash(context.Background(), "no such user has this password")
	return h, err
}

func (h *hasher) enter(ctx context.Context) error {
	if h.waiting.Add(1) > loginsInLine {
		h.waiting.Add(-1)
		return ErrBusy
	}
	defer h.waiting.Add(-1)
	select {
	case h.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hash is the PHC string of the password.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, argonSalt)
	if _, err := io.ReadFull(h.rand, salt); err != nil {
		return "", fmt.Errorf("draw a salt: %w", err)
	}
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer func() { <-h.turn }()
	key := argon2.IDKey([]byte(password), salt, argonPasses, argonMemory, argonLanes, argonKey)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonPasses, argonLanes,
		b64.EncodeToString(salt), b64.EncodeToString(key)), nil
}

// matches reports whether the password belongs to the hash. A hash that cannot
// be read matches nothing.
func (h *hasher) matches(ctx context.Context, hash, password string) (bool, error) {
	c, err := parseHash(hash)
	if err != nil {
		return false, err
	}
	if err := h.enter(ctx); err != nil {
		return false, err
	}
	defer func() { <-h.turn }()
	got := argon2.IDKey([]byte(password), c.salt, c.passes, c.memory, c.lanes, uint32(len(c.want)))
	return subtle.ConstantTimeCompare(got, c.want) == 1, nil
}

// phc is what the PHC string of a password says.
type phc struct {
	memory, passes uint32
	lanes          uint8
	salt, want     []byte
}

// Bounds of what a hash may cost: one comes from a file that somebody writes.
const (
	maxMemory = 256 << 10 // KiB
	maxPasses = 16
	maxLanes  = 16
)

func parseHash(hash string) (c phc, err error) {
	part := strings.Split(hash, "$")
	if len(part) != 6 || part[0] != "" || part[1] != "argon2id" {
		return c, fmt.Errorf("%w password hash: it is no $argon2id$…", ErrInvalid)
	}
	var version uint32
	if _, err := fmt.Sscanf(part[2], "v=%d", &version); err != nil || version != argon2.Version {
		return c, fmt.Errorf("%w password hash: version %q", ErrInvalid, part[2])
	}
	if _, err := fmt.Sscanf(part[3], "m=%d,t=%d,p=%d", &c.memory, &c.passes, &c.lanes); err != nil ||
		c.memory > maxMemory || c.passes > maxPasses || c.lanes > maxLanes || c.passes == 0 || c.lanes == 0 {
		return c, fmt.Errorf("%w password hash: costs %q", ErrInvalid, part[3])
	}
	if c.salt, err = base64.RawStdEncoding.DecodeString(part[4]); err != nil || len(c.salt) < 8 {
		return c, fmt.Errorf("%w password hash: salt", ErrInvalid)
	}
	if c.want, err = base64.RawStdEncoding.DecodeString(part[5]); err != nil || len(c.want) < 16 || len(c.want) > 64 {
		return c, fmt.Errorf("%w password hash: it is cut", ErrInvalid)
	}
	return c, nil
}

// CheckHash refuses what is no argon2id hash of a password, or one that costs too much.
func CheckHash(hash string) error {
	_, err := parseHash(hash)
	return err
}

// Hash is the argon2id hash of a password, as a configuration holds it. ErrInvalid when
// the password is too short or too long.
func Hash(ctx context.Context, random io.Reader, password string) (string, error) {
	if err := validPassword(password); err != nil {
		return "", err
	}
	h := &hasher{rand: random, turn: make(chan struct{}, 1)}
	return h.hash(ctx, password)
}

// validPassword asks for length and for nothing else, as NIST SP 800-63B and
// OWASP ASVS 6.2 advise.
func validPassword(password string) error {
	switch n := utf8.RuneCountInString(password); {
	case n < minPassword:
		return fmt.Errorf("%w password: %d characters, at least %d are needed", ErrInvalid, n, minPassword)
	case len(password) > maxPassword:
		return fmt.Errorf("%w password: longer than %d bytes", ErrInvalid, maxPassword)
	}
	return nil
}
