package worth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"yunchu/platform/market/plan"
)

// Realized is what a plan came to.
type Realized struct {
	PlanRealized
	Energy   []float64  // price that came, by interval
	Executed *plan.Plan // what planning again and again has done; nil: it was planned once
}

// Realize compares with what came: the same portfolio with other prices. With r it also plans again and again, with what is
// expected, whatever scenarios say. lacked are prices that did not come, and that actual has as they were expected.
func (o *Result) Realize(ctx context.Context, actual *plan.Portfolio, energy []float64, lacked []string, r *plan.Rolling) error {
	x := &Realized{PlanRealized: PlanRealized{Lacked: lacked}, Energy: energy}
	var failed error
	of := func(s *plan.Plan) float64 {
		m, err := actual.Settle(ctx, s)
		failed = errors.Join(failed, err)
		return m.Sum()
	}
	best, err := actual.Best(ctx)
	if err != nil {
		return err
	}
	x.Perfect, x.Plan = of(best), of(o.Plan)
	if o.Nothing != nil {
		nothing := of(&plan.Plan{Sites: make([]plan.SitePlan, len(actual.Sites))})
		x.Nothing = &nothing
	}
	if r != nil {
		expected := *o.Problem
		expected.Scenarios, expected.Risk = nil, plan.Risk{}
		if x.Executed, err = plan.Roll(ctx, &expected, actual, *r); err != nil {
			return err
		}
		rolling := of(x.Executed)
		x.Rolling = &rolling
	}
	o.Realized = x
	return failed
}

// Rolling is how far and how often is planned again.
type Rolling struct{ Horizon, Every, Known time.Duration }

// ParseRolling reads HORIZON/EVERY or HORIZON/EVERY/KNOWN, with durations as they are read elsewhere.
func ParseRolling(text string, parse func(string) (time.Duration, error)) (Rolling, error) {
	var list []time.Duration
	for part := range strings.SplitSeq(text, "/") {
		d, err := parse(part)
		if err != nil {
			break
		}
		list = append(list, d)
	}
	if len(list) == 2 {
		list = append(list, list[1])
	}
	if len(list) != 3 || list[1] <= 0 || list[0] < list[1] || list[2] < 0 || list[2] > list[0] {
		return Rolling{}, fmt.Errorf("rolling %s: write HORIZON/EVERY or HORIZON/EVERY/KNOWN, as 24h/15m or 24h/24h/0s", text)
	}
	return Rolling{list[0], list[1], list[2]}, nil
}

// In is the same in intervals, which it must be whole numbers of.
func (r Rolling) In(step time.Duration, keep float64) (*plan.Rolling, error) {
	for _, d := range []time.Duration{r.Horizon, r.Every, r.Known} {
		if d%step != 0 {
			return nil, fmt.Errorf("rolling: %v is no whole number of intervals of %v", d, step)
		}
	}
	return &plan.Rolling{Horizon: int(r.Horizon / step), Every: int(r.Every / step), Known: int(r.Known / step), Keep: keep}, nil
}
