package plan

import (
	"context"
	"math"

	"yunchu/platform/market/lp"
)

// Measure is what a front sets against money.
type Measure string

// The measures of a front.
const (
	Wear   Measure = "wear"   // money, variable cost included
	Peak   Measure = "peak"   // MW, the most that all sites take together
	Carbon Measure = "carbon" // t
)

// aim is a measure beside the money: to be at most so much, and what a unit of it counts. The money
// leaves the measure's own out and counts money times. The zero value is the money of everything alone.
type aim struct {
	measure     Measure
	most        float64
	each, money float64
}

// counts is what a unit of money of a kind does.
func (a aim) counts(k kind) float64 {
	switch {
	case a.measure == "":
		return 1
	case a.measure == Wear && k == wear, a.measure == Carbon && k == carbon, a.measure == Peak && k == demand:
		return 0
	}
	return a.money
}

// of is a measure as terms and a constant.
func (m *model) of(x Measure) ([]lp.Term, float64) {
	switch x {
	case Wear:
		return m.terms[wear], m.fixed[wear]
	case Carbon:
		return m.terms[carbon], m.fixed[carbon]
	}
	return []lp.Term{{Var: m.peak, By: 1}}, 0
}

func (m *model) aim(a aim) {
	if a.measure == "" {
		return
	}
	terms, constant := m.of(a.measure)
	for _, t := range terms {
		m.prog.Cost(t.Var, a.each*t.By)
	}
	if !math.IsInf(a.most, 1) && len(terms) > 0 {
		m.row(tag{capped, 0, 0}, math.Inf(-1), a.most-constant, terms...)
	}
}

// Point is one of a front.
type Point struct {
	Measure float64
	// Money is what is earned, the measure's own money left out.
	Money float64
	// Rate is the money that one unit less of the measure takes here, at least.
	Rate float64
	Plan *Plan
}

// Front is what can be earned at most for each value of a measure, from the least value there is to
// the one that money alone asks for, in so many points (at least 2): each is the optimum under a bound of the
// measure (ε-constraint; Y. Haimes and others, IEEE Trans. SMC 1(3), 1971).
func (p *Portfolio) Front(ctx context.Context, x Measure, points int) ([]Point, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if p.Risk.Weight > 0 || p.Risk.Budget > 0 {
		return nil, wrong("a front is one of expected money: take risk away")
	}
	points = max(points, 2)
	at := func(a aim) (Point, error) {
		a.measure = x
		f, bound, nodes, err := search(ctx, p, a)
		if err != nil {
			return Point{}, err
		}
		plan := f.plan(bound, nodes)
		terms, constant := f.m.of(x)
		out := Point{Plan: plan, Measure: sum(terms, f.s.X) + constant}
		if x == Peak { // the variable may lie above it where it costs nothing
			out.Measure = plan.PeakMW
		}
		for r, g := range f.m.rows {
			if g.kind == capped {
				out.Rate = -f.s.Y[r]
			}
		}
		total := plan.Totals
		switch x {
		case Wear:
			total.Wear = 0
		case Carbon:
			total.Carbon = 0
		case Peak:
			total.Demand = 0
		}
		out.Money = total.Sum()
		plan.Value, plan.AtMost = plan.Totals.Sum(), plan.Totals.Sum()+max(0, f.cost-bound)
		return out, nil
	}
	inf := math.Inf(1)
	free, err := at(aim{most: inf, each: 0, money: 1})
	if err != nil {
		return nil, err
	}
	least, err := at(aim{most: inf, each: 1, money: 0})
	if err != nil {
		return nil, err
	}
	span := free.Measure - least.Measure
	if !(span > nothing*(math.Abs(least.Measure)+math.Abs(free.Measure))) {
		return []Point{free}, nil // nothing to choose
	}
	// A bound at the least itself would leave no room to move in: of the plans of the least the best one is found by weights.
	first := least
	if more := free.Money - least.Money; more > 0 {
		if first, err = at(aim{most: inf, each: 1, money: touch * span / more}); err != nil {
			return nil, err
		}
	}
	span = free.Measure - first.Measure
	out := []Point{first}
	for k := 1; k < points; k++ {
		one, err := at(aim{most: first.Measure + span*float64(k)/float64(points-1), money: 1})
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	if out[1].Measure > first.Measure { // with less, money falls no slower than it rises with more
		out[0].Rate = (out[1].Money - first.Money) / (out[1].Measure - first.Measure)
	}
	return out, nil
}

// touch is what money counts where a front begins, of the mean of what it takes along the front.
const touch = 1e-3
