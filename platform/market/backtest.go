package market

import (
	"context"
	"fmt"
	"math"
	"time"
)

// Window is what is optimised as one: the battery is empty at both ends.
type Window string

// The windows of a backtest.
const (
	Daily Window = "daily" // each day, of the zone that the instants carry
	All   Window = "all"   // everything
)

// Result is what one window of a backtest would have earned.
type Result struct {
	Date      string // the first day
	Objective float64
	AtMost    float64 // no plan earns more
	Plan      *Plan
}

// Backtest is what a battery would have earned at most, prices being known: the optimum of each
// window. The instants are the begins of the intervals, p.Hours apart. A day may lack some: the
// battery sits them out. What is optimised as one has no gap.
func Backtest(ctx context.Context, b Battery, r Regulation, at []time.Time, p Prices, w Window) ([]Result, error) {
	if len(at) != len(p.Energy) {
		return nil, fmt.Errorf("%w: %d instants for %d prices", ErrPrices, len(at), len(p.Energy))
	}
	if err := p.check(r); err != nil {
		return nil, err
	}
	const day = time.DateOnly
	step := time.Duration(math.Round(p.Hours * float64(time.Hour)))
	var out []Result
	for from := 0; from < len(at); {
		to := from + 1
		for to < len(at) && (w == All || at[to].Format(day) == at[from].Format(day)) {
			if d := at[to].Sub(at[to-1]); d != step && (w == All || d <= 0 || d%step != 0) {
				return nil, fmt.Errorf("%w: after %s comes %s, where there is one every %v", ErrPrices, at[to-1].Format(time.RFC3339), at[to].Format(time.RFC3339), step)
			}
			to++
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		plan, err := Best(ctx, b, r, p.part(from, to))
		if err != nil {
			return nil, fmt.Errorf("from %s on: %w", at[from].Format(day), err)
		}
		out = append(out, Result{at[from].Format(day), plan.Value, plan.AtMost, plan})
		from = to
	}
	return out, nil
}

// Incomplete are the days, of the zone that the instants carry, that have other than all of their
// intervals, from the first instant's to the last one's. A day of 23 or 25 hours has that many.
func Incomplete(at []time.Time, step time.Duration) (days []string) {
	if len(at) == 0 {
		return nil
	}
	zone, last := at[0].Location(), at[len(at)-1]
	begin := func(days int) time.Time {
		y, m, d := at[0].Date()
		t := time.Date(y, m, d+days, 0, 0, 0, 0, zone)
		if t.Day() != time.Date(y, m, d+days, 12, 0, 0, 0, zone).Day() { // the clock has left midnight out
			t = t.Add(time.Hour)
		}
		return t
	}
	k := 0
	for i := 0; !begin(i).After(last); i++ {
		from, to := begin(i), begin(i+1)
		n := k
		for k < len(at) && at[k].Before(to) {
			k++
		}
		if time.Duration(k-n)*step != to.Sub(from) {
			days = append(days, from.Format(time.DateOnly))
		}
	}
	return days
}

// part are the prices of the intervals from, to, the last one left out.
func (p *Prices) part(from, to int) Prices {
	out := Prices{Hours: p.Hours, Energy: p.Energy[from:to]}
	if p.RegUp != nil {
		out.RegUp = p.RegUp[from:to]
	}
	if p.RegDown != nil {
		out.RegDown = p.RegDown[from:to]
	}
	return out
}
