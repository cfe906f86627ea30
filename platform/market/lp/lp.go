// Package lp finds the optimum of linear programs, and of those whose cost has squares of
// single variables besides, with a proof: a bound that no solution can be better than.
//
// The method is a primal-dual interior-point method with predictor and corrector (S. Mehrotra,
// SIAM J. Optimization 2(4), 1992) for variables with bounds on both sides, on normal equations
// that a Cholesky factorisation solves. Where a problem falls into blocks once a few rows are set
// aside that many variables share, as batteries with the limits of a feeder do, each block is
// factored by itself, and its part in the shared rows after that. Large problems are worked on by as
// many processors as there are; the result is the same on any number of them.
package lp

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"yunchu/platform/market/spread"
)

// Var is a variable of a problem, Row one of its rows.
type (
	Var int
	Row int
)

// Term is a variable times a number.
type Term struct {
	Var Var
	By  float64
}

// Problem is: minimise sum of cost·x + square·x²/2, with lo <= x <= hi for each variable, and
// lo <= sum of terms <= hi for each row. The zero value has neither. It is used by one goroutine
// at a time.
type Problem struct {
	// Near is how near to the optimum the solution is wanted, relative to the cost, where it is nearer than 1e-9:
	// as far as the arithmetic gives it.
	Near float64

	cost, square, lo, hi []float64 // by variable
	rowLo, rowHi         []float64 // by row
	terms                [][]Term  // by row
	free                 []Term    // memory for more of them

	kept *method // of the last Solve, as long as its rows are those of the problem
}

// atOnce is how many terms get their memory together.
const atOnce = 4096

// Grow makes room for as many more variables and rows, so that adding them is cheap.
func (p *Problem) Grow(variables, rows int) {
	p.cost, p.square = slices.Grow(p.cost, variables), slices.Grow(p.square, variables)
	p.lo, p.hi = slices.Grow(p.lo, variables), slices.Grow(p.hi, variables)
	p.rowLo, p.rowHi, p.terms = slices.Grow(p.rowLo, rows), slices.Grow(p.rowHi, rows), slices.Grow(p.terms, rows)
}

// Var adds a variable. Its bounds may be infinite.
func (p *Problem) Var(lo, hi, cost float64) Var {
	p.cost, p.square = append(p.cost, cost), append(p.square, 0)
	p.lo, p.hi = append(p.lo, lo), append(p.hi, hi)
	p.kept = nil
	return Var(len(p.cost) - 1)
}

// Cost adds to the cost of a variable.
func (p *Problem) Cost(v Var, more float64) { p.cost[v] += more }

// Square adds half of q times the square of a variable to the cost; q >= 0.
func (p *Problem) Square(v Var, q float64) { p.square[v] += q }

// Row adds lo <= sum of terms <= hi. A variable that stands in it twice counts with the sum.
func (p *Problem) Row(lo, hi float64, terms ...Term) Row {
	p.rowLo, p.rowHi = append(p.rowLo, lo), append(p.rowHi, hi)
	if len(terms) > cap(p.free)-len(p.free) {
		p.free = make([]Term, 0, max(len(terms), atOnce))
	}
	begin := len(p.free)
	p.free = append(p.free, terms...)
	p.terms = append(p.terms, p.free[begin:len(p.free):len(p.free)])
	p.kept = nil
	return Row(len(p.rowLo) - 1)
}

// SetCost, SetBounds and SetRow change what is there. To solve a problem again after that is
// cheaper than to build it anew: what follows from its terms alone is kept, with the memory.
// Only a row that becomes an equation, or is one no more, starts from the beginning.
func (p *Problem) SetCost(v Var, cost float64) { p.cost[v] = cost }

// Forget lets go of what Solve has kept to be done again.
func (p *Problem) Forget() { p.kept = nil }

// SetBounds sets those of a variable; lo = hi fixes it. See SetCost.
func (p *Problem) SetBounds(v Var, lo, hi float64) { p.lo[v], p.hi[v] = lo, hi }

// SetRow sets the bounds of a row. See SetCost.
func (p *Problem) SetRow(r Row, lo, hi float64) {
	if (p.rowLo[r] == p.rowHi[r]) != (lo == hi) {
		p.kept = nil
	}
	p.rowLo[r], p.rowHi[r] = lo, hi
}

// Size is how many variables and rows there are.
func (p *Problem) Size() (variables, rows int) { return len(p.cost), len(p.rowLo) }

// Solution is the best there is, up to Objective - Bound.
type Solution struct {
	X []float64 // by variable, within its bounds
	// Y is by row what the objective changes by for each unit by which the bound that binds
	// is moved up: the price of the row.
	Y []float64
	// Objective is the cost of X. No X that keeps to the problem costs less than Bound, which
	// follows from Y alone (weak duality), whatever became of the rest, up to the rounding of its
	// sum. Where a variable has no bound, a reduced cost of less than 1e-9 of the largest cost counts as 0,
	// and a larger one that points there makes it -Inf.
	Objective, Bound float64
	// Missed is what X misses a row by at most, in the units of the row.
	Missed float64
	Rounds int

	off float64 // the largest relative miss of rows and of prices
}

// Errors of Solve.
var (
	ErrInfeasible = errors.New("nothing keeps to all rows and bounds")
	ErrUnbounded  = errors.New("the cost has no lower end")
	ErrStalled    = errors.New("no optimum was reached")
)

// How near the solution comes, relative to the sizes of what is compared.
const (
	nearEnough = 1e-9
	mostRounds = 150
	mostIdle   = 3
	// passable is what is still taken for a solution where the arithmetic gives no more.
	passable = 1e-6
)

// Solve finds the optimum. The errors are those above, those of a problem that is none, and that of the context, which is
// asked in each round.
func (p *Problem) Solve(ctx context.Context) (*Solution, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if p.kept == nil {
		p.kept = newMethod(newModel(p))
	}
	p.kept.load(p)
	return p.kept.solve(ctx)
}

func (p *Problem) check() error {
	for v := range p.cost {
		if !(p.lo[v] <= p.hi[v]) || math.IsInf(p.lo[v], 1) || math.IsInf(p.hi[v], -1) {
			return fmt.Errorf("%w: variable %d has the bounds %v and %v", ErrInfeasible, v, p.lo[v], p.hi[v])
		}
		if !finite(p.cost[v]) || !finite(p.square[v]) || p.square[v] < 0 {
			return fmt.Errorf("variable %d costs %v and %v for its square", v, p.cost[v], p.square[v])
		}
	}
	for r := range p.rowLo {
		if !(p.rowLo[r] <= p.rowHi[r]) || math.IsInf(p.rowLo[r], 1) || math.IsInf(p.rowHi[r], -1) {
			return fmt.Errorf("%w: row %d has the bounds %v and %v", ErrInfeasible, r, p.rowLo[r], p.rowHi[r])
		}
		for _, t := range p.terms[r] {
			if !finite(t.By) || t.Var < 0 || int(t.Var) >= len(p.cost) {
				return fmt.Errorf("row %d has variable %d times %v", r, t.Var, t.By)
			}
		}
	}
	return nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// RowBounds are those of a row.
func (p *Problem) RowBounds(r Row) (lo, hi float64) { return p.rowLo[r], p.rowHi[r] }

// Judge is what x, by variable, and the prices y, by row, are worth as a solution, wherever they come from. x is moved into the bounds
// of the variables.
func (p *Problem) Judge(x, y []float64) *Solution {
	out := &Solution{X: slices.Clone(x), Y: y}
	for v := range out.X {
		out.X[v] = min(max(out.X[v], p.lo[v]), p.hi[v])
	}
	spread.Over(2, func(part int) {
		if part == 0 {
			out.Bound = p.bound(y)
		} else {
			out.Objective = p.value(out.X)
			out.Missed, out.off = p.missed(out.X)
		}
	})
	return out
}

// Bound is the least that the cost plus y times what the rows are off by can be, over all x
// within their bounds: a lower bound of the optimum for any y by row, such as the prices that a problem
// with slightly other costs has.
func (p *Problem) Bound(y []float64) float64 { return p.bound(y) }

// Reduced are the costs of the variables less what they bring to the rows at the prices y: where a
// variable lies at a bound, what the objective changes by for each unit by which that is moved up.
func (p *Problem) Reduced(y []float64) []float64 {
	out := slices.Clone(p.cost)
	for r, terms := range p.terms {
		if y[r] == 0 {
			continue
		}
		for _, t := range terms {
			out[t.Var] -= y[r] * t.By
		}
	}
	return out
}

func (p *Problem) bound(y []float64) float64 {
	reduced := p.Reduced(y)
	largest := 0.0
	for _, c := range p.cost {
		largest = max(largest, math.Abs(c))
	}
	sum := 0.0
	for r := range p.terms {
		sum += least(-y[r], 0, -p.rowHi[r], -p.rowLo[r], negligible*largest) // y·s, s within the row's bounds
	}
	for v, c := range reduced {
		sum += least(c, p.square[v], p.lo[v], p.hi[v], negligible*largest)
	}
	return sum
}

// least is the minimum of c·x + q·x²/2 for lo <= x <= hi. What is 0 but for rounding, less
// than nothing, does not count where x has no bound.
func least(c, q, lo, hi, nothing float64) float64 {
	if q > 0 {
		x := min(max(-c/q, lo), hi)
		return c*x + q*x*x/2
	}
	x := lo
	if c < 0 {
		x = hi
	}
	if c == 0 || math.IsInf(x, 0) && math.Abs(c) <= nothing {
		return 0
	}
	return c * x
}

const negligible = 1e-9

func (p *Problem) value(x []float64) float64 {
	sum := 0.0
	for v, x := range x {
		sum += p.cost[v]*x + p.square[v]*x*x/2
	}
	return sum
}

// missed is what x misses a row by at most, and the same as a part of the largest number in the row.
func (p *Problem) missed(x []float64) (most, part float64) {
	for r, terms := range p.terms {
		sum, size := 0.0, 1.0
		for _, t := range terms {
			sum += t.By * x[t.Var]
			size = max(size, math.Abs(t.By*x[t.Var]))
		}
		miss := max(0, p.rowLo[r]-sum, sum-p.rowHi[r])
		most, part = max(most, miss), max(part, miss/size)
	}
	return most, part
}
