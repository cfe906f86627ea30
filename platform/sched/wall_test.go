package sched

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// machine is a machine's clock that can be set.
type machine struct {
	running time.Duration
	shown   time.Time
}

func (m *machine) read() (time.Time, time.Duration) { return m.shown, m.running }

func (m *machine) pass(d time.Duration) { m.running, m.shown = m.running+d, m.shown.Add(d) }

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestWallFollowsTheMachine(t *testing.T) {
	type step struct {
		set, pass, want time.Duration // the clock is set by, then passes; plant time since the start
	}
	const s = time.Second
	for name, steps := range map[string][]step{
		"undisturbed":              {{0, s, s}, {0, time.Hour, time.Hour + s}},
		"small steps are no steps": {{-s, s, s}, {2 * s, s, 2 * s}},
		"forward":                  {{0, s, s}, {time.Hour, s, time.Hour + 2*s}, {0, s, time.Hour + 3*s}},
		// 2 s back: 10 % slower for 20 s
		"back":                {{0, 10 * s, 10 * s}, {-2 * s, 10 * s, 19 * s}, {0, 5 * s, 23500 * time.Millisecond}, {0, 10 * s, 33 * s}, {0, s, 34 * s}},
		"back, asked seldom":  {{-2 * s, time.Hour, time.Hour - 2*s}, {0, s, time.Hour - s}},
		"back to the last ms": {{-5 * s, 40 * s, 36 * s}, {0, 10 * s, 45 * s}, {0, 10 * s, 55 * s}},
		"back and forward":    {{-time.Hour, 10 * s, 9 * s}, {time.Hour, 10 * s, 20 * s}},
	} {
		t.Run(name, func(t *testing.T) {
			m := &machine{shown: epoch}
			w := newWall(m.read)
			for i, st := range steps {
				m.shown = m.shown.Add(st.set)
				m.pass(st.pass)
				if got := w.Now().Sub(epoch); got != st.want {
					t.Errorf("step %d: plant time %v, want %v", i, got, st.want)
				}
			}
		})
	}
}

func TestWallNeverGoesBack(t *testing.T) {
	m := &machine{shown: epoch}
	w := newWall(m.read)
	last := w.Now()
	for i := range 10_000 {
		switch i % 1000 {
		case 100:
			m.shown = m.shown.Add(-time.Hour)
		case 400:
			m.shown = m.shown.Add(90 * time.Minute)
		case 700:
			m.shown = m.shown.Add(-3 * time.Second)
		}
		m.pass(17 * time.Millisecond)
		now := w.Now()
		if now.Sub(last) < 15*time.Millisecond { // 90 % of 17 ms
			t.Fatalf("reading %d: %v passed in 17 ms", i, now.Sub(last))
		}
		last = now
	}
}

// The machine's clock is set while the loop runs: the loop goes on.
func TestLoopOutlivesStepsOfTheClock(t *testing.T) {
	for _, tt := range []struct {
		name     string
		set      time.Duration
		min, max int // ticks of 1 s in the 10 s after the step
	}{
		{"an hour back", -time.Hour, 9, 9},
		{"an hour forward", time.Hour, 10, 11},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var offset atomic.Int64
				base := time.Now()
				w := newWall(func() (time.Time, time.Duration) {
					now := time.Now()
					return now.UTC().Round(0).Add(time.Duration(offset.Load())), now.Sub(base)
				})
				s := New(w)
				began, n, after := s.Now(), 0, 0
				s.Every(began, time.Second, Arrival, func(time.Time) bool {
					if n++; n == 5 {
						offset.Store(int64(tt.set))
					} else if n > 5 {
						after++
					}
					return true
				})
				ctx, cancel := context.WithTimeout(t.Context(), 14500*time.Millisecond)
				defer cancel()
				if err := s.Run(ctx, time.Time{}); !errors.Is(err, context.DeadlineExceeded) {
					t.Fatal(err)
				}
				if after < tt.min || after > tt.max {
					t.Errorf("%d runs in 10.5 s after the clock was set, want %d to %d", after, tt.min, tt.max)
				}
			})
		})
	}
}
