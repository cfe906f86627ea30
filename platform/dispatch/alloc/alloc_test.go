package alloc_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"yunchu/platform/dispatch/alloc"
)

// oracle finds the optimum by trying every way in which units can be at their lower
// bound, free, or at their upper bound. It knows nothing of a multiplier as a
// function and returns false when no way meets the target.
func oracle(p alloc.Problem, target float64) ([]float64, bool) {
	n := p.Len()
	best, bestCost := []float64(nil), math.Inf(1)
	state := make([]int, n)
	tol := 1e-9 * scale(p, target)
	for {
		x := make([]float64, n)
		left, soft := target, 0.0
		for i, s := range state {
			switch s {
			case 0:
				x[i] = p.Lo[i]
				left -= x[i]
			case 1:
				x[i] = p.Hi[i]
				left -= x[i]
			default:
				left -= p.R[i] - p.B[i]/p.A[i]
				soft += 1 / p.A[i]
			}
		}
		feasible := soft > 0 || math.Abs(left) <= tol
		cost := 0.0
		for i, s := range state {
			if s == 2 {
				x[i] = p.R[i] - p.B[i]/p.A[i] + left/soft/p.A[i]
				feasible = feasible && x[i] >= p.Lo[i]-tol && x[i] <= p.Hi[i]+tol
			}
			d := x[i] - p.R[i]
			cost += p.A[i]*d*d/2 + p.B[i]*x[i]
		}
		if feasible && cost < bestCost {
			best, bestCost = x, cost
		}
		i := 0
		for ; i < n && state[i] == 2; i++ {
			state[i] = 0
		}
		if i == n {
			return best, best != nil
		}
		state[i]++
	}
}

func TestSolveAgainstEnumeration(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	var s alloc.Solver
	for k := range 400 {
		n := 1 + k%6
		if k%40 == 0 {
			n = 8
		}
		p := blank(n)
		for i := range n {
			p.A[i] = math.Exp(2 * rng.NormFloat64())
			p.B[i] = 10 * rng.NormFloat64()
			p.R[i] = 30 * rng.NormFloat64()
			p.Lo[i] = -100 * rng.Float64()
			p.Hi[i] = p.Lo[i] + 200*rng.Float64()*float64(rng.IntN(5)) // a fifth are held
		}
		lo, hi := total(p.Lo), total(p.Hi)
		target := lo + (hi-lo)*rng.Float64()
		want, ok := oracle(p, target)
		if !ok {
			t.Fatalf("problem %d: the oracle finds nothing for %g kW in %g to %g", k, target, lo, hi)
		}
		got, _ := check(t, &s, p, target)
		tol := 1e-7 * scale(p, target)
		for i := range got {
			if math.Abs(got[i]-want[i]) > tol {
				t.Errorf("problem %d, unit %d of %d: got %.12g kW, want %.12g", k, i, n, got[i], want[i])
			}
		}
	}
}

func TestSolveByHand(t *testing.T) {
	for _, tt := range []struct {
		name      string
		p         alloc.Problem
		target    float64
		want      []float64
		lambda    float64
		shortfall float64
	}{
		{"no units", problem(), 5, nil, 0, 5},
		{"one unit", problem([5]float64{2, 1, 0, -10, 10}), 3, []float64{3}, 7, 0},
		{"equals share", problem([5]float64{1, 0, 0, -10, 10}, [5]float64{1, 0, 0, -10, 10}, [5]float64{1, 0, 0, -10, 10}), 12, []float64{4, 4, 4}, 4, 0},
		{"by stiffness", problem([5]float64{1, 0, 0, -10, 10}, [5]float64{3, 0, 0, -10, 10}), 8, []float64{6, 2}, 6, 0},
		{"cheap one first", problem([5]float64{0.01, 1, 0, 0, 10}, [5]float64{0.01, 5, 0, 0, 10}), 7, []float64{7, 0}, 1.07, 0},
		{"one reaches its bound", problem([5]float64{1, 0, 0, 0, 2}, [5]float64{1, 0, 0, 0, 10}), 8, []float64{2, 6}, 6, 0},
		{"held unit", problem([5]float64{1, 0, 0, -3, -3}, [5]float64{1, 0, 0, -10, 10}), 1, []float64{-3, 4}, 4, 0},
		{"drawn outside its bounds", problem([5]float64{1, 0, 50, 0, 10}, [5]float64{1, 0, -50, 0, 10}), 10, []float64{10, 0}, math.NaN(), 0},
		{"too much charge", problem([5]float64{1, 0, 0, -1, 2}, [5]float64{2, 1, 0, -1, 3}), 9, []float64{2, 3}, 7, 4},
		{"too much discharge", problem([5]float64{1, 0, 0, -1, 2}, [5]float64{2, 1, 0, -1, 3}), -9, []float64{-1, -1}, -1, -7},
		{"just all", problem([5]float64{1, 0, 0, -1, 2}, [5]float64{2, 1, 0, -1, 3}), 5, []float64{2, 3}, 7, 0},
		{"all held, met", problem([5]float64{1, 0, 0, 2, 2}, [5]float64{1, 0, 0, 3, 3}), 5, []float64{2, 3}, math.NaN(), 0},
		{"all held, missed", problem([5]float64{1, 0, 0, 2, 2}, [5]float64{1, 0, 0, 3, 3}), 1, []float64{2, 3}, math.NaN(), -4},
		{"nothing to give", problem([5]float64{1, 0, 0, 0, 0}, [5]float64{1, 0, 0, 0, 0}), 0, []float64{0, 0}, math.NaN(), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s alloc.Solver
			got, res := check(t, &s, tt.p, tt.target)
			for i := range tt.want {
				if math.Abs(got[i]-tt.want[i]) > 1e-12 {
					t.Errorf("unit %d: got %v kW, want %v", i, got[i], tt.want[i])
				}
			}
			if !math.IsNaN(tt.lambda) && math.Abs(res.Lambda-tt.lambda) > 1e-12 {
				t.Errorf("lambda %v, want %v", res.Lambda, tt.lambda)
			}
			if res.Shortfall != tt.shortfall {
				t.Errorf("shortfall %v kW, want %v", res.Shortfall, tt.shortfall)
			}
		})
	}
}

// Fleets chosen to break the search: all kinds of sums Newton's step does not like,
// above and below the size from which a sample is drawn.
func TestSolveHardFleets(t *testing.T) {
	type row = [5]float64
	for _, tt := range []struct {
		name string
		unit func(i, n int, rng *rand.Rand) row
	}{
		{"equal", func(int, int, *rand.Rand) row { return row{0.01, 0.1, 0, -100, 100} }},
		{"equal but one", func(i, _ int, _ *rand.Rand) row {
			if i == 17 {
				return row{1e-6, 0.3, 0, -1e6, 1e6}
			}
			return row{0.01, 0.1, 0, -100, 100}
		}},
		{"flat between two groups", func(i, _ int, _ *rand.Rand) row { return row{1, float64(i%2) * 1000, 0, 0, 10} }},
		{"a tier each", func(i, _ int, _ *rand.Rand) row { return row{0.01, float64(i), 0, 0, 10} }},
		{"steep tiers", func(i, _ int, _ *rand.Rand) row { return row{1e-9, float64(i % 7), 0, -10, 10} }},
		{"almost linear", func(i, _ int, _ *rand.Rand) row { return row{1e-15, float64(i % 3), 0, -10, 10} }},
		{"far price", func(i, _ int, rng *rand.Rand) row { return row{0.01, 1e6 + rng.Float64(), 0, -10, 10} }},
		{"sizes over twelve decades", func(_, _ int, rng *rand.Rand) row {
			size := math.Pow(10, 12*rng.Float64()-6)
			return row{1 / size, rng.Float64(), 0, -size, size * rng.Float64()}
		}},
		{"curvatures over twelve decades", func(_, _ int, rng *rand.Rand) row {
			return row{math.Pow(10, 12*rng.Float64()-6), rng.NormFloat64(), rng.NormFloat64(), -1, 1}
		}},
		{"both", func(_, _ int, rng *rand.Rand) row {
			size := math.Pow(10, 12*rng.Float64()-6)
			return row{math.Pow(10, 12*rng.Float64()-6), rng.NormFloat64(), 0, -size, size * rng.Float64()}
		}},
		{"zero width but three", func(i, n int, _ *rand.Rand) row {
			if i%(n/3+1) == 0 {
				return row{1, 0, 0, -50, 50}
			}
			return row{1, 0, 0, float64(i%7) - 3, float64(i%7) - 3}
		}},
		{"forced against each other", func(i, _ int, _ *rand.Rand) row {
			if i%5 == 4 {
				return row{1, 0, 0, -1e-3, 1e-3}
			}
			p := float64(i%2*2-1) * 1e6
			return row{1, 0, 0, p, p}
		}},
		{"hair's breadth", func(i, _ int, _ *rand.Rand) row { return row{1, 0, 0, 1, math.Nextafter(1, 2)} }},
		{"doubling breakpoints", func(i, _ int, _ *rand.Rand) row {
			return row{1, math.Ldexp(1, i%60-30), 0, 0, math.Ldexp(1, i%40-30)}
		}},
		{"a giant the sample overlooks", func(i, n int, _ *rand.Rand) row {
			if i == n-2 || i == n/2+1 {
				return row{1e-9, 5, 0, -1e9, 1e9}
			}
			return row{1, 0, 0, -1, 1}
		}},
		{"sorted", func(i, n int, _ *rand.Rand) row {
			f := float64(i) / float64(n)
			return row{1 / (1 + 99*f), f * f, 100 * f, -1 - 99*f, 1 + 99*f}
		}},
		{"period of the strata", func(i, _ int, _ *rand.Rand) row {
			if i%4 == 0 {
				return row{1e-3, 0, 0, -1000, 1000}
			}
			return row{1, 9, 0, -1, 1}
		}},
	} {
		for _, n := range []int{1, 2, 9, 300, 2049, 4096, 20000} {
			t.Run(fmt.Sprintf("%s/%d", tt.name, n), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(uint64(n), 5))
				p := blank(n)
				for i := range n {
					r := tt.unit(i, n, rng)
					p.A[i], p.B[i], p.R[i], p.Lo[i], p.Hi[i] = r[0], r[1], r[2], r[3], r[4]
				}
				var s alloc.Solver
				lo, hi := total(p.Lo), total(p.Hi)
				for _, f := range []float64{-0.1, 0, 1e-12, 1e-3, 0.1, 0.25, 1.0 / 3, 0.5, 0.7, 0.99, 1 - 1e-9, 1, 2} {
					_, res := check(t, &s, p, lo+f*(hi-lo))
					if res.Steps > 200 {
						t.Errorf("at %g of the range: %d steps", f, res.Steps)
					}
				}
				check(t, &s, p, 0)
			})
		}
	}
}

func TestSolveIsMonotone(t *testing.T) {
	p := fleet(5000, 9)
	var s alloc.Solver
	lo, hi := total(p.Lo), total(p.Hi)
	last := make([]float64, p.Len())
	copy(last, p.Lo)
	lambda := math.Inf(-1)
	for k := range 51 {
		target := lo + (hi-lo)*float64(k)/50
		x, res := check(t, &s, p, target)
		if res.Lambda < lambda {
			t.Errorf("target %g kW: lambda fell from %g to %g", target, lambda, res.Lambda)
		}
		tol := 1e-12 * scale(p, target)
		for i := range x {
			if x[i] < last[i]-tol {
				t.Fatalf("target rose to %g kW: unit %d fell from %g to %g", target, i, last[i], x[i])
			}
		}
		last, lambda = x, res.Lambda
	}
}

// The same question has the same answer, whatever the solver was asked before.
func TestSolveRemembersNothing(t *testing.T) {
	for _, n := range []int{3, 500, 10000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			p := fleet(n, 4)
			target := 0.3 * total(p.Lo)
			want := make([]float64, n)
			var fresh, used alloc.Solver
			first, err := fresh.Solve(p, target, want)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]float64, n)
			for k := range 20 {
				if _, err := used.Solve(fleet(n/2+k, uint64(k)), float64(100*k), make([]float64, n/2+k)); err != nil {
					t.Fatal(err)
				}
				again, err := used.Solve(p, target, got)
				if err != nil {
					t.Fatal(err)
				}
				if again != first {
					t.Fatalf("result %+v, at first %+v", again, first)
				}
				for i := range got {
					if math.Float64bits(got[i]) != math.Float64bits(want[i]) {
						t.Fatalf("unit %d: %v kW, at first %v", i, got[i], want[i])
					}
				}
			}
		})
	}
}

func TestSolveAllocatesNothing(t *testing.T) {
	for _, n := range []int{100, 10000} {
		p := fleet(n, 2)
		x := make([]float64, n)
		var s alloc.Solver
		target := 0.0
		if got := testing.AllocsPerRun(20, func() {
			target -= float64(n)
			if _, err := s.Solve(p, target, x); err != nil {
				t.Fatal(err)
			}
		}); got != 0 {
			t.Errorf("%d units: %v allocations a call, want 0", n, got)
		}
	}
}

func TestSolveRefuses(t *testing.T) {
	good := [5]float64{1, 0, 0, -1, 1}
	bad := func(col int, v float64) alloc.Problem {
		row := good
		row[col] = v
		return problem(good, row, good)
	}
	short := problem(good, good)
	short.R = short.R[:1]
	nan, inf := math.NaN(), math.Inf(1)
	for _, tt := range []struct {
		name   string
		p      alloc.Problem
		target float64
		room   int
		want   string
		index  int // -1 when no unit is at fault
	}{
		{"NaN curvature", bad(0, nan), 0, 3, "unit 1: a = NaN", 1},
		{"no curvature", bad(0, 0), 0, 3, "unit 1: a = 0 is not positive", 1},
		{"negative curvature", bad(0, -1), 0, 3, "unit 1: a = -1 is not positive", 1},
		{"infinite curvature", bad(0, inf), 0, 3, "unit 1: a = +Inf", 1},
		{"NaN slope", bad(1, nan), 0, 3, "unit 1: b = NaN", 1},
		{"NaN reference", bad(2, nan), 0, 3, "unit 1: r = NaN", 1},
		{"infinite lower bound", bad(3, -inf), 0, 3, "unit 1: lo = -Inf", 1},
		{"infinite upper bound", bad(4, inf), 0, 3, "unit 1: hi = +Inf", 1},
		{"NaN bound", bad(4, nan), 0, 3, "unit 1: hi = NaN", 1},
		{"bounds in the wrong order", bad(3, 2), 0, 3, "unit 1: lo = 2 kW is above hi = 1 kW", 1},
		{"beyond the limit", bad(1, 2*alloc.Limit), 0, 3, "unit 1: b = 2e+30", 1},
		{"together beyond the limit", problem(good, [5]float64{1, 0.8 * alloc.Limit, 0.8 * alloc.Limit, 0, 0}), 0, 2, "unit 1: its values are together", 1},
		{"NaN target", problem(good), nan, 1, "target NaN kW", -1},
		{"infinite target", problem(good), inf, 1, "target +Inf kW", -1},
		{"columns", short, 0, 2, "column R has 1 units, column A 2", -1},
		{"no room", problem(good), 0, 2, "out has 2", -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := make([]float64, tt.room)
			for i := range x {
				x[i] = 77
			}
			var s alloc.Solver
			_, err := s.Solve(tt.p, tt.target, x)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q in it", err, tt.want)
			}
			if u, ok := errors.AsType[*alloc.UnitError](err); ok != (tt.index >= 0) || ok && u.Index != tt.index {
				t.Errorf("UnitError %v, want index %d", u, tt.index)
			}
			for i, v := range x {
				if v != 77 {
					t.Errorf("power of unit %d written", i)
				}
			}
		})
	}
	t.Run("any of a large fleet", func(t *testing.T) {
		for _, at := range []int{0, 1, 4711, 9999} {
			p := fleet(10000, 1)
			p.B[at] = nan
			var s alloc.Solver
			_, err := s.Solve(p, -1000, make([]float64, 10000))
			if u, ok := errors.AsType[*alloc.UnitError](err); !ok || u.Index != at {
				t.Errorf("error %v, want unit %d named", err, at)
			}
		}
	})
}

func TestValidate(t *testing.T) {
	p := fleet(100, 1)
	if err := p.Validate(); err != nil {
		t.Fatalf("a sound fleet: %v", err)
	}
	p.A[3], p.Lo[70] = 0, math.NaN()
	err := p.Validate()
	for _, want := range []string{"unit 3: a = 0", "unit 70: lo = NaN"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
	for i := range p.A {
		p.A[i] = -1
	}
	if err := p.Validate(); err == nil || !strings.Contains(err.Error(), "and 80 more units") {
		t.Errorf("error %v, want the rest counted", err)
	}
}

// The measure itself must see each way of being wrong.
func TestResidual(t *testing.T) {
	p := problem([5]float64{1, 0, 0, -10, 10}, [5]float64{1, 0, 0, -10, 10}) // scale 20
	for _, tt := range []struct {
		name   string
		target float64
		x      []float64
		lambda float64
		want   float64
	}{
		{"optimal", 8, []float64{4, 4}, 4, 0},
		{"wrong sum", 10, []float64{4, 4}, 4, 2.0 / 20},
		{"unequal marginal cost", 8, []float64{3, 5}, 4, 1.0 / 20},
		{"wrong multiplier", 8, []float64{4, 4}, 5, 1.0 / 20},
		{"beyond a bound", 16, []float64{11, 5}, 5, 6.0 / 20},
		{"all there is", 30, []float64{10, 10}, 10, 0},
		{"less than there is", 30, []float64{10, 9}, 10, 1.0 / 30},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := alloc.Residual(p, tt.target, tt.x, tt.lambda); math.Abs(got-tt.want) > 1e-15 {
				t.Errorf("residual %g, want %g", got, tt.want)
			}
		})
	}
	if got := alloc.Residual(p, 0, []float64{math.NaN(), 0}, 0); !math.IsNaN(got) {
		t.Errorf("residual of NaN is %g, want NaN", got)
	}
}

func ExampleSolver_Solve() {
	// Two equal units and one that costs more to use; discharge 120 kW.
	p := alloc.Problem{
		A:  []float64{0.01, 0.01, 0.01},
		B:  []float64{0, 0, -0.30}, // discharging the third costs 0.30 more a kW
		R:  []float64{0, 0, 0},
		Lo: []float64{-50, -100, -100},
		Hi: []float64{50, 100, 100},
	}
	power := make([]float64, 3)
	var s alloc.Solver
	res, err := s.Solve(p, -120, power)
	fmt.Printf("%.1f kW, multiplier %.2f, shortfall %.0f kW, %v\n", power, res.Lambda, res.Shortfall, err)
	// Output: [-50.0 -50.0 -20.0] kW, multiplier -0.50, shortfall 0 kW, <nil>
}

// TestSoftUnitsSeenFromAStiffOne: the unit in the middle of the fleet, from whose multiplier
// the others are looked at, is held and twelve decades stiffer than they are.
func TestSoftUnitsSeenFromAStiffOne(t *testing.T) {
	size := math.Pow(10, 0.53125)
	for at := range 4 {
		p := blank(4)
		for i := range 4 {
			p.A[i], p.B[i], p.R[i], p.Lo[i], p.Hi[i] = 1e-6, 0, size, size/2, size
			if i == at {
				p.A[i], p.R[i], p.Lo[i], p.Hi[i] = 1e6, 10, 5, 5
			}
		}
		var s alloc.Solver
		x, _ := check(t, &s, p, 10.097468051046084)
		for i := range x {
			if want := (10.097468051046084 - 5) / 3; i != at && math.Abs(x[i]-want) > 1e-9 {
				t.Errorf("unit %d gets %g kW, want %g", i, x[i], want)
			}
		}
	}
}
