package load

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestProfileInverts: for whatever profile, the instant at which n arrivals are due
// is the one at which the rate adds up to n, and instants never go back.
func TestProfileInverts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stages []Stage
		for range rapid.IntRange(1, 6).Draw(t, "stages") {
			stages = append(stages, Stage{
				time.Duration(rapid.IntRange(0, 5000).Draw(t, "ms")) * time.Millisecond,
				float64(rapid.IntRange(0, 2000).Draw(t, "rate")),
			})
		}
		p := Stages(float64(rapid.IntRange(0, 2000).Draw(t, "from")), stages)
		if rapid.Bool().Draw(t, "spike") && p.Length() > time.Second {
			p = p.With(Spike{p.Length() / 3, p.Length() / 4, 5000})
		}
		before := time.Duration(0)
		for n := 0.0; n < p.Count()-0.01; n += max(p.Count()/50, 0.1) {
			at, ok := p.At(n)
			if !ok || at < before || at > p.Length() {
				t.Fatalf("arrival %v at %v, %v, after %v, of %v", n, at, ok, before, p.Length())
			}
			before = at
			// A nanosecond of the rate is what an instant can tell.
			if got := p.cut(0, at).Count(); math.Abs(got-n) > 1e-5*max(1, n) {
				t.Fatalf("arrival %v at %v, when %v were due", n, at, got)
			}
		}
		if _, ok := p.At(p.Count() + 1); ok {
			t.Fatal("an arrival after the last")
		}
	})
}

// TestShapes: what the forms of a profile amount to.
func TestShapes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		p      Profile
		length time.Duration
		count  float64
		half   time.Duration // when half of them have been due
	}{
		{"steady", Steady(100, 10*time.Second, 0), 10 * time.Second, 1000, 5 * time.Second},
		{"ramp", Steady(100, 10*time.Second, 4*time.Second), 10 * time.Second, 800, 6 * time.Second},
		{"all ramp", Steady(100, 10*time.Second, 10*time.Second), 10 * time.Second, 500, 7071067811},
		{"stages", Stages(0, []Stage{{2 * time.Second, 100}, {0, 50}, {4 * time.Second, 50}}), 6 * time.Second, 300, 3 * time.Second},
		{"spike", Steady(10, 10*time.Second, 0).With(Spike{4 * time.Second, 2 * time.Second, 100}), 10 * time.Second, 280, 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.p.Length(); got != tt.length {
				t.Errorf("length %v, want %v", got, tt.length)
			}
			if got := tt.p.Count(); math.Abs(got-tt.count) > 1e-9*tt.count {
				t.Errorf("%v arrivals, want %v", got, tt.count)
			}
			if got, ok := tt.p.At(tt.count / 2); !ok || (got-tt.half).Abs() > time.Microsecond {
				t.Errorf("half of them at %v, %v, want %v", got, ok, tt.half)
			}
		})
	}
}

// TestPoisson: random arrivals of many users are a Poisson process together: the
// variance of their number in equal windows is its mean, and the gaps between them
// are exponential. Evenly spaced ones are not.
func TestPoisson(t *testing.T) {
	const users, rate, seconds = 50, 1000, 60
	count := func(random bool) (mean, variance float64) {
		windows := make([]float64, seconds*10)
		for i := range users {
			var rng *rand.Rand
			if random {
				rng = rand.New(rand.NewPCG(1, uint64(i)))
			}
			a := newArrivals(Steady(rate, seconds*time.Second, 0), i, users, rng)
			for at, ok := a.next(); ok; at, ok = a.next() {
				windows[at/(100*time.Millisecond)]++
			}
		}
		for _, n := range windows {
			mean += n / float64(len(windows))
		}
		for _, n := range windows {
			variance += (n - mean) * (n - mean) / float64(len(windows)-1)
		}
		return mean, variance
	}
	// 600 windows: the ratio of variance and mean is 1 ± 0.06 (standard error √(2/599)).
	if mean, variance := count(true); math.Abs(mean-100) > 2 || math.Abs(variance/mean-1) > 0.25 {
		t.Errorf("random: mean %v, variance %v, want 100 and 100", mean, variance)
	}
	if mean, variance := count(false); math.Abs(mean-100) > 1e-6 || variance > 1 {
		t.Errorf("even: mean %v, variance %v, want 100 and nearly 0", mean, variance)
	}
}
