// Package forecast says a day ahead what a price, a load or a production will be, step by
// step, with quantiles, and scores what was said. It is pure: a forecast is a function of the
// series and of the day, and a series knows no dates but days of the week.
//
// A day is forecast by members: regressions of each step on the days before and on what is
// known of the day itself, over windows of several lengths (after J. Lago, G. Marcjasz,
// B. De Schutter, R. Weron, Applied Energy 293, 2021, 116983). Combine makes one forecast of
// them, with weights and quantiles from what they said of earlier days.
package forecast

import (
	"fmt"
	"math"
	"slices"
)

// Series is a target in steps of a day, and what was forecast of the same steps the day before.
type Series struct {
	PerDay  int         // steps of a day
	Weekday int         // of the first day, 0..6
	Target  []float64   // whole days; what is at and after the day that is forecast is not read
	Exog    [][]float64 // of each column, as many steps as Target; what is after the day that is forecast is not read
}

// Days is how many days the series has.
func (s *Series) Days() int { return len(s.Target) / s.PerDay }

// MinDays is how many days must be before the first one that is forecast.
const MinDays = 7 + 28

// Check returns why day d cannot be forecast.
func (s *Series) Check(d int) error {
	switch {
	case s.PerDay < 1 || s.PerDay > maxPerDay:
		return fmt.Errorf("a day has %d steps, and may have 1 to %d", s.PerDay, maxPerDay)
	case d < MinDays:
		return fmt.Errorf("%d days are before it, and there must be %d at least", max(d, 0), MinDays)
	case d >= s.Days():
		return fmt.Errorf("the series has %d days, and this would be the %dth", s.Days(), d+1)
	}
	return nil
}

const maxPerDay = 1440

// day is day d of a column.
func (s *Series) day(column []float64, d int) []float64 {
	return column[d*s.PerDay : (d+1)*s.PerDay]
}

// ordered has the columns in an order that follows from what is in them up to day d. A descent ends within a
// tolerance, and where depends on who comes first: so it is never who was named first.
func (s *Series) ordered(d int) *Series {
	out := *s
	end := (d + 1) * s.PerDay
	out.Exog = slices.SortedStableFunc(slices.Values(s.Exog), func(a, b []float64) int { return -slices.Compare(a[:end], b[:end]) })
	return &out
}

// blocks is how many values describe a day in features: its steps, or its hours where they are
// shorter and fill hours.
func (s *Series) blocks() int {
	if s.PerDay > 24 {
		for b := 24; b > 1; b-- {
			if s.PerDay%b == 0 {
				return b
			}
		}
		return 1
	}
	return s.PerDay
}

// fold writes the means of a day's blocks.
func fold(out, day []float64) {
	n := len(day) / len(out)
	for b := range out {
		sum := 0.0
		for _, x := range day[b*n : (b+1)*n] {
			sum += x
		}
		out[b] = sum / float64(n)
	}
}

// boundShare is in what part of its steps a series is at its lowest, or at its highest, where that is a bound of
// the thing itself: the rating of a fleet, the darkness of a night. Nord Pool's prices are there in a thousandth at most.
const boundShare = 0.01

// reach is how far a forecast goes at each step: what the target was on the days first to before
// d, and half of that range beyond, but not beyond a bound of all of them. What was never below 0, such as a load
// or what a fleet could give, stays above it.
func (s *Series) reach(first, d int) (low, high []float64) {
	low, high = slices.Clone(s.day(s.Target, first)), slices.Clone(s.day(s.Target, first))
	for day := first + 1; day < d; day++ {
		for k, x := range s.day(s.Target, day) {
			low[k], high[k] = min(low[k], x), max(high[k], x)
		}
	}
	least, most := slices.Min(low), slices.Max(high)
	atLeast, atMost := 0, 0
	seen := s.Target[first*s.PerDay : d*s.PerDay]
	for _, x := range seen {
		if x == least {
			atLeast++
		}
		if x == most {
			atMost++
		}
	}
	bound := max(boundShare*float64(len(seen)), 3)
	for k := range low {
		room := 0.5 * (high[k] - low[k])
		low[k], high[k] = low[k]-room, high[k]+room
		if least >= 0 {
			low[k] = max(low[k], 0)
		}
		if float64(atLeast) >= bound {
			low[k] = max(low[k], least)
		}
		if float64(atMost) >= bound {
			high[k] = min(high[k], most)
		}
	}
	return low, high
}

// Naive is the target of a week before day d.
func (s *Series) Naive(d int) []float64 { return s.day(s.Target, d-7) }

// scale makes a column comparable: centre and spread are robust, and asinh, where it is used,
// draws spikes in (B. Uniejewski, R. Weron, F. Ziel, IEEE Trans. Power Systems 33, 2018, 2219).
type scale struct {
	median, mad float64
	asinh       bool
}

func fitScale(x []float64, asinh bool) scale {
	y := append([]float64(nil), x...)
	m := middle(y)
	for i, v := range x {
		y[i] = math.Abs(v - m)
	}
	mad := middle(y) / 0.6745 // that of a normal distribution is then its standard deviation
	if mad <= 1e-9*(1+math.Abs(m)) {
		mad = 0
		for i := range y {
			mad += y[i] / float64(len(y))
		}
		if mad <= 1e-9*(1+math.Abs(m)) {
			mad = 1
		}
	}
	return scale{m, mad, asinh}
}

func (c scale) to(x float64) float64 {
	x = (x - c.median) / c.mad
	if c.asinh {
		x = math.Asinh(x)
	}
	return x
}

func (c scale) from(z float64) float64 {
	if c.asinh {
		z = math.Sinh(z)
	}
	return c.median + c.mad*z
}
