// Package alloc divides one power among many units at the least cost, exactly.
//
// The problem is a convex quadratic with a box per unit and one constraint that
// couples them:
//
//	min Σ ½ a_i (P_i − r_i)² + b_i P_i   so that   Σ P_i = target,  lo_i ≤ P_i ≤ hi_i
//
// with a_i > 0. Its optimality conditions (KKT) give every unit's power once the
// multiplier λ, the marginal cost of the last kilowatt, is known:
//
//	P_i(λ) = min(max(r_i + (λ − b_i)/a_i, lo_i), hi_i)
//
// ΣP_i(λ) never falls as λ rises and is linear between the 2n breakpoints where a
// unit meets a bound, so all there is to find is the linear piece that holds the
// target. [Solver.Solve] adds up the bounds, which shows a target out of reach, and
// then reads the whole fleet only twice. A small sample says between which two
// multipliers the answer should lie. The first reading sums up the units that have
// no breakpoint in between and collects the few that have; a safeguarded Newton
// iteration on those ends on the right piece. The second reading writes the powers.
// A sample that misleads costs one more reading, never the result.
//
// The answer depends on the problem and the target alone, to the last bit: a Solver
// remembers nothing from call to call, works on one goroutine without a random
// source, and fuses no multiplication with an addition, so the bits are the same
// on every processor. The minimiser is unique (a_i > 0): there is no tie between
// units to break. Their order decides nothing but the rounding of sums and which
// unit takes what rounding leaves, the first with room; reordered units get the
// same powers to within 1e-9 of the problem's scale.
package alloc

import (
	"errors"
	"fmt"
	"math"
)

// Limit bounds what the columns may hold: a ≥ 1/Limit, and the root of the sum of
// the squares of a unit's five values ≤ Limit. It is far beyond any power or price
// and keeps every intermediate value finite.
const Limit = 1e30

// Problem is what is to be divided among whom: one row per unit, as columns of
// equal length. Power is in kW, positive into the unit (charging).
type Problem struct {
	A  []float64 // curvature of the cost, > 0, cost per kW²
	B  []float64 // slope of the cost at P = R, cost per kW
	R  []float64 // power the unit is drawn to, kW; may lie outside its bounds
	Lo []float64 // least power, kW
	Hi []float64 // greatest power, kW; equal to Lo for a unit that is held
}

// Len is the number of units.
func (p Problem) Len() int { return len(p.A) }

// UnitError says which unit of a Problem is refused and why.
type UnitError struct {
	Index  int
	Reason string
}

func (e *UnitError) Error() string { return fmt.Sprintf("unit %d: %s", e.Index, e.Reason) }

// maxFaults keeps the error of a wholly broken fleet readable.
const maxFaults = 20

// Validate returns all faults, joined: a [UnitError] for each unit with a value
// that is NaN, infinite or beyond Limit, a curvature that is not positive, or
// bounds in the wrong order. After 20 faulty units it only counts the rest.
func (p Problem) Validate() error {
	if err := p.shape(); err != nil {
		return err
	}
	var errs []error
	more := 0
	for i := range p.A {
		if p.sound(i) {
			continue
		}
		if len(errs) == maxFaults {
			more++
			continue
		}
		errs = append(errs, &UnitError{i, p.fault(i)})
	}
	if more > 0 {
		errs = append(errs, fmt.Errorf("and %d more units", more))
	}
	return errors.Join(errs...)
}

func (p Problem) shape() error {
	n := p.Len()
	for _, c := range []struct {
		name string
		n    int
	}{{"B", len(p.B)}, {"R", len(p.R)}, {"Lo", len(p.Lo)}, {"Hi", len(p.Hi)}} {
		if c.n != n {
			return fmt.Errorf("column %s has %d units, column A %d", c.name, c.n, n)
		}
	}
	return nil
}

// sound reports whether unit i may enter the sums. NaN fails every comparison.
func (p Problem) sound(i int) bool { return sound(p.A[i], p.B[i], p.R[i], p.Lo[i], p.Hi[i]) }

func sound(a, b, r, lo, hi float64) bool {
	return a >= 1/Limit && lo <= hi && a*a+b*b+r*r+lo*lo+hi*hi <= Limit*Limit
}

func (p Problem) fault(i int) string {
	for _, c := range []struct {
		name string
		v    float64
	}{{"a", p.A[i]}, {"b", p.B[i]}, {"r", p.R[i]}, {"lo", p.Lo[i]}, {"hi", p.Hi[i]}} {
		if !(math.Abs(c.v) <= Limit) {
			return fmt.Sprintf("%s = %g is not a finite number up to %g", c.name, c.v, float64(Limit))
		}
	}
	switch {
	case !(p.A[i] >= 1/Limit):
		return fmt.Sprintf("a = %g is not positive", p.A[i])
	case p.Lo[i] > p.Hi[i]:
		return fmt.Sprintf("lo = %g kW is above hi = %g kW", p.Lo[i], p.Hi[i])
	}
	return fmt.Sprintf("its values are together beyond %g", float64(Limit))
}

// Residual is how far x and lambda are from satisfying the optimality conditions,
// in parts of max(|target|, Σ max(|lo_i|, |hi_i|)). It is the largest of
//   - the mismatch |Σ x_i − target|, the target taken at what the units can deliver
//     together when it is beyond that,
//   - the distance of any x_i from its bounds, and
//   - the distance of any x_i from P_i(λ), with λ free within its last place: a
//     float64 tells no more about where an almost linear unit stands.
//
// Without units it is 0; where x holds NaN it is NaN.
func Residual(p Problem, target float64, x []float64, lambda float64) float64 {
	var sum, lo, hi, size compensated
	below, above := math.Nextafter(lambda, math.Inf(-1)), math.Nextafter(lambda, math.Inf(1))
	worst := 0.0
	for i, v := range x {
		sum.add(v)
		lo.add(p.Lo[i])
		hi.add(p.Hi[i])
		size.add(max(math.Abs(p.Lo[i]), math.Abs(p.Hi[i])))
		from, to := p.power(i, below), p.power(i, above) // both within the bounds
		worst = max(worst, from-v, v-to)
	}
	want := min(max(target, lo.value()), hi.value())
	worst = max(worst, math.Abs(sum.value()-want))
	if worst == 0 {
		return 0
	}
	return worst / max(math.Abs(target), size.value())
}

// power is P_i(λ), kW.
func (p Problem) power(i int, lambda float64) float64 {
	return min(max(p.R[i]+(lambda-p.B[i])/p.A[i], p.Lo[i]), p.Hi[i])
}

// compensated is a sum that keeps what rounding takes from it (Neumaier).
type compensated struct{ sum, rest float64 }

func (c *compensated) add(v float64) {
	s, e := twoSum(c.sum, v)
	c.sum, c.rest = s, c.rest+e
}

func (c compensated) value() float64 { return c.sum + c.rest }

// twoSum returns a + b as the nearest float64 and the exact remainder (Knuth).
func twoSum(a, b float64) (sum, rest float64) {
	sum = a + b
	t := sum - a
	return sum, (a - (sum - t)) + (b - t)
}
