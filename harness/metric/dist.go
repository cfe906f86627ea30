package metric

import (
	"fmt"
	"math"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Bin is one step of a distribution: n values in from..to.
type Bin struct {
	From float64 `json:"from"`
	To   float64 `json:"to"`
	N    int64   `json:"n"`
}

// Dist is a streaming distribution: count, sum, minimum, maximum and last are
// exact, percentiles come from a histogram that is mergeable and of fixed size.
// Make one with [NewLatency] or [NewRange]; it is not safe for concurrent use.
type Dist struct {
	n, bad   int64
	sum      float64
	min, max float64
	last     float64
	hdr      *hdrhistogram.Histogram // of µs; nil when grid is set
	grid     *grid
	batch    batch
}

// Longest latency a histogram resolves; longer ones count as this long, and
// keep their exact maximum.
const maxLatencyUS = 24 * 3600 * 1_000_000

// NewLatency makes a distribution of non-negative milliseconds with a
// resolution of 1 µs or 0.1 %, whichever is coarser (an HDR histogram).
func NewLatency() *Dist {
	return &Dist{min: math.Inf(1), max: math.Inf(-1), hdr: hdrhistogram.New(1, maxLatencyUS, 3)}
}

// NewRange makes a distribution of values of either sign whose percentiles are
// within 0.0025 % of hi − lo. Values outside lo..hi are counted too; far ones
// make the steps coarser, by a factor of two at a time.
func NewRange(lo, hi float64) *Dist {
	if !(hi > lo) || math.IsInf(hi-lo, 0) {
		panic(fmt.Sprintf("metric: range %g..%g", lo, hi))
	}
	return &Dist{min: math.Inf(1), max: math.Inf(-1), grid: newGrid(lo, hi)}
}

// Add records v. What is no number, and a negative latency, is a fault of the
// measurement: it is only counted, see [Dist.Bad].
func (d *Dist) Add(v float64) {
	if d.hdr != nil {
		if !(v >= 0) || v > math.MaxFloat64 {
			d.bad++
			return
		}
		us := min(int64(min(v*1000, maxLatencyUS)+0.5), maxLatencyUS)
		if err := d.hdr.RecordValue(us); err != nil {
			d.bad++
			return
		}
	} else {
		if v-v != 0 { // NaN or infinite
			d.bad++
			return
		}
		d.grid.bins[d.grid.index(v)]++
	}
	d.n++
	d.sum += v
	d.min = min(d.min, v)
	d.max = max(d.max, v)
	d.last = v
	d.batch.add(v)
}

// AddAll records one sample of many devices. Only for a [NewRange]. Its mean
// becomes the last value, and counts as one draw for the interval of the mean,
// since devices sampled at the same time are not independent of each other.
func (d *Dist) AddAll(vs []float64) {
	g := d.grid
	lo, inv := g.lo, g.inv
	mn, mx := d.min, d.max
	var sum float64
	var bad int
	for _, v := range vs {
		x := (v - lo) * inv
		if x >= 0 && x < gridBins {
			g.bins[uint32(x)&(gridBins-1)]++
		} else {
			if v-v != 0 {
				bad++
				continue
			}
			g.bins[g.index(v)]++
			lo, inv = g.lo, g.inv
		}
		sum += v
		if v < mn {
			mn = v
		}
		if v > mx {
			mx = v
		}
	}
	d.bad += int64(bad)
	n := len(vs) - bad
	if n == 0 {
		return
	}
	d.n += int64(n)
	d.sum += sum
	d.min, d.max = mn, mx
	d.last = sum / float64(n)
	d.batch.add(d.last)
}

// Merge adds all that o recorded after what d did. Both must have been made the
// same way.
func (d *Dist) Merge(o *Dist) {
	if (d.hdr == nil) != (o.hdr == nil) || d.grid != nil && (d.grid.from != o.grid.from || d.grid.width0 != o.grid.width0) {
		panic("metric: merge of two kinds of distribution")
	}
	d.bad += o.bad
	if o.n == 0 {
		return
	}
	if d.hdr != nil {
		d.hdr.Merge(o.hdr)
	} else {
		d.grid.merge(o.grid)
	}
	d.n += o.n
	d.sum += o.sum
	d.min = min(d.min, o.min)
	d.max = max(d.max, o.max)
	d.last = o.last
	d.batch.merge(&o.batch)
}

// N is how many values were recorded.
func (d *Dist) N() int64 { return d.n }

// Bad is how many values were unusable: not a number, or a negative latency.
func (d *Dist) Bad() int64 { return d.bad }

// Quantile is the value of rank ⌈q·n⌉, NaN without data; q is 0..1.
func (d *Dist) Quantile(q float64) float64 {
	// The subtrahend undoes the rounding of q·n where that is a whole number.
	return d.rank(int64(math.Ceil(q*float64(d.n) - 1e-9)))
}

// rank is the k-th smallest value, k being clipped to 1..n.
func (d *Dist) rank(k int64) float64 {
	if d.n == 0 {
		return math.NaN()
	}
	if k <= 1 {
		return d.min
	}
	if k >= d.n {
		return d.max
	}
	var v float64
	if d.hdr != nil {
		v = float64(d.hdr.ValueAtQuantile(100*float64(k)/float64(d.n))) / 1000
	} else {
		v = d.grid.at(k)
	}
	return min(max(v, d.min), d.max)
}

// Mean is the mean of all values, NaN without data.
func (d *Dist) Mean() float64 {
	if d.n == 0 {
		return math.NaN()
	}
	return d.sum / float64(d.n)
}

var quantiles = map[string]float64{"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99, "p999": 0.999}

// Stat is one of min, max, mean, last, sum, count, p50, p90, p95, p99, p999,
// with its 95 % interval; NaN where there is none. A percentile's interval is
// that of order statistics and holds for independent values; its upper end is
// +Inf where n is too small to bound it.
func (d *Dist) Stat(stat string) (v float64, ci [2]float64, err error) {
	none := [2]float64{math.NaN(), math.NaN()}
	q, percentile := quantiles[stat]
	if !percentile {
		switch stat {
		case "min", "max", "mean", "last", "sum", "count":
		default:
			return math.NaN(), none, fmt.Errorf("stat %q: %w", stat, ErrUnknown)
		}
	}
	if d.n == 0 {
		return math.NaN(), none, ErrNoData
	}
	if percentile {
		ci = none
		if d.hdr != nil {
			ci = d.quantileInterval(q)
		}
		return d.Quantile(q), ci, nil
	}
	switch stat {
	case "min":
		return d.min, none, nil
	case "max":
		return d.max, none, nil
	case "mean":
		return d.Mean(), d.batch.interval(), nil
	case "last":
		return d.last, none, nil
	case "count":
		return float64(d.n), none, nil
	}
	return d.sum, none, nil
}

// quantileInterval is the order-statistic interval: of n independent values the
// number below the true quantile is binomial(n, q), whatever the distribution.
func (d *Dist) quantileInterval(q float64) [2]float64 {
	l, u := OrderRanks(d.n, q, Confidence)
	ci := [2]float64{d.rank(l), d.rank(u)}
	if l < 1 {
		ci[0] = math.Inf(-1)
		if d.hdr != nil {
			ci[0] = 0
		}
	}
	if u > d.n {
		ci[1] = math.Inf(1)
	}
	return ci
}

// Bins is the histogram in at most limit+1 bins, ascending and without the empty
// ones: of equal width for a range, of equal proportion for a latency.
func (d *Dist) Bins(limit int) []Bin {
	if d.n == 0 || limit < 1 {
		return nil
	}
	axis, back := func(v float64) float64 { return v }, func(x float64) float64 { return x }
	var fine []Bin
	if d.hdr != nil {
		axis, back = func(v float64) float64 { return math.Log(max(v, 1e-3)) }, math.Exp
		for _, b := range d.hdr.Distribution() {
			if b.Count > 0 {
				fine = append(fine, Bin{float64(b.From) / 1000, float64(b.To+1) / 1000, b.Count})
			}
		}
	} else {
		for i, n := range d.grid.bins {
			if n > 0 {
				from := d.grid.lo + float64(i)*d.grid.width
				fine = append(fine, Bin{from, from + d.grid.width, n})
			}
		}
	}
	lo, hi := axis(fine[0].From), axis(fine[len(fine)-1].To)
	step := (hi - lo) / float64(limit)
	var out []Bin
	at := -1
	for _, b := range fine {
		mid := (axis(b.From) + axis(b.To)) / 2
		if i := int((mid - lo) / step); i != at || len(out) == 0 {
			at = i
			out = append(out, Bin{back(lo + float64(i)*step), back(lo + float64(i+1)*step), 0})
		}
		out[len(out)-1].N += b.N
	}
	return out
}
