package fleet

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"yunchu/platform/market/lp"
)

// feeder is a day of batteries that share the limits of a feeder.
func feeder(stores int, seed uint64) *Problem {
	const n = 96
	rng := rand.New(rand.NewPCG(1, seed))
	p := Problem{Intervals: n, Limits: make([]Limit, 1)}
	price := make([]float64, n)
	for i := range price {
		price[i] = 50 + 20*math.Sin(4*math.Pi*float64(i)/n) + 8*rng.NormFloat64()
	}
	for range stores {
		power, energy, eta := 0.5+rng.Float64(), 1+3*rng.Float64(), 0.8+0.15*rng.Float64()
		s := Store{Start: 0.3 * energy, Most: energy, End: End{Least: 0.3 * energy, Most: energy}, Limits: []int{0}}
		for t := range n {
			s.Units = append(s.Units,
				Unit{At: t, Most: power, Cost: price[t] / 4, Stores: eta / 4, Takes: 1},
				Unit{At: t, Most: power, Cost: (2 - price[t]) / 4, Stores: -0.25, Takes: -1})
		}
		p.Stores = append(p.Stores, s)
	}
	for range n {
		p.Limits[0].Least = append(p.Limits[0].Least, -0.3*float64(stores))
		p.Limits[0].Most = append(p.Limits[0].Most, 0.2*float64(stores))
	}
	return &p
}

// nested is a drawn day of stores with several units in each interval, some of which they must use, in streets within
// a feeder, which do not all have limits.
func nested(stores int, seed uint64) *Problem {
	const n = 24
	rng := rand.New(rand.NewPCG(2, seed))
	p := Problem{Intervals: n, Limits: make([]Limit, 3)}
	for range stores {
		energy := 1 + 3*rng.Float64()
		s := Store{Least: 0.1 * energy, Most: energy, Start: energy * (0.2 + 0.6*rng.Float64()), Limits: []int{0}}
		if street := rng.IntN(3); street > 0 {
			s.Limits = append(s.Limits, street)
		}
		s.End = End{Least: s.Start, Most: s.Start}
		if rng.IntN(2) == 0 {
			s.End = End{Least: s.Least, Most: s.Most, Price: 30 + 20*rng.Float64()}
		}
		in, out, power := 0.9+0.1*rng.Float64(), 0.9+0.1*rng.Float64(), 0.3+rng.Float64()
		for t := range n {
			price := 50 + 25*math.Sin(4*math.Pi*float64(t)/n) + 8*rng.NormFloat64()
			own := power * rng.Float64()
			s.Units = append(s.Units,
				Unit{At: t, Most: own, Cost: price - 5, Stores: in, Takes: 1},
				Unit{At: t, Most: power - own, Cost: price, Stores: in, Takes: 1},
				Unit{At: t, Most: power, Cost: 3 - price, Stores: -1 / out, Takes: -1})
			if rng.IntN(40) == 0 {
				s.Units[len(s.Units)-1].Least = 0.01 * power
			}
		}
		p.Stores = append(p.Stores, s)
	}
	for l, part := range []float64{0.25, 0.1, 0.08} {
		for range n {
			p.Limits[l].Least = append(p.Limits[l].Least, -part*float64(stores))
			p.Limits[l].Most = append(p.Limits[l].Most, 0.8*part*float64(stores))
		}
	}
	p.Limits[1].Most[3], p.Limits[2].Least[5] = math.Inf(1), math.Inf(-1)
	return &p
}

// program is a problem as a linear program.
func program(p *Problem) *lp.Problem {
	var out lp.Problem
	sums := make([][][]lp.Term, len(p.Limits))
	for l := range sums {
		sums[l] = make([][]lp.Term, p.Intervals)
	}
	for _, s := range p.Stores {
		held, u := out.Var(s.Start, s.Start, 0), 0
		for t := range p.Intervals {
			next := out.Var(s.Least, s.Most, 0)
			if t == p.Intervals-1 {
				out.SetBounds(next, s.End.Least, s.End.Most)
				out.SetCost(next, -s.End.Price)
			}
			terms := []lp.Term{{Var: next, By: -1}, {Var: held, By: 1}}
			for ; u < len(s.Units) && s.Units[u].At == t; u++ {
				k := s.Units[u]
				v := out.Var(k.Least, k.Most, k.Cost)
				terms = append(terms, lp.Term{Var: v, By: k.Stores})
				for _, l := range s.Limits {
					sums[l][t] = append(sums[l][t], lp.Term{Var: v, By: k.Takes})
				}
			}
			out.Row(0, 0, terms...)
			held = next
		}
	}
	for l, x := range p.Limits {
		for t := range p.Intervals {
			out.Row(x.Least[t], x.Most[t], sums[l][t]...)
		}
	}
	return &out
}

// keeps checks that a solution is one.
func keeps(t *testing.T, p *Problem, s *Solution) {
	t.Helper()
	takes := make([][]float64, len(p.Limits))
	for l := range takes {
		takes[l] = make([]float64, p.Intervals)
	}
	all := 0.0
	for i, x := range p.Stores {
		held, u := x.Start, 0
		for at := range p.Intervals {
			for ; u < len(x.Units) && x.Units[u].At == at; u++ {
				k, z := x.Units[u], s.Power[i][u]
				if z < k.Least || z > k.Most {
					t.Fatalf("unit %d of store %d does %v of %v to %v", u, i, z, k.Least, k.Most)
				}
				held += k.Stores * z
				all += k.Most
				for _, l := range x.Limits {
					takes[l][at] += k.Takes * z
				}
			}
			if held < x.Least-1e-7 || held > x.Most+1e-7 {
				t.Fatalf("store %d holds %v of %v to %v", i, held, x.Least, x.Most)
			}
		}
		if held < x.End.Least-1e-7 || held > x.End.Most+1e-7 {
			t.Fatalf("store %d ends with %v of %v to %v", i, held, x.End.Least, x.End.Most)
		}
	}
	for l, x := range p.Limits {
		for at, z := range takes[l] {
			if over := max(z-x.Most[at], x.Least[at]-z); over > kept*all || over > s.Over+1e-12*all {
				t.Errorf("limit %d is passed by %v in %d, by %v at most as it says", l, over, at, s.Over)
			}
		}
	}
}

// TestOptimum: what is found is the optimum of the linear program, and its prices prove it there.
func TestOptimum(t *testing.T) {
	for _, x := range []struct {
		name  string
		build func(stores int, seed uint64) *Problem
		sizes int
	}{{"nested", nested, 150}, {"feeder", feeder, 220}} {
		seeds := uint64(3)
		if testing.Short() {
			seeds, x.sizes = 1, x.sizes/2
			if x.name == "feeder" {
				continue
			}
		}
		for seed := range seeds {
			t.Run(fmt.Sprint(x.name, seed), func(t *testing.T) {
				p := x.build(x.sizes, seed)
				got, err := p.Solve(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				keeps(t, p, got)
				if got.Cost-got.Bound > 2*near*math.Abs(got.Cost) {
					t.Errorf("%v, no less than %v", got.Cost, got.Bound)
				}
				want, err := program(p).Solve(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if math.Abs(got.Cost-want.Objective) > 1e-7*math.Abs(want.Objective) {
					t.Errorf("it costs %v, where %v is possible", got.Cost, want.Objective)
				}
				if got.Bound > want.Objective+1e-8*math.Abs(want.Objective) {
					t.Errorf("nothing costs less than %v, but this: %v", got.Bound, want.Objective)
				}
			})
		}
	}
}

// TestNothingFits: what a store cannot do is said.
func TestNothingFits(t *testing.T) {
	p := feeder(3, 1)
	p.Stores[1].End = End{Least: p.Stores[1].Most + 1, Most: p.Stores[1].Most + 2}
	if _, err := p.Solve(t.Context()); !errors.Is(err, ErrInfeasible) {
		t.Errorf("a store that must end with more than it holds: %v", err)
	}
}

// TestLimitsTooClose: what all stores together cannot keep to is proven, and what they just can is found. Who must give
// at most in one interval and has hardly anything before needs what the limits let in until then.
func TestLimitsTooClose(t *testing.T) {
	for _, stores := range []int{3, 20, sampled} {
		p := feeder(stores, 1)
		most, held := 0.0, 0.0
		for i := range p.Stores {
			s := &p.Stores[i]
			s.Start, s.End.Least = 0.01*s.Most, 0
			most, held = most+min(s.Units[1].Most, 4*s.Start+s.Units[0].Most*s.Units[0].Stores*8*4), held+s.Start
		}
		p.Limits[0].Least[8] = -2 * most
		for _, part := range []float64{0.5, 1.02} {
			p.Limits[0].Most[8] = -part * most
			s, err := p.Solve(t.Context())
			if part < 1 && (err != nil || s.Over > 1e-6*most) || part > 1 && !errors.Is(err, ErrLimits) {
				t.Errorf("%d stores, %v of what they can give: %v", stores, part, err)
			}
		}
	}
}

// TestTightLimits: limits of next to nothing of what the stores can do are kept to as others are.
func TestTightLimits(t *testing.T) {
	for _, part := range []float64{0.005, 0.002, 0.0005} {
		p := feeder(20, 2)
		for k := range p.Limits[0].Most {
			p.Limits[0].Least[k], p.Limits[0].Most[k] = -20*part, 20*part
		}
		s, err := p.Solve(t.Context())
		if err != nil {
			t.Errorf("%v of the power: %v", part, err)
			continue
		}
		keeps(t, p, s)
		if s.Cost-s.Bound > 2*near*math.Abs(s.Cost) {
			t.Errorf("%v of the power: %v, no less than %v", part, s.Cost, s.Bound)
		}
	}
}

// BenchmarkFeeder is a day of quarter-hours.
func BenchmarkFeeder(b *testing.B) {
	for _, stores := range []int{200, 1000} {
		p := feeder(stores, 2)
		b.Run(fmt.Sprint(stores), func(b *testing.B) {
			for b.Loop() {
				s, err := p.Solve(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(s.Rounds), "rounds")
			}
		})
	}
}

// ending is a context that ends when it has been asked so often.
type ending struct {
	context.Context
	left atomic.Int64
}

func endingAfter(t *testing.T, asked int64) *ending {
	c := &ending{Context: t.Context()}
	c.left.Store(asked)
	return c
}

func (c *ending) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// TestStops: no store is gone through any more when the context has ended.
func TestStops(t *testing.T) {
	for _, rounds := range []int64{0, 1, 5} {
		ctx := endingAfter(t, rounds)
		if _, err := nested(20, 1).Solve(ctx); !errors.Is(err, context.Canceled) || ctx.left.Load() != -1 {
			t.Errorf("ended before round %d: %v, and it was asked %d times more", rounds, err, -1-ctx.left.Load())
		}
	}
}
