package lp

import (
	"context"
	"fmt"
	"math"
)

// state is where the method stands. down and up are the distances to the bounds, zDown and zUp
// their prices. They stay above 0 where there is a bound, and are 0 where there is none. The
// distances are kept by themselves since they may be nothing beside the bounds.
type state struct {
	x, y, down, up, zDown, zUp []float64
}

func newState(n, rows int) *state {
	at := make([]float64, 5*n+rows)
	return &state{
		x: at[:n], down: at[n : 2*n], up: at[2*n : 3*n], zDown: at[3*n : 4*n], zUp: at[4*n : 5*n], y: at[5*n:],
	}
}

func (s *state) set(to *state) {
	copy(s.x, to.x)
	copy(s.y, to.y)
	copy(s.down, to.down)
	copy(s.up, to.up)
	copy(s.zDown, to.zDown)
	copy(s.zUp, to.zUp)
}

// step is a change of a state. down changes by x, up by -x.
type step struct {
	x, y, zDown, zUp []float64
}

func newStep(n, rows int) *step {
	at := make([]float64, 3*n+rows)
	return &step{x: at[:n], zDown: at[n : 2*n], zUp: at[2*n : 3*n], y: at[3*n:]}
}

// method is what a run of rounds needs.
type method struct {
	*model
	s, best      *state
	rp, rd       []float64 // what the state misses: rows, prices
	sizeB, sizeC float64
	least        float64 // that a variable weighs: see leastWeight
	// 1 by the distances and by their prices; 0 where there is no bound.
	perDown, perUp, perZDown, perZUp []float64
	d, g, cDown, cUp                 []float64
	left, none                       []float64 // by row: what a direction still misses; 0
	step, more                       *step
	tallies                          []tally // by group of blocks
}

// tally is what is counted up while a group of blocks is worked on.
type tally struct {
	missed         float64
	products, cost float64
	xz, zx, both   float64 // sums of products of distances and steps of prices, the other way round, of steps
	primal, dual   float64 // 1 by the room, at least 0.9
	tries          [4]try
	_              [8]float64 // what others write to is far away
}

func newMethod(m *model) *method {
	n, rows := len(m.c), len(m.b)
	w := &method{
		model: m, s: newState(n, rows), best: newState(n, rows), step: newStep(n, rows), more: newStep(n, rows),
		rp: make([]float64, rows), left: make([]float64, rows), none: make([]float64, rows),
		tallies: make([]tally, len(m.f.groups)),
	}
	at := make([]float64, 9*n)
	for _, to := range []*[]float64{&w.rd, &w.perDown, &w.perUp, &w.perZDown, &w.perZUp, &w.d, &w.g, &w.cDown, &w.cUp} {
		*to, at = at[:n:n], at[n:]
	}
	return w
}

// solve goes round by round. Solutions in the terms of the problem, with their proof, are made
// only when the state looks like one.
func (w *method) solve(ctx context.Context) (*Solution, error) {
	if w.empty() {
		return nil, ErrInfeasible
	}
	if err := w.begin(ctx); err != nil {
		return nil, fmt.Errorf("stopped at the begin: %w", err)
	}
	var best *Solution
	nearest, at := math.Inf(1), 0
	wanted, idle := nearEnough, 0 // idle rounds bring nothing
	before, part, stuck := math.Inf(1), 0.0, 0
	if w.p.Near > 0 {
		wanted = min(wanted, w.p.Near)
	}
	for round := range mostRounds {
		sum, cost, off := w.residuals()
		mu := sum / float64(max(1, w.pairs))
		near := max(off, sum/(w.costScale+math.Abs(cost)))
		if near < nearest {
			nearest, at = near, round
			if near <= passable {
				w.best.set(w.s)
			}
		}
		if near <= nearEnough {
			idle++
			if now := w.solution(w.s, round); best == nil || now.worth() < best.worth() {
				best, idle = now, 0
			}
			if best.worth() <= wanted || best.worth() <= nearEnough && idle >= mostIdle {
				break
			}
		}
		if !finite(mu) || mu < 1e-28 && mu > 0 {
			break
		}
		if nearest > passable && round%4 == 3 && w.impossible(w.s) {
			return nil, ErrInfeasible
		}
		if part < 0.9 || off < before/2 || off <= nearEnough {
			stuck = 0
		} else if stuck++; stuck > 1 && w.least > lightest {
			w.least /= 1e3
		}
		before = off
		var err error
		if part, err = w.round(ctx, mu); err != nil {
			return nil, fmt.Errorf("stopped in round %d: %w", round, err)
		}
	}
	if best == nil {
		if nearest > passable {
			w.best.set(w.s)
		}
		best = w.solution(w.best, at)
	}
	switch {
	case best.worth() <= passable:
		return best, nil
	case w.endless(w.s):
		return nil, ErrUnbounded
	}
	return nil, fmt.Errorf("%w: rows are missed by %.3g, the cost is %.9g, at least %.9g", ErrStalled, best.Missed, best.Objective, best.Bound)
}

// worth is how far a solution is from the optimum, and from rows, relative to their sizes.
func (s *Solution) worth() float64 {
	gap := math.Abs(s.Objective-s.Bound) / (1 + math.Abs(s.Objective))
	if math.IsNaN(gap) {
		return math.Inf(1)
	}
	return max(gap, s.off)
}

// begin is a point with some distance to all bounds.
func (w *method) begin(ctx context.Context) error {
	s := w.s
	w.sizeB, w.sizeC, w.least = 1, 1, leastWeight
	for _, b := range w.b {
		w.sizeB = max(w.sizeB, math.Abs(b))
	}
	for _, c := range w.c {
		w.sizeC = max(w.sizeC, math.Abs(c))
	}
	// The x next to the middle that keeps to the rows shows the size of things.
	for j := range w.d {
		w.d[j], w.g[j] = 1, middle(w.lo[j], w.hi[j])
		if w.fixed(j) {
			w.d[j], w.g[j] = 0, 0 // it is part of b
		}
	}
	for r := range w.left {
		w.left[r] = w.b[r] - w.rows.dot(r, w.g)
	}
	if err := w.f.factor(ctx, w.d); err != nil {
		return err
	}
	w.f.solve(w.left)
	size := 1.0
	for j := range s.x {
		s.x[j] = w.g[j] + w.d[j]*w.a.dot(j, w.left)
		size = max(size, math.Abs(s.x[j]-w.g[j]))
	}
	size = min(size, 1e6)
	clear(s.y)
	for j := range s.x {
		lo, hi := w.lo[j], w.hi[j]
		inDown, inUp := !math.IsInf(lo, 0) && lo < hi, !math.IsInf(hi, 0) && lo < hi
		price := 1 + math.Abs(w.c[j])
		switch {
		case inDown && inUp:
			room := (hi - lo) / 10
			s.x[j] = min(max(s.x[j], lo+room), hi-room)
		case inDown:
			s.x[j] = max(s.x[j], lo+size)
		case inUp:
			s.x[j] = min(s.x[j], hi-size)
		}
		s.down[j], s.zDown[j], s.up[j], s.zUp[j] = 0, 0, 0, 0
		if inDown {
			s.down[j], s.zDown[j] = s.x[j]-lo, price+max(w.c[j], 0)
		}
		if inUp {
			s.up[j], s.zUp[j] = hi-s.x[j], price-min(w.c[j], 0)
		}
	}
	return nil
}

// middle is a value between bounds.
func middle(lo, hi float64) float64 {
	switch {
	case !math.IsInf(lo, 0) && !math.IsInf(hi, 0):
		return lo + (hi-lo)/2
	case !math.IsInf(lo, 0):
		return lo
	case !math.IsInf(hi, 0):
		return hi
	}
	return 0
}

// sweep calls do for each block and adds up what is counted meanwhile, always in the same order.
func (w *method) sweep(do func(t *tally, g *group, b *block)) tally {
	for i := range w.tallies {
		w.tallies[i] = tally{primal: 0.9, dual: 0.9}
		for k := range w.tallies[i].tries {
			w.tallies[i].tries[k] = try{primal: 0.9, dual: 0.9}
		}
	}
	w.f.sweep(func(g *group, b *block) { do(&w.tallies[g.number], g, b) })
	sum := w.tallies[0]
	for _, t := range w.tallies[1:] {
		sum.missed = max(sum.missed, t.missed)
		sum.products, sum.cost = sum.products+t.products, sum.cost+t.cost
		sum.xz, sum.zx, sum.both = sum.xz+t.xz, sum.zx+t.zx, sum.both+t.both
		sum.primal, sum.dual = max(sum.primal, t.primal), max(sum.dual, t.dual)
		for k := range t.tries {
			sum.tries[k].primal, sum.tries[k].dual = max(sum.tries[k].primal, t.tries[k].primal), max(sum.tries[k].dual, t.tries[k].dual)
		}
	}
	return sum
}

// miss puts into to what the rows miss of right with x, and returns the most of it.
func (w *method) miss(rows []int32, to, right, x []float64) float64 {
	most := 0.0
	for _, r := range rows {
		to[r] = right[r] - w.rows.dot(int(r), x)
		most = max(most, math.Abs(to[r]))
	}
	return most
}

// residuals fills what the state misses, and what else depends on it alone. It returns the sum of
// the products of distances and prices, the cost, scaled, and the largest relative miss.
func (w *method) residuals() (products, cost, off float64) {
	s := w.s
	missed := w.miss(w.f.border, w.rp, w.b, s.x)
	t := w.sweep(func(t *tally, _ *group, b *block) {
		t.missed = max(t.missed, w.miss(b.rows, w.rp, w.b, s.x)/w.sizeB)
		most := 0.0
		for j := b.from; j < b.to; j++ {
			w.perDown[j], w.perUp[j], w.perZDown[j], w.perZUp[j], w.rd[j], w.d[j] = 0, 0, 0, 0, 0, 0
			if w.fixed(j) {
				continue
			}
			theta := w.q[j]
			if s.zDown[j] > 0 {
				w.perDown[j], w.perZDown[j] = 1/s.down[j], 1/s.zDown[j]
				theta += s.zDown[j] * w.perDown[j]
				t.products += s.down[j] * s.zDown[j]
			}
			if s.zUp[j] > 0 {
				w.perUp[j], w.perZUp[j] = 1/s.up[j], 1/s.zUp[j]
				theta += s.zUp[j] * w.perUp[j]
				t.products += s.up[j] * s.zUp[j]
			}
			w.rd[j] = w.a.dot(j, s.y) + s.zDown[j] - s.zUp[j] - w.c[j] - w.q[j]*s.x[j]
			w.d[j] = 1 / max(theta, w.least)
			t.cost += (w.c[j] + w.q[j]*s.x[j]/2) * s.x[j]
			most = max(most, math.Abs(w.rd[j]))
		}
		t.missed = max(t.missed, most/w.sizeC)
	})
	return t.products, t.cost, max(missed/w.sizeB, t.missed)
}

// round makes one step: towards the optimum as if all were linear first, which tells how far to
// stay from the bounds. Then what the products of steps add is taken back, as much of it as makes
// the step long (M. Colombo, J. Gondzio, Computational Optimization and Applications 41, 2008).
// It returns the part of the step that was taken, of x or of prices, whichever is less.
func (w *method) round(ctx context.Context, mu float64) (part float64, err error) {
	s, d := w.s, w.step
	if err := w.f.factor(ctx, w.d); err != nil {
		return 0, err
	}
	solves, t := w.direction(d, w.rp, mostRefined, func(b *block) {
		for j := b.from; j < b.to; j++ {
			w.cDown[j], w.cUp[j] = -s.down[j]*s.zDown[j], -s.up[j]*s.zUp[j]
			w.g[j] = w.rd[j] - s.zDown[j] + s.zUp[j]
		}
	}, w.measure)
	primal, dual := 1/t.primal, 1/t.dual
	target := 0.0
	if mu > 0 {
		share := 1 + (dual*t.xz+primal*t.zx+primal*dual*t.both)/float64(w.pairs)/mu
		target = mu * min(boldest, share*share*share)
	}
	_, t = w.direction(w.more, w.none, solves, func(b *block) {
		for j := b.from; j < b.to; j++ {
			w.cDown[j], w.cUp[j] = 0, 0
			if w.perDown[j] > 0 {
				w.cDown[j] = target - d.x[j]*d.zDown[j]
			}
			if w.perUp[j] > 0 {
				w.cUp[j] = target + d.x[j]*d.zUp[j]
			}
			w.g[j] = w.cDown[j]*w.perDown[j] - w.cUp[j]*w.perUp[j]
		}
	}, w.tryParts(primal*dual))
	chosen := choose(t.tries)
	// Where a longer step would leave a product of distance and price far from the others, the next
	// steps would be short (J. Gondzio, Computational Optimization and Applications 6, 1996).
	for range mostCentred {
		w.blendRows(w.f.border, chosen)
		longP, longD := min(1, 1/chosen.primal+longer), min(1, 1/chosen.dual+longer)
		_, t = w.direction(w.more, w.none, solves, func(b *block) {
			w.blend(b, chosen)
			for j := b.from; j < b.to; j++ {
				w.cDown[j], w.cUp[j] = 0, 0
				if w.perDown[j] > 0 {
					w.cDown[j] = towards(target, (s.down[j]+longP*d.x[j])*(s.zDown[j]+longD*d.zDown[j]))
				}
				if w.perUp[j] > 0 {
					w.cUp[j] = towards(target, (s.up[j]-longP*d.x[j])*(s.zUp[j]+longD*d.zUp[j]))
				}
				w.g[j] = w.cDown[j]*w.perDown[j] - w.cUp[j]*w.perUp[j]
			}
		}, w.tryParts(longP*longD))
		before := min(1, 1/chosen.primal) + min(1, 1/chosen.dual)
		chosen = choose(t.tries)
		if min(1, 1/chosen.primal)+min(1, 1/chosen.dual) < before+longer/5 {
			break
		}
	}
	keep := min(max(0.9, 1-mu), 0.9995) // of the way to the next bound
	primal, dual = min(1, keep/chosen.primal), min(1, keep/chosen.dual)
	if w.quadratic { // prices depend on x
		primal = min(primal, dual)
		dual = primal
	}
	w.advance(chosen, primal, dual)
	return min(primal, dual), nil
}

// advance takes the step.
func (w *method) advance(chosen choice, primal, dual float64) {
	s, d := w.s, w.step
	w.blendRows(w.f.border, chosen)
	w.f.sweep(func(_ *group, b *block) {
		w.blend(b, chosen)
		for j := b.from; j < b.to; j++ {
			s.x[j] += primal * d.x[j]
			s.down[j] += primal * d.x[j]
			s.up[j] -= primal * d.x[j]
			s.zDown[j] += dual * d.zDown[j]
			s.zUp[j] += dual * d.zUp[j]
			// What rounding has brought between x and its bounds is left to the rows.
			down, up := w.perDown[j] > 0, w.perUp[j] > 0
			if down && (!up || s.down[j] < s.up[j]) {
				s.x[j] = w.lo[j] + s.down[j]
				if up {
					s.up[j] = w.hi[j] - s.x[j]
				}
			} else if up {
				s.x[j] = w.hi[j] - s.up[j]
				if down {
					s.down[j] = s.x[j] - w.lo[j]
				}
			}
		}
		for _, r := range b.rows {
			s.y[r] += dual * d.y[r]
		}
	})
	for _, r := range w.f.border {
		s.y[r] += dual * d.y[r]
	}
}

const (
	boldest     = 0.03 // of mu is aimed at, or less
	mostCentred = 2
	longer      = 0.3
)

// towards is what brings a product near to its target, at most so much that it is worth it.
func towards(target, product float64) float64 {
	return max(min(max(product, target/10), 10*target)-product, -10*target)
}

// leastWeight keeps a variable without bounds and squares from running away in one step. One that has far
// to go to its bounds it holds back as well: its price stays off while it creeps there. Where whole steps, one after
// the other, leave what is off as it was, variables weigh less and less, down to lightest.
const (
	leastWeight = 1e-8
	lightest    = 1e-20
)
