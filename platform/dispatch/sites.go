package dispatch

import (
	"fmt"
	"math"
	"slices"
	"time"

	"yunchu/platform/dispatch/alloc"
)

// Aim is what the devices behind a connection with a target of its own are asked for, and what
// the plan makes of it. Load that is not the fleet's is in neither.
type Aim struct {
	Name      string
	TargetKW  float64
	PlannedKW float64
}

// Aims is the sum of the targets that sites have of their own at now, kW, and whether one has.
// One that lies within another's is in that.
func (p *Planner) Aims(now time.Time) (kw float64, any bool) {
	g := &p.groups
	for k := range g.limits { // outer ones come first
		g.aims[k] = g.limits[k].target(now)
		if math.IsNaN(g.aims[k]) {
			continue
		}
		any = true
		up := g.tree.Groups[k].Parent
		for up >= 0 && math.IsNaN(g.aims[up]) {
			up = g.tree.Groups[up].Parent
		}
		if up < 0 {
			kw += g.aims[k]
		}
	}
	return kw, any
}

// target is what the limit's devices are asked for at now, kW; NaN: nothing of their own.
func (l *Limit) target(now time.Time) float64 {
	if l.Target == nil {
		return math.NaN()
	}
	return l.Target(now)
}

// ranges are the least and the most that groups can have, by group and all, kW.
type ranges struct{ lo, hi []float64 }

func newRanges(n int) ranges { return ranges{make([]float64, n+1), make([]float64, n+1)} }

// aiming is how targets are brought within limits.
type aiming struct {
	*groups
	hard  ranges // within limits alone
	loose ranges // with the targets within a group, but not its own
	soft  ranges // and with its own
}

// aim gives the groups with targets what is left of these for their free devices, as near as
// the limits of all groups allow, in place of their limits, and reports whether there is one.
// lo and hi are what each device can do; reach has gone before, and is to be repeated.
//
// A limit goes before the targets within it: where these break it, all give way by the
// same part. An inner target goes before the one around it.
func (g *groups) aim(now time.Time, lo, hi []float64) (any bool) {
	for k := range g.limits {
		g.aims[k] = g.limits[k].target(now)
		any = any || !math.IsNaN(g.aims[k])
	}
	if !any {
		return false
	}
	n := len(g.limits)
	a := aiming{g, ranges{slices.Clone(g.lo), slices.Clone(g.hi)}, newRanges(n), newRanges(n)}
	for i, k := range g.tree.Of {
		a.loose.lo[g.at(int(k))] += lo[i]
		a.loose.hi[g.at(int(k))] += hi[i]
	}
	for k := n - 1; k >= 0; k-- { // inner ones come later, and have been added
		b := &g.tree.Groups[k]
		a.yield(k, -1, a.loose.lo[k]-b.Hi)
		a.yield(k, 1, b.Lo-a.loose.hi[k])
		low, high := a.loose.lo[k], a.loose.hi[k]
		low, high = min(max(low, b.Lo), high), max(min(high, b.Hi), low)
		if t := g.aims[k]; !math.IsNaN(t) {
			low = min(max(t-g.own[k], low), high)
			high = low
		}
		a.soft.lo[k], a.soft.hi[k] = low, high
		a.loose.lo[g.at(b.Parent)] += low
		a.loose.hi[g.at(b.Parent)] += high
		if b.Parent >= 0 {
			g.own[b.Parent] += g.own[k]
		}
	}
	for k, t := range g.aims {
		if !math.IsNaN(t) {
			g.tree.Groups[k].Lo, g.tree.Groups[k].Hi = a.soft.lo[k], a.soft.lo[k]
		}
	}
	return true
}

// yield moves the targets within group k by kw down (way -1) or up (1), or as far as they can:
// each by the same part of the way to nothing, and if that is not enough of the way beyond.
func (a *aiming) yield(k int, way, kw float64) {
	for _, end := range [...]float64{0, math.Inf(1)} {
		room := func(c int) float64 {
			if way < 0 {
				return max(0, a.soft.lo[c]-max(a.hard.lo[c], -end))
			}
			return max(0, min(a.hard.hi[c], end)-a.soft.hi[c])
		}
		total := 0.0
		for c := k + 1; c < len(a.limits) && kw > 0; c++ {
			if a.tree.Groups[c].Parent == k {
				total += room(c)
			}
		}
		moved := min(kw, total)
		for c := k + 1; c < len(a.limits) && moved > 0; c++ {
			if a.tree.Groups[c].Parent != k {
				continue
			}
			part := way * moved * room(c) / total
			a.soft.lo[c] += part
			a.soft.hi[c] += part
			if way < 0 {
				a.yield(c, way, a.loose.lo[c]-a.soft.lo[c])
			} else {
				a.yield(c, way, a.soft.hi[c]-a.loose.hi[c])
			}
		}
		if moved > 0 {
			a.loose.lo[k] += way * moved
			a.loose.hi[k] += way * moved
			kw -= moved
		}
	}
}

// aimed are the targets of groups in a solution.
func (g *groups) aimed(w *alloc.Within) (out []Aim) {
	for k, t := range g.aims {
		if !math.IsNaN(t) {
			out = append(out, Aim{Name: g.limits[k].Name, TargetKW: t, PlannedKW: w.Sum[k] + g.own[k]})
		}
	}
	return out
}

// met reports whether a target is what the plan makes of it.
func (a *Aim) met() bool {
	return math.Abs(a.PlannedKW-a.TargetKW) <= 1e-6*max(1, math.Abs(a.TargetKW))
}

// String tells what is planned of a target.
func (a *Aim) String() string {
	return fmt.Sprintf("%s is asked for %.6g kW and has %.6g kW", a.Name, a.TargetKW, a.PlannedKW)
}
