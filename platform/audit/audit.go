// Package audit keeps who did what: every command with what was in force before and
// after, every change of the configuration, every login and every refusal, as the leaves
// of a Merkle tree (RFC 6962) whose root the plant signs.
//
// The log of the plant is the truth, and the audit is a view of log.control and log.meta
// like the others: a crash loses nothing, because what is not covered by the newest
// signed checkpoint is made again from the log. Log.control may be trimmed up to Covered
// and no further. From then on the audit is all there is, and the tree shows whether it
// is still what was signed: see Verify.
//
// A folder holds the entries in segments of JSON lines, the hashes of the tree, the
// newest checkpoint, and older ones. The key lies beside it.
package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"yunchu/platform/bus"
	"yunchu/platform/device"
	"yunchu/platform/durable"
)

// Folder is where the audit lies in the plant's data folder.
const Folder = "audit"

// The files beside the segments.
const (
	hashesFile      = "hashes"
	checkpointFile  = "checkpoint"
	checkpointsFile = "checkpoints" // older ones, one a minute at most
)

// Options open an audit.
type Options struct {
	Data string // the plant's data folder
	Bus  bus.Bus
	// Name is the id of a slot; empty where it has none.
	Name func(device.Slot) device.ID
	// Of, when set, are the devices of which entries are kept; what is about none of them
	// alone, and about no device, is kept all the same.
	Of  func(device.ID) bool
	Now func() time.Time
	Log *slog.Logger // nil: none
}

// Log is an open audit. It is safe for use by several goroutines.
type Log struct {
	dir    string
	key    Key
	verify note.Verifier
	now    func() time.Time
	log    *slog.Logger
	of     func(device.ID) bool
	cancel []func()

	mu      sync.Mutex // of what comes from the bus
	reader  *reader
	next    int64 // number of the next entry
	pending [][]byte
	bytes   int
	read    position // of the log, with what is pending
	full    bool     // more waits than may; what follows is made again after a restart

	commit  sync.Mutex   // one at a time
	files   sync.RWMutex // segments and hashes change under it
	hashes  *hashes
	parts   []segment
	size    int64 // bytes of the open segment
	signed  Checkpoint
	note    []byte
	applied position
	kept    time.Time // when an older checkpoint was put by
	torn    bool      // a commit has failed half way

	aside string // what was found damaged when it was opened; set then and never again
}

// position is how far the streams are read.
type position struct{ control, meta uint64 }

func (p *position) of(stream string) *uint64 {
	if stream == bus.Meta {
		return &p.meta
	}
	return &p.control
}

// Bounds of what waits for the disk: above the first a handler of the bus writes by
// itself, above the second nothing more is taken.
const (
	pendingBytes = 8 << 20
	pendingMost  = 128 << 20
)

// Open reads the audit of a data folder, or begins one, and follows the log from where
// it was. An audit that is not what was signed is set aside and said to be so in the
// first entry of a new one: a plant runs on, and the evidence stays.
func Open(o Options) (*Log, error) {
	l := &Log{
		dir: filepath.Join(o.Data, Folder), now: o.Now, log: o.Log, of: o.Of, reader: newReader(o.Name),
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if l.key, err = OpenKey(o.Data); err != nil {
		return nil, err
	}
	if l.verify, err = note.NewVerifier(l.key.Public); err != nil {
		return nil, fmt.Errorf("open the key of the audit: %w", err)
	}
	if err := l.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open the audit: %w", err), l.closeFiles())
	}
	if err := l.follow(o.Bus); err != nil {
		return nil, errors.Join(fmt.Errorf("open the audit: %w", err), l.Close())
	}
	return l, nil
}

// Damage says what was wrong with the audit that Open has set aside, empty when nothing was.
func (l *Log) Damage() string { return l.aside }

// load opens the folder as its checkpoint describes it.
func (l *Log) load() error {
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return err
	}
	damage := l.open()
	if damage == nil {
		return nil
	}
	if _, broken := errors.AsType[*damaged](damage); !broken {
		return damage
	}
	aside := fmt.Sprintf("%s.damaged-%d", l.dir, l.now().UnixMilli())
	l.log.Error("the audit is not what was signed; it is set aside and a new one begins", "folder", aside, "error", damage)
	if err := errors.Join(l.closeFiles(), os.Rename(l.dir, aside), os.Mkdir(l.dir, 0o700)); err != nil {
		return err
	}
	l.parts, l.size = nil, 0
	if err := l.open(); err != nil {
		return err
	}
	l.aside = fmt.Sprintf("%s; it is set aside as %s", damage, filepath.Base(aside))
	l.append(&Entry{Kind: "audit", At: l.now().UnixMilli(), Act: "begun-anew", Subject: filepath.Base(aside), Text: damage.Error(), Severity: "critical"})
	return nil
}

// damaged is an audit that is not what its checkpoint says.
type damaged struct{ error }

func damage(format string, a ...any) error { return &damaged{fmt.Errorf(format, a...)} }

func (l *Log) open() error {
	signed, err := os.ReadFile(filepath.Join(l.dir, checkpointFile))
	if errors.Is(err, fs.ErrNotExist) {
		if parts, err := listSegments(l.dir); err != nil || len(parts) > 0 {
			return errors.Join(err, damage("there are entries and no checkpoint"))
		}
		l.signed = Checkpoint{Origin: l.verify.Name(), Root: emptyRoot, Time: l.now()}
		if signed, err = l.signed.sign(l.key.signer); err == nil {
			err = durable.WriteFile(filepath.Join(l.dir, checkpointFile), signed, 0o600)
		}
	}
	if err != nil {
		return err
	}
	if l.signed, err = ParseCheckpoint(signed, l.verify); err != nil {
		return damage("%w", err)
	}
	l.note = signed
	l.applied = position{l.signed.Control, l.signed.Meta}
	l.next, l.read = l.signed.Size, l.applied
	if l.hashes, err = openHashes(filepath.Join(l.dir, hashesFile), l.signed.Size); err != nil {
		return damage("%w", err)
	}
	root, err := tlog.TreeHash(l.signed.Size, l.hashes)
	if err != nil || root != l.signed.Root {
		return damage("the hashes do not lead to the signed root of %d entries: %w", l.signed.Size, errors.Join(err, ErrTampered))
	}
	return l.openSegments()
}

// openSegments finds the segments, drops what no checkpoint covers and compares the
// newest entries with their hashes.
func (l *Log) openSegments() (err error) {
	if l.parts, err = listSegments(l.dir); err != nil {
		return err
	}
	for n := len(l.parts); n > 0 && l.parts[n-1].first >= l.signed.Size; n-- { // begun and not signed
		if err := os.Remove(l.parts[n-1].path(l.dir)); err != nil {
			return err
		}
		l.parts = l.parts[:n-1]
	}
	if len(l.parts) == 0 {
		if l.signed.Size > 0 {
			return damage("the entries are gone")
		}
		return nil
	}
	last := l.parts[len(l.parts)-1]
	n, size := last.first, int64(0)
	tree, err := frontierAt(n, l.hashes)
	if err != nil {
		return damage("%w", err)
	}
	var wrong error
	err = last.lines(l.dir, func(line []byte) bool {
		if n == l.signed.Size {
			return false
		}
		stored, err := l.hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, n)})
		if err != nil || stored[0] != tlog.RecordHash(line) {
			wrong = damage("entry %d is not what was signed: %w", n, errors.Join(err, ErrTampered))
			return false
		}
		tree.add(stored[0])
		n++
		size += int64(len(line)) + 1
		return true
	})
	switch {
	case wrong != nil:
		return wrong
	case err != nil:
		return damage("%w", err)
	case n < l.signed.Size:
		return damage("entries %d to %d are missing: %w", n, l.signed.Size-1, ErrTampered)
	case tree.root() != l.signed.Root:
		return damage("entries from %d on and their hashes are not what was signed: %w", last.first, ErrTampered)
	}
	l.size = size
	if last.packed {
		l.size = segmentBytes // the next entry begins a new one
		return nil
	}
	return os.Truncate(last.path(l.dir), size)
}

// follow reads the log from its beginning, which brings back what was before, and makes
// entries of what is new.
func (l *Log) follow(b bus.Bus) error {
	for _, stream := range []string{bus.Meta, bus.Control} {
		first, last, err := b.Bounds(stream)
		if err != nil {
			return err
		}
		at := l.read.of(stream)
		switch {
		case *at > last:
			l.append(&Entry{
				Log: stream, Kind: "gap", Seq: last, At: l.now().UnixMilli(), Severity: "critical",
				Text: fmt.Sprintf("the log ends at %d, and the audit had read it up to %d: the log is another one or was rolled back", last, *at),
			})
			*at = last
		case first > *at+1:
			l.append(&Entry{
				Log: stream, Kind: "gap", Seq: first, At: l.now().UnixMilli(), Severity: "critical",
				Text: fmt.Sprintf("the log begins at %d, and the audit had read it up to %d", first, *at),
			})
		}
		cancel, err := b.Subscribe(stream, 1, func(seq uint64, f device.Frame) { l.handle(stream, seq, f) })
		if err != nil {
			return err
		}
		l.cancel = append(l.cancel, cancel)
	}
	return l.Commit()
}

// handle takes one frame of the log.
func (l *Log) handle(stream string, seq uint64, f device.Frame) {
	l.mu.Lock()
	at := l.read.of(stream)
	old := seq <= *at
	l.reader.read(stream, seq, f, func(e *Entry) {
		if !old && !l.full && l.concerns(e) {
			l.append(e)
		}
	})
	if !old && !l.full {
		*at = seq
	}
	large := l.bytes > pendingBytes
	if l.bytes > pendingMost && !l.full {
		l.full = true
		l.log.Error("the audit cannot be written; what follows is made from the log after a restart", "waiting_bytes", l.bytes)
	}
	l.mu.Unlock()
	if large {
		if err := l.Commit(); err != nil {
			l.log.Error("audit not written", "error", err)
		}
	}
}

// concerns reports whether an entry is to be kept, and takes out of one about several
// devices those that it is not kept of.
func (l *Log) concerns(e *Entry) bool {
	switch {
	case l.of == nil:
		return true
	case len(e.Items) > 0:
		e.Items = slices.DeleteFunc(e.Items, func(d DeviceEntry) bool { return !l.of(device.ID(d.Device)) })
		return len(e.Items) > 0
	}
	return e.Device == "" || l.of(device.ID(e.Device))
}

// append numbers an entry and lets it wait for the next commit. l.mu is held, or nobody
// else knows l yet.
func (l *Log) append(e *Entry) {
	e.N = l.next
	line := e.line()
	l.next++
	l.pending = append(l.pending, line)
	l.bytes += len(line)
}

// Run commits once a second until ctx ends, and once more.
func (l *Log) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return // Close commits
		}
		if err := l.Commit(); err != nil {
			l.log.Error("audit not written", "error", err)
		}
	}
}

// Commit writes what waits, syncs it and signs the tree over it. After an error what
// waits goes on waiting.
func (l *Log) Commit() error {
	l.commit.Lock()
	defer l.commit.Unlock()
	l.mu.Lock()
	lines, read := l.pending, l.read
	l.mu.Unlock()
	if read == l.applied && len(lines) == 0 {
		return nil
	}
	if err := l.mend(); err != nil {
		return fmt.Errorf("write the audit: %w", err)
	}
	if err := l.write(lines, read); err != nil {
		l.torn = true
		return fmt.Errorf("write the audit: %w", err)
	}
	l.mu.Lock()
	for _, line := range lines {
		l.bytes -= len(line)
	}
	l.pending = slices.Clone(l.pending[len(lines):])
	l.mu.Unlock()
	return nil
}

// mend drops what a failed commit has left.
func (l *Log) mend() error {
	if !l.torn {
		return nil
	}
	l.files.Lock()
	defer l.files.Unlock()
	l.size = 0
	if err := l.openSegments(); err != nil {
		return err
	}
	l.torn = false
	return nil
}

// write appends lines to the entries, then their hashes to the tree, then signs: a crash
// in between leaves what no checkpoint covers.
func (l *Log) write(lines [][]byte, read position) error {
	n := l.signed.Size
	tree := ahead{under: l.hashes}
	for len(lines) > 0 {
		count, err := l.extend(lines, n)
		if err != nil {
			return err
		}
		for _, line := range lines[:count] {
			if err := tree.add(n, tlog.RecordHash(line)); err != nil {
				return err
			}
			n++
		}
		lines = lines[count:]
	}
	root, err := tlog.TreeHash(n, &tree)
	if err != nil {
		return err
	}
	if err := tree.write(); err != nil {
		return err
	}
	c := Checkpoint{Origin: l.signed.Origin, Size: n, Root: root, Control: read.control, Meta: read.meta, Time: l.now()}
	signed, err := c.sign(l.key.signer)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(l.dir, checkpointFile), signed, 0o600); err != nil {
		return err
	}
	l.files.Lock()
	l.signed, l.note, l.applied = c, signed, read
	l.files.Unlock()
	l.putBy(c, signed)
	return nil
}

// extend appends as many lines as the open segment still takes, synced, and reports how
// many. n is the number of the first.
func (l *Log) extend(lines [][]byte, n int64) (count int, err error) {
	l.files.Lock()
	defer l.files.Unlock()
	if len(l.parts) > 0 && l.size >= segmentBytes {
		if last := &l.parts[len(l.parts)-1]; !last.packed {
			if *last, err = last.pack(l.dir); err != nil {
				return 0, err
			}
		}
	}
	flags := os.O_WRONLY
	begin := len(l.parts) == 0 || l.size >= segmentBytes
	part := segment{first: n}
	if begin {
		flags |= os.O_CREATE | os.O_TRUNC
	} else {
		part = l.parts[len(l.parts)-1]
	}
	f, err := os.OpenFile(part.path(l.dir), flags, 0o600)
	if err != nil {
		return 0, err
	}
	size := int64(0)
	if !begin {
		size = l.size
	}
	var b []byte
	for _, line := range lines {
		if size+int64(len(b)) >= segmentBytes {
			break
		}
		b = append(append(b, line...), '\n')
		count++
	}
	_, err = f.WriteAt(b, size)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return 0, err
	}
	if begin {
		if err := durable.SyncDir(l.dir); err != nil {
			return 0, err
		}
		l.parts = append(l.parts, part)
	}
	l.size = size + int64(len(b))
	return count, nil
}

// putBy keeps a checkpoint a minute: where entries and hashes were both changed, they
// say between which two.
func (l *Log) putBy(c Checkpoint, signed []byte) {
	if c.Time.Sub(l.kept) < time.Minute {
		return
	}
	l.kept = c.Time
	f, err := os.OpenFile(filepath.Join(l.dir, checkpointsFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err == nil {
		_, err = f.Write(append(slices.Clone(signed), '\n'))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		l.log.Warn("checkpoint not put by", "error", err)
	}
}

// Covered is how far the streams are in the signed tree, on the disk: log.control may
// be trimmed up to there.
func (l *Log) Covered() (control, meta uint64) {
	l.files.RLock()
	defer l.files.RUnlock()
	return l.applied.control, l.applied.meta
}

// Checkpoint is the newest one, as it was signed, and the key to check it with.
func (l *Log) Checkpoint() (c Checkpoint, signed []byte, key string) {
	l.files.RLock()
	defer l.files.RUnlock()
	return l.signed, l.note, l.key.Public
}

// Close writes what waits and lets the log go.
func (l *Log) Close() error {
	for _, cancel := range l.cancel {
		cancel()
	}
	return errors.Join(l.Commit(), l.closeFiles())
}

func (l *Log) closeFiles() error {
	if l.hashes == nil {
		return nil
	}
	err := l.hashes.file.Close()
	l.hashes = nil
	return err
}
