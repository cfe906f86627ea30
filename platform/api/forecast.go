package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"yunchu/platform/forecast"
	"yunchu/platform/plural"
)

// maxPlayed is how many days a backtest forecasts at most.
const maxPlayed = 366

// ForecastSeries is what a forecast learns from.
type ForecastSeries struct {
	First  string      `json:"first_day" format:"date" doc:"the first day of the series"`
	PerDay int         `json:"per_day" minimum:"1" maximum:"1440" doc:"steps of a day"`
	Target []float64   `json:"target" minItems:"1" maxItems:"43920" nullable:"false" doc:"whole days, oldest first"`
	Exog   [][]float64 `json:"exog,omitempty" maxItems:"16" nullable:"false" doc:"columns that are known beforehand: as long as the target, and a day longer where the day after it is forecast"`
}

// series checks what was sent, of which columns are so many days longer than the target. The target of those
// days is not read.
func (q *ForecastSeries) series(longer int) (s *forecast.Series, first time.Time, err error) {
	if err := errors.Join(sensible("target", q.Target), sensible("exog", q.Exog...)); err != nil {
		return nil, first, err
	}
	if q.PerDay*24*(4+3*len(q.Exog)) > maxDesign {
		return nil, first, refuse(CodeInvalidRequest, fmt.Sprintf("%s a day with %s are more than is computed here: yunchu forecast does it", countSteps(q.PerDay), plural.Count(len(q.Exog), "column", "columns")))
	}
	if first, err = time.Parse(time.DateOnly, q.First); err != nil {
		return nil, first, refuse(CodeInvalidRequest, "first_day "+quote(q.First)+": write it as 2017-01-31")
	}
	n := len(q.Target)
	if n%q.PerDay != 0 {
		return nil, first, refuse(CodeInvalidRequest, fmt.Sprintf("target has %s, which is no number of whole days of %d", countSteps(n), q.PerDay))
	}
	whole := n + longer*q.PerDay
	for i, x := range q.Exog {
		if len(x) != whole {
			return nil, first, refuse(CodeInvalidRequest, fmt.Sprintf("exog column %d has %s, and must have %d: those of the target and of each day that is forecast", i, countSteps(len(x)), whole))
		}
	}
	return &forecast.Series{
		PerDay: q.PerDay, Weekday: int(first.Weekday()), Exog: q.Exog, Target: append(q.Target[:n:n], make([]float64, whole-n)...),
	}, first, nil
}

func countSteps(n int) string { return plural.Count(n, "step", "steps") }

// played is an error of forecast.Play for who asked.
func played(ctx context.Context, err error) error {
	return cmp.Or[error](late(ctx, "ask for fewer days, or from a shorter series; yunchu forecast takes its time"), refuse(CodeInvalidRequest, err.Error()))
}

type forecastInput struct{ Body ForecastSeries }

// Forecast is what is said of a day.
type Forecast struct {
	Day       string      `json:"day"`
	Levels    []float64   `json:"levels" doc:"of the quantiles"`
	Value     []float64   `json:"forecast" doc:"by step"`
	Quantiles [][]float64 `json:"quantiles" doc:"by step, then level"`
}

type forecastOutput struct{ Body Forecast }

func (s *Server) forecast(ctx context.Context, in *forecastInput) (*forecastOutput, error) {
	ctx, release, err := s.compute(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	q := &in.Body
	series, first, err := q.series(1)
	if err != nil {
		return nil, err
	}
	day := len(q.Target) / q.PerDay
	if least := forecast.MinDays + forecast.MinWarm; day < least {
		return nil, refuse(CodeInvalidRequest, fmt.Sprintf("target has %s, and a forecast with its quantiles is learned from %d at least", plural.Count(day, "day", "days"), least))
	}
	said, err := forecast.Play(series, day, day, forecast.Warm, 1, ctx.Err)
	if err != nil {
		return nil, played(ctx, err)
	}
	return &forecastOutput{Forecast{
		Day: first.AddDate(0, 0, day).Format(time.DateOnly), Levels: forecast.Levels, Value: said[0].Value, Quantiles: said[0].Quantiles,
	}}, nil
}

type playInput struct {
	Body struct {
		ForecastSeries
		From    string      `json:"from" format:"date" doc:"the first day that is forecast: 49 are before it at least"`
		To      string      `json:"to,omitempty" format:"date" doc:"the last one; default: the last of the series"`
		Against []playRival `json:"against,omitempty" maxItems:"16" nullable:"false" doc:"forecasts of others of the same days"`
		Rows    bool        `json:"rows,omitempty" doc:"the answer has the forecast of each day"`
	}
}

type playRival struct {
	Name   string    `json:"name"`
	Values []float64 `json:"values" maxItems:"43920" nullable:"false" doc:"by step, from the first to the last day"`
}

// Played is how good forecasts of past days were.
type Played struct {
	From string `json:"from"`
	To   string `json:"to"`
	forecast.Figures
	Months  []forecast.Month `json:"months"`
	Against []forecast.Rival `json:"against,omitempty"`
	Levels  []float64        `json:"levels,omitempty" doc:"of the quantiles of rows"`
	Rows    []PlayedDay      `json:"rows,omitempty"`
}

// PlayedDay is what was said of one of them.
type PlayedDay struct {
	Day       string      `json:"day"`
	Value     []float64   `json:"forecast" doc:"by step"`
	Quantiles [][]float64 `json:"quantiles" doc:"by step, then level"`
}

type playOutput struct{ Body Played }

func (s *Server) forecastBacktest(ctx context.Context, in *playInput) (*playOutput, error) {
	ctx, release, err := s.compute(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	q := &in.Body
	series, first, err := q.series(0)
	if err != nil {
		return nil, err
	}
	from, to := 0, series.Days()-1
	for _, x := range []struct {
		name, text string
		day        *int
	}{{"from", q.From, &from}, {"to", q.To, &to}} {
		if x.text == "" {
			continue
		}
		at, err := time.Parse(time.DateOnly, x.text)
		if err != nil {
			return nil, refuse(CodeInvalidRequest, x.name+" "+quote(x.text)+": write it as 2017-01-31")
		}
		*x.day = int(at.Sub(first) / (24 * time.Hour))
	}
	day := func(d int) time.Time { return first.AddDate(0, 0, d) }
	switch earliest, last := forecast.MinDays+forecast.MinWarm, series.Days()-1; {
	case from < earliest || from > last:
		return nil, refuse(CodeInvalidRequest, fmt.Sprintf("from is %s, and the series allows %s to %s: %d days are learned from before the first forecast", q.From, day(earliest).Format(time.DateOnly), day(last).Format(time.DateOnly), earliest))
	case to < from || to > last:
		return nil, refuse(CodeInvalidRequest, fmt.Sprintf("to is %s, and has to be from %s to %s", q.To, q.From, day(last).Format(time.DateOnly)))
	case to-from >= maxPlayed:
		return nil, refuse(CodeInvalidRequest, fmt.Sprintf("from %s to %s are %d days, and %d are forecast at most here: yunchu forecast backtest takes more", q.From, day(to).Format(time.DateOnly), to-from+1, maxPlayed))
	}
	steps := (to - from + 1) * q.PerDay
	for _, x := range q.Against {
		if err := sensible(quote(x.Name), x.Values); err != nil {
			return nil, err
		}
		if len(x.Values) != steps {
			return nil, refuse(CodeInvalidRequest, fmt.Sprintf("the forecast of %s has %s, and the days %d", quote(x.Name), countSteps(len(x.Values)), steps))
		}
	}
	days, err := forecast.Play(series, from, to, forecast.Warm, 1, ctx.Err)
	if err != nil {
		return nil, played(ctx, err)
	}
	out := &playOutput{Played{From: day(from).Format(time.DateOnly), To: day(to).Format(time.DateOnly)}}
	whole, month := &forecast.Trial{}, &forecast.Trial{}
	weekly := forecast.NaiveQuantiles(series, from, to)
	for i, f := range days {
		for _, t := range []*forecast.Trial{whole, month} {
			t.Add(series, f, weekly[i])
		}
		if name := day(f.Day).Format("2006-01"); i == len(days)-1 || day(f.Day+1).Format("2006-01") != name {
			x := month.Figures()
			out.Body.Months = append(out.Body.Months, forecast.Month{Month: name, MAE: x.MAE, RMAE: x.RMAE, N: x.N})
			month = &forecast.Trial{}
		}
		if q.Rows {
			out.Body.Rows = append(out.Body.Rows, PlayedDay{day(f.Day).Format(time.DateOnly), f.Value, f.Quantiles})
		}
	}
	out.Body.Figures = whole.Figures()
	for _, x := range q.Against {
		r := forecast.Rival{Name: x.Name, MAE: forecast.Compare(x.Values, whole.Came).MAE, N: steps}
		r.Ratio = forecast.Ratio(out.Body.MAE, r.MAE)
		r.Statistic, r.P = forecast.DieboldMariano(whole.Said, x.Values, whole.Came, q.PerDay)
		out.Body.Against = append(out.Body.Against, r)
	}
	if q.Rows {
		out.Body.Levels = slices.Clone(forecast.Levels)
	}
	return out, nil
}
