package modbus

import (
	"testing"
	"time"
)

// TestTurns: however many units of a line have yet to hear a stop and however often they are
// asked for, each has its turn in time and all together leave most of the line to the others.
func TestTurns(t *testing.T) {
	const timeout = 500 * time.Millisecond
	for _, polls := range [][]time.Duration{ // how often each unit is asked for
		{10 * time.Millisecond},
		{20 * time.Millisecond, 20 * time.Millisecond},
		{20 * time.Millisecond, 10 * time.Second}, // the second one must not be forestalled
		{10 * time.Second, 10 * time.Second, 10 * time.Second, 10 * time.Second},
		{time.Second, 20 * time.Millisecond, 3 * time.Second, 700 * time.Millisecond, 10 * time.Second},
		{20 * time.Millisecond, time.Hour}, // one that nobody asks for any more blocks nobody
	} {
		var all turns
		units := make([]*conn, len(polls))
		last := make([]time.Duration, len(polls))
		start := time.Unix(1e9, 0)
		for i := range units {
			units[i] = &conn{}
			all.join(units[i], start, timeout)
		}
		bound := max(time.Duration(len(polls))*lineShare*cost(timeout), time.Second)
		const span = 20 * time.Minute
		free, tries := time.Duration(0), 0 // the line is taken until then
		for at := time.Duration(0); at < span; at += 10 * time.Millisecond {
			for i, c := range units {
				if at%polls[i] != 0 || at == 0 || !all.take(c, start.Add(at), time.Second, lineBackoff, timeout) {
					continue
				}
				tries++
				if gap := at - last[i]; gap < time.Second {
					t.Errorf("polled every %v: unit %d tried again after %v", polls, i, gap)
				}
				last[i] = at
				free = max(free, at) + cost(timeout)
				all.failed(c, start.Add(free-timeout), timeout)
			}
			for i := range units {
				if gap := at - last[i]; polls[i] < time.Minute && gap > bound+2*polls[i]+time.Duration(len(polls))*cost(timeout) {
					t.Fatalf("polled every %v: unit %d was not tried for %v, want %v", polls, i, gap, bound)
				}
			}
		}
		if part := float64(tries) * cost(timeout).Seconds() / span.Seconds(); part > 1.05/lineShare {
			t.Errorf("polled every %v: they take the line for %.2f of the time", polls, part)
		}
	}
}

// TestTurnsComeNoLaterThanTheBackOff: that a stop is owed to many does not make any be tried more
// seldom than if there were none.
func TestTurnsComeNoLaterThanTheBackOff(t *testing.T) {
	const timeout = 500 * time.Millisecond
	var all turns
	start := time.Unix(1e9, 0)
	units := make([]*conn, 50) // whose round is 150 s
	for i := range units {
		units[i] = &conn{}
		all.join(units[i], start.Add(time.Duration(i)*time.Millisecond), timeout)
	}
	late := units[len(units)-1] // the last in turn
	if all.take(late, start.Add(20*time.Second), time.Second, lineBackoff, timeout) {
		t.Error("it does not wait for its turn")
	}
	if !all.take(late, start.Add(31*time.Second), time.Second, lineBackoff, timeout) {
		t.Error("it is left alone for longer than a unit that is owed nothing")
	}
}
