// Package sched owns time. One Scheduler runs events in order on one goroutine;
// on the wall clock it is the loop of production, on a virtual clock it is the
// simulator. What it runs takes the instant as a parameter and never asks a
// clock, so the same code runs in both.
package sched

import (
	"container/heap"
	"context"
	"fmt"
	"sort"
	"sync"
	"time"
)

// Priority orders events of one instant.
type Priority uint8

// The order of one instant: physics first, then what arrived, then the image of
// the fleet, the decisions on it, what is written out, and the checks.
const (
	Physics Priority = iota
	Arrival
	Image
	Decide
	Write
	Check
)

// Clock is the source of time behind a Scheduler.
type Clock interface {
	// Now never goes back.
	Now() time.Time
	// waitUntil returns when t has come or wake was signalled, whichever is
	// first, or with ctx's error. It may return early; the caller looks again.
	waitUntil(ctx context.Context, t time.Time, wake <-chan struct{}) error
}

// Scheduler runs events ordered by (instant, priority, order of insertion).
// At and Every may be called from anywhere on the scheduler's own goroutine or
// before Run; Post from any goroutine.
type Scheduler struct {
	clock Clock
	queue queue
	n     uint64

	// Lag, when set, is told how far behind its instant each event ran. It is
	// always 0 on a virtual clock.
	Lag func(time.Duration)

	mu     sync.Mutex
	posts  []post
	held   int
	idle   *sync.Cond
	wake   chan struct{}
	counts map[string]uint64
}

type event struct {
	at   time.Time
	prio Priority
	n    uint64
	fn   func(now time.Time)
}

type post struct {
	source string
	n      uint64
	fn     func(now time.Time)
}

// New returns a scheduler on the clock.
func New(c Clock) *Scheduler {
	s := &Scheduler{clock: c, wake: make(chan struct{}, 1), counts: map[string]uint64{}}
	s.idle = sync.NewCond(&s.mu)
	return s
}

// Now is the clock's instant.
func (s *Scheduler) Now() time.Time { return s.clock.Now() }

// Virtual reports whether time is simulated.
func (s *Scheduler) Virtual() bool { _, ok := s.clock.(*Virtual); return ok }

// At runs fn at t, or as soon as possible when t has passed.
func (s *Scheduler) At(t time.Time, p Priority, fn func(now time.Time)) {
	s.n++
	heap.Push(&s.queue, event{t, p, s.n, fn})
}

// Every runs fn at start and then each period, until fn returns false. On the
// wall clock an event that comes late keeps its grid; one late run stands for all
// the instants that it missed. It panics when period is not above 0.
func (s *Scheduler) Every(start time.Time, period time.Duration, p Priority, fn func(now time.Time) bool) {
	if period <= 0 {
		panic(fmt.Sprintf("sched: period %v is not above 0", period))
	}
	var tick func(now time.Time)
	due := start
	tick = func(now time.Time) {
		if !fn(now) {
			return
		}
		due = due.Add(period)
		if missed := now.Sub(due); missed >= 0 { // the run at now stands for all until now
			due = due.Add(missed/period*period + period)
		}
		if behind := s.clock.Now().Sub(due); behind > 0 {
			due = due.Add(behind / period * period)
		}
		s.At(due, p, tick)
	}
	s.At(start, p, tick)
}

// Post hands fn from any goroutine to the scheduler's own. Posts of one source
// run in the order in which they were made; on a virtual clock those that wait
// together run sorted by (source, order), so that their outcome does not depend
// on which goroutine was faster.
func (s *Scheduler) Post(source string, fn func(now time.Time)) {
	s.mu.Lock()
	s.counts[source]++
	s.posts = append(s.posts, post{source, s.counts[source], fn})
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Enter holds virtual time still while work is outside the loop; Leave lets it
// go on. A component posts its answer before it leaves.
func (s *Scheduler) Enter() {
	s.mu.Lock()
	s.held++
	s.mu.Unlock()
}

// Leave ends an Enter.
func (s *Scheduler) Leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held--
	s.idle.Broadcast()
}

// Run processes events up to and including until. It returns ctx's error when
// it is cancelled. A zero until runs for ever.
func (s *Scheduler) Run(ctx context.Context, until time.Time) error {
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock() // between the barrier's look at ctx and its wait there is no gap
		defer s.mu.Unlock()
		s.idle.Broadcast()
	})
	defer stop()
	for {
		if err := s.settle(ctx); err != nil {
			return err
		}
		ready := len(s.queue) > 0 && (until.IsZero() || !s.queue[0].at.After(until))
		next := until
		if ready {
			next = s.queue[0].at
		}
		now := s.clock.Now()
		switch {
		case !ready && until.IsZero(): // nothing to do until somebody posts
			select {
			case <-s.wake:
			case <-ctx.Done():
			}
		case next.After(now):
			if err := s.clock.waitUntil(ctx, next, s.wake); err != nil {
				return err
			}
		case ready:
			e := heap.Pop(&s.queue).(event)
			if s.Lag != nil {
				s.Lag(now.Sub(e.at))
			}
			e.fn(now)
		default:
			return nil
		}
	}
}

// settle runs what was posted. On a virtual clock it first waits until no work
// is outside, and goes on until nothing is left: what was posted may have sent
// more work out.
func (s *Scheduler) settle(ctx context.Context) error {
	for {
		s.mu.Lock()
		for s.Virtual() && s.held > 0 && ctx.Err() == nil {
			s.idle.Wait()
		}
		if err := ctx.Err(); err != nil {
			s.mu.Unlock()
			return err // what was posted waits for the next Run
		}
		posts := s.posts
		s.posts = nil
		s.mu.Unlock()
		s.run(posts)
		if len(posts) == 0 || !s.Virtual() {
			return nil
		}
	}
}

func (s *Scheduler) run(posts []post) {
	sort.SliceStable(posts, func(i, j int) bool {
		if posts[i].source != posts[j].source {
			return posts[i].source < posts[j].source
		}
		return posts[i].n < posts[j].n
	})
	now := s.clock.Now()
	for _, p := range posts {
		p.fn(now)
	}
}

type queue []event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	a, b := &q[i], &q[j]
	if !a.at.Equal(b.at) {
		return a.at.Before(b.at)
	}
	if a.prio != b.prio {
		return a.prio < b.prio
	}
	return a.n < b.n
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *queue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = event{}
	*q = old[:len(old)-1]
	return e
}
