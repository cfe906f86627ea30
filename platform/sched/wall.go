package sched

import (
	"context"
	"sync"
	"time"
)

const (
	// stepTolerance is how far the machine's clock may be from the plant's time
	// before it counts as set.
	stepTolerance = time.Second
	// slewPercent is how fast plant time passes until the machine's clock, which
	// was set back, has caught up with it.
	slewPercent = 90
)

// Wall is the plant's time on the wall clock, in UTC. It runs with the machine's
// monotonic clock from what the machine showed when it was made, so it neither
// stops nor steps back when the machine's clock is set. After a step of more than
// 1 s forward, as after a sleep of the machine, it is at once what the machine
// shows; after one back it runs at 90 % of its speed until the machine has caught
// up with it. Now may be called from any goroutine.
type Wall struct {
	machine func() (shown time.Time, running time.Duration)

	mu      sync.Mutex
	now     time.Time     // what Now returned last
	asked   time.Duration // running, at that moment
	slewing bool
}

// NewWall returns the plant's time, which is now what the machine shows.
func NewWall() *Wall { return NewWallOn(time.Now) }

// NewWallOn returns the plant's time on a machine whose clock shows something else
// than this one's; it runs with this one's monotonic clock.
func NewWallOn(shown func() time.Time) *Wall {
	base := time.Now()
	return newWall(func() (time.Time, time.Duration) {
		return shown().UTC().Round(0), time.Since(base) // Round strips the monotonic reading
	})
}

// newWall takes the machine's clock: what it shows, and how long it has run,
// which never goes back.
func newWall(machine func() (shown time.Time, running time.Duration)) *Wall {
	w := &Wall{machine: machine}
	w.now, w.asked = machine()
	return w
}

// Now is the plant's instant, never before one that it has returned.
func (w *Wall) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	shown, running := w.machine()
	passed := running - w.asked
	w.asked = running
	switch ahead := w.now.Add(passed).Sub(shown); {
	case ahead < -stepTolerance:
		w.now, w.slewing = shown, false
		return w.now
	case ahead > stepTolerance:
		w.slewing = true
	}
	if !w.slewing {
		w.now = w.now.Add(passed)
		return w.now
	}
	w.now = w.now.Add(passed - passed*(100-slewPercent)/100)
	if !w.now.After(shown) { // caught up
		w.now, w.slewing = shown, false
	}
	return w.now
}

func (w *Wall) waitUntil(ctx context.Context, t time.Time, wake <-chan struct{}) error {
	_, err := sleep(ctx, t.Sub(w.Now()), wake)
	return err
}
