package plan

import (
	"math"
	"slices"

	"yunchu/platform/market/lp"
)

// kind is what a cost is for.
type kind int

const (
	energy  kind = iota
	product      // less what is paid for capacity that is not kept
	wear         // and variable cost
	demand
	carbon // in t
	ending // less what is stored at the end is worth
	kinds
)

// way is what a battery or a grid connection may do in an interval.
type way int8

const (
	either way = iota // both at once, as far as the program goes
	shared            // both, but of each only so much of its power as the other leaves
	in                // charge, import
	out
)

const none = lp.Var(-1)

// little is a part of a site's power that is small.
const little = 1e-3

// model is a portfolio as a linear program.
type model struct {
	p     *Portfolio
	n     int
	h     float64
	free  bool // nothing is said of ways
	prog  lp.Problem
	ties  []tie
	terms [kinds][]lp.Term // cost by kind
	fixed [kinds]float64   // that no decision changes

	sites  []siteVars
	worlds []world
	peak   lp.Var // the most that all sites take together, where that is asked for

	rows, bounds []tag // what rows and upper or lower bounds of variables are
}

// tie is a cost that decides between plans of equal value.
type tie struct {
	v            lp.Var
	cost, square float64
}

// siteVars are what is decided at a site before anything is known.
type siteVars struct {
	ch, dis, stored []lp.Var   // nil without a battery
	balance         []lp.Row   // of the store, by interval
	put, taken      []lp.Row   // of its slices of depth
	segments, held  [][]lp.Var // what is taken of each slice, and what is in it after that
	filled          [][]lp.Var // what is put into each slice
	offers          []offer    // by product
	moves           []lp.Var   // what the battery takes with calls, where a variable stands for it
}

// offer is capacity kept while charging and while discharging, by interval.
type offer struct{ ch, dis []lp.Var }

// world is how it may come.
type world struct {
	weight float64
	sites  []worldSite
	costs  []lp.Term // what differs between worlds
	fixed  float64

	short, long []lp.Var // of the position, by interval
}

type worldSite struct {
	Outlook
	cur, imp, exp []lp.Var // turned down of PV; exchange, where it has variables of its own: exp none where imp is net
	grid          []lp.Row // of the exchange, where it has variables of its own
	peaks         []lp.Var // by demand charge
}

// newModel writes the program down. ways are what batteries and connections may do, see ways.
func newModel(p *Portfolio, w *ways, aim aim) *model {
	m := &model{p: p, n: p.Intervals, h: p.Hours, free: len(w.batteries)+len(w.grids) == 0}
	total := 0.0
	for _, s := range p.Scenarios {
		total += s.Weight
	}
	for _, s := range p.Scenarios {
		m.worlds = append(m.worlds, world{weight: s.Weight / total, sites: outlooks(s.Sites)})
	}
	if len(p.Scenarios) == 0 {
		list := make([]Outlook, len(p.Sites))
		for i := range list {
			list[i] = p.Sites[i].Outlook
		}
		m.worlds = []world{{weight: 1, sites: outlooks(list)}}
	}
	m.sites, m.peak = make([]siteVars, len(p.Sites)), none
	m.grow()
	if aim.measure == Peak {
		m.peak = m.variable(tag{}, -m.all(), m.all())
	}
	for i := range p.Sites {
		m.battery(i, w)
	}
	for k := range m.worlds {
		for i := range p.Sites {
			m.exchange(k, i, w)
		}
		m.common(k)
	}
	m.shares()
	tail := m.risk()
	m.finish(aim, tail)
	return m
}

// grow makes room for about what the program will have.
func (m *model) grow() {
	each := 0
	for i := range m.p.Sites {
		each += len(m.worlds) // of the exchange
		if b := &m.p.Sites[i].Battery; b.there() {
			each += 3 + 3*len(b.Wear) + 2*len(m.p.Products)
		}
	}
	variables, rows := each*m.n+len(m.p.Sites), each*m.n
	m.prog.Grow(variables, rows)
	m.bounds, m.rows = slices.Grow(m.bounds, variables), slices.Grow(m.rows, rows)
	m.terms[energy], m.terms[wear] = slices.Grow(m.terms[energy], rows), slices.Grow(m.terms[wear], rows)
	m.ties = slices.Grow(m.ties, 2*m.n*len(m.p.Sites))
}

func outlooks(list []Outlook) []worldSite {
	out := make([]worldSite, len(list))
	for i := range list {
		out[i].Outlook = list[i]
	}
	return out
}

func (m *model) variable(g tag, lo, hi float64) lp.Var {
	m.bounds = append(m.bounds, g)
	return m.prog.Var(lo, hi, 0)
}

func (m *model) row(g tag, lo, hi float64, terms ...lp.Term) lp.Row {
	m.rows = append(m.rows, g)
	return m.prog.Row(lo, hi, terms...)
}

func (m *model) cost(k kind, v lp.Var, by float64) {
	if by != 0 {
		m.terms[k] = append(m.terms[k], lp.Term{Var: v, By: by})
	}
}

// costs of a world are expected ones, and counted for its outcome where risk is.
func (m *model) costs(w *world, k kind, terms []lp.Term, by, constant float64) {
	weight := m.weight(k)
	for _, t := range terms {
		m.cost(k, t.Var, w.weight*by*t.By)
		if m.p.Risk.Weight > 0 {
			w.costs = append(w.costs, lp.Term{Var: t.Var, By: weight * by * t.By})
		}
	}
	m.fixed[k] += w.weight * by * constant
	w.fixed += weight * by * constant
}

// weight is what a unit of a kind counts.
func (m *model) weight(k kind) float64 {
	switch k {
	case wear:
		return m.p.Weights.Wear
	case demand:
		return m.p.Weights.Demand
	case carbon:
		return m.p.CarbonPrice
	}
	return 1
}

// few is memory for some terms.
type few [3]lp.Term

// net is what a site takes, as it is scheduled and as it is expected with calls; the former may lie in at.
func (m *model) net(at *few, w *world, i, t int) (scheduled, expected []lp.Term, constant float64) {
	scheduled = at[:0]
	v, o := &m.sites[i], &w.sites[i]
	if o.Load != nil {
		constant += o.Load[t]
	}
	if o.PV != nil {
		constant -= o.PV[t]
	}
	if o.cur != nil && o.cur[t] != none {
		scheduled = append(scheduled, lp.Term{Var: o.cur[t], By: 1})
	}
	if v.ch != nil {
		scheduled = append(scheduled, lp.Term{Var: v.ch[t], By: 1}, lp.Term{Var: v.dis[t], By: -1})
	}
	if v.ch == nil || len(m.p.Products) == 0 {
		return scheduled, scheduled, constant
	}
	expected = append(expected, scheduled...)
	for k, x := range m.p.Products {
		called := x.Called
		if x.Up {
			called = -called
		}
		if called != 0 {
			expected = append(expected, lp.Term{Var: v.offers[k].ch[t], By: called}, lp.Term{Var: v.offers[k].dis[t], By: called})
		}
	}
	return scheduled, expected, constant
}

// offered are what a site would take more, or less, with everything called.
func (m *model) offered(i, t int, up bool) (terms []lp.Term) {
	by := 1.0
	if up {
		by = -1
	}
	for k, x := range m.p.Products {
		if v := &m.sites[i]; x.Up == up && v.offers != nil {
			terms = append(terms, lp.Term{Var: v.offers[k].ch[t], By: by}, lp.Term{Var: v.offers[k].dis[t], By: by})
		}
	}
	return terms
}

// exchange writes down what a site takes from the grid in a world, within its limits, and what that costs.
func (m *model) exchange(k, i int, ways *ways) {
	s, w := &m.p.Sites[i], &m.worlds[k]
	o, b := &w.sites[i], &s.Battery
	var at few
	o.cur, o.imp, o.exp, o.grid = vars(m.n), vars(m.n), vars(m.n), make([]lp.Row, m.n)
	first := m.alike(k, i)
	if first < k { // the peaks are the same, and their rows would tie all intervals of each world together
		o.peaks = m.worlds[first].sites[i].peaks
	}
	for at, d := range s.Demand {
		if first == k {
			o.peaks = append(o.peaks, m.variable(tag{}, d.SoFar, max(d.SoFar, m.most(i))))
		}
		m.costs(w, demand, []lp.Term{{Var: o.peaks[at], By: 1}}, d.PerMW, -d.SoFar)
	}
	size := m.most(i)
	for t := range m.n {
		if s.Curtail && o.PV != nil && o.PV[t] > nothing*size {
			o.cur[t] = m.variable(tag{pv, i, t}, 0, o.PV[t])
			m.ties = append(m.ties, tie{v: o.cur[t], cost: 1})
		}
		scheduled, expected, constant := m.net(&at, w, i, t)
		most, least := constant+b.ChargeMW, constant-b.DischargeMW // of what it can take
		if o.cur[t] != none {
			most += o.PV[t]
		}
		reach := func(up bool, lo, hi float64, g tag) {
			terms := m.offered(i, t, up)
			if len(terms)+len(scheduled) > 0 || lo > 0 || hi < 0 {
				m.row(g, lo, hi, append(terms, scheduled...)...)
			}
		}
		more, less := s.promised(t)
		if most+more > s.ImportMW {
			reach(false, math.Inf(-1), s.ImportMW-constant-more, tag{importLimit, i, t})
		}
		if less-least > s.ExportMW {
			reach(true, less-s.ExportMW-constant, math.Inf(1), tag{exportLimit, i, t})
		}
		buy, sell := o.Buy[t], o.sell(t)
		// Of import and of export; a range of next to nothing is none for the solver.
		most, least = atLeast(most, little*size), atLeast(-least, little*size)
		if buy == sell {
			m.costs(w, energy, m.flow(i, t, o, expected), m.h*buy, constant)
		} else {
			way := ways.grid(k, i, t)
			switch way {
			case in:
				least = 0
			case out:
				most = 0
			}
			// Twice that, so that what is bounded at full power is the battery, and the price is the market's.
			o.imp[t], o.exp[t] = m.variable(tag{}, 0, 2*most), m.variable(tag{}, 0, 2*least)
			if way == shared && most > 0 && least > 0 {
				m.row(tag{}, math.Inf(-1), 1, lp.Term{Var: o.imp[t], By: 1 / most}, lp.Term{Var: o.exp[t], By: 1 / least})
			}
			m.costs(w, energy, []lp.Term{{Var: o.imp[t], By: 1}}, m.h*buy, 0)
			m.costs(w, energy, []lp.Term{{Var: o.exp[t], By: 1}}, -m.h*sell, 0)
			o.grid[t] = m.row(tag{}, -constant, -constant, append([]lp.Term{{Var: o.imp[t], By: -1}, {Var: o.exp[t], By: 1}}, expected...)...)
		}
		if s.Carbon != nil {
			m.costs(w, carbon, expected, m.h*s.Carbon[t], constant)
		}
		for d, peak := range o.peaks {
			if in := s.Demand[d].Within; first == k && (in == nil || in[t]) {
				m.row(tag{peakSoFar, i, t}, math.Inf(-1), -constant, append([]lp.Term{{Var: peak, By: -1}}, expected...)...)
			}
		}
	}
}

// alike is the first world in which a site takes the same as in k whatever the prices are: load and PV are the same, and nothing
// of it can be turned down.
func (m *model) alike(k, i int) int {
	o := &m.worlds[k].sites[i]
	if m.p.Sites[i].Curtail && o.PV != nil {
		return k
	}
	for first := range k {
		if x := &m.worlds[first].sites[i]; slices.Equal(x.Load, o.Load) && slices.Equal(x.PV, o.PV) {
			return first
		}
	}
	return k
}

// atLeast is x, or least where there is less of it; what is not above 0 is nothing.
func atLeast(x, least float64) float64 {
	if x <= 0 {
		return 0
	}
	return max(x, least)
}

// promised is what a site would take more and less on call, of what has been offered without being decided here.
func (s *Site) promised(t int) (more, less float64) {
	if s.more == nil {
		return 0, 0
	}
	return s.more[t], s.less[t]
}

// most is more than a site takes or gives in any world. What has no bound of its own and perhaps no cost has this
// one, or else what is best would reach to infinity.
func (m *model) most(i int) float64 {
	b := &m.p.Sites[i].Battery
	out := 0.0
	for k := range m.worlds {
		o := &m.worlds[k].sites[i]
		for _, list := range [][]float64{o.Load, o.PV} {
			largest := 0.0
			for _, x := range list {
				largest = max(largest, math.Abs(x))
			}
			out = max(out, largest)
		}
	}
	return 1 + b.ChargeMW + b.DischargeMW + 2*out
}

// flow is what a site is expected to take, as few terms: where each world has a row of its own for what it costs,
// one variable stands for what the battery does.
func (m *model) flow(i, t int, o *worldSite, expected []lp.Term) []lp.Term {
	v := &m.sites[i]
	if m.p.Risk.Weight == 0 || v.ch == nil {
		return expected
	}
	if v.moves == nil {
		v.moves = vars(m.n)
	}
	var own []lp.Term
	if o.cur[t] != none {
		own, expected = expected[:1:1], expected[1:]
	}
	if v.moves[t] == none {
		b := &m.p.Sites[i].Battery
		v.moves[t] = m.variable(tag{}, -b.DischargeMW, b.ChargeMW)
		m.row(tag{}, 0, 0, append([]lp.Term{{Var: v.moves[t], By: -1}}, expected...)...)
	}
	return append(own, lp.Term{Var: v.moves[t], By: 1})
}

// sell is the price of export.
func (o *Outlook) sell(t int) float64 { return o.export()[t] }
