package alloc_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"yunchu/platform/dispatch/alloc"
)

// anyProblem draws fleets whose sizes run from a milliwatt to a gigawatt side by
// side, with many equal, held and switched-off units.
func anyProblem(t *rapid.T) alloc.Problem {
	n := rapid.IntRange(1, 60).Draw(t, "n")
	decade := rapid.Float64Range(-6, 6)
	p := blank(n)
	for i := range n {
		if i > 0 && rapid.IntRange(0, 3).Draw(t, "twin") == 0 {
			j := rapid.IntRange(0, i-1).Draw(t, "of")
			p.A[i], p.B[i], p.R[i], p.Lo[i], p.Hi[i] = p.A[j], p.B[j], p.R[j], p.Lo[j], p.Hi[j]
			continue
		}
		size := math.Pow(10, decade.Draw(t, "size"))
		p.A[i] = math.Pow(10, decade.Draw(t, "a"))
		p.B[i] = rapid.SampledFrom([]float64{-1, 0, 0.1, 1, 1000}).Draw(t, "tier") + rapid.Float64Range(-1, 1).Draw(t, "b")
		p.R[i] = size * rapid.Float64Range(-2, 2).Draw(t, "r")
		p.Lo[i] = -size * rapid.SampledFrom([]float64{-0.5, 0, 0.5, 1}).Draw(t, "lo")
		p.Hi[i] = p.Lo[i] + size*rapid.SampledFrom([]float64{0, 0, 0.5, 1}).Draw(t, "width")
	}
	return p
}

func anyTarget(t *rapid.T, p alloc.Problem) float64 {
	lo, hi := total(p.Lo), total(p.Hi)
	return lo + (hi-lo)*rapid.Float64Range(-0.25, 1.25).Draw(t, "share")
}

func TestProperties(t *testing.T) {
	t.Run("optimal", rapid.MakeCheck(func(t *rapid.T) {
		p := anyProblem(t)
		var s alloc.Solver
		check(t, &s, p, anyTarget(t, p))
	}))
	t.Run("monotone", rapid.MakeCheck(func(t *rapid.T) {
		p := anyProblem(t)
		one, two := anyTarget(t, p), anyTarget(t, p)
		var s alloc.Solver
		x, _ := check(t, &s, p, min(one, two))
		y, _ := check(t, &s, p, max(one, two))
		tol := kkt * scale(p, max(math.Abs(one), math.Abs(two)))
		for i := range x {
			if y[i] < x[i]-tol {
				t.Errorf("target rose from %g to %g kW: unit %d fell from %g to %g", min(one, two), max(one, two), i, x[i], y[i])
			}
		}
	}))
	t.Run("order of units", rapid.MakeCheck(func(t *rapid.T) {
		p := anyProblem(t)
		target := anyTarget(t, p)
		order := rapid.Permutation(indices(p.Len())).Draw(t, "order")
		q := shuffled(p, order)
		var s alloc.Solver
		x, _ := check(t, &s, p, target)
		y, _ := check(t, &s, q, target)
		tol := kkt * scale(p, target)
		for i, j := range order {
			if math.Abs(y[i]-x[j]) > tol {
				t.Errorf("target %g kW: unit %d gets %g kW, at place %d %g", target, j, x[j], i, y[i])
			}
		}
	}))
}

func indices(n int) []int {
	v := make([]int, n)
	for i := range v {
		v[i] = i
	}
	return v
}

// shuffled puts unit order[i] at place i.
func shuffled(p alloc.Problem, order []int) alloc.Problem {
	q := blank(p.Len())
	for i, j := range order {
		q.A[i], q.B[i], q.R[i], q.Lo[i], q.Hi[i] = p.A[j], p.B[j], p.R[j], p.Lo[j], p.Hi[j]
	}
	return q
}

// A shuffled large fleet is sampled elsewhere and summed otherwise; the powers stay.
func TestOrderOfALargeFleet(t *testing.T) {
	p := fleet(30000, 8)
	rng := rand.New(rand.NewPCG(8, 8))
	var s alloc.Solver
	for _, f := range []float64{0.05, 0.4, 0.95} {
		target := f * total(p.Lo)
		x, _ := check(t, &s, p, target)
		order := rng.Perm(p.Len())
		y, _ := check(t, &s, shuffled(p, order), target)
		tol := kkt * scale(p, target)
		for i, j := range order {
			if math.Abs(y[i]-x[j]) > tol {
				t.Fatalf("target %g kW: unit %d gets %g kW, at place %d %g", target, j, x[j], i, y[i])
			}
		}
	}
}

// FuzzSolve feeds raw columns: whatever Validate lets through must end, keep its
// bounds, and not be NaN; within physical magnitudes it must be optimal.
func FuzzSolve(f *testing.F) {
	seed := func(target float64, v ...float64) {
		b := binary.LittleEndian.AppendUint64(nil, math.Float64bits(target))
		for _, x := range v {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
		}
		f.Add(b)
	}
	seed(8, 1, 0, 0, -10, 10, 3, 0, 0, -10, 10)
	seed(0, 1e-30, 1e30, 1e30, -1e30, 1e30, 1e30, -1e30, -1e30, -1e30, 1e30)
	seed(1e-300, 1, 0, 0, -1e-300, 1e-300, 1, 0, 0, 0, 0)
	seed(5, 1e-15, 1, 0, 0, 10, 1e-15, 2, 0, 0, 10)
	seed(math.NaN(), 1, 0, 0, 0, 1)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) < 8 {
			return
		}
		next := func() float64 {
			v := math.Float64frombits(binary.LittleEndian.Uint64(raw))
			raw = raw[8:]
			return v
		}
		target := next()
		p := blank(min(len(raw)/40, 64))
		physical := math.Abs(target) <= 1e9
		for i := range p.A {
			p.A[i], p.B[i], p.R[i], p.Lo[i], p.Hi[i] = next(), next(), next(), next(), next()
			size := max(math.Abs(p.Lo[i]), math.Abs(p.Hi[i]))
			physical = physical && p.A[i] >= 1e-6 && p.A[i] <= 1e6 && math.Abs(p.B[i]) <= 1e3 &&
				(size == 0 || size >= 1e-6 && size <= 1e9) && math.Abs(p.R[i]) <= 1e3*size
		}
		var s alloc.Solver
		x := make([]float64, p.Len())
		res, err := s.Solve(p, target, x)
		if valid := p.Validate() == nil && math.Abs(target) <= alloc.Limit; (err == nil) != valid {
			t.Fatalf("Solve: %v, but the problem is valid: %v", err, valid)
		}
		if err != nil {
			return
		}
		for i, v := range x {
			if !(v >= p.Lo[i] && v <= p.Hi[i]) {
				t.Fatalf("unit %d gets %g kW, bounds %g to %g", i, v, p.Lo[i], p.Hi[i])
			}
		}
		if math.IsNaN(res.Lambda + res.Sum + res.Shortfall) {
			t.Fatalf("result %+v", res)
		}
		if !physical {
			return
		}
		if r := alloc.Residual(p, target, x, res.Lambda); !(r <= kkt) {
			t.Fatalf("KKT residual %g for %+v, target %g, powers %v", r, p, target, x)
		}
	})
}
