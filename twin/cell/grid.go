package cell

import (
	"math"
	"slices"
	"sort"
)

// grid is all tables of a cell type over the union of their knots, so that one
// search serves all of them. On the union every table is still linear between two
// knots, so nothing is lost.
type grid struct {
	spans []span
	first []uint16 // span that holds the start of each of len(first) equal buckets
	low   float64  // first knot
	scale float64  // buckets per state of charge
}

// span is one interval of the grid: value at its lower knot and slope of each table.
type span struct {
	from, to float64 // state of charge
	u, du    float64 // open-circuit voltage V
	m, dm    float64 // half gap V
	e, de    float64 // dU/dT V/K
	r, dr    float64 // total resistance ohm
}

func newGrid(ocv, gap, entropy, resistance Table) grid {
	var knots []float64
	for _, t := range []Table{ocv, gap, entropy, resistance} {
		knots = append(knots, t.SoC...)
	}
	slices.Sort(knots)
	knots = slices.CompactFunc(knots, func(a, b float64) bool { return math.Abs(b-a) < 1e-12 })

	// Flat outside: a span from far below the first knot and one to far above the last.
	const far = 1e9
	n := len(knots)
	g := grid{low: knots[0]}
	g.spans = append(g.spans, flat(-far, knots[0], knots[0], ocv, gap, entropy, resistance))
	for i := 1; i < n; i++ {
		a, b := knots[i-1], knots[i]
		s := span{from: a, to: b}
		s.u, s.du = ocv.line(a, b)
		s.m, s.dm = gap.line(a, b)
		s.e, s.de = entropy.line(a, b)
		s.r, s.dr = resistance.line(a, b)
		g.spans = append(g.spans, s)
	}
	g.spans = append(g.spans, flat(knots[n-1], far, knots[n-1], ocv, gap, entropy, resistance))

	// As many buckets as the narrowest span needs to hold a bucket, within reason:
	// evenly spaced tables are then found without a search.
	width := 1.0
	for i := 1; i < n; i++ {
		width = min(width, knots[i]-knots[i-1])
	}
	buckets := int(math.Ceil((knots[n-1]-knots[0])/width - 1e-6))
	buckets = min(max(buckets, 1), 4096)
	g.scale = float64(buckets) / (knots[n-1] - knots[0])
	g.first = make([]uint16, buckets)
	for b := range g.first {
		z := g.low + float64(b)/g.scale
		g.first[b] = uint16(max(1, sort.Search(len(g.spans)-1, func(i int) bool { return g.spans[i].to > z })))
	}
	return g
}

func flat(from, to, at float64, ocv, gap, entropy, resistance Table) span {
	return span{from: from, to: to, u: ocv.at(at), m: gap.at(at), e: entropy.at(at), r: resistance.at(at)}
}

// line returns value and slope of t between two neighbouring knots of the union.
func (t Table) line(a, b float64) (value, slope float64) {
	va, vb := t.at(a), t.at(b)
	return va, (vb - va) / (b - a)
}

// at interpolates t.
func (t Table) at(z float64) float64 {
	i := sort.SearchFloat64s(t.SoC, z)
	switch {
	case i == 0:
		return t.Value[0]
	case i == len(t.SoC):
		return t.Value[i-1]
	}
	w := (z - t.SoC[i-1]) / (t.SoC[i] - t.SoC[i-1])
	return t.Value[i-1] + w*(t.Value[i]-t.Value[i-1])
}

// find returns the index of the span that holds z. It is kept out of line so that
// near, which seldom needs it, is not.
//
//go:noinline
func (g *grid) find(z float64) int {
	b := int((z - g.low) * g.scale)
	if z < g.low {
		return 0
	}
	i := len(g.spans) - 1
	if uint(b) < uint(len(g.first)) { // not so for NaN either
		i = int(g.first[b])
	}
	for i > 0 && z < g.spans[i].from {
		i--
	}
	for i < len(g.spans)-1 && z >= g.spans[i].to {
		i++
	}
	return i
}

// way is how far span i goes on the way to b in state of charge, and the span behind
// it: i itself where the way ends. The outermost spans go on for ever, so that no state
// of charge, however absurd, leads out of the grid.
func (g *grid) way(i int, b float64) (end float64, next int) {
	switch s := &g.spans[i]; {
	case b > s.to && i < len(g.spans)-1:
		return s.to, i + 1
	case b < s.from && i > 0:
		return s.from, i - 1
	}
	return b, i
}

// near is find for a z that is likely in span i.
func (g *grid) near(i int, z float64) int {
	if s := &g.spans[i]; z >= s.from && z < s.to {
		return i
	}
	return g.find(z)
}

// mean returns the means of U and dU/dT on the way from a to b in state of charge,
// each state passed at the same speed: the exact integral of the tables.
// i is the span that holds a; b is outside it.
func (g *grid) mean(i int, a, b float64) (u, e float64) {
	s := &g.spans[i]
	z := a
	for {
		end, next := g.way(i, b)
		d, w := (z+end)/2-s.from, end-z
		u += w * (s.u + s.du*d)
		e += w * (s.e + s.de*d)
		if next == i {
			break
		}
		z, i = end, next
		s = &g.spans[i]
	}
	return u / (b - a), e / (b - a)
}
