package api

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"yunchu/platform/auth"
)

// Rate is how often something may happen: Burst times at once and PerSecond on average.
// The zero Rate has no bound.
type Rate struct {
	PerSecond float64
	Burst     int
}

// Limits bound what each principal asks for, however it asks. Logins have bounds of
// their own, in package auth.
type Limits struct {
	Queries   Rate // whatever is none of the others
	Commands  Rate // commands, arming, dispatch
	Telemetry Rate // requests or messages that bring readings, whatever number of them
}

// limited are how many principals each bound remembers. Those that have not asked for a
// while are forgotten first.
const limited = 10_000

// limiter holds one bound.
type limiter struct {
	rate Rate

	mu      sync.Mutex
	buckets map[string]*rate.Limiter // by the principal's name
}

func newLimiter(r Rate) *limiter {
	if r.PerSecond <= 0 {
		return nil
	}
	r.Burst = max(1, r.Burst)
	return &limiter{rate: r, buckets: map[string]*rate.Limiter{}}
}

// take counts one more; wait says how long it takes until there is room, 0 that there was.
func (l *limiter) take(name string, now time.Time) (wait time.Duration) {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[name]
	if b == nil {
		l.makeRoom(now)
		b = rate.NewLimiter(rate.Limit(l.rate.PerSecond), l.rate.Burst)
		l.buckets[name] = b
	}
	if b.AllowN(now, 1) {
		return 0
	}
	missing := 1 - b.TokensAt(now)
	return max(time.Millisecond, time.Duration(missing/l.rate.PerSecond*float64(time.Second)))
}

func (l *limiter) makeRoom(now time.Time) {
	if len(l.buckets) < limited {
		return
	}
	for name, b := range l.buckets {
		if b.TokensAt(now) >= float64(l.rate.Burst) {
			delete(l.buckets, name)
		}
	}
	for name := range l.buckets {
		if len(l.buckets) < limited {
			return
		}
		delete(l.buckets, name)
	}
}

// limiters are all bounds as they are now.
type limiters struct {
	limits                       Limits
	queries, commands, telemetry *limiter
}

// SetLimits replaces the bounds of what each principal may ask for. Those that stay as they
// were begin anew too.
func (s *Server) SetLimits(l Limits) {
	if old := s.limits.Load(); old != nil && old.limits == l {
		return
	}
	s.limits.Store(&limiters{l, newLimiter(l.Queries), newLimiter(l.Commands), newLimiter(l.Telemetry)})
}

// within counts what somebody asks for, and refuses what is too much.
func (s *Server) within(p *auth.Principal, a auth.Action) *Problem {
	l, shed := s.limits.Load(), s.metrics.limited.queries
	bound := l.queries
	switch a {
	case auth.Ingest:
		bound, shed = l.telemetry, s.metrics.limited.telemetry
	case auth.Control, auth.Arming, auth.Dispatch:
		bound, shed = l.commands, s.metrics.limited.commands
	}
	if bound == nil {
		return nil
	}
	wait := bound.take(p.Name, s.wall())
	if wait == 0 {
		return nil
	}
	shed.Inc()
	out := refuse(CodeRateLimited, p.Name+" asks too often")
	out.retry = max(1, int(math.Ceil(wait.Seconds())))
	return out
}
