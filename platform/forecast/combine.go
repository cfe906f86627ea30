package forecast

import (
	"math"
	"slices"
)

// Levels are those of the quantiles of a forecast.
var Levels = func() (levels []float64) {
	for k := 1; k <= 19; k++ {
		levels = append(levels, float64(k)/20)
	}
	return levels
}()

// Forecast is what is said of a day.
type Forecast struct {
	Day       int
	Value     []float64   // by step
	Quantiles [][]float64 // by step, then level; they rise with it
	Weights   []float64   // of the members
}

// Warm is how many days the members should have forecast before the first that counts, MinWarm
// how many they must have: weights and quantiles are learned from them.
const (
	Warm    = 56
	MinWarm = 14
)

// How the past counts. Chosen on 2015 and 2016 of Nord Pool, as docs/market.md says.
const (
	memberHalfLife = 60.0 // days, of what members have been off by
	keenness       = 12.0 // a member that was off by 1 % more than the best weighs e^−0.12 of it
	scaleHalfLife  = 10.0 // days, of how wide quantiles are
	residualDays   = 182  // from which quantiles are taken
	spreadShare    = 0.5  // of the members' disagreement in how wide quantiles are
)

// Combine makes forecasts of days in a row, from day first, of those of the members, by day. What
// is said of a day depends on the members' forecasts up to it and on the target before it.
// The first MinWarm days have no quantiles.
func Combine(s *Series, first int, members [][][]float64) []Forecast {
	var (
		out   = make([]Forecast, len(members))
		count = 0
		off   []float64 // of each member, mean of |e|, the past fading
		c     = combiner{wide: make([]float64, s.PerDay)}
	)
	for i, said := range members {
		if i == 0 {
			off = make([]float64, len(said))
		}
		f := Forecast{Day: first + i, Value: make([]float64, s.PerDay), Weights: weights(off, count)}
		for m, w := range f.Weights {
			for k, x := range said[m] {
				f.Value[k] += w * x
			}
		}
		for k, x := range f.Value { // a mean lies among what it is the mean of, but for what rounding leaves
			least, most := said[0][k], said[0][k]
			for _, member := range said {
				least, most = min(least, member[k]), max(most, member[k])
			}
			f.Value[k] = min(max(x, least), most)
		}
		spread := make([]float64, s.PerDay)
		for m, w := range f.Weights {
			for k, x := range said[m] {
				spread[k] += w * math.Abs(x-f.Value[k])
			}
		}
		if i >= MinWarm {
			low, high := s.reach(max(f.Day-longest(), 0), f.Day)
			f.Quantiles = c.quantiles(f.Value, spread, low, high)
		}
		out[i] = f

		truth := s.day(s.Target, f.Day)
		count++
		for m := range off {
			off[m] = fade(off[m], Compare(said[m], truth).MAE, memberHalfLife, count)
		}
		c.learn(f.Value, spread, truth, count)
	}
	return out
}

// fade is a mean in which a value counts half of one that came a half-life later. It is the plain
// mean at first.
func fade(mean, x, halfLife float64, count int) float64 {
	return mean + max(1-math.Exp2(-1/halfLife), 1/float64(count))*(x-mean)
}

// weights favours members that have been off by less.
func weights(off []float64, count int) []float64 {
	w := make([]float64, len(off))
	best := slices.Min(off)
	sum := 0.0
	for m := range w {
		w[m] = 1
		if count > 0 && best > 0 {
			w[m] = math.Exp(-keenness * (off[m]/best - 1))
		}
		sum += w[m]
	}
	for m := range w {
		w[m] /= sum
	}
	return w
}

// combiner knows how the combined forecast was off.
type combiner struct {
	wide      []float64   // by step: mean of |e|, the past fading
	residuals [][]float64 // by day, then step: e by its scale
}

// scale is how far off a step is to be expected: as it lately was, and as the members disagree.
func (c *combiner) scale(k int, spread float64) float64 {
	n := len(c.wide)
	near := (c.wide[max(k-1, 0)] + 2*c.wide[k] + c.wide[min(k+1, n-1)]) / 4
	return near*(1-spreadShare) + spreadShare*2*spread + 1e-9
}

func (c *combiner) learn(value, spread, truth []float64, count int) {
	row := make([]float64, len(value))
	for k := range row {
		if count > 1 {
			row[k] = (truth[k] - value[k]) / c.scale(k, spread[k])
		}
		c.wide[k] = fade(c.wide[k], math.Abs(truth[k]-value[k]), scaleHalfLife, count)
	}
	if count > 1 { // the first day had no scale yet
		c.residuals = append(c.residuals, row)
	}
	if len(c.residuals) > residualDays {
		c.residuals = c.residuals[1:]
	}
}

// quantiles are those of the residuals at the step and beside it, as wide as now, within low and high.
func (c *combiner) quantiles(value, spread, low, high []float64) [][]float64 {
	out := make([][]float64, len(value))
	var pool []float64
	for k := range value {
		pool = pool[:0]
		for _, row := range c.residuals {
			pool = append(pool, row[max(k-1, 0):min(k+2, len(row))]...)
		}
		slices.Sort(pool)
		out[k] = make([]float64, len(Levels))
		for i, level := range Levels {
			x := value[k] + c.scale(k, spread[k])*sortedQuantile(pool, level)
			out[k][i] = min(max(x, low[k]), high[k])
		}
	}
	return out
}

// NaiveQuantiles is the week before as a forecast of the days first..last, with the quantiles of
// its own errors: what quantiles must beat.
func NaiveQuantiles(s *Series, first, last int) []Forecast {
	out := make([]Forecast, 0, last-first+1)
	var errors [][]float64 // by day, then step
	var pool []float64
	for d := max(first-residualDays, 7); d <= last; d++ {
		said := s.Naive(d)
		if d >= first {
			f := Forecast{Day: d, Value: said, Quantiles: make([][]float64, s.PerDay)}
			for k, x := range said {
				pool = pool[:0]
				for _, row := range errors {
					pool = append(pool, row[k])
				}
				slices.Sort(pool)
				f.Quantiles[k] = make([]float64, len(Levels))
				for i, level := range Levels {
					f.Quantiles[k][i] = x + sortedQuantile(pool, level)
				}
			}
			out = append(out, f)
		}
		row := make([]float64, s.PerDay)
		for k, y := range s.day(s.Target, d) {
			row[k] = y - said[k]
		}
		if errors = append(errors, row); len(errors) > residualDays {
			errors = errors[1:]
		}
	}
	return out
}
