package settle

import (
	"fmt"
	"math"
	"slices"
)

// PJM is a performance score of PJM Manual 12 §4.5.6 and its three terms, each 0..1.
type PJM struct {
	Score    float64 `json:"score"`    // mean of the three terms
	Accuracy float64 `json:"accuracy"` // correlation at the chosen delay
	Delay    float64 `json:"delay"`    // 1 for no delay, 0 for five minutes
	// Precision is the mean of 1 − |response − signal| / mean |signal| of the hour, each sample
	// no less than 0; of Rolling10s with the response 10 s later; of Block it is 1 − mean
	// |response − signal| / mean |signal| of each block, no less than 0.
	Precision float64 `json:"precision"`
}

// PJMReading is one way to read the manual where it leaves a choice that moves the number.
type PJMReading string

// The readings: Rolling looks five minutes ahead from every 10 s; Rolling10s
// grants the 10 s of propagation the manual allows; Block scores twelve
// five-minute blocks an hour.
const (
	Rolling    PJMReading = "rolling"
	Rolling10s PJMReading = "rolling10s"
	Block      PJMReading = "block"
)

// PJMPeriodS is the time between samples, s.
const PJMPeriodS = 10

const (
	pjmHour   = 360 // samples
	pjmWindow = 30  // samples in five minutes
	pjmFlat   = 0.01
)

// PJMHour is the score of one hour, or of as much of it as there is.
type PJMHour struct {
	PJM
	At      int   // its first sample
	Samples int64 // how many samples it rests on; 0: nothing could be scored
	Whole   bool  // nothing of it is missing, nor of what its last sample looks ahead to
}

// PJMHours scores a response to a regulation signal hour by hour, both sampled every 10 s
// and in fractions of the assigned capability, with the same sign. Each sample looks up to
// ten minutes ahead, so that the last ten minutes are scored by precision alone.
func PJMHours(signal, response []float64, r PJMReading) (hours []PJMHour, err error) {
	if len(signal) != len(response) {
		return nil, fmt.Errorf("pjm score: %d samples of signal, %d of response", len(signal), len(response))
	}
	for lo := 0; lo < len(signal); lo += pjmHour {
		h := PJMHour{At: lo, Whole: lo+pjmHour+2*pjmWindow-1 <= len(signal)}
		var n int
		if r == Block {
			h.PJM, n = pjmBlocks(signal, response, lo)
		} else {
			h.PJM, n = pjmRolling(signal, response, lo, r)
		}
		h.Samples = int64(n)
		h.Score = (h.Accuracy + h.Delay + h.Precision) / 3
		hours = append(hours, h)
	}
	return hours, nil
}

// PJMMean is the mean over hours, each weighing as many samples as it rests on, and how
// many these are.
func PJMMean(hours []PJMHour) (s PJM, n int64, err error) {
	for _, h := range hours {
		w := float64(h.Samples)
		s.Accuracy += w * h.Accuracy
		s.Delay += w * h.Delay
		s.Precision += w * h.Precision
		n += h.Samples
	}
	if n == 0 {
		return PJM{Score: math.NaN()}, 0, fmt.Errorf("pjm score: needs a signal other than 0 and ten minutes to look ahead: %w", ErrNoData)
	}
	w := float64(n)
	s.Accuracy /= w
	s.Delay /= w
	s.Precision /= w
	s.Score = (s.Accuracy + s.Delay + s.Precision) / 3
	return s, n, nil
}

// PJMScored are the hours that a score is the mean of: those that are whole, or all of them where none is.
func PJMScored(hours []PJMHour) []PJMHour {
	whole := slices.DeleteFunc(slices.Clone(hours), func(h PJMHour) bool { return !h.Whole || h.Samples == 0 })
	if len(whole) == 0 {
		return hours
	}
	return whole
}

// PJMScore is the mean over [PJMScored] of [PJMHours].
func PJMScore(signal, response []float64, r PJMReading) (s PJM, n int64, err error) {
	hours, err := PJMHours(signal, response, r)
	if err != nil {
		return PJM{}, 0, err
	}
	return PJMMean(PJMScored(hours))
}

// pjmRolling scores the hour that begins at lo, and says over how many samples.
func pjmRolling(x, y []float64, lo int, r PJMReading) (s PJM, n int) {
	hi := min(lo+pjmHour, len(x))
	free := 0
	if r == Rolling10s {
		free = 1
	}
	size := meanAbs(x[lo:hi])
	if size == 0 {
		return PJM{}, 0
	}
	for t := lo; t < min(hi, len(x)-2*pjmWindow+1); t++ {
		a := x[t : t+pjmWindow]
		best, corr, delay := math.Inf(-1), 0.0, 0.0
		for d := 0; d <= pjmWindow; d++ {
			c := correlation(a, y[t+d:t+d+pjmWindow], 1e-9)
			q := clip01(float64(pjmWindow-max(0, d-free)) / pjmWindow)
			if c+q > best {
				best, corr, delay = c+q, c, q
			}
		}
		if corr > 0 {
			s.Accuracy += clip01(corr)
			s.Delay += delay
		}
		n++
	}
	if n == 0 {
		return PJM{}, 0
	}
	s.Accuracy /= float64(n)
	s.Delay /= float64(n)
	k := 0
	for t := lo; t < hi && t+free < len(y); t++ {
		s.Precision += clip01(1 - math.Abs(y[t+free]-x[t])/size)
		k++
	}
	s.Precision /= float64(k)
	return s, n
}

// pjmBlocks scores the five-minute blocks of the hour that begins at lo.
func pjmBlocks(x, y []float64, lo int) (s PJM, n int) {
	hi := min(lo+pjmHour, len(x))
	for t := lo; t+pjmWindow <= hi && t+2*pjmWindow <= len(x); t += pjmWindow {
		a := x[t : t+pjmWindow]
		size := meanAbs(a)
		if size == 0 {
			continue
		}
		at, corr := pjmWindow, 0.0
		if stddev(a) < pjmFlat {
			at, corr = 0, clip01(correlation(a, y[t:t+pjmWindow], 1e-5))
		} else {
			for d := 0; d <= pjmWindow; d++ {
				if c := correlation(a, y[t+d:t+d+pjmWindow], 1e-5); c > corr {
					at, corr = d, c
				}
			}
		}
		var e float64
		for i, v := range a {
			e += math.Abs(y[t+i]-v) / pjmWindow
		}
		s.Accuracy += clip01(corr)
		s.Delay += math.Abs(float64(at-pjmWindow)) / pjmWindow
		s.Precision += clip01(1 - e/size)
		n++
	}
	if n == 0 {
		return PJM{}, 0
	}
	s.Accuracy /= float64(n)
	s.Delay /= float64(n)
	s.Precision /= float64(n)
	return s, n * pjmWindow
}

// correlation is Pearson's, 0 where a standard deviation is below eps; for a flat
// signal it is one minus the difference of the slopes per sample.
func correlation(a, b []float64, eps float64) float64 {
	n := float64(len(a))
	ma, mb := mean(a), mean(b)
	var aa, bb, ab float64
	for i := range a {
		da, db := a[i]-ma, b[i]-mb
		aa += da * da
		bb += db * db
		ab += da * db
	}
	if math.Sqrt(aa/n) < pjmFlat {
		return clip01(1 - math.Abs(slope(a)-slope(b)))
	}
	if math.Sqrt(bb/n) < eps {
		return 0
	}
	return ab / math.Sqrt(aa*bb)
}

// slope per sample by least squares.
func slope(a []float64) float64 {
	mid := float64(len(a)-1) / 2
	var xy, xx float64
	for i, v := range a {
		dx := float64(i) - mid
		xy += dx * v
		xx += dx * dx
	}
	return xy / xx
}

func mean(a []float64) float64 {
	var s float64
	for _, v := range a {
		s += v
	}
	return s / float64(len(a))
}

func meanAbs(a []float64) float64 {
	var s float64
	for _, v := range a {
		s += math.Abs(v)
	}
	return s / float64(len(a))
}

func stddev(a []float64) float64 {
	m := mean(a)
	var s float64
	for _, v := range a {
		s += (v - m) * (v - m)
	}
	return math.Sqrt(s / float64(len(a)))
}

func clip01(v float64) float64 { return min(max(v, 0), 1) }
