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
	log   bool // the axis shows logarithms to the base of 10
}

// Ticks returns the marks from low to high.
func (t ticks) Ticks(low, high float64) (out []gonum.Tick) {
	if !(high > low) {
		return nil
	}
	if t.log && high-low > 1 {
		return t.decades(low, high)
	}
	step, digits := round((high - low) / float64(t.about))
	for n := math.Ceil(low/step - 1e-9); n*step <= high+1e-9*step; n++ {
		label := strconv.FormatFloat(n*step+0, 'f', digits, 64) // + 0: no -0
		if t.log {
			label = strconv.FormatFloat(math.Pow(10, n*step), 'g', 3, 64)
		}
		out = append(out, t.tick(n*step, label))
	}
	return out
}

// decades are the powers of 10, labelled, and what lies between them.
func (t ticks) decades(low, high float64) (out []gonum.Tick) {
	each := max(1, math.Ceil((high-low)/float64(2*t.about))) // powers to a label
	for n := math.Floor(low); n <= high; n++ {
		if n >= low && math.Mod(n, each) == 0 {
			out = append(out, t.tick(n, strconv.FormatFloat(math.Pow(10, n), 'g', 3, 64)))
		}
		for k := 2.0; k < 10 && each == 1; k++ {
			if x := n + math.Log10(k); x >= low && x <= high {
				out = append(out, gonum.Tick{Value: x})
			}
		}
	}
	return out
}

func (t ticks) tick(x float64, label string) gonum.Tick {
	if t.blank {
		label = " "
	}
	return gonum.Tick{Value: x, Label: label}
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
