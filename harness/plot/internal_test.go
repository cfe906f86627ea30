package plot

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// A thinned line is within its tolerance of every point of the curve, while there are
// no more points than columns; its ends are those of the curve.
func TestThinKeepsTheCurve(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, columns).Draw(t, "n")
		pts := make([]point, n)
		for i := range pts {
			pts[i] = point{float64(i) * 0.1, rapid.Float64Range(-1, 1).Draw(t, "y")}
		}
		out := thin(pts, 2)
		if out[0] != pts[0] || out[len(out)-1] != pts[n-1] {
			t.Fatalf("ends %v and %v", out[0], out[len(out)-1])
		}
		for k, i := 0, 0; i < n; i++ {
			for k+1 < len(out) && out[k+1].x <= pts[i].x {
				k++
			}
			y := out[k].y
			if k+1 < len(out) {
				y += (out[k+1].y - y) * (pts[i].x - out[k].x) / (out[k+1].x - out[k].x)
			}
			if math.Abs(y-pts[i].y) > 2*tolerance*1.0001 {
				t.Fatalf("point %d is %g off the thinned line", i, y-pts[i].y)
			}
		}
	})
}

// Of many points the highest and the lowest stay.
func TestThinKeepsExtremes(t *testing.T) {
	pts := make([]point, 50000)
	for i := range pts {
		pts[i] = point{float64(i), math.Sin(float64(i))}
	}
	pts[31234].y, pts[40001].y = 9, -9
	out := thin(pts, 18)
	high, low := false, false
	for _, p := range out {
		high, low = high || p == pts[31234], low || p == pts[40001]
	}
	if !high || !low || len(out) > 2*columns+2 {
		t.Errorf("%d points, with the highest %v and the lowest %v", len(out), high, low)
	}
}

func TestTicks(t *testing.T) {
	for _, tt := range []struct {
		ticks
		low, high   float64
		first, last string
		n           int
	}{
		{ticks{about: 5}, 0.02, 1.01, "0.2", "1.0", 5},
		{ticks{about: 5}, -37, 120, "-20", "120", 8},
		{ticks{about: 8}, 0, 8700, "0", "8000", 9},
		{ticks{about: 5}, 3.2001, 3.2049, "3.201", "3.204", 4},
		{ticks{about: 5, log: true}, -2.1, 1.2, "0.01", "10", 4},
		{ticks{about: 5, blank: true}, 0, 10, " ", " ", 6},
	} {
		var labels []string
		for _, k := range tt.Ticks(tt.low, tt.high) {
			if k.Label != "" {
				labels = append(labels, k.Label)
			}
		}
		if len(labels) != tt.n || labels[0] != tt.first || labels[tt.n-1] != tt.last {
			t.Errorf("%g to %g: %q", tt.low, tt.high, labels)
		}
	}
	if got := (ticks{about: 5}).Ticks(1, 1); got != nil {
		t.Errorf("ticks of nothing: %v", got)
	}
}
