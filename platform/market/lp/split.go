package lp

import "slices"

// split says which rows are the border, and to which block each of the others belongs; -1 for
// the border. The border are the longest rows, down to where the next one has at most half as
// many entries, where that saves work.
func split(a, rows *matrix) (home []int32, blocks int, border []int32) {
	long := longest(rows)
	home, blocks = apart(a, len(long), nil)
	least := work(a, rows, home, blocks, nil)
	for m := 1; m <= min(mostBorder, len(long)-1); m++ {
		if rows.length(long[m-1]) < 2*rows.length(long[m]) {
			continue
		}
		h, n := apart(a, len(long), long[:m])
		if w := work(a, rows, h, n, long[:m]); w < least {
			home, blocks, border, least = h, n, long[:m], w
		}
	}
	slices.Sort(border)
	return home, blocks, border
}

// longest are the rows by their lengths, the longest first.
func longest(rows *matrix) []int32 {
	n, most := len(rows.start)-1, 0
	for r := range int32(n) {
		most = max(most, rows.length(r))
	}
	at := make([]int, most+2)
	for r := range int32(n) {
		at[most-rows.length(r)+1]++
	}
	for l := range most + 1 {
		at[l+1] += at[l]
	}
	out := make([]int32, n)
	for r := range int32(n) {
		l := most - rows.length(r)
		out[at[l]] = r
		at[l]++
	}
	return out
}

// apart finds what is connected without the border.
func apart(a *matrix, n int, border []int32) (home []int32, blocks int) {
	parent := make([]int32, n)
	for r := range parent {
		parent[r] = int32(r)
	}
	for _, r := range border {
		parent[r] = -1
	}
	top := func(r int32) int32 {
		for parent[r] != r {
			parent[r] = parent[parent[r]]
			r = parent[r]
		}
		return r
	}
	for j := range len(a.start) - 1 {
		first := int32(-1)
		for _, r := range a.row[a.start[j]:a.start[j+1]] {
			if parent[r] < 0 {
				continue
			}
			if r = top(r); first < 0 {
				first = r
			} else if r != first { // the lower number stays
				parent[max(r, first)] = min(r, first)
				first = min(r, first)
			}
		}
	}
	home = make([]int32, n)
	for r := range home {
		switch {
		case parent[r] < 0:
			home[r] = -1
		case parent[r] == int32(r):
			home[r] = int32(blocks)
			blocks++
		default:
			home[r] = home[top(int32(r))]
		}
	}
	return home, blocks
}

// work is an idea of how much it is to factor: for each block as if all its rows filled up like
// the longest one, and what it does to the border.
func work(a, rows *matrix, home []int32, blocks int, border []int32) float64 {
	size, most, meets, last := make([]int, blocks), make([]int, blocks), make([]int, blocks), make([]int32, blocks)
	for r, b := range home {
		if b >= 0 {
			size[b]++
			most[b] = max(most[b], rows.length(int32(r)))
		}
	}
	for i, r := range border {
		for _, j := range rows.row[rows.start[r]:rows.start[r+1]] {
			for _, k := range a.row[a.start[j]:a.start[j+1]] {
				if b := home[k]; b >= 0 && last[b] != int32(i)+1 {
					last[b] = int32(i) + 1
					meets[b]++
				}
			}
		}
	}
	m := float64(len(border))
	sum := m * m * m / 6
	for b := range blocks {
		sum += float64(size[b]) * (float64(most[b])*float64(most[b]) + 3*float64(meets[b]))
	}
	return sum
}
