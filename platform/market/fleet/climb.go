package fleet

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack/lapack64"
)

// square is a symmetric matrix of which the lower half is kept.
type square struct {
	n  int
	of []float64
}

func newSquare(n int) *square { return &square{n, make([]float64, n*n)} }

func (q *square) at(r, c int) float64 { return q.of[max(r, c)*q.n+min(r, c)] }

// add is for r >= c.
func (q *square) add(r, c int, x float64) { q.of[r*q.n+c] += x }

func (q *square) clear() { clear(q.of) }

// point is a choice of prices and what comes of it.
type point struct {
	prices, takes, steep []float64 // by row; steep is the slope of the value
	curve                *square
	value                float64
	over                 float64 // MW that a limit is off by, at most, that should bind or be kept
}

func newPoint(rows int) *point {
	return &point{prices: make([]float64, rows), takes: make([]float64, rows), steep: make([]float64, rows), curve: newSquare(rows)}
}

func (s *solver) visit(ctx context.Context, x *point, width float64) (err error) {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("stopped before round %d: %w", s.rounds, err)
	}
	x.value, err = s.look(x.prices, width, x.takes, x.curve)
	x.over = 0
	for r, price := range x.prices {
		over, under := x.takes[r]-s.most[r], x.takes[r]-s.lows[r]
		switch {
		case price > 0 || price == 0 && over > 0:
			x.steep[r] = over
		case price < 0 || under < 0:
			x.steep[r] = under
		default:
			x.steep[r] = 0
		}
		x.over = max(x.over, math.Abs(x.steep[r]))
	}
	return err
}

// beyond sets the prices to those of from and so much of the way from there to the next; none changes its sign.
func (x *point) beyond(from, next *point, by float64) {
	for r, was := range from.prices {
		x.prices[r] = was + by*(next.prices[r]-was)
		if x.prices[r]*was < 0 || was == 0 && x.prices[r]*from.steep[r] < 0 {
			x.prices[r] = 0
		}
	}
}

// told is the part of a value by which it must change so that its rounding leaves something of that; what smaller steps bring is
// told by the slopes at their ends.
const told = 1e-9

// gained is what the value at y is above that at x, where the slope between them is the mean of both.
func (s *solver) gained(x, y *point) (sum float64) {
	for r, from := range x.prices {
		bound := s.most[r]
		if from < 0 || from == 0 && y.prices[r] < 0 {
			bound = s.lows[r]
		}
		if by := y.prices[r] - from; by != 0 {
			sum += by * ((x.takes[r]+y.takes[r])/2 - bound)
		}
	}
	return sum
}

// climb finds the prices at which limits are off by no more than wanted, MW, and by a tenth of what they are off by at first,
// but for what is least: a stage that did not change the prices would move what the stores do by the same as the one before,
// on and on. The value at prices is concave, and its slope is what limits are off by. Steps are Newton's within a radius that
// is kept to where the second derivative has held, and a price stays on its side of 0.
func (s *solver) climb(ctx context.Context, width, wanted, least float64) (over float64, err error) {
	x, y, z := newPoint(len(s.rows)), newPoint(len(s.rows)), newPoint(len(s.rows))
	copy(x.prices, s.prices)
	if err := s.visit(ctx, x, width); err != nil {
		return 0, err
	}
	wanted = max(min(wanted, x.over/10), least)
	radius := 2 * width
	fresh := true // what the stores do is what x has them do
	for x.over > wanted && radius > 1e-12*s.spread && s.rounds <= mostRounds {
		hoped, far := s.step(x, y.prices, radius)
		if err := s.visit(ctx, y, width); err != nil {
			return 0, err
		}
		gained := y.value - x.value
		slight := hoped <= told*math.Abs(x.value)
		if slight {
			gained = s.gained(x, y)
		}
		part := gained / hoped
		if !(hoped > 0) {
			part = -1
		}
		switch {
		case !(part >= 0.25):
			radius = far / 4
		case part > 0.75:
			radius = max(radius, 2*far)
		}
		if fresh = part > 1e-4; !fresh {
			continue
		}
		// Where the value is straighter than it looked, farther on.
		for by := 4.0; part > 1.5 && !slight && s.rounds <= mostRounds; by *= 4 {
			z.beyond(x, y, by)
			if err := s.visit(ctx, z, width); err != nil {
				return 0, err
			}
			if fresh = z.value > y.value; !fresh {
				break
			}
			y, z = z, y
			radius = max(radius, by*far)
		}
		x, y = y, x
		if copy(s.prices, x.prices); fresh && s.impossible() {
			return 0, ErrLimits
		}
	}
	copy(s.prices, x.prices)
	if !fresh { // a step that was not taken has changed what the stores do
		err = s.visit(ctx, x, width)
	}
	return x.over, err
}

// step finds the prices to try next, what they should bring and how far they are at most.
func (s *solver) step(x *point, to []float64, radius float64) (hoped, far float64) {
	n := len(x.prices)
	most := 0.0
	for r := range n {
		most = max(most, x.curve.at(r, r))
	}
	if most == 0 {
		most = s.size / s.spread
	}
	// With more on the diagonal a step grows shorter, no faster than in proportion. It is to go as far as it may.
	stops := make([]bool, n) // at 0
	try := func(damp float64) float64 {
		clear(stops)
		return s.newton(x, to, stops, damp, radius)
	}
	damp := 1e-13 * most
	long := try(damp)
	free := long <= radius
	for long > radius && damp <= 1e9*most {
		damp *= min(max(10, long/radius), 1e6)
		long = try(damp)
	}
	if !free && long > 0 && long < radius/2 {
		if try(1.01*damp*long/radius) > radius {
			try(damp)
		}
	}
	for r := range n {
		d := to[r] - x.prices[r]
		if d == 0 {
			continue
		}
		far = max(far, math.Abs(d))
		hoped += x.steep[r] * d
		row := 0.0
		for c := range n {
			row += x.curve.at(r, c) * (to[c] - x.prices[c])
		}
		hoped -= d * row / 2
	}
	return hoped, far
}

// newton solves for a step with so much added to the diagonal; prices that would change their sign stop at 0, and the
// others are solved for again. It returns how far the step is, ∞ where there is none; one beyond the radius is not gone on with.
func (s *solver) newton(x *point, to []float64, stops []bool, damp, radius float64) (long float64) {
	for {
		copy(to, x.prices)
		free := s.free[:0]
		for r, price := range x.prices {
			switch {
			case stops[r]:
				to[r] = 0
			case price != 0 || x.steep[r] != 0:
				free = append(free, r)
			}
		}
		n := len(free)
		if n == 0 {
			return long
		}
		for i, r := range free {
			v := x.steep[r]
			for c, stop := range stops {
				if stop {
					v += x.curve.at(r, c) * x.prices[c]
				}
			}
			s.right[i] = v
			for k, c := range free[:i+1] {
				s.matrix[k*n+i] = x.curve.at(r, c)
			}
			s.matrix[i*n+i] += damp
		}
		upper, ok := lapack64.Potrf(blas64.Symmetric{Uplo: blas.Upper, N: n, Stride: n, Data: s.matrix[:n*n]})
		if !ok {
			return math.Inf(1)
		}
		copy(s.moves, s.right[:n])
		lapack64.Potrs(upper, blas64.General{Rows: n, Cols: 1, Stride: 1, Data: s.moves[:n]})
		long = 0
		for _, by := range s.moves[:n] {
			if long = max(long, math.Abs(by)); math.IsNaN(by) {
				long = math.Inf(1)
			}
		}
		if long > radius {
			return long
		}
		more := false
		for i, r := range free {
			by := s.moves[i]
			side := x.prices[r]
			if side == 0 {
				side = x.steep[r]
			}
			to[r] = x.prices[r] + by
			if to[r]*side < 0 {
				stops[r], more = true, true
			}
		}
		if !more {
			return long
		}
	}
}
