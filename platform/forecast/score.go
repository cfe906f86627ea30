package forecast

import (
	"math"
	"slices"
)

// Score says how far forecasts were off.
type Score struct {
	MAE   float64 // mean of |e|
	RMSE  float64 // root of the mean of e²
	SMAPE float64 // mean of |e| / ((|y| + |ŷ|)/2), %
	N     int
}

// Compare scores forecasts against what came.
func Compare(forecast, truth []float64) Score {
	s := Score{N: len(truth)}
	for i, y := range truth {
		e := math.Abs(forecast[i] - y)
		s.MAE += e
		s.RMSE += e * e
		if base := (math.Abs(forecast[i]) + math.Abs(y)) / 2; base > 0 {
			s.SMAPE += 100 * e / base
		}
	}
	n := float64(max(s.N, 1))
	s.MAE, s.RMSE, s.SMAPE = s.MAE/n, math.Sqrt(s.RMSE/n), s.SMAPE/n
	return s
}

// Pinball is the loss of a quantile q at level τ when y comes: τ(y − q) where y is above it, and
// (1 − τ)(q − y) where it is below.
func Pinball(level, q, y float64) float64 {
	if y >= q {
		return level * (y - q)
	}
	return (1 - level) * (q - y)
}

// MeanPinball is the mean loss over quantiles, a row for each value that came, and levels.
func MeanPinball(levels []float64, quantiles [][]float64, truth []float64) float64 {
	sum := 0.0
	for i, y := range truth {
		for k, level := range levels {
			sum += Pinball(level, quantiles[i][k], y)
		}
	}
	return sum / float64(max(len(truth)*len(levels), 1))
}

// DieboldMariano tests whether the first of two forecasts is better: with d the difference of
// the daily sums of |e|, first less second, it returns mean(d)/√(var(d)/n), which is normal
// when they are equally good, and the probability of a value as low as that (F. X. Diebold,
// R. S. Mariano, J. Business & Economic Statistics 13, 1995; the multivariate form over the
// steps of a day of Lago et al., 2021). Forecasts that are the same have 0 and ½.
func DieboldMariano(first, second, truth []float64, perDay int) (statistic, p float64) {
	n := len(truth) / perDay
	diff := make([]float64, n)
	mean := 0.0
	for i := range n * perDay {
		diff[i/perDay] += math.Abs(first[i]-truth[i]) - math.Abs(second[i]-truth[i])
	}
	for _, d := range diff {
		mean += d / float64(n)
	}
	variance := 0.0
	for _, d := range diff {
		variance += (d - mean) * (d - mean) / float64(n)
	}
	switch {
	case variance == 0 && mean == 0:
		return 0, 0.5
	case variance == 0: // the same difference every day
		return math.Copysign(math.MaxFloat64, mean), max(0, math.Copysign(1, mean))
	}
	statistic = mean / math.Sqrt(variance/float64(n))
	return statistic, 0.5 * math.Erfc(-statistic/math.Sqrt2)
}

// middle is the median of values, which it sorts.
func middle(x []float64) float64 {
	slices.Sort(x)
	return sortedQuantile(x, 0.5)
}

// sortedQuantile interpolates between sorted values.
func sortedQuantile(x []float64, level float64) float64 {
	if len(x) == 0 {
		return math.NaN()
	}
	at := level * float64(len(x)-1)
	i := min(int(at), len(x)-1)
	j := min(i+1, len(x)-1)
	return x[i] + (at-float64(i))*(x[j]-x[i])
}
