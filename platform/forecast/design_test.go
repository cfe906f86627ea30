package forecast

import (
	"math"
	"testing"
)

// spiky is a series whose target is calm but for spikes of both signs.
func spiky(days int) *Series {
	s := &Series{PerDay: 2, Exog: [][]float64{nil}}
	for i := range 2 * days {
		x := math.Sin(float64(i)) + 20
		switch {
		case i%34 == 0:
			x = 4000
		case i%46 == 0:
			x = -5
		}
		s.Target = append(s.Target, x)
		s.Exog[0] = append(s.Exog[0], x)
	}
	return s
}

// TestForecastsStayWithinReach: whatever a regression says, a forecast leaves what its window has
// seen at that step by no more than half of its range, in units of the target.
func TestForecastsStayWithinReach(t *testing.T) {
	s := spiky(80)
	for _, asinh := range []bool{false, true} {
		q := newDesign(s, 79, 60, asinh)
		for k := range q.steps {
			low, high := math.Inf(1), math.Inf(-1)
			for d := 79 - q.n; d < 79; d++ {
				x := s.Target[d*s.PerDay+k]
				low, high = min(low, x), max(high, x)
			}
			room := 0.5*(high-low) + 1e-6
			for _, z := range []float64{-1e6, -30, 30, 1e6} {
				if x := q.value(k, z); x < low-room || x > high+room {
					t.Errorf("asinh %v, step %d: %g, where the window has %g to %g", asinh, k, x, low, high)
				}
			}
			if x := q.value(k, 0); x <= low || x >= high {
				t.Errorf("asinh %v, step %d: the middle is %g", asinh, k, x)
			}
		}
	}
}

// TestQuantilesStayWithinReach: nor do quantiles leave what all days before have seen.
func TestQuantilesStayWithinReach(t *testing.T) {
	s := spiky(80)
	var members [][][]float64
	const first = 45
	for d := first; d < 80; d++ {
		members = append(members, Day(s, d))
	}
	for _, f := range Combine(s, first, members)[MinWarm:] {
		for k, quantiles := range f.Quantiles {
			low, high := math.Inf(1), math.Inf(-1)
			for d := range f.Day {
				x := s.Target[d*s.PerDay+k]
				low, high = min(low, x), max(high, x)
			}
			room := 0.5*(high-low) + 1e-6
			for i, x := range quantiles {
				if x < low-room || x > high+room {
					t.Errorf("day %d, step %d, %g: %g, where %g to %g was before", f.Day, k, Levels[i], x, low, high)
				}
			}
		}
	}
}
