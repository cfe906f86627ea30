package lp

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/optimize/convex/lp"
)

var inf = math.Inf(1)

func near(a, b, within float64) bool { return math.Abs(a-b) <= within*(1+math.Abs(b)) }

// solved wants a solution that keeps to everything and that its own bound proves.
func solved(t *testing.T, p *Problem) *Solution {
	t.Helper()
	s, err := p.Solve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Missed > 1e-7 || s.Objective-s.Bound > 1e-7*(1+math.Abs(s.Objective)) || s.Bound-s.Objective > 1e-7*(1+math.Abs(s.Objective)) {
		t.Errorf("cost %.12g, at least %.12g, rows missed by %.3g after %d rounds", s.Objective, s.Bound, s.Missed, s.Rounds)
	}
	return s
}

// TestKnown: a problem whose optimum and prices anybody can work out.
func TestKnown(t *testing.T) {
	var p Problem
	x, y := p.Var(0, inf, -3), p.Var(0, inf, -5)
	p.Row(-inf, 4, Term{x, 1})
	p.Row(-inf, 12, Term{y, 2})
	p.Row(-inf, 18, Term{x, 3}, Term{y, 2})
	s := solved(t, &p)
	if !near(s.X[x], 2, 1e-7) || !near(s.X[y], 6, 1e-7) || !near(s.Objective, -36, 1e-9) {
		t.Errorf("%v costs %v, want 2 and 6 for -36", s.X, s.Objective)
	}
	for r, want := range []float64{0, -1.5, -1} {
		if math.Abs(s.Y[r]-want) > 1e-6 {
			t.Errorf("row %d has the price %v, want %v", r, s.Y[r], want)
		}
	}
}

// TestSquares: allocation to two units with marginal costs, as in the textbook.
func TestSquares(t *testing.T) {
	var p Problem
	a, b := p.Var(0, 100, 10), p.Var(0, 100, 20)
	p.Square(a, 0.2)
	p.Square(b, 0.1)
	r := p.Row(120, 120, Term{a, 1}, Term{b, 1})
	s := solved(t, &p)
	// 10 + 0.2a = 20 + 0.1b and a + b = 120: a = 220/3, b = 140/3.
	if !near(s.X[a], 220./3, 1e-6) || !near(s.X[b], 140./3, 1e-6) || !near(s.Y[r], 10+0.2*220/3, 1e-6) {
		t.Errorf("%v at the price %v", s.X, s.Y)
	}
}

// TestNothingKeepsToIt and what has no end are told apart from what is solved.
func TestNothingKeepsToIt(t *testing.T) {
	var p Problem
	x, y := p.Var(0, 10, 1), p.Var(0, 10, 1)
	p.Row(25, inf, Term{x, 1}, Term{y, 1})
	if _, err := p.Solve(t.Context()); !errors.Is(err, ErrInfeasible) {
		t.Errorf("25 of two times 10: %v", err)
	}
	var q Problem
	x, y = q.Var(0, inf, -1), q.Var(0, inf, 0)
	q.Row(-inf, 1, Term{x, 1}, Term{y, -1})
	if _, err := q.Solve(t.Context()); !errors.Is(err, ErrUnbounded) {
		t.Errorf("a cost without end: %v", err)
	}
	var r Problem
	r.Var(2, 1, 0)
	if _, err := r.Solve(t.Context()); !errors.Is(err, ErrInfeasible) {
		t.Errorf("bounds that cross: %v", err)
	}
	var nan Problem
	nan.Var(0, 1, math.NaN())
	if _, err := nan.Solve(t.Context()); err == nil {
		t.Error("a cost that is no number is taken")
	}
}

// TestSizes: units of any size, and variables without bounds, are no trap.
func TestSizes(t *testing.T) {
	var tiny Problem // a cost per Wh
	x := tiny.Var(0, inf, 5e-8)
	tiny.Row(3e6, inf, Term{x, 1})
	if s := solved(t, &tiny); !near(s.X[x], 3e6, 1e-6) {
		t.Errorf("%v, want 3e6", s.X)
	}
	var endless Problem
	endless.Var(0, inf, -5e-8)
	if s, err := endless.Solve(t.Context()); err == nil {
		t.Errorf("a cost without end, and small, is solved: %+v", s)
	}
	var weak Problem // a row of a small number can be kept
	x = weak.Var(0, inf, 1)
	y := weak.Var(0, inf, 3)
	weak.Row(1, inf, Term{x, 1e-8}, Term{y, 1e-8})
	if s := solved(t, &weak); !near(s.X[x], 1e8, 1e-6) {
		t.Errorf("%v, want 1e8 and 0", s.X)
	}
	var free Problem // no bounds at all
	x, y = free.Var(-inf, inf, 0), free.Var(-inf, inf, 0)
	free.Square(x, 1)
	free.Square(y, 1)
	free.Row(2, 2, Term{x, 1}, Term{y, 1})
	if s := solved(t, &free); !near(s.X[x], 1, 1e-7) || !near(s.X[y], 1, 1e-7) {
		t.Errorf("%v, want 1 and 1", s.X)
	}
	var large Problem
	x, y = large.Var(0, 1e13, 1), large.Var(0, 1e13, 2)
	large.Row(3e12, 3e12, Term{x, 1}, Term{y, 1})
	large.Row(-inf, 2e12, Term{x, 1})
	if s, err := large.Solve(t.Context()); err != nil || !near(s.Objective, 4e12, 1e-6) {
		t.Errorf("%+v, %v, want 4e12", s, err)
	}
	var fixed Problem
	x = fixed.Var(2, 2, 0)
	fixed.Row(3, 3, Term{x, 1})
	if _, err := fixed.Solve(t.Context()); !errors.Is(err, ErrInfeasible) {
		t.Errorf("2 is 3: %v", err)
	}
}

// TestPeak: a variable that stands in very many rows costs no more than the others, and rows are
// the caller's no more once they are given.
func TestPeak(t *testing.T) {
	const n = 3000
	rng := rand.New(rand.NewPCG(2, 3))
	var p Problem
	peak := p.Var(0, inf, 100)
	highest := 0.0
	terms := make([]Term, 2)
	for range n {
		load := 50 + 50*rng.Float64()
		highest = max(highest, load-10)
		shed := p.Var(0, 10, 0.01)
		terms[0], terms[1] = Term{peak, 1}, Term{shed, 1}
		p.Row(load, inf, terms...)
	}
	s := solved(t, &p)
	if !near(s.X[peak], highest, 1e-6) {
		t.Errorf("a peak of %v, want %v", s.X[peak], highest)
	}
	entries := 0
	for _, b := range newModel(&p).f.blocks {
		entries += len(b.index)
	}
	if n := entries; n > 60*len(p.terms) { // of 4.5 million
		t.Errorf("the factor has %d entries", n)
	}
}

// TestLikeSimplex: random problems have the optimum that a simplex method finds. A row may
// follow from others, and variables may be fixed, or bounded on one side only.
func TestLikeSimplex(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	compared := 0
	for trial := range 400 {
		n, rows := 2+rng.IntN(8), 1+rng.IntN(5)
		var p Problem
		inside := make([]float64, n)
		for j := range n {
			lo, hi := -float64(rng.IntN(5)), float64(rng.IntN(6))
			if rng.IntN(6) == 0 {
				hi = lo
			}
			inside[j] = lo + rng.Float64()*(hi-lo)
			p.Var(lo, hi, float64(rng.IntN(21)-10))
		}
		var last []Term
		for range rows {
			var terms []Term
			sum := 0.0
			for j := range n {
				if rng.IntN(2) == 0 {
					by := float64(rng.IntN(9) - 4)
					terms = append(terms, Term{Var(j), by})
					sum += by * inside[j]
				}
			}
			if last != nil && rng.IntN(5) == 0 { // the same once more
				terms, sum = last, 0
				for _, x := range last {
					sum += x.By * inside[x.Var]
				}
			}
			last = terms
			switch rng.IntN(3) {
			case 0:
				p.Row(sum, sum, terms...)
			case 1:
				p.Row(-inf, sum+rng.Float64(), terms...)
			default:
				p.Row(sum-rng.Float64(), sum+3*rng.Float64(), terms...)
			}
		}
		s := solved(t, &p)
		want, err := simplex(&p)
		if err != nil {
			continue // it gives up where rows follow from others
		}
		compared++
		if !near(s.Objective, want, 1e-7) {
			t.Errorf("trial %d: %.10g, the simplex method finds %.10g", trial, s.Objective, want)
		}
	}
	if compared < 200 {
		t.Errorf("only %d problems were compared", compared)
	}
}

// simplex solves p with gonum: x - lo >= 0, with a slack for each bound above and each side
// of a row that is no equation.
func simplex(p *Problem) (float64, error) {
	n, rows := p.Size()
	var (
		lines [][]float64
		right []float64
		slack []float64 // of each line, 0 for an equation
		shift float64
	)
	for j := range n {
		shift += p.cost[j] * p.lo[j]
		line := make([]float64, n)
		line[j] = 1
		lines, right, slack = append(lines, line), append(right, p.hi[j]-p.lo[j]), append(slack, 1)
	}
	for r := range rows {
		line, off := make([]float64, n), 0.0
		for _, x := range p.terms[r] {
			line[x.Var] += x.By
			off += x.By * p.lo[x.Var]
		}
		if p.rowLo[r] == p.rowHi[r] {
			lines, right, slack = append(lines, line), append(right, p.rowLo[r]-off), append(slack, 0)
			continue
		}
		lines, right, slack = append(lines, line), append(right, p.rowHi[r]-off), append(slack, 1)
		if !math.IsInf(p.rowLo[r], 0) {
			lines, right, slack = append(lines, line), append(right, p.rowLo[r]-off), append(slack, -1)
		}
	}
	slacks := 0
	for _, s := range slack {
		if s != 0 {
			slacks++
		}
	}
	a := mat.NewDense(len(lines), n+slacks, nil)
	if len(lines) >= n+slacks {
		return 0, errors.New("more equations than it can take")
	}
	at := n
	for i, line := range lines {
		for j, x := range line {
			a.Set(i, j, x)
		}
		if slack[i] != 0 {
			a.Set(i, at, slack[i])
			at++
		}
	}
	c := make([]float64, n+slacks)
	copy(c, p.cost)
	z, _, err := lp.Simplex(c, a, right, 1e-10, nil)
	return z + shift, err
}

// TestOrder: every row is eliminated once, and a star, whose middle must come last, leaves
// its factor as sparse as it is.
func TestOrder(t *testing.T) {
	const n = 50
	star := make([][]int32, n)
	for i := int32(1); i < n; i++ {
		star[0], star[i] = append(star[0], i), []int32{0}
	}
	f := newPattern(star)
	if got := len(f.index); got != 2*n-1 {
		t.Errorf("the factor of a star of %d has %d entries, want %d", n, got, 2*n-1)
	}
	seen := map[int32]bool{}
	for _, k := range f.place {
		seen[k] = true
	}
	if len(seen) != n {
		t.Errorf("%d places for %d rows", len(seen), n)
	}
}

// TestNormal: what is solved is what was asked, for random matrices, with any border.
func TestNormal(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		rows := 1 + rng.IntN(40)
		a := &matrix{start: []int32{0}}
		end := func() { a.start = append(a.start, int32(len(a.row))) }
		for i := range rows { // so that none follows from others
			a.row, a.by = append(a.row, int32(i)), append(a.by, 1)
			end()
		}
		for range rng.IntN(60) {
			for i := range rows {
				if rng.IntN(8) == 0 {
					a.row, a.by = append(a.row, int32(i)), append(a.by, rng.NormFloat64())
				}
			}
			end()
		}
		d := make([]float64, len(a.start)-1)
		for j := range d {
			d[j] = math.Exp(rng.NormFloat64())
		}
		x, b := make([]float64, rows), make([]float64, rows)
		for i := range x {
			x[i] = rng.NormFloat64()
		}
		for j := range d {
			v := d[j] * a.dot(j, x)
			row, by := a.of(j)
			for k, r := range row {
				b[r] += by[k] * v
			}
		}
		border := rng.Perm(rows)[:rng.IntN(rows+1)]
		var set []int32
		for _, r := range border {
			set = append(set, int32(r))
		}
		slices.Sort(set)
		home, blocks := apart(a, rows, set)
		m := &model{a: a, of: make([]int, len(d)), leads: make([]bool, len(d)), colBase: make([]float64, len(d)), rowScale: make([]float64, rows)}
		for j := range m.colBase {
			m.colBase[j] = d[j] // goes where its column goes
		}
		m.divide(home, blocks, set)
		f, d := m.f, m.colBase
		if err := f.factor(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		f.solve(b)
		for i := range x {
			if !near(b[i], x[i], 1e-9) {
				t.Fatalf("%d rows, %d in the border: %v, want %v", rows, len(set), b[i], x[i])
			}
		}
	}
}

// TestNear: a solution that is wanted nearer is, and takes a few rounds more.
func TestNear(t *testing.T) {
	p := fleet(5)
	plain := solved(t, p)
	p.Near = 1e-12
	near := solved(t, p)
	if gap := near.Objective - near.Bound; gap > 1e-11*(1+math.Abs(near.Objective)) || near.Rounds > plain.Rounds+10 {
		t.Errorf("the gap is %g after %d rounds, %g after %d", gap, near.Rounds, plain.Objective-plain.Bound, plain.Rounds)
	}
}

// TestCrumbIsNoSize: a side of a row that should be 0, but for rounding, does not set the scale.
func TestCrumbIsNoSize(t *testing.T) {
	for _, crumb := range []float64{0, 1e-17, -3e-16} {
		var p Problem
		x, y := p.Var(0, 0.1, -1), p.Var(0, 0.1, 0.5)
		p.Row(crumb, crumb, Term{x, 1}, Term{y, -1})
		if s, err := p.Solve(t.Context()); err != nil || math.Abs(s.Objective+0.05) > 1e-9 {
			t.Errorf("%g: %+v, %v", crumb, s, err)
		}
	}
}

// TestCrumbInALargeStore: what a store holds is next to nothing beside what it could, and to fill it in the
// second of its intervals costs a little more than what is left at the end is worth: all that is moved is the crumb.
func TestCrumbInALargeStore(t *testing.T) {
	const held, worth, eta = 3e-5, 26.3, 0.85
	for _, more := range []float64{1e-4, 2.5e-3, 0.1} {
		for _, n := range []int{2, 6, 24} {
			var p Problem
			var sold Var
			before := p.Var(held, held, 0)
			for i := range n {
				buy, sell, next := p.Var(0, 1, eta*(worth+more)+float64(i-1)/10), p.Var(0, 1, 1-worth), p.Var(0, 4, 0)
				p.Row(0, 0, Term{before, 1}, Term{buy, eta}, Term{sell, -1}, Term{next, -1})
				if i == 0 {
					sold = sell
					p.SetCost(buy, 29)
					p.SetCost(sell, -29)
				}
				before = next
			}
			p.SetCost(before, -worth)
			if s := solved(t, &p); math.Abs(s.X[sold]-held) > 1e-6*held || math.Abs(s.Objective+29*held) > 1e-6*29*held {
				t.Errorf("%v more, %d intervals: %v is sold for %v, want %v for %v", more, n, s.X[sold], -s.Objective, held, 29*held)
			}
		}
	}
}

// ending is a context that ends when it has been asked so often.
type ending struct {
	context.Context
	left atomic.Int64
}

func endingAfter(t *testing.T, asked int64) *ending {
	c := &ending{Context: t.Context()}
	c.left.Store(asked)
	return c
}

func (c *ending) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// TestStops: a context that ends stops the rounds there, and leaves the problem as it was.
func TestStops(t *testing.T) {
	var p Problem
	x, y := p.Var(0, inf, -3), p.Var(0, inf, -5)
	p.Row(-inf, 12, Term{y, 2})
	p.Row(-inf, 18, Term{x, 3}, Term{y, 2})
	for asked := range int64(8) {
		ctx := endingAfter(t, asked)
		if _, err := p.Solve(ctx); !errors.Is(err, context.Canceled) || ctx.left.Load() < -3 {
			t.Errorf("ended after it was asked %d times: %v, and it was asked %d times more", asked, err, -ctx.left.Load())
		}
	}
	if s := solved(t, &p); !near(s.Objective, -36, 1e-9) {
		t.Errorf("after that it costs %v", s.Objective)
	}
}
