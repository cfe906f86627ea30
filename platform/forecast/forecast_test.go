package forecast_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"yunchu/platform/forecast"
)

// made is a series that follows its columns, yesterday and the day of the week.
func made(perDay, days int, seed uint64, noise float64) *forecast.Series {
	r := rand.New(rand.NewPCG(seed, 1))
	s := &forecast.Series{PerDay: perDay, Weekday: 2, Exog: [][]float64{nil, nil}}
	level := 0.0
	for d := range days {
		level = 0.9*level + r.NormFloat64()
		wind := r.NormFloat64()
		for k := range perDay {
			load := 5*math.Sin(2*math.Pi*float64(k)/float64(perDay)) + level
			if (2+d)%7 == 0 {
				load -= 3
			}
			s.Exog[0] = append(s.Exog[0], 40+load)
			s.Exog[1] = append(s.Exog[1], wind)
			s.Target = append(s.Target, 30+2*load-3*wind+noise*r.NormFloat64())
		}
	}
	return s
}

// forecastDays forecasts the last days.
func forecastDays(s *forecast.Series, first, last int) []forecast.Forecast {
	var members [][][]float64
	for d := first; d <= last; d++ {
		members = append(members, forecast.Day(s, d))
	}
	return forecast.Combine(s, first, members)
}

// TestNoLookAhead: nothing that comes to be known on the day or after it changes its forecast.
func TestNoLookAhead(t *testing.T) {
	const perDay, day = 6, 80
	first := day - forecast.MinWarm - 2
	want := forecastDays(made(perDay, day+3, 1, 1), first, day)
	s := made(perDay, day+3, 1, 1)
	for i := day * perDay; i < len(s.Target); i++ {
		s.Target[i] = 1e6
	}
	for _, column := range s.Exog {
		for i := (day + 1) * perDay; i < len(column); i++ {
			column[i] = -1e6
		}
	}
	got := forecastDays(s, first, day)
	last := len(want) - 1
	if !slices.Equal(got[last].Value, want[last].Value) || !slices.Equal(got[last].Weights, want[last].Weights) {
		t.Errorf("what comes later has changed the forecast:\n%v\n%v", got[last], want[last])
	}
	for k := range want[last].Quantiles {
		if !slices.Equal(got[last].Quantiles[k], want[last].Quantiles[k]) {
			t.Errorf("what comes later has changed the quantiles of step %d", k)
		}
	}
	// And the test would see it: what is known of the day, and what came the day before, do change it.
	for name, change := range map[string]func(*forecast.Series){
		"target of the day before":   func(s *forecast.Series) { s.Target[day*perDay-1] += 5 },
		"column of the day":          func(s *forecast.Series) { s.Exog[1][day*perDay] += 5 },
		"last step known of the day": func(s *forecast.Series) { s.Exog[0][(day+1)*perDay-1] += 5 },
	} {
		s := made(perDay, day+3, 1, 1)
		change(s)
		if got := forecastDays(s, first, day); slices.Equal(got[last].Value, want[last].Value) {
			t.Errorf("%s has not changed the forecast", name)
		}
	}
}

// TestOrderOfColumns: in which order columns are named changes no forecast, to the bit.
func TestOrderOfColumns(t *testing.T) {
	const perDay, day = 6, 120
	s := made(perDay, day+1, 5, 1)
	r := rand.New(rand.NewPCG(7, 1))
	third := make([]float64, len(s.Target)) // begins as the first does
	for i, x := range s.Exog[0] {
		if third[i] = x; i > 2 {
			third[i] += 3 * r.NormFloat64()
		}
	}
	s.Exog = append(s.Exog, third)
	want := forecast.Day(s, day)
	for _, order := range [][3]int{{0, 2, 1}, {1, 0, 2}, {2, 1, 0}} {
		other := *s
		other.Exog = [][]float64{s.Exog[order[0]], s.Exog[order[1]], s.Exog[order[2]]}
		for m, said := range forecast.Day(&other, day) {
			if !slices.Equal(said, want[m]) {
				t.Errorf("%s, columns in order %v: %v, and %v", forecast.Members()[m], order, said, want[m])
			}
		}
		if !slices.Equal(other.Exog[0][:4], s.Exog[order[0]][:4]) {
			t.Error("the caller's columns were moved")
		}
	}
}

// TestWithinWhatThereIs: what a fleet can take is never below nothing and never above its rating, at which it is for
// most of the day; what never changes is said to the bit, and is no error.
func TestWithinWhatThereIs(t *testing.T) {
	const perDay, days = 6, 90
	r := rand.New(rand.NewPCG(9, 1))
	s := &forecast.Series{PerDay: perDay}
	for range days {
		full := 2 + 2*r.Float64() // from when on it takes less and less
		for k := range perDay {
			s.Target = append(s.Target, max(1000-600*max(0, float64(k)-full), 0))
		}
	}
	said, err := forecast.Play(s, 80, days-1, forecast.Warm, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range said {
		for k, x := range f.Value {
			if q := f.Quantiles[k]; x < 0 || x > 1000 || q[0] < 0 || q[len(q)-1] > 1000 {
				t.Fatalf("day %d, step %d: %v, quantiles %v", f.Day, k, x, q)
			}
		}
	}
	for i := range s.Target {
		s.Target[i] = 1000.1
	}
	if said, err = forecast.Play(s, 80, days-1, forecast.Warm, 1, nil); err != nil {
		t.Fatal(err)
	}
	var trial forecast.Trial
	week := forecast.NaiveQuantiles(s, 80, days-1)
	for i, f := range said {
		trial.Add(s, f, week[i])
	}
	if f := trial.Figures(); f.MAE != 0 || f.RMAE != 1 || f.Skill != 0 || f.Pinball != 0 {
		t.Errorf("what never changes: %+v", f)
	}
}

// TestLearnsWhatIsThere: a series that its columns explain is forecast within little more than
// its noise, and the quantiles hold what they say.
func TestLearnsWhatIsThere(t *testing.T) {
	const perDay, noise = 4, 0.5
	s := made(perDay, 320, 3, noise)
	first, from := 150, 150+forecast.Warm
	days := forecastDays(s, first, s.Days()-1)[from-first:]
	var said, naive, truth []float64
	below := make([]float64, len(forecast.Levels))
	for _, f := range days {
		said, naive = append(said, f.Value...), append(naive, s.Naive(f.Day)...)
		for k := range f.Value {
			y := s.Target[f.Day*perDay+k]
			truth = append(truth, y)
			if !slices.IsSorted(f.Quantiles[k]) {
				t.Fatalf("quantiles of day %d do not rise: %v", f.Day, f.Quantiles[k])
			}
			for i, q := range f.Quantiles[k] {
				if y < q {
					below[i]++
				}
			}
		}
	}
	score := forecast.Compare(said, truth)
	least := noise * math.Sqrt(2/math.Pi) // the mean of |e| that nobody can avoid
	if score.MAE > 1.5*least {
		t.Errorf("MAE %.3f, noise alone %.3f", score.MAE, least)
	}
	if week := forecast.Compare(naive, truth).MAE; score.MAE > 0.3*week {
		t.Errorf("MAE %.3f, that of the week before %.3f", score.MAE, week)
	}
	for i, level := range forecast.Levels {
		if share := below[i] / float64(len(truth)); math.Abs(share-level) > 0.08 {
			t.Errorf("%.0f %% are below the quantile %.2f", 100*share, level)
		}
	}
}

// TestScaleAndShift: prices in another currency, or from another zero, have the same forecast.
func TestScaleAndShift(t *testing.T) {
	a, b := made(3, 70, 5, 1), made(3, 70, 5, 1)
	for i := range b.Target {
		b.Target[i] = 1000*b.Target[i] - 7
	}
	x, y := forecastDays(a, 40, 69), forecastDays(b, 40, 69)
	for i := range x {
		for k, v := range x[i].Value {
			if want := 1000*v - 7; math.Abs(y[i].Value[k]-want) > 1e-6*math.Abs(want) {
				t.Fatalf("day %d, step %d: %g, want %g", i, k, y[i].Value[k], want)
			}
		}
	}
}

// TestOddSeries: what is constant, short, daily, in quarters of an hour or without columns has
// finite forecasts.
func TestOddSeries(t *testing.T) {
	constant := &forecast.Series{PerDay: 2, Target: make([]float64, 2*60)}
	for i := range constant.Target {
		constant.Target[i] = 20
	}
	spike := made(2, 60, 7, 1)
	spike.Target[2*59-1] = 1e5
	spike.Exog[0][2*59] = -1e7
	alone := made(2, 60, 8, 1)
	alone.Exog = nil
	for name, s := range map[string]*forecast.Series{
		"constant": constant, "spike": spike, "alone": alone, "daily": made(1, 60, 9, 1), "quarters": made(96, 52, 10, 1),
	} {
		first := s.Days() - 3
		if err := s.Check(first); err != nil {
			t.Fatal(err)
		}
		for _, f := range forecastDays(s, first, s.Days()-1) {
			for _, x := range f.Value {
				if math.IsNaN(x) || math.IsInf(x, 0) || name == "constant" && math.Abs(x-20) > 1e-9 {
					t.Errorf("%s: day %d is %v", name, f.Day, f.Value)
					break
				}
			}
		}
	}
	for _, d := range []int{-1, 0, forecast.MinDays - 1, 60} {
		if constant.Check(d) == nil {
			t.Errorf("day %d can be forecast", d)
		}
	}
}
