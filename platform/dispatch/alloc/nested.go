package alloc

import (
	"fmt"
	"math"
	"slices"
)

// Group is a limit on what some units have together: the connection of a site, a feeder, a
// transformer. Groups may lie in groups.
type Group struct {
	Parent int     // the group that it lies in, which comes before it; -1 for none
	Lo, Hi float64 // kW, of the sum of all units in it; may be infinite
}

// Tree says which units lie in which group.
type Tree struct {
	Groups []Group
	Of     []int32 // by unit: the innermost group; -1 for none
}

// Within is a solution under the limits of groups.
type Within struct {
	Result
	Lambda []float64 // by group: the marginal cost of the last kW in it
	Sum    []float64 // by group, kW
	// Binds is by group 1 where its upper limit holds it back, -1 where its lower one does.
	Binds []int8
	// Beyond are the groups whose limits their units cannot keep: these stand as near as they can.
	Beyond []int
}

// Nested solves allocation problems whose units lie in groups with limits of their own. It
// keeps scratch memory, as a [Solver] does, and serves one goroutine at a time.
//
// The sum of a group as a function of the multiplier λ is that of its parts, cut at its
// limits: it never falls, as theirs do not. So one search for λ from below to above, in which
// all groups are added up from the innermost outwards, shows which limits bind. What a limit holds back is a
// problem of its own with the limit as its target, and what none holds back is divided by the
// Solver, exactly.
type Nested struct {
	flat     Solver
	order    []int32 // the units by group, those of a group and of the groups in it together
	from, to []int32 // by group, in order
	own      []int32 // by group: from it on, up to to, are the units that are in no inner group
	inner    [][]int32
	lo, hi   []float64 // by group: what its sum can be
	sum      []float64
	slope    []float64
	p        Problem // in the order of order
	x        []float64
	free     []int32
	part     Problem
	partX    []float64
}

// Solve writes the least-cost power of each unit to out, so that no group goes beyond its
// limits where its units can help it, and their sum is target where that is possible. Errors are those
// of [Solver.Solve], of a tree that is none, and of a unit whose cost is a straight line but for
// 1e-9 of its price: groups are told apart by prices.
func (s *Nested) Solve(p Problem, t Tree, target float64, out []float64) (Within, error) {
	n := p.Len()
	if err := p.shape(); err != nil {
		return Within{}, fmt.Errorf("allocate to %d units: %w", n, err)
	}
	if err := t.check(n); err != nil {
		return Within{}, err
	}
	if len(out) != n {
		return Within{}, fmt.Errorf("allocate to %d units: out has %d", n, len(out))
	}
	if !(math.Abs(target) <= Limit) {
		return Within{}, fmt.Errorf("allocate to %d units: target %g kW is not a finite number up to %g", n, target, float64(Limit))
	}
	for i := range n {
		switch {
		case !p.sound(i):
			return Within{}, p.refusal()
		case p.linear(i):
			return Within{}, fmt.Errorf("allocate to %d units: %w", n, &UnitError{i, fmt.Sprintf("a = %g is nothing beside b = %g: groups cannot be told apart by their prices", p.A[i], p.B[i])})
		}
	}
	s.arrange(p, t)
	w := Within{Lambda: make([]float64, len(t.Groups)), Sum: make([]float64, len(t.Groups)), Binds: make([]int8, len(t.Groups))}
	top := len(t.Groups) // all units
	w.Beyond = s.reach(t)
	want := min(max(target, s.lo[top]), s.hi[top])
	_, size := sum(p.Lo)
	if _, more := sum(p.Hi); more > size {
		size = more
	}
	if err := s.divide(t, top, want, max(math.Abs(target), size), &w); err != nil {
		return Within{}, err
	}
	for k, i := range s.order {
		x := s.x[k]
		out[i] = x
		w.Result.Sum += x
		w.AtLo += bit(x == p.Lo[i])
		w.AtHi += bit(x == p.Hi[i])
	}
	for g := range t.Groups {
		w.Sum[g], _ = sum(s.x[s.from[g]:s.to[g]])
	}
	if short := target - want; math.Abs(short) > exact*max(math.Abs(target), size) {
		w.Shortfall = short
	}
	return w, nil
}

// linear reports whether the way of a unit from one bound to the other is too short, in
// multipliers, for a float64 to stand on it.
func (p Problem) linear(i int) bool {
	way := float64(p.A[i] * (p.Hi[i] - p.Lo[i]))
	from, to := p.B[i]+float64(p.A[i]*(p.Lo[i]-p.R[i])), p.B[i]+float64(p.A[i]*(p.Hi[i]-p.R[i]))
	return way > 0 && way < 0x1p-30*max(math.Abs(from), math.Abs(to))
}

func (t *Tree) check(units int) error {
	if len(t.Of) != units {
		return fmt.Errorf("allocate to %d units: the groups of %d are known", units, len(t.Of))
	}
	for g, x := range t.Groups {
		if x.Parent < -1 || x.Parent >= g {
			return fmt.Errorf("group %d lies in group %d, which does not come before it", g, x.Parent)
		}
		if !(x.Lo <= x.Hi) {
			return fmt.Errorf("group %d has the limits %g and %g kW", g, x.Lo, x.Hi)
		}
	}
	for i, g := range t.Of {
		if g < -1 || int(g) >= len(t.Groups) {
			return fmt.Errorf("unit %d lies in group %d of %d", i, g, len(t.Groups))
		}
	}
	return nil
}

// arrange puts the units of each group together.
func (s *Nested) arrange(p Problem, t Tree) {
	n, groups := p.Len(), len(t.Groups)
	top := groups
	s.from, s.to, s.own = fit(s.from, groups+1), fit(s.to, groups+1), fit(s.own, groups+1)
	s.lo, s.hi, s.sum, s.slope = fit(s.lo, groups+1), fit(s.hi, groups+1), fit(s.sum, groups+1), fit(s.slope, groups+1)
	s.order, s.x = fit(s.order, n), fit(s.x, n)
	s.inner = fit(s.inner, groups+1)
	count := make([]int32, groups+1) // units, first those that are in no inner group
	for g := range s.inner {
		s.inner[g] = s.inner[g][:0]
	}
	for _, g := range t.Of {
		count[at(int(g), top)]++
	}
	all := append([]int32(nil), count...)
	for g := groups - 1; g >= 0; g-- {
		up := at(t.Groups[g].Parent, top)
		all[up] += all[g]
	}
	for g := range t.Groups {
		up := at(t.Groups[g].Parent, top)
		s.inner[up] = append(s.inner[up], int32(g))
	}
	s.from[top], s.to[top] = 0, int32(n)
	place := func(g int) {
		begin := s.from[g]
		for _, c := range s.inner[g] {
			s.from[c], s.to[c] = begin, begin+all[c]
			begin += all[c]
		}
		s.own[g] = begin
	}
	place(top)
	for g := range groups {
		place(g)
	}
	next := append(count[:0], s.own...)
	for i, g := range t.Of {
		k := at(int(g), top)
		s.order[next[k]] = int32(i)
		next[k]++
	}
	s.p.fit(n)
	for k, i := range s.order {
		s.p.A[k], s.p.B[k], s.p.R[k], s.p.Lo[k], s.p.Hi[k] = p.A[i], p.B[i], p.R[i], p.Lo[i], p.Hi[i]
	}
}

// at is the place of a group; what lies in none is in the top one.
func at(g, top int) int {
	if g < 0 {
		return top
	}
	return g
}

func fit[T any](list []T, n int) []T {
	if cap(list) < n {
		return make([]T, n)
	}
	return list[:n]
}

func (p *Problem) fit(n int) {
	p.A, p.B, p.R, p.Lo, p.Hi = fit(p.A, n), fit(p.B, n), fit(p.R, n), fit(p.Lo, n), fit(p.Hi, n)
}

// reach finds what the sum of each group can be, and returns those that cannot keep their limits.
func (s *Nested) reach(t Tree) (beyond []int) {
	set := func(g int) {
		lo, _ := sum(s.p.Lo[s.own[g]:s.to[g]])
		hi, _ := sum(s.p.Hi[s.own[g]:s.to[g]])
		for _, c := range s.inner[g] {
			lo += s.lo[c]
			hi += s.hi[c]
		}
		if g < len(t.Groups) {
			limit := t.Groups[g]
			if near := exact * max(math.Abs(lo), math.Abs(hi)); limit.Lo > hi+near || limit.Hi < lo-near {
				beyond = append(beyond, g)
			}
			lo, hi = min(max(lo, limit.Lo), hi), max(min(hi, limit.Hi), lo)
		}
		s.lo[g], s.hi[g] = lo, max(lo, hi)
	}
	for g := range slices.Backward(t.Groups) { // inner ones come later
		set(g)
	}
	set(len(t.Groups))
	return beyond
}

// add finds the sum of a group and of those in it at a multiplier, and how it rises; a
// group that is held back has the slope 0.
func (s *Nested) add(g int, lambda float64) (total, slope float64) {
	total, slope = s.p.at(lambda, int(s.own[g]), int(s.to[g]))
	for _, c := range s.inner[g] {
		x, rise := s.add(int(c), lambda)
		s.sum[c], s.slope[c] = x, rise
		if x <= s.lo[c] || x >= s.hi[c] {
			x, rise = clip(x, s.lo[c], s.hi[c]), 0
		}
		total += x
		slope += rise
	}
	return total, slope
}

// at is the sum of the units from, to, the last one left out, at a multiplier, and its slope.
func (p Problem) at(lambda float64, from, to int) (total, slope float64) {
	a := p.A[from:to]
	b, r, lo, hi := p.B[from:to][:len(a)], p.R[from:to][:len(a)], p.Lo[from:to][:len(a)], p.Hi[from:to][:len(a)]
	for i, a := range a {
		w := 1 / a
		x := r[i] + float64((lambda-b[i])*w)
		y := clip(x, lo[i], hi[i])
		total += y
		slope += when(x == y, w)
	}
	return total, slope
}

// divide gives the units of a group powers that add up to target.
func (s *Nested) divide(t Tree, g int, target, scale float64, w *Within) error {
	near := solved * scale
	lambda := s.find(g, target, near)
	s.free = s.free[:0]
	rest := target
	var held []hold
	var walk func(int)
	walk = func(g int) {
		for k := s.own[g]; k < s.to[g]; k++ {
			s.free = append(s.free, k)
		}
		for _, c := range s.inner[g] {
			switch x := s.sum[c]; {
			case x >= s.hi[c]-near:
				held = append(held, hold{c, s.hi[c]})
				rest -= s.hi[c]
				if t.Groups[c].Hi <= s.hi[c]+near { // else its units can do no more
					w.Binds[c] = 1
				}
			case x <= s.lo[c]+near:
				held = append(held, hold{c, s.lo[c]})
				rest -= s.lo[c]
				if t.Groups[c].Lo >= s.lo[c]-near {
					w.Binds[c] = -1
				}
			default:
				walk(int(c))
				w.Lambda[c] = lambda
			}
		}
	}
	s.add(g, lambda)
	walk(g)
	n := len(s.free)
	s.part.fit(n)
	s.partX = fit(s.partX, n)
	for i, k := range s.free {
		s.part.A[i], s.part.B[i], s.part.R[i], s.part.Lo[i], s.part.Hi[i] = s.p.A[k], s.p.B[k], s.p.R[k], s.p.Lo[k], s.p.Hi[k]
	}
	r, err := s.flat.Solve(s.part, rest, s.partX)
	if err != nil {
		return err
	}
	for i, k := range s.free {
		s.x[k] = s.partX[i]
	}
	if g == len(t.Groups) {
		w.Result.Lambda = lambda
		if n > 0 {
			w.Result.Lambda = r.Lambda
		}
	} else {
		w.Lambda[g] = lambda
	}
	w.Steps += r.Steps
	for _, h := range held {
		if err := s.divide(t, int(h.group), h.sum, scale, w); err != nil {
			return err
		}
	}
	return nil
}

// hold is a group that has what it can have.
type hold struct {
	group int32
	sum   float64
}

// find is the multiplier at which the group has the target, by Newton's method between bounds
// that close in from both sides.
func (s *Nested) find(g int, target, near float64) float64 {
	from, to := math.Inf(1), math.Inf(-1)
	for k := s.from[g]; k < s.to[g]; k++ {
		a, b, r := s.p.A[k], s.p.B[k], s.p.R[k]
		from, to = min(from, b+float64(a*(s.p.Lo[k]-r))), max(to, b+float64(a*(s.p.Hi[k]-r)))
	}
	switch {
	case s.from[g] == s.to[g]:
		return 0
	case !(from < to):
		return from
	}
	lambda := from/2 + to/2
	for range 200 {
		x, slope := s.add(g, lambda)
		off := target - x
		if math.Abs(off) <= near {
			break
		}
		if off > 0 {
			from = lambda
		} else {
			to = lambda
		}
		next := lambda + off/slope
		if !(next > from && next < to) {
			next = from/2 + to/2
		}
		if next == lambda || !(next > from && next < to) {
			break
		}
		lambda = next
	}
	return lambda
}
