package lp

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// matrix has its columns one behind the other, rows ascending in each; or the other way round.
type matrix struct {
	start []int32 // by column, and one more
	row   []int32
	by    []float64
}

// of is column j.
func (m *matrix) of(j int) (row []int32, by []float64) {
	from, to := m.start[j], m.start[j+1]
	return m.row[from:to], m.by[from:to]
}

func (m *matrix) length(j int32) int { return int(m.start[j+1] - m.start[j]) }

func (m *matrix) dot(j int, y []float64) float64 {
	row, by := m.of(j)
	sum := 0.0
	for k, r := range row {
		sum += by[k] * y[r]
	}
	return sum
}

// transposed is the matrix by its rows, of which there are so many.
func (m *matrix) transposed(rows int) *matrix {
	t := &matrix{start: make([]int32, rows+1), row: make([]int32, len(m.row)), by: make([]float64, len(m.row))}
	for _, r := range m.row {
		t.start[r+1]++
	}
	for r := range rows {
		t.start[r+1] += t.start[r]
	}
	next := append([]int32(nil), t.start[:rows]...)
	for j := range len(m.start) - 1 {
		row, by := m.of(j)
		for k, r := range row {
			t.row[next[r]], t.by[next[r]] = int32(j), by[k]
			next[r]++
		}
	}
	return t
}

// columns are the terms of a problem by variable. Terms of one variable in a row are added up.
func (p *Problem) columns() *matrix {
	n := len(p.cost)
	m := &matrix{start: make([]int32, n+1)}
	last := make([]int32, n) // row of a column's last entry, plus 1
	for r, terms := range p.terms {
		for _, t := range terms {
			if last[t.Var] != int32(r)+1 {
				last[t.Var] = int32(r) + 1
				m.start[t.Var+1]++
			}
		}
	}
	for j := range n {
		m.start[j+1] += m.start[j]
	}
	m.row, m.by = make([]int32, m.start[n]), make([]float64, m.start[n])
	next := append([]int32(nil), m.start[:n]...)
	for r, terms := range p.terms {
		for _, t := range terms {
			at := next[t.Var]
			if at > m.start[t.Var] && m.row[at-1] == int32(r) {
				m.by[at-1] += t.By
				continue
			}
			m.row[at], m.by[at] = int32(r), t.By
			next[t.Var]++
		}
	}
	return m
}

// spread calls do for each part, on as many processors as there are. What a part computes must
// not depend on another one, so that the result is the same on any number of them.
func spread(parts int, do func(part int)) {
	workers := min(runtime.GOMAXPROCS(0), parts)
	if workers == 1 {
		for part := range parts {
			do(part)
		}
		return
	}
	var (
		next atomic.Int64
		wg   sync.WaitGroup
	)
	work := func() {
		for part := int(next.Add(1)) - 1; part < parts; part = int(next.Add(1)) - 1 {
			do(part)
		}
	}
	for range workers - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
}

// partSize is how many columns or rows make a part that is worth a processor's while.
const partSize = 1 << 14

// pieces are the ranges of n things that are worked on side by side. They depend on n alone.
type pieces struct{ n, parts int }

func cut(n int) pieces { return pieces{n, max(1, n/partSize)} }

func (c pieces) each(do func(part, from, to int)) {
	spread(c.parts, func(part int) { do(part, part*c.n/c.parts, (part+1)*c.n/c.parts) })
}

// sum adds up what do returns for each range, always in the same order.
func (c pieces) sum(do func(from, to int) float64) float64 {
	if c.parts == 1 {
		return do(0, c.n)
	}
	sums := make([]float64, c.parts)
	c.each(func(part, from, to int) { sums[part] = do(from, to) })
	out := 0.0
	for _, s := range sums {
		out += s
	}
	return out
}

// most is the largest of what do returns for each range.
func (c pieces) most(do func(from, to int) float64) float64 {
	if c.parts == 1 {
		return do(0, c.n)
	}
	each := make([]float64, c.parts)
	c.each(func(part, from, to int) { each[part] = do(from, to) })
	return slices.Max(each)
}
