package plan

import (
	"context"
	"math"
)

// steps is how many energies a guess looks at in a store, roughly; among many batteries fewer will do.
func steps(batteries int) float64 {
	if batteries > 4 {
		return 100
	}
	return 600
}

// guess are ways from which a good plan may come, where f does two things at once: those of each such site by itself, by
// dynamic programming over what is stored. What it shares with others is in prices, those of f. Only the ways are taken of
// it, so that its steps and what it leaves out (how wear depends on depth, capacity) cost little.
func (f *found) guess(ctx context.Context) *ways {
	m, next := f.m, f.ways.clone()
	only := make([]float64, len(f.s.Y))
	for r, g := range m.rows {
		if g.kind == feeder || g.kind == peakSoFar || g.kind == capped {
			only[r] = f.s.Y[r]
		}
	}
	with, without := m.prog.Reduced(only), m.prog.Reduced(make([]float64, len(only)))
	clashing := make([]bool, len(m.sites))
	for _, c := range f.clash {
		clashing[c.i] = true
	}
	for i := range m.sites {
		v := &m.sites[i]
		if !clashing[i] {
			continue
		}
		extra := make([]float64, m.n) // what others and peaks add to the price
		for t, ch := range v.ch {
			extra[t] = (with[ch] - without[ch]) / m.h
		}
		moves, ok := m.walk(ctx, i, extra)
		if !ok {
			continue
		}
		for t, move := range moves {
			switch {
			case v.ch == nil:
			case move > 0:
				next.batteries[[2]int{i, t}] = in
			case move < 0:
				next.batteries[[2]int{i, t}] = out
			case next.battery(i, t) == either:
				next.batteries[[2]int{i, t}] = shared
			}
			for k := range m.worlds {
				o := &m.worlds[k].sites[i]
				if o.exp[t] == none || o.Buy[t] >= o.sell(t) {
					continue
				}
				net, _ := m.cheapest(k, i, t, move)
				if net < 0 {
					next.grids[[3]int{k, i, t}] = out
				} else {
					next.grids[[3]int{k, i, t}] = in
				}
			}
		}
	}
	return next
}

// cheapest is what a site takes with a move of its battery, MW, PV turned down where that pays, and what it costs; +Inf where it
// passes a limit.
func (m *model) cheapest(k, i, t int, move float64) (net, cost float64) {
	s, o := &m.p.Sites[i], &m.worlds[k].sites[i]
	most, down := move, 0.0
	if o.Load != nil {
		most += o.Load[t]
	}
	if o.PV != nil {
		most -= o.PV[t]
		if s.Curtail {
			down = max(0, o.PV[t])
		}
	}
	cost = math.Inf(1)
	// The cost is straight between these.
	for _, turned := range [4]float64{0, min(max(-most, 0), down), min(max(-s.ExportMW-most, 0), down), down} {
		x := most + turned
		if slack := nothing * m.most(i); x > s.ImportMW+slack || x < -s.ExportMW-slack {
			continue
		}
		if c := m.h * o.price(t, x); c < cost {
			net, cost = x, c
		}
	}
	return net, cost
}

// walk is the cheapest schedule of a site by itself, MW at the grid and positive when it charges, in steps of what is
// stored.
func (m *model) walk(ctx context.Context, i int, extra []float64) (moves []float64, ok bool) {
	b, inf := &m.p.Sites[i].Battery, math.Inf(1)
	moves = make([]float64, m.n)
	if !b.there() {
		return moves, true
	}
	fill, drain := m.h*b.In*b.ChargeMW, m.h*b.DischargeMW/b.Out
	whole := fill // full power is a number of steps
	if fill == 0 {
		whole = drain
	}
	step := whole / math.Ceil(whole*steps(len(m.sites))/max(b.Most-b.Least, whole))
	below, above := int((b.Start-b.Least)/step+nothing), int((b.Most-b.Start)/step+nothing)
	up, down := min(int(fill/step+nothing), below+above), min(int(drain/step+nothing), below+above)
	deep, from := 0.0, 0.0 // cost of a MWh taken out, at the mean depth
	for _, s := range b.Wear {
		deep, from = deep+(s.To-from)*s.PerMWh, s.To
	}
	power := func(by int) float64 {
		if by > 0 {
			return float64(by) * step / (m.h * b.In)
		}
		return float64(by) * step * b.Out / m.h
	}
	value := make([]float64, below+above+1) // what follows costs at least
	for k := range value {
		held := b.Start + float64(k-below)*step
		value[k] = -b.End.Price * (held - b.Start)
		if held < b.End.Least-step/2 || held > b.End.Most+step/2 {
			value[k] = inf
		}
	}
	best := make([][]int32, m.n)
	costs := make([]float64, up+down+1)
	for t := m.n - 1; t >= 0; t-- {
		if ctx.Err() != nil {
			return nil, false
		}
		for by := -down; by <= up; by++ {
			move := power(by)
			cost := m.h * extra[t] * move
			for k := range m.worlds {
				_, c := m.cheapest(k, i, t, move)
				cost += m.worlds[k].weight * c
			}
			if by < 0 {
				cost += m.weight(wear) * (deep*float64(-by)*step + b.VariableCost*m.h*-move)
			}
			costs[by+down] = cost
		}
		before := make([]float64, len(value))
		best[t] = make([]int32, len(value))
		for at := range before {
			before[at] = inf
			for to := max(0, at-down); to <= min(len(value)-1, at+up); to++ {
				if c := costs[to-at+down] + value[to]; c < before[at] {
					before[at], best[t][at] = c, int32(to-at)
				}
			}
		}
		value = before
	}
	if math.IsInf(value[below], 1) {
		return nil, false
	}
	for t, at := 0, below; t < m.n; t++ {
		by := int(best[t][at])
		moves[t] = power(by)
		at += by
	}
	return moves, true
}
