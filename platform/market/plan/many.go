package plan

import (
	"context"
	"errors"
	"math"

	"yunchu/platform/market/fleet"
	"yunchu/platform/market/lp"
	"yunchu/platform/market/spread"
)

// A portfolio of many sites that share limits and is otherwise plain is solved by what it is made of, see package
// fleet. What comes of it is a solution of the same linear program, with the same prices, and is judged as one:
// where it is not as good as the general method's, that is used.
const (
	manySites  = 150
	mostShared = 500  // rows of limits
	asGood     = 1e-7 // gap, and what a row is missed by, relative
)

// errGeneral says that the general method is needed.
var errGeneral = errors.New("not a matter of prices of limits alone")

// many is what package fleet makes of a model. The error is errGeneral where the model has more than that knows or nothing
// good enough was found, lp.ErrInfeasible where the limits are proven to be too close, and that of the context.
func (m *model) many(ctx context.Context) (*lp.Solution, error) {
	if len(m.sites) < manySites || !m.plain() {
		return nil, errGeneral
	}
	problem := fleet.Problem{Intervals: m.n}
	shared := m.limits(&problem)
	costs := m.prog.Reduced(make([]float64, len(m.rows)))
	stores, can := make([]fleet.Store, len(m.sites)), make([]bool, len(m.sites))
	spread.Over(len(m.sites), func(i int) {
		if m.sites[i].ch != nil {
			stores[i], can[i] = m.store(i, costs)
		}
	})
	place := make([]int, len(m.sites)) // of its store, plus 1
	for i := range m.sites {
		if m.sites[i].ch == nil {
			continue
		}
		if !can[i] {
			return nil, errGeneral
		}
		problem.Stores = append(problem.Stores, stores[i])
		place[i] = len(problem.Stores)
	}
	for l, limit := range m.p.Limits {
		for _, i := range limit.Sites {
			if k := place[i]; k > 0 {
				problem.Stores[k-1].Limits = append(problem.Stores[k-1].Limits, l)
			}
		}
	}
	var s *fleet.Solution
	switch {
	case len(problem.Stores) == 0: // there is nothing to decide
		s = &fleet.Solution{Price: make([][]float64, len(problem.Limits))}
		for l := range s.Price {
			s.Price[l] = make([]float64, m.n)
		}
	case shared == 0 || shared > mostShared:
		return nil, errGeneral
	default:
		var err error
		if s, err = problem.Solve(ctx); errors.Is(err, fleet.ErrLimits) {
			return nil, lp.ErrInfeasible
		} else if ctx.Err() != nil {
			return nil, err
		} else if err != nil {
			return nil, errGeneral
		}
	}
	variables, rows := m.prog.Size()
	x, y := make([]float64, variables), make([]float64, rows)
	edges := map[[2]int]edge{}
	for r, g := range m.rows {
		switch at := [2]int{g.of, g.t}; g.kind {
		case feeder:
			y[r] = -s.Price[g.of][g.t]
		case importLimit:
			e := edges[at]
			e.most = lp.Row(r) + 1
			edges[at] = e
		case exportLimit:
			e := edges[at]
			e.least = lp.Row(r) + 1
			edges[at] = e
		}
	}
	spread.Over(len(place), func(i int) {
		if k := place[i]; k > 0 {
			m.moves(i, &problem.Stores[k-1], s.Power[k-1], s.Worth[k-1], x, y, costs, s.Price, edges)
		} else {
			m.still(i, x, y, costs)
		}
	})
	out := m.prog.Judge(x, y)
	if out.Objective-out.Bound > asGood*(1+math.Abs(out.Objective)) || out.Missed > asGood*m.all() {
		return nil, errGeneral
	}
	return out, nil
}

// edge are the rows of a site's limits of import and of export, plus 1.
type edge struct{ most, least lp.Row }

// plain is whether there is nothing but stores, tariffs and limits.
func (m *model) plain() bool {
	p := m.p
	if !m.free || len(m.worlds) > 1 || len(p.Products) > 0 || p.Position != nil || p.Risk.Weight > 0 || p.Risk.Budget > 0 || m.peak != none {
		return false
	}
	for _, g := range m.rows {
		if g.kind == capped {
			return false
		}
	}
	for i := range p.Sites {
		s, o := &p.Sites[i], &m.worlds[0].sites[i]
		if len(o.peaks) > 0 || len(s.Battery.Wear) > 1 || s.Battery.Held != nil {
			return false
		}
		for t, cur := range o.cur {
			if cur != none || o.Buy[t] < o.sell(t) {
				return false
			}
		}
	}
	return true
}

// limits gives a problem those of the portfolio, as far as they can bind, and returns of how many intervals.
func (m *model) limits(to *fleet.Problem) (shared int) {
	inf := math.Inf(1)
	for range m.p.Limits {
		l := fleet.Limit{Least: make([]float64, m.n), Most: make([]float64, m.n)}
		for t := range m.n {
			l.Least[t], l.Most[t] = -inf, inf
		}
		to.Limits = append(to.Limits, l)
	}
	for r, g := range m.rows {
		if g.kind == feeder {
			l := &to.Limits[g.of]
			l.Least[g.t], l.Most[g.t] = m.prog.RowBounds(lp.Row(r))
			shared++
		}
	}
	return shared
}

// tariff is what moves of the battery cost in an interval: of a MW in and out, without what the grid charges, which
// is more and less; the first MW of each change the sign of what the site takes, or do nothing to it.
type tariff struct {
	in, out    float64 // costs of a MW, wear with the latter
	buy, sell  float64 // of a MW, 0 where the battery has them as its own
	base       float64 // MW that the site takes without the battery
	separately bool    // grid has variables of its own
}

func (m *model) tariff(i, t int, costs []float64) tariff {
	v, o, b := &m.sites[i], &m.worlds[0].sites[i], &m.p.Sites[i].Battery
	out := tariff{in: costs[v.ch[t]], out: costs[v.dis[t]], base: o.base(t)}
	if len(v.segments) > 0 {
		out.out += costs[v.segments[0][t]] * m.h / b.Out
	}
	if o.imp[t] != none {
		out.buy, out.sell, out.separately = costs[o.imp[t]], -costs[o.exp[t]], true
	}
	return out
}

// base is what a site takes without its battery.
func (o *Outlook) base(t int) (sum float64) {
	if o.Load != nil {
		sum += o.Load[t]
	}
	if o.PV != nil {
		sum -= o.PV[t]
	}
	return sum
}

// store is the battery of a site. What it does on either side of the site's exchange of nothing has another price, so that it
// is two units each.
func (m *model) store(i int, costs []float64) (fleet.Store, bool) {
	site, v := &m.p.Sites[i], &m.sites[i]
	b := &site.Battery
	out := fleet.Store{Start: b.Start, Least: b.Least, Most: b.Most, End: fleet.End{
		Least: max(b.Least, b.End.Least), Most: min(b.Most, b.End.Most), Price: -costs[v.stored[m.n]],
	}}
	for t := range m.n {
		x := m.tariff(i, t, costs)
		room, give := site.ImportMW-x.base, site.ExportMW+x.base
		in, forth := min(b.ChargeMW, max(room, 0)), min(b.DischargeMW, max(give, 0))
		mustIn, mustOut := max(0, -give), max(0, -room)
		if mustIn > b.ChargeMW || mustOut > b.DischargeMW {
			return out, false
		}
		add := func(first, all, least, before, after, stores, takes float64) {
			first = min(max(first, 0), all)
			for _, u := range []fleet.Unit{
				{Least: min(least, first), Most: first, Cost: before},
				{Least: max(0, least-first), Most: all - first, Cost: after},
			} {
				if u.Most > 0 {
					u.At, u.Stores, u.Takes = t, stores, takes
					out.Units = append(out.Units, u)
				}
			}
		}
		add(-x.base, in, mustIn, x.in+x.sell, x.in+x.buy, m.h*b.In, 1)
		add(x.base, forth, mustOut, x.out-x.buy, x.out-x.sell, -m.h/b.Out, -1)
	}
	return out, true
}

// still is a site without a battery.
func (m *model) still(i int, x, y, costs []float64) {
	o := &m.worlds[0].sites[i]
	for t, imp := range o.imp {
		if imp == none {
			continue
		}
		net := o.base(t)
		x[imp], x[o.exp[t]] = max(net, 0), max(-net, 0)
		if y[o.grid[t]] = -costs[imp]; net < 0 {
			y[o.grid[t]] = costs[o.exp[t]]
		}
	}
}

// moves writes down what a store does, and the prices that go with it.
func (m *model) moves(i int, s *fleet.Store, power, worth, x, y, costs []float64, prices [][]float64, edges map[[2]int]edge) {
	site, v, o := &m.p.Sites[i], &m.sites[i], &m.worlds[0].sites[i]
	b, held, least := &site.Battery, s.Start, nothing*m.most(i)
	x[v.stored[0]] = held
	u := 0
	for t := range m.n {
		in, out := 0.0, 0.0
		for ; u < len(s.Units) && s.Units[u].At == t; u++ {
			if s.Units[u].Takes > 0 {
				in += power[u]
			} else {
				out += power[u]
			}
		}
		held = min(max(held+m.h*(b.In*in-out/b.Out), s.Least), s.Most)
		x[v.ch[t]], x[v.dis[t]], x[v.stored[t+1]] = in, out, held
		y[v.balance[t]] = worth[t]
		if len(v.segments) > 0 {
			x[v.filled[0][t]], x[v.segments[0][t]], x[v.held[0][t]] = m.h*b.In*in, m.h*out/b.Out, held
			y[v.taken[t]] = -costs[v.segments[0][t]]
		}
		shared := 0.0
		for _, l := range s.Limits {
			shared += prices[l][t]
		}
		// What a MW more costs of both, at a price of 0 at the grid.
		k := m.tariff(i, t, costs)
		charge, discharge := k.in-worth[t]*m.h*b.In+shared, k.out+worth[t]*m.h/b.Out-shared
		net := k.base + in - out
		if k.separately {
			x[o.imp[t]], x[o.exp[t]] = max(net, 0), max(-net, 0)
			price := k.buy
			switch {
			case net < -least:
				price = k.sell
			case net > least:
			case in > 0:
				price = min(max(-charge, k.sell), k.buy)
			case out > 0:
				price = min(max(discharge, k.sell), k.buy)
			default: // so that neither pays
				price = min(max((discharge-charge)/2, k.sell), k.buy)
			}
			y[o.grid[t]] = -price
			charge, discharge = charge+price, discharge-price
		}
		// Limits of the site have the price of what they stop.
		e := edges[[2]int{i, t}]
		switch {
		case e.most > 0 && net > site.ImportMW-least && min(charge, -discharge) < 0 && (in > 0 && in < b.ChargeMW-least || out > 0):
			y[e.most-1] = min(charge, 0)
			if out > 0 {
				y[e.most-1] = min(-discharge, 0)
			}
		case e.least > 0 && net < least-site.ExportMW && (out > 0 && out < b.DischargeMW-least || in > 0):
			y[e.least-1] = max(-discharge, 0)
			if in > 0 {
				y[e.least-1] = max(charge, 0)
			}
		}
	}
}
