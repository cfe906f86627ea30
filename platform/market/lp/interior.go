package lp

import (
	"fmt"
	"math"
)

// model is a problem as the method takes it: A·x = b, lo <= x <= hi. Each row that is no
// equation has a variable of its own, so that its sum may lie between its bounds; what has one
// value only is none. Rows and columns are scaled, so that numbers are near 1.
type model struct {
	p *Problem

	columns   []column
	c, q      []float64 // cost, by column
	lo, hi    []float64
	b         []float64 // by row
	of        []int     // the variable of a column; -1 for that of a row
	colScale  []float64 // x of the problem = colScale · x
	rowScale  []float64
	size      float64 // of what x and b are counted in
	costScale float64
	quadratic bool

	f *cholesky
}

// mostRows is how many rows a column stands in at most: all of them become neighbours of each other.
const mostRows = 40

func newModel(p *Problem) *model {
	n, rows := p.Size()
	m := &model{p: p, b: make([]float64, rows), rowScale: make([]float64, rows), costScale: 1}
	all := make([]column, n)
	for r, terms := range p.terms {
		for _, t := range terms {
			c := &all[t.Var]
			if k := len(c.row); k > 0 && c.row[k-1] == int32(r) {
				c.by[k-1] += t.By
				continue
			}
			c.row, c.by = append(c.row, int32(r)), append(c.by, t.By)
		}
		m.rowScale[r] = 1
		if p.rowLo[r] == p.rowHi[r] {
			m.b[r] = p.rowLo[r]
		}
	}
	for v := range all {
		if p.lo[v] == p.hi[v] {
			for x, r := range all[v].row {
				m.b[r] -= all[v].by[x] * p.lo[v]
			}
			continue
		}
		m.stretch(v, all[v])
		m.quadratic = m.quadratic || p.square[v] > 0
	}
	for r := range rows {
		if p.rowLo[r] != p.rowHi[r] {
			m.add(-1, column{row: []int32{int32(r)}, by: []float64{-1}}, 0, 0, p.rowLo[r], p.rowHi[r])
		}
	}
	m.scale()
	m.f = newCholesky(len(m.b), m.columns)
	return m
}

// stretch adds a variable, as a chain of equal columns where it stands in many rows.
func (m *model) stretch(v int, c column) {
	p := m.p
	first := true
	for len(c.row) > mostRows {
		link := int32(len(m.b))
		m.b, m.rowScale = append(m.b, 0), append(m.rowScale, 1)
		part := column{append(c.row[:mostRows:mostRows], link), append(c.by[:mostRows:mostRows], 1)}
		c = column{append([]int32{link}, c.row[mostRows:]...), append([]float64{-1}, c.by[mostRows:]...)}
		if first {
			m.add(v, part, p.cost[v], p.square[v], p.lo[v], p.hi[v])
		} else {
			m.add(-1, part, 0, 0, p.lo[v], p.hi[v])
		}
		first = false
	}
	if first {
		m.add(v, c, p.cost[v], p.square[v], p.lo[v], p.hi[v])
	} else {
		m.add(-1, c, 0, 0, p.lo[v], p.hi[v])
	}
}

func (m *model) add(v int, c column, cost, square, lo, hi float64) {
	m.of, m.columns = append(m.of, v), append(m.columns, c)
	m.c, m.q = append(m.c, cost), append(m.q, square)
	m.lo, m.hi = append(m.lo, lo), append(m.hi, hi)
	m.colScale = append(m.colScale, 1)
}

// scale divides rows and columns by the roots of their largest entries, three times (D. Ruiz,
// RAL-TR-2001-034), by powers of 2, so that nothing is rounded; then the costs.
func (m *model) scale() {
	for range 3 {
		rows := make([]float64, len(m.b))
		for _, c := range m.columns {
			for x, r := range c.row {
				rows[r] = max(rows[r], math.Abs(c.by[x]))
			}
		}
		for r, most := range rows {
			rows[r] = even(most)
			m.rowScale[r] *= rows[r]
			m.b[r] *= rows[r]
		}
		for j, c := range m.columns {
			most := 0.0
			for x, r := range c.row {
				c.by[x] *= rows[r]
				most = max(most, math.Abs(c.by[x]))
			}
			s := even(most)
			for x := range c.by {
				c.by[x] *= s
			}
			m.colScale[j] *= s
			m.c[j] *= s
			m.q[j] *= s * s
			m.lo[j] /= s
			m.hi[j] /= s
		}
	}
	m.size = m.extent()
	for r := range m.b {
		m.b[r] /= m.size
	}
	most := 0.0
	for j := range m.c {
		m.lo[j] /= m.size
		m.hi[j] /= m.size
		m.colScale[j] *= m.size
		m.c[j] *= m.size
		m.q[j] *= m.size * m.size
		most = max(most, math.Abs(m.c[j]), m.q[j])
	}
	if most > 0 {
		m.costScale = math.Exp2(-math.Round(math.Log2(most)))
	}
	for j := range m.c {
		m.c[j] *= m.costScale
		m.q[j] *= m.costScale
	}
}

// extent is the size of what the rows ask for, or else of the bounds, as a power of 2.
func (m *model) extent() float64 {
	rows, bounds := 0.0, 0.0
	for _, b := range m.b {
		rows = max(rows, math.Abs(b))
	}
	for j, v := range m.of {
		for _, x := range []float64{m.lo[j], m.hi[j]} {
			switch x = math.Abs(x); {
			case math.IsInf(x, 0):
			case v < 0:
				rows = max(rows, x)
			default:
				bounds = max(bounds, x)
			}
		}
	}
	if rows == 0 {
		rows = bounds
	}
	if rows == 0 {
		return 1
	}
	return math.Exp2(math.Round(math.Log2(rows)))
}

// even is the power of 2 that is next to 1/√x.
func even(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Exp2(-math.Round(math.Log2(x) / 2))
}

// state is where the method stands. down and up are the distances to the bounds, which need
// not be those of x yet; zDown and zUp are their prices. They stay above 0 where there is a
// bound, and are 0 where there is none.
type state struct {
	x, y, down, up, zDown, zUp []float64
}

func newState(n, rows int) *state {
	at := make([]float64, 5*n+rows)
	return &state{
		x: at[:n], down: at[n : 2*n], up: at[2*n : 3*n], zDown: at[3*n : 4*n], zUp: at[4*n : 5*n], y: at[5*n:],
	}
}

// work is what each round needs.
type work struct {
	rp, rd, offDown, offUp []float64 // what the state misses: rows, prices, bounds
	d, g, cDown, cUp       []float64
	right, kept            []float64 // by row
	step, guess            *state
}

func (m *model) solve() (*Solution, error) {
	if m.empty() {
		return nil, ErrInfeasible
	}
	n, rows := len(m.c), len(m.b)
	w := &work{
		rp: make([]float64, rows), rd: make([]float64, n), offDown: make([]float64, n), offUp: make([]float64, n),
		d: make([]float64, n), g: make([]float64, n), cDown: make([]float64, n), cUp: make([]float64, n),
		right: make([]float64, rows), kept: make([]float64, rows), step: newState(n, rows), guess: newState(n, rows),
	}
	s := m.begin(w)
	var best *Solution
	for round := range mostRounds {
		mu, missed := m.residuals(s, w)
		now := m.solution(s, round)
		now.off = max(now.off, missed)
		if best == nil || now.worth() < best.worth() {
			best = now
		}
		if best.worth() <= nearEnough || !finite(mu) || mu < 1e-28 && mu > 0 {
			break
		}
		if best.worth() > passable && round%4 == 3 && m.impossible(s) {
			return nil, ErrInfeasible
		}
		m.round(s, w, mu)
	}
	switch {
	case best.worth() <= passable:
		return best, nil
	case m.endless(s):
		return nil, ErrUnbounded
	}
	return nil, fmt.Errorf("%w: rows are missed by %.3g, the cost is %.9g, at least %.9g", ErrStalled, best.Missed, best.Objective, best.Bound)
}

// worth is how far a solution is from the optimum, and from rows and prices, relative to their sizes.
func (s *Solution) worth() float64 {
	gap := math.Abs(s.Objective-s.Bound) / (1 + math.Abs(s.Objective))
	if math.IsNaN(gap) {
		return math.Inf(1)
	}
	return max(gap, s.off)
}

// empty reports whether a row without variables is not kept.
func (m *model) empty() bool {
	there := make([]bool, len(m.b))
	for _, c := range m.columns {
		for _, r := range c.row {
			there[r] = true
		}
	}
	for r, terms := range m.p.terms {
		size := 1.0
		for _, t := range terms {
			size = max(size, math.Abs(t.By*m.p.lo[t.Var]))
		}
		if !there[r] && math.Abs(m.b[r]/m.rowScale[r]*m.size) > negligible*size {
			return true
		}
	}
	return false
}

// begin is a point with some distance to all bounds.
func (m *model) begin(w *work) *state {
	s := newState(len(m.c), len(m.b))
	// The least x that keeps to the rows shows the size of things.
	for j := range w.d {
		w.d[j] = 1
	}
	copy(w.right, m.b)
	for j, c := range m.columns {
		w.g[j] = middle(m.lo[j], m.hi[j])
		for k, r := range c.row {
			w.right[r] -= c.by[k] * w.g[j]
		}
	}
	m.f.factor(w.d)
	m.f.solve(w.right)
	size := 1.0
	for j := range s.x {
		s.x[j] = w.g[j] + m.columns[j].dot(w.right)
		size = max(size, math.Abs(s.x[j]-w.g[j]))
	}
	size = min(size, 1e6)
	for j := range s.x {
		lo, hi := m.lo[j], m.hi[j]
		price := 1 + math.Abs(m.c[j])
		inDown, inUp := !math.IsInf(lo, 0), !math.IsInf(hi, 0)
		switch {
		case inDown && inUp:
			room := (hi - lo) / 10
			s.x[j] = min(max(s.x[j], lo+room), hi-room)
		case inDown:
			s.x[j] = max(s.x[j], lo+size)
		case inUp:
			s.x[j] = min(s.x[j], hi-size)
		}
		if inDown {
			s.down[j], s.zDown[j] = s.x[j]-lo, price+max(m.c[j], 0)
		}
		if inUp {
			s.up[j], s.zUp[j] = hi-s.x[j], price-min(m.c[j], 0)
		}
	}
	return s
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

func (c *column) dot(y []float64) float64 {
	sum := 0.0
	for k, r := range c.row {
		sum += c.by[k] * y[r]
	}
	return sum
}

// residuals fills what the state misses. mu is the mean product of a distance and its price,
// missed the largest relative miss.
func (m *model) residuals(s *state, w *work) (mu, missed float64) {
	copy(w.rp, m.b)
	pairs := 0
	sizeB, sizeC := 1.0, 1.0
	for _, b := range m.b {
		sizeB = max(sizeB, math.Abs(b))
	}
	mostD := 0.0
	for j := range s.x {
		c := &m.columns[j]
		for k, r := range c.row {
			w.rp[r] -= c.by[k] * s.x[j]
		}
		w.rd[j] = c.dot(s.y) + s.zDown[j] - s.zUp[j] - m.c[j] - m.q[j]*s.x[j]
		sizeC = max(sizeC, math.Abs(m.c[j]))
		mostD = max(mostD, math.Abs(w.rd[j]))
		w.offDown[j], w.offUp[j] = 0, 0
		if s.zDown[j] > 0 {
			w.offDown[j] = m.lo[j] + s.down[j] - s.x[j]
			mu += s.down[j] * s.zDown[j]
			pairs++
		}
		if s.zUp[j] > 0 {
			w.offUp[j] = m.hi[j] - s.x[j] - s.up[j]
			mu += s.up[j] * s.zUp[j]
			pairs++
		}
	}
	mostP := 0.0
	for _, r := range w.rp {
		mostP = max(mostP, math.Abs(r))
	}
	return mu / float64(max(1, pairs)), max(mostP/sizeB, mostD/sizeC)
}

// round makes one step: towards the optimum as if all were linear first, which tells how
// far to stay from the bounds, and what the products of steps add.
func (m *model) round(s *state, w *work, mu float64) {
	for j := range s.x {
		theta := m.q[j]
		if s.zDown[j] > 0 {
			theta += s.zDown[j] / s.down[j]
		}
		if s.zUp[j] > 0 {
			theta += s.zUp[j] / s.up[j]
		}
		w.d[j] = 1 / max(theta, freeWeight)
		w.cDown[j], w.cUp[j] = -s.down[j]*s.zDown[j], -s.up[j]*s.zUp[j]
	}
	m.f.factor(w.d)
	m.direction(s, w, w.guess)
	primal, dual := s.room(w.guess)
	after, pairs := 0.0, 0
	for j := range s.x {
		if s.zDown[j] > 0 {
			after += (s.down[j] + primal*w.guess.down[j]) * (s.zDown[j] + dual*w.guess.zDown[j])
			pairs++
		}
		if s.zUp[j] > 0 {
			after += (s.up[j] + primal*w.guess.up[j]) * (s.zUp[j] + dual*w.guess.zUp[j])
			pairs++
		}
	}
	share := 0.0
	if mu > 0 {
		share = after / float64(pairs) / mu
	}
	target := mu * min(1, share*share*share)
	for j := range s.x {
		if s.zDown[j] > 0 {
			w.cDown[j] += target - w.guess.down[j]*w.guess.zDown[j]
		}
		if s.zUp[j] > 0 {
			w.cUp[j] += target - w.guess.up[j]*w.guess.zUp[j]
		}
	}
	m.direction(s, w, w.step)
	primal, dual = m.centre(s, w, target)
	keep := max(0.9, 1-mu) // of the way to the next bound
	keep = min(keep, 0.9995)
	primal, dual = min(1, keep*primal), min(1, keep*dual)
	if m.quadratic { // prices depend on x
		primal = min(primal, dual)
		dual = primal
	}
	for j := range s.x {
		s.x[j] += primal * w.step.x[j]
		s.down[j] += primal * w.step.down[j]
		s.up[j] += primal * w.step.up[j]
		s.zDown[j] += dual * w.step.zDown[j]
		s.zUp[j] += dual * w.step.zUp[j]
	}
	for r := range s.y {
		s.y[r] += dual * w.step.y[r]
	}
}

// centre improves w.step with the factor that is there: where a full step would leave a
// product of distance and price far from the others, the next steps would be short (J. Gondzio,
// Computational Optimization and Applications 6, 1996). It returns how far the step can go.
func (m *model) centre(s *state, w *work, target float64) (primal, dual float64) {
	primal, dual = s.room(w.step)
	for range mostCentred {
		longP, longD := min(1, primal+longer), min(1, dual+longer)
		for j := range s.x {
			if s.zDown[j] > 0 {
				w.cDown[j] += towards(target, (s.down[j]+longP*w.step.down[j])*(s.zDown[j]+longD*w.step.zDown[j]))
			}
			if s.zUp[j] > 0 {
				w.cUp[j] += towards(target, (s.up[j]+longP*w.step.up[j])*(s.zUp[j]+longD*w.step.zUp[j]))
			}
		}
		m.direction(s, w, w.guess)
		p, d := s.room(w.guess)
		if min(1, p)+min(1, d) < min(1, primal)+min(1, dual)+longer/10 {
			break
		}
		w.step, w.guess = w.guess, w.step
		primal, dual = p, d
	}
	return primal, dual
}

const (
	mostCentred = 3
	longer      = 0.3
)

// towards is what brings a product near to its target, at most so much that it is worth it.
func towards(target, product float64) float64 {
	return max(min(max(product, target/10), 10*target)-product, -10*target)
}

// freeWeight keeps a variable without bounds and squares from running away in one step.
const freeWeight = 1e-8

// direction solves the linear system of a step (S. Wright, Primal-Dual Interior-Point Methods,
// 1997, chapter 11) into d, once more with what the first solution misses.
func (m *model) direction(s *state, w *work, d *state) {
	for j := range s.x {
		g := w.rd[j]
		if s.zDown[j] > 0 {
			g += (w.cDown[j] + s.zDown[j]*w.offDown[j]) / s.down[j]
		}
		if s.zUp[j] > 0 {
			g -= (w.cUp[j] - s.zUp[j]*w.offUp[j]) / s.up[j]
		}
		w.g[j] = g
	}
	clear(d.y)
	for range 3 {
		// What the rows still miss with dx = D·(g + Aᵀ·dy).
		copy(w.kept, w.rp)
		for j := range s.x {
			c := &m.columns[j]
			dx := w.d[j] * (w.g[j] + c.dot(d.y))
			for k, r := range c.row {
				w.kept[r] -= c.by[k] * dx
			}
		}
		m.f.solve(w.kept)
		for r := range d.y {
			d.y[r] += w.kept[r]
		}
	}
	for j := range s.x {
		dx := w.d[j] * (w.g[j] + m.columns[j].dot(d.y))
		d.x[j] = dx
		d.down[j], d.up[j], d.zDown[j], d.zUp[j] = 0, 0, 0, 0
		if s.zDown[j] > 0 {
			d.down[j] = dx - w.offDown[j]
			d.zDown[j] = (w.cDown[j] - s.zDown[j]*d.down[j]) / s.down[j]
		}
		if s.zUp[j] > 0 {
			d.up[j] = w.offUp[j] - dx
			d.zUp[j] = (w.cUp[j] - s.zUp[j]*d.up[j]) / s.up[j]
		}
	}
}

// room is how many times d both kinds of numbers can take until one is 0; at most 1/0.9.
func (s *state) room(d *state) (primal, dual float64) {
	primal, dual = 1/0.9, 1/0.9
	for j := range s.x {
		primal = reach(reach(primal, s.down[j], d.down[j]), s.up[j], d.up[j])
		dual = reach(reach(dual, s.zDown[j], d.zDown[j]), s.zUp[j], d.zUp[j])
	}
	return primal, dual
}

func reach(most, at, step float64) float64 {
	if step < 0 && at > 0 {
		return min(most, -at/step)
	}
	return most
}

// solution is the state in the terms of the problem.
func (m *model) solution(s *state, round int) *Solution {
	p := m.p
	out := &Solution{X: make([]float64, len(p.cost)), Y: m.prices(s.y), Rounds: round}
	for v := range out.X {
		out.X[v] = p.lo[v] // of those that are no columns
	}
	for j, v := range m.of {
		if v >= 0 {
			out.X[v] = min(max(s.x[j]*m.colScale[j], p.lo[v]), p.hi[v])
		}
	}
	out.Objective, out.Bound = p.value(out.X), p.bound(out.Y)
	out.Missed, out.off = p.missed(out.X)
	return out
}

// prices are those of the rows, unscaled.
func (m *model) prices(y []float64) []float64 {
	out := make([]float64, len(m.p.terms)) // the links of chains come after them
	for r := range out {
		out[r] = y[r] * m.rowScale[r] / (m.costScale * m.size)
	}
	return out
}

// impossible reports whether the prices, which grow for ever where nothing keeps to the rows,
// prove that (Farkas): whatever x is within its bounds, the rows times the prices are not met.
func (m *model) impossible(s *state) bool {
	most := 0.0
	for _, p := range s.y {
		most = max(most, math.Abs(p))
	}
	if most == 0 || !finite(most) {
		return false
	}
	sum, size := 0.0, 0.0
	for r, y := range s.y {
		sum += m.b[r] * y / most
		size += math.Abs(m.b[r] * y / most)
	}
	for j := range m.columns {
		x := least(-m.columns[j].dot(s.y)/most, 0, m.lo[j], m.hi[j], negligible)
		sum += x
		size += math.Abs(x)
	}
	return sum > 1e-9*size
}

// endless reports whether x has run away, along which the cost falls.
func (m *model) endless(s *state) bool {
	size, cost := 0.0, 0.0
	for j := range s.x {
		size = max(size, math.Abs(s.x[j]))
		cost += m.c[j] * s.x[j]
	}
	return size > 1e9 && cost < -1e6
}
