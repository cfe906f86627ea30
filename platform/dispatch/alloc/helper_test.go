package alloc_test

import (
	"math"
	"math/rand/v2"

	"yunchu/platform/dispatch/alloc"
)

// kkt is the bar: residual in parts of max(|target|, total capability).
const kkt = 1e-9

// problem builds the columns from rows of a, b, r, lo, hi.
func problem(rows ...[5]float64) alloc.Problem {
	p := blank(len(rows))
	for i, r := range rows {
		p.A[i], p.B[i], p.R[i], p.Lo[i], p.Hi[i] = r[0], r[1], r[2], r[3], r[4]
	}
	return p
}

func blank(n int) alloc.Problem {
	c := make([]float64, 5*n)
	return alloc.Problem{A: c[:n:n], B: c[n : 2*n : 2*n], R: c[2*n : 3*n : 3*n], Lo: c[3*n : 4*n : 4*n], Hi: c[4*n:]}
}

// fleet is n storage units of four sizes with random state of charge, some full,
// some empty, 2 % held at a power of their own, drawn to the mean state of charge.
func fleet(n int, seed uint64) alloc.Problem {
	rng := rand.New(rand.NewPCG(seed, 1))
	p := blank(n)
	for i := range n {
		rated := [4]float64{50, 100, 250, 500}[rng.IntN(4)]
		soc := rng.Float64()
		p.Lo[i], p.Hi[i] = -rated, 0.9*rated
		switch {
		case soc < 0.05:
			p.Lo[i] = 0
		case soc > 0.95:
			p.Hi[i] = 0
		}
		if rng.Float64() < 0.02 {
			p.Lo[i] = p.Lo[i] * rng.Float64()
			p.Hi[i] = p.Lo[i]
		}
		p.A[i] = 1 / rated
		p.B[i] = 0.05 + 0.1*rng.Float64()
		p.R[i] = rated * (0.5 - soc)
	}
	return p
}

func total(v []float64) float64 {
	sum, rest := 0.0, 0.0
	for _, x := range v {
		s := sum + x
		if math.Abs(sum) >= math.Abs(x) {
			rest += (sum - s) + x
		} else {
			rest += (x - s) + sum
		}
		sum = s
	}
	return sum + rest
}

// scale is what every tolerance is a part of.
func scale(p alloc.Problem, target float64) float64 {
	size := math.Abs(target)
	capability := 0.0
	for i := range p.A {
		capability += max(math.Abs(p.Lo[i]), math.Abs(p.Hi[i]))
	}
	return max(size, capability)
}

// errorf is what both *testing.T and *rapid.T offer.
type errorf interface {
	Helper()
	Errorf(format string, args ...any)
}

// check solves and verifies all that Solve promises of any answer.
func check(t errorf, s *alloc.Solver, p alloc.Problem, target float64) ([]float64, alloc.Result) {
	t.Helper()
	x := make([]float64, p.Len())
	res, err := s.Solve(p, target, x)
	if err != nil {
		t.Errorf("Solve(%d units, %g kW): %v", p.Len(), target, err)
		return x, res
	}
	unit := scale(p, target)
	atLo, atHi := 0, 0
	for i, v := range x {
		if !(v >= p.Lo[i] && v <= p.Hi[i]) {
			t.Errorf("target %g kW: unit %d gets %g kW, bounds %g to %g", target, i, v, p.Lo[i], p.Hi[i])
		}
		if v == p.Lo[i] {
			atLo++
		}
		if v == p.Hi[i] {
			atHi++
		}
	}
	if res.AtLo != atLo || res.AtHi != atHi {
		t.Errorf("target %g kW: AtLo %d, AtHi %d, powers say %d, %d", target, res.AtLo, res.AtHi, atLo, atHi)
	}
	if r := alloc.Residual(p, target, x, res.Lambda); !(r <= kkt) {
		t.Errorf("target %g kW: KKT residual %g, want at most %g", target, r, kkt)
	}
	sum := total(x)
	if math.Abs(sum-res.Sum) > 1e-12*unit {
		t.Errorf("target %g kW: Sum is %g kW, the powers add up to %g", target, res.Sum, sum)
	}
	exact := 1e-12 * unit
	if p.Len() <= 100 {
		exact = float64(p.Len()+4) * 0x1p-53 * unit // the rounding of the sums alone
	}
	reach := min(max(target, total(p.Lo)), total(p.Hi))
	if math.Abs(sum-reach) > exact {
		t.Errorf("target %g kW: the powers add up to %.17g kW, want %.17g", target, sum, reach)
	}
	if math.Abs(res.Shortfall-(target-reach)) > 1e-12*unit {
		t.Errorf("target %g kW: shortfall %g kW, want %g", target, res.Shortfall, target-reach)
	}
	return x, res
}
