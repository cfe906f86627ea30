package series

import (
	"math"
	"slices"

	"yunchu/platform/device"
)

// Miss is a part of the log that was lost before its readings were here: they are nowhere.
type Miss struct {
	First uint64 `json:"first_seq"`
	Last  uint64 `json:"last_seq"`
	// From ≤ t < To, ms UTC, is when the readings were taken in, and what the readings before
	// and after them say of their own time; 0 where nobody can say.
	From int64  `json:"from_time_ms"`
	To   int64  `json:"to_time_ms"`
	Why  string `json:"why"`
}

// Misser is a History that tells of readings which the log has lost before it had them.
type Misser interface {
	// Missed notes what the log has lost of the sequences that it was asked for, now or at an
	// earlier start. From then on these are gaps.
	Missed(list []Miss)
}

var _ Misser = (*Store)(nil)

// mostJumps bounds what is remembered of a log with holes; the rest of them has the times that the
// log says.
const mostJumps = 1000

// Missed implements Misser.
func (s *Store) Missed(list []Miss) {
	s.mu.Lock()
	defer s.mu.Unlock()
	missed := slices.Clone(s.missed) // snapshots keep what they have
	for _, m := range list {
		if slices.ContainsFunc(missed, func(k Miss) bool { return k.First <= m.First && m.Last <= k.Last }) {
			continue
		}
		for _, j := range s.jumps {
			if j.First <= m.Last && m.First <= j.Last {
				m.From, m.To = earlier(m.From, j.From), max(m.To, j.To)
			}
		}
		if m.From == 0 { // after what is known for certain
			m.From = s.newest()
		}
		if m.To <= m.From {
			m.To = m.From + 1
		}
		missed = append(missed, m)
	}
	if len(missed) > len(s.missed) {
		s.missed, s.dirty = missed, true
		s.change.Broadcast()
	}
}

func earlier(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// jump notes that the log has not given what lies before a sequence. It is called with the lock held.
func (s *Store) jump(seq uint64, f *device.Readings) {
	before, after := s.newest(), int64(math.MaxInt64)
	for _, at := range f.At {
		after = min(after, at)
	}
	if len(f.At) == 0 || before == -farthest || len(s.jumps) >= mostJumps {
		return
	}
	s.jumps = append(s.jumps, Miss{First: s.lastSeq + 1, Last: seq - 1, From: min(before, after), To: max(before, after) + 1})
}

// newest is the latest time of a reading that is here, or else long ago. It is called with the lock held.
func (s *Store) newest() int64 {
	at := int64(-farthest)
	for _, g := range s.segments {
		at = max(at, g.MaxAt)
	}
	for _, h := range s.heads() {
		at = max(at, h.maxAt)
	}
	return at
}
