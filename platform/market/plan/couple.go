package plan

import (
	"context"
	"errors"
	"math"

	"yunchu/platform/market/lp"
	"yunchu/platform/market/spread"
)

// common writes down what ties the sites together in a world.
func (m *model) common(k int) {
	w := &m.worlds[k]
	for x := range m.p.Limits {
		m.limit(w, x)
	}
	all := m.all()
	if x := m.p.Position; x != nil {
		for t := range m.n {
			most := all + math.Abs(x.Sold[t])
			short, long := m.variable(tag{}, 0, most), m.variable(tag{}, 0, most)
			w.short, w.long = append(w.short, short), append(w.long, long)
			terms, constant := m.total(w, t)
			m.row(tag{}, -constant-x.Sold[t], -constant-x.Sold[t], append(terms, lp.Term{Var: short, By: -1}, lp.Term{Var: long, By: 1})...)
			m.costs(w, energy, []lp.Term{{Var: short, By: 1}}, m.h*x.Short[t], 0)
			m.costs(w, energy, []lp.Term{{Var: long, By: 1}}, -m.h*x.Long[t], 0)
		}
	}
	if m.peak != none {
		for t := range m.n {
			terms, constant := m.total(w, t)
			m.row(tag{}, math.Inf(-1), -constant, append(terms, lp.Term{Var: m.peak, By: -1})...)
		}
	}
}

// together is what the sites of a limit take in an interval: terms as scheduled and with everything called that has them take
// more, or less; beside them what is certain, and what batteries and PV that is turned down can add at most either way.
type together struct {
	more, less            []lp.Term
	constant, most, least float64
	up, down              float64 // promised
}

// limit writes down one of some sites in a world. Sites are gone through for several intervals at a time, as what they are lies
// together by site.
func (m *model) limit(w *world, x int) {
	const atOnce = 8
	l, inf := &m.p.Limits[x], math.Inf(1)
	sums := make([]together, m.n)
	spread.Over((m.n+atOnce-1)/atOnce, func(part int) {
		var at few
		from, to := part*atOnce, min((part+1)*atOnce, m.n)
		for t := from; t < to; t++ {
			sums[t].more = make([]lp.Term, 0, 2*len(l.Sites))
		}
		for _, i := range l.Sites {
			b := &m.p.Sites[i].Battery
			for t := from; t < to; t++ {
				s := &sums[t]
				scheduled, _, c := m.net(&at, w, i, t)
				s.more = append(append(s.more, scheduled...), m.offered(i, t, false)...)
				if len(m.p.Products) > 0 {
					s.less = append(append(s.less, scheduled...), m.offered(i, t, true)...)
				}
				s.constant += c
				d, u := m.p.Sites[i].promised(t)
				s.up, s.down = s.up+u, s.down+d
				s.most, s.least = s.most+b.ChargeMW, s.least+b.DischargeMW
				if w.sites[i].cur[t] != none {
					s.most += w.sites[i].PV[t]
				}
			}
		}
	})
	for t := range sums {
		s := &sums[t]
		importing, exporting := s.constant+s.most+s.down > l.ImportMW, s.least+s.up-s.constant > l.ExportMW
		lo, hi := s.up-l.ExportMW-s.constant, l.ImportMW-s.constant-s.down
		if !importing {
			hi = inf
		}
		if !exporting {
			lo = -inf
		}
		switch {
		case !importing && !exporting:
		case len(m.p.Products) == 0:
			m.row(tag{feeder, x, t}, lo, hi, s.more...)
		default:
			if importing {
				m.row(tag{feeder, x, t}, -inf, hi, s.more...)
			}
			if exporting {
				m.row(tag{feeder, x, t}, lo, inf, s.less...)
			}
		}
	}
}

// all is more than all sites together take or give.
func (m *model) all() (sum float64) {
	for i := range m.p.Sites {
		sum += m.most(i)
	}
	return sum
}

// total is what all sites are expected to take.
func (m *model) total(w *world, t int) (terms []lp.Term, constant float64) {
	var at few
	for i := range m.p.Sites {
		_, expected, c := m.net(&at, w, i, t)
		terms = append(terms, expected...)
		constant += c
	}
	return terms, constant
}

// shares bounds what is offered of each product by all, or holds it to what has been committed.
func (m *model) shares() {
	for k, x := range m.p.Products {
		for t := range m.n {
			var terms []lp.Term
			for i := range m.sites {
				if v := &m.sites[i]; v.offers != nil {
					terms = append(terms, lp.Term{Var: v.offers[k].ch[t], By: 1}, lp.Term{Var: v.offers[k].dis[t], By: 1})
				}
			}
			switch {
			case t < len(x.Committed):
				short := m.variable(tag{}, 0, x.Committed[t])
				m.cost(product, short, m.h*x.Penalty)
				m.row(tag{committed, k, t}, x.Committed[t], x.Committed[t], append(terms, lp.Term{Var: short, By: 1})...)
			case !math.IsInf(x.MostMW, 1) && len(terms) > 0:
				m.row(tag{asked, k, t}, math.Inf(-1), x.MostMW, terms...)
			}
		}
	}
}

// risk writes down what is counted of bad outcomes, and returns its cost.
func (m *model) risk() (tail []lp.Term) {
	r, inf := m.p.Risk, math.Inf(1)
	if r.Weight > 0 {
		at := m.variable(tag{}, -inf, inf)
		tail = append(tail, lp.Term{Var: at, By: r.Weight})
		for k := range m.worlds {
			w := &m.worlds[k]
			over := m.variable(tag{}, 0, inf)
			m.row(tag{}, w.fixed, inf, append(times(w.costs, -1), lp.Term{Var: over, By: 1}, lp.Term{Var: at, By: 1})...)
			tail = append(tail, lp.Term{Var: over, By: r.Weight * w.weight / (1 - r.Level)})
		}
	}
	if r.Budget > 0 {
		each := m.variable(tag{}, 0, inf)
		tail = append(tail, lp.Term{Var: each, By: r.Budget})
		for t := range m.n {
			worse, size := m.variable(tag{}, 0, inf), m.variable(tag{}, 0, m.all())
			tail = append(tail, lp.Term{Var: worse, By: 1})
			terms, constant := m.total(&m.worlds[0], t)
			m.row(tag{}, constant, inf, append(times(terms, -1), lp.Term{Var: size, By: 1})...)
			m.row(tag{}, -constant, inf, append(times(terms, 1), lp.Term{Var: size, By: 1})...)
			m.row(tag{}, 0, inf, lp.Term{Var: each, By: 1}, lp.Term{Var: worse, By: 1}, lp.Term{Var: size, By: -m.h * math.Abs(r.Deviation[t])})
		}
	}
	return tail
}

// share of the mean price of energy that deciding between equal plans may cost, for each MWh moved.
const tieShare = 1e-7

// finish adds the costs up.
func (m *model) finish(a aim, tail []lp.Term) {
	mean, count := 0.0, 0
	for k := range m.worlds {
		for i := range m.worlds[k].sites {
			for _, price := range m.worlds[k].sites[i].Buy {
				mean, count = mean+math.Abs(price), count+1
			}
		}
	}
	mean = tieShare * mean / float64(max(count, 1))
	for k := range m.ties {
		m.ties[k].cost *= mean * m.h
	}
	for i := range m.sites {
		// Of equal plans the one that moves less, and earlier, and equal batteries alike.
		b := &m.p.Sites[i].Battery
		for t := range m.sites[i].ch {
			cost := mean * m.h * (0.1 + 0.9*float64(t)/float64(m.n))
			for _, x := range []struct {
				v    lp.Var
				most float64
			}{{m.sites[i].ch[t], b.ChargeMW}, {m.sites[i].dis[t], b.DischargeMW}} {
				if x.most > 0 {
					m.ties = append(m.ties, tie{x.v, cost, 0.01 * mean * m.h / x.most})
				}
			}
		}
	}
	for k := range kinds {
		weight := m.weight(k)
		if m.p.Risk.Weight > 0 && (k == energy || k == demand || k == carbon) {
			weight *= 1 - m.p.Risk.Weight
		}
		for _, t := range m.terms[k] {
			m.prog.Cost(t.Var, weight*a.counts(k)*t.By)
		}
	}
	for _, t := range tail {
		m.prog.Cost(t.Var, t.By)
	}
	m.aim(a)
}

// solve finds the optimum; bound is of the cost without ties, which no plan goes below.
func (m *model) solve(ctx context.Context) (s *lp.Solution, bound float64, err error) {
	for _, t := range m.ties {
		m.prog.Cost(t.v, t.cost)
		m.prog.Square(t.v, t.square)
	}
	if s, err = m.many(ctx); errors.Is(err, errGeneral) {
		m.prog.Near = 1e-11 // so near that ties decide
		s, err = m.prog.Solve(ctx)
	}
	for _, t := range m.ties {
		m.prog.Cost(t.v, -t.cost)
		m.prog.Square(t.v, -t.square)
	}
	if err != nil {
		return nil, 0, err
	}
	return s, m.prog.Bound(s.Y), nil
}

// sum is what terms come to.
func sum(terms []lp.Term, x []float64) (total float64) {
	for _, t := range terms {
		total += t.By * x[t.Var]
	}
	return total
}
