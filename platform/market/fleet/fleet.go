// Package fleet finds the cheapest schedule of very many stores that share a few limits, such as those of a feeder:
// what a general solver for linear programs takes seconds for, by what such programs are made of.
//
// Once each limit has a price in each interval, every store is on its own, and what is best for it is found exactly by a
// recursion over the worth of what it holds (see pass), or from what that was at other prices (see again). The prices are
// found by Newton's method. So that there is a slope to go by, each unit pays for the square of its distance to where it was in the stage before, less from stage to
// stage: the proximal point method, which ends at the optimum of the linear program itself (R. T. Rockafellar, SIAM J.
// Control and Optimization 14(5), 1976), with a Newton method that knows the second derivatives of what
// is made of straight and of squared pieces (X. Li, D. Sun, K.-C. Toh, SIAM J. Optimization 30(3), 2020).
package fleet

import (
	"context"
	"errors"
	"math"
)

// Unit is a part of what a store can do in an interval: anything from Least to Most MW.
type Unit struct {
	At          int
	Least, Most float64
	Cost        float64 // of each MW
	Stores      float64 // MWh that each MW brings into the store; below 0 it takes them out
	Takes       float64 // MW that each MW takes from what is limited; below 0 it gives them
}

// Store holds from Least to Most MWh, at first Start, and in the end what End says.
type Store struct {
	Start, Least, Most float64
	End                End
	Units              []Unit // in the order of their intervals
	Limits             []int  // places in Problem.Limits
}

// End is from Least to Most MWh, each worth Price.
type End struct{ Least, Most, Price float64 }

// Limit bounds by interval what the units of its stores take together, MW; an infinite bound is none.
type Limit struct{ Least, Most []float64 }

// Problem is: minimise what the units cost, less what is stored in the end is worth.
type Problem struct {
	Intervals int
	Stores    []Store
	Limits    []Limit
}

// Solution is the best there is, up to Cost − Bound.
type Solution struct {
	Power [][]float64 // MW by store and unit
	Worth [][]float64 // by store and interval: what a MWh more in the store would have saved after it
	Price [][]float64 // by limit and interval: what a MW less costs; above 0 where it binds at Most, below 0 at Least
	// Cost is that of Power. Nothing that keeps to the problem costs less than Bound, which follows from Worth and
	// Price alone. Over is what a limit is passed by at most, MW; stores keep to theirs up to rounding.
	Cost, Bound, Over float64
	Rounds            int // how often all stores were gone through
}

// Errors of Solve.
var (
	ErrInfeasible = errors.New("a store can't keep to what is asked of it")
	ErrLimits     = errors.New("the limits can't be kept to by all stores together")
	ErrStalled    = errors.New("no optimum was reached")
)

const (
	near       = 5e-8 // how near the cost comes to the optimum, relative to it
	kept       = 1e-9 // what a limit may be passed by, of the power of all
	mostStages = 60
	fewStages  = 8
	mostRounds = 250
	// Of the spread of the costs, what a unit at the other end of its range pays for each MW: at first, in the
	// end, and from stage to stage.
	first, last, falls = 1.0, 1e-4, 0.5
	// absurd is how many times what costs differ by a price is where there may be none that is high enough.
	absurd = 100
	// sampled is how many stores are worth it to look for prices with every eighth of them before, as near as roughly.
	sampled, roughly = 200, 1e-3
	// eased is how much wider the first stage of all is than the last one of some.
	eased = 4
)

// Solve finds the optimum. The errors are those above and that of the context, which is asked in each round.
func (p *Problem) Solve(ctx context.Context) (*Solution, error) {
	s := newSolver(p)
	if s.spread == 0 {
		return nil, ErrStalled
	}
	width := first * s.spread
	if len(p.Stores) >= sampled {
		few := newSolver(p.every(8))
		few.enough = fewStages
		switch _, w, err := few.stages(ctx, width, 0, roughly); {
		case err == nil:
			copy(s.prices, few.prices)
			width = eased * w
		case errors.Is(err, ErrLimits): // then perhaps for all
			copy(s.prices, few.prices)
		}
	}
	gap, _, err := s.stages(ctx, width, last*s.spread, near)
	switch {
	case err != nil:
		return nil, err
	case gap > near:
		return nil, ErrStalled
	}
	return s.solution(), nil
}

// every is the problem of every so manyth store, with as much less of the limits.
func (p *Problem) every(k int) *Problem {
	few := &Problem{Intervals: p.Intervals}
	all, some := make([]float64, len(p.Limits)), make([]float64, len(p.Limits))
	for i := range p.Stores {
		s := &p.Stores[i]
		size := 0.0
		for _, u := range s.Units {
			size += math.Abs(u.Takes) * (u.Most - u.Least)
		}
		for _, l := range s.Limits {
			all[l] += size
			if i%k == 0 {
				some[l] += size
			}
		}
		if i%k == 0 {
			few.Stores = append(few.Stores, *s)
		}
	}
	for l, x := range p.Limits {
		part := 1.0
		if all[l] > 0 {
			part = some[l] / all[l]
		}
		few.Limits = append(few.Limits, Limit{scaled(x.Least, part), scaled(x.Most, part)})
	}
	return few
}

func scaled(list []float64, by float64) []float64 {
	out := make([]float64, len(list))
	for i, x := range list {
		out[i] = x
		if !math.IsInf(x, 0) {
			out[i] = x * by
		}
	}
	return out
}
