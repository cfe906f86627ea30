package alloc_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"yunchu/platform/dispatch/alloc"
	"yunchu/platform/market/lp"
)

// anyTree draws groups that lie in each other and the units in them.
func anyTree(rng *rand.Rand, units, groups int) alloc.Tree {
	t := alloc.Tree{Of: make([]int32, units)}
	for g := range groups {
		limit := alloc.Group{Parent: rng.IntN(g+1) - 1, Lo: -30 * rng.Float64(), Hi: 30 * rng.Float64()}
		switch rng.IntN(5) {
		case 0:
			limit.Lo = math.Inf(-1)
		case 1:
			limit.Hi = math.Inf(1)
		}
		t.Groups = append(t.Groups, limit)
	}
	for i := range t.Of {
		t.Of[i] = int32(rng.IntN(groups+1) - 1)
	}
	return t
}

func anyUnits(rng *rand.Rand, n int) alloc.Problem {
	p := blank(n)
	for i := range n {
		p.A[i], p.B[i], p.R[i] = 0.01+rng.Float64(), rng.NormFloat64(), 5*rng.NormFloat64()
		p.Lo[i], p.Hi[i] = -10*rng.Float64(), 10*rng.Float64()
	}
	return p
}

// inside are the sums of all groups.
func inside(t alloc.Tree, x []float64) []float64 {
	sums := make([]float64, len(t.Groups))
	for i, v := range x {
		for g := int(t.Of[i]); g >= 0; g = t.Groups[g].Parent {
			sums[g] += v
		}
	}
	return sums
}

func cost(p alloc.Problem, x []float64) float64 {
	sum := 0.0
	for i, v := range x {
		sum += p.A[i]*(v-p.R[i])*(v-p.R[i])/2 + p.B[i]*v
	}
	return sum
}

// TestNestedLimits: no limit of a group is passed, the sum is exact, and it costs what the
// interior-point method says that it must.
func TestNestedLimits(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	var s alloc.Nested
	bound, compared := 0, 0
	for trial := range 300 {
		n, groups := 1+rng.IntN(25), rng.IntN(8)
		p, tree := anyUnits(rng, n), anyTree(rng, n, groups)
		target := 60 * (rng.Float64() - 0.5)
		x := make([]float64, n)
		w, err := s.Solve(p, tree, target, x)
		if err != nil {
			t.Fatal(err)
		}
		if len(w.Beyond) > 0 {
			continue
		}
		for g, sum := range inside(tree, x) {
			limit := tree.Groups[g]
			if sum < limit.Lo-1e-9 || sum > limit.Hi+1e-9 {
				t.Errorf("trial %d: group %d has %g kW, its limits are %g and %g", trial, g, sum, limit.Lo, limit.Hi)
			}
			if math.Abs(sum-w.Sum[g]) > 1e-9 {
				t.Errorf("trial %d: group %d has %g kW, %g are told", trial, g, sum, w.Sum[g])
			}
			if w.Binds[g] > 0 && sum < limit.Hi-1e-6 || w.Binds[g] < 0 && sum > limit.Lo+1e-6 {
				t.Errorf("trial %d: group %d is held back at %g between %g and %g", trial, g, sum, limit.Lo, limit.Hi)
			}
			if w.Binds[g] != 0 {
				bound++
			}
		}
		if math.Abs(total(x)-(target-w.Shortfall)) > 1e-9 {
			t.Errorf("trial %d: %g kW of %g, %g short", trial, total(x), target, w.Shortfall)
		}
		var m lp.Problem
		var all []lp.Term
		in := make([][]lp.Term, groups)
		for i := range n {
			v := m.Var(p.Lo[i], p.Hi[i], p.B[i]-p.A[i]*p.R[i])
			m.Square(v, p.A[i])
			all = append(all, lp.Term{Var: v, By: 1})
			for g := int(tree.Of[i]); g >= 0; g = tree.Groups[g].Parent {
				in[g] = append(in[g], lp.Term{Var: v, By: 1})
			}
		}
		for g, terms := range in {
			m.Row(tree.Groups[g].Lo, tree.Groups[g].Hi, terms...)
		}
		m.Row(target-w.Shortfall, target-w.Shortfall, all...)
		want, err := m.Solve(t.Context())
		if err != nil {
			t.Errorf("trial %d: %v", trial, err)
			continue
		}
		compared++
		if a, b := cost(p, x), cost(p, want.X); math.Abs(a-b) > 1e-6*(1+math.Abs(b)) {
			t.Errorf("trial %d: it costs %.9g, the interior-point method finds %.9g", trial, a, b)
		}
	}
	if bound < 100 || compared < 100 {
		t.Errorf("%d limits have bound in %d comparisons", bound, compared)
	}
}

// TestNestedIsFlat: limits that do not bind change nothing.
func TestNestedIsFlat(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var s alloc.Nested
	var flat alloc.Solver
	for range 100 {
		n := 1 + rng.IntN(30)
		p, tree := anyUnits(rng, n), anyTree(rng, n, 5)
		for g := range tree.Groups {
			tree.Groups[g].Lo, tree.Groups[g].Hi = math.Inf(-1), math.Inf(1)
		}
		target := 200 * (rng.Float64() - 0.5) // now and then out of reach
		x, y := make([]float64, n), make([]float64, n)
		w, err := s.Solve(p, tree, target, x)
		if err != nil {
			t.Fatal(err)
		}
		r, err := flat.Solve(p, target, y)
		if err != nil {
			t.Fatal(err)
		}
		for i := range x {
			if math.Abs(x[i]-y[i]) > 1e-9 {
				t.Errorf("unit %d has %g kW of %g, without groups %g", i, x[i], target, y[i])
			}
		}
		if math.Abs(w.Shortfall-r.Shortfall) > 1e-9 || math.Abs(w.Result.Sum-r.Sum) > 1e-9 {
			t.Errorf("%+v, without groups %+v", w.Result, r)
		}
	}
}

// TestLimitsOutOfReach: units whose bounds do not allow a limit come as near as they can, and
// the group is named.
func TestLimitsOutOfReach(t *testing.T) {
	p := blank(2)
	for i := range 2 {
		p.A[i], p.Lo[i], p.Hi[i] = 1, 4, 10
	}
	tree := alloc.Tree{Groups: []alloc.Group{{Parent: -1, Lo: 0, Hi: 3}}, Of: []int32{0, -1}}
	x := make([]float64, 2)
	var s alloc.Nested
	w, err := s.Solve(p, tree, 20, x)
	if err != nil || len(w.Beyond) != 1 || x[0] != 4 || x[1] != 10 || w.Shortfall != 6 {
		t.Errorf("%v, %v, %+v", x, err, w)
	}
}

// TestTreesThatAreNone are refused, and nothing is written.
func TestTreesThatAreNone(t *testing.T) {
	p := blank(1)
	p.A[0] = 1
	for want, tree := range map[string]alloc.Tree{
		"groups of 0":      {},
		"does not come":    {Groups: []alloc.Group{{Parent: 0}}, Of: []int32{0}},
		"has the limits":   {Groups: []alloc.Group{{Parent: -1, Lo: 2, Hi: 1}}, Of: []int32{0}},
		"lies in group 3":  {Groups: []alloc.Group{{Parent: -1}}, Of: []int32{3}},
		"has the limits N": {Groups: []alloc.Group{{Parent: -1, Lo: math.NaN()}}, Of: []int32{0}},
	} {
		x := []float64{7}
		var s alloc.Nested
		if _, err := s.Solve(p, tree, 0, x); err == nil || !strings.Contains(err.Error(), want) || x[0] != 7 {
			t.Errorf("%+v: %v, want %s", tree, err, want)
		}
	}
}

// TestStraightCosts are refused, not divided wrongly; groups without units are nothing.
func TestStraightCosts(t *testing.T) {
	p := blank(2)
	for i := range 2 {
		p.A[i], p.B[i], p.Hi[i] = 1e-17, 30, 10
	}
	tree := alloc.Tree{Groups: []alloc.Group{{Parent: -1, Lo: 0, Hi: 5}, {Parent: -1, Lo: -1, Hi: 1}}, Of: []int32{0, -1}}
	var s alloc.Nested
	x := make([]float64, 2)
	if _, err := s.Solve(p, tree, 12, x); err == nil || !strings.Contains(err.Error(), "unit 0") {
		t.Errorf("%v: %v", x, err)
	}
	p.A[0], p.A[1] = 1e-6, 1e-6
	w, err := s.Solve(p, tree, 12, x)
	if err != nil || x[0] != 5 || x[1] != 7 || w.Sum[1] != 0 || math.IsInf(w.Lambda[1], 0) {
		t.Errorf("%v, %v, %+v; want 5 and 7", x, err, w)
	}
	if w, err = s.Solve(blank(0), alloc.Tree{}, 3, nil); err != nil || w.Shortfall != 3 || w.Result.Lambda != 0 {
		t.Errorf("nobody: %+v, %v", w, err)
	}
	for i := range 2 {
		p.Lo[i], p.Hi[i] = 0.1, 0.1
	}
	tree = alloc.Tree{Groups: []alloc.Group{{Parent: -1, Lo: 0, Hi: 0.2}}, Of: []int32{0, 0}}
	if w, err = s.Solve(p, tree, 0.2, x); err != nil || len(w.Beyond) != 0 {
		t.Errorf("0.1 and 0.1 beyond 0.2: %+v, %v", w, err)
	}
}

// BenchmarkNested divides among 100,000 units of 1,000 sites on 20 feeders.
func BenchmarkNested(b *testing.B) {
	const n = 100_000
	p := fleet(n, 1)
	lo, hi := total(p.Lo), total(p.Hi)
	tree := alloc.Tree{Of: make([]int32, n)}
	for range 20 {
		tree.Groups = append(tree.Groups, alloc.Group{Parent: -1, Lo: 0.04 * lo, Hi: 0.04 * hi})
	}
	for g := range 1000 {
		tree.Groups = append(tree.Groups, alloc.Group{Parent: g % 20, Lo: 0.8 * lo / 1000, Hi: 0.8 * hi / 1000})
	}
	for i := range tree.Of {
		tree.Of[i] = int32(20 + i*7919%1000)
	}
	x := make([]float64, n)
	var s alloc.Nested
	bound, k := 0, 0
	for b.Loop() {
		k++
		w, err := s.Solve(p, tree, lo+(0.02+0.96*float64(k*31%97)/97)*(hi-lo), x)
		if err != nil {
			b.Fatal(err)
		}
		for _, side := range w.Binds {
			if side != 0 {
				bound++
			}
		}
	}
	b.ReportMetric(float64(bound)/float64(k), "limits/op")
	b.ReportMetric(float64(b.Elapsed().Microseconds())/1e3/float64(k), "ms/op")
}
