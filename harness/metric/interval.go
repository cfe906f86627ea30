package metric

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/stat/distuv"
)

// Confidence is the level of every interval in a report.
const Confidence = 0.95

// batch estimates the interval of a mean from means of consecutive batches,
// which holds for correlated values too once a batch is longer than their
// memory. Batches double in length when there are 64 of them, so that a run of
// any length ends with 32 to 63.
type batch struct {
	sums [64]float64
	k    int     // complete batches
	size int64   // values in each
	have int64   // values in the open one
	open float64 // their sum
}

const minBatches = 10

func (b *batch) add(v float64) {
	if b.size == 0 {
		b.size = 1
	}
	b.open += v
	if b.have++; b.have < b.size {
		return
	}
	b.sums[b.k], b.open, b.have = b.open, 0, 0
	if b.k++; b.k < len(b.sums) {
		return
	}
	b.halve()
}

func (b *batch) halve() {
	for i := range b.k / 2 {
		b.sums[i] = b.sums[2*i] + b.sums[2*i+1]
	}
	b.k /= 2
	b.size *= 2
}

// merge appends the complete batches of o, brought to one length. A remainder
// shorter than a batch is left out of the interval, never of the mean.
func (b *batch) merge(o *batch) {
	c := *o
	if b.size == 0 {
		*b = c
		return
	}
	b.open, b.have = 0, 0
	for c.size < b.size && c.k > 0 {
		c.halve()
	}
	for b.size < c.size && b.k > 0 {
		b.halve()
	}
	b.size = max(b.size, c.size)
	for i := range c.k {
		b.sums[b.k] = c.sums[i]
		if b.k++; b.k == len(b.sums) {
			b.halve()
			c.halve()
			// What is left of c goes in as pairs.
			for j := (i + 1) / 2; j < c.k; j++ {
				b.sums[b.k] = c.sums[j]
				b.k++
			}
			return
		}
	}
}

// interval is the 95 % interval of the mean by Student's t over the batch
// means, NaN with fewer than ten batches.
func (b *batch) interval() [2]float64 {
	if b.k < minBatches {
		return [2]float64{math.NaN(), math.NaN()}
	}
	k, size := float64(b.k), float64(b.size)
	var mean, ss float64
	for _, s := range b.sums[:b.k] {
		mean += s / size / k
	}
	for _, s := range b.sums[:b.k] {
		ss += (s/size - mean) * (s/size - mean)
	}
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: k - 1}.Quantile((1 + Confidence) / 2)
	h := t * math.Sqrt(ss/(k-1)/k)
	return [2]float64{mean - h, mean + h}
}

// OrderRanks are the ranks l ≤ u (from 1) of the order statistics of n
// independent values that enclose the q-quantile with at least the confidence
// conf. l is 0 or u is n+1 where n is too small for a bound on that side.
func OrderRanks(n int64, q, conf float64) (l, u int64) {
	a := (1 - conf) / 2
	return binomialQuantile(n, q, a), binomialQuantile(n, q, 1-a) + 1
}

// binomialQuantile is the smallest k with P(X ≤ k) ≥ p of X ~ binomial(n, q).
func binomialQuantile(n int64, q, p float64) int64 {
	mean, sd := float64(n)*q, math.Sqrt(float64(n)*q*(1-q))
	if sd > 100 {
		// Here the normal approximation with the correction for skewness
		// (Cornish–Fisher) is within one rank.
		z := mathext.NormalQuantile(p)
		x := mean + sd*z + (1-2*q)*(z*z-1)/6
		return min(max(int64(math.Ceil(x-0.5)), 0), n)
	}
	lo, hi := int64(0), n
	for lo < hi {
		if k := lo + (hi-lo)/2; binomialCDF(k, n, q) >= p {
			hi = k
		} else {
			lo = k + 1
		}
	}
	return lo
}

// binomialCDF is P(X ≤ k) of X ~ binomial(n, q).
func binomialCDF(k, n int64, q float64) float64 {
	switch {
	case k < 0:
		return 0
	case k >= n:
		return 1
	}
	return mathext.RegIncBeta(float64(n-k), float64(k+1), 1-q)
}

// ClopperPearson is the exact interval of a probability of which ok of n
// independent trials succeeded; NaN without trials.
func ClopperPearson(ok, n int64, conf float64) [2]float64 {
	if n <= 0 || ok < 0 || ok > n {
		return [2]float64{math.NaN(), math.NaN()}
	}
	a := (1 - conf) / 2
	ci := [2]float64{0, 1}
	// Bisection runs on the failure probability, which is the small one here and
	// keeps its relative precision where the success probability rounds to 1.
	bad := n - ok
	if bad > 0 {
		ci[1] = 1 - bisect(func(f float64) bool { return 1-binomialCDF(bad-1, n, f) >= a })
	}
	if ok > 0 {
		ci[0] = 1 - bisect(func(f float64) bool { return binomialCDF(bad, n, f) <= a })
	}
	if ok == n {
		ci[0] = math.Exp(math.Log(a) / float64(n))
	}
	return ci
}

// bisect is the point of 0..1 from which on above is true, searched on a
// logarithmic scale.
func bisect(above func(float64) bool) float64 {
	lo, hi := -60.0, 0.0 // natural logarithms
	for range 100 {
		m := (lo + hi) / 2
		if above(math.Exp(m)) {
			hi = m
		} else {
			lo = m
		}
	}
	return math.Exp(hi)
}

// TrialsFor is how many trials with at most the given number of failures it
// takes to claim, with confidence conf (one-sided), that the probability of
// success is at least p: 2,995 for p = 0.999 without a failure at 95 %.
func TrialsFor(p, conf float64, failures int64) int64 {
	if failures == 0 {
		return int64(math.Ceil(math.Log(1-conf) / math.Log(p)))
	}
	lo, hi := failures, failures+1
	for binomialCDF(failures, hi, 1-p) > 1-conf {
		lo, hi = hi, 2*hi
	}
	for lo < hi {
		if m := lo + (hi-lo)/2; binomialCDF(failures, m, 1-p) <= 1-conf {
			hi = m
		} else {
			lo = m + 1
		}
	}
	return hi
}

// Claim says what ok of n trials prove about an availability of 99.9 %.
func Claim(ok, n int64) string {
	const p = 0.999
	bad := n - ok
	if float64(bad) > (1-p)*float64(n) {
		return fmt.Sprintf("%s of %s trials failed: below 99.9 %%", thousands(bad), thousands(n))
	}
	need := TrialsFor(p, Confidence, bad)
	without := "without a failure"
	if bad > 0 {
		without = fmt.Sprintf("with %s failed", thousands(bad))
	}
	verb := "does not prove"
	if n >= need {
		verb = "proves"
	}
	return fmt.Sprintf("%s trials %s: %s 99.9 %% at 95 %% confidence (needs %s)", thousands(n), without, verb, thousands(need))
}

func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// series is the mean of what was added, with its interval.
type series struct {
	n     int64
	sum   float64
	batch batch
}

func (s *series) add(v float64) {
	s.n++
	s.sum += v
	s.batch.add(v)
}
