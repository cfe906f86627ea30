package aging

import "fmt"

// Duty is the use that a table of depth segments is made for.
type Duty struct {
	CRate   float64 // 1/h, magnitude, above 0
	TempK   float64 // K
	SoC     float64 // 0..1, midway
	EndLoss float64 // of capacity by cycles alone, at which life ends: 0.2 is usual
}

// Segment is a slice of the depth of a cycle and what it costs to go through it,
// down and up again. Money for new cells times Share, over the energy of the slice,
// is the marginal cost that a dispatch needs (B. Xu et al., "Factoring the cycle
// aging cost of batteries participating in electricity markets", IEEE Trans. Power
// Systems 33 (2018) 2248).
type Segment struct {
	From, To float64 // depth, 0..1
	Share    float64 // of life: 1/N(To) - 1/N(From), N cycles of that depth being a life
	// Convex is Share moved between neighbours so that Convex/(To - From) never
	// falls with depth, with the same total over all segments and never a higher
	// one up to any depth: the largest convex function below 1/N. The method of Xu
	// et al. is exact for such costs only, and a law need not have them.
	Convex float64
}

// DepthSegments cuts the depth of a cycle into n equal slices. Calendar ageing has
// no part in it. The scale has none either.
func (m *Model) DepthSegments(n int, d Duty) ([]Segment, error) {
	if n < 1 || !(d.CRate > 0 && d.TempK > 0 && d.EndLoss > 0) {
		return nil, fmt.Errorf("%d depth segments for %+v: want at least 1 and a rate, temperature and end of life above 0", n, d)
	}
	segments := make([]Segment, n)
	var from, used float64
	for i := range segments {
		to := float64(i+1) / float64(n)
		share := m.lifeShare(to, d)
		segments[i] = Segment{From: from, To: to, Share: share - used}
		from, used = to, share
	}
	convexify(segments)
	return segments, nil
}

// lifeShare is the part of its life that a cell spends on one cycle of that depth.
func (m *Model) lifeShare(depth float64, d Duty) float64 {
	age := m.cycleAge(depth, d)
	loss := func(cycles float64) float64 {
		var sum Processes
		for i, a := range age {
			sum[i] = a * cycles
		}
		return m.useLoss(sum).Q
	}
	lo, hi := 0.0, 1.0 // cycles: not dead, dead
	for loss(hi) < d.EndLoss {
		if lo, hi = hi, 2*hi; hi > 1e18 {
			return 0 // it does not wear
		}
	}
	for {
		mid := (lo + hi) / 2
		if mid <= lo || mid >= hi {
			return 1 / mid
		}
		if loss(mid) < d.EndLoss {
			lo = mid
		} else {
			hi = mid
		}
	}
}

// cycleAge is the age gained in one cycle of that depth.
func (m *Model) cycleAge(depth float64, d Duty) (age Processes) {
	half := depth / d.CRate * hour // s
	switch {
	case m.laws.Cycle != nil:
		return m.laws.Cycle.Ages(Cycle{Count: 1, Depth: depth, SoC: d.SoC, CRate: d.CRate, TempK: d.TempK, Seconds: 2 * half})
	case m.laws.Throughput != nil:
		in := m.laws.Throughput.Rates(m.Stress(d.SoC, d.TempK, d.CRate))
		out := m.laws.Throughput.Rates(m.Stress(d.SoC, d.TempK, -d.CRate))
		for i := range age {
			age[i] = (in[i] + out[i]) * half
		}
	}
	return age
}

// convexify fills in Convex: neighbours whose share falls with depth are pooled
// until none does (pool adjacent violators).
func convexify(segments []Segment) {
	type pool struct {
		share float64 // mean of its segments
		count int
	}
	var pools []pool
	for _, s := range segments {
		p := pool{s.Share, 1}
		for len(pools) > 0 && pools[len(pools)-1].share > p.share {
			q := pools[len(pools)-1]
			n := q.count + p.count
			p = pool{(q.share*float64(q.count) + p.share*float64(p.count)) / float64(n), n}
			pools = pools[:len(pools)-1]
		}
		pools = append(pools, p)
	}
	i := 0
	for _, p := range pools {
		for range p.count {
			segments[i].Convex = p.share
			i++
		}
	}
}
