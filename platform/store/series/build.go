package series

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"yunchu/platform/device"
	"yunchu/platform/durable"
)

const day = int64(24 * 60 * 60 * 1000)

// seal writes the head as segments, one for each day (UTC) of its readings, on top of what
// there is. Their files have temporary names until commit.
func (s *Store) seal(w *writer, h *head, older []*segment) (made []*segment, err error) {
	defer func() {
		if err != nil {
			discard(made)
		}
	}()
	w.all.arrange(h)
	first, last := Floor(h.minAt, day), Floor(h.maxAt, day)
	for at := first; at <= last; at += day {
		sheet := &w.all
		if first != last {
			// Days without readings are stepped over, however many they are.
			next := int64(math.MaxInt64)
			for _, t := range w.all.at {
				if t >= at {
					next = min(next, t)
				}
			}
			at = Floor(next, day)
			sheet = &w.day
			sheet.pick(&w.all, at, at+day)
		}
		id := s.number()
		g := &segment{id: id, rank: id, first: h.firstSeq, given: h.given, last: h.lastSeq, tiers: map[int64]*table{}, lost: map[int64]string{}}
		made = append(made, g)
		if g.readings, err = w.readings(sheet, g.id, &s.opt); err != nil {
			return made, err
		}
		g.contents = g.readings.contents
		if pending(older, s.opt.Tiers) {
			continue // tiers are built in order: this one's turn comes later
		}
		if err = s.tiers(w, g, older, sheet.frames); err != nil {
			return made, err
		}
	}
	return made, nil
}

// number is the next number of a file.
func (s *Store) number() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextID++
	return s.nextID - 1
}

// wants reports whether a tier of the segment is still to be made of its readings.
func (g *segment) wants(tiers []Tier) bool {
	if g.readings == nil || g.partial() {
		return false
	}
	for _, t := range tiers {
		if step := t.Step.Milliseconds(); g.tiers[step] == nil && g.lost[step] == "" {
			return true
		}
	}
	return false
}

func pending(list []*segment, tiers []Tier) bool {
	for _, g := range list {
		if g.wants(tiers) {
			return true
		}
	}
	return false
}

// discard removes temporary files.
func discard(made []*segment) {
	for _, g := range made {
		for t := range g.tables {
			_ = os.Remove(t.path) // what is left over is removed at the next start
		}
	}
}

// tiers makes the tables of parts that the segment does not have, under temporary names.
// Of a step that older segments have as well it stores the part of its own readings where
// those lie before or behind the others, and else the part of all: so the parts that are
// stored always tell what the readings amount to.
func (s *Store) tiers(w *writer, g *segment, older []*segment, frames func(func(*device.Readings) error) error) error {
	if len(s.opt.Tiers) == 0 {
		return nil
	}
	var own []part
	finest := s.opt.Tiers[0].Step.Milliseconds()
	if err := frames(func(f *device.Readings) error {
		own = appendParts(own, f, finest)
		return nil
	}); err != nil {
		return err
	}
	for _, tier := range s.opt.Tiers {
		step := tier.Step.Milliseconds()
		if step != finest {
			own = coarser(own, step)
		}
		// Also where the table is there: the coarser ones leave out what it leaves out.
		parts, kept, err := s.joined(own, step, g, older)
		if err != nil {
			return err
		}
		own = kept
		if g.tiers[step] != nil {
			continue
		}
		if len(parts) == 0 {
			g.lost[step] = errNoReadings.Error()
			continue
		}
		dir := filepath.Join(s.opt.Dir, tierName(step))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		t := &table{id: g.id, first: g.first, last: g.last, step: step}
		if err := w.parts(parts, t, &s.opt, dir); err != nil {
			return err
		}
		g.tiers[step] = t
	}
	return nil
}

// joined are the parts to be stored of a segment's own, and those of its own that are among
// them.
func (s *Store) joined(own []part, step int64, g *segment, older []*segment) (parts, kept []part, err error) {
	if len(own) == 0 {
		return nil, nil, nil
	}
	lo, hi := int64(math.MaxInt64), int64(math.MinInt64)
	for i := range own {
		lo, hi = min(lo, own[i].at), max(hi, own[i].at+step)
	}
	before := (&snapshot{store: s, segments: older}).view(step, lo, hi, AllFields)
	if len(before.readers) == 0 {
		return own, own, nil
	}
	all := (&snapshot{store: s, segments: append(slices.Clip(older), g)}).view(step, lo, hi, AllFields)
	for i, n := 0, 0; i < len(own); i = n {
		slot := own[i].slot
		for n = i; n < len(own) && own[n].slot == slot; n++ {
		}
		if err := before.stored(slot, own[i].at, own[n-1].at+step); err != nil {
			return nil, nil, err
		}
		rest := before.parts
		for ; i < n; i++ {
			p := own[i]
			for len(rest) > 0 && rest[0].at < p.at {
				rest = rest[1:]
			}
			mixed := false
			for k := 0; k < len(rest) && rest[k].at == p.at; k++ {
				mixed = mixed || p.overlaps(&rest[k].part)
			}
			if mixed {
				whole, err := all.again(context.Background(), slot, p.at)
				if errors.Is(err, errNoReadings) {
					s.late(1)
					continue
				} else if err != nil {
					return nil, nil, err
				}
				p = whole
				p.whole = true
			}
			parts, kept = append(parts, p), append(kept, own[i])
		}
	}
	return parts, kept, nil
}

// late counts steps that readings came for when those that lie between them were gone.
func (s *Store) late(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tooLate += n
}

// complete makes the tiers of a segment that has none, from its file.
func (s *Store) complete(w *writer, g *segment, older []*segment) (*segment, error) {
	c := g.clone()
	if err := s.tiers(w, c, older, func(yield func(*device.Readings) error) error { return s.frames(g.readings, yield) }); err != nil {
		for step, t := range c.tiers {
			if g.tiers[step] == nil {
				_ = os.Remove(t.path)
			}
		}
		return nil, err
	}
	return c, nil
}

// settleNames gives the new files of segments their names and makes that durable.
func (s *Store) settleNames(made []*segment) error {
	dirs := map[string]bool{s.opt.Dir: true}
	for _, g := range made {
		for t := range g.tables {
			dir := s.folder(t.step)
			path := filepath.Join(dir, fileName(t.id, t.first, t.last))
			if t.path == path {
				continue
			}
			if err := os.Rename(t.path, path); err != nil {
				return fmt.Errorf("name a segment: %w", err)
			}
			t.path = path
			dirs[dir] = true
		}
	}
	for dir := range dirs {
		if err := durable.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// folder is where the tables of a step are.
func (s *Store) folder(step int64) string {
	if step == 0 {
		return s.opt.Dir
	}
	return filepath.Join(s.opt.Dir, tierName(step))
}
