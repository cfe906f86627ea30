package forecast

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
)

// ErrStopped: whoever asked for forecasts no longer wants them.
var ErrStopped = errors.New("interrupted")

// Play forecasts the days from to to, each from what was known the day before, and those of warm days before
// them, from which weights and quantiles are learned (at least MinWarm, as far as the series reaches). The days are
// shared among so many workers; none depends on another. It ends with ErrStopped when stop returns an error.
func Play(s *Series, from, to, warm, workers int, stop func() error) ([]Forecast, error) {
	if least := MinDays + MinWarm; from < least {
		return nil, fmt.Errorf("%d days are before the first that is forecast, and it is learned from %d at least", max(from, 0), least)
	}
	if to < from {
		return nil, errors.New("the last day that is forecast comes before the first")
	}
	first := max(MinDays, from-max(warm, MinWarm))
	if err := errors.Join(s.Check(first), s.Check(to)); err != nil {
		return nil, err
	}
	members := make([][][]float64, to-first+1)
	var (
		next atomic.Int64
		wg   sync.WaitGroup
	)
	stopped := func() bool { return stop != nil && stop() != nil }
	for range min(max(workers, 1), len(members)) {
		wg.Go(func() {
			for {
				i := int(next.Add(1) - 1)
				if i >= len(members) || stopped() {
					return
				}
				members[i] = Day(s, first+i)
			}
		})
	}
	wg.Wait()
	if stopped() {
		return nil, ErrStopped
	}
	return Combine(s, first, members)[from-first:], nil
}

// Trial is what came at steps, what a forecast had said of them, and what needs no forecast.
type Trial struct {
	Came          []float64
	Said          []float64
	Quantiles     [][]float64 // of what was said, by step, then level
	Week          []float64   // the target of the week before
	WeekQuantiles [][]float64 // with the quantiles of its own errors: NaiveQuantiles
	Before        []float64   // the target of the day before
}

// Add adds a whole day of a series, with what was said of it and the week before with its quantiles.
func (t *Trial) Add(s *Series, said, week Forecast) {
	t.Came = append(t.Came, s.day(s.Target, said.Day)...)
	t.Before = append(t.Before, s.day(s.Target, said.Day-1)...)
	t.Said, t.Quantiles = append(t.Said, said.Value...), append(t.Quantiles, said.Quantiles...)
	t.Week, t.WeekQuantiles = append(t.Week, week.Value...), append(t.WeekQuantiles, week.Quantiles...)
}

// Figures are the scores of a trial, in the target's unit where they have one.
type Figures struct {
	MAE          float64 `json:"mae"`
	RMAE         float64 `json:"rmae" doc:"mae / mae_naive"`
	MAEBefore    float64 `json:"mae_persistence" doc:"of the day before"`
	SkillBefore  float64 `json:"skill_persistence" doc:"1 − mae / mae_persistence"`
	SMAPE        float64 `json:"smape" doc:"%"`
	RMSE         float64 `json:"rmse"`
	Pinball      float64 `json:"pinball" doc:"mean over the levels"`
	N            int     `json:"n"`
	MAENaive     float64 `json:"mae_naive" doc:"of the week before"`
	PinballNaive float64 `json:"pinball_naive" doc:"of the week before, with the quantiles of its own errors"`
	Skill        float64 `json:"skill" doc:"1 − rmae"`
	SkillPinball float64 `json:"skill_pinball" doc:"1 − pinball / pinball_naive"`
}

// Figures scores the trial.
func (t *Trial) Figures() Figures {
	score, week, before := Compare(t.Said, t.Came), Compare(t.Week, t.Came), Compare(t.Before, t.Came)
	f := Figures{
		MAE: score.MAE, SMAPE: score.SMAPE, RMSE: score.RMSE, N: score.N,
		MAENaive: week.MAE, RMAE: Ratio(score.MAE, week.MAE), MAEBefore: before.MAE, SkillBefore: 1 - Ratio(score.MAE, before.MAE),
		Pinball: MeanPinball(Levels, t.Quantiles, t.Came), PinballNaive: MeanPinball(Levels, t.WeekQuantiles, t.Came),
	}
	f.Skill, f.SkillPinball = 1-f.RMAE, 1-Ratio(f.Pinball, f.PinballNaive)
	return f
}

// Month is the error of a month.
type Month struct {
	Month   string             `json:"month"`
	MAE     float64            `json:"mae"`
	RMAE    float64            `json:"rmae"`
	N       int                `json:"n"`
	Against map[string]float64 `json:"against,omitempty" doc:"ratio of our error to that of each rival"`
}

// Rival compares with a forecast of somebody else where both say something.
type Rival struct {
	Name      string  `json:"name"`
	MAE       float64 `json:"mae"`
	Ratio     float64 `json:"ratio" doc:"our error to that"`
	Statistic float64 `json:"dm" doc:"of Diebold and Mariano; negative where ours is better"`
	P         float64 `json:"p" doc:"of a statistic as low, were both equally good"`
	N         int     `json:"n"`
}

// Ratio is a to b, of errors: 1 of 0 to 0, and the most there is of something to 0.
func Ratio(a, b float64) float64 {
	if b == 0 {
		if a == 0 {
			return 1
		}
		return math.MaxFloat64
	}
	return a / b
}
