package lp

import (
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// sites is a random fleet: sites of different horizons, some with limits of their own, and rows
// over all of them in each interval, over all intervals, and over some sites. It can be kept:
// every site may rest.
func sites(rng *rand.Rand) *Problem {
	var p Problem
	n := 4 + rng.IntN(10)
	each, whole := make([][]Term, n), []Term(nil)
	some := make([][]Term, 3)
	for s := range 3 + rng.IntN(20) {
		power, energy, eta := 0.5+rng.Float64(), 1+3*rng.Float64(), 0.8+0.2*rng.Float64()
		before := p.Var(0.3*energy, 0.3*energy, 0)
		for t := range n - rng.IntN(3) {
			price := 20 * rng.NormFloat64()
			ch, dis := p.Var(0, power, price), p.Var(0, power, 1-price)
			next := p.Var(0.1*energy, energy, 0)
			p.Row(0, 0, Term{next, -1}, Term{before, 1}, Term{ch, eta}, Term{dis, -1})
			if rng.IntN(4) == 0 {
				p.Row(-inf, 1.2*power, Term{ch, 1}, Term{dis, 1})
			}
			if rng.IntN(8) == 0 {
				p.Square(dis, rng.Float64())
			}
			before = next
			each[t] = append(each[t], Term{ch, 1}, Term{dis, -1})
			whole = append(whole, Term{ch, 1}, Term{dis, 1})
			some[s%3] = append(some[s%3], Term{dis, 1 + rng.Float64()})
		}
	}
	for _, terms := range each {
		m := float64(len(terms))
		p.Row(-0.1*m*rng.Float64(), 0.1*m*rng.Float64(), terms...)
	}
	p.Row(-inf, 0.3*float64(len(whole)), whole...)
	for _, terms := range some {
		p.Row(0, 0.2*float64(len(terms)), terms...)
	}
	return &p
}

// TestBlocks: what is found with a border is what is found without one, and on one processor
// what is found on two, to the last bit.
func TestBlocks(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	bordered := 0
	for trial := range 30 {
		p := sites(rng)
		s := solved(t, p)
		m := newModel(p)
		if len(m.f.border) > 0 {
			bordered++
		}
		home, blocks := apart(m.a, len(m.b), nil)
		m.divide(home, blocks, nil)
		m.load(p)
		whole, err := newMethod(m).solve(t.Context())
		if err != nil {
			t.Fatalf("trial %d: %v", trial, err)
		}
		if !near(s.Objective, whole.Objective, 2e-9) {
			t.Errorf("trial %d: %.12g with a border, %.12g without", trial, s.Objective, whole.Objective)
		}
	}
	if bordered < 10 {
		t.Errorf("only %d problems have a border", bordered)
	}
	p := fleet(25)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	one := solved(t, p)
	if n := len(p.kept.f.groups); n < 2 {
		t.Errorf("%d group of blocks, of which there is nothing to do side by side", n)
	}
	runtime.GOMAXPROCS(3)
	if three := solved(t, p); !slices.Equal(one.X, three.X) || !slices.Equal(one.Y, three.Y) {
		t.Errorf("%v on one processor, %v on three", one.Objective, three.Objective)
	}
}

// TestChosen: an optimum that was chosen first is found. With x and y, and prices of bounds that
// are 0 where x is not at a bound, the costs follow: c = Aᵀy + z. Many prices are 0 also where x
// is at its bound, and rows follow from others, so that the optimum is degenerate.
func TestChosen(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for trial := range 150 {
		n, rows := 1+rng.IntN(60), rng.IntN(40)
		x, c := make([]float64, n), make([]float64, n)
		lo, hi := make([]float64, n), make([]float64, n)
		for j := range n {
			x[j] = math.Round(10 * rng.NormFloat64())
			lo[j], hi[j] = x[j]-float64(1+rng.IntN(5)), x[j]+float64(1+rng.IntN(5))
			price := float64(rng.IntN(3)) * rng.Float64()
			switch rng.IntN(5) {
			case 0:
				lo[j], c[j] = x[j], price
			case 1:
				hi[j], c[j] = x[j], -price
			case 2:
				lo[j], hi[j], c[j] = x[j], x[j], rng.NormFloat64()
			case 3:
				lo[j] = math.Inf(-1)
			}
		}
		var terms [][]Term
		var rowLo, rowHi []float64
		for r := range rows {
			var row []Term
			for j := range n {
				if rng.IntN(6) == 0 {
					row = append(row, Term{Var(j), float64(1 + rng.IntN(4))})
				}
			}
			if r > 0 && rng.IntN(4) == 0 {
				row = append(slices.Clone(row), terms[rng.IntN(r)]...) // often in it twice
			}
			sum, y := 0.0, 0.0
			for _, x0 := range row {
				sum += x0.By * x[x0.Var]
			}
			from, to := sum-rng.Float64(), sum+rng.Float64()
			switch rng.IntN(4) {
			case 0:
				from, to, y = sum, sum, rng.NormFloat64()
			case 1:
				from, to, y = sum, inf, float64(rng.IntN(2))*rng.Float64()
			case 2:
				from, to, y = -inf, sum, -float64(rng.IntN(2))*rng.Float64()
			}
			for _, x0 := range row {
				c[x0.Var] += y * x0.By
			}
			terms, rowLo, rowHi = append(terms, row), append(rowLo, from), append(rowHi, to)
		}
		var p Problem
		want := 0.0
		for j := range n {
			p.Var(lo[j], hi[j], c[j])
			want += c[j] * x[j]
		}
		for r := range rows {
			p.Row(rowLo[r], rowHi[r], terms[r]...)
		}
		if s := solved(t, &p); !near(s.Objective, want, 1e-7) {
			t.Errorf("trial %d: %.12g, chosen was %.12g", trial, s.Objective, want)
		}
	}
}

// TestNone: random fleets that cannot keep to a limit, or gain without end, are told.
func TestNone(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for trial := range 20 {
		p := sites(rng)
		var all []Term
		for v := range p.cost {
			all = append(all, Term{Var(v), 1})
		}
		p.Row(1e6, inf, all...)
		if _, err := p.Solve(t.Context()); !errors.Is(err, ErrInfeasible) {
			t.Errorf("trial %d: %v, want that nothing keeps to it", trial, err)
		}
		p = sites(rng)
		p.Row(0, 1, Term{p.Var(0, inf, -1), 1}, Term{p.Var(0, inf, 0.5), -1})
		if _, err := p.Solve(t.Context()); !errors.Is(err, ErrUnbounded) {
			t.Errorf("trial %d: %v, want that it has no end", trial, err)
		}
	}
}

// TestAgain: a problem that is changed has the optimum of one that is built so.
func TestAgain(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for trial := range 10 {
		p := sites(rng)
		solved(t, p)
		for range 5 {
			v := Var(rng.IntN(len(p.cost)))
			p.SetCost(v, rng.NormFloat64())
			v = Var(rng.IntN(len(p.cost)))
			p.SetBounds(v, p.lo[v], p.lo[v]+(p.hi[v]-p.lo[v])*float64(rng.IntN(3))/2)
			r := Row(rng.IntN(len(p.rowLo)))
			p.SetRow(r, p.rowLo[r], p.rowHi[r]+float64(rng.IntN(2)))
		}
		again, err := p.Solve(t.Context())
		p.kept = nil
		fresh, other := p.Solve(t.Context())
		if errors.Is(err, ErrInfeasible) && errors.Is(other, ErrInfeasible) {
			continue
		}
		if err != nil || other != nil {
			t.Fatalf("trial %d: %v, built anew: %v", trial, err, other)
		}
		if again.Objective != fresh.Objective || !slices.Equal(again.X, fresh.X) {
			t.Errorf("trial %d: %.12g, built anew %.12g", trial, again.Objective, fresh.Objective)
		}
	}
}

// TestWriteMPS: all kinds of rows and bounds.
func TestWriteMPS(t *testing.T) {
	var p Problem
	a, b := p.Var(0, 4, 1.5), p.Var(-inf, 3, -2)
	c, d, e := p.Var(-inf, inf, 0), p.Var(2, 2, 0.1), p.Var(-1, inf, 0)
	p.Square(b, 0.25)
	p.Row(1, 1, Term{a, 1}, Term{b, -1}, Term{a, 2})
	p.Row(-inf, 5, Term{c, 1}, Term{d, 1})
	p.Row(-3, inf, Term{c, 1}, Term{e, 1})
	p.Row(-1, 2, Term{a, 1e-3})
	p.Row(-inf, inf, Term{a, 7})
	var got strings.Builder
	if err := p.WriteMPS(&got); err != nil {
		t.Fatal(err)
	}
	const want = `NAME yunchu
ROWS
 N cost
 E r0
 L r1
 G r2
 G r3
 N r4
COLUMNS
 x0 cost 1.5
 x0 r0 3
 x0 r3 0.001
 x0 r4 7
 x1 cost -2
 x1 r0 -1
 x2 cost 0
 x2 r1 1
 x2 r2 1
 x3 cost 0.1
 x3 r1 1
 x4 cost 0
 x4 r2 1
RHS
 right r0 1
 right r1 5
 right r2 -3
 right r3 -1
RANGES
 range r3 3
BOUNDS
 UP bound x0 4
 MI bound x1
 UP bound x1 3
 FR bound x2
 FX bound x3 2
 LO bound x4 -1
QUADOBJ
 x1 x1 0.25
ENDATA
`
	if got.String() != want {
		t.Errorf("it is\n%s\nwant\n%s", got.String(), want)
	}
}
