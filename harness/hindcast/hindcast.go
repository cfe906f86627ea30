package hindcast

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strconv"
	"time"

	"yunchu/platform/forecast"
	"yunchu/platform/plural"
)

// Options say what is forecast and scored.
type Options struct {
	Data     string
	Time     string // its column of times; the first when empty
	Target   string
	Exog     []string
	Zone     *time.Location // whose days they are; nil: UTC, or the clock of the file where its times have no zone
	From, To time.Time      // the first and the last day; To may be zero
	Against  string         // a file with forecasts of others
	Warm     int            // days that are forecast before, to learn weights and quantiles; forecast.Warm when 0
	Stop     func() error
}

// Result is how good the forecasts were.
type Result struct {
	forecast.Figures
	From    string           `json:"from"`
	To      string           `json:"to"`
	Filled  int              `json:"filled,omitempty"` // steps that were not there and are not scored
	Months  []forecast.Month `json:"months"`
	Against []forecast.Rival `json:"against,omitempty"`

	data    *data
	days    []forecast.Forecast
	names   []string
	options Options
}

// Run forecasts and scores. What is wrong in a file is scenario.Faults.
func Run(o Options) (*Result, error) {
	if slices.Contains(o.Exog, o.Target) {
		return nil, fmt.Errorf("%s is the target and cannot be known beforehand", o.Target)
	}
	d, err := readData(o, false)
	if err != nil {
		return nil, err
	}
	s := &d.series
	from := int(o.From.Sub(d.first) / (24 * time.Hour))
	to := s.Days() - 1
	if !o.To.IsZero() {
		to = int(o.To.Sub(d.first) / (24 * time.Hour))
	}
	last := d.first.AddDate(0, 0, s.Days()-1).Format(time.DateOnly)
	switch earliest := forecast.MinDays + forecast.MinWarm; {
	case from > to:
		return nil, fmt.Errorf("--from %s comes after the last day, %s", o.From.Format(time.DateOnly), d.first.AddDate(0, 0, to).Format(time.DateOnly))
	case o.From.Before(d.first) || from < earliest:
		return nil, fmt.Errorf("%s has whole days from %s: %d days are learned from before the first forecast, so --from may be %s at the earliest",
			o.Data, d.first.Format(time.DateOnly), earliest, d.first.AddDate(0, 0, earliest).Format(time.DateOnly))
	case to >= s.Days():
		return nil, fmt.Errorf("%s has whole days up to %s", o.Data, last)
	}
	var others []other
	if o.Against != "" {
		if others, err = readOthers(o, d.came[from:to+1]); err != nil {
			return nil, err
		}
	}
	days, err := forecast.Play(s, from, to, cmp.Or(o.Warm, forecast.Warm), runtime.GOMAXPROCS(0), o.Stop)
	if err != nil {
		return nil, err
	}
	r := &Result{
		From: o.From.Format(time.DateOnly), To: d.first.AddDate(0, 0, to).Format(time.DateOnly),
		data: d, days: days, names: forecast.Members(), options: o,
	}
	r.score(others, forecast.NaiveQuantiles(s, from, to))
	return r, nil
}

// Next forecasts the first day of which the target is not known to its end: of what is known of that day only
// the columns count. Options.From, To and Against mean nothing.
func Next(o Options) (*Ahead, error) {
	if slices.Contains(o.Exog, o.Target) {
		return nil, fmt.Errorf("%s is the target and cannot be known beforehand", o.Target)
	}
	d, err := readData(o, true)
	if err != nil {
		return nil, err
	}
	s := &d.series
	day := s.Days() - 1
	if least := forecast.MinDays + forecast.MinWarm; day < least {
		return nil, fmt.Errorf("%s has %d whole days before %s, and a forecast with its quantiles is learned from %d at least",
			o.Data, day, d.first.AddDate(0, 0, day).Format(time.DateOnly), least)
	}
	days, err := forecast.Play(s, day, day, forecast.Warm, runtime.GOMAXPROCS(0), o.Stop)
	if err != nil {
		return nil, err
	}
	return &Ahead{Result{data: d, days: days, names: forecast.Members(), options: o}}, nil
}

func (r *Result) score(others []other, naive []forecast.Forecast) {
	d := r.data
	var months []string
	for _, f := range r.days {
		if m := r.begin(f.Day).Format("2006-01"); !slices.Contains(months, m) {
			months = append(months, m)
		}
	}
	// ours and theirs of what is scored, of a month or of all
	pick := func(month string, rival func(i int, v value) float64) (ours, theirs, truth []float64) {
		for i, f := range r.days {
			if month != "" && r.begin(f.Day).Format("2006-01") != month {
				continue
			}
			for _, v := range d.came[f.Day] {
				z := rival(i, v)
				if math.IsNaN(v.target) || math.IsNaN(z) {
					continue
				}
				ours, theirs, truth = append(ours, f.Value[v.step]), append(theirs, z), append(truth, v.target)
			}
		}
		return ours, theirs, truth
	}
	weekly := func(i int, v value) float64 { return naive[i].Value[v.step] }
	trial := forecast.Trial{}
	for i, f := range r.days {
		for _, v := range d.came[f.Day] {
			if math.IsNaN(v.target) {
				r.Filled++
				continue
			}
			trial.Quantiles, trial.WeekQuantiles = append(trial.Quantiles, f.Quantiles[v.step]), append(trial.WeekQuantiles, naive[i].Quantiles[v.step])
		}
	}
	trial.Said, trial.Week, trial.Came = pick("", weekly)
	_, trial.Before, _ = pick("", func(i int, v value) float64 {
		s := &d.series
		return s.Target[(r.days[i].Day-1)*s.PerDay+v.step]
	})
	r.Figures = trial.Figures()
	for _, m := range months {
		x, z, y := pick(m, weekly)
		score := forecast.Compare(x, y)
		month := forecast.Month{Month: m, MAE: score.MAE, RMAE: forecast.Ratio(score.MAE, forecast.Compare(z, y).MAE), N: score.N}
		for _, o := range others {
			if x, z, y := pick(m, o.on); len(y) > 0 {
				if month.Against == nil {
					month.Against = map[string]float64{}
				}
				month.Against[o.name] = forecast.Ratio(forecast.Compare(x, y).MAE, forecast.Compare(z, y).MAE)
			}
		}
		r.Months = append(r.Months, month)
	}
	for _, o := range others {
		x, z, y := pick("", o.on)
		rival := forecast.Rival{Name: o.name, MAE: forecast.Compare(z, y).MAE, N: len(y)}
		rival.Ratio = forecast.Ratio(forecast.Compare(x, y).MAE, rival.MAE)
		rival.Statistic, rival.P = r.dieboldMariano(o)
		r.Against = append(r.Against, rival)
	}
}

// dieboldMariano tests over the days that both have in full, those of 23 and 25 hours left out.
func (r *Result) dieboldMariano(o other) (statistic, p float64) {
	perDay := r.data.series.PerDay
	var ours, theirs, truth []float64
	for _, f := range r.days {
		day := r.data.came[f.Day]
		if len(day) != perDay || slices.ContainsFunc(day, func(v value) bool { return math.IsNaN(v.target) || math.IsNaN(o.on(0, v)) }) {
			continue
		}
		for _, v := range day {
			ours, theirs, truth = append(ours, f.Value[v.step]), append(theirs, o.on(0, v)), append(truth, v.target)
		}
	}
	return forecast.DieboldMariano(ours, theirs, truth, perDay)
}

func (r *Result) begin(day int) time.Time { return r.data.first.AddDate(0, 0, day) }

// Print writes the result for people.
func (r *Result) Print(w io.Writer) {
	fmt.Fprintf(w, "%s to %s, %s\n", r.From, r.To, plural.Count(r.N, "step", "steps"))
	fmt.Fprintf(w, "MAE      %.4g, %.1f %% of the week before's %.4g; RMSE %.4g, sMAPE %.2f %%\n", r.MAE, 100*r.RMAE, r.MAENaive, r.RMSE, r.SMAPE)
	fmt.Fprintf(w, "         the day before's %.4g, skill against it %.3f\n", r.MAEBefore, r.SkillBefore)
	fmt.Fprintf(w, "pinball  %.4g, the week before's %.4g\n", r.Pinball, r.PinballNaive)
	for _, o := range r.Against {
		fmt.Fprintf(w, "%-10s MAE %.4g, ours %.1f %% of it; Diebold-Mariano %.2f, p %.3g\n", o.Name, o.MAE, 100*o.Ratio, o.Statistic, o.P)
	}
	for _, m := range r.Months {
		fmt.Fprintf(w, "%s  MAE %7.4g, rMAE %.3f", m.Month, m.MAE, m.RMAE)
		for _, o := range r.Against {
			if q, ok := m.Against[o.Name]; ok {
				fmt.Fprintf(w, ", %.3f of %s", q, o.Name)
			}
		}
		fmt.Fprintln(w)
	}
}

// WriteCSV writes the forecasts, a row for each step.
func (r *Result) WriteCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	head := []string{"time", "forecast"}
	for _, level := range forecast.Levels {
		head = append(head, fmt.Sprintf("q%02.0f", 100*level))
	}
	if err := c.Write(append(head, r.options.Target)); err != nil {
		return err
	}
	number := func(x float64) string { return strconv.FormatFloat(x, 'f', 4, 64) }
	for _, f := range r.days {
		for _, v := range r.data.came[f.Day] {
			row := []string{v.at.Format(time.RFC3339), number(f.Value[v.step])}
			for _, q := range f.Quantiles[v.step] {
				row = append(row, number(q))
			}
			truth := ""
			if !math.IsNaN(v.target) {
				truth = number(v.target)
			}
			if err := c.Write(append(row, truth)); err != nil {
				return err
			}
		}
	}
	c.Flush()
	return c.Error()
}
