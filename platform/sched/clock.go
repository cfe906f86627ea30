package sched

import (
	"context"
	"sync/atomic"
	"time"
)

// Virtual is simulated time: it stands still while events run and jumps to the
// next one when they are done.
type Virtual struct {
	now atomic.Int64 // ns since 1970 UTC; other goroutines may ask while the loop runs
	// Pace, when above 0, is how many simulated seconds pass in one second of
	// the wall clock; 0 is as fast as it goes.
	pace  float64
	began time.Time // wall
	from  time.Time // simulated, at began
}

// NewVirtual returns a virtual clock that stands at start.
func NewVirtual(start time.Time) *Virtual {
	v := new(Virtual)
	v.now.Store(start.UnixNano())
	return v
}

// SetPace limits the speed to x simulated seconds a second from now on; 0 lifts
// the limit. It is called before Run or from an event.
func (v *Virtual) SetPace(x float64) { v.pace, v.began, v.from = x, time.Now(), v.Now() }

// Now is the simulated instant.
func (v *Virtual) Now() time.Time { return time.Unix(0, v.now.Load()).UTC() }

func (v *Virtual) waitUntil(ctx context.Context, t time.Time, wake <-chan struct{}) error {
	if v.pace > 0 {
		due := v.began.Add(time.Duration(float64(t.Sub(v.from)) / v.pace))
		if woken, err := sleep(ctx, time.Until(due), wake); err != nil || woken {
			return err
		}
	}
	v.now.Store(t.UnixNano())
	return nil
}

// sleep returns after d, or as soon as wake is signalled, or with ctx's error.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) (woken bool, err error) {
	if d <= 0 {
		return false, nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return false, nil
	case <-wake:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}
