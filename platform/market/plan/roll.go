package plan

import (
	"context"
	"math"
	"slices"
)

// Rolling is how a plan is made again and again.
type Rolling struct {
	Every, Horizon int // intervals from plan to plan, and that each looks ahead
	Known          int // in how many of them what came is known
	// Keep is what is left after an hour of how far the last that is known was off from what was expected:
	// errors of forecasts persist. 0..1.
	Keep float64
}

// Roll plans again and again as time goes on: every so many intervals for the horizon of so many, with the prices, of energy
// and of products, the loads and the PV that came in the first ones, of which so many are known, and what is expected of
// the rest. Until the next plan each is carried out. Products are sold for a horizon, and again for the next one as soon as a
// plan is carried out beyond what has been sold; what has been sold is kept, and Sold of the plan says what that is.
// Where a horizon ends before all does, what is stored then is worth the median of its prices. Nothing that comes behind what
// is known has a part in what is done and sold until then.
//
// expected and actual are the same portfolio with what is expected and with what came. The plan that
// is returned is what was carried out, with reasons of the moment, and no bounds; what it earned is for
// actual.Settle.
func Roll(ctx context.Context, expected, actual *Portfolio, r Rolling) (*Plan, error) {
	every, horizon, known := r.Every, r.Horizon, r.Known
	n := expected.Intervals
	if every < 1 || horizon < every || known < 0 || known > horizon || !(r.Keep >= 0 && r.Keep <= 1) || actual.Intervals != n || len(actual.Sites) != len(expected.Sites) || len(actual.Products) != len(expected.Products) {
		return nil, wrong("a horizon of %s, planned every %d, %d known, of %d and %d", intervals(horizon), every, known, n, actual.Intervals)
	}
	sold := make([][]float64, len(expected.Products))
	done := &Plan{Sites: make([]SitePlan, len(expected.Sites)), Sold: sold}
	for k := range sold {
		sold[k] = make([]float64, n)
	}
	until := 0 // all intervals before it are sold
	for from := 0; from < n; from += every {
		to, next := min(n, from+horizon), min(n, from+every)
		seen, keep := min(n, from+known), math.Pow(r.Keep, expected.Hours)
		p := expected.part(from, to)
		for i := range p.Sites {
			s := &p.Sites[i]
			s.Outlook = actual.Sites[i].upTo(expected.Sites[i].Outlook, from, seen, to, keep)
			b := &s.Battery
			if from > 0 && b.there() {
				b.resume(&done.Sites[i], from)
			}
			if to < n && b.there() {
				b.End = End{Least: b.Least, Most: b.Most, Price: b.Out * median(s.Buy)}
			}
			for d := range s.Demand {
				x := &s.Demand[d]
				whole := expected.Sites[i].Demand[d].Within
				for t := range from {
					if whole == nil || whole[t] {
						x.SoFar = max(x.SoFar, done.Sites[i].Net[t])
					}
				}
			}
		}
		for k := range p.Products {
			x := &p.Products[k]
			x.Price = upTo(actual.Products[k].Price, expected.Products[k].Price, from, seen, to, keep, math.Inf(-1))
			if from >= until {
				continue
			}
			before := x.Committed // by others
			x.Committed = slices.Clone(sold[k][from:min(until, to)])
			if done := len(x.Committed); done < len(before) {
				x.Committed = append(x.Committed, before[done:]...)
			}
			if x.Penalty == 0 {
				x.Penalty = NotKept(x.Price)
			}
		}
		plan, err := p.Best(ctx)
		if err != nil {
			// What the solver leaves may be what an end that is fixed lacks.
			for i := range p.Sites {
				b := &p.Sites[i].Battery
				b.End.Least, b.End.Most = max(b.Least, b.End.Least-aside*b.MWh), min(b.Most, b.End.Most+aside*b.MWh)
			}
			if plan, err = p.Best(ctx); err != nil {
				return nil, err
			}
		}
		if until < next {
			for k := range sold {
				for i := range plan.Sites {
					for t := max(from, until); t < to; t++ {
						sold[k][t] += plan.Sites[i].Offers[k][t-from]
					}
				}
			}
			until = to
		}
		for i := range plan.Sites {
			done.Sites[i].follow(&plan.Sites[i], next-from)
		}
		done.Nodes += plan.Nodes
	}
	return done, nil
}

// resume begins where what was done has led to, what the solver leaves of bounds taken for the bounds.
func (b *Battery) resume(done *SitePlan, from int) {
	snap := func(x, most float64) float64 {
		switch slight := nothing * b.MWh; {
		case x < slight:
			return 0
		case x > most-slight:
			return most
		}
		return x
	}
	b.Start = b.Least + snap(done.Stored[from]-b.Least, b.Most-b.Least)
	if len(b.Wear) == 0 {
		return
	}
	b.Held = nil
	sum, before := 0.0, 0.0
	for k, held := range done.Held {
		width := (b.Wear[k].To - before) * b.MWh
		before = b.Wear[k].To
		b.Held = append(b.Held, snap(held[from-1], width))
		sum += b.Held[k]
	}
	b.Start = min(max(sum, b.Least), b.Most)
}

// follow carries out the first intervals of a plan after what was done before.
func (s *SitePlan) follow(next *SitePlan, n int) {
	for _, x := range []struct {
		to   *[]float64
		from []float64
	}{
		{&s.Charge, next.Charge},
		{&s.Discharge, next.Discharge},
		{&s.Curtailed, next.Curtailed},
		{&s.Net, next.Net},
		{&s.Earned, next.Earned},
		{&s.Wear, next.Wear},
		{&s.Price, next.Price},
		{&s.Below, next.Below},
		{&s.Above, next.Above},
	} {
		*x.to = append(*x.to, x.from[:n]...)
	}
	s.Why = append(s.Why, next.Why[:n]...)
	if s.Stored == nil {
		s.Stored = []float64{next.Stored[0]}
		s.Offers, s.Held = make([][]float64, len(next.Offers)), make([][]float64, len(next.Held))
		s.Peaks = slices.Clone(next.Peaks)
	}
	s.Stored = append(s.Stored, next.Stored[1:n+1]...)
	for k := range s.Offers {
		s.Offers[k] = append(s.Offers[k], next.Offers[k][:n]...)
	}
	for k := range s.Held {
		s.Held[k] = append(s.Held[k], next.Held[k][:n]...)
	}
	copy(s.Peaks, next.Peaks)
}

// part are the intervals from, to, the last one left out.
func (p *Portfolio) part(from, to int) *Portfolio {
	out := *p
	out.Intervals = to - from
	out.Sites, out.Products = slices.Clone(p.Sites), slices.Clone(p.Products)
	if p.Labels != nil {
		out.Labels = p.Labels[from:to]
	}
	out.Risk.Deviation = cut(p.Risk.Deviation, from, to)
	for i := range out.Sites {
		s := &out.Sites[i]
		s.Outlook = s.part(from, to)
		s.Carbon = cut(s.Carbon, from, to)
		s.Demand = slices.Clone(s.Demand)
		for d := range s.Demand {
			if in := s.Demand[d].Within; in != nil {
				s.Demand[d].Within = in[from:to]
			}
		}
	}
	for k := range out.Products {
		out.Products[k].Price, out.Products[k].Committed = cut(out.Products[k].Price, from, to), cut(out.Products[k].Committed, min(from, len(out.Products[k].Committed)), min(to, len(out.Products[k].Committed)))
	}
	if x := p.Position; x != nil {
		out.Position = &Position{cut(x.Sold, from, to), cut(x.Short, from, to), cut(x.Long, from, to)}
	}
	out.Scenarios = slices.Clone(p.Scenarios)
	for k := range out.Scenarios {
		sites := slices.Clone(out.Scenarios[k].Sites)
		for i := range sites {
			sites[i] = sites[i].part(from, to)
		}
		out.Scenarios[k].Sites = sites
	}
	return &out
}

func (o Outlook) part(from, to int) Outlook {
	return Outlook{cut(o.Buy, from, to), cut(o.Sell, from, to), cut(o.Load, from, to), cut(o.PV, from, to)}
}

func cut(list []float64, from, to int) []float64 {
	if list == nil {
		return nil
	}
	return list[from:to]
}

// upTo is what came up to known and what is expected from there on.
func (o Outlook) upTo(expected Outlook, from, known, to int, keep float64) Outlook {
	join := func(came, comes []float64, least float64) []float64 {
		return upTo(came, comes, from, known, to, keep, least)
	}
	inf := math.Inf(-1)
	var sell []float64 // where it is known alone, or expected alone, the other one is the price of import
	if o.Sell != nil || expected.Sell != nil {
		sell = join(o.export(), expected.export(), inf)
	}
	return Outlook{join(o.Buy, expected.Buy, inf), sell, join(o.Load, expected.Load, 0), join(o.PV, expected.PV, 0)}
}

// export is what exported energy earns, by interval.
func (o *Outlook) export() []float64 {
	if o.Sell == nil {
		return o.Buy
	}
	return o.Sell
}

// upTo is what came up to known and what is expected from there on, which is off as the last that is known
// was, less by a factor from interval to interval, and not below the least there is.
func upTo(came, comes []float64, from, known, to int, keep, least float64) []float64 {
	if came == nil || comes == nil || known == from {
		return cut(comes, from, to)
	}
	out := slices.Concat(came[from:known], comes[known:to])
	off := came[known-1] - comes[known-1]
	for t := known; t < to; t++ {
		off *= keep
		out[t-from] = max(least, out[t-from]+off)
	}
	return out
}

// aside is what an end that is fixed may be missed by where nothing else keeps it, of what is stored.
const aside = 1e-3

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	n := len(sorted)
	if n == 0 {
		return math.NaN()
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
