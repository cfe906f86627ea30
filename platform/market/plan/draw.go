package plan

import (
	"math"
	"math/rand/v2"
	"slices"
)

// hourly is how much of how high a price lies among its quantiles is left after an hour.
const hourly = 0.9

// Draw makes n paths from quantiles, by level and then by interval of so many hours; levels rise, 0..1. How high a path lies
// among them fades from interval to interval, as a normal variable that remembers a part of itself (a Gaussian copula of
// first order).
func Draw(quantiles [][]float64, levels []float64, n int, hours float64, rng *rand.Rand) [][]float64 {
	keep := math.Pow(hourly, hours)
	out := make([][]float64, n)
	for k := range out {
		z := rng.NormFloat64()
		for t := range quantiles[0] {
			if t > 0 {
				z = keep*z + math.Sqrt(1-keep*keep)*rng.NormFloat64()
			}
			out[k] = append(out[k], between(quantiles, levels, t, 0.5*math.Erfc(-z/math.Sqrt2)))
		}
	}
	return out
}

// between is the value at a level, along straight lines, and of the outer quantiles beyond them.
func between(quantiles [][]float64, levels []float64, t int, u float64) float64 {
	k, _ := slices.BinarySearch(levels, u)
	switch {
	case k == 0:
		return quantiles[0][t]
	case k == len(levels):
		return quantiles[k-1][t]
	}
	share := (u - levels[k-1]) / (levels[k] - levels[k-1])
	return (1-share)*quantiles[k-1][t] + share*quantiles[k][t]
}

// Deviation is how far prices may go against a plan, by interval: half of what lies between the outer quantiles, or the outer ones
// of several columns that may come.
func Deviation(columns [][]float64) []float64 {
	out := make([]float64, len(columns[0]))
	for t := range out {
		lo, hi := math.Inf(1), math.Inf(-1)
		for _, c := range columns {
			lo, hi = min(lo, c[t]), max(hi, c[t])
		}
		out[t] = (hi - lo) / 2
	}
	return out
}
