package can

import (
	"math"
	"time"
)

// rhythm counts what comes of a message that a device sends by itself, and what is missing
// by the period that the profile gives for it.
type rhythm struct {
	period time.Duration
	last   time.Time
	off    float64 // how far the newest came from where it was due, in periods
	came   int64
	lost   int64 // below zero: more came than were due
}

// forget is how much of a shift is left with the next frame: a late frame and the early one
// after it cancel out, and a period that is a little longer than the profile's does not add
// up to a loss.
const forget = 0.8

func (r *rhythm) take(at time.Time) {
	if !r.last.IsZero() {
		steps := r.off*forget + float64(at.Sub(r.last))/float64(r.period)
		n := math.Round(steps)
		r.off = steps - n
		r.lost += int64(n) - 1
	}
	r.last = at
	r.came++
}

// counted is how many have come and are missing until now: those too that should have come
// since the newest.
func (r *rhythm) counted(now time.Time) (came, lost int64) {
	if r.last.IsZero() {
		return 0, 0
	}
	overdue := math.Floor(r.off*forget + float64(now.Sub(r.last))/float64(r.period) - 0.5)
	return r.came, max(r.lost, 0) + max(int64(overdue), 0)
}
