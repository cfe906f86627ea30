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
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
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
	defaultJoinBytes = 64 << 20
	defaultJoinFrom  = 8
	retryAfter       = time.Second // after a segment could not be written
)

// Options say where and how. Only Dir is required.
type Options struct {
	Dir       string                      // folder of the segments; made when missing
	SealRows  int                         // rows of the head that trigger a seal; default 1,048,576
	SealEvery time.Duration               // span of arrivals in the head that triggers one; default 1 h
	Keep      time.Duration               // how long readings are kept; 0: for ever
	Tiers     []Tier                      // what is stored beside them, by ascending step; nil: DefaultTiers
	JoinBytes int64                       // size of a file up to which smaller ones of a day are joined; default 64 MiB, negative: never
	JoinFrom  int                         // segments of a day that are joined while it goes on; default 8
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
	files openFiles
	begun begun
	done  chan struct{}
	ended sync.WaitGroup

	joining sync.Mutex // held by the one who joins segments

	mu       sync.Mutex
	change   *sync.Cond // of anything below that somebody waits for
	closed   bool
	lastSeq  uint64 // newest sequence appended or covered
	covered  uint64
	segments []*segment // ascending rank; never changed, only replaced
	frozen   *head      // being written
	active   *head
	free     []*chunk
	era      uint64          // counts removals
	readers  map[uint64]int  // snapshots and holds, by the era that they were taken in
	doomed   []doomed        // files to remove when nobody may read them any more
	ready    *join           // that waits to take the place of what it was made of
	damaged  []string        // files to set aside
	dirty    bool            // the manifest is not what the segments are
	since    map[int64]int64 // by step: what is older may be gone
	given    uint64          // from where on the log has given everything since something was lost; 0: nothing yet
	nextID   uint64
	missed   []Miss // of the log, before it was here
	jumps    []Miss // of the sequences that were appended, since the store was opened
	failures int    // attempts to write that failed
	failure  error  // the last of them
	faults   []Fault
	dropped  int64 // rows of impossible slots
	tooLate  int64 // steps of tiers that readings came too late for
}

var (
	_ History = (*Store)(nil)
	_ Holder  = (*Store)(nil)
)

// Open opens the history in opt.Dir and clears away what an interrupted seal
// left. A segment that is damaged is set aside under the name *.bad, reported by
// Faults and no longer covered, so that the log restores its readings if it still
// has them.
func Open(opt Options) (*Store, error) {
	if opt.Tiers == nil {
		opt.Tiers = DefaultTiers()
	}
	for i, t := range opt.Tiers {
		if !slices.Contains(Steps, t.Step) || i > 0 && t.Step <= opt.Tiers[i-1].Step {
			return nil, fmt.Errorf("open history: tiers %v: ascending steps of %v", opt.Tiers, Steps)
		}
	}
	if err := os.MkdirAll(opt.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("open history: %w", err)
	}
	s := newStore(opt)
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("open history in %s: %w", opt.Dir, err)
	}
	s.lastSeq = s.covered
	s.ended.Go(s.run)
	s.ended.Go(s.tidy)
	return s, nil
}

// newStore is a store that has not looked into its folder.
func newStore(opt Options) *Store {
	if opt.SealRows <= 0 {
		opt.SealRows = defaultSealRows
	}
	if opt.SealEvery <= 0 {
		opt.SealEvery = defaultSealEvery
	}
	if opt.JoinBytes == 0 {
		opt.JoinBytes = defaultJoinBytes
	}
	if opt.JoinFrom < 2 {
		opt.JoinFrom = defaultJoinFrom
	}
	opt.Workers = max(1, opt.Workers)
	if opt.Name == nil {
		opt.Name = func(s device.Slot) device.ID { return device.ID(strconv.FormatUint(uint64(s), 10)) }
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{opt: opt, log: opt.Log, done: make(chan struct{}), readers: map[uint64]int{}}
	s.change = sync.NewCond(&s.mu)
	return s
}

// Stats is the state of a store in numbers.
type Stats struct {
	Segments int
	Rows     int64 // in segments
	Bytes    int64 // of segments
	HeadRows int64 // not yet in segments
	Dropped  int64 // rows refused because their slot is not below MaxSlot
	Failures int   // attempts to write a segment that failed
	Parts    int64 // rows of all tiers
	PartSize int64 // bytes of them
	TooLate  int64 // steps of tiers that readings came for when those beside them were gone
}

// Stats counts.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{Segments: len(s.segments), Dropped: s.dropped, Failures: s.failures, TooLate: s.tooLate}
	for _, g := range s.segments {
		for t := range g.tables {
			if t.step == 0 {
				st.Rows, st.Bytes = st.Rows+t.Rows, st.Bytes+t.Size
			} else {
				st.Parts, st.PartSize = st.Parts+t.Rows, st.PartSize+t.Size
			}
		}
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
	if seq > s.lastSeq+1 {
		s.jump(seq, f)
	}
	h := s.active
	if h == nil {
		h = &head{firstSeq: s.lastSeq + 1, given: seq, minAt: math.MaxInt64, maxAt: math.MinInt64, oldestIn: math.MaxInt64, newestIn: math.MinInt64}
		s.active = h
		if s.given == 0 || h.given > h.firstSeq {
			s.given = seq
		}
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

// Expire takes whole files out whose readings or steps were all measured longer before now
// than they are kept, and those of tiers that are kept no longer at all. Readings go only
// when their tiers are there. A file is removed, in the background, when its last reader
// is done and the manifest no longer lists it. It returns how many readings are no longer
// served.
func (s *Store) Expire(now time.Time) (rows int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keep := map[int64]time.Duration{0: s.opt.Keep}
	for _, t := range s.opt.Tiers {
		keep[t.Step.Milliseconds()] = t.Keep
	}
	s.since = map[int64]int64{}
	for step, d := range keep {
		if d > 0 {
			s.since[step] = now.Add(-d).UnixMilli()
		}
	}
	var list []*segment
	for i, g := range s.segments {
		var gone []*table
		for t := range g.tables {
			since, kept := s.since[t.step]
			if _, wanted := keep[t.step]; !wanted || kept && t.MaxAt < since && (t.step > 0 || !g.wants(s.opt.Tiers)) {
				gone = append(gone, t)
			}
		}
		if len(gone) == 0 {
			continue
		}
		if list == nil {
			list = slices.Clone(s.segments)
		}
		list[i] = g.clone()
		for _, t := range gone {
			if t.step == 0 {
				rows += t.Rows
			}
			list[i].drop(t.step)
			s.doom(t)
		}
	}
	if list == nil {
		return 0
	}
	// What is left of a segment says that its part of the log is covered, until nothing
	// before it is left either.
	n := 0
	for n < len(list)-1 && list[n].empty() && list[n].last < s.covered {
		n++
	}
	s.segments, s.dirty = list[n:], true
	s.change.Broadcast()
	return rows
}

// doomed is a file that is part of no segment any more.
type doomed struct {
	path string
	era  uint64 // snapshots of this and of earlier ones may read it
}

// doom has the file of a table removed. It is called with the lock held, when no segment
// has the table any more.
func (s *Store) doom(t *table) {
	s.doomed = append(s.doomed, doomed{t.path, s.era})
}

// enter notes that somebody may read what there is, until leave is called with what it
// returns. Both are called with the lock held.
func (s *Store) enter() (era uint64) {
	if n := len(s.doomed); n > 0 && s.doomed[n-1].era == s.era { // who comes from now on does not see those
		s.era++
	}
	s.readers[s.era]++
	return s.era
}

func (s *Store) leave(era uint64) {
	if s.readers[era]--; s.readers[era] == 0 {
		delete(s.readers, era)
	}
	if len(s.doomed) > 0 {
		s.bury()
	}
}

// Hold implements Holder, for those who read files beside the store as a backup does.
func (s *Store) Hold() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	era := s.enter()
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.leave(era)
	})
}

// bury removes files that nobody may read any more and that the manifest no longer lists.
// What is left over when the process ends is removed at the next start. It is called with
// the lock held.
func (s *Store) bury() {
	if s.dirty {
		return
	}
	oldest := uint64(math.MaxUint64)
	for era := range s.readers {
		oldest = min(oldest, era)
	}
	s.doomed = slices.DeleteFunc(s.doomed, func(d doomed) bool {
		if d.era >= oldest {
			return false
		}
		s.files.forget(d.path)
		s.index.forget(d.path)
		if err := os.Remove(d.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			s.log.Error("file of the history not removed", "path", d.path, "error", err)
		}
		return true
	})
}

// Settle returns when nothing is being written or is to be, or when an attempt to has
// failed. Simulated time stands still meanwhile, so that what is covered at
// an instant does not depend on how fast the machine is.
func (s *Store) Settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for failures := s.failures; s.busy() && !s.closed && s.failures == failures; {
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

// busy reports whether the writer has something to do. It is called with the lock held.
func (s *Store) busy() bool {
	return s.frozen != nil || s.dirty || s.ready != nil || pending(s.segments, s.opt.Tiers)
}

// run writes what is to be written until the store is closed: frozen heads first, then
// what has become of the manifest, then tiers that are missing. It is the only one that
// writes the manifest.
func (s *Store) run() {
	var w writer
	for {
		s.mu.Lock()
		for !s.busy() && !s.closed {
			s.change.Wait()
		}
		h, j, dirty, closed := s.frozen, s.ready, s.dirty, s.closed
		s.mu.Unlock()
		var err error
		switch {
		case closed:
			return
		case h != nil:
			if err = s.write(&w, h); err != nil {
				err = fmt.Errorf("seal history up to sequence %d: %w", h.lastSeq, err)
			}
		case dirty:
			err = s.list()
		case j != nil:
			err = s.replace(j)
		default:
			if err = s.fillIn(&w); err != nil {
				err = fmt.Errorf("complete history: %w", err)
			}
		}
		if d, ok := errors.AsType[*damage](err); ok {
			err = s.lose(d)
		}
		if err == nil {
			continue
		}
		s.log.Error("history not written, will try again", "error", err)
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

// write makes segments of a frozen head and puts them in its place.
func (s *Store) write(w *writer, h *head) error {
	s.mu.Lock()
	older, _ := superseded(s.segments, s.again(h.given), h.lastSeq)
	s.mu.Unlock()
	made, err := s.seal(w, h, older)
	if err != nil {
		return err
	}
	err = s.settleNames(made)
	if err == nil {
		err = writeManifest(s.opt.Dir, append(slices.Clip(older), made...), s.ending())
	}
	if err != nil {
		discard(made)
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	list, gone := superseded(s.segments, s.again(h.given), h.lastSeq)
	s.dirty = s.dirty || !slices.Equal(list, older)
	for _, g := range gone {
		for t := range g.tables {
			s.doom(t)
		}
	}
	s.frozen = nil
	s.segments = append(slices.Clip(list), made...)
	s.covered = h.lastSeq
	h.retired = true
	s.release(h)
	s.bury()
	s.change.Broadcast()
	return nil
}

// again is from where on the log has given everything since something was lost, up to what it
// gave from a sequence on. It is called with the lock held.
func (s *Store) again(from uint64) uint64 {
	if s.given == 0 {
		return from
	}
	return min(s.given, from)
}

// superseded are segments without and those with lost readings that the log has given
// again, from sequence first to last.
func superseded(list []*segment, first, last uint64) (left, gone []*segment) {
	for _, g := range list {
		if _, lost := g.lost[0]; lost && first <= g.first && g.last <= last {
			gone = append(gone, g)
		} else {
			left = append(left, g)
		}
	}
	return left, gone
}

// ending is what the manifest says besides segments.
func (s *Store) ending() manifestEnd {
	s.mu.Lock()
	defer s.mu.Unlock()
	return manifestEnd{NextID: s.nextID, Missed: slices.Clone(s.missed)}
}

// list writes the manifest as the segments are, and sets aside what is damaged.
func (s *Store) list() error {
	s.mu.Lock()
	list, damaged := s.segments, s.damaged
	s.damaged = nil
	s.mu.Unlock()
	err := writeManifest(s.opt.Dir, list, s.ending())
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.damaged = append(damaged, s.damaged...)
		return err
	}
	s.dirty = len(s.damaged) > 0 || !slices.Equal(list, s.segments) // it has changed meanwhile
	for _, path := range damaged {
		s.files.forget(path)
		s.index.forget(path)
		if err := os.Rename(path, path+badSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			s.log.Error("damaged history file not set aside", "path", path, "error", err)
		}
	}
	s.bury()
	s.change.Broadcast()
	return nil
}

// fillIn makes the tiers of the first segment that lacks some.
func (s *Store) fillIn(w *writer) error {
	s.mu.Lock()
	list := s.segments
	s.mu.Unlock()
	i := slices.IndexFunc(list, func(g *segment) bool { return g.wants(s.opt.Tiers) })
	if i < 0 {
		return nil
	}
	g, err := s.complete(w, list[i], list[:i:i])
	if err != nil {
		return err
	}
	if err := s.settleNames([]*segment{g}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty = true
	now := slices.Clone(s.segments)
	if k := slices.Index(now, list[i]); k >= 0 { // it may have changed meanwhile; then again
		now[k] = g
		s.segments = now
	} else {
		for t := range g.tables {
			if list[i].table(t.step) == nil {
				s.doom(t)
			}
		}
	}
	s.change.Broadcast()
	return nil
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
	s.files.close()
	return nil
}
