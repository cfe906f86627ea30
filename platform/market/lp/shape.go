package lp

import (
	"math"
	"slices"
)

// newShape takes the rows of the columns of a block, one behind the other: from 0 up of the
// block, from -1 down of the border.
func newShape(n, border int, ends, rows []int32) *shape {
	s := &shape{sizes: make([]int32, len(ends)-1)}
	adjacent := make([][]int32, n)
	products := 0
	for c := range s.sizes {
		column := rows[ends[c]:ends[c+1]]
		s.sizes[c] = int32(len(column))
		products += len(column) * (len(column) + 1) / 2
		for _, i := range column {
			for _, k := range column {
				if i != k && i >= 0 && k >= 0 {
					adjacent[i] = append(adjacent[i], k)
				}
			}
		}
	}
	for i := range adjacent {
		slices.Sort(adjacent[i])
		adjacent[i] = slices.Compact(adjacent[i])
	}
	s.pattern = newPattern(adjacent)
	s.meet(border, ends, rows)
	s.sort(ends, rows, products)
	return s
}

// meet finds the turns of the border: of the row of the block that comes first in elimination.
func (s *shape) meet(border int, ends, rows []int32) {
	first := make([]int32, border)
	for i := range first {
		first[i] = math.MaxInt32
	}
	for c := range s.sizes {
		column := rows[ends[c]:ends[c+1]]
		for _, i := range column {
			for _, k := range column {
				if i < 0 && k >= 0 {
					first[-i-1] = min(first[-i-1], s.place[k])
				}
			}
		}
	}
	by := make([]int32, border)
	for i := range by {
		by[i] = int32(i)
	}
	slices.SortStableFunc(by, func(x, y int32) int { return int(first[x]) - int(first[y]) })
	s.turn = make([]int32, border)
	s.seen = make([]int32, s.n)
	for at, i := range by {
		s.turn[i] = int32(at)
		if first[i] < int32(s.n) {
			s.seen[first[i]] = int32(at + 1)
		}
	}
	for k := 1; k < s.n; k++ {
		s.seen[k] = max(s.seen[k], s.seen[k-1])
	}
}

// sort finds what each product of two entries of a column is a part of.
func (s *shape) sort(ends, rows []int32, products int) {
	s.slot = make([]int32, 0, products)
	// One of T by its row, then by its column; those of B and of C are numbered as they come.
	kinds := map[[2]int32]int32{}
	for k, list := range s.rows {
		for x, i := range list {
			kinds[[2]int32{int32(k), i}] = s.at[k] + int32(x)
		}
	}
	place := func(i int32) int32 { // of the border below those of the block
		if i >= 0 {
			return s.place[i]
		}
		return -1 - s.turn[-i-1]
	}
	type product struct{ high, low int32 }
	all := make([]product, 0, products)
	for c := range s.sizes {
		column := rows[ends[c]:ends[c+1]]
		for x, i := range column {
			for _, k := range column[:x+1] {
				high, low := place(i), place(k)
				if high < low {
					high, low = low, high
				}
				all = append(all, product{high, low})
				key := [2]int32{high, low}
				switch _, known := kinds[key]; {
				case known || high == low && low >= 0:
				case high >= 0:
					kinds[key] = 0
					s.b = append(s.b, entry{high, -1 - low})
				default:
					kinds[key] = 0
					s.c = append(s.c, entry{-1 - high, -1 - low})
				}
			}
		}
	}
	slices.SortFunc(s.b, func(x, y entry) int {
		if x.row != y.row {
			return int(x.row - y.row)
		}
		return int(x.border - y.border)
	})
	at := int32(s.entries())
	for _, e := range s.b {
		kinds[[2]int32{e.row, -1 - e.border}] = at
		at++
	}
	for _, e := range s.c {
		kinds[[2]int32{-1 - e.row, -1 - e.border}] = at
		at++
	}
	for _, p := range all {
		slot := p.high
		if p.high != p.low || p.low < 0 {
			slot = kinds[[2]int32{p.high, p.low}]
		}
		s.slot = append(s.slot, slot)
	}
}
