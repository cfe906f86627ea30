package alloc

import (
	"fmt"
	"math"
)

const (
	block = 512 // units per partial sum: few enough that their columns stay in the nearest cache and roundings stay few

	solved = 0x1p-46 // of the scale: where the search for the multiplier ends
	exact  = 0x1p-43 // of the scale: the most that a single unit is given for rounding
	rounds = 5       // readings in search of the multiplier; one is the rule
)

// Solver solves allocation problems. It keeps scratch memory and nothing else: once
// it has met a problem of the size, it allocates nothing. The zero value is ready.
// A Solver serves one goroutine at a time.
type Solver struct {
	open []unit // units with a breakpoint inside the bracket
	pick []unit // the sample, twice
}

// Result says where a solution lies; the powers are in the slice of the caller.
type Result struct {
	Lambda    float64 // the multiplier: marginal cost of the last kW, cost per kW
	Sum       float64 // Σ P_i, kW
	Shortfall float64 // target − Sum where the target is out of reach, kW, else 0
	AtLo      int     // units at their lower bound; a held unit is at both
	AtHi      int     // units at their upper bound
	Steps     int     // multipliers tried, those on the sample included
}

// span is a bracket of multipliers: from centre − half to centre + half.
type span struct{ centre, half float64 }

// Solve writes the least-cost power of each unit to out, which has the length of
// the problem and shares no memory with it. Every power is within its bounds, and
// their sum is target to within rounding: what the rounding of n powers leaves is
// given to the first unit that stands clear of its bounds.
//
// A target out of reach is no error. Every unit goes to the bound nearest to it,
// and Shortfall is what is missing: positive when the fleet cannot charge that
// much, negative when it cannot discharge that much. Lambda is then the multiplier
// at which the last unit arrives at its bound; without units it is 0.
//
// Columns of unequal length, a target that is not finite, and units that
// [Problem.Validate] refuses are errors; out is untouched then.
func (s *Solver) Solve(p Problem, target float64, out []float64) (Result, error) {
	n := p.Len()
	if err := p.shape(); err != nil {
		return Result{}, fmt.Errorf("allocate to %d units: %w", n, err)
	}
	if len(out) != n {
		return Result{}, fmt.Errorf("allocate to %d units: out has %d", n, len(out))
	}
	if !(math.Abs(target) <= Limit) {
		return Result{}, fmt.Errorf("allocate to %d units: target %g kW is not a finite number up to %g", n, target, float64(Limit))
	}
	if n == 0 {
		return Result{Shortfall: target}, nil
	}
	if len(s.open) < n {
		s.open = make([]unit, n)
	}

	lo, sizeLo := sum(p.Lo)
	hi, sizeHi := sum(p.Hi)
	if target <= lo || target >= hi {
		return p.saturate(target, target >= hi, out)
	}
	scale := max(math.Abs(target), sizeLo, sizeHi)
	in, steps := s.bracket(p, (target-lo)/(hi-lo))
	for round := 1; ; round++ {
		open, rest, ok := s.split(p, in)
		if !ok {
			return Result{}, p.refusal()
		}
		if in.half < beyond {
			below := target < sumAt(open, rest, -in.half)
			above := target > sumAt(open, rest, in.half)
			if below || above { // the sample misled
				in = in.beside(above, round)
				continue
			}
		}
		t, k := root(open, rest, target, solved*scale, 0, -in.half, in.half)
		steps += k
		l, e := twoSum(in.centre, t)
		res := p.fill(l, e, out)
		left := target - res.Sum
		if math.Abs(left) > exact*scale && round < rounds {
			in = span{l, beyond} // seen from far off, a soft unit's power had lost its digits
			continue
		}
		if math.Abs(left) > exact*scale { // and no nearer place was found to see it from
			l, e = p.halve(target, out)
			res = p.fill(l, e, out)
			left = target - res.Sum
		}
		res.Lambda, res.Steps = l, steps
		p.settle(left, out, &res)
		return res, nil
	}
}

// beside is where to look for a target that is above, or else below, the span: in a
// wider one about that end, and at last everywhere.
func (in span) beside(above bool, round int) span {
	end, half := in.centre-in.half, 8*in.half
	if above {
		end = in.centre + in.half
	}
	if round > 1 {
		half = beyond
	}
	return span{end, half}
}

// split is the first reading. It sums up the units that are linear within the span,
// collects those that have a breakpoint there, and checks them all; ok is false
// when one is not sound.
func (s *Solver) split(p Problem, in span) (open []unit, rest line, ok bool) {
	n := p.Len()
	open = s.open[:n]
	k := 0
	for from := 0; from < n; from += block {
		to := min(from+block, n)
		a := p.A[from:to]
		b, r, lo, hi := p.B[from:to][:len(a)], p.R[from:to][:len(a)], p.Lo[from:to][:len(a)], p.Hi[from:to][:len(a)]
		var part line
		for i, a := range a {
			b, r, lo, hi := b[i], r[i], lo[i], hi[i]
			if !sound(a, b, r, lo, hi) {
				return nil, line{}, false
			}
			w := 1 / a
			x := r + float64((in.centre-b)*w)
			d := in.half * w
			d *= d
			if (x-lo)*(x-lo) <= d || (x-hi)*(x-hi) <= d {
				open[k] = unit{x, w, lo, hi}
				k++
				continue
			}
			y := clip(x, lo, hi)
			part.base += y
			part.slope += when(x == y, w)
		}
		rest.base += part.base
		rest.slope += part.slope
	}
	return open[:k], rest, true
}

// fill is the second reading. It writes the powers at the multiplier l + e, where e
// is what a float64 cannot hold of it, and says how many are at a bound.
func (p Problem) fill(l, e float64, out []float64) Result {
	var res Result
	n := p.Len()
	for from := 0; from < n; from += block {
		to := min(from+block, n)
		a := p.A[from:to]
		b, r, lo, hi := p.B[from:to][:len(a)], p.R[from:to][:len(a)], p.Lo[from:to][:len(a)], p.Hi[from:to][:len(a)]
		out := out[from:to][:len(a)]
		sum := 0.0
		atLo, atHi := 0, 0
		for i, a := range a {
			lo, hi := lo[i], hi[i]
			x := clip(r[i]+(l-b[i]+e)/a, lo, hi)
			out[i] = x
			sum += x
			if x == lo {
				atLo++
			}
			if x == hi {
				atHi++
			}
		}
		res.Sum += sum
		res.AtLo += atLo
		res.AtHi += atHi
	}
	return res
}

// halve finds the multiplier l + e by halving the range of all of them, in which nothing is
// counted from a centre and no digit lost: a hundred readings, for fleets whose softest and
// stiffest units are too many decades apart. It overwrites out.
func (p Problem) halve(target float64, out []float64) (l, e float64) {
	from, to := math.Inf(1), math.Inf(-1)
	for i, a := range p.A {
		from = min(from, p.B[i]+float64(a*(p.Lo[i]-p.R[i])))
		to = max(to, p.B[i]+float64(a*(p.Hi[i]-p.R[i])))
	}
	for {
		mid := from/2 + to/2
		if !(mid > from && mid < to) {
			break
		}
		if p.fill(mid, 0, out).Sum < target {
			from = mid
		} else {
			to = mid
		}
	}
	none, all := 0.0, to-from
	for range 64 {
		mid := none/2 + all/2
		if p.fill(from, mid, out).Sum < target {
			none = mid
		} else {
			all = mid
		}
	}
	return from, all
}

// settle hands left, which is of the size of rounding, to the first unit that it
// does not bring near a bound; where there is none, to the one with the most room.
func (p Problem) settle(left float64, out []float64, res *Result) {
	near := 1024 * math.Abs(left)
	for left != 0 {
		best, most := 0, 0.0
		for i, x := range out {
			below, above := x-p.Lo[i], p.Hi[i]-x
			if below > near && above > near {
				best, most = i, above
				break
			}
			room := above
			if left < 0 {
				room = below
			}
			if room > most {
				best, most = i, room
			}
		}
		if most == 0 {
			return
		}
		x, lo, hi := out[best], p.Lo[best], p.Hi[best]
		y := clip(x+left, lo, hi)
		if y == x {
			return
		}
		out[best] = y
		res.AtLo += bit(y == lo) - bit(x == lo)
		res.AtHi += bit(y == hi) - bit(x == hi)
		res.Sum += y - x
		left -= y - x
	}
}

// saturate puts every unit at its upper, or else lower, bound.
func (p Problem) saturate(target float64, above bool, out []float64) (Result, error) {
	for i := range out {
		if !p.sound(i) {
			return Result{}, p.refusal()
		}
	}
	bound, sign := p.Lo, -1.0
	if above {
		bound, sign = p.Hi, 1
	}
	total, size := sum(bound)
	res := Result{Sum: total}
	last := math.Inf(-1)
	for i, x := range bound {
		out[i] = x
		last = max(last, sign*(p.B[i]+float64(p.A[i]*(x-p.R[i]))))
		res.AtLo += bit(x == p.Lo[i])
		res.AtHi += bit(x == p.Hi[i])
	}
	res.Lambda = sign * last
	if short := target - res.Sum; math.Abs(short) > exact*max(math.Abs(target), size) {
		res.Shortfall = short
	}
	return res, nil
}

// refusal is the error of a problem with units that are not sound.
func (p Problem) refusal() error {
	return fmt.Errorf("allocate to %d units: %w", p.Len(), p.Validate())
}

// sum adds up a column, and its magnitudes, block by block and in two strands, which
// a processor can add at once.
func sum(v []float64) (total, size float64) {
	for len(v) > 0 {
		part := v[:min(block, len(v))]
		v = v[len(part):]
		var a, b, c, d float64
		for len(part) >= 2 {
			x, y := part[0], part[1]
			a += x
			b += y
			c += math.Abs(x)
			d += math.Abs(y)
			part = part[2:]
		}
		for _, x := range part {
			a += x
			c += math.Abs(x)
		}
		total += a + b
		size += c + d
	}
	return total, size
}
