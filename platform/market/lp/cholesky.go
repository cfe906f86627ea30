package lp

import (
	"context"
	"math"
	"slices"
)

// pattern is where a symmetric matrix and its Cholesky factor have entries. It is shared by
// all matrices that look the same.
type pattern struct {
	n      int
	place  []int32   // of a row in the order of elimination
	rows   [][]int32 // by place: places left of the diagonal that have an entry, ascending
	at     []int32   // by place: where the first of them is among all entries; the diagonals are the first n
	parent []int32   // elimination tree; -1 for a root

	// The factor by columns, the diagonal first, rows ascending.
	start []int32
	index []int32 // whose values are those of the factor, but 1 by it on the diagonal
}

// newPattern takes the neighbours of each row, ascending, without itself.
func newPattern(adjacent [][]int32) *pattern {
	n := len(adjacent)
	f := &pattern{n: n, place: make([]int32, n), rows: make([][]int32, n), at: make([]int32, n+1)}
	copied := make([][]int32, n)
	for i := range adjacent {
		copied[i] = slices.Clone(adjacent[i])
	}
	by := order(copied)
	for k, i := range by {
		f.place[i] = int32(k)
	}
	entries := int32(n)
	for k, i := range by {
		f.at[k] = entries
		for _, other := range adjacent[i] {
			if at := f.place[other]; at < int32(k) {
				f.rows[k] = append(f.rows[k], at)
			}
		}
		slices.Sort(f.rows[k])
		entries += int32(len(f.rows[k]))
	}
	f.at[n] = entries
	f.analyse()
	return f
}

// entries is how many there are on the diagonal and below it.
func (f *pattern) entries() int { return int(f.at[f.n]) }

// analyse finds the elimination tree and the columns of the factor.
func (f *pattern) analyse() {
	f.parent = make([]int32, f.n)
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
	w := newScratch(f.n)
	f.start = make([]int32, f.n+1)
	for k := range f.n {
		f.start[k+1]++
		for _, i := range f.reach(k, w) {
			f.start[i+1]++
		}
	}
	for k := range f.n {
		f.start[k+1] += f.start[k]
	}
	f.index = make([]int32, f.start[f.n])
	w.reset(f.n)
	for k := range f.n {
		f.index[f.start[k]] = int32(k)
		w.free[k] = f.start[k] + 1
		for _, i := range f.reach(k, w) {
			f.index[w.free[i]] = int32(k)
			w.free[i]++
		}
	}
}

// scratch is what a factorisation needs besides; its length is that of the largest matrix.
type scratch struct {
	free, path, mark []int32
	work             []float64 // a row, 0 outside of its use
}

func newScratch(n int) *scratch {
	w := &scratch{free: make([]int32, n), path: make([]int32, n), mark: make([]int32, n), work: make([]float64, n)}
	w.reset(n)
	return w
}

func (w *scratch) reset(n int) {
	for k := range n {
		w.mark[k] = -1
	}
}

// reach are the columns of row k of the factor, left of the diagonal, each before those that
// depend on it.
func (f *pattern) reach(k int, w *scratch) []int32 {
	top := f.n
	w.mark[k] = int32(k)
	for _, i := range f.rows[k] {
		n := 0
		for ; w.mark[i] != int32(k); i = f.parent[i] {
			w.path[n] = i
			n++
			w.mark[i] = int32(k)
		}
		for n > 0 {
			n--
			top--
			w.path[top] = w.path[n]
		}
	}
	return w.path[top:f.n]
}

// factor makes the factor, as long as index is, row by row of the entries of a matrix. A pivot that is
// nothing beside the diagonal that it comes from is a row that follows from others: it is left
// out, which is to make its pivot huge. It is not ok when the context has ended.
func (f *pattern) factor(ctx context.Context, entries, value []float64, w *scratch) (ok bool) {
	w.reset(f.n)
	for k := range f.n {
		if k%often == 0 && ctx.Err() != nil {
			return false
		}
		pivot := entries[k]
		for x, i := range f.rows[k] {
			w.work[i] = entries[int(f.at[k])+x]
		}
		for _, i := range f.reach(k, w) {
			from, to := f.start[i], w.free[i]
			l := w.work[i] * value[from]
			w.work[i] = 0
			below := value[from+1 : to]
			for x, r := range f.index[from+1 : to] {
				w.work[r] -= below[x] * l
			}
			pivot -= l * l
			value[to] = l
			w.free[i]++
		}
		value[f.start[k]] = 1 / root(pivot, entries[k])
		w.free[k] = f.start[k] + 1
	}
	return true
}

// often is after how many rows a context is asked whether it has ended.
const often = 16

func root(pivot, diagonal float64) float64 {
	if !(pivot > dependent*diagonal) {
		return math.Sqrt(huge)
	}
	return math.Sqrt(pivot)
}

const (
	dependent = 1e-13
	huge      = 1e128
)

// forth and back solve with the factor and with its transpose, in the order of elimination.
func (f *pattern) forth(value, x []float64) {
	for k := range f.n {
		from, to := f.start[k], f.start[k+1]
		v := x[k] * value[from]
		x[k] = v
		below := value[from+1 : to]
		for y, r := range f.index[from+1 : to] {
			x[r] -= below[y] * v
		}
	}
}

func (f *pattern) back(value, x []float64) {
	for k := f.n - 1; k >= 0; k-- {
		from, to := f.start[k], f.start[k+1]
		v := x[k]
		below := value[from+1 : to]
		for y, r := range f.index[from+1 : to] {
			v -= below[y] * x[r]
		}
		x[k] = v * value[from]
	}
}
