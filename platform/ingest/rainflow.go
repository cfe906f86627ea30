package ingest

import "math"

// Rainflow counts the cycles of a signal as ASTM E1049-85 §5.4.4 does: of the last three
// turning points the younger range, when it is at least as large as the older, closes a
// cycle of the older's range; it counts as half where it contains the first point. What
// is left open at the end are half cycles. Reversals smaller than Least are none.
//
// Its memory grows with the logarithm of the number of cycles that are nested in one
// another, so by a handful for a signal of a device.
type Rainflow struct {
	// Least is the smallest range that is a turn, in units of the signal.
	Least float64

	turns []float64 // open turning points; the last is the extreme so far
}

// Add takes the next value and calls count for every cycle that it closes: its range,
// and 1 or 0.5. NaN is no value.
func (f *Rainflow) Add(x float64, count func(depth, cycles float64)) {
	switch n := len(f.turns); {
	case x != x:
		return
	case n == 0:
		f.turns = append(f.turns, x)
		return
	case n == 1:
		if math.Abs(x-f.turns[0]) < f.least() {
			return
		}
		f.turns = append(f.turns, x)
		return
	default:
		up := f.turns[n-1] > f.turns[n-2]
		if up == (x > f.turns[n-1]) || x == f.turns[n-1] { // on its way still
			if up && x > f.turns[n-1] || !up && x < f.turns[n-1] {
				f.turns[n-1] = x
				f.close(count)
			}
			return
		}
		if math.Abs(x-f.turns[n-1]) < f.least() {
			return
		}
		f.turns = append(f.turns, x)
	}
	f.close(count)
}

func (f *Rainflow) least() float64 { return max(f.Least, math.SmallestNonzeroFloat64) }

// close counts what the newest range closes. The newest turning point may still move
// outward, which can only close more.
func (f *Rainflow) close(count func(depth, cycles float64)) {
	for len(f.turns) >= 3 {
		n := len(f.turns)
		x := math.Abs(f.turns[n-1] - f.turns[n-2])
		y := math.Abs(f.turns[n-2] - f.turns[n-3])
		if x < y {
			return
		}
		if n == 3 { // y contains the start
			count(y, 0.5)
			f.turns = append(f.turns[:0], f.turns[1:]...)
			continue
		}
		count(y, 1)
		f.turns = append(f.turns[:n-3], f.turns[n-1])
	}
}

// Rest calls count for the half cycles that are open.
func (f *Rainflow) Rest(count func(depth, cycles float64)) {
	for i := 1; i < len(f.turns); i++ {
		count(math.Abs(f.turns[i]-f.turns[i-1]), 0.5)
	}
}
