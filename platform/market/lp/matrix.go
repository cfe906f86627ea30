package lp

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
