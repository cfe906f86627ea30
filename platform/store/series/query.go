package series

import (
	"context"
	"fmt"
	"math"
	"slices"

	"yunchu/platform/device"
)

// source is one place that holds readings of a slot: a segment or a head. Of two
// sources with a reading of the same time the one of higher rank holds.
type source struct {
	rank  int
	lower int64                            // no reading before this time
	open  func() error                     // which may find rows at once
	batch func() (*device.Readings, error) // the next rows, ascending; nil at the end
	rows  *device.Readings
	pos   int
	done  func()
	ahead chan struct{} // closed when the first batch is there
	err   error         // of it
}

// fetch begins to open the source and to read its first batch beside the caller.
func (c *source) fetch() {
	if c.ahead != nil {
		return
	}
	c.ahead = make(chan struct{})
	go func() {
		defer close(c.ahead)
		if c.err = c.open(); c.err == nil && c.rows == nil {
			c.rows, c.err = c.batch()
		}
	}()
}

// start makes sure that the source is open and stands on its first row; false when it has
// none.
func (c *source) start() (bool, error) {
	if c.ahead == nil {
		if err := c.open(); err != nil {
			return false, err
		}
		return c.load()
	}
	<-c.ahead
	if c.err != nil || c.rows == nil {
		return false, c.err
	}
	return c.load()
}

// end gives back what the source holds; its rows are no longer valid.
func (c *source) end() {
	if c.ahead != nil {
		<-c.ahead
	}
	if c.done != nil {
		c.done()
	}
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

func (s *Store) segmentSource(g *table, rank int, slot device.Slot, from, to int64, fields Fields) *source {
	c := &source{rank: rank, lower: max(g.MinAt, from)}
	var r *reader
	c.open = func() (err error) {
		if r = s.begun.take(g, slot, from, to, fields); r != nil {
			c.rows = r.frame
			c.pos, _ = slices.BinarySearch(c.rows.At, from)
			return nil
		}
		r, err = s.newReader(g, slot)
		return err
	}
	c.batch = func() (*device.Readings, error) { return r.next(from, to, fields) }
	c.done = func() {
		switch {
		case r == nil:
		case fields != timesOnly && c.rows != nil && c.pos < c.rows.Rows():
			s.begun.put(r)
		default:
			readers.Put(r)
		}
		r = nil
	}
	return c
}

func headSource(v view, rank int, slot device.Slot, from, to int64, fields Fields) *source {
	var rows []found
	c := &source{rank: rank, lower: max(v.minAt, from)}
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

// Query returns the page of readings that q asks for. What is damaged or was removed is
// left out and told by the page's gaps.
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
	if q.Fields &= AllFields; q.Fields == 0 {
		q.Fields = AllFields
	}
	if from >= q.To {
		return Page{}, nil
	}
	var page Page
	err := s.ask(func(v *snapshot) error {
		page = Page{Rows: q.Room[:0]}
		if step == 0 {
			page.Gaps = v.gaps(0, q.Slot, q.Slot, from, q.To)
			return v.raw(ctx, &page, q, from)
		}
		return v.stepped(ctx, &page, q, from, step)
	})
	if err != nil {
		return Page{}, err
	}
	return page, nil
}

func (v *snapshot) raw(ctx context.Context, page *Page, q Query, from int64) error {
	return merged(ctx, v.sources(q.Slot, from, q.To, q.Fields), func(f *device.Readings, i, j int) bool {
		n := len(page.Rows)
		if left := q.Limit - n; j-i > left {
			j = i + left
			page.Next = Cursor(f.At[j])
		}
		if m := n + j - i; m > cap(page.Rows) { // append would grow by less and copy more often
			page.Rows = slices.Grow(page.Rows, max(j-i, min(q.Limit-n, 4*m)))
		}
		page.Rows = page.Rows[:n+j-i]
		for k := range page.Rows[n:] {
			r := &page.Rows[n+k]
			f.Row(i+k, &r.Reading)
			r.Count = 1
		}
		return page.Next == ""
	})
}

// stepped answers in steps: from the coarsest tier that does, and from readings where the
// bounds cut a step of it.
func (v *snapshot) stepped(ctx context.Context, page *Page, q Query, from, step int64) error {
	tier, gaps := v.choose(step, func(tier int64) []Gap {
		return GapsOfSteps(tier, from, q.To, func(step, from, to int64) []Gap { return v.gaps(step, q.Slot, q.Slot, from, to) })
	})
	page.Gaps = gaps
	var b Bucket
	var r device.Reading
	// into opens the bucket that at lies in; false when the page is full.
	into := func(at int64) bool {
		begin := Floor(at, step)
		if b.row.Count > 0 && begin != b.row.At {
			page.Rows = append(page.Rows, b.Close())
			b.row.Count = 0
			if len(page.Rows) == q.Limit {
				page.Next = Cursor(begin)
				return false
			}
		}
		if b.row.Count == 0 {
			b.Open(begin)
		}
		return true
	}
	readings := func(from, to int64) error {
		return v.scan(ctx, q.Slot, from, to, q.Fields, func(f *device.Readings, i int) bool {
			if !into(f.At[i]) {
				return false
			}
			f.Row(i, &r)
			b.Add(&r)
			return true
		})
	}
	whole, end := wholeSteps(tier, from, q.To)
	if from < whole {
		if err := readings(from, whole); err != nil {
			return err
		}
	}
	if whole < end && page.Next == "" {
		if err := v.tiered(ctx, q, tier, step, whole, end, func(p *part) bool {
			if !into(p.at) {
				return false
			}
			b.addPart(p)
			return true
		}); err != nil {
			return err
		}
	}
	if end < q.To && page.Next == "" {
		if err := readings(end, q.To); err != nil {
			return err
		}
	}
	if page.Next == "" && b.row.Count > 0 {
		page.Rows = append(page.Rows, b.Close())
	}
	return nil
}

// windowSteps is how many steps are read of a tier at a time, which bounds memory.
const windowSteps = 4096

// tiered calls yield with the slot's parts of a tier in from ≤ t < to, until it returns
// false.
func (v *snapshot) tiered(ctx context.Context, q Query, tier, step, from, to int64, yield func(*part) bool) error {
	from, to = max(from, Floor(v.minAt, tier)), min(to, Floor(v.maxAt, tier)+tier)
	window := max(step, windowSteps*tier)
	for going := true; going && from < to; from += window {
		w := v.view(tier, from, min(to, from+window), q.Fields|Status|meansOnly)
		w.single = true
		err := w.each(ctx, q.Slot, from, min(to, from+window), func(p *part) bool {
			going = yield(p)
			return going
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Has reports whether there is a reading of the slot at that time.
func (s *Store) Has(ctx context.Context, slot device.Slot, at int64) (found bool, err error) {
	if at == math.MaxInt64 {
		return false, nil
	}
	err = s.ask(func(v *snapshot) error {
		return v.scan(ctx, slot, at, at+1, timesOnly, func(*device.Readings, int) bool {
			found = true
			return false
		})
	})
	return found, err
}

// Count counts the times in from ≤ t < to at which the slot has a reading.
func (s *Store) Count(ctx context.Context, slot device.Slot, from, to int64) (n int64, err error) {
	err = s.ask(func(v *snapshot) error {
		n = 0
		return v.scan(ctx, slot, from, to, timesOnly, func(*device.Readings, int) bool {
			n++
			return true
		})
	})
	return n, err
}

// Times calls yield with every time in from ≤ t < to at which the slot has a
// reading, ascending, until it returns false.
func (s *Store) Times(ctx context.Context, slot device.Slot, from, to int64, yield func(at int64) bool) error {
	return s.ask(func(v *snapshot) error {
		return v.scan(ctx, slot, from, to, timesOnly, func(f *device.Readings, i int) bool {
			from = f.At[i] + 1 // asked again, it goes on behind what was told
			return yield(f.At[i])
		})
	})
}
