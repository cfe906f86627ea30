package audit

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"yunchu/platform/durable"
)

// Checkpoint is what a plant signs: so many entries, and the hash of the Merkle tree
// over them (RFC 6962). Whoever keeps one can prove later that none of these entries
// was changed, removed or moved.
//
// Signed, it is a note as Go's checksum database and the witnesses of transparency logs
// write them: the origin, the size, the hash in base64, then lines of our own, an empty
// line and the signature.
type Checkpoint struct {
	Origin string
	Size   int64
	Root   tlog.Hash
	// Control and Meta are how far log.control and log.meta are in it.
	Control, Meta uint64
	Time          time.Time
}

// ErrCheckpoint is wrapped where a checkpoint cannot be read or its signature is not
// that of the key.
var ErrCheckpoint = errors.New("not a checkpoint of this audit")

func (c *Checkpoint) text() string {
	return fmt.Sprintf("%s\n%d\n%s\nlog.control %d\nlog.meta %d\ntime %s\n", c.Origin, c.Size,
		base64.StdEncoding.EncodeToString(c.Root[:]), c.Control, c.Meta, c.Time.UTC().Format(time.RFC3339))
}

func (c *Checkpoint) sign(s note.Signer) ([]byte, error) {
	return note.Sign(&note.Note{Text: c.text()}, s)
}

// ParseCheckpoint reads a signed checkpoint and checks its signature. The error is
// ErrCheckpoint.
func ParseCheckpoint(signed []byte, v note.Verifier) (Checkpoint, error) {
	n, err := note.Open(signed, note.VerifierList(v))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	var c Checkpoint
	lines := strings.Split(strings.TrimSuffix(n.Text, "\n"), "\n")
	if len(lines) < 3 {
		return c, fmt.Errorf("%w: %d lines, at least 3 are needed", ErrCheckpoint, len(lines))
	}
	c.Origin = lines[0]
	if c.Origin != v.Name() {
		return c, fmt.Errorf("%w: it is of %q, the key of %q", ErrCheckpoint, c.Origin, v.Name())
	}
	if c.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || c.Size < 0 || c.Size > maxSize {
		return c, fmt.Errorf("%w: size %q", ErrCheckpoint, lines[1])
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return c, fmt.Errorf("%w: hash %q", ErrCheckpoint, lines[2])
	}
	c.Root = tlog.Hash(root)
	for _, line := range lines[3:] { // what is not known is somebody's extension
		key, value, _ := strings.Cut(line, " ")
		switch key {
		case "log.control":
			c.Control, err = strconv.ParseUint(value, 10, 64)
		case "log.meta":
			c.Meta, err = strconv.ParseUint(value, 10, 64)
		case "time":
			c.Time, err = time.Parse(time.RFC3339, value)
		}
		if err != nil {
			return c, fmt.Errorf("%w: %s %q", ErrCheckpoint, key, value)
		}
	}
	return c, nil
}

// maxSize is far more entries than there will be; it keeps the arithmetic of a forged
// size from overflowing.
const maxSize = 1 << 50

// Key is the pair that signs the checkpoints of a plant.
type Key struct {
	signer note.Signer
	Public string // the verifier key, in the form of package note
}

// The files of the key, below the plant's data folder.
const (
	keyFile    = "keys/audit.key"
	publicFile = "keys/audit.pub"
)

// OpenKey reads the Ed25519 key of the plant from its data folder, or makes it there,
// readable for its owner alone.
func OpenKey(data string) (Key, error) {
	private := filepath.Join(data, keyFile)
	text, err := os.ReadFile(private)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = makeKey(data)
	}
	if err != nil {
		return Key{}, fmt.Errorf("open the key of the audit: %w", err)
	}
	secret, public, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	s, err := note.NewSigner(secret)
	if err != nil {
		return Key{}, fmt.Errorf("open the key of the audit: %s: %w", private, err)
	}
	v, err := note.NewVerifier(public)
	if err != nil || v.Name() != s.Name() || v.KeyHash() != s.KeyHash() {
		return Key{}, fmt.Errorf("open the key of the audit: %s: its two lines do not belong together", private)
	}
	// The public half also lies in a file of its own; should that be lost, here it is.
	if err := durable.WriteFile(filepath.Join(data, publicFile), []byte(public+"\n"), 0o644); err != nil {
		return Key{}, fmt.Errorf("write the public key of the audit: %w", err)
	}
	return Key{s, public}, nil
}

func makeKey(data string) ([]byte, error) {
	var id [4]byte
	rand.Read(id[:]) // never fails
	secret, public, err := note.GenerateKey(rand.Reader, fmt.Sprintf("yunchu-audit/%x", id))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(data, filepath.Dir(keyFile)), 0o700); err != nil {
		return nil, err
	}
	text := []byte(secret + "\n" + public + "\n")
	return text, durable.WriteFile(filepath.Join(data, keyFile), text, 0o600)
}

// CopyPublicKey copies the public key of one data folder to another.
func CopyPublicKey(to, from string) error {
	key, err := PublicKey(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Join(to, publicFile)), 0o755); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(to, publicFile), []byte(key+"\n"), 0o644)
}

// PublicKey reads the verifier key that a plant left in its data folder.
func PublicKey(data string) (string, error) {
	text, err := os.ReadFile(filepath.Join(data, publicFile))
	if err != nil {
		return "", fmt.Errorf("read the public key of the audit: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}
