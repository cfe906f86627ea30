package fleet

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestSlopes: what Newton's method goes by is how what is taken changes with prices.
func TestSlopes(t *testing.T) {
	for _, p := range []*Problem{feeder(60, 4), nested(100, 4)} {
		s := newSolver(p)
		rng := rand.New(rand.NewPCG(5, 6))
		rows := len(s.rows)
		x, y := newPoint(rows), newPoint(rows)
		width := 0.3 * s.spread
		rounds, step := 4, 1
		if testing.Short() {
			rounds, step = 1, 8
		}
		for round := range rounds {
			for r := range x.prices {
				x.prices[r] = s.spread * rng.NormFloat64() / 4
			}
			if err := s.visit(t.Context(), x, width); err != nil {
				t.Fatal(err)
			}
			scale := 0.0
			for r := range rows {
				scale = max(scale, x.curve.at(r, r))
			}
			const by = 1e-7
			for r := 0; r < rows; r += step {
				off := 0.0
				for _, side := range []float64{by, -by} {
					copy(y.prices, x.prices)
					y.prices[r] += side * s.spread
					if err := s.visit(t.Context(), y, width); err != nil {
						t.Fatal(err)
					}
					worst := 0.0
					for c := range rows {
						worst = max(worst, math.Abs((y.takes[c]-x.takes[c])/(side*s.spread)+x.curve.at(r, c))/scale)
					}
					if side > 0 || worst < off {
						off = worst
					}
				}
				if off > 1e-5 {
					t.Errorf("round %d, row %d: it changes by %v more than was said, of the largest", round, r, off)
				}
			}
			s.stay()
		}
	}
}
