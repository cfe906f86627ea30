package plan

import (
	"math"

	"yunchu/platform/market/lp"
)

// battery writes down what a battery can do, as market.Best has it, with two efficiencies:
//
//	E[t+1] = E[t] + h·(In·(ch − Σu·uc + Σd·dc) − (dis + Σu·ud − Σd·dd)/Out)
func (m *model) battery(i int, w *ways) {
	b, v := &m.p.Sites[i].Battery, &m.sites[i]
	if !b.there() {
		return
	}
	n, inf := m.n, math.Inf(1)
	var terms []lp.Term
	v.ch, v.dis, v.stored, v.balance = vars(n), vars(n), vars(n+1), make([]lp.Row, n)
	v.offers = make([]offer, len(m.p.Products))
	for k := range v.offers {
		v.offers[k] = offer{vars(n), vars(n)}
	}
	for t := range n {
		most, least := b.ChargeMW, b.DischargeMW
		switch w.battery(i, t) {
		case in:
			least = 0
		case out:
			most = 0
		}
		v.ch[t] = m.variable(tag{chargePower, i, t}, 0, most)
		v.dis[t] = m.variable(tag{dischargePower, i, t}, 0, least)
		for k := range m.p.Products {
			v.offers[k].ch[t] = m.variable(tag{}, 0, b.ChargeMW)
			v.offers[k].dis[t] = m.variable(tag{}, 0, b.DischargeMW)
		}
		lo, hi, g := b.Least, b.Most, tag{content, i, t}
		if t == 0 {
			lo, hi, g = b.Start, b.Start, tag{}
		}
		v.stored[t] = m.variable(g, lo, hi)
		if w.battery(i, t) == shared && b.ChargeMW > 0 && b.DischargeMW > 0 {
			m.row(tag{kind: inner}, -inf, 1, lp.Term{Var: v.ch[t], By: 1 / b.ChargeMW}, lp.Term{Var: v.dis[t], By: 1 / b.DischargeMW})
		}
	}
	last := tag{kind: final, of: i, t: n}
	lo, hi := max(b.Least, b.End.Least), min(b.Most, b.End.Most)
	if lo == hi { // the price of what has one value only has two sides
		last = tag{}
	}
	v.stored[n] = m.variable(last, lo, hi)
	m.cost(ending, v.stored[n], -b.End.Price)
	m.fixed[ending] += b.End.Price * b.Start
	var in, out few
	for t := range n {
		inside, outside := m.flows(&in, &out, i, t)
		terms = append(terms[:0], lp.Term{Var: v.stored[t+1], By: -1}, lp.Term{Var: v.stored[t], By: 1})
		terms = append(terms, inside...)
		for _, x := range outside {
			terms = append(terms, lp.Term{Var: x.Var, By: -x.By})
		}
		v.balance[t] = m.row(tag{kind: inner}, 0, 0, terms...)
		for _, x := range outside {
			m.cost(wear, x.Var, b.VariableCost*b.Out*x.By)
		}
		if len(m.p.Products) > 0 {
			m.room(i, t)
		}
	}
	m.depths(i)
}

func vars(n int) []lp.Var {
	out := make([]lp.Var, n)
	for i := range out {
		out[i] = none
	}
	return out
}

func times(terms []lp.Term, by float64) []lp.Term {
	out := make([]lp.Term, len(terms))
	for k, t := range terms {
		out[k] = lp.Term{Var: t.Var, By: by * t.By}
	}
	return out
}

// flows are what goes into the store and out of it in an interval, MWh, calls included; they may lie in these two.
func (m *model) flows(in, out *few, i, t int) (inside, outside []lp.Term) {
	b, v := &m.p.Sites[i].Battery, &m.sites[i]
	inside = append(in[:0], lp.Term{Var: v.ch[t], By: m.h * b.In})
	outside = append(out[:0], lp.Term{Var: v.dis[t], By: m.h / b.Out})
	for k, x := range m.p.Products {
		if x.Called == 0 {
			continue
		}
		sign := 1.0
		if x.Up {
			sign = -1
		}
		inside = append(inside, lp.Term{Var: v.offers[k].ch[t], By: sign * m.h * b.In * x.Called})
		outside = append(outside, lp.Term{Var: v.offers[k].dis[t], By: -sign * m.h / b.Out * x.Called})
	}
	return inside, outside
}

// room keeps what is offered possible: as power and as energy.
func (m *model) room(i, t int) {
	b, v, inf := &m.p.Sites[i].Battery, &m.sites[i], math.Inf(1)
	less := []lp.Term{{Var: v.ch[t], By: -1}}      // up, while charging: to charge less
	more := []lp.Term{{Var: v.dis[t], By: 1}}      // up, while discharging
	fuller := []lp.Term{{Var: v.ch[t], By: 1}}     // down, while charging
	weaker := []lp.Term{{Var: v.dis[t], By: -1}}   // down, while discharging
	down := []lp.Term{{Var: v.stored[t], By: 1}}   // what is stored after everything was called
	filled := []lp.Term{{Var: v.stored[t], By: 1}} // likewise
	var even []lp.Term
	ups, downs := false, false
	for k, x := range m.p.Products {
		c, d := v.offers[k].ch[t], v.offers[k].dis[t]
		m.cost(product, c, -m.h*x.Price[t])
		m.cost(product, d, -m.h*x.Price[t])
		if x.Up {
			ups = true
			less, more = append(less, lp.Term{Var: c, By: 1}), append(more, lp.Term{Var: d, By: 1})
			down = append(down, lp.Term{Var: c, By: -x.Hours * b.In}, lp.Term{Var: d, By: -x.Hours / b.Out})
			even = append(even, lp.Term{Var: c, By: (1 + b.In) * x.Called}, lp.Term{Var: d, By: 2 * x.Called})
		} else {
			downs = true
			fuller, weaker = append(fuller, lp.Term{Var: c, By: 1}), append(weaker, lp.Term{Var: d, By: 1})
			filled = append(filled, lp.Term{Var: c, By: x.Hours * b.In}, lp.Term{Var: d, By: x.Hours / b.Out})
			even = append(even, lp.Term{Var: c, By: -(1 + b.In) * x.Called}, lp.Term{Var: d, By: -2 * x.Called})
		}
	}
	if ups {
		m.row(tag{kind: inner}, -inf, 0, less...)
		m.row(tag{dischargePower, i, t}, -inf, b.DischargeMW, more...)
		m.row(tag{content, i, t}, b.Least, inf, down...)
	}
	if downs {
		m.row(tag{chargePower, i, t}, -inf, b.ChargeMW, fuller...)
		m.row(tag{kind: inner}, -inf, 0, weaker...)
		m.row(tag{content, i, t}, -inf, b.Most, filled...)
	}
	if m.p.Balanced {
		m.row(tag{kind: inner}, 0, inf, even...)
	}
}

// depths writes down the wear: each slice of depth holds what was put into it, and gives it back at
// its cost.
func (m *model) depths(i int) {
	b, v := &m.p.Sites[i].Battery, &m.sites[i]
	if len(b.Wear) == 0 {
		return
	}
	n, from := m.n, 0.0
	put, taken := make([][]lp.Term, n), make([][]lp.Term, n)
	for k, s := range b.Wear {
		size, full := (s.To-from)*b.MWh, min(max(b.Start-from*b.MWh, 0), (s.To-from)*b.MWh)
		from = s.To
		if b.Held != nil {
			full = b.Held[k]
		}
		held := m.variable(tag{}, full, full)
		list, filled, after := make([]lp.Var, n), make([]lp.Var, n), make([]lp.Var, n)
		for t := range n {
			more, less := m.variable(tag{}, 0, math.Inf(1)), m.variable(tag{}, 0, math.Inf(1))
			next := m.variable(tag{}, 0, size)
			m.row(tag{}, 0, 0, lp.Term{Var: next, By: -1}, lp.Term{Var: held, By: 1}, lp.Term{Var: more, By: 1}, lp.Term{Var: less, By: -1})
			m.cost(wear, less, s.PerMWh)
			put[t], taken[t] = append(put[t], lp.Term{Var: more, By: -1}), append(taken[t], lp.Term{Var: less, By: -1})
			held, list[t], filled[t], after[t] = next, less, more, next
		}
		v.segments, v.filled, v.held = append(v.segments, list), append(v.filled, filled), append(v.held, after)
	}
	var in, out few
	for t := range n {
		inside, outside := m.flows(&in, &out, i, t)
		v.put = append(v.put, m.row(tag{kind: inner}, 0, 0, append(put[t], inside...)...))
		v.taken = append(v.taken, m.row(tag{kind: inner}, 0, 0, append(taken[t], outside...)...))
	}
}
