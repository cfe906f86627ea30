package lp

import (
	"math"
	"slices"
)

// cholesky factors A·D·Aᵀ for one A and many diagonal D.
type cholesky struct {
	n      int
	place  []int32   // of a row of A in the order of elimination
	rows   [][]int32 // by row of the factor, in order: columns of A·D·Aᵀ left of the diagonal, ascending
	sums   []sum     // how an entry is made: first the diagonal of each row, then what rows has
	at     []int32   // by row: its first of sums behind the diagonals
	parent []int32   // elimination tree; -1 for a root

	// The factor L by columns, the diagonal first, rows ascending.
	start []int
	index []int32
	value []float64

	free []int     // by column: where its next entry goes
	work []float64 // a row
	path []int32
	mark []int32
}

// sum is an entry of A·D·Aᵀ: the sum of by·d over columns of A.
type sum struct {
	columns []int32
	by      []float64
}

// column is one of A.
type column struct {
	row []int32
	by  []float64
}

func newCholesky(rows int, columns []column) *cholesky {
	// The pattern: rows that share a column.
	sets := make([]map[int32]int32, rows)
	for i := range sets {
		sets[i] = map[int32]int32{}
	}
	for _, c := range columns {
		for _, i := range c.row {
			for _, k := range c.row {
				if i != k {
					sets[i][k] = 0
				}
			}
		}
	}
	adjacent := make([][]int32, rows)
	for i, set := range sets {
		for k := range set {
			adjacent[i] = append(adjacent[i], k)
		}
		slices.Sort(adjacent[i])
	}
	f := &cholesky{n: rows, place: make([]int32, rows), rows: make([][]int32, rows), at: make([]int32, rows)}
	copied := make([][]int32, rows)
	for i := range adjacent {
		copied[i] = slices.Clone(adjacent[i])
	}
	by := order(copied)
	for k, i := range by {
		f.place[i] = int32(k)
	}
	f.sums = make([]sum, rows)
	for k, i := range by {
		f.at[k] = int32(len(f.sums))
		for _, other := range adjacent[i] {
			if at := f.place[other]; at < int32(k) {
				f.rows[k] = append(f.rows[k], at)
			}
		}
		slices.Sort(f.rows[k])
		for x, at := range f.rows[k] {
			sets[i][by[at]] = f.at[k] + int32(x)
			f.sums = append(f.sums, sum{})
		}
	}
	for j, c := range columns {
		for x, i := range c.row {
			for y, k := range c.row {
				at := f.place[i]
				switch {
				case i == k:
				case f.place[k] < f.place[i]:
					at = sets[i][k]
				default:
					continue
				}
				s := &f.sums[at]
				s.columns, s.by = append(s.columns, int32(j)), append(s.by, c.by[x]*c.by[y])
			}
		}
	}
	f.analyse()
	return f
}

// analyse finds the elimination tree and how long the columns of the factor are.
func (f *cholesky) analyse() {
	f.parent, f.mark = make([]int32, f.n), make([]int32, f.n)
	ancestor := make([]int32, f.n)
	for k := range f.n {
		f.parent[k], ancestor[k] = -1, -1
		for _, i := range f.rows[k] {
			for i != -1 && i < int32(k) {
				up := ancestor[i]
				ancestor[i] = int32(k)
				if up == -1 {
					f.parent[i] = int32(k)
				}
				i = up
			}
		}
	}
	f.work, f.path, f.free = make([]float64, f.n), make([]int32, f.n), make([]int, f.n)
	length := make([]int, f.n)
	for k := range f.n {
		f.mark[k] = -1
	}
	for k := range f.n {
		length[k]++
		for _, i := range f.reach(k) {
			length[i]++
		}
	}
	f.start = make([]int, f.n+1)
	for k, n := range length {
		f.start[k+1] = f.start[k] + n
	}
	f.index, f.value = make([]int32, f.start[f.n]), make([]float64, f.start[f.n])
	for k := range f.n {
		f.mark[k] = -1
	}
}

// reach are the columns of row k of the factor, left of the diagonal, each before those that
// depend on it.
func (f *cholesky) reach(k int) []int32 {
	top := f.n
	f.mark[k] = int32(k)
	for _, i := range f.rows[k] {
		n := 0
		for ; f.mark[i] != int32(k); i = f.parent[i] {
			f.path[n] = i
			n++
			f.mark[i] = int32(k)
		}
		for n > 0 {
			n--
			top--
			f.path[top] = f.path[n]
		}
	}
	return f.path[top:]
}

// factor makes L of A·D·Aᵀ row by row. A pivot that is nothing beside the diagonal that it
// comes from is a row that follows from others: it is left out, which is to make its pivot huge.
func (f *cholesky) factor(d []float64) {
	for k := range f.n {
		f.mark[k] = -1
	}
	for k := range f.n {
		diagonal := f.sums[k].of(d)
		pivot := diagonal
		for x, i := range f.rows[k] {
			f.work[i] = f.sums[int(f.at[k])+x].of(d)
		}
		f.free[k] = f.start[k]
		for _, i := range f.reach(k) {
			from, to := f.start[i], f.free[i]
			l := f.work[i] / f.value[from]
			f.work[i] = 0
			index, value := f.index[from+1:to], f.value[from+1:to]
			for x, r := range index {
				f.work[r] -= value[x] * l
			}
			pivot -= l * l
			f.index[to], f.value[to] = int32(k), l
			f.free[i]++
		}
		if !(pivot > dependent*diagonal) {
			pivot = huge
		}
		f.index[f.start[k]], f.value[f.start[k]] = int32(k), math.Sqrt(pivot)
		f.free[k]++
	}
}

const (
	dependent = 1e-14
	huge      = 1e128
)

func (s *sum) of(d []float64) float64 {
	out := 0.0
	for x, j := range s.columns {
		out += s.by[x] * d[j]
	}
	return out
}

// solve replaces b, by row of A, by what A·D·Aᵀ makes it of.
func (f *cholesky) solve(b []float64) {
	x := f.work
	for i, at := range f.place {
		x[at] = b[i]
	}
	for k := range f.n {
		from, to := f.start[k], f.start[k+1]
		v := x[k] / f.value[from]
		x[k] = v
		for y := from + 1; y < to; y++ {
			x[f.index[y]] -= f.value[y] * v
		}
	}
	for k := f.n - 1; k >= 0; k-- {
		from, to := f.start[k], f.start[k+1]
		v := x[k]
		for y := from + 1; y < to; y++ {
			v -= f.value[y] * x[f.index[y]]
		}
		x[k] = v / f.value[from]
	}
	for i, at := range f.place {
		b[i] = x[at]
	}
	clear(x)
}
