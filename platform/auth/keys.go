package auth

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"yunchu/platform/durable"
)

// How long the keys of access tokens are used.
const (
	KeyLife = 30 * 24 * time.Hour // until a new one signs
	// KeyOverlap is how long a key that signs no more is still believed. It is far longer
	// than a token's life, so that a process that has not read the new key yet, and a peer
	// that has kept the old set, go on.
	KeyOverlap = 24 * time.Hour
)

// Keys are the Ed25519 keys of access tokens: the newest signs, those before it are
// believed for KeyOverlap. It is safe for use by several goroutines.
type Keys struct {
	dir  string // empty: in memory alone
	rand io.Reader

	mu   sync.RWMutex
	list []*signingKey // oldest first, never empty
}

type signingKey struct {
	id      string // its thumbprint of RFC 7638
	created time.Time
	secret  ed25519.PrivateKey
}

// JWK is a public key as RFC 8037 writes it.
type JWK struct {
	Type      string `json:"kty"`
	Curve     string `json:"crv"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
	ID        string `json:"kid"`
	X         string `json:"x"`
}

func newKey(secret ed25519.PrivateKey, created time.Time) *signingKey {
	x := base64.RawURLEncoding.EncodeToString(secret.Public().(ed25519.PublicKey))
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + x + `"}`))
	return &signingKey{base64.RawURLEncoding.EncodeToString(sum[:]), created, secret}
}

// OpenKeys reads the keys in dir, one file each, and makes the first one (mode 0600). An
// empty dir keeps them in memory. The error names the file that cannot be used.
func OpenKeys(dir string, rand io.Reader, now time.Time) (*Keys, error) {
	k := &Keys{dir: dir, rand: rand}
	if err := k.Reload(now); err != nil {
		return nil, err
	}
	return k, nil
}

// Reload reads the keys again, those that another process has made; an error leaves what
// there is.
func (k *Keys) Reload(now time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := k.list
	if k.dir != "" {
		var err error
		if list, err = readKeys(k.dir); err != nil {
			return err
		}
	}
	if len(list) == 0 {
		made, err := k.add(now)
		if err != nil {
			return err
		}
		list = append(list, made)
	}
	return k.set(list, now)
}

// Rotate makes a new key, which signs from now on. With drop the others are forgotten at
// once, and with them every access token that they have signed.
func (k *Keys) Rotate(now time.Time, drop bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	made, err := k.add(now)
	if err != nil {
		return err
	}
	list := append(slices.Clone(k.list), made)
	if !drop {
		return k.set(list, now)
	}
	var faults []error
	for _, old := range k.list {
		faults = append(faults, k.remove(old))
	}
	k.list = list[len(list)-1:]
	return errors.Join(faults...)
}

// set takes the list but for keys whose successor is older than KeyOverlap.
func (k *Keys) set(list []*signingKey, now time.Time) error {
	var faults []error
	for len(list) > 1 && now.Sub(list[1].created) > KeyOverlap {
		faults = append(faults, k.remove(list[0]))
		list = list[1:]
	}
	k.list = list
	return errors.Join(faults...)
}

func (k *Keys) add(now time.Time) (*signingKey, error) {
	var seed [ed25519.SeedSize]byte
	if _, err := io.ReadFull(k.rand, seed[:]); err != nil {
		return nil, fmt.Errorf("draw a key: %w", err)
	}
	made := newKey(ed25519.NewKeyFromSeed(seed[:]), now.Truncate(time.Millisecond))
	if k.dir == "" {
		return made, nil
	}
	der, err := x509.MarshalPKCS8PrivateKey(made.secret)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := durable.WriteFile(k.path(made), text, 0o600); err != nil {
		return nil, fmt.Errorf("write a key of access tokens: %w", err)
	}
	return made, nil
}

func (k *Keys) path(key *signingKey) string {
	return filepath.Join(k.dir, strconv.FormatInt(key.created.UnixMilli(), 10)+".pem")
}

func (k *Keys) remove(key *signingKey) error {
	if k.dir == "" {
		return nil
	}
	if err := os.Remove(k.path(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// readKeys reads a folder of keys, whose names are the milliseconds at which they were
// made.
func readKeys(dir string) ([]*signingKey, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var list []*signingKey
	for _, e := range entries {
		name, found := strings.CutSuffix(e.Name(), ".pem")
		if !found {
			continue
		}
		path := filepath.Join(dir, e.Name())
		at, err := strconv.ParseInt(name, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: the name of a key is the time at which it was made, in ms", path)
		}
		key, err := readKey(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		list = append(list, newKey(key, time.UnixMilli(at)))
	}
	slices.SortFunc(list, func(a, b *signingKey) int { return a.created.Compare(b.created) })
	return list, nil
}

func readKey(path string) (ed25519.PrivateKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("others may read it (mode %v): chmod 600, and rotate the keys", info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("there is no PEM block in it")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	secret, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("it is no Ed25519 key")
	}
	return secret, nil
}

// Public are the keys whose tokens are believed, oldest first.
func (k *Keys) Public() []JWK {
	k.mu.RLock()
	defer k.mu.RUnlock()
	out := make([]JWK, 0, len(k.list))
	for _, key := range k.list {
		out = append(out, JWK{
			"OKP", "Ed25519", "sig", "EdDSA", key.id,
			base64.RawURLEncoding.EncodeToString(key.secret.Public().(ed25519.PublicKey)),
		})
	}
	return out
}

// signer is the newest key; due says that it has signed for KeyLife.
func (k *Keys) signer(now time.Time) (key *signingKey, due bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	key = k.list[len(k.list)-1]
	return key, now.Sub(key.created) >= KeyLife
}

// verifier is the public key with the id, nil when it is not believed.
func (k *Keys) verifier(id string, now time.Time) ed25519.PublicKey {
	k.mu.RLock()
	defer k.mu.RUnlock()
	for i, key := range k.list {
		if key.id == id && (i == len(k.list)-1 || now.Sub(k.list[i+1].created) <= KeyOverlap) {
			return key.secret.Public().(ed25519.PublicKey)
		}
	}
	return nil
}
