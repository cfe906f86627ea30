package plot

import (
	"math"
	"strconv"

	gonum "gonum.org/v1/plot"
)

// ticks are marks at round values, about so many.
type ticks struct {
	about int
	blank bool // no labels: the axis below shows them
}

// Ticks returns the marks from low to high.
func (t ticks) Ticks(low, high float64) (out []gonum.Tick) {
	if !(high > low) {
		return nil
	}
	step, digits := round((high - low) / float64(t.about))
	for n := math.Ceil(low/step - 1e-9); n*step <= high+1e-9*step; n++ {
		label := strconv.FormatFloat(n*step+0, 'f', digits, 64) // + 0: no -0
		if t.blank {
			label = " "
		}
		out = append(out, gonum.Tick{Value: n * step, Label: label})
	}
	return out
}

// round is the round number next to x, and how many digits it has after the point.
func round(x float64) (step float64, digits int) {
	power := math.Floor(math.Log10(x))
	unit := math.Pow(10, power)
	digits = max(0, -int(power))
	switch f := x / unit; {
	case f < 1.5:
		return unit, digits
	case f < 3.5:
		return 2 * unit, digits
	case f < 7.5:
		return 5 * unit, digits
	}
	return 10 * unit, max(0, digits-1)
}
