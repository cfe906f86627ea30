package metric

import "math"

// Following is how a power kept to a signal, errors in parts of the rated power.
type Following struct {
	RMSE        float64
	Max         float64
	Within      float64 // share of the time within a band around it
	Correlation float64 // at the best lag
	Lag         Measured
}

// FollowBand is the usual band of Within; IEEE 2836 and the storage protocol of the DOE
// laboratories (PNNL-22010) ask for the share of time within 2 %.
const FollowBand = 0.02

// Follow scores a power against the signal it had to follow. Errors are those of the
// sample against the signal at that moment; the lag is that with the best correlation,
// up to most s. Period is the distance of samples, s; band is in parts of the rated power.
func Follow(pts []Point, signal func(t float64) float64, rated, band, period, most float64) (Following, error) {
	if len(pts) < 3 || rated <= 0 || period <= 0 {
		return Following{Lag: lost()}, ErrNoData
	}
	var f Following
	var square, inside, whole float64
	for i := 1; i < len(pts); i++ {
		p, h := pts[i], pts[i].T-pts[i-1].T
		e := math.Abs(p.V-signal(p.T)) / rated
		square += e * e * h
		f.Max = max(f.Max, e)
		if e <= band+1e-12 {
			inside += h
		}
		whole += h
	}
	if whole <= 0 {
		return Following{Lag: lost()}, ErrNoData
	}
	f.RMSE, f.Within = math.Sqrt(square/whole), inside/whole
	t0 := pts[0].T
	n := int((pts[len(pts)-1].T-t0)/period) + 1
	x := make([]float64, n)
	for i := range x {
		x[i] = signal(t0 + float64(i)*period)
	}
	f.Lag.Value, f.Correlation = Lag(x, Resample(pts, t0, period, n), period, most)
	f.Lag.Res = period
	return f, nil
}

// Lag is by how many seconds y comes after x, both sampled every period s: the shift
// of up to ±most s with the largest correlation of what then overlaps. Signals that do
// not move have no lag: it is NaN.
func Lag(x, y []float64, period, most float64) (lag, corr float64) {
	lag, corr = math.NaN(), math.Inf(-1)
	n := min(len(x), len(y))
	shifts := min(int(most/period+0.5), n/2)
	for k := 0; k <= 2*shifts; k++ {
		d := (k + 1) / 2 // 0, 1, -1, 2, -2, … so that of equals the smallest shift counts
		if k%2 == 0 {
			d = -d
		}
		var a, b []float64
		if d >= 0 {
			a, b = x[:n-d], y[d:n]
		} else {
			a, b = x[-d:n], y[:n+d]
		}
		if c := pearson(a, b); c > corr+1e-12 {
			lag, corr = float64(d)*period, c
		}
	}
	if math.IsInf(corr, -1) {
		return math.NaN(), math.NaN()
	}
	return lag, corr
}

// pearson is the correlation, NaN where one of the two does not move.
func pearson(a, b []float64) float64 {
	ma, mb := mean(a), mean(b)
	var aa, bb, ab float64
	for i := range a {
		da, db := a[i]-ma, b[i]-mb
		aa, bb, ab = aa+da*da, bb+db*db, ab+da*db
	}
	if aa == 0 || bb == 0 {
		return math.NaN()
	}
	return ab / math.Sqrt(aa*bb)
}

// Resample gives n values, each that of the newest point at its instant; the first
// point also holds before its time.
func Resample(pts []Point, t0, period float64, n int) []float64 {
	out := make([]float64, n)
	k := 0
	for i := range out {
		t := t0 + float64(i)*period + 1e-9
		for k+1 < len(pts) && pts[k+1].T <= t {
			k++
		}
		out[i] = math.NaN()
		if len(pts) > 0 {
			out[i] = pts[k].V
		}
	}
	return out
}
