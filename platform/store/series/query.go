package series

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"yunchu/platform/device"
)

// source is one place that holds readings of a slot: a segment or a head. Of two
// sources with a reading of the same time the one of higher rank holds.
type source struct {
	rank   int
	lower  int64 // no reading before this time
	open   func() error
	batch  func() (*device.Readings, error) // the next rows, ascending; nil at the end
	rows   *device.Readings
	pos    int
	finish func()
}

// at is the time of the row that the source stands on.
func (c *source) at() int64 { return c.rows.At[c.pos] }

// load makes sure that the source stands on a row; false at its end.
func (c *source) load() (bool, error) {
	for c.rows == nil || c.pos >= c.rows.Rows() {
		rows, err := c.batch()
		if err != nil || rows == nil {
			return false, err
		}
		c.rows, c.pos = rows, 0
	}
	return true, nil
}

// headBatch is how many rows of a head are copied at a time.
const headBatch = 4096

func (s *Store) segmentSource(g *segment, rank int, slot device.Slot, from, to int64, fields Fields) *source {
	c := &source{rank: rank, lower: max(g.minAt, from)}
	var r *reader
	c.open = func() (err error) {
		r, err = s.newReader(g, slot)
		return err
	}
	c.batch = func() (*device.Readings, error) { return r.next(from, to, fields) }
	c.finish = func() {
		if r != nil {
			r.close()
		}
	}
	return c
}

func headSource(v view, rank int, slot device.Slot, from, to int64, fields Fields) *source {
	var rows []found
	c := &source{rank: rank, lower: max(v.minAt, from), finish: func() {}}
	c.open = func() error {
		rows = v.find(from, to)
		return nil
	}
	c.batch = func() (*device.Readings, error) {
		if len(rows) == 0 {
			return nil, nil
		}
		n := min(len(rows), headBatch)
		f := v.copyRows(slot, rows[:n], fields)
		rows = rows[n:]
		return f, nil
	}
	return c
}

// sources are the places that may hold readings of the slot in from ≤ t < to, by
// the time from which they may. done gives them back.
func (s *Store) sources(slot device.Slot, from, to int64, fields Fields) (list []*source, done func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, ErrClosed
	}
	s.readers++
	for i, g := range s.segments {
		if g.mayHold(slot, from, to) {
			list = append(list, s.segmentSource(g, i, slot, from, to, fields))
		}
	}
	var pinned []*head
	for i, h := range s.heads() {
		v := h.view(slot)
		if v.newest == 0 || v.minAt >= to || v.maxAt < from {
			continue
		}
		h.refs++
		pinned = append(pinned, h)
		list = append(list, headSource(v, len(s.segments)+i, slot, from, to, fields))
	}
	slices.SortFunc(list, func(a, b *source) int { return cmp.Or(cmp.Compare(a.lower, b.lower), cmp.Compare(a.rank, b.rank)) })
	return list, func() {
		for _, c := range list {
			c.finish()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, h := range pinned {
			h.refs--
			s.release(h)
		}
		if s.readers--; len(s.doomed) > 0 {
			s.bury()
		}
	}, nil
}

// scan calls yield with the slot's readings in from ≤ t < to, ascending and one
// for each time, as row i of f, until it returns false.
func (s *Store) scan(ctx context.Context, slot device.Slot, from, to int64, fields Fields, yield func(f *device.Readings, i int) bool) error {
	waiting, done, err := s.sources(slot, from, to, fields)
	if err != nil {
		return err
	}
	defer done()
	var active []*source
	for n := 0; ; n++ {
		if n%headBatch == 0 && ctx.Err() != nil {
			return fmt.Errorf("read history: %w", ctx.Err())
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
			if err := c.open(); err != nil {
				return err
			}
			if ok, err := c.load(); err != nil {
				return err
			} else if ok {
				active = append(active, c)
			}
			continue
		}
		if best == nil {
			return nil
		}
		if !yield(best.rows, best.pos) {
			return nil
		}
		if active, err = pass(active, best.at()); err != nil {
			return err
		}
	}
}

// pass moves every source beyond the time and drops those at their end.
func pass(active []*source, at int64) ([]*source, error) {
	n := 0
	for _, c := range active {
		if c.at() == at {
			c.pos++
			ok, err := c.load()
			if err != nil {
				return nil, err
			}
			if !ok {
				continue
			}
		}
		active[n] = c
		n++
	}
	return active[:n], nil
}

// Query returns the page of readings that q asks for. A damaged segment is an
// error that wraps ErrCorrupt.
func (s *Store) Query(ctx context.Context, q Query) (Page, error) {
	step := q.Step.Milliseconds()
	if q.Step < 0 || q.Step > 0 && step == 0 {
		return Page{}, fmt.Errorf("%w: step %s, at least 1 ms", ErrQuery, q.Step)
	}
	from := q.From
	if q.Cursor != "" {
		next, err := ParseCursor(q.Cursor)
		if err != nil {
			return Page{}, err
		}
		from = max(from, next)
	}
	if q.Limit <= 0 || q.Limit > MaxLimit {
		q.Limit = MaxLimit
	}
	if q.Fields == 0 {
		q.Fields = AllFields
	}
	if from >= q.To {
		return Page{}, nil
	}
	page := Page{}
	var err error
	if step == 0 {
		err = s.raw(ctx, &page, q, from)
	} else {
		err = s.stepped(ctx, &page, q, from, step)
	}
	if err != nil {
		return Page{}, err
	}
	return page, nil
}

func (s *Store) raw(ctx context.Context, page *Page, q Query, from int64) error {
	return s.scan(ctx, q.Slot, from, q.To, q.Fields&AllFields, func(f *device.Readings, i int) bool {
		if len(page.Rows) == q.Limit {
			page.Next = Cursor(f.At[i])
			return false
		}
		n := len(page.Rows)
		if n == cap(page.Rows) { // append would grow by less and copy more often
			page.Rows = slices.Grow(page.Rows, min(q.Limit-n, max(n, f.Rows()-i)))
		}
		page.Rows = page.Rows[:n+1]
		page.Rows[n].Count = 1
		f.Row(i, &page.Rows[n].Reading)
		return true
	})
}

func (s *Store) stepped(ctx context.Context, page *Page, q Query, from, step int64) error {
	var b Bucket
	var r device.Reading
	err := s.scan(ctx, q.Slot, from, q.To, q.Fields&AllFields, func(f *device.Readings, i int) bool {
		begin := Floor(f.At[i], step)
		if b.row.Count > 0 && begin != b.row.At {
			page.Rows = append(page.Rows, b.Close())
			b.row.Count = 0
			if len(page.Rows) == q.Limit {
				page.Next = Cursor(f.At[i])
				return false
			}
		}
		if b.row.Count == 0 {
			b.Open(begin)
		}
		f.Row(i, &r)
		b.Add(&r)
		return true
	})
	if err == nil && b.row.Count > 0 {
		page.Rows = append(page.Rows, b.Close())
	}
	return err
}

// Has reports whether there is a reading of the slot at that time.
func (s *Store) Has(ctx context.Context, slot device.Slot, at int64) (bool, error) {
	if at == math.MaxInt64 {
		return false, nil
	}
	found := false
	err := s.scan(ctx, slot, at, at+1, timesOnly, func(*device.Readings, int) bool {
		found = true
		return false
	})
	return found, err
}

// Count counts the times in from ≤ t < to at which the slot has a reading.
func (s *Store) Count(ctx context.Context, slot device.Slot, from, to int64) (n int64, err error) {
	err = s.scan(ctx, slot, from, to, timesOnly, func(*device.Readings, int) bool {
		n++
		return true
	})
	return n, err
}

// Times calls yield with every time in from ≤ t < to at which the slot has a
// reading, ascending, until it returns false.
func (s *Store) Times(ctx context.Context, slot device.Slot, from, to int64, yield func(at int64) bool) error {
	return s.scan(ctx, slot, from, to, timesOnly, func(f *device.Readings, i int) bool { return yield(f.At[i]) })
}
