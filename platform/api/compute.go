package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"
	_ "time/tzdata" // days of a zone are the same on a machine without a database of zones

	"github.com/danielgtaylor/huma/v2"

	"yunchu/platform/auth"
	"yunchu/platform/market"
)

// Bounds of what is computed for somebody: a year of quarter-hours, and for a forecast as many steps
// of a day as are worth the features that explain it (quarter-hours with nine columns).
const (
	maxIntervals = 366 * 96
	maxDesign    = 96 * 24 * 31
)

// maxComputing is how many answers are computed at a time, for one of those who ask each, and
// longestComputing how long an answer may take: what takes longer could not be written any more.
const (
	maxComputing     = 2
	longestComputing = 50 * time.Second
)

// calledUp and calledDown are the parts of regulation that are called on average where nobody says others, as for the commands.
const calledUp, calledDown = 0.30, 0.15

// computing is who has something computed now.
type computing struct {
	longest time.Duration // of an answer; 0: longestComputing

	mu  sync.Mutex
	who map[string]bool
}

// enter takes a place; it is not ok where there is none.
func (c *computing) enter(who string) (leave func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.who[who] || len(c.who) >= maxComputing {
		return nil, false
	}
	if c.who == nil {
		c.who = map[string]bool{}
	}
	c.who[who] = true
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.who, who)
	}, true
}

// compute takes a place for work that may keep a processor busy for seconds, for somebody who sees the
// whole plant. The context ends when the answer would come too late.
func (s *Server) compute(ctx context.Context) (until context.Context, release func(), err error) {
	by := callerOf(ctx)
	if !by.MayWhole(auth.Read) {
		return nil, nil, refuse(CodeForbidden, "a device token sees nothing but its device")
	}
	leave, ok := s.computing.enter(by.Name)
	if !ok {
		s.metrics.shed.heavy.Inc()
		return nil, nil, refuse(CodeOverload, "too much is computed at once: one answer for each who asks, and two at all")
	}
	until, cancel := context.WithTimeout(ctx, cmp.Or(s.computing.longest, longestComputing))
	return until, func() { cancel(); leave() }, nil
}

// late is why an answer is not there when the context of compute has ended, with what to do instead; nil: it has not.
func late(ctx context.Context, instead string) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return refuse(CodeInvalidRequest, fmt.Sprintf("it takes longer than %v: %s", longestComputing, instead))
	}
	return ctx.Err()
}

// sensible refuses values that no market or plant has, which would end in sums that are none.
func sensible(name string, lists ...[]float64) error {
	for _, list := range lists {
		for i, x := range list {
			if !(math.Abs(x) <= 1e9) {
				return refuse(CodeInvalidRequest, fmt.Sprintf("%s %d is %g: the most is 1e9 in either direction", name, i, x))
			}
		}
	}
	return nil
}

type backtestInput struct {
	Body struct {
		Start       time.Time `json:"start" doc:"begin of the first interval"`
		Minutes     int       `json:"interval_minutes,omitempty" enum:"5,15,30,60" default:"60" doc:"of an interval; 60 where it is left out, where a plan has 15"`
		Zone        string    `json:"time_zone,omitempty" example:"Europe/Berlin" doc:"whose days they are; default UTC"`
		Window      string    `json:"window,omitempty" enum:"daily,all" default:"daily" doc:"what is optimised as one, empty at both ends"`
		PowerKW     float64   `json:"power_kw" exclusiveMinimum:"0" doc:"of charge and of discharge"`
		EnergyKWh   float64   `json:"energy_kwh" exclusiveMinimum:"0" doc:"that can be taken out"`
		Efficiency  float64   `json:"efficiency,omitempty" exclusiveMinimum:"0" maximum:"1" default:"1" doc:"of charging"`
		Cost        float64   `json:"variable_cost,omitempty" minimum:"0" doc:"of each MWh sold"`
		Currency    string    `json:"currency,omitempty" maxLength:"16" default:"USD" doc:"of the prices; a name, nothing is converted"`
		Products    []string  `json:"products,omitempty" maxItems:"3" nullable:"false" enum:"energy,regup,regdown" doc:"what is sold, energy among it; default: all that has prices"`
		Energy      []float64 `json:"energy_per_mwh" minItems:"1" maxItems:"35136" nullable:"false" doc:"price of each interval"`
		RegUp       []float64 `json:"regup_per_mw,omitempty" maxItems:"35136" nullable:"false" doc:"price of regulation up, per MW and hour"`
		RegDown     []float64 `json:"regdown_per_mw,omitempty" maxItems:"35136" nullable:"false" doc:"of regulation down"`
		EnergyUp    *float64  `json:"regulation_energy_up,omitempty" minimum:"0" maximum:"1" doc:"part of regulation up that is called on average; default 0.30"`
		EnergyDown  *float64  `json:"regulation_energy_down,omitempty" minimum:"0" maximum:"1" doc:"of regulation down; default 0.15"`
		Duration    string    `json:"regulation_duration,omitempty" example:"30m" doc:"for which the whole of an offer must be possible; default 1h"`
		Hours       *float64  `json:"regulation_hours,omitempty" minimum:"0" doc:"the same in hours"`
		NotBalanced bool      `json:"regulation_not_balanced,omitempty" doc:"regulation may take in more than it gives, interval by interval"`
		Rows        bool      `json:"rows,omitempty" doc:"the answer has what each interval does"`
	}
}

// Backtest is what a battery would have earned.
type Backtest struct {
	Total    float64        `json:"total" doc:"revenue less the variable cost"`
	AtMost   float64        `json:"at_most" doc:"no plan earns more"`
	Currency string         `json:"currency"`
	Daily    []BacktestDay  `json:"daily" doc:"an entry for each window"`
	Rows     []BacktestStep `json:"rows,omitempty"`
}

// BacktestDay is a window of it.
type BacktestDay struct {
	Date      string  `json:"date"`
	Objective float64 `json:"objective"`
}

// BacktestStep is what the battery does in an interval.
type BacktestStep struct {
	Time      time.Time `json:"time"`
	PowerKW   float64   `json:"power_kw" doc:"+ charges; regulation left out"`
	RegUpKW   float64   `json:"regup_kw,omitempty"`
	RegDownKW float64   `json:"regdown_kw,omitempty"`
	StoredKWh float64   `json:"stored_kwh" doc:"at the begin"`
	Earned    float64   `json:"earned"`
}

type backtestOutput struct{ Body Backtest }

// regulation is what is offered of it.
func (in *backtestInput) regulation() (r market.Regulation, err error) {
	q := &in.Body
	r = market.Regulation{Up: len(q.RegUp) > 0, Down: len(q.RegDown) > 0, EnergyUp: calledUp, EnergyDown: calledDown, Hours: 1, Balanced: !q.NotBalanced}
	if len(q.Products) > 0 {
		sold := func(name string, prices []float64) bool {
			if !slices.Contains(q.Products, name) {
				return false
			}
			if len(prices) == 0 {
				err = fmt.Errorf("products has %s: its prices are in %s_per_mw", name, name)
			}
			return true
		}
		if !slices.Contains(q.Products, "energy") {
			return r, errors.New("products without energy: what regulation takes has to be bought")
		}
		r.Up, r.Down = sold("regup", q.RegUp), sold("regdown", q.RegDown)
	}
	if q.EnergyUp != nil {
		r.EnergyUp = *q.EnergyUp
	}
	if q.EnergyDown != nil {
		r.EnergyDown = *q.EnergyDown
	}
	switch {
	case q.Duration != "" && q.Hours != nil:
		return r, errors.New("regulation_duration and regulation_hours are the same: keep one")
	case q.Hours != nil:
		r.Hours = *q.Hours
	case q.Duration != "":
		d, wrong := time.ParseDuration(q.Duration)
		if wrong != nil || d < 0 {
			return r, fmt.Errorf("regulation_duration %s: write it as 1h or 30m", quote(q.Duration))
		}
		r.Hours = d.Hours()
	}
	return r, err
}

func (s *Server) backtest(ctx context.Context, in *backtestInput) (*backtestOutput, error) {
	ctx, release, err := s.compute(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	q := &in.Body
	if err := sensible("price", q.Energy, q.RegUp, q.RegDown); err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(q.Zone)
	if err != nil || q.Zone == "Local" {
		return nil, refuse(CodeInvalidRequest, "time_zone "+quote(q.Zone)+" is no zone: write it as Europe/Berlin")
	}
	r, err := in.regulation()
	if err != nil {
		return nil, refuse(CodeInvalidRequest, err.Error())
	}
	b := market.Battery{PowerMW: q.PowerKW / 1000, EnergyMWh: q.EnergyKWh / 1000, Efficiency: q.Efficiency, VariableCost: q.Cost}
	p := market.Prices{Hours: float64(q.Minutes) / 60, Energy: q.Energy}
	if r.Up {
		p.RegUp = q.RegUp
	}
	if r.Down {
		p.RegDown = q.RegDown
	}
	step := time.Duration(q.Minutes) * time.Minute
	at := make([]time.Time, len(q.Energy))
	for i := range at {
		at[i] = q.Start.Add(time.Duration(i) * step).In(zone)
	}
	list, err := market.Backtest(ctx, b, r, at, p, market.Window(q.Window))
	if err != nil {
		return nil, cmp.Or[error](late(ctx, "ask for fewer intervals, or for windows of a day; yunchu market backtest takes its time"), refuse(CodeInvalidRequest, err.Error()))
	}
	out := &backtestOutput{Backtest{Currency: q.Currency}}
	from := 0
	for _, w := range list {
		out.Body.Total += w.Objective
		out.Body.AtMost += w.AtMost
		out.Body.Daily = append(out.Body.Daily, BacktestDay{w.Date, w.Objective})
		for t, x := range w.Plan.Charge {
			if !q.Rows {
				break
			}
			out.Body.Rows = append(out.Body.Rows, BacktestStep{
				Time: at[from+t].UTC(), PowerKW: 1000 * (x - w.Plan.Discharge[t]), StoredKWh: 1000 * w.Plan.Stored[t], Earned: w.Plan.Earned[t],
				RegUpKW: 1000 * (w.Plan.UpCharge[t] + w.Plan.UpDischarge[t]), RegDownKW: 1000 * (w.Plan.DownCharge[t] + w.Plan.DownDischarge[t]),
			})
		}
		from += len(w.Plan.Charge)
	}
	return out, nil
}

func (s *Server) computeRoutes() {
	guarded(s, auth.Read, huma.Operation{
		OperationID: "market-backtest", Method: http.MethodPost, Path: "/api/v1/market/backtest", Tags: []string{"market"},
		Summary:     "What a battery would have earned, prices being known",
		Description: "Each window is optimised by itself, the battery empty at both ends; at_most is a bound that no plan passes. Amounts are in the currency of the prices.",
	}, s.backtest)
	guarded(s, auth.Read, huma.Operation{
		OperationID: "forecast", Method: http.MethodPost, Path: "/api/v1/forecast", Tags: []string{"market"},
		Summary:     "Forecast the day after the last one of a series, with quantiles",
		Description: "The series may be a price, a load or a production. It takes about half a second of a processor for each year of hours.",
	}, s.forecast)
	guarded(s, auth.Read, huma.Operation{
		OperationID: "forecast-backtest", Method: http.MethodPost, Path: "/api/v1/forecast/backtest", Tags: []string{"market"},
		Summary:     "Forecast each day of a past period from the days before it, and score that",
		Description: "Every day is calibrated anew, and so are 56 days before the first one, from which weights and quantiles are learned. A day of hours with two columns and four years before it takes about a third of a second of a processor.",
	}, s.forecastBacktest)
	guarded(s, auth.Read, huma.Operation{
		OperationID: "settle-score", Method: http.MethodPost, Path: "/api/v1/settle/score", Tags: []string{"market"},
		Summary: "Score how a regulation signal was followed, by a market's rule",
	}, s.score)
	guarded(s, auth.Read, huma.Operation{
		OperationID: "settle-bill", Method: http.MethodPost, Path: "/api/v1/settle/bill", Tags: []string{"market"},
		Summary:     "Bill what devices have measured, by a rule",
		Description: "The readings are those of the history, integrated by trapezoids; only good ones count. Simulated ones are refused, unless pro_forma asks what a bill would be. It is compared with claims, and booked in a ledger that the caller keeps.",
	}, s.bill)
	guarded(s, auth.Read, huma.Operation{
		OperationID: "settle-ledger", Method: http.MethodPost, Path: "/api/v1/settle/ledger", Tags: []string{"market"},
		Summary:     "Prove a ledger, and say what is on its accounts",
		Description: "Entries have their place and follow from one another by their hashes, and postings balance. The ledger is the caller's; nothing of it is kept here.",
	}, s.ledger)
}
