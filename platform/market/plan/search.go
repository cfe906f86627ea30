package plan

import (
	"context"
	"errors"
	"maps"
	"math"

	"yunchu/platform/market/lp"
)

// ways are what batteries and grid connections may do, by interval: where nothing is said, both at once.
type ways struct {
	batteries map[[2]int]way // by site and interval
	grids     map[[3]int]way // by world, site and interval
}

func (w *ways) battery(i, t int) way { return w.batteries[[2]int{i, t}] }
func (w *ways) grid(k, i, t int) way { return w.grids[[3]int{k, i, t}] }

func (w *ways) clone() *ways { return &ways{maps.Clone(w.batteries), maps.Clone(w.grids)} }

// clash is a place where a solution does both at once.
type clash struct {
	grid    bool
	k, i, t int
	toIn    bool    // the way that it leans to
	share   float64 // of the smaller one, of its power
}

func (w *ways) set(c clash, to way) {
	if c.grid {
		w.grids[[3]int{c.k, c.i, c.t}] = to
	} else {
		w.batteries[[2]int{c.i, c.t}] = to
	}
}

func (w *ways) at(c clash) way {
	if c.grid {
		return w.grid(c.k, c.i, c.t)
	}
	return w.battery(c.i, c.t)
}

// nothing is the part of a power that is none: what the solver leaves of 0.
const nothing = 1e-6

// clashes are where a solution charges and discharges, or imports and exports, at once.
func (m *model) clashes(x []float64) (out []clash) {
	for i := range m.sites {
		v, b := &m.sites[i], &m.p.Sites[i].Battery
		for t := range v.ch {
			ch, dis := x[v.ch[t]]/max(b.ChargeMW, 1e-300), x[v.dis[t]]/max(b.DischargeMW, 1e-300)
			if share := min(ch, dis); share > nothing {
				lean := x[v.ch[t]]*b.In > x[v.dis[t]]/b.Out
				out = append(out, clash{i: i, t: t, toIn: lean, share: share})
			}
		}
	}
	for k := range m.worlds {
		for i := range m.worlds[k].sites {
			o := &m.worlds[k].sites[i]
			for t, e := range o.exp {
				if e == none || o.Buy[t] >= o.sell(t) {
					continue
				}
				imp, exp := x[o.imp[t]], x[e]
				if share := min(imp, exp); share > nothing*(1+imp+exp) {
					out = append(out, clash{grid: true, k: k, i: i, t: t, toIn: imp > exp, share: share / (imp + exp)})
				}
			}
		}
	}
	return out
}

// found is a solution of a model.
type found struct {
	m     *model
	s     *lp.Solution
	ways  *ways
	bound float64 // cost that no plan of these ways goes below
	cost  float64
	clash []clash
}

func attempt(ctx context.Context, p *Portfolio, w *ways, a aim) (*found, error) {
	m := newModel(p, w, a)
	s, bound, err := m.solve(ctx)
	if err != nil {
		return nil, err
	}
	m.prog.Forget() // many of them wait at a time
	// The cost without ties.
	cost := s.Objective
	for _, t := range m.ties {
		cost -= t.cost*s.X[t.v] + t.square*s.X[t.v]*s.X[t.v]/2
	}
	return &found{m, s, w, min(bound, cost), cost, m.clashes(s.X)}, nil
}

// enough is how many variables are solved for in a search at most, roughly, unless its nodes are given.
const enough = 300_000

// small is how many variables a program has at most that is looked at again when its search has ended.
const small = 1000

// How near the bound is as good as reached, relative to the cost.
const proved = 1e-7

// search finds the best solution without clashes: the program first; where it clashes, with what
// is left of the power of the one for the other, which no plan is hurt by; then by branch and bound, the
// least bound first.
func search(ctx context.Context, p *Portfolio, a aim) (best *found, bound float64, nodes int, err error) {
	w := &ways{map[[2]int]way{}, map[[3]int]way{}}
	root, err := attempt(ctx, p, w, a)
	nodes = 1
	for ; err == nil && len(root.clash) > 0 && nodes < 6; nodes++ {
		tighter, more := root.ways.clone(), false
		for _, c := range root.clash {
			if tighter.at(c) == either {
				tighter.set(c, shared)
				more = true
			}
		}
		if !more {
			break
		}
		root, err = attempt(ctx, p, tighter, a)
	}
	if err != nil {
		return nil, 0, nodes, err
	}
	limit := p.Nodes
	variables, _ := root.m.prog.Size()
	if limit == 0 {
		limit = min(max(enough/(1+variables), 12), 100)
	}
	near := func() float64 { return proved * (1 + math.Abs(best.cost)) }
	lost := math.Inf(1) // the least bound of what is not looked into further
	take := func(f *found) {
		if len(f.clash) == 0 && (best == nil || f.cost < best.cost) {
			best = f
		}
	}
	take(root)
	// A good plan early: each place goes the way it leans to.
	dive := func(from *found) error {
		at := from
		for range 30 {
			if len(at.clash) == 0 {
				break
			}
			next := at.ways.clone()
			for _, c := range at.clash {
				to := out
				if c.toIn {
					to = in
				}
				next.set(c, to)
			}
			f, err := attempt(ctx, p, next, a)
			nodes++
			if errors.Is(err, lp.ErrInfeasible) || errors.Is(err, lp.ErrStalled) {
				return nil
			} else if err != nil {
				return err
			}
			at = f
		}
		take(at)
		return nil
	}
	// Likewise, where it goes as a site would by itself.
	guess := func(from *found) error {
		f, err := attempt(ctx, p, from.guess(ctx), a)
		nodes++
		if errors.Is(err, lp.ErrInfeasible) || errors.Is(err, lp.ErrStalled) {
			return nil
		} else if err != nil {
			return err
		}
		return dive(f)
	}
	if best == nil {
		if err := errors.Join(dive(root), guess(root)); err != nil {
			return nil, 0, nodes, err
		}
	}
	open := []*found{root}
	for len(open) > 0 {
		at := 0
		for k := range open {
			if open[k].bound < open[at].bound {
				at = k
			}
		}
		f := open[at]
		if best != nil && f.bound > best.cost-near() || len(f.clash) == 0 || nodes >= limit {
			break
		}
		open[at] = open[len(open)-1]
		open = open[:len(open)-1]
		worst := f.clash[0]
		for _, c := range f.clash {
			if c.share > worst.share {
				worst = c
			}
		}
		for _, to := range []way{in, out} {
			next := f.ways.clone()
			next.set(worst, to)
			child, err := attempt(ctx, p, next, a)
			nodes++
			switch {
			case errors.Is(err, lp.ErrInfeasible):
				continue
			case errors.Is(err, lp.ErrStalled):
				lost = min(lost, f.bound)
				continue
			case err != nil:
				return nil, 0, nodes, err
			}
			child.bound = max(child.bound, f.bound)
			take(child)
			if len(child.clash) == 0 {
				lost = min(lost, child.bound)
			} else {
				// What is not shared yet is shared from here on.
				for _, c := range child.clash {
					if child.ways.at(c) == either {
						child.ways.set(c, shared)
					}
				}
				open = append(open, child)
			}
		}
		if best == nil && nodes%20 < 2 && len(open) > 0 {
			if err := dive(open[len(open)-1]); err != nil {
				return nil, 0, nodes, err
			}
		}
		if len(p.Sites) > 1 && nodes%20 < 2 { // what they share has another price here
			if err := guess(f); err != nil {
				return nil, 0, nodes, err
			}
		}
	}
	if best == nil {
		return nil, 0, nodes, errNone
	}
	// Of a few sites that share something: what was found, with some intervals left open again.
	for at, most := 0, nodes+limit; a.measure == "" && len(p.Sites) > 1 && variables < small && len(open) > 0 && at < p.Intervals && nodes < most; at++ {
		f, err := attempt(ctx, p, best.opened(at, at+2), a)
		nodes++
		if err == nil && f.cost < best.cost-near() {
			err = dive(f)
		}
		if err != nil && !errors.Is(err, lp.ErrInfeasible) && !errors.Is(err, lp.ErrStalled) {
			return nil, 0, nodes, err
		}
	}
	bound = min(best.cost, lost)
	for _, f := range open {
		bound = min(bound, f.bound)
	}
	// The prices of what was found: first those of all that it may do without doing two things at once.
	for _, free := range []bool{true, false} {
		next, more := best.going(free)
		if !more {
			break
		}
		f, err := attempt(ctx, p, next, a)
		nodes++
		if err != nil || f.cost > best.cost+near() || len(f.clash) > 0 && f.cost < best.cost-near() {
			continue
		}
		if len(f.clash) > 0 { // for nothing: what was found is as good there
			f.s.X, f.cost, f.clash = best.s.X, best.cost, nil
		}
		best, bound = f, min(bound, f.cost)
		break
	}
	return best, bound, nodes, nil
}

// opened are the ways that a solution goes, but for some intervals.
func (f *found) opened(from, to int) *ways {
	next, _ := f.going(false)
	for at := range f.ways.batteries {
		if at[1] >= from && at[1] < to {
			next.batteries[at] = shared
		}
	}
	for at := range f.ways.grids {
		if at[2] >= from && at[2] < to {
			next.grids[at] = shared
		}
	}
	return next
}

// going are the ways that a solution goes, where it may share its power: then what is bound at full power is that, and its
// worth is not said to be the sharing's. Where nothing moves both ways may be free.
func (f *found) going(free bool) (next *ways, more bool) {
	m, x := f.m, f.s.X
	next = f.ways.clone()
	for i := range m.sites {
		v, b := &m.sites[i], &m.p.Sites[i].Battery
		for t := range v.ch {
			at, to := clash{i: i, t: t}, shared
			switch ch, dis := x[v.ch[t]]*b.DischargeMW, x[v.dis[t]]*b.ChargeMW; {
			case math.Abs(ch-dis) <= nothing*b.ChargeMW*b.DischargeMW:
				if !free {
					continue
				}
			case ch > dis:
				to = in
			default:
				to = out
			}
			if was := next.at(at); was != either && was != to {
				next.set(at, to)
				more = true
			}
		}
	}
	for at, way := range f.ways.grids {
		if way != shared {
			continue
		}
		o := &m.worlds[at[0]].sites[at[1]]
		to := out
		if x[o.imp[at[2]]] > x[o.exp[at[2]]] {
			to = in
		}
		next.grids[at], more = to, true
	}
	return next, more
}

var errNone = errors.New("no plan that does not charge and discharge at once was found")
