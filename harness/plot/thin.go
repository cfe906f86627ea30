package plot

import "math"

// columns is how many steps a curve is cut into along its axis: about one to two
// points of the paper, within which only the lowest and the highest value can be seen.
const columns = 300

// tolerance is how far a thinned line may be from the curve, as a share of the height
// of its panel.
const tolerance = 1e-3

type point struct{ x, y float64 }

// thin returns points whose line looks like that of pts, rising in x, in a panel of
// the given height in y.
func thin(pts []point, height float64) []point {
	return straighten(extremes(pts), tolerance*height)
}

// extremes keeps the first and the last point, and the lowest and the highest one of
// each column.
func extremes(pts []point) []point {
	n := len(pts)
	if n <= 2*columns {
		return pts
	}
	width := (pts[n-1].x - pts[0].x) / columns
	out := []point{pts[0]}
	for i := 1; i < n-1; {
		column := math.Floor((pts[i].x - pts[0].x) / width)
		low, high := i, i
		for ; i < n-1 && math.Floor((pts[i].x-pts[0].x)/width) <= column; i++ {
			if pts[i].y < pts[low].y {
				low = i
			}
			if pts[i].y > pts[high].y {
				high = i
			}
		}
		out = append(out, pts[min(low, high)])
		if low != high {
			out = append(out, pts[max(low, high)])
		}
	}
	return append(out, pts[n-1])
}

// straighten leaves out points that are within tol in y of the line through those it
// keeps (Ramer 1972, Douglas and Peucker 1973).
func straighten(pts []point, tol float64) []point {
	n := len(pts)
	if n < 3 {
		return pts
	}
	keep := make([]bool, n)
	keep[0], keep[n-1] = true, true
	type part struct{ from, to int }
	for todo := []part{{0, n - 1}}; len(todo) > 0; {
		p := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		a, b := pts[p.from], pts[p.to]
		worst, at := tol, 0
		for i := p.from + 1; i < p.to; i++ {
			line := a.y
			if b.x > a.x {
				line += (b.y - a.y) * (pts[i].x - a.x) / (b.x - a.x)
			}
			if d := math.Abs(pts[i].y - line); d > worst {
				worst, at = d, i
			}
		}
		if at > 0 {
			keep[at] = true
			todo = append(todo, part{p.from, at}, part{at, p.to})
		}
	}
	out := pts[:0:0]
	for i, k := range keep {
		if k {
			out = append(out, pts[i])
		}
	}
	return out
}
