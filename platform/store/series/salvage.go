package series

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
)

// salvaged is what is left of a damaged table of readings, and what is not.
type salvaged struct {
	left *table
	lost []lostPages
}

// lostPages are pages that follow each other in the file.
type lostPages struct {
	contents
	why string
}

// salvage finds the pages of a damaged table of readings that cannot be read. It is nil when
// that does not tell what is damaged, or when nothing else is left: then the whole table is
// lost. What a tier tells is made again instead. The error is of what passes: a file that
// cannot be opened, or that reads well now.
func (s *Store) salvage(t *table) (*salvaged, error) {
	if t.step != 0 {
		return nil, nil
	}
	x, err := t.readIndex()
	if err != nil {
		return nil, passing(err)
	}
	left := *t
	left.Bad = slices.Clone(t.Bad)
	out := &salvaged{left: &left}
	r := &reader{g: t, x: x, files: &s.files}
	for p := range x.loAt {
		if slices.Contains(t.Bad, p) {
			continue
		}
		err := r.check(p)
		if err == nil {
			continue
		}
		if !errors.Is(err, ErrCorrupt) {
			return nil, passing(err)
		}
		n := len(out.lost)
		if n == 0 || left.Bad[len(left.Bad)-1] != p-1 {
			out.lost = append(out.lost, lostPages{contents{MinAt: math.MaxInt64, MaxAt: math.MinInt64, MinSlot: x.loSlot[p]}, err.Error()})
			n++
		}
		c := &out.lost[n-1]
		c.Rows += int64(r.rowsOf(p))
		c.MinAt, c.MaxAt, c.MaxSlot = min(c.MinAt, x.loAt[p]), max(c.MaxAt, x.hiAt[p]), x.hiSlot[p]
		left.Bad = append(left.Bad, p)
	}
	switch {
	case len(out.lost) == 0:
		if err := t.compare(true); err != nil {
			return nil, passing(err)
		}
		return nil, fmt.Errorf("read history: %s could not be read and can be now", t.path)
	case len(left.Bad) == len(x.loAt):
		return nil, nil
	}
	// From now on the file is as it should be when it is as it is now, or where it cannot be
	// read whole, when its other pages are.
	if left.SHA256, err = t.sum(); err != nil && !errors.Is(err, errUnread) {
		return nil, passing(err)
	}
	return out, nil
}

// passing is an error that says nothing of the file's contents; nil when it is damage, or the
// file is gone.
func passing(err error) error {
	if errors.Is(err, ErrCorrupt) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// check reads all columns of a page.
func (r *reader) check(p int) error {
	if _, err := r.whole(p); err != nil {
		return err
	}
	if err := r.hold(); err != nil {
		return err
	}
	defer r.drop()
	if _, err := r.body(colDevice, p); err != nil {
		return r.g.damaged(err)
	}
	return nil
}

// partial reports whether some of the segment's readings are lost: others tell which, and its
// tiers tell of all.
func (g *segment) partial() bool { return g.readings != nil && len(g.readings.Bad) > 0 }

// without are segments with what is left of the i-th, and what is not, each a segment of
// which nothing but a mark is left. It is called with the lock held.
func (s *Store) without(i int, v *salvaged) []*segment {
	g := s.segments[i].clone()
	g.readings, g.contents = v.left, v.left.contents
	list := slices.Clone(s.segments)
	list[i] = g
	for _, p := range v.lost {
		list = slices.Insert(list, i+1, &segment{
			id: s.nextID, rank: g.rank, first: g.first, given: g.given, last: g.last, contents: p.contents, part: true,
			tiers: map[int64]*table{}, lost: map[int64]string{0: p.why},
		})
		s.nextID++
	}
	return list
}
