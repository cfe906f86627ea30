package lp

import (
	"fmt"
	"math"
	"slices"
)

// state is where the method stands, or a step from there. down and up are the distances to the
// bounds, which need not be those of x yet; zDown and zUp are their prices. They stay above 0 where
// there is a bound, and are 0 where there is none.
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

// method is what a run of rounds needs.
type method struct {
	*model
	columns, lines pieces

	s, best *state
	// What the state misses: rows, prices, bounds.
	rp, rd, offDown, offUp []float64
	sizeB, sizeC           float64
	// 1 by the distances and by their prices; 0 where there is no bound.
	perDown, perUp, perZDown, perZUp []float64
	d, g, cDown, cUp                 []float64
	left, none                       []float64 // by row: what a direction still misses; 0
	step, more                       *state
}

func newMethod(m *model) *method {
	n, rows := len(m.c), len(m.b)
	w := &method{
		model: m, columns: cut(n), lines: cut(rows),
		s: newState(n, rows), best: newState(n, rows), step: newState(n, rows), more: newState(n, rows),
		rp: make([]float64, rows), left: make([]float64, rows), none: make([]float64, rows),
	}
	at := make([]float64, 11*n)
	for _, to := range []*[]float64{&w.rd, &w.offDown, &w.offUp, &w.perDown, &w.perUp, &w.perZDown, &w.perZUp, &w.d, &w.g, &w.cDown, &w.cUp} {
		*to, at = at[:n:n], at[n:]
	}
	return w
}

// solve goes round by round. Solutions in the terms of the problem, with their proof, are made
// only when the state looks like one.
func (w *method) solve() (*Solution, error) {
	if w.empty() {
		return nil, ErrInfeasible
	}
	w.begin()
	var best *Solution
	nearest, at := math.Inf(1), 0
	wanted, idle := nearEnough, 0 // idle rounds bring nothing
	if w.p.Near > 0 {
		wanted = min(wanted, w.p.Near)
	}
	for round := range mostRounds {
		mu, off := w.residuals()
		near := max(off, mu*float64(w.pairs)/(w.costScale+math.Abs(w.cost())))
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
		w.round(mu)
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

// cost is that of the state, scaled, without what has one value only.
func (w *method) cost() float64 {
	return w.columns.sum(func(from, to int) float64 {
		sum := 0.0
		for j := from; j < to; j++ {
			sum += (w.c[j] + w.q[j]*w.s.x[j]/2) * w.s.x[j]
		}
		return sum
	})
}

// begin is a point with some distance to all bounds.
func (w *method) begin() {
	s := w.s
	w.sizeB, w.sizeC = 1, 1
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
	w.miss(w.b, w.g)
	w.f.factor(w.d)
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

// miss puts into left what the rows miss of right with x, and returns the most of it.
func (w *method) miss(right, x []float64) float64 {
	return w.lines.most(func(from, to int) float64 {
		most := 0.0
		for r := from; r < to; r++ {
			w.left[r] = right[r] - w.rows.dot(r, x)
			most = max(most, math.Abs(w.left[r]))
		}
		return most
	})
}

// residuals fills what the state misses, and what else depends on it alone. mu is the mean
// product of a distance and its price, off the largest relative miss.
func (w *method) residuals() (mu, off float64) {
	s := w.s
	missed := w.miss(w.b, s.x)
	copy(w.rp, w.left)
	offD := w.columns.most(func(from, to int) float64 {
		most := 0.0
		for j := from; j < to; j++ {
			w.perDown[j], w.perUp[j], w.perZDown[j], w.perZUp[j] = 0, 0, 0, 0
			w.offDown[j], w.offUp[j], w.rd[j], w.d[j] = 0, 0, 0, 0
			if w.fixed(j) {
				continue
			}
			theta := w.q[j]
			if s.zDown[j] > 0 {
				w.offDown[j] = w.lo[j] + s.down[j] - s.x[j]
				w.perDown[j], w.perZDown[j] = 1/s.down[j], 1/s.zDown[j]
				theta += s.zDown[j] * w.perDown[j]
			}
			if s.zUp[j] > 0 {
				w.offUp[j] = w.hi[j] - s.x[j] - s.up[j]
				w.perUp[j], w.perZUp[j] = 1/s.up[j], 1/s.zUp[j]
				theta += s.zUp[j] * w.perUp[j]
			}
			w.rd[j] = w.a.dot(j, s.y) + s.zDown[j] - s.zUp[j] - w.c[j] - w.q[j]*s.x[j]
			w.d[j] = 1 / max(theta, freeWeight)
			most = max(most, math.Abs(w.rd[j]))
		}
		return most
	})
	return w.products(s, 0, 0) / float64(max(1, w.pairs)), max(missed/w.sizeB, offD/w.sizeC)
}

// products adds up those of distances and prices after a part of a step.
func (w *method) products(d *state, primal, dual float64) float64 {
	s := w.s
	return w.columns.sum(func(from, to int) float64 {
		sum := 0.0
		for j := from; j < to; j++ {
			sum += (s.down[j] + primal*d.down[j]) * (s.zDown[j] + dual*d.zDown[j])
			sum += (s.up[j] + primal*d.up[j]) * (s.zUp[j] + dual*d.zUp[j])
		}
		return sum
	})
}

// round makes one step: towards the optimum as if all were linear first, which tells how far to
// stay from the bounds. Then what the products of steps add is taken back, as much of it as makes
// the step long (M. Colombo, J. Gondzio, Computational Optimization and Applications 41, 2008).
func (w *method) round(mu float64) {
	s := w.s
	w.f.factor(w.d)
	w.columns.each(func(_, from, to int) {
		for j := from; j < to; j++ {
			w.cDown[j], w.cUp[j] = -s.down[j]*s.zDown[j], -s.up[j]*s.zUp[j]
		}
	})
	w.direction(w.step, true)
	primal, dual := w.room()
	share := 0.0
	if mu > 0 {
		share = w.products(w.step, primal, dual) / float64(w.pairs) / mu
	}
	target := mu * min(boldest, share*share*share)
	w.columns.each(func(_, from, to int) {
		for j := from; j < to; j++ {
			w.cDown[j], w.cUp[j] = 0, 0
			if w.perDown[j] > 0 {
				w.cDown[j] = target - w.step.down[j]*w.step.zDown[j]
			}
			if w.perUp[j] > 0 {
				w.cUp[j] = target - w.step.up[j]*w.step.zUp[j]
			}
		}
	})
	w.direction(w.more, false)
	primal, dual = w.blend(primal * dual)
	primal, dual = w.centre(target, primal, dual)
	keep := min(max(0.9, 1-mu), 0.9995) // of the way to the next bound
	primal, dual = min(1, keep*primal), min(1, keep*dual)
	if w.quadratic { // prices depend on x
		primal = min(primal, dual)
		dual = primal
	}
	w.columns.each(func(_, from, to int) {
		for j := from; j < to; j++ {
			s.x[j] += primal * w.step.x[j]
			s.down[j] += primal * w.step.down[j]
			s.up[j] += primal * w.step.up[j]
			s.zDown[j] += dual * w.step.zDown[j]
			s.zUp[j] += dual * w.step.zUp[j]
		}
	})
	for r := range s.y {
		s.y[r] += dual * w.step.y[r]
	}
}

// centre improves the step with the factor that is there: where a longer step would leave a
// product of distance and price far from the others, the next steps would be short (J. Gondzio,
// Computational Optimization and Applications 6, 1996). It returns how far the step can go.
func (w *method) centre(target, primal, dual float64) (float64, float64) {
	s, d := w.s, w.step
	for range mostCentred {
		longP, longD := min(1, primal+longer), min(1, dual+longer)
		w.columns.each(func(_, from, to int) {
			for j := from; j < to; j++ {
				w.cDown[j], w.cUp[j] = 0, 0
				if w.perDown[j] > 0 {
					w.cDown[j] = towards(target, (s.down[j]+longP*d.down[j])*(s.zDown[j]+longD*d.zDown[j]))
				}
				if w.perUp[j] > 0 {
					w.cUp[j] = towards(target, (s.up[j]+longP*d.up[j])*(s.zUp[j]+longD*d.zUp[j]))
				}
			}
		})
		w.direction(w.more, false)
		p, q := w.blend(longP * longD)
		enough := min(1, p)+min(1, q) < min(1, primal)+min(1, dual)+longer/5
		primal, dual = p, q
		if enough {
			break
		}
	}
	return primal, dual
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

// freeWeight keeps a variable without bounds and squares from running away in one step.
const freeWeight = 1e-8

// direction solves the linear system of a step (S. Wright, Primal-Dual Interior-Point Methods,
// 1997, chapter 11) into d, until what it misses is little; what the state misses is made good
// only if it shall be.
func (w *method) direction(d *state, whole bool) {
	s := w.s
	w.columns.each(func(_, from, to int) {
		for j := from; j < to; j++ {
			g := w.cDown[j]*w.perDown[j] - w.cUp[j]*w.perUp[j]
			if whole {
				g += w.rd[j] + s.zDown[j]*w.offDown[j]*w.perDown[j] + s.zUp[j]*w.offUp[j]*w.perUp[j]
			}
			w.g[j] = g
			d.x[j] = w.d[j] * g
		}
	})
	clear(d.y)
	right := w.rp
	if !whole {
		right = w.none
	}
	most := w.miss(right, d.x)
	for range mostRefined {
		w.f.solve(w.left)
		for r := range d.y {
			d.y[r] += w.left[r]
		}
		w.columns.each(func(_, from, to int) {
			for j := from; j < to; j++ {
				d.x[j] = w.d[j] * (w.g[j] + w.a.dot(j, d.y))
			}
		})
		if left := w.miss(right, d.x); left <= refined*most {
			break
		}
	}
	w.columns.each(func(_, from, to int) {
		for j := from; j < to; j++ {
			down, up := d.x[j], -d.x[j]
			if whole {
				down -= w.offDown[j]
				up += w.offUp[j]
			}
			d.zDown[j] = (w.cDown[j] - s.zDown[j]*down) * w.perDown[j]
			d.zUp[j] = (w.cUp[j] - s.zUp[j]*up) * w.perUp[j]
			d.down[j], d.up[j] = down, up
		}
	})
}

const (
	mostRefined = 3
	refined     = 1e-10 // of what there was to be missed at first
)

// room is how many times the step both kinds of numbers can take until one is 0; at most 1/0.9.
func (w *method) room() (primal, dual float64) {
	d := w.step
	p, q := make([]float64, w.columns.parts), make([]float64, w.columns.parts)
	w.columns.each(func(at, from, to int) {
		x, z := 0.9, 0.9
		for j := from; j < to; j++ {
			if v := -d.down[j] * w.perDown[j]; v > x {
				x = v
			}
			if v := -d.up[j] * w.perUp[j]; v > x {
				x = v
			}
			if v := -d.zDown[j] * w.perZDown[j]; v > z {
				z = v
			}
			if v := -d.zUp[j] * w.perZUp[j]; v > z {
				z = v
			}
		}
		p[at], q[at] = x, z
	})
	return 1 / slices.Max(p), 1 / slices.Max(q)
}

// try is how much of more is added to the step, and 1 by the room that there is then, at least 0.9.
type try struct{ part, primal, dual float64 }

// tried fills in the room.
func (w *method) tried(tries [4]try) [4]try {
	d, e := w.step, w.more
	all := make([][4]try, w.columns.parts)
	w.columns.each(func(at, from, to int) {
		t := tries
		for i := range t {
			t[i].primal, t[i].dual = 0.9, 0.9
		}
		for j := from; j < to; j++ {
			down, moreDown := -d.down[j]*w.perDown[j], -e.down[j]*w.perDown[j]
			up, moreUp := -d.up[j]*w.perUp[j], -e.up[j]*w.perUp[j]
			zDown, moreZDown := -d.zDown[j]*w.perZDown[j], -e.zDown[j]*w.perZDown[j]
			zUp, moreZUp := -d.zUp[j]*w.perZUp[j], -e.zUp[j]*w.perZUp[j]
			for i := range t {
				t := &t[i]
				if x := down + t.part*moreDown; x > t.primal {
					t.primal = x
				}
				if x := up + t.part*moreUp; x > t.primal {
					t.primal = x
				}
				if x := zDown + t.part*moreZDown; x > t.dual {
					t.dual = x
				}
				if x := zUp + t.part*moreZUp; x > t.dual {
					t.dual = x
				}
			}
		}
		all[at] = t
	})
	for _, t := range all {
		for i := range t {
			all[0][i].primal, all[0][i].dual = max(all[0][i].primal, t[i].primal), max(all[0][i].dual, t[i].dual)
		}
	}
	return all[0]
}

// blend adds as much of more to the step as makes it longest, at least a part where it is of any
// use, and returns how far the step can go.
func (w *method) blend(part float64) (primal, dual float64) {
	tries := w.tried([4]try{{part: 0}, {part: part}, {part: (1 + part) / 2}, {part: 1}})
	byP, byD := tries[0], tries[0]
	for _, t := range tries {
		if t.primal <= byP.primal {
			byP = t
		}
		if t.dual <= byD.dual {
			byD = t
		}
	}
	d, e := w.step, w.more
	w.columns.each(func(_, from, to int) {
		for j := from; j < to; j++ {
			d.x[j] += byP.part * e.x[j]
			d.down[j] += byP.part * e.down[j]
			d.up[j] += byP.part * e.up[j]
			d.zDown[j] += byD.part * e.zDown[j]
			d.zUp[j] += byD.part * e.zUp[j]
		}
	})
	for r := range d.y {
		d.y[r] += byD.part * e.y[r]
	}
	return 1 / byP.primal, 1 / byD.dual
}
