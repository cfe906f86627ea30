package plan

import (
	"context"

	"yunchu/platform/market/lp"
	"yunchu/platform/market/spread"
)

// Money is what a plan earns, by what it is for: costs are below 0.
type Money struct {
	Energy, Products, Wear, Demand, Carbon, Ending float64
}

// Sum is all of it.
func (m Money) Sum() float64 {
	return m.Energy + m.Products + m.Wear + m.Demand + m.Carbon + m.Ending
}

// SitePlan is what a site does, by interval.
type SitePlan struct {
	Charge, Discharge []float64   // MW
	Stored            []float64   // MWh at the begin of each interval, and at the end of the last
	Offers            [][]float64 // by product, MW
	Held              [][]float64 // by segment of wear, MWh in it at the end of each interval
	Curtailed, Net    []float64   // MW; of the mean of the scenarios
	Earned            []float64   // with energy and products
	Wear              []float64   // what that costs, variable cost included
	Peaks             []float64   // MW by demand charge; of the mean of the scenarios
	// Price is what a MWh more at the site would cost: the market's price with what limits, peaks and
	// risk add to it. Below is what a MWh bought then is worth later, Above what a MWh sold then costs to replace, wear
	// included: the battery charges where the price is below Below, discharges where it is above Above, and stays idle at any
	// price between. Where several values are right these are some of them: one MWh more may be worth less, one less cost more.
	Price, Below, Above []float64
	Why                 []string
}

// Plan is a schedule and what is to be said of it.
type Plan struct {
	Sites  []SitePlan
	Totals Money // expected, over the scenarios
	CarbonT,
	PeakMW float64 // the most that all sites take together, of the mean of the scenarios
	// Value is what is optimised: the sum of Totals as weighted, less what counts of risk. No plan
	// is worth more than AtMost.
	Value, AtMost float64
	Outcomes      []float64 // by scenario, the sum of what is earned
	Bounds        []Bound   // those that bind, the dearest first
	Nodes         int       // programs that were solved
	// Sold is what Roll has sold, by product and interval, MW; nil: the offers of the sites.
	Sold [][]float64
}

// Best is the plan of the highest value. Its errors are ErrPortfolio and those of package lp: with
// lp.ErrInfeasible no plan keeps to all limits; where one is seen to be too close at once, that is a *TooClose, and where
// batteries are seen not to come to what they have to hold an *OutOfReach. Where the context ends its error is returned within a round
// of the solver, as by all that plans.
func (p *Portfolio) Best(ctx context.Context) (*Plan, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if err := p.tooClose(); err != nil {
		return nil, err
	}
	out := &Plan{Sites: make([]SitePlan, len(p.Sites))}
	for _, sites := range p.apart() {
		f, bound, nodes, err := search(ctx, p.of(sites), aim{})
		if err != nil {
			return nil, err
		}
		out.add(f.plan(bound, nodes), sites)
	}
	out.finish(p.Intervals)
	return out, nil
}

// plan reads a solution.
func (f *found) plan(bound float64, nodes int) *Plan {
	m, x := f.m, f.s.X
	f.tidy()
	if m.p.Risk.Weight > 0 {
		f.exact()
	}
	constant := 0.0
	for k := range kinds {
		weight := m.weight(k)
		if m.p.Risk.Weight > 0 && (k == energy || k == demand || k == carbon) {
			weight *= 1 - m.p.Risk.Weight
		}
		constant += weight * m.fixed[k]
	}
	out := &Plan{Sites: make([]SitePlan, len(m.sites)), Value: -f.cost - constant, AtMost: -bound - constant, Nodes: nodes}
	total := func(k kind) float64 { return -sum(m.terms[k], x) - m.fixed[k] }
	out.Totals = Money{
		Energy: total(energy), Products: total(product), Wear: total(wear), Demand: total(demand),
		Carbon: m.p.CarbonPrice * total(carbon), Ending: total(ending),
	}
	out.CarbonT = -total(carbon)
	for k := range m.worlds {
		out.Outcomes = append(out.Outcomes, out.Totals.Products+out.Totals.Wear+out.Totals.Ending-m.outcome(k, x))
	}
	spread.Over(len(m.sites), func(i int) { f.site(i, &out.Sites[i]) })
	f.explain(out)
	out.finish(m.n)
	return out
}

// outcome is what a world costs: energy, peaks and carbon.
func (m *model) outcome(k int, x []float64) float64 {
	var at few
	w := &m.worlds[k]
	cost := 0.0
	for i := range w.sites {
		o, s := &w.sites[i], &m.p.Sites[i]
		for d, peak := range o.peaks {
			cost += s.Demand[d].PerMW * (x[peak] - s.Demand[d].SoFar)
		}
		for t := range m.n {
			_, expected, constant := m.net(&at, w, i, t)
			net := sum(expected, x) + constant
			cost += m.h * w.sites[i].price(t, net)
			if s.Carbon != nil {
				cost += m.h * m.p.CarbonPrice * s.Carbon[t] * net
			}
		}
	}
	if pos := m.p.Position; pos != nil {
		for t := range m.n {
			terms, constant := m.total(w, t)
			off := sum(terms, x) + constant + pos.Sold[t]
			cost += m.h * (pos.Short[t]*max(off, 0) - pos.Long[t]*max(-off, 0))
		}
	}
	return cost
}

// price is what an exchange costs in an hour.
func (o *Outlook) price(t int, net float64) float64 {
	if net < 0 {
		return o.sell(t) * net
	}
	return o.Buy[t] * net
}

// exact makes of what a program leaves open what it must be. Where all the weight is on bad outcomes the other worlds cost nothing:
// there it may import and export at once, and have a peak that is higher than any of its imports.
func (f *found) exact() {
	var at few
	m, x := f.m, f.s.X
	for k := range m.worlds {
		w := &m.worlds[k]
		for i := range w.sites {
			o, s := &w.sites[i], &m.p.Sites[i]
			for d, peak := range o.peaks {
				x[peak] = s.Demand[d].SoFar
			}
			for t := range m.n {
				_, expected, constant := m.net(&at, w, i, t)
				net := sum(expected, x) + constant
				if o.imp[t] != none {
					x[o.imp[t]], x[o.exp[t]] = max(net, 0), max(-net, 0)
				}
				for d, peak := range o.peaks {
					if in := s.Demand[d].Within; in == nil || in[t] {
						x[peak] = max(x[peak], net)
					}
				}
			}
		}
		for t := range w.short {
			terms, constant := m.total(w, t)
			off := sum(terms, x) + constant + m.p.Position.Sold[t]
			x[w.short[t]], x[w.long[t]] = max(off, 0), max(-off, 0)
		}
	}
}

// tidy takes what the solver leaves of 0 and of the most for that.
func (f *found) tidy() {
	m, x := f.m, f.s.X
	tidy := func(v lp.Var, most float64) {
		if v != none {
			x[v] = clean(x[v], most)
		}
	}
	for i := range m.sites {
		v, b := &m.sites[i], &m.p.Sites[i].Battery
		for t := range v.ch {
			tidy(v.ch[t], b.ChargeMW)
			tidy(v.dis[t], b.DischargeMW)
			if ch, dis := &x[v.ch[t]], &x[v.dis[t]]; *ch > 0 && *dis > 0 { // less than a clash
				if *ch*b.DischargeMW > *dis*b.ChargeMW {
					*dis = 0
				} else {
					*ch = 0
				}
			}
			for k := range v.offers {
				tidy(v.offers[k].ch[t], b.ChargeMW)
				tidy(v.offers[k].dis[t], b.DischargeMW)
			}
		}
	}
	for k := range m.worlds {
		for i := range m.worlds[k].sites {
			o := &m.worlds[k].sites[i]
			for t, v := range o.cur {
				if v != none {
					tidy(v, o.PV[t])
				}
			}
		}
	}
}

// clean is a power without what the solver leaves of 0 and of the most.
func clean(x, most float64) float64 {
	switch {
	case x < nothing*most:
		return 0
	case x > most-nothing*most:
		return most
	}
	return x
}

// site reads what a site does.
func (f *found) site(i int, out *SitePlan) {
	m, x := f.m, f.s.X
	v, s := &m.sites[i], &m.p.Sites[i]
	b := &s.Battery
	var at, of few
	list := func() []float64 { return make([]float64, m.n) }
	*out = SitePlan{
		Charge: list(), Discharge: list(), Stored: make([]float64, m.n+1), Curtailed: list(), Net: list(),
		Earned: list(), Wear: list(), Price: list(), Below: list(), Above: list(), Why: make([]string, m.n), Peaks: make([]float64, len(s.Demand)),
		Offers: make([][]float64, len(m.p.Products)),
	}
	for k := range out.Offers {
		out.Offers[k] = list()
	}
	for range v.held {
		out.Held = append(out.Held, list())
	}
	for t := range m.n {
		for k, list := range v.held {
			out.Held[k][t] = max(0, x[list[t]])
		}
		if v.ch != nil {
			out.Charge[t], out.Discharge[t] = x[v.ch[t]], x[v.dis[t]]
			out.Stored[t], out.Stored[t+1] = x[v.stored[t]], x[v.stored[t+1]]
			for k := range out.Offers {
				out.Offers[k][t] = x[v.offers[k].ch[t]] + x[v.offers[k].dis[t]]
				out.Earned[t] += m.h * m.p.Products[k].Price[t] * out.Offers[k][t]
			}
			_, outside := m.flows(&at, &of, i, t)
			out.Wear[t] = b.VariableCost * b.Out * sum(outside, x)
			for j, list := range v.segments {
				out.Wear[t] += b.Wear[j].PerMWh * x[list[t]]
			}
		}
		for k := range m.worlds {
			w := &m.worlds[k]
			o := &w.sites[i]
			_, expected, constant := m.net(&at, w, i, t)
			net := sum(expected, x) + constant
			out.Net[t] += w.weight * net
			out.Earned[t] -= w.weight * m.h * w.sites[i].price(t, net)
			if o.cur[t] != none {
				out.Curtailed[t] += w.weight * x[o.cur[t]]
			}
			for d, peak := range o.peaks {
				if t == 0 {
					out.Peaks[d] += w.weight * x[peak]
				}
			}
		}
	}
}
