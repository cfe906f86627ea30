package dispatch

import (
	"fmt"
	"math"

	"yunchu/platform/dispatch/alloc"
	"yunchu/platform/fleet/image"
)

// share divides free among the units, to p.out: tier by tier, within the limits of groups.
// It returns the sum, and the limits that bind.
func (p *Planner) share(img *image.Image, free float64) (float64, []Bound, error) {
	first, last := p.tiers[0], p.tiers[1]
	if first >= last {
		return p.solve(p.problem, free)
	}
	// Tier by tier, all units up to it: those of tiers before may only do more in their
	// direction than they did without it, so that they keep what they have where that was
	// all they can.
	q := &p.problem
	p.tierLo, p.tierHi = resize(p.tierLo, len(p.units)), resize(p.tierHi, len(p.units))
	clear(p.out)
	var (
		sum    float64
		bounds []Bound
		err    error
	)
	for tier := first; tier <= last; {
		next := last + 1
		for i := range p.units {
			t := img.Devices[p.units[i].slot].Info.Tier
			lo, hi, x := q.Lo[i], q.Hi[i], p.out[i]
			switch {
			case t > tier:
				next = min(next, t)
				lo, hi = min(max(0, lo), hi), min(max(0, lo), hi)
			case t < tier && lo >= 0: // charging
				lo = min(max(x, lo), hi)
			case t < tier:
				hi = max(min(x, hi), lo)
			}
			if hi-lo < 1e-9*max(1, math.Abs(hi), math.Abs(lo)) {
				lo = hi
			}
			p.tierLo[i], p.tierHi[i] = lo, hi
		}
		part := alloc.Problem{A: q.A, B: q.B, R: q.R, Lo: p.tierLo, Hi: p.tierHi}
		sum, bounds, err = p.solve(part, free)
		if err != nil || p.enough(free, sum, bounds) {
			break
		}
		tier = next
	}
	return sum, bounds, err
}

// enough reports whether no other tier is needed.
func (p *Planner) enough(free, sum float64, bounds []Bound) bool {
	for _, b := range bounds {
		if !b.Kept {
			return false
		}
	}
	return math.Abs(free-sum) <= 1e-9*max(1, math.Abs(free))
}

// solve is the allocation with or without groups.
func (p *Planner) solve(q alloc.Problem, free float64) (float64, []Bound, error) {
	if !p.groups.on() {
		res, err := p.solver.Solve(q, free, p.out)
		return res.Sum, nil, err
	}
	w, err := p.nested.Solve(q, p.groups.tree, free, p.out)
	if err != nil {
		return 0, nil, fmt.Errorf("within limits of groups: %w", err)
	}
	bounds := p.groups.bounds(&w)
	p.hold(&w)
	return w.Result.Sum, bounds, nil
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
