package dispatch

import (
	"fmt"
	"math"

	"yunchu/platform/device"
	"yunchu/platform/dispatch/alloc"
	"yunchu/platform/fleet/image"
)

// share divides free among the units, to p.out: tier by tier, within the limits of groups.
// It returns the sum, and the limits that bind.
//
// A tier is a price on top, higher by more than all prices of the strategy differ. What can
// be moved between any two units without breaking a limit then moves to the earlier tier, and
// where nothing more can be moved between two, no other sharing uses the later tiers less:
// limits within each other make a base polytope, where exchanges of two lead to the least
// (Murota, Discrete Convex Analysis, SIAM 2003). What limits need of a later tier it does.
func (p *Planner) share(img *image.Image, free float64) (float64, []Bound, error) {
	q := p.problem
	most := 0.0
	if p.tiers[0] < p.tiers[1] {
		most = p.dearest()
		q.B = p.tiered(img, 4*most)
	}
	p.aims = nil
	if !p.groups.on() {
		res, err := p.solver.Solve(q, free, p.out)
		return res.Sum, nil, err
	}
	for i, b := range q.B { // groups are told apart by prices, for which a unit needs some way to go
		if way := q.Hi[i] - q.Lo[i]; way > 0 {
			q.A[i] = max(q.A[i], 0x1p-24*math.Abs(b)/way)
		}
	}
	w, err := p.nested.Solve(q, p.groups.tree, free, p.out)
	if err != nil {
		return 0, nil, fmt.Errorf("within limits of groups: %w", err)
	}
	if most > 0 { // what a kW costs but for its tier
		w.Result.Lambda = min(max(math.Remainder(w.Result.Lambda, 4*most), -most), most)
		for k, l := range w.Lambda {
			w.Lambda[k] = min(max(math.Remainder(l, 4*most), -most), most)
		}
	}
	bounds := p.groups.bounds(&w)
	p.aims = p.groups.aimed(&w)
	p.hold(&w)
	return w.Result.Sum, bounds, nil
}

// dearest is the highest price of a kW, up or down, with the costs of the strategy.
func (p *Planner) dearest() (most float64) {
	q := &p.problem
	for i, a := range q.A {
		if q.Lo[i] < q.Hi[i] {
			most = max(most, math.Abs(q.B[i]+a*(q.Lo[i]-q.R[i])), math.Abs(q.B[i]+a*(q.Hi[i]-q.R[i])))
		}
	}
	return most
}

// tiered are the prices of the units with a step more for each tier that is used before theirs.
func (p *Planner) tiered(img *image.Image, step float64) []float64 {
	var used [device.MaxTier + 1]bool
	for i := range p.units {
		used[p.tier(img, i)] = true
	}
	var more [device.MaxTier + 1]float64
	for t := 1; t < len(more); t++ {
		if more[t] = more[t-1]; used[t-1] {
			more[t] += step
		}
	}
	p.tierB = append(p.tierB[:0], p.problem.B...)
	for i := range p.tierB {
		if m := more[p.tier(img, i)]; p.problem.Lo[i] < 0 { // it discharges
			p.tierB[i] -= m
		} else {
			p.tierB[i] += m
		}
	}
	return p.tierB
}

// tier is that of a unit.
func (p *Planner) tier(img *image.Image, unit int) int {
	return min(max(img.Devices[p.units[unit].slot].Info.Tier, 0), device.MaxTier)
}

// enough reports whether the limits are kept and free is met.
func (p *Planner) enough(free, sum float64, bounds []Bound) bool {
	for _, b := range bounds {
		if !b.Kept {
			return false
		}
	}
	for i := range p.aims {
		if !p.aims[i].met() {
			return false
		}
	}
	return math.Abs(free-sum) <= 1e-9*max(1, math.Abs(free))
}

// hold notes which units a limit holds back.
func (p *Planner) hold(w *alloc.Within) {
	g := &p.groups
	for i, k := range g.tree.Of {
		p.units[i].limit = -1
		for ; k >= 0; k = int32(g.tree.Groups[k].Parent) {
			if w.Binds[k] != 0 {
				p.units[i].limit = k
				break
			}
		}
	}
}
