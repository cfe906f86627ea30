package series

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"yunchu/platform/device"
)

// Fault is damage that was found. From and To are 0 where it concerns no time.
type Fault struct {
	Err      error
	From, To int64 // ms UTC, From ≤ t < To: of what it concerns
	Rebuilt  bool  // nothing is lost: it is made again of the readings
}

// Error says what is damaged.
func (f Fault) Error() string {
	if f.Rebuilt {
		return f.Err.Error() + "; it is made again of the readings"
	}
	return f.Err.Error()
}

// Unwrap gives what errors.Is asks for.
func (f Fault) Unwrap() error { return f.Err }

// fault notes a fault. It is called with the lock held, or before the store is open.
func (s *Store) fault(f Fault) {
	s.log.Error("history damaged", "error", f.Error())
	s.faults = append(s.faults, f)
}

// Faults lists the damage that was found since the store was opened, and at opening.
func (s *Store) Faults() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.faults)
}

// lose gives up what is damaged of a table and reports it: the pages of readings that cannot be
// read, or else the whole table, which is set aside under the name *.bad. A tier is made again
// where the readings are there. The error is of what could not be looked at now, and nothing is
// given up then.
func (s *Store) lose(d *damage) error {
	v, err := s.salvage(d.t)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.segments, func(g *segment) bool { return g.table(d.t.step) == d.t })
	if i < 0 { // somebody else has found it
		return nil
	}
	s.given = 0
	if v != nil {
		for _, p := range v.lost {
			s.fault(Fault{Err: fmt.Errorf("%w; %d of its %d readings are lost", d.error, p.Rows, d.t.Rows), From: p.MinAt, To: p.MaxAt + 1})
		}
		s.segments, s.dirty = s.without(i, v), true
		s.change.Broadcast()
		return nil
	}
	g := s.segments[i].clone()
	rebuilt := d.t.step > 0 && g.readings != nil && !g.partial()
	g.drop(d.t.step)
	if !rebuilt {
		g.lost[d.t.step] = d.Error()
	}
	s.fault(Fault{Err: d.error, From: d.t.MinAt, To: d.t.MaxAt + 1, Rebuilt: rebuilt})
	s.segments = slices.Clone(s.segments)
	s.segments[i] = g
	s.damaged = append(s.damaged, d.t.path)
	s.dirty = true
	s.change.Broadcast()
	return nil
}

// Verify compares the manifest with itself and every file with it, byte for byte. What is damaged is taken out
// and reported by Faults; the error is that of what could not be read, or ctx's.
func (s *Store) Verify(ctx context.Context) error {
	if _, _, err := readManifest(s.opt.Dir); errors.Is(err, errManifest) || errors.Is(err, fs.ErrNotExist) {
		s.mu.Lock()
		s.fault(Fault{Err: fmt.Errorf("%w; it is written anew", err)})
		s.dirty = true
		s.change.Broadcast()
		s.mu.Unlock()
	} else if err != nil {
		return fmt.Errorf("verify history: %w", err)
	}
	s.mu.Lock()
	list := s.segments
	s.mu.Unlock()
	var errs []error
	for _, g := range list {
		for t := range g.tables {
			if ctx.Err() != nil {
				return errors.Join(append(errs, fmt.Errorf("verify history: %w", ctx.Err()))...)
			}
			v, err := s.snapshot() // so that the file is not removed meanwhile
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(v.segments, func(g *segment) bool { return g.table(t.step) == t }) {
				v.release() // it has expired
				continue
			}
			err = t.compare(true)
			v.release()
			if d, ok := errors.AsType[*damage](err); ok {
				err = s.lose(d)
			}
			if err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// ask answers a question from a snapshot, and once more without a table that turns out to
// be damaged.
func (s *Store) ask(question func(v *snapshot) error) error {
	for {
		v, err := s.snapshot()
		if err != nil {
			return err
		}
		err = question(v)
		v.release()
		d, ok := errors.AsType[*damage](err)
		if !ok {
			return err
		}
		if err := s.lose(d); err != nil {
			return err
		}
	}
}

// Gaps are where readings of the slot are known to be missing in from ≤ t < to.
func (s *Store) Gaps(slot device.Slot, from, to int64) (out []Gap, err error) {
	err = s.ask(func(v *snapshot) error {
		out = v.gaps(0, slot, slot, from, to)
		return nil
	})
	return out, err
}

const (
	whyExpired = "older than the retention; it was removed"
	whyMissing = "not made of the readings yet"
	whyPartial = "not made of the readings, of which some are lost"
)

// gaps are where tables of a step are missing that may hold something of slots lo to hi in
// from ≤ t < to.
func (v *snapshot) gaps(step int64, lo, hi device.Slot, from, to int64) (out []Gap) {
	if since, ok := v.since[step]; ok && from < since {
		out = append(out, Gap{from, min(to, since), whyExpired})
	}
	for _, g := range v.segments {
		if g.table(step) != nil || g.part && step > 0 || g.MinAt >= to || g.MaxAt < from || g.MaxSlot < lo || g.MinSlot > hi || v.restored(g) {
			continue
		}
		why := whyExpired
		switch {
		case g.lost[step] != "":
			why = g.lost[step]
		case g.lost[0] != "":
			why = g.lost[0]
		case g.partial():
			why = whyPartial
		case g.readings != nil:
			why = whyMissing
		}
		gap := Gap{max(from, g.MinAt), min(to, g.MaxAt+1), strings.ReplaceAll(why, v.store.opt.Dir, "history")}
		if why != whyExpired || len(out) == 0 || out[0].Reason != whyExpired || gap.To > out[0].To {
			out = append(out, gap)
		}
	}
	for _, m := range v.missed {
		if m.From < to && m.To > from {
			out = append(out, Gap{max(from, m.From), min(to, m.To), m.Why})
		}
	}
	return joinGaps(out)
}

// joinGaps joins gaps of the same reason that overlap.
func joinGaps(list []Gap) (out []Gap) {
	slices.SortStableFunc(list, func(a, b Gap) int { return cmp.Or(cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.From, b.From)) })
	for _, g := range list {
		if n := len(out); n > 0 && out[n-1].Reason == g.Reason && g.From <= out[n-1].To {
			out[n-1].To = max(out[n-1].To, g.To)
			continue
		}
		out = append(out, g)
	}
	slices.SortStableFunc(out, func(a, b Gap) int { return cmp.Compare(a.From, b.From) })
	return out
}

// restored reports whether the log has given back what the segment has lost.
func (v *snapshot) restored(g *segment) bool { return v.headFirst <= g.first && g.last <= v.headLast }

// choose is the coarsest step of tables, 0 for readings, that answers steps exactly without
// a gap, or else the one with the least.
func (v *snapshot) choose(step int64, gapsOf func(tier int64) []Gap) (best int64, gaps []Gap) {
	least := int64(-1)
	candidates := append([]int64{0}, stepsOfTiers(v.store.opt.Tiers)...)
	for _, c := range slices.Backward(candidates) {
		if c > 0 && (step%c != 0 || step < c) {
			continue
		}
		list := gapsOf(c)
		missing := int64(0)
		for _, g := range list {
			missing += g.To - g.From
		}
		if least < 0 || missing < least {
			best, gaps, least = c, list, missing
		}
		if missing == 0 {
			break
		}
	}
	return best, gaps
}

// GapsOfSteps are those of an answer in from ≤ t < to that is made of a tier, 0 for readings.
// Where the bounds cut a step of the tier it is made of readings too.
func GapsOfSteps(tier, from, to int64, gaps func(step, from, to int64) []Gap) (out []Gap) {
	from, to = max(from, -farthest), min(to, farthest)
	whole, end := wholeSteps(tier, from, to)
	if from < whole {
		out = gaps(0, from, whole)
	}
	if whole < end {
		out = append(out, gaps(tier, whole, end)...)
	}
	if end < to {
		out = append(out, gaps(0, end, to)...)
	}
	return joinGaps(out)
}

// wholeSteps are those of a tier in from ≤ t < to: they begin at whole and end at end, both to
// where there are none.
func wholeSteps(tier, from, to int64) (whole, end int64) {
	if tier == 0 {
		return to, to
	}
	whole, end = ceil(max(from, -farthest), tier), Floor(min(to, farthest), tier)
	if whole >= end {
		return to, to
	}
	return whole, end
}

func stepsOfTiers(list []Tier) (out []int64) {
	for _, t := range list {
		out = append(out, t.Step.Milliseconds())
	}
	return out
}

// Inspection is what a look at a history from outside has found.
type Inspection struct {
	Files  int
	Bytes  int64
	Faults []error
}

// Inspect compares every file of a folder with its manifest and changes nothing. A store
// may be open on it: what it removes meanwhile is no fault.
func Inspect(ctx context.Context, dir string) (Inspection, error) {
	var r Inspection
	list, _, err := readManifest(dir)
	if errors.Is(err, errManifest) {
		r.Faults = append(r.Faults, err)
	} else if err != nil {
		return r, err
	}
	for _, g := range list {
		for _, step := range slices.Sorted(maps.Keys(g.lost)) {
			r.Faults = append(r.Faults, errors.New(g.lost[step]))
		}
		for t := range g.tables {
			if ctx.Err() != nil {
				return r, ctx.Err()
			}
			err := t.compare(true)
			if _, ok := errors.AsType[*damage](err); ok && listed(dir, t) {
				r.Faults = append(r.Faults, err)
			} else if err != nil && !ok {
				return r, err
			}
			r.Files, r.Bytes = r.Files+1, r.Bytes+t.Size
		}
	}
	return r, nil
}

// listed reports whether the manifest still says what it said of a table.
func listed(dir string, t *table) bool {
	list, _, err := readManifest(dir)
	return err != nil || slices.ContainsFunc(list, func(g *segment) bool {
		now := g.table(t.step)
		return now != nil && now.path == t.path
	})
}
