// Package planning makes a plan from files: a portfolio, prices, and what is known of how they may
// come. It writes what comes of it as CSV, JSON and a page. The optimisation is platform/market/plan's.
package planning

import (
	"context"
	"errors"
	"fmt"
	"time"

	"yunchu/harness/scenario"
	"yunchu/platform/market/lp"
	"yunchu/platform/market/plan"
	"yunchu/platform/market/plan/worth"
	"yunchu/platform/plural"
)

// Options are what is asked for.
type Options struct {
	Portfolio *scenario.Portfolio
	From, To  time.Time // of the prices; zero: all of them
	Nodes     int       // of the search; 0: as the package has it

	Committed string // CSV of what has been sold before: time, target_kw, regup_kw, regdown_kw, reserve_kw

	// Scenarios is a CSV of prices that may come: a column each, or columns q05 … q95 of quantiles, from which
	// Draws are drawn with Seed.
	Scenarios string
	Draws     int
	Seed      uint64
	// Tail is what the worst outcomes count (β), those of the part 1−Level. Budget is in how many
	// intervals prices go against the plan at once, as far as Scenarios says.
	Tail, Level, Budget float64

	// Actual is a CSV of the prices that came, in ActualColumn, or as a file of prices has them.
	Actual, ActualColumn string
	Front                plan.Measure
	Points               int
	// Rolling is that of planning again and again against Actual, whose prices are known for
	// Known each time; zero: once.
	Rolling worth.Rolling
	Keep    float64 // what is left of an error of what was expected after an hour, 0..1
}

// Result is a plan and what is to be said of it.
type Result struct {
	worth.Result
	Options Options
	Market  *Prices
}

// Run makes a plan. Its errors are scenario.Faults, and those of what cannot be planned.
func Run(ctx context.Context, o Options) (*Result, error) {
	prices, err := readPrices(o.Portfolio.Prices, "", o.Portfolio, o.From, o.To, false)
	if err != nil {
		return nil, err
	}
	if (o.Front == plan.Carbon || o.Portfolio.CarbonPrice > 0) && prices.Carbon == nil {
		return nil, scenario.Faults{{Path: o.Portfolio.Prices, Msg: "there is no column " + carbonColumn, Hint: "it says how many tonnes each MWh that is taken makes"}}
	}
	var again *plan.Rolling
	if o.Rolling != (worth.Rolling{}) {
		if again, err = o.Rolling.In(prices.Step, o.Keep); err != nil {
			return nil, scenario.Faults{{Path: o.Portfolio.Prices, Msg: "--" + err.Error(), Hint: fmt.Sprintf("as in --rolling %v/%v", 24*prices.Step, prices.Step)}}
		}
	}
	if o.Front != "" && (o.Tail > 0 || o.Budget > 0) {
		return nil, errors.New("--pareto draws what is earned on average: it goes with --scenarios, and with neither --cvar nor --robust")
	}
	p, err := build(o.Portfolio, prices)
	if err != nil {
		return nil, err
	}
	p.Nodes = o.Nodes
	r := &Result{Options: o, Market: prices, Result: worth.Result{
		At: prices.At, Step: prices.Step, Energy: prices.Energy, Carbon: prices.Carbon != nil, Currency: o.Portfolio.Currency, Problem: p, Measure: o.Front,
	}}
	if o.Committed != "" {
		if err := o.commit(p, prices); err != nil {
			return nil, err
		}
	}
	if o.Scenarios != "" {
		if err := o.uncertain(p, prices); err != nil {
			return nil, err
		}
	}
	if r.Plan, err = p.Best(ctx); err != nil {
		return nil, said(err)
	}
	idle, err := p.Idle(ctx)
	switch {
	case err == nil:
		x := idle.Sum()
		r.Nothing = &x
	case !errors.Is(err, lp.ErrInfeasible):
		return nil, said(err)
	}
	if o.Front != "" {
		alone := *p
		alone.Risk = plan.Risk{}
		if r.Front, err = alone.Front(ctx, o.Front, o.Points); err != nil {
			return nil, said(err)
		}
	}
	if o.Actual != "" {
		if err := r.realize(ctx, again); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// said is an error of the optimisation in words for those who wrote the portfolio.
func said(err error) error {
	if _, named := errors.AsType[*plan.TooClose](err); named {
		return fmt.Errorf("no plan keeps to all limits: %w", err)
	} else if _, named := errors.AsType[*plan.OutOfReach](err); named {
		return fmt.Errorf("no plan keeps to all limits: %w", err)
	} else if errors.Is(err, lp.ErrInfeasible) {
		return fmt.Errorf("no plan keeps to all limits: look at import and export limits against load and PV, and at what is to be stored at the end (%w)", err)
	}
	return err
}

// realize compares with the prices that came.
func (r *Result) realize(ctx context.Context, again *plan.Rolling) error {
	o := &r.Options
	column := o.ActualColumn
	if column == "" {
		column = energyColumn
	}
	came, err := readPrices(o.Actual, column, o.Portfolio, r.Market.At[0], r.Market.end(), true)
	if err != nil {
		return err
	}
	if len(came.At) != len(r.Market.At) || !came.At[0].Equal(r.Market.At[0]) || came.Step != r.Market.Step {
		return scenario.Faults{{Path: o.Actual, Msg: fmt.Sprintf("the prices that came have %s of %v from %s, those of the plan %d of %v from %s", plural.Count(len(came.At), "interval", "intervals"), came.Step, came.At[0].Format(time.RFC3339),
			len(r.Market.At), r.Market.Step, r.Market.At[0].Format(time.RFC3339)), Hint: "both files have the same intervals"}}
	}
	lacked := came.fill(r.Market)
	actual, err := build(o.Portfolio, came)
	if err != nil {
		return err
	}
	actual.Nodes = o.Nodes
	if err := r.Realize(ctx, actual, came.Energy, lacked, again); err != nil {
		return said(err)
	}
	return nil
}
