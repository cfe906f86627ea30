package load

import (
	"math"
	"math/rand/v2"
	"time"
)

// Piece is a stretch of time in which the rate of arrivals goes in a straight line
// From one value To another, per second.
type Piece struct {
	For      time.Duration
	From, To float64
}

// Profile is the rate of arrivals over time. It is a value: what is due when
// follows from it alone, whatever the answers.
type Profile []Piece

// Spike is a higher or lower rate for a while in the middle of a load.
type Spike struct {
	At, For time.Duration
	Rate    float64
}

// Stage leads in a straight line to a rate; one that takes no time jumps to it.
type Stage struct {
	For  time.Duration
	Rate float64
}

// Steady is a constant rate whose first part rises from nothing.
func Steady(rate float64, length, ramp time.Duration) Profile {
	ramp = min(ramp, length)
	var p Profile
	if ramp > 0 {
		p = append(p, Piece{ramp, 0, rate})
	}
	return append(p, Piece{length - ramp, rate, rate})
}

// Stages begins at a rate and goes from stage to stage.
func Stages(from float64, stages []Stage) Profile {
	var p Profile
	for _, s := range stages {
		if s.For > 0 {
			p = append(p, Piece{s.For, from, s.Rate})
		}
		from = s.Rate
	}
	return p
}

// With puts a spike into a profile.
func (p Profile) With(s Spike) Profile {
	out := append(p.cut(0, s.At), Piece{s.For, s.Rate, s.Rate})
	return append(out, p.cut(s.At+s.For, p.Length())...)
}

// cut is the part of a profile between two instants.
func (p Profile) cut(from, to time.Duration) Profile {
	var (
		out   Profile
		begin time.Duration
	)
	for _, x := range p {
		a, b := max(from-begin, 0), min(to-begin, x.For)
		if begin += x.For; a < b {
			out = append(out, Piece{b - a, x.rate(a), x.rate(b)})
		}
	}
	return out
}

func (x Piece) rate(at time.Duration) float64 {
	if x.For <= 0 {
		return x.To
	}
	return x.From + (x.To-x.From)*float64(at)/float64(x.For)
}

func (x Piece) count() float64 { return (x.From + x.To) / 2 * x.For.Seconds() }

// Length is how long it lasts.
func (p Profile) Length() (d time.Duration) {
	for _, x := range p {
		d += x.For
	}
	return d
}

// Count is how many arrivals it has.
func (p Profile) Count() (n float64) {
	for _, x := range p {
		n += x.count()
	}
	return n
}

// At is the instant at which n arrivals have been due; false when there are not
// as many. Within a piece of length T the rate is a + b·t, so that n = a·t + b·t²/2.
func (p Profile) At(n float64) (time.Duration, bool) {
	var begin time.Duration
	for _, x := range p {
		c := x.count()
		if n < c-1e-9*max(c, 1) {
			b := (x.To - x.From) / x.For.Seconds()
			// The root that stays exact where b is small.
			t := 2 * n / (x.From + math.Sqrt(max(x.From*x.From+2*b*n, 0)))
			if n <= 0 {
				t = 0
			}
			return begin + min(time.Duration(t*float64(time.Second)), x.For), true
		}
		n = max(n-c, 0)
		begin += x.For
	}
	return begin, false
}

// arrivals are the instants at which one of many users has something due.
// Together the users of a profile have its rate.
type arrivals struct {
	profile Profile
	users   int
	n       float64
	rng     *rand.Rand // of random arrivals; nil: they are evenly spaced
}

func newArrivals(p Profile, index, users int, rng *rand.Rand) *arrivals {
	a := &arrivals{profile: p, users: users, n: float64(index), rng: rng}
	if rng != nil {
		a.n = rng.ExpFloat64() * float64(users)
	}
	return a
}

// next is the next instant since the begin; false when there is none.
//
// Random arrivals are a Poisson process: in the count of arrivals its gaps are
// exponential, whatever the rate does over time; and independent users, each with
// their part of the rate, are such a process together.
func (a *arrivals) next() (time.Duration, bool) {
	at, ok := a.profile.At(a.n)
	if a.rng != nil {
		a.n += a.rng.ExpFloat64() * float64(a.users)
	} else {
		a.n += float64(a.users)
	}
	return at, ok
}
