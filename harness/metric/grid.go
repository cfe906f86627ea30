package metric

import "math"

const (
	gridBins   = 1 << 15
	gridSteps  = 20_000 // bins across the stated range: 0.005 % of it each
	gridMargin = (gridBins - gridSteps) / 2
	gridLevels = 8 // the grid widens up to 2^8 times
)

// grid counts values of either sign in bins of equal width. It begins with
// 20,000 bins over the range it was made for (and some margin beyond), and
// doubles its width around the same centre when a finite value lies outside.
// Since the steps of widening do not depend on the data, two grids made for the
// same range always nest and merge exactly.
type grid struct {
	bins         [gridBins]int64
	lo           float64 // lower edge of bin 0
	width        float64 // of one bin
	inv          float64 // 1/width
	level        int     // how often it has widened
	from, width0 float64
}

func newGrid(lo, hi float64) *grid {
	w := (hi - lo) / gridSteps
	g := &grid{width: w, inv: 1 / w, width0: w, from: lo}
	// Half a bin lower, so that lo and hi are centres of bins.
	g.lo = lo - gridMargin*w - w/2
	return g
}

// index is the bin of v, widening the grid as far as it may. Beyond that the
// outermost bin takes it; minimum and maximum are kept exactly elsewhere.
func (g *grid) index(v float64) int {
	x := (v - g.lo) * g.inv
	for (x < 0 || x >= gridBins) && g.level < gridLevels {
		g.widen()
		x = (v - g.lo) * g.inv
	}
	return int(min(max(x, 0), gridBins-1))
}

// widen doubles the width of the bins; bin i goes to n/4 + i/2.
func (g *grid) widen() {
	var half [gridBins / 2]int64
	for i := range half {
		half[i] = g.bins[2*i] + g.bins[2*i+1]
	}
	clear(g.bins[:])
	copy(g.bins[gridBins/4:], half[:])
	g.lo -= gridBins / 2 * g.width
	g.width *= 2
	g.inv = 1 / g.width
	g.level++
}

// merge adds the counts of o, which was made for the same range.
func (g *grid) merge(o *grid) {
	for g.level < o.level {
		g.widen()
	}
	if o.level < g.level {
		c := *o
		for c.level < g.level {
			c.widen()
		}
		o = &c
	}
	for i, n := range o.bins {
		g.bins[i] += n
	}
}

// at is the value of rank k, counting from 1: the centre of its bin.
func (g *grid) at(k int64) float64 {
	var sum int64
	for i, n := range g.bins {
		if sum += n; sum >= k {
			return g.lo + (float64(i)+0.5)*g.width
		}
	}
	return math.NaN()
}
