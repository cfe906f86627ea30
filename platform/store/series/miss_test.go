package series

import (
	"testing"

	"yunchu/platform/device"
)

// TestWhatTheLogHasLostIsAGap: readings that the log has lost before the history had them are
// told for every device, over a restart, and once; what was sealed before is not touched.
func TestWhatTheLogHasLostIsAGap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	reopen := func() *Store {
		t.Helper()
		s, err := Open(Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	say := func(s *Store, seq uint64) {
		var f device.Readings
		r := device.Empty()
		r.Slot, r.At, r.Power = 1, int64(seq)*1000, float64(seq)
		f.Append(&r)
		s.Append(seq, &f)
	}
	told := func(s *Store, when string, want ...Gap) {
		t.Helper()
		for _, slot := range []device.Slot{1, 7} {
			got, err := s.Gaps(slot, 0, 100_000)
			if err != nil || len(got) != len(want) {
				t.Errorf("%s: %v, %v; want %v", when, got, err, want)
				return
			}
			for i := range got {
				if got[i] != want[i] {
					t.Errorf("%s: %v, want %v", when, got[i], want[i])
				}
			}
		}
		if got, err := s.Gaps(1, 6_001, 100_000); err != nil || len(got) != 0 {
			t.Errorf("%s: %v, %v behind all of it", when, got, err)
		}
	}
	s := reopen()
	say(s, 1)
	say(s, 2)
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	say(s, 3)
	for _, seq := range []uint64{6, 7} {
		say(s, seq)
	}
	told(s, "before anybody has said so")
	lost := Miss{First: 4, Last: 5, Why: "lost in the log"}
	gap := Gap{3_000, 6_001, "lost in the log"}
	s.Missed([]Miss{lost})
	told(s, "noted", gap)
	s.Missed([]Miss{lost})
	told(s, "noted twice", gap)
	if page, err := s.Query(t.Context(), Query{Slot: 1, To: 100_000, Limit: 100}); err != nil || len(page.Gaps) != 1 || page.Gaps[0] != gap {
		t.Errorf("the page tells %v, %v", page.Gaps, err)
	}
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Settle()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = reopen()
	defer s.Close()
	told(s, "after a restart", gap)
	if s.Covered() != 7 {
		t.Errorf("covered %d, want 7", s.Covered())
	}
}
