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
	var (
		version, memory, passes uint32
		lanes                   uint8
	)
	part := strings.Split(hash, "$")
	if len(part) != 6 || part[1] != "argon2id" {
		return false, fmt.Errorf("%w password hash", ErrInvalid)
	}
	if _, err := fmt.Sscanf(part[2], "v=%d", &version); err != nil || version != argon2.Version {
		return false, fmt.Errorf("%w password hash: version %q", ErrInvalid, part[2])
	}
	if _, err := fmt.Sscanf(part[3], "m=%d,t=%d,p=%d", &memory, &passes, &lanes); err != nil {
		return false, fmt.Errorf("%w password hash: costs %q", ErrInvalid, part[3])
	}
	salt, err := base64.RawStdEncoding.DecodeString(part[4])
	if err != nil {
		return false, fmt.Errorf("%w password hash: salt", ErrInvalid)
	}
	want, err := base64.RawStdEncoding.DecodeString(part[5])
	if err != nil || len(want) == 0 || passes == 0 || lanes == 0 {
		return false, fmt.Errorf("%w password hash", ErrInvalid)
	}
	if err := h.enter(ctx); err != nil {
		return false, err
	}
	defer func() { <-h.turn }()
	got := argon2.IDKey([]byte(password), salt, passes, memory, lanes, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1, nil
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
