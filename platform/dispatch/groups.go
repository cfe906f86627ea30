package dispatch

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/dispatch/alloc"
	"yunchu/platform/fleet/image"
)

// Limit is what the devices behind one connection may have together: of a site, a feeder, a
// transformer. Limits may lie within each other; a device counts in the innermost one that
// it matches and in all around that.
type Limit struct {
	Name    string
	Devices string  // a glob over ids, as of path.Match; "" is all
	Edge    string  // only devices that this site serves; "" is any
	Import  float64 // the most that may flow in, kW >= 0; +Inf for any
	Export  float64 // the most that may flow out, kW >= 0; +Inf for any
	Within  string  // the limit around it; "" for none
	// Load is what else flows behind the connection, kW, positive is consumed; nil: nothing.
	Load func(now time.Time) float64
	// Meter is the device that measures all that flows through the connection, in place of
	// Load; "" for none. What is not the fleet's of it is other load.
	Meter device.ID
	// Target is what the devices behind it are asked for together, kW, beneath the target of
	// the fleet, of which the others have the rest; nil, or NaN: nothing of their own.
	Target func(now time.Time) float64
}

// Bound is a limit that holds devices back, or that cannot be kept.
type Bound struct {
	Name   string
	Import bool    // it bounds what flows in, else what flows out
	KW     float64 // the limit, positive for import and negative for export
	SumKW  float64 // what the plan makes of it, held devices and other load with it
	// Price is what the fleet's cost would fall by with one kW more of it, in the money of
	// the strategy; only cost has one that is money. 0 where it is not kept.
	Price float64
	Kept  bool // false: its devices cannot keep it, the plan is as near as they can
}

// Overlap is a device that is new behind two limits of which neither lies within the other,
// the first of all that these two have.
type Overlap struct {
	Slot      device.Slot
	In, Other string // the limit that it counts in, and one that it does not
}

// groups are the limits as the allocation sees them.
type groups struct {
	limits  []Limit
	tree    alloc.Tree
	of      []int32 // by slot: the innermost limit; -1 none
	known   []device.ID
	twice   map[[2]int32]bool // pairs of limits that have been reported for their overlap
	order   []int32           // limits in which each comes after the one around it: index in limits
	begins  []string          // by group: how the ids that its glob matches begin
	depths  []int             // by group: how many limits lie around it, itself too
	meters  []device.Slot
	fixed   []float64 // by group: what flows in it without the devices that are free, kW
	own     []float64 // by group: what of that is of devices that are held, or assumed, kW
	aims    []float64 // by group: its target, kW; NaN none
	seen    []float64 // by group: what its devices were seen to have, kW
	other   []float64 // by group: other load as last known, kW
	watch   []watch   // by group: what its meter shows
	moved   []float64 // by group: how much more they had when its meter spoke, before its first reading, kW
	waits   bool      // some meter has yet to be read first
	counted counted
	silent  []bool    // by group: its meter does not report
	blind   []bool    // by group: nobody knows what flows there beside
	lo, hi  []float64 // by group, and all: what its devices can have together within limits, kW
	least   []float64 // by group, and all: what they have where they do the least at all, kW
	way     []int8    // by group, and all: 1 its devices charge, -1 discharge, 0 they have nothing to do
	pinned  []int8    // by group: the limit that it stands at, 1 upper and -1 lower; 0 none
}

// CheckLimits returns what is wrong with limits: names that are not there or twice, limits
// that lie within each other in a circle, globs that are none, numbers below 0.
func CheckLimits(list []Limit) error {
	_, err := ordered(list)
	return err
}

// ordered are the indices of list, each after the one that it lies within.
func ordered(list []Limit) ([]int32, error) {
	at := map[string]int{}
	for i, l := range list {
		if _, twice := at[l.Name]; twice || l.Name == "" {
			return nil, fmt.Errorf("limit %d: the name %q is none or is given twice", i+1, l.Name)
		}
		if _, err := path.Match(l.Devices, "x"); err != nil {
			return nil, fmt.Errorf("limit %s: %q is no glob", l.Name, l.Devices)
		}
		if !(l.Import >= 0 && l.Export >= 0) {
			return nil, fmt.Errorf("limit %s: import %g kW and export %g kW are not both at least 0", l.Name, l.Import, l.Export)
		}
		at[l.Name] = i
	}
	var out []int32
	done := make([]bool, len(list))
	for len(out) < len(list) {
		before := len(out)
		for i, l := range list {
			up, ok := at[l.Within]
			if l.Within != "" && !ok {
				return nil, fmt.Errorf("limit %s lies within %q, which is not there", l.Name, l.Within)
			}
			if !done[i] && (l.Within == "" || done[up]) {
				out, done[i] = append(out, int32(i)), true
			}
		}
		if len(out) == before {
			return nil, fmt.Errorf("limits lie within each other in a circle")
		}
	}
	return out, nil
}

// SetLimits sets the limits of groups, none with an empty list, from the next decision on.
func (p *Planner) SetLimits(list []Limit) error {
	order, err := ordered(list)
	if err != nil {
		return err
	}
	g := groups{order: order}
	at := map[string]int{}
	for k, i := range order {
		l := list[i]
		at[l.Name] = k
		up := -1
		if l.Within != "" {
			up = at[l.Within]
		}
		g.limits = append(g.limits, l)
		g.tree.Groups = append(g.tree.Groups, alloc.Group{Parent: up})
		g.meters = append(g.meters, device.Plant)
		g.begins = append(g.begins, l.Devices[:strings.IndexAny(l.Devices+"*", `*?[\\`)])
		depth := 1
		if up >= 0 {
			depth += g.depths[up]
		}
		g.depths = append(g.depths, depth)
	}
	n := len(list)
	g.fixed, g.seen, g.other = make([]float64, n), make([]float64, n), make([]float64, n)
	g.silent, g.blind, g.pinned = make([]bool, n), make([]bool, n), make([]int8, n)
	g.lo, g.hi, g.least, g.way = make([]float64, n+1), make([]float64, n+1), make([]float64, n+1), make([]int8, n+1)
	g.moved, g.own, g.aims = make([]float64, n), make([]float64, n), make([]float64, n)
	g.watch, g.twice = make([]watch, n), map[[2]int32]bool{}
	p.groups = g
	return nil
}

// on reports whether there are limits.
func (g *groups) on() bool { return len(g.limits) > 0 }

// place finds the innermost limit of each device that is new, and those that lie across it.
func (g *groups) place(img *image.Image) (list []Overlap) {
	var matched []int32
	for i := range img.Devices {
		info := &img.Devices[i].Info
		if i < len(g.known) && g.known[i] == info.ID {
			continue
		}
		for len(g.known) <= i {
			g.known, g.of = append(g.known, ""), append(g.of, -1)
		}
		g.known[i], g.of[i] = info.ID, -1
		if info.ID == "" {
			continue
		}
		meter := false
		for k := range g.limits {
			if g.limits[k].Meter == info.ID {
				g.meters[k], meter = info.Slot, true
			}
		}
		if meter {
			continue
		}
		matched = matched[:0]
		deepest := 0
		for k := range g.limits {
			if !strings.HasPrefix(string(info.ID), g.begins[k]) || !g.limits[k].has(info) {
				continue
			}
			matched = append(matched, int32(k))
			if g.depths[k] > deepest {
				g.of[i], deepest = int32(k), g.depths[k]
			}
		}
		for _, k := range matched {
			if pair := [2]int32{g.of[i], k}; !g.within(g.of[i], k) && !g.twice[pair] {
				g.twice[pair] = true
				list = append(list, Overlap{info.Slot, g.limits[pair[0]].Name, g.limits[k].Name})
			}
		}
	}
	return list
}

// within reports whether limit k is another or lies within it.
func (g *groups) within(k, another int32) bool {
	for k >= 0 && k != another {
		k = int32(g.tree.Groups[k].Parent)
	}
	return k == another
}

// has reports whether a device is one of the limit's own.
func (l *Limit) has(info *device.Info) bool {
	if l.Edge != "" && l.Edge != info.Edge {
		return false
	}
	ok, err := path.Match(l.Devices, string(info.ID))
	return l.Devices == "" || ok && err == nil
}

// begin forgets what the groups had.
func (g *groups) begin() {
	clear(g.fixed)
	clear(g.own)
	clear(g.seen)
	clear(g.moved)
	g.waits = false
	for k := range g.watch {
		g.waits = g.waits || g.watch[k].at == 0 && g.limits[k].Meter != ""
	}
	clear(g.silent)
	clear(g.blind)
	clear(g.pinned)
	g.tree.Of = g.tree.Of[:0]
}

// count adds what flows through a device that is not free.
func (g *groups) count(slot int, kw float64) {
	if k := g.of[slot]; k >= 0 {
		g.fixed[k] += kw
	}
}

// keep adds what is that of a device that counts for the fleet's target, but cannot be told.
func (g *groups) keep(slot int, kw float64) {
	g.count(slot, kw)
	if k := g.of[slot]; k >= 0 {
		g.own[k] += kw
	}
}

// take puts a unit into its group. Bounds of less than a thousandth of its rating are none
// there: the allocation tells groups apart by prices, for which a unit needs some way to go.
func (g *groups) take(slot int, u *unit, dev *image.Device, lo, hi float64) (float64, float64) {
	g.tree.Of = append(g.tree.Of, g.of[slot])
	if u.mute { // it may still have power
		g.count(slot, number(dev.Good.Power))
	}
	least := 1e-3 * dev.Info.RatedKW
	if -lo < least {
		lo = 0
	}
	if hi < least {
		hi = 0
	}
	return lo, hi
}

// Flows reports whether the power of a device flows beside that of others: that of a meter
// does not, nor that of one which is made of others.
func Flows(dev *image.Device) bool { return dev.Info.RatedKW > 0 && dev.Info.Kind != "fused" }

// see adds what a device was seen to have, or is taken to have where it cannot be reached.
func (g *groups) see(slot int, img *image.Image, now int64, s *Settings) {
	k, dev, kw := g.of[slot], &img.Devices[slot], math.NaN()
	if k < 0 {
		return
	}
	switch {
	case !Flows(dev):
	case dev.Fresh(now, s.age()):
		kw = number(dev.Good.Power)
	case rated(dev) && dev.Told.Live(now):
		kw = number(dev.Told.Power)
	}
	g.seen[k] += number(kw)
	for up := k; up >= 0 && g.waits && Flows(dev); up = int32(g.tree.Groups[up].Parent) {
		g.moved[up] += g.watch[up].moved(now, s, g.meter(up, img), dev, kw)
	}
	if joined, left := g.counted.see(now, slot, kw); joined != 0 {
		for k >= 0 && !g.watch[k].join(joined, left) {
			k = int32(g.tree.Groups[k].Parent)
		}
	}
}

// meter is the meter of a limit, nil where it has none or none that is known.
func (g *groups) meter(k int32, img *image.Image) *image.Device {
	if at := int(g.meters[k]); at < len(img.Devices) {
		return &img.Devices[at]
	}
	return nil
}

// bound gives the groups the limits of their free devices: those of the connection less
// all else that flows through it. Where that is not known they may only relieve it.
func (g *groups) bound(now time.Time, img *image.Image, s *Settings) {
	ms := now.UnixMilli()
	for k := len(g.limits) - 1; k >= 0; k-- { // inner ones come later
		l := &g.limits[k]
		switch {
		case l.Meter != "":
			w, meter := &g.watch[k], g.meter(int32(k), img)
			w.look(ms, s, meter, g.seen[k], g.moved[k])
			g.silent[k] = s.silent(meter, ms)
			g.blind[k] = !w.known(ms)
			g.other[k] = w.other
			g.fixed[k] += g.other[k]
		case l.Load != nil:
			g.other[k] = number(l.Load(now))
			g.fixed[k] += g.other[k]
		}
		b := &g.tree.Groups[k]
		b.Lo, b.Hi = -l.Export-g.fixed[k], l.Import-g.fixed[k]
		if lo, hi := b.Lo, b.Hi; g.blind[k] {
			if l.Export < math.Inf(1) {
				b.Lo = min(max(lo, 0), hi)
			}
			if l.Import < math.Inf(1) {
				b.Hi = max(min(hi, 0), lo)
			}
		}
		if b.Parent >= 0 {
			g.blind[b.Parent] = g.blind[b.Parent] || g.blind[k] && g.limits[b.Parent].Meter == ""
			g.fixed[b.Parent] += g.fixed[k]
			// An inner load stands behind the outer meter as well, so that it is not
			// counted twice there.
			g.seen[b.Parent] += g.seen[k] + g.other[k]
		}
	}
}

// told notes what the devices of each group have by the plan x, for its meter.
func (g *groups) told(x []float64) {
	for k := range g.watch {
		g.watch[k].told = g.fixed[k] - g.other[k]
	}
	for i, k := range g.tree.Of {
		for ; k >= 0; k = int32(g.tree.Groups[k].Parent) {
			g.watch[k].told += x[i]
		}
	}
}

// reach finds what the devices of each group can have together between lo and hi, cut at
// the limits, and what of that they have with the least Σ|P|. It returns what all can have.
//
// With the sum x of a group the least Σ|P| in it rises by 1 a kW on both sides of one point,
// as |x| does for one device: such functions of two parts make one of the whole, and a limit
// only cuts it. So that point is the sum of those of the parts, moved into the limits.
func (g *groups) reach(lo, hi []float64) (low, high float64) {
	n := len(g.limits)
	clear(g.lo)
	clear(g.hi)
	clear(g.least)
	for i, k := range g.tree.Of {
		k := g.at(int(k))
		g.lo[k] += lo[i]
		g.hi[k] += hi[i]
	}
	for k := n - 1; k >= 0; k-- { // inner ones come later
		b, up := g.tree.Groups[k], g.at(g.tree.Groups[k].Parent)
		low, high := g.lo[k], g.hi[k]
		g.lo[k], g.hi[k] = min(max(low, b.Lo), high), max(min(high, b.Hi), low)
		g.lo[up] += g.lo[k]
		g.hi[up] += g.hi[k]
		g.least[up] += min(max(g.least[k], g.lo[k]), g.hi[k])
	}
	return g.lo[n], g.hi[n]
}

// at is the place of a group; what lies in none is in all.
func (g *groups) at(k int) int {
	if k < 0 {
		return len(g.limits)
	}
	return k
}

// turn gives each device the direction in which the limits are kept and free is met, where
// that can be, with the least Σ|P|: all go from where they do the least towards free, except
// in groups that a limit keeps from what their parts would do at least, because what is held
// there, or load that is not ours, has brought them beyond it. These stand at that limit, and
// go from there no further than the group around them needs.
func (p *Planner) turn(free float64) {
	g, q := &p.groups, &p.problem
	n := len(g.limits)
	g.way[n] = 0
	switch {
	case free > g.least[n]:
		g.way[n] = 1
	case free < g.least[n]:
		g.way[n] = -1
	}
	for k := range g.limits { // outer ones come first
		b := &g.tree.Groups[k]
		around := g.way[g.at(b.Parent)]
		g.way[k] = around
		switch {
		case g.least[k] > g.hi[k]:
			if g.way[k] = -1; around >= 0 {
				b.Lo, g.pinned[k] = b.Hi, 1
			}
		case g.least[k] < g.lo[k]:
			if g.way[k] = 1; around <= 0 {
				b.Hi, g.pinned[k] = b.Lo, -1
			}
		}
	}
	for i, k := range g.tree.Of {
		way := g.way[g.at(int(k))]
		q.Lo[i], q.Hi[i] = 0, 0
		if way > 0 {
			q.Hi[i] = p.high[i]
		} else if way < 0 {
			q.Lo[i] = p.low[i]
		}
	}
}

// bounds are the limits that bind in a solution, and those that are not kept.
func (g *groups) bounds(w *alloc.Within) (out []Bound) {
	for k := range g.limits {
		l, b := &g.limits[k], g.tree.Groups[k]
		x := Bound{Name: l.Name, SumKW: w.Sum[k] + g.fixed[k], Kept: true}
		if over := max(x.SumKW-l.Import, -l.Export-x.SumKW); over > 1e-9*max(1, math.Abs(g.fixed[k])) { // not by rounding alone
			x.Kept = !slices.Contains(w.Beyond, k)
		}
		side := w.Binds[k]
		switch near := 1e-9 * max(1, math.Abs(x.SumKW)); {
		case !math.IsNaN(g.aims[k]): // it stands at its target, which may be at the limit
			if side = 0; x.SumKW >= l.Import-near {
				side = 1
			} else if x.SumKW <= near-l.Export {
				side = -1
			}
		case g.pinned[k] != 0:
			side = g.pinned[k]
		}
		switch {
		case side > 0 || !x.Kept && w.Sum[k] > b.Hi:
			x.Import, x.KW = true, l.Import
		case side < 0 || !x.Kept && w.Sum[k] < b.Lo:
			x.KW = -l.Export
		default:
			continue
		}
		outside := w.Result.Lambda
		if b.Parent >= 0 {
			outside = w.Lambda[b.Parent]
		}
		if x.Kept && math.IsNaN(g.aims[k]) {
			x.Price = max(0, float64(side)*(outside-w.Lambda[k]))
		}
		out = append(out, x)
	}
	return out
}

// said is what limits have to do with a decision, for its reason.
func (g *groups) said(list []Bound, short bool) string {
	var parts []string
	for _, b := range list {
		switch {
		case !b.Kept:
			parts = append(parts, fmt.Sprintf("limit %s of %.6g kW cannot be kept: %.6g kW", b.Name, b.KW, b.SumKW))
		case short:
			parts = append(parts, fmt.Sprintf("limit %s binds at %.6g kW", b.Name, b.KW))
		}
	}
	for k, l := range g.limits {
		switch {
		case !g.silent[k] || len(parts) == 0:
		case g.blind[k]:
			parts = append(parts, fmt.Sprintf("the meter of %s is silent, and what flows there is not known: only what relieves it is allowed", l.Name))
		default:
			parts = append(parts, fmt.Sprintf("the meter of %s is silent, its other load taken as %.6g kW", l.Name, g.other[k]))
		}
	}
	return strings.Join(parts, "; ")
}
