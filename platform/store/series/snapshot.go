package series

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"yunchu/platform/device"
)

// snapshot is what a question is answered from: tables that stay as they are, and heads
// that only grow.
type snapshot struct {
	store    *Store
	segments []*segment // ascending rank
	heads    []*head
	era      uint64

	headFirst, headLast uint64          // sequences of the log in the heads, and those before that came after the last loss
	since               map[int64]int64 // by step: what is older may be gone
	minAt, maxAt        int64           // of everything, ms UTC
	missed              []Miss
}

// snapshot takes what there is; release gives it back.
func (s *Store) snapshot() (*snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	v := &snapshot{store: s, segments: s.segments, heads: s.heads(), era: s.enter()}
	v.since, v.headFirst, v.headLast = s.since, math.MaxUint64, s.lastSeq
	v.minAt, v.maxAt, v.missed = math.MaxInt64, math.MinInt64, s.missed
	for _, g := range v.segments {
		v.minAt, v.maxAt = min(v.minAt, g.MinAt), max(v.maxAt, g.MaxAt)
	}
	for _, h := range v.heads {
		h.refs++
		v.headFirst = min(v.headFirst, h.given)
		v.minAt, v.maxAt = min(v.minAt, h.minAt), max(v.maxAt, h.maxAt)
	}
	v.headFirst = s.again(v.headFirst)
	return v, nil
}

func (v *snapshot) release() {
	s := v.store
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range v.heads {
		h.refs--
		s.release(h)
	}
	s.leave(v.era)
}

// sources are the places that may hold readings of the slot in from ≤ t < to, by the
// time from which they may.
func (v *snapshot) sources(slot device.Slot, from, to int64, fields Fields) (list []*source) {
	for i, g := range v.segments {
		if g.readings != nil && g.readings.mayHold(slot, from, to) {
			list = append(list, v.store.segmentSource(g.readings, i, slot, from, to, fields))
		}
	}
	list = append(list, v.headSources(slot, from, to, fields)...)
	slices.SortFunc(list, func(a, b *source) int { return cmp.Or(cmp.Compare(a.lower, b.lower), cmp.Compare(a.rank, b.rank)) })
	return list
}

// headSources are those in memory.
func (v *snapshot) headSources(slot device.Slot, from, to int64, fields Fields) (list []*source) {
	v.store.mu.Lock()
	defer v.store.mu.Unlock()
	for i, h := range v.heads {
		w := h.view(slot)
		if w.newest != 0 && w.minAt < to && w.maxAt >= from {
			list = append(list, headSource(w, len(v.segments)+i, slot, from, to, fields))
		}
	}
	return list
}

// scan calls yield with the slot's readings in from ≤ t < to, ascending and one for each
// time, as row i of f, until it returns false.
func (v *snapshot) scan(ctx context.Context, slot device.Slot, from, to int64, fields Fields, yield func(f *device.Readings, i int) bool) error {
	return merged(ctx, v.sources(slot, from, to, fields), func(f *device.Readings, i, j int) bool {
		for ; i < j; i++ {
			if !yield(f, i) {
				return false
			}
		}
		return true
	})
}

// Where readings lie in many places the next ones are opened and read while the rows of
// those before are taken.
const (
	fetchAhead = 2
	fetchFrom  = 8 // places
)

// merged calls yield with the rows of all sources, ascending and one for each time, until it
// returns false: with as many at a time as follow each other in one source, rows i to before
// j of f.
func merged(ctx context.Context, waiting []*source, yield func(f *device.Readings, i, j int) bool) error {
	var active []*source
	many := len(waiting) >= fetchFrom
	defer func(all []*source) {
		for _, c := range all {
			c.end()
		}
	}(waiting)
	for n := headBatch; ; n++ {
		if n >= headBatch {
			if n = 0; ctx.Err() != nil {
				return fmt.Errorf("read history: %w", ctx.Err())
			}
		}
		var best *source
		for _, c := range active {
			if best == nil || c.at() < best.at() || c.at() == best.at() && c.rank > best.rank {
				best = c
			}
		}
		// A source that may hold something as early comes in first.
		if len(waiting) > 0 && (best == nil || waiting[0].lower <= best.at()) {
			c := waiting[0]
			waiting = waiting[1:]
			if many {
				for _, c := range waiting[:min(len(waiting), fetchAhead)] {
					c.fetch()
				}
			}
			if ok, err := c.start(); err != nil {
				return err
			} else if ok {
				active = append(active, c)
			}
			continue
		}
		if best == nil {
			return nil
		}
		// Rows before those of any other source follow each other.
		until := int64(math.MaxInt64)
		if len(waiting) > 0 {
			until = waiting[0].lower
		}
		for _, c := range active {
			if c != best {
				until = min(until, c.at())
			}
		}
		i, end := best.pos, best.rows.Rows()
		if best.rows.At[end-1] >= until {
			end, _ = slices.BinarySearch(best.rows.At[:end], until)
			end = max(end, i+1)
		}
		if !yield(best.rows, i, end) {
			return nil
		}
		best.pos = end - 1
		n += best.pos - i
		var err error
		if active, err = pass(active, best.at()); err != nil {
			return err
		}
	}
}

// errNoReadings: what a step amounts to can only be told by readings that are gone.
var errNoReadings = errors.New("the readings are no longer there")

// partView gives the parts of a tier. It reads one slot after the other, ascending, and
// keeps the pages that it has read in between.
type partView struct {
	*snapshot
	step    int64 // of the parts
	fields  Fields
	finer   []int64     // steps that may help out, the coarsest first
	readers []*partFile // ascending rank
	parts   []ranked
	headed  []part
	single  bool                // one slot is asked for
	until   int64               // readings in memory are not wanted from here on
	helpers map[int64]*partView // of finer tiers
}

type partFile struct {
	t    *table
	rank int
	r    *partReader // nil until it is needed
}

type ranked struct {
	part
	rank int
}

// view is a view of the tables of a step that have parts in from ≤ t < to.
func (v *snapshot) view(step, from, to int64, fields Fields) *partView {
	w := &partView{snapshot: v, step: step, fields: fields, until: math.MaxInt64}
	for i, g := range v.segments {
		if t := g.tiers[step]; t != nil && t.MinAt < to && from <= t.MaxAt {
			w.readers = append(w.readers, &partFile{t: t, rank: i})
		}
	}
	for _, t := range v.store.opt.Tiers {
		if ms := t.Step.Milliseconds(); ms < step {
			w.finer = append(w.finer, ms)
		}
	}
	slices.Reverse(w.finer)
	return w
}

// stored collects the parts of the slot that tables have for steps in from ≤ t < to, those
// that hold, by step and then rank.
func (w *partView) stored(slot device.Slot, from, to int64) error {
	w.parts = w.parts[:0]
	sorted := true
	for _, f := range w.readers {
		if !f.t.mayHold(slot, from, to) {
			continue
		}
		if f.r == nil {
			var err error
			if f.r, err = w.store.newPartReader(f.t, w.fields); err != nil {
				return err
			}
			f.r.single = w.single
		}
		err := f.r.slotParts(slot, from, to, func(p *part) {
			if n := len(w.parts); n > 0 && w.parts[n-1].at >= p.at {
				sorted = false
			}
			w.parts = append(w.parts, ranked{*p, f.rank})
		})
		if err != nil {
			return err
		}
	}
	if sorted {
		return nil
	}
	slices.SortStableFunc(w.parts, func(a, b ranked) int { return cmp.Compare(a.at, b.at) })
	n, begin := 0, 0 // of what is kept, and of the step there
	for _, p := range w.parts {
		if n > begin && w.parts[begin].at != p.at {
			begin = n
		}
		if p.whole {
			n = begin
		}
		w.parts[n] = p
		n++
	}
	w.parts = w.parts[:n]
	return nil
}

// each calls yield with the slot's parts in from ≤ t < to, which are whole steps,
// ascending and without any between the readings of another, until it returns false.
func (w *partView) each(ctx context.Context, slot device.Slot, from, to int64, yield func(p *part) bool) error {
	if ctx.Err() != nil {
		return fmt.Errorf("read history: %w", ctx.Err())
	}
	if err := w.stored(slot, from, to); err != nil {
		return err
	}
	if err := w.head(ctx, slot, from, min(to, w.until)); err != nil {
		return err
	}
	i, j := 0, 0
	for i < len(w.parts) || j < len(w.headed) {
		at := int64(farthest)
		if i < len(w.parts) {
			at = w.parts[i].at
		}
		if j < len(w.headed) {
			at = min(at, w.headed[j].at)
		}
		begin := i
		for i < len(w.parts) && w.parts[i].at == at {
			i++
		}
		here := w.parts[begin:i]
		if len(here) > 1 {
			slices.SortFunc(here, func(a, b ranked) int { return cmp.Compare(a.first, b.first) })
		}
		var late *part
		if j < len(w.headed) && w.headed[j].at == at {
			late = &w.headed[j]
			j++
		}
		if late != nil && slices.ContainsFunc(here, func(p ranked) bool { return late.overlaps(&p.part) }) {
			p, err := w.again(ctx, slot, at)
			if err == nil {
				if !yield(&p) {
					return nil
				}
				continue
			} else if !errors.Is(err, errNoReadings) {
				return err
			}
			late = nil // what comes after the readings are gone changes nothing
		}
		for k := range here {
			if late != nil && late.first < here[k].first {
				if !yield(late) {
					return nil
				}
				late = nil
			}
			if !yield(&here[k].part) {
				return nil
			}
		}
		if late != nil && !yield(late) {
			return nil
		}
	}
	return nil
}

// head collects the parts of the slot's readings in memory.
func (w *partView) head(ctx context.Context, slot device.Slot, from, to int64) error {
	w.headed = w.headed[:0]
	list := w.headSources(slot, from, to, w.fields)
	switch len(list) {
	case 0:
		return nil
	case 1: // a column at a time
		if err := list[0].open(); err != nil {
			return err
		}
		for {
			f, err := list[0].batch()
			if err != nil || f == nil {
				return err
			}
			w.headed = appendParts(w.headed, f, w.step)
		}
	}
	var r device.Reading
	return merged(ctx, list, func(f *device.Readings, i, j int) bool {
		for ; i < j; i++ {
			f.Row(i, &r)
			w.headed = add(w.headed, &r, w.step)
		}
		return true
	})
}

// add takes the next reading into the last of the parts or a new one.
func add(parts []part, r *device.Reading, step int64) []part {
	begin := Floor(r.At, step)
	if n := len(parts); n == 0 || parts[n-1].slot != r.Slot || parts[n-1].at != begin {
		parts = append(parts, part{slot: r.Slot, at: begin, first: r.At, arrived: r.Arrived})
	}
	parts[len(parts)-1].add(r)
	return parts
}

// again is the part of a step from what is finer: parts that are stored, or readings.
func (w *partView) again(ctx context.Context, slot device.Slot, at int64) (out part, err error) {
	take := func(p *part) bool {
		if out.n == 0 {
			out = *p
			out.at, out.whole = at, true
		} else {
			out.merge(p)
		}
		return true
	}
	for _, step := range w.finer {
		if w.lacks(step, slot, at, at+w.step) {
			continue
		}
		h := w.helpers[step]
		if h == nil {
			if w.helpers == nil {
				w.helpers = map[int64]*partView{}
			}
			h = w.view(step, -farthest, farthest, w.fields)
			w.helpers[step] = h
		}
		err = h.each(ctx, slot, at, at+w.step, take)
		return out, err
	}
	if w.lacks(0, slot, at, at+w.step) {
		return out, errNoReadings
	}
	var r device.Reading
	var parts []part
	err = w.scan(ctx, slot, at, at+w.step, w.fields, func(f *device.Readings, i int) bool {
		f.Row(i, &r)
		parts = add(parts, &r, w.step)
		return true
	})
	for i := range parts {
		take(&parts[i])
	}
	return out, err
}

// lacks reports whether some table of the step is not there that may have something of the
// slot in from ≤ t < to.
func (v *snapshot) lacks(step int64, slot device.Slot, from, to int64) bool {
	return slices.ContainsFunc(v.segments, func(g *segment) bool { return g.table(step) == nil && g.mayHold(slot, from, to) })
}
