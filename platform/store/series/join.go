package series

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"yunchu/platform/device"
)

// What is sealed one after the other is joined to larger segments of the same day: fewer
// files, longer runs of one device in each page. Tables of a step are joined row by row;
// what they tell together stays the same, since the rank of what is joined is the highest
// of its parts and nothing that overlaps them lies between.
const (
	joinFrom = 8                // segments of a day that goes on; of one that is over two are enough
	joinMost = 64               // at a time
	dayOver  = int64(3600e3)    // ms after its end by which a day is taken to be over
	joinSync = 8 << 20          // bytes that are written between two syncs
	joinRest = time.Millisecond // at least, after each page
)

// errStopped: the store is closing.
var errStopped = errors.New("stopped")

// join is a segment that was made of several.
type join struct {
	of   []*segment // ascending rank
	made *segment
}

// joinable are the segments to be joined next, by ascending rank; none when there is nothing
// to do. They follow each other among the segments of their day, have the same tables, and
// nothing of them is lost.
func (s *Store) joinable(list []*segment) []*segment {
	if s.opt.JoinBytes < 0 || pending(list, s.opt.Tiers) {
		return nil
	}
	newest := int64(math.MinInt64)
	days := map[int64][]*segment{}
	for _, g := range list {
		newest = max(newest, g.MaxAt)
		if !g.empty() {
			days[Floor(g.MinAt, day)] = append(days[Floor(g.MinAt, day)], g)
		}
	}
	span := s.joinSpan()
	var best []*segment
	for begin, all := range days {
		over := begin+day+dayOver <= newest
		if !over { // of what is newest more may come
			all = all[:len(all)-1]
		}
		run := joinRun(all, s.opt.JoinFrom, over, s.opt.JoinBytes, span)
		if len(run) > 0 && (best == nil || run[0].rank < best[0].rank) {
			best = run
		}
	}
	return best
}

// joinSpan is how much time a segment may span, so that what is kept for hours is not kept
// for a day because of its neighbours.
func (s *Store) joinSpan() int64 {
	span := day
	keep := []time.Duration{s.opt.Keep}
	for _, t := range s.opt.Tiers {
		keep = append(keep, t.Keep)
	}
	for _, d := range keep {
		if d > 0 {
			span = min(span, d.Milliseconds()/8)
		}
	}
	return max(span, 1)
}

// joinRun finds segments of a day to join, at least from of them. While the day goes on the
// newest ones are taken, back to one that is much larger than all of them, so that a reading
// is written again but a few times.
func joinRun(all []*segment, from int, over bool, limit, span int64) []*segment {
	if over {
		from = 2
	}
	for end := len(all); end > 0; {
		begin := end
		var largest, whole int64 // of a table, of all tables
		lo, hi := int64(math.MaxInt64), int64(math.MinInt64)
		for begin > 0 && end-begin < joinMost {
			g := all[begin-1]
			lo, hi = min(lo, g.MinAt), max(hi, g.MaxAt)
			table, sum := g.sizes()
			if !sameTables(g, all[end-1]) || len(g.lost) > 0 || g.partial() || hi-lo >= span || largest+table > limit ||
				!over && begin < end && sum > 2*whole {
				break
			}
			largest, whole = largest+table, whole+sum
			begin--
		}
		if end-begin >= from {
			return all[begin:end]
		}
		if !over {
			return nil
		}
		end = min(begin, end-1)
	}
	return nil
}

// sizes are that of the largest table and of all.
func (g *segment) sizes() (largest, sum int64) {
	for t := range g.tables {
		largest, sum = max(largest, t.Size), sum+t.Size
	}
	return largest, sum
}

func sameTables(a, b *segment) bool {
	if (a.readings == nil) != (b.readings == nil) || len(a.tiers) != len(b.tiers) {
		return false
	}
	for step := range a.tiers {
		if b.tiers[step] == nil {
			return false
		}
	}
	return true
}

// tidy joins segments until the store is closed.
func (s *Store) tidy() {
	for {
		s.mu.Lock()
		for !s.closed && (s.ready != nil || s.dirty || s.joinable(s.segments) == nil) {
			s.change.Wait()
		}
		closed := s.closed
		s.mu.Unlock()
		if closed {
			return
		}
		if _, err := s.joinNext(s.rest); err != nil && !errors.Is(err, errStopped) {
			s.log.Error("segments of the history not joined, will try again", "error", err)
			s.wait(joinRetry)
		}
	}
}

// Join joins all that can be joined now, without a rest.
func (s *Store) Join(ctx context.Context) error {
	for {
		more, err := s.joinNext(func(time.Duration) error { return ctx.Err() })
		if err != nil {
			return fmt.Errorf("join history: %w", err)
		}
		if !more {
			return nil
		}
	}
}

// joinNext joins what is to be joined next and returns when the manifest says so, or that
// there is nothing. What is found damaged is reported, and there may be more.
func (s *Store) joinNext(after func(worked time.Duration) error) (more bool, err error) {
	s.joining.Lock()
	defer s.joining.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written()
	run := s.joinable(s.segments)
	if s.closed || run == nil {
		return false, nil
	}
	era := s.enter() // so that no file is removed meanwhile
	s.mu.Unlock()
	j, err := s.join(run, after)
	s.mu.Lock()
	s.leave(era)
	if d, ok := errors.AsType[*damage](err); ok {
		s.mu.Unlock()
		err := s.lose(d)
		s.mu.Lock()
		return err == nil, err
	}
	if err != nil {
		return false, err
	}
	s.ready = j
	s.change.Broadcast()
	s.written()
	return true, nil
}

// written waits until the manifest says what there is. It is called with the lock held.
func (s *Store) written() {
	for (s.ready != nil || s.dirty) && !s.closed {
		s.change.Wait()
	}
}

// joinRetry is how long nothing is joined after it has failed.
const joinRetry = time.Minute

// wait waits, or until the store is closed.
func (s *Store) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.done:
	}
}

// rest leaves the machine to others for as long as the work before took.
func (s *Store) rest(worked time.Duration) error {
	s.wait(max(worked, joinRest))
	select {
	case <-s.done:
		return errStopped
	default:
		return nil
	}
}

// join makes one segment of the run under temporary names. Each source is compared with what
// the manifest says of it first: what is damaged must not become a file that is vouched for.
// after is called with how long each page took.
func (s *Store) join(run []*segment, after func(worked time.Duration) error) (j *join, err error) {
	id := s.number()
	made := &segment{id: id, tiers: map[int64]*table{}, lost: map[int64]string{}, first: math.MaxUint64}
	made.contents = contents{MinAt: math.MaxInt64, MaxAt: math.MinInt64, MinSlot: MaxSlot}
	var of []uint64
	for _, g := range run {
		of = append(of, g.id)
		made.rank = max(made.rank, g.rank)
		switch {
		case g.first < made.first:
			made.first, made.given = g.first, g.given
		case g.first == made.first:
			made.given = max(made.given, g.given)
		}
		made.last = max(made.last, g.last)
		made.Rows += g.Rows
		made.MinAt, made.MaxAt = min(made.MinAt, g.MinAt), max(made.MaxAt, g.MaxAt)
		made.MinSlot, made.MaxSlot = min(made.MinSlot, g.MinSlot), max(made.MaxSlot, g.MaxSlot)
	}
	defer func() {
		if err != nil {
			discard([]*segment{made})
		}
	}()
	for t := range run[0].tables {
		var sources []*table
		for _, g := range run {
			sources = append(sources, g.table(t.step))
			begun := time.Now()
			if err := g.table(t.step).compare(true); err != nil {
				return nil, err
			}
			if err := after(time.Since(begun)); err != nil {
				return nil, err
			}
		}
		out := &table{id: id, rank: made.rank, of: of, first: made.first, last: made.last, step: t.step}
		if err := s.joinTables(sources, out, after); err != nil {
			return nil, err
		}
		if t.step == 0 {
			made.readings, made.contents = out, out.contents
		} else {
			made.tiers[t.step] = out
		}
	}
	return &join{run, made}, nil
}

// replace puts a segment in the place of those that it was made of. When one of them has
// changed meanwhile it is thrown away.
func (s *Store) replace(j *join) error {
	err := s.settleNames([]*segment{j.made})
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.change.Broadcast()
	if err != nil { // it is tried again from the start
		s.ready = nil
		discard([]*segment{j.made})
		return err
	}
	s.ready = nil
	var list []*segment
	found := 0
	for _, g := range s.segments {
		if !slices.Contains(j.of, g) {
			list = append(list, g)
		} else if found++; found == len(j.of) {
			list = append(list, j.made)
		}
	}
	if found < len(j.of) {
		discard([]*segment{j.made})
		return nil
	}
	for _, g := range j.of {
		for t := range g.tables {
			s.doom(t)
		}
	}
	s.segments, s.dirty = list, true
	return nil
}

// dropJoined takes out segments that were joined, where what was made of them is there: a
// manifest would say so.
func (s *Store) dropJoined() {
	var of []uint64
	for _, g := range s.segments {
		if g.readings != nil {
			of = append(of, g.readings.of...)
		}
	}
	s.segments = slices.DeleteFunc(s.segments, func(g *segment) bool {
		if !slices.Contains(of, g.id) {
			return false
		}
		for t := range g.tables {
			s.doom(t)
		}
		return true
	})
}

// joinTables writes the rows of several tables of a step, by ascending rank, as one.
func (s *Store) joinTables(sources []*table, out *table, after func(time.Duration) error) error {
	w := &joiner{store: s, sources: sources, out: out, after: after, begun: time.Now()}
	w.e.codec = &tight
	kinds, err := w.kinds()
	if err != nil {
		return err
	}
	names := columnsOf(out.step)
	w.columns = make([]column, len(names))
	w.words = make([]lexicon, len(names))
	for i, name := range names {
		w.e.begin(&w.columns[i], name, kinds[i], kinds[i].encoding())
	}
	out.contents = contents{MinAt: math.MaxInt64, MaxAt: math.MinInt64, MinSlot: MaxSlot}
	if out.step == 0 {
		err = w.readings()
	} else {
		err = w.parts()
	}
	if err != nil {
		return err
	}
	for i := range w.columns {
		w.e.col = &w.columns[i]
		if kinds[i] == kindWord {
			w.e.finishWords(w.words[i].words)
		} else {
			w.e.finish()
		}
	}
	row := "reading"
	if out.step > 0 {
		row = "part"
	}
	dir := s.folder(out.step)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return (&writer{columns: w.columns, sync: joinSync}).save(out, row, w.slots, dir)
}

// name is what the device column says of a slot.
func (w *joiner) name(slot device.Slot) string { return string(w.store.opt.Name(slot)) }
