package lp

import (
	"math"
)

// model is a problem as the method takes it: A·x = b, lo <= x <= hi. Each row that is no
// equation has a variable of its own, so that its sum may lie between its bounds. Rows and
// columns are scaled, so that numbers are near 1. What a problem keeps when its bounds and costs
// change is found once.
type model struct {
	p *Problem

	a, rows  *matrix
	of       []int     // the variable of a column, or of which it is a copy; ^row for that of a row
	leads    []bool    // by column: it has the cost of its variable
	colBase  []float64 // x of the problem = colBase · size · x
	rowScale []float64
	f        *normal

	// What bounds and costs make of it.
	c, q      []float64 // cost, by column
	lo, hi    []float64
	b         []float64 // by row
	size      float64   // of what x and b are counted in
	costScale float64
	quadratic bool
	pairs     int // of a distance to a bound and its price
}

// mostRows is how many rows a column stands in at most: all of them become neighbours of each other.
const mostRows = 40

func newModel(p *Problem) *model {
	n, rows := p.Size()
	all := p.columns()
	m := &model{p: p, a: &matrix{start: make([]int32, 1, len(all.start)+rows)}}
	for v := range n {
		rows = m.stretch(v, all, rows)
	}
	for r := range p.rowLo {
		if p.rowLo[r] != p.rowHi[r] {
			m.a.row, m.a.by = append(m.a.row, int32(r)), append(m.a.by, -1)
			m.close(^r, false)
		}
	}
	m.rowScale, m.colBase = make([]float64, rows), make([]float64, len(m.of))
	for r := range m.rowScale {
		m.rowScale[r] = 1
	}
	for j := range m.colBase {
		m.colBase[j] = 1
	}
	m.scale()
	m.rows = m.a.transposed(rows)
	home, blocks, border := split(m.a, m.rows)
	m.divide(home, blocks, border)
	columns := len(m.of)
	at := make([]float64, 4*columns+rows)
	m.c, m.q, m.lo, m.hi, m.b = at[:columns], at[columns:2*columns], at[2*columns:3*columns], at[3*columns:4*columns], at[4*columns:]
	return m
}

// divide makes the blocks, and puts the columns of each behind each other.
func (m *model) divide(home []int32, blocks int, border []int32) {
	n := len(m.of)
	next, at := make([]int, blocks+2), make([]int, n)
	for j := range n {
		at[j] = belongs(m.a, home, j, blocks)
		next[at[j]+1]++
	}
	for b := range blocks + 1 {
		next[b+1] += next[b]
	}
	sorted := make([]int, n)
	for j, b := range at {
		sorted[next[b]] = j
		next[b]++
	}
	old := *m
	m.a = &matrix{make([]int32, 1, n+1), make([]int32, 0, len(old.a.row)), make([]float64, 0, len(old.a.by))}
	m.of, m.leads, m.colBase = make([]int, 0, n), make([]bool, 0, n), make([]float64, n)
	for k, j := range sorted {
		row, by := old.a.of(j)
		m.a.row, m.a.by = append(m.a.row, row...), append(m.a.by, by...)
		m.close(old.of[j], old.leads[j])
		m.colBase[k] = old.colBase[j]
	}
	m.rows = m.a.transposed(len(m.rowScale))
	m.f = newNormal(m.a, home, blocks, border)
}

// stretch adds a variable, as a chain of equal columns where it stands in many rows, and returns
// how many rows there are then.
func (m *model) stretch(v int, all *matrix, rows int) int {
	row, by := all.of(v)
	first := true
	for len(row) > mostRows {
		m.a.row, m.a.by = append(m.a.row, row[:mostRows]...), append(m.a.by, by[:mostRows]...)
		m.a.row, m.a.by = append(m.a.row, int32(rows)), append(m.a.by, 1)
		m.close(v, first)
		row, by = append([]int32{int32(rows)}, row[mostRows:]...), append([]float64{-1}, by[mostRows:]...)
		first = false
		rows++
	}
	m.a.row, m.a.by = append(m.a.row, row...), append(m.a.by, by...)
	m.close(v, first)
	return rows
}

// close ends a column.
func (m *model) close(of int, leads bool) {
	m.a.start = append(m.a.start, int32(len(m.a.row)))
	m.of, m.leads = append(m.of, of), append(m.leads, leads)
}

// scale divides rows and columns by the roots of their largest entries, three times (D. Ruiz,
// RAL-TR-2001-034), by powers of 2, so that nothing is rounded.
func (m *model) scale() {
	rows := make([]float64, len(m.rowScale))
	for range 3 {
		clear(rows)
		for k, r := range m.a.row {
			rows[r] = max(rows[r], math.Abs(m.a.by[k]))
		}
		for r, most := range rows {
			rows[r] = even(most)
			m.rowScale[r] *= rows[r]
		}
		for j := range m.of {
			row, by := m.a.of(j)
			most := 0.0
			for x, r := range row {
				by[x] *= rows[r]
				most = max(most, math.Abs(by[x]))
			}
			s := even(most)
			for x := range by {
				by[x] *= s
			}
			m.colBase[j] *= s
		}
	}
}

// load takes bounds and costs as they are now.
func (m *model) load(p *Problem) {
	m.p = p
	m.quadratic, m.pairs = false, 0
	clear(m.b)
	for r := range p.rowLo {
		if p.rowLo[r] == p.rowHi[r] {
			m.b[r] = p.rowLo[r] * m.rowScale[r]
		}
	}
	for j, v := range m.of {
		s := m.colBase[j]
		m.c[j], m.q[j] = 0, 0
		if v < 0 {
			m.lo[j], m.hi[j] = p.rowLo[^v]/s, p.rowHi[^v]/s
		} else {
			m.lo[j], m.hi[j] = p.lo[v]/s, p.hi[v]/s
		}
		if m.leads[j] {
			m.c[j], m.q[j] = p.cost[v]*s, p.square[v]*s*s
		}
		if m.lo[j] == m.hi[j] { // it has one value, and is no variable
			row, by := m.a.of(j)
			for x, r := range row {
				m.b[r] -= by[x] * m.lo[j]
			}
			m.c[j], m.q[j] = 0, 0
			continue
		}
		m.quadratic = m.quadratic || m.q[j] > 0
		if !math.IsInf(m.lo[j], 0) {
			m.pairs++
		}
		if !math.IsInf(m.hi[j], 0) {
			m.pairs++
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
		m.c[j] *= m.size
		m.q[j] *= m.size * m.size
		most = max(most, math.Abs(m.c[j]), m.q[j])
	}
	m.costScale = 1
	if most > 0 {
		m.costScale = math.Exp2(-math.Round(math.Log2(most)))
	}
	for j := range m.c {
		m.c[j] *= m.costScale
		m.q[j] *= m.costScale
	}
}

// fixed reports whether a column has one value only.
func (m *model) fixed(j int) bool { return m.lo[j] == m.hi[j] }

// extent is the size of what the rows ask for, or else of the bounds, as a power of 2.
func (m *model) extent() float64 {
	const crumb = 1e-12
	rows, bounds := 0.0, 0.0
	for _, b := range m.b {
		rows = max(rows, math.Abs(b))
	}
	for j, v := range m.of {
		if m.fixed(j) {
			continue
		}
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
	if rows <= crumb*bounds { // what rounding has left of 0 is no size
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
	_, e := math.Frexp(x)
	return math.Ldexp(1, -(e-1)/2)
}

// empty reports whether a row without variables is not kept.
func (m *model) empty() bool {
	for r, terms := range m.p.terms {
		size, there := 1.0, m.p.rowLo[r] != m.p.rowHi[r]
		for _, t := range terms {
			there = there || m.p.lo[t.Var] < m.p.hi[t.Var]
			size = max(size, math.Abs(t.By*m.p.lo[t.Var]))
		}
		if !there && math.Abs(m.b[r]/m.rowScale[r]*m.size) > negligible*size {
			return true
		}
	}
	return false
}

// solution is the state in the terms of the problem.
func (m *model) solution(s *state, round int) *Solution {
	p := m.p
	out := &Solution{X: make([]float64, len(p.cost)), Y: make([]float64, len(p.terms)), Rounds: round}
	for j, v := range m.of {
		if v >= 0 && m.leads[j] {
			out.X[v] = min(max(s.x[j]*m.colBase[j]*m.size, p.lo[v]), p.hi[v])
		}
	}
	for r := range out.Y { // the links of chains come after them
		out.Y[r] = s.y[r] * m.rowScale[r] / (m.costScale * m.size)
	}
	out.Objective, out.Bound = p.value(out.X), p.bound(out.Y)
	out.Missed, out.off = p.missed(out.X)
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
	for j := range m.of {
		if m.fixed(j) {
			continue
		}
		x := least(-m.a.dot(j, s.y)/most, 0, m.lo[j], m.hi[j], negligible)
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
	return size > 1e6 && cost < -1e-6*size
}
