package metric

import "math"

// Band is the spread of one quantity over the fleet at one instant.
type Band struct{ Min, P5, P25, P50, P75, P95, Max, Mean float64 }

// Bander computes bands in two passes and without allocating; percentiles are
// within (max − min)/4096. The zero value is ready.
type Bander struct{ bins [4096]int32 }

// Of is the band of vs; what is no number is left out, and all of it is NaN
// where nothing remains.
func (b *Bander) Of(vs []float64) Band {
	lo, hi, sum, n := math.Inf(1), math.Inf(-1), 0.0, 0
	for _, v := range vs {
		if v-v != 0 {
			continue
		}
		lo, hi = min(lo, v), max(hi, v)
		sum += v
		n++
	}
	if n == 0 {
		x := math.NaN()
		return Band{x, x, x, x, x, x, x, x}
	}
	out := Band{lo, lo, lo, lo, lo, lo, hi, sum / float64(n)}
	if hi == lo {
		return out
	}
	clear(b.bins[:])
	scale := float64(len(b.bins)-1) / (hi - lo)
	for _, v := range vs {
		if v-v == 0 {
			b.bins[int((v-lo)*scale+0.5)]++
		}
	}
	want := [...]struct {
		q float64
		v *float64
	}{{0.05, &out.P5}, {0.25, &out.P25}, {0.5, &out.P50}, {0.75, &out.P75}, {0.95, &out.P95}}
	i, seen := 0, 0
	for k, c := range b.bins {
		seen += int(c)
		for i < len(want) && float64(seen) >= want[i].q*float64(n) {
			*want[i].v = lo + float64(k)/scale
			i++
		}
	}
	return out
}
