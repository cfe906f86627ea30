package series

import (
	"context"
	"math"
	"slices"
	"time"

	"yunchu/platform/device"
)

// Summary is what the readings of a device amount to in one quantity and one step, of those
// that report it and are not bad: N of them, the last of which is Last.
type Summary struct {
	At                  int64 // begin of the step, ms UTC
	N                   int64
	Sum, Min, Max, Last float64
	Edge                Edge // whether there is one exactly at the begin of the step
	First               float64
}

// Edge tells of the begin of a step.
type Edge uint8

// Whether a quantity was reported exactly at the begin of a step.
const (
	NoEdge      Edge = iota // it was not
	KnownEdge               // it was: First
	UnknownEdge             // it may have been, and nobody knows with what value
)

// Summarizer is a History that keeps what readings amount to in steps.
type Summarizer interface {
	// Summaries calls yield with those of one quantity for each of the slots, which ascend:
	// ascending, one for each step in from ≤ At < to that has readings; both are multiples of
	// the step. It is not called for a slot of which the step is not kept, or not of all
	// there is. The list is valid until yield returns; a slot may come twice when damage is
	// found on the way.
	Summaries(ctx context.Context, slots []device.Slot, of Fields, step time.Duration, from, to int64, yield func(slot device.Slot, list []Summary) error) error
}

var _ Summarizer = (*Store)(nil)

// Summaries implements Summarizer.
func (s *Store) Summaries(ctx context.Context, slots []device.Slot, of Fields, step time.Duration, from, to int64, yield func(slot device.Slot, list []Summary) error) error {
	quantity := -1
	for k := range values {
		if of == 1<<k {
			quantity = k
		}
	}
	ms := step.Milliseconds()
	if quantity < 0 || ms <= 0 || Floor(from, ms) != from || Floor(to, ms) != to || !slices.ContainsFunc(s.opt.Tiers, func(t Tier) bool { return t.Step == step }) {
		return nil
	}
	var list []Summary
	return s.ask(func(v *snapshot) error {
		begin, end := max(from, Floor(v.minAt, ms)), min(to, Floor(v.maxAt, ms)+ms)
		// Of a time that is read at once, pages are read once for all of their devices.
		var whole *partView
		if end-begin <= windowSteps*ms && len(slots) > 1 {
			whole = v.view(ms, begin, end, of)
		}
		for _, slot := range slots {
			if len(v.gaps(ms, slot, slot, from, to)) > 0 {
				continue
			}
			list = list[:0]
			for at := begin; at < end; at += windowSteps * ms {
				next, w := min(end, at+windowSteps*ms), whole
				if w == nil {
					w = v.view(ms, at, next, of)
					w.single = true
				}
				if err := w.each(ctx, slot, at, next, func(p *part) bool {
					list = summarized(list, p, quantity)
					return true
				}); err != nil {
					return err
				}
			}
			if err := yield(slot, list); err != nil {
				return err
			}
		}
		return nil
	})
}

// summarized adds a part, which is later than those before.
func summarized(list []Summary, p *part, quantity int) []Summary {
	v := &p.values[quantity]
	if v.n == 0 {
		return list
	}
	edge, first := NoEdge, math.NaN()
	switch {
	case p.first != p.at:
	case quantity == power && p.powered && p.head.at == p.at:
		edge, first = KnownEdge, p.head.kw
	default:
		edge = UnknownEdge
	}
	if n := len(list); n > 0 && list[n-1].At == p.at {
		s := &list[n-1]
		s.N += v.n
		s.Sum += v.sum
		s.Min, s.Max, s.Last = min(s.Min, v.min), max(s.Max, v.max), v.last
		return list
	}
	return append(list, Summary{p.at, v.n, v.sum, v.min, v.max, v.last, edge, first})
}
