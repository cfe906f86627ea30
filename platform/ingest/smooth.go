package ingest

import (
	"math"

	"yunchu/platform/device"
)

// smooth is the noise filter of the profile over voltage, current, power and
// temperature.
func smooth(p *Profile, _ *device.Info, rows []Row) []Row {
	for _, q := range [...]int{voltage, current, power, temperature} {
		x := make([]float64, len(rows))
		for i := range rows {
			x[i] = *values(&rows[i].Reading)[q]
		}
		var y []float64
		switch p.Filter.Kind {
		case Exponential:
			y = exponential(rows, x, float64(p.Filter.Tau.Milliseconds()))
		case SavitzkyGolay:
			y = savitzkyGolay(rows, x, min(max(p.Filter.HalfWidth, 1), maxHalfWidth))
		default:
			return rows
		}
		for i := range rows {
			if y[i] == y[i] && y[i] != x[i] {
				*values(&rows[i].Reading)[q] = y[i]
				rows[i].Smoothed |= 1 << q
			}
		}
	}
	return rows
}

// exponential is y ← y + (1 − e^(−Δt/τ)) (x − y), the exact step of a first-order lag
// for an input that is held, so that uneven distances are no matter. After five time
// constants of nothing it begins anew.
func exponential(rows []Row, x []float64, tau float64) []float64 {
	y := make([]float64, len(x))
	last := -1
	for i := range x {
		y[i] = x[i]
		if x[i] != x[i] {
			continue
		}
		if last >= 0 {
			if dt := apart(rows[last].At, rows[i].At); dt < 5*tau {
				y[i] = y[last] - math.Expm1(-dt/tau)*(x[i]-y[last])
			}
		}
		last = i
	}
	return y
}

// savitzkyGolay is the value in the middle of the parabola that fits 2m+1 neighbours
// best: weights 3 (3m² + 3m − 1 − 5j²) / ((2m−1)(2m+1)(2m+3)) for j = −m … m
// (A. Savitzky, M. J. E. Golay, Analytical Chemistry 36 (1964)). It does not lag and
// keeps peaks; it needs even distances, so where they differ by more than a fifth, or a
// value is missing, all stays as it is.
func savitzkyGolay(rows []Row, x []float64, m int) []float64 {
	y := make([]float64, len(x))
	copy(y, x)
	n := float64(m)
	w := make([]float64, m+1)
	for j := range w {
		w[j] = 3 * (3*n*n + 3*n - 1 - 5*float64(j*j)) / ((2*n - 1) * (2*n + 1) * (2*n + 3))
	}
	usual := period(rows)
	even := 0 // how many rows before this one follow each other evenly, itself included
	for i := range x {
		switch {
		case x[i] != x[i]:
			even = 0
			continue
		case even > 0 && math.Abs(apart(rows[i-1].At, rows[i].At)-usual) <= usual/5:
			even++
		default:
			even = 1
		}
		if even < 2*m+1 {
			continue
		}
		c := i - m
		s := w[0] * x[c]
		for j := 1; j <= m; j++ {
			s += w[j] * (x[c-j] + x[c+j])
		}
		y[c] = s
	}
	return y
}
