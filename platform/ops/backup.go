package ops

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"yunchu/platform/bus"
	"yunchu/platform/bus/nats"
	"yunchu/platform/device"
	"yunchu/platform/durable"
	"yunchu/platform/store/series"
)

// A backup is a tar archive compressed with zstd: the files of the data folder, the log as
// frames under log/<stream>/<number>, and last the manifest with the SHA-256 of each. Behind
// it lies a frame that zstd skips, with the SHA-256 of everything before. With recipients
// all of it is inside an age file.
const (
	manifestName = "manifest.json"
	logFolder    = "log"
	chunkBytes   = 4 << 20
	skippable    = 0x184D2A50
	trailerBytes = 8 + sha256.Size
)

// ErrBackup: the archive is not a whole, unchanged backup. Nothing was written.
var ErrBackup = errors.New("not a whole backup")

// Manifest says what a backup holds.
type Manifest struct {
	Format  int            `json:"format"` // of the data folder
	Program string         `json:"program"`
	Created time.Time      `json:"created"`
	Log     map[string]Cut `json:"log"`
	History string         `json:"history,omitempty"` // where the readings are that it does not have; empty: it has them
	Files   []File         `json:"files"`
}

// Cut is the part of a stream that a backup has. Everything that was acknowledged with a
// sequence up to Last is in it, or in the history.
type Cut struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

// File is one entry of the archive.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Source is a plant that is backed up, running or not.
type Source struct {
	Dir     string
	Bus     bus.Bus
	Program string
	Now     time.Time
	History string // where the history is; empty: in Dir
	// State writes a consistent copy of the state view; nil: the file is copied.
	State func(io.Writer) error
}

// Backup writes src to w. While it runs nothing may be trimmed from the log, and no file of
// the history may be removed. What is
// acknowledged before the call is in it; what comes meanwhile may be.
func Backup(ctx context.Context, w io.Writer, src Source, to ...age.Recipient) (m Manifest, err error) {
	out := w
	if len(to) > 0 {
		sealed, err := age.Encrypt(w, to...)
		if err != nil {
			return m, fmt.Errorf("encrypt the backup: %w", err)
		}
		defer func() {
			if err == nil {
				err = sealed.Close()
			}
		}()
		out = sealed
	}
	sum := sha256.New()
	z, err := zstd.NewWriter(io.MultiWriter(out, sum), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return m, err
	}
	a := &archive{tar: tar.NewWriter(z), m: Manifest{Format: Format, Program: src.Program, Created: src.Now.UTC(), History: src.History, Log: map[string]Cut{}}}
	if err := a.fill(ctx, src); err != nil {
		return m, errors.Join(fmt.Errorf("back up %s: %w", src.Dir, err), z.Close())
	}
	if err := errors.Join(a.tar.Close(), z.Close()); err != nil {
		return m, err
	}
	trailer := binary.LittleEndian.AppendUint32(nil, skippable)
	trailer = binary.LittleEndian.AppendUint32(trailer, sha256.Size)
	if _, err := out.Write(sum.Sum(trailer)); err != nil {
		return m, err
	}
	return a.m, nil
}

type archive struct {
	tar *tar.Writer
	m   Manifest
}

func (a *archive) fill(ctx context.Context, src Source) error {
	// The history first: what it does not cover yet is in the log afterwards.
	if err := a.folder(src); err != nil {
		return err
	}
	if src.State != nil {
		var b bytes.Buffer
		if err := src.State(&b); err != nil {
			return err
		}
		if err := a.add(stateFile, int64(b.Len()), &b); err != nil {
			return err
		}
	}
	for _, stream := range bus.Streams {
		if err := a.stream(ctx, src.Bus, stream); err != nil {
			return fmt.Errorf("%s: %w", stream, err)
		}
	}
	b, err := json.MarshalIndent(a.m, "", " ")
	if err != nil {
		return err
	}
	return a.add(manifestName, int64(len(b)), bytes.NewReader(b))
}

// belongs says whether a backup has the folder of this name. The log is there as frames.
// Keys stay where they are: a backup lies with others, and whoever reads it must not be
// able to sign what the plant believes. An audit is signed with one of them, and a restored
// plant begins another. Recordings of wires are of no use to it.
func belongs(name string) bool {
	switch name {
	case busFolder, "keys", "audit", "links":
		return false
	}
	return !strings.HasPrefix(name, "audit.damaged-") && !strings.HasPrefix(name, "before-format-")
}

// folder adds the files of the data folder that belong to a backup, one open at a time.
func (a *archive) folder(src Source) error {
	// The history's manifest comes first: a file that is written after it is in the log too,
	// while one that it lists must be there.
	manifest := history + "/" + series.Manifest
	visit := func(p string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(src.Dir, p)
		name = filepath.ToSlash(name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // it was temporary
			return nil
		case err != nil:
			return err
		case d.IsDir() && !belongs(name):
			return fs.SkipDir
		case name == manifest && len(a.m.Files) > 0:
			return nil
		case !d.Type().IsRegular() || strings.HasSuffix(name, ".tmp") || strings.Contains(name, ".tmp-") || name == stateFile && src.State != nil:
			return nil
		}
		f, err := os.Open(p)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		return a.add(name, info.Size(), io.LimitReader(f, info.Size()))
	}
	if err := filepath.WalkDir(filepath.Join(src.Dir, filepath.FromSlash(manifest)), visit); err != nil {
		return err
	}
	return filepath.WalkDir(src.Dir, visit)
}

// stream adds what is in the stream now.
func (a *archive) stream(ctx context.Context, b bus.Bus, stream string) error {
	first, last, err := b.Bounds(stream)
	if err != nil {
		return err
	}
	a.m.Log[stream] = Cut{first, last}
	var (
		chunk []byte
		n     int
		fault error
	)
	flush := func() {
		if len(chunk) > 0 && fault == nil {
			n++
			fault = a.add(fmt.Sprintf("%s/%s/%08d", logFolder, stream, n), int64(len(chunk)), bytes.NewReader(chunk))
		}
		chunk = chunk[:0]
	}
	err = b.Replay(ctx, stream, first, func(seq uint64, f device.Frame) {
		if seq > last {
			return
		}
		raw := f.AppendBinary(nil)
		chunk = binary.BigEndian.AppendUint64(chunk, seq)
		chunk = binary.BigEndian.AppendUint32(chunk, uint32(len(raw)))
		if chunk = append(chunk, raw...); len(chunk) >= chunkBytes {
			flush()
		}
	})
	flush()
	return errors.Join(err, fault)
}

func (a *archive) add(name string, size int64, r io.Reader) error {
	if err := a.tar.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: size, ModTime: a.m.Created, Format: tar.FormatPAX}); err != nil {
		return err
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(a.tar, h), r)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	a.m.Files = append(a.m.Files, File{name, n, hex.EncodeToString(h.Sum(nil))})
	return nil
}

// tail gives all but the last bytes of a reader, and keeps those.
type tail struct {
	r    io.Reader
	sum  hash.Hash
	hold []byte
	err  error
}

func (t *tail) Read(p []byte) (int, error) {
	for t.err == nil && len(t.hold) < trailerBytes+1 {
		var room [64 << 10]byte
		var n int
		n, t.err = t.r.Read(room[:])
		t.hold = append(t.hold, room[:n]...)
	}
	n := copy(p, t.hold[:max(0, len(t.hold)-trailerBytes)])
	t.sum.Write(p[:n])
	t.hold = t.hold[n:]
	if n == 0 && len(p) > 0 {
		return 0, t.err
	}
	return n, nil
}

// whole reports whether what was read is what the trailer says.
func (t *tail) whole() bool {
	if _, err := io.Copy(io.Discard, t); err != nil || len(t.hold) != trailerBytes {
		return false
	}
	want := binary.LittleEndian.AppendUint32(nil, skippable)
	want = binary.LittleEndian.AppendUint32(want, sha256.Size)
	return bytes.Equal(t.hold, t.sum.Sum(want))
}

// walk reads a backup and calls visit with each entry but the manifest. Its error is
// ErrBackup unless visit's or the file's own.
func walk(r io.Reader, identities []age.Identity, visit func(name string, r io.Reader) error) (m Manifest, err error) {
	if len(identities) > 0 {
		if r, err = age.Decrypt(r, identities...); err != nil {
			return m, fmt.Errorf("%w: %w", ErrBackup, err)
		}
	}
	t := &tail{r: r, sum: sha256.New()}
	z, err := zstd.NewReader(t, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<30))
	if err != nil {
		return m, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	defer z.Close()
	var seen []File
	archive := tar.NewReader(z)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return m, fmt.Errorf("%w: %w", ErrBackup, err)
		}
		if h.Typeflag != tar.TypeReg || !filepath.IsLocal(h.Name) || path.Clean(h.Name) != h.Name {
			return m, fmt.Errorf("%w: entry %q", ErrBackup, h.Name)
		}
		if h.Name == manifestName {
			if err := json.NewDecoder(io.LimitReader(archive, 256<<20)).Decode(&m); err != nil {
				return m, fmt.Errorf("%w: manifest: %w", ErrBackup, err)
			}
			continue
		}
		sum := sha256.New()
		count := &counter{Reader: io.TeeReader(archive, sum)}
		if err := visit(h.Name, count); err != nil {
			return m, fmt.Errorf("%s: %w", h.Name, err)
		}
		if _, err := io.Copy(io.Discard, count); err != nil {
			return m, fmt.Errorf("%w: %s: %w", ErrBackup, h.Name, err)
		}
		seen = append(seen, File{h.Name, count.n, hex.EncodeToString(sum.Sum(nil))})
	}
	if _, err := io.Copy(io.Discard, z); err != nil {
		return m, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	switch {
	case !t.whole():
		return m, fmt.Errorf("%w: it is cut off or has been changed", ErrBackup)
	case !slices.Equal(seen, m.Files):
		return m, fmt.Errorf("%w: its files are not those of its manifest", ErrBackup)
	}
	return m, nil
}

type counter struct {
	io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// Verify reads the whole backup and says what it holds. ErrBackup when one bit of it is not
// what was written.
func Verify(r io.Reader, identities ...age.Identity) (Manifest, error) {
	return walk(r, identities, func(string, io.Reader) error { return nil })
}

// Restore verifies the backup and then makes the data folder dir of it, whole or not at all.
// A folder that is there must be empty.
func Restore(ctx context.Context, r io.ReadSeeker, dir string, identities ...age.Identity) (Manifest, error) {
	if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
		return Manifest{}, fmt.Errorf("%s is not empty: restore to a new folder", dir)
	}
	m, err := Verify(r, identities...)
	if err != nil {
		return m, err
	}
	if m.Format > Format {
		return m, fmt.Errorf("%w: the backup has format %d and this program knows formats up to %d", ErrNewer, m.Format, Format)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return m, err
	}
	part := filepath.Clean(dir) + ".part"
	if err := os.RemoveAll(part); err != nil {
		return m, err
	}
	if err := os.MkdirAll(part, 0o700); err != nil {
		return m, err
	}
	if err := unpack(ctx, r, part, m, identities); err != nil {
		return m, errors.Join(fmt.Errorf("restore to %s: %w", dir, err), os.RemoveAll(part))
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	if err := os.Rename(part, dir); err != nil {
		return m, err
	}
	return m, durable.SyncDir(filepath.Dir(filepath.Clean(dir)))
}

func unpack(ctx context.Context, r io.Reader, dir string, m Manifest, identities []age.Identity) error {
	first := map[string]uint64{}
	for stream, cut := range m.Log {
		first[stream] = cut.First
	}
	log, err := nats.Import(ctx, filepath.Join(dir, busFolder), first)
	if err != nil {
		return err
	}
	_, err = walk(r, identities, func(name string, r io.Reader) error {
		if rest, ok := strings.CutPrefix(name, logFolder+"/"); ok {
			stream, _, _ := strings.Cut(rest, "/")
			return frames(r, func(seq uint64, raw []byte) error { return log.Put(ctx, stream, seq, raw) })
		}
		to := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		return errors.Join(err, f.Sync(), f.Close(), durable.SyncDir(filepath.Dir(to)))
	})
	for stream, cut := range m.Log {
		if err == nil {
			err = log.End(ctx, stream, cut.Last)
		}
	}
	return errors.Join(err, log.Close())
}

// frames reads the records of a chunk of the log.
func frames(r io.Reader, fn func(seq uint64, raw []byte) error) error {
	var head [12]byte
	for {
		if _, err := io.ReadFull(r, head[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%w: %w", ErrBackup, err)
		}
		n := binary.BigEndian.Uint32(head[8:])
		if n > 2*chunkBytes {
			return fmt.Errorf("%w: a frame of %d bytes", ErrBackup, n)
		}
		raw := make([]byte, n)
		if _, err := io.ReadFull(r, raw); err != nil {
			return fmt.Errorf("%w: %w", ErrBackup, err)
		}
		if err := fn(binary.BigEndian.Uint64(head[:]), raw); err != nil {
			return err
		}
	}
}
