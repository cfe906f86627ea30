package auth

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// attempts counts failed logins in three buckets: of one user from one address,
// of one address, and of one user from everywhere. An address from which the
// user has logged in before does not stand in the last line, so that strangers
// cannot lock somebody out of the own account.
type attempts struct {
	mu    sync.Mutex
	pairs map[[2]string]*pair
	hosts map[string]*rate.Limiter
	names map[string]*rate.Limiter
}

type pair struct {
	*rate.Limiter
	known bool
}

// How many failures each bucket takes, and how fast it recovers.
const (
	pairBurst = 5
	pairEvery = time.Minute
	hostBurst = 20
	hostEvery = 15 * time.Second
	nameBurst = 20
	nameEvery = 15 * time.Second
	// remembered bounds each table. A full one is emptied of what has recovered.
	remembered = 10_000
)

func newAttempts() *attempts {
	return &attempts{pairs: map[[2]string]*pair{}, hosts: map[string]*rate.Limiter{}, names: map[string]*rate.Limiter{}}
}

// attempt is one login that has been counted as failed.
type attempt struct {
	at       time.Time
	key      [2]string
	reserved []*rate.Reservation
}

// begin counts an attempt as failed until succeeded or void says otherwise. A
// TooManyError tells how long to wait; nothing is counted then.
func (a *attempts) begin(now time.Time, user, host string) (attempt, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := attempt{at: now, key: [2]string{user, host}}
	p := a.pairs[t.key]
	if p == nil {
		makeRoom(a.pairs, func(p *pair) bool { return !p.known && p.TokensAt(now) >= pairBurst })
		p = &pair{Limiter: rate.NewLimiter(rate.Every(pairEvery), pairBurst)}
		a.pairs[t.key] = p
	}
	buckets := []*rate.Limiter{p.Limiter, bucket(a.hosts, host, now, hostEvery, hostBurst)}
	if !p.known {
		buckets = append(buckets, bucket(a.names, user, now, nameEvery, nameBurst))
	}
	var wait time.Duration
	for _, b := range buckets {
		if missing := 1 - b.TokensAt(now); missing > 0 {
			wait = max(wait, time.Duration(missing/float64(b.Limit())*float64(time.Second)))
		}
	}
	if wait > 0 {
		return t, &TooManyError{wait}
	}
	for _, b := range buckets {
		t.reserved = append(t.reserved, b.ReserveN(now, 1))
	}
	return t, nil
}

// void takes the attempt out of the count: nothing was learnt from it.
func (a *attempts) void(t attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range t.reserved {
		r.CancelAt(t.at)
	}
}

// succeeded takes the attempt out of the count and forgets the failures of this
// user from this address.
func (a *attempts) succeeded(t attempt) {
	a.void(t)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pairs[t.key] = &pair{rate.NewLimiter(rate.Every(pairEvery), pairBurst), true}
}

func bucket(m map[string]*rate.Limiter, key string, now time.Time, every time.Duration, burst int) *rate.Limiter {
	l := m[key]
	if l == nil {
		makeRoom(m, func(l *rate.Limiter) bool { return l.TokensAt(now) >= float64(burst) })
		l = rate.NewLimiter(rate.Every(every), burst)
		m[key] = l
	}
	return l
}

// makeRoom keeps a full table bounded: first what has recovered goes, and if
// that was not enough, anything.
func makeRoom[K comparable, V any](m map[K]V, recovered func(V) bool) {
	if len(m) < remembered {
		return
	}
	for k, v := range m {
		if recovered(v) {
			delete(m, k)
		}
	}
	for k := range m {
		if len(m) < remembered {
			return
		}
		delete(m, k)
	}
}
