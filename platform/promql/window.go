package promql

import "math"

// window is the samples of a range, at least one, with from < at ≤ to.
type window struct {
	samples  []sample
	from, to int64 // ms
	step     int   // of the query
}

func (w *window) last() float64  { return w.samples[len(w.samples)-1].v }
func (w *window) count() float64 { return float64(len(w.samples)) }
func (w *window) avg() float64   { return w.sum() / w.count() }

// sum adds with compensation (Neumaier 1974), so that long windows of values of
// different size lose nothing.
func (w *window) sum() float64 {
	sum, lost := 0.0, 0.0
	for _, s := range w.samples {
		t := sum + s.v
		switch {
		case math.IsInf(t, 0):
			lost = 0
		case math.Abs(sum) >= math.Abs(s.v):
			lost += (sum - t) + s.v
		default:
			lost += (s.v - t) + sum
		}
		sum = t
	}
	return sum + lost
}

func (w *window) min() float64 {
	v := w.samples[0].v
	for _, s := range w.samples {
		if s.v < v || v != v {
			v = s.v
		}
	}
	return v
}

func (w *window) max() float64 {
	v := w.samples[0].v
	for _, s := range w.samples {
		if s.v > v || v != v {
			v = s.v
		}
	}
	return v
}

func (w *window) increase() float64 { return w.extrapolated(true) }
func (w *window) delta() float64    { return w.extrapolated(false) }

func (w *window) rate() float64 {
	if len(w.samples) < 2 {
		return Absent() // which arithmetic would make an ordinary NaN
	}
	return w.extrapolated(true) / (float64(w.to-w.from) / 1000)
}

// extrapolated is the change over the whole range, as Prometheus estimates it: the
// change between the first and the last sample, with a fall of a counter taken for a
// restart at zero, scaled from the time between them to that of the range. At an
// end where samples lie more than 1.1 mean distances away, the series is taken to
// begin or end half a distance beyond; a counter does not begin below zero.
func (w *window) extrapolated(counter bool) float64 {
	n := len(w.samples)
	if n < 2 {
		return Absent()
	}
	first, last := w.samples[0], w.samples[n-1]
	change := last.v - first.v
	if counter {
		for i := 1; i < n; i++ {
			if before := w.samples[i-1].v; w.samples[i].v < before {
				change += before
			}
		}
	}
	sampled := float64(last.at-first.at) / 1000
	distance := sampled / float64(n-1)
	toStart, toEnd := float64(first.at-w.from)/1000, float64(w.to-last.at)/1000
	if toStart >= 1.1*distance {
		toStart = distance / 2
	}
	if counter && change > 0 && first.v >= 0 {
		toStart = min(toStart, sampled*(first.v/change))
	}
	if toEnd >= 1.1*distance {
		toEnd = distance / 2
	}
	return change * ((sampled + toStart + toEnd) / sampled)
}

// lastTwo is the change between the last two samples and the time between them, s.
func (w *window) lastTwo(counter bool) (change, s float64) {
	n := len(w.samples)
	if n < 2 {
		return Absent(), 1
	}
	a, b := w.samples[n-2], w.samples[n-1]
	change = b.v - a.v
	if counter && b.v < a.v { // it has begun again at zero
		change = b.v
	}
	return change, float64(b.at-a.at) / 1000
}

func (w *window) idelta() float64 {
	change, _ := w.lastTwo(false)
	return change
}

func (w *window) irate() float64 {
	change, s := w.lastTwo(true)
	if IsAbsent(change) || s == 0 {
		return Absent()
	}
	return change / s
}

// line is the straight line through the samples of least squares: its value at a time, and
// its slope a second.
func (w *window) line(at int64) (value, slope float64) {
	n := float64(len(w.samples))
	var x, y, xx, xy float64
	constant := true
	for _, s := range w.samples {
		constant = constant && s.v == w.samples[0].v
		t := float64(s.at-at) / 1000
		x, y, xx, xy = x+t, y+s.v, xx+t*t, xy+t*s.v
	}
	if constant {
		if v := w.samples[0].v; !math.IsInf(v, 0) {
			return v, 0
		}
		return math.NaN(), math.NaN()
	}
	slope = (xy - x*y/n) / (xx - x*x/n)
	return y/n - slope*x/n, slope
}

func (w *window) deriv() float64 {
	if len(w.samples) < 2 {
		return Absent()
	}
	_, slope := w.line(w.samples[0].at) // near them the sums stay small
	return slope
}

// predict is where the line is so many seconds after the end.
func (w *window) predict(s float64) float64 {
	if len(w.samples) < 2 {
		return Absent()
	}
	value, slope := w.line(w.to)
	return value + slope*s
}

func (w *window) values() []float64 {
	out := make([]float64, len(w.samples))
	for i, s := range w.samples {
		out[i] = s.v
	}
	return out
}

func (w *window) variance() float64          { return variance(w.values()) }
func (w *window) quantile(q float64) float64 { return quantile(q, w.values()) }

func (w *window) changes() float64 {
	return w.pairs(func(a, b float64) bool { return a != b && (a == a || b == b) })
}
func (w *window) resets() float64 { return w.pairs(func(a, b float64) bool { return b < a }) }

// pairs counts neighbours of which f says so.
func (w *window) pairs(f func(a, b float64) bool) (n float64) {
	for i := 1; i < len(w.samples); i++ {
		if f(w.samples[i-1].v, w.samples[i].v) {
			n++
		}
	}
	return n
}
