// Package series is the history of readings: immutable Parquet segments over an
// in-memory head, with the log as the only write-ahead log.
//
// Readings are appended in the order of the log and lie in the head until it is
// full or old enough. It is then frozen and written, beside further appends, as
// one file that is synced and renamed into place, sorted by device and time. A
// segment says up to which log sequence it covers; after a crash the log is
// replayed from there, and nothing is lost or counted twice, because (device,
// time) is the key and the reading that came last is the one that is served.
//
// Segments are plain Parquet with units in the column names, one row a reading,
// sorted by slot and time: any Parquet reader opens them. A quantity whose values
// all lie on a decimal grid of 3 to 6 digits is a DECIMAL column of that scale, any
// other a DOUBLE; both give back exactly the value that was appended (-0 becomes
// 0). A quantity that was not reported is null. Where values need more than three
// digits the types of files differ, so let the reader unify them (DuckDB:
// union_by_name = true). Where segments overlap in device and time, the file with
// the higher number holds.
package series

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"yunchu/platform/device"
)

// Errors that callers branch on.
var (
	// ErrQuery: the question makes no sense, such as a foreign cursor.
	ErrQuery = errors.New("not a valid query")
	// ErrCorrupt: a segment is not what was written. Nothing of it is served.
	ErrCorrupt = errors.New("segment damaged")
	// ErrClosed: the store has been closed.
	ErrClosed = errors.New("history closed")
)

// MaxSlot is one more than the largest slot that a store takes.
const MaxSlot = 1 << 24

const (
	defaultSealRows  = 1 << 20 // about 100 MB of head, and as much while it is written
	defaultSealEvery = time.Hour
	retryAfter       = time.Second // after a segment could not be written
)

// Options say where and how. Only Dir is required.
type Options struct {
	Dir       string                      // folder of the segments; made when missing
	SealRows  int                         // rows of the head that trigger a seal; default 1,048,576
	SealEvery time.Duration               // span of arrivals in the head that triggers one; default 1 h
	Workers   int                         // columns that are encoded at a time; default 1
	Name      func(device.Slot) device.ID // for the device column; default: the slot's digits
	Log       *slog.Logger                // default: none
}

// Store is a history on a folder. Append is called by one goroutine at a time,
// everything else by any.
type Store struct {
	opt   Options
	log   *slog.Logger
	index cache
	done  chan struct{}
	ended sync.WaitGroup

	mu       sync.Mutex
	change   *sync.Cond // of anything below that somebody waits for
	closed   bool
	lastSeq  uint64 // newest sequence appended or covered
	covered  uint64
	segments []*segment // ascending number; never changed, only replaced
	frozen   *head      // being written
	active   *head
	free     []*chunk
	readers  int      // that may have a segment open
	doomed   []string // files to remove when there are none
	nextID   uint64
	failures int   // attempts to write that failed
	failure  error // the last of them
	faults   []error
	dropped  int64 // rows of impossible slots
}

var _ History = (*Store)(nil)

// Open opens the history in opt.Dir and clears away what an interrupted seal
// left. A segment that is damaged is set aside under the name *.bad, reported by
// Faults and no longer covered, so that the log restores its readings if it still
// has them.
func Open(opt Options) (*Store, error) {
	if opt.SealRows <= 0 {
		opt.SealRows = defaultSealRows
	}
	if opt.SealEvery <= 0 {
		opt.SealEvery = defaultSealEvery
	}
	opt.Workers = max(1, opt.Workers)
	if opt.Name == nil {
		opt.Name = func(s device.Slot) device.ID { return device.ID(strconv.FormatUint(uint64(s), 10)) }
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(opt.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("open history: %w", err)
	}
	s := &Store{opt: opt, log: opt.Log, done: make(chan struct{})}
	s.change = sync.NewCond(&s.mu)
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("open history in %s: %w", opt.Dir, err)
	}
	s.lastSeq = s.covered
	s.ended.Go(s.run)
	return s, nil
}

// load reads what is in the folder.
func (s *Store) load() error {
	entries, err := os.ReadDir(s.opt.Dir)
	if err != nil {
		return err
	}
	var bad []*segment
	for _, e := range entries {
		path := filepath.Join(s.opt.Dir, e.Name())
		if isTemporary(e.Name()) {
			if err := os.Remove(path); err != nil {
				return err
			}
			continue
		}
		g, intact, ok := parseName(path)
		if !ok {
			continue
		}
		s.nextID = max(s.nextID, g.id)
		if !intact {
			bad = append(bad, g)
			continue
		}
		if err := g.readMeta(); err != nil {
			if !errors.Is(err, ErrCorrupt) {
				return err
			}
			s.log.Error("history segment set aside", "path", path, "error", err)
			s.faults = append(s.faults, err)
			if err := os.Rename(path, path+badSuffix); err != nil {
				return err
			}
			bad = append(bad, g)
			continue
		}
		s.segments = append(s.segments, g)
	}
	s.nextID++
	slices.SortFunc(s.segments, func(a, b *segment) int { return cmp.Compare(a.id, b.id) })
	s.covered = coverage(s.segments, bad)
	return nil
}

// coverage is the last sequence before the first gap in what the segments cover.
// What lies before the oldest file, good or bad, was removed on purpose.
func coverage(good, bad []*segment) uint64 {
	start := uint64(math.MaxUint64)
	for _, g := range slices.Concat(good, bad) {
		start = min(start, g.first)
	}
	byFirst := slices.Clone(good)
	slices.SortFunc(byFirst, func(a, b *segment) int { return cmp.Compare(a.first, b.first) })
	covered := start - 1
	if len(good)+len(bad) == 0 {
		covered = 0
	}
	for _, g := range byFirst {
		if g.first > covered+1 {
			break
		}
		covered = max(covered, g.last)
	}
	return covered
}

// Faults lists the segments that were found damaged when the store was opened.
func (s *Store) Faults() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.faults)
}

// Stats is the state of a store in numbers.
type Stats struct {
	Segments int
	Rows     int64 // in segments
	Bytes    int64 // of segments
	HeadRows int64 // not yet in segments
	Dropped  int64 // rows refused because their slot is not below MaxSlot
	Failures int   // attempts to write a segment that failed
}

// Stats counts.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{Segments: len(s.segments), Dropped: s.dropped, Failures: s.failures}
	for _, g := range s.segments {
		st.Rows += g.rows
		st.Bytes += g.size
	}
	for _, h := range s.heads() {
		st.HeadRows += int64(h.rows)
	}
	return st
}

// heads are the unsealed heads, the older first.
func (s *Store) heads() []*head {
	var out []*head
	if s.frozen != nil {
		out = append(out, s.frozen)
	}
	if s.active != nil {
		out = append(out, s.active)
	}
	return out
}

// Covered is the last log sequence that segments cover.
func (s *Store) Covered() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.covered
}

// Append copies the readings into the head. When a full head waits while another
// is still being written, Append blocks until that is done, which bounds memory
// to two heads. After Close it does nothing.
func (s *Store) Append(seq uint64, f *device.Readings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || seq <= s.lastSeq {
		return
	}
	if h := s.active; h != nil && s.due(h) {
		s.freeze()
		if s.closed {
			return
		}
	}
	h := s.active
	if h == nil {
		h = &head{firstSeq: s.lastSeq + 1, minAt: math.MaxInt64, maxAt: math.MinInt64, oldestIn: math.MaxInt64, newestIn: math.MinInt64}
		s.active = h
	}
	s.lastSeq, h.lastSeq = seq, seq
	if slices.ContainsFunc(f.Slot, func(slot device.Slot) bool { return slot >= MaxSlot }) {
		f = s.drop(f)
	}
	for i := 0; i < f.Rows(); {
		if h.rows == len(h.chunks)*chunkRows {
			h.chunks = append(h.chunks, s.chunk())
		}
		j := min(f.Rows(), i+len(h.chunks)*chunkRows-h.rows)
		h.append(f, i, j)
		i = j
	}
}

// drop is the frame without the rows that no store of dense slots can hold.
func (s *Store) drop(f *device.Readings) *device.Readings {
	out := new(device.Readings)
	var r device.Reading
	for i, slot := range f.Slot {
		if slot < MaxSlot {
			f.Row(i, &r)
			out.Append(&r)
		}
	}
	n := f.Rows() - out.Rows()
	s.dropped += int64(n)
	s.log.Error("readings of impossible slots dropped", "rows", n)
	return out
}

// chunk is fresh or used memory for rows. Used memory keeps its old content,
// which no reader looks at.
func (s *Store) chunk() *chunk {
	if n := len(s.free); n > 0 {
		c := s.free[n-1]
		s.free = s.free[:n-1]
		return c
	}
	return new(chunk)
}

func (s *Store) due(h *head) bool {
	return h.rows >= s.opt.SealRows || h.rows > 0 && h.newestIn-h.oldestIn >= s.opt.SealEvery.Milliseconds()
}

// freeze hands the active head to the writer, when it has no other. It is called
// with the lock held and gives it up while it waits.
func (s *Store) freeze() {
	for s.frozen != nil && !s.closed {
		s.change.Wait()
	}
	if s.closed || s.active == nil || s.active.rows == 0 {
		return
	}
	s.frozen, s.active = s.active, nil
	s.change.Broadcast()
}

// SealIfDue begins a seal when the oldest reading of the head arrived SealEvery
// or longer before now; it does not wait for it. Whoever owns time calls it now
// and then, for plants so quiet that Append alone would not notice.
func (s *Store) SealIfDue(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.active
	if s.closed || s.frozen != nil || h == nil || h.rows == 0 {
		return
	}
	if s.due(h) || now.UnixMilli()-h.oldestIn >= s.opt.SealEvery.Milliseconds() {
		s.freeze()
	}
}

// Expire removes the oldest segments whose readings were all measured before
// (ms UTC), whole files and only those that nothing older is left before: the log
// does not need them, and a segment with a newer reading holds up those after it.
// A file that is being read goes when its last reader is done. It returns how many
// rows are no longer served.
func (s *Store) Expire(before int64) (rows int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < len(s.segments) && s.segments[n].maxAt < before && s.segments[n].last < s.covered {
		rows += s.segments[n].rows
		s.doomed = append(s.doomed, s.segments[n].path)
		n++
	}
	if n > 0 {
		s.segments = slices.Clone(s.segments[n:])
		s.bury()
	}
	return rows
}

// bury removes what expired once nobody reads. What is left over when the process
// ends expires again. It is called with the lock held.
func (s *Store) bury() {
	if s.readers > 0 {
		return
	}
	for _, path := range s.doomed {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			s.log.Error("expired history segment not removed", "path", path, "error", err)
		}
	}
	s.doomed = nil
}

// Settle returns when no head is being written, or when an attempt to write one
// has failed. Simulated time stands still meanwhile, so that what is covered at
// an instant does not depend on how fast the machine is.
func (s *Store) Settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for failures := s.failures; s.frozen != nil && !s.closed && s.failures == failures; {
		s.change.Wait()
	}
}

// Seal makes everything appended so far durable and returns when it is, or with
// the error of the attempt, which is repeated in the background.
func (s *Store) Seal(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The lock is taken so that the wake-up cannot fall between a check of ctx
	// and the wait.
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.change.Broadcast()
	})
	defer stop()
	failures := s.failures
	goal := s.lastSeq
	for {
		switch {
		case s.frozen == nil && (s.active == nil || s.active.rows == 0 || s.active.firstSeq > goal):
			return nil
		case s.closed:
			return ErrClosed
		case ctx.Err() != nil:
			return fmt.Errorf("seal history: %w", ctx.Err())
		case s.failures > failures:
			return s.failure
		case s.frozen == nil:
			s.freeze()
		default:
			s.change.Wait()
		}
	}
}

// run writes frozen heads until the store is closed.
func (s *Store) run() {
	var w writer
	for {
		s.mu.Lock()
		for s.frozen == nil && !s.closed {
			s.change.Wait()
		}
		h, id := s.frozen, s.nextID
		closed := s.closed
		s.nextID++
		s.mu.Unlock()
		if closed {
			return
		}
		g, err := w.seal(h, id, &s.opt)
		if err == nil {
			s.publish(g)
			continue
		}
		err = fmt.Errorf("seal history up to sequence %d: %w", h.lastSeq, err)
		s.log.Error("history segment not written, will try again", "error", err)
		s.mu.Lock()
		s.failures++
		s.failure = err
		s.change.Broadcast()
		s.mu.Unlock()
		retry := time.NewTimer(retryAfter)
		select {
		case <-retry.C:
		case <-s.done:
			retry.Stop()
		}
	}
}

// publish puts the segment in the place of the frozen head.
func (s *Store) publish(g *segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.frozen
	s.frozen = nil
	s.segments = append(slices.Clip(s.segments), g)
	s.covered = g.last
	h.retired = true
	s.release(h)
	s.change.Broadcast()
}

// release gives the memory of a sealed head back once nobody reads it. It is
// called with the lock held.
func (s *Store) release(h *head) {
	if !h.retired || h.refs > 0 {
		return
	}
	keep := 2 * (s.opt.SealRows/chunkRows + 1)
	for _, c := range h.chunks {
		if len(s.free) < keep {
			s.free = append(s.free, c)
		}
	}
	h.chunks = nil
}

// Close stops the writer. A segment that is being written is finished first;
// what is still in the head is forgotten here and stays in the log.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.done)
	s.change.Broadcast()
	s.mu.Unlock()
	s.ended.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active, s.frozen, s.free = nil, nil, nil
	return nil
}
