package plan

import (
	"context"
	"slices"
)

// Settle is what a schedule earns with the prices, loads and production of p, which need not be
// those that it was made with: batteries do what the schedule says and keep what it has offered; only
// PV is turned down anew, within limits that hold with all of that called. Capacity that Roll has sold and the schedule does
// not keep costs its penalty, or NotKept. Prices that the schedule did not know are put into p for that. It fails with
// lp.ErrInfeasible where limits are passed, which is a *TooClose where PV need not be turned down.
func (p *Portfolio) Settle(ctx context.Context, s *Plan) (Money, error) {
	if err := p.check(); err != nil {
		return Money{}, err
	}
	if len(s.Sites) != len(p.Sites) {
		return Money{}, wrong("a schedule of %d sites for %d", len(s.Sites), len(p.Sites))
	}
	rest := *p
	rest.Sites, rest.Products, rest.Risk, rest.Weights = slices.Clone(p.Sites), nil, Risk{}, Even
	rest.Scenarios = slices.Clone(p.Scenarios)
	for k := range rest.Scenarios {
		rest.Scenarios[k].Sites = slices.Clone(rest.Scenarios[k].Sites)
	}
	var earned Money
	room := 0.0
	for i := range rest.Sites {
		site, moves := &rest.Sites[i], &s.Sites[i]
		b := site.Battery
		site.Battery = Battery{}
		if !b.there() || moves.Charge == nil {
			continue
		}
		// What the solver leaves of a limit is not its breach.
		slack := nothing * (1 + b.ChargeMW + b.DischargeMW)
		site.ImportMW, site.ExportMW, room = site.ImportMW+slack, site.ExportMW+slack, room+slack
		taken := make([]float64, p.Intervals)
		site.more, site.less = make([]float64, p.Intervals), make([]float64, p.Intervals)
		for t := range taken {
			taken[t] = moves.Charge[t] - moves.Discharge[t]
			earned.Wear -= moves.Wear[t]
			called := 0.0
			for k, x := range p.Products {
				offered := moves.Offers[k][t]
				earned.Products += p.Hours * x.Price[t] * offered
				if x.Up {
					site.less[t] += offered
					offered = -offered
				} else {
					site.more[t] += offered
				}
				called += x.Called * offered
			}
			// Beside what is called on average.
			taken[t] += called
			site.more[t], site.less[t] = max(0, site.more[t]-called), max(0, site.less[t]+called)
		}
		earned.Ending += b.End.Price * (moves.Stored[p.Intervals] - b.Start)
		site.Load = added(site.Load, taken)
		for k := range rest.Scenarios {
			o := &rest.Scenarios[k].Sites[i]
			o.Load = added(o.Load, taken)
		}
	}
	rest.Limits = slices.Clone(p.Limits)
	for k := range rest.Limits {
		rest.Limits[k].ImportMW, rest.Limits[k].ExportMW = rest.Limits[k].ImportMW+room, rest.Limits[k].ExportMW+room
	}
	for k, x := range p.Products {
		if s.Sold != nil {
			if x.Committed = s.Sold[k]; x.Penalty == 0 {
				x.Penalty = NotKept(x.Price)
			}
		}
		for t := range x.Committed {
			kept := 0.0
			for i := range s.Sites {
				if s.Sites[i].Offers != nil {
					kept += s.Sites[i].Offers[k][t]
				}
			}
			earned.Products -= p.Hours * x.Penalty * max(0, x.Committed[t]-kept)
		}
	}
	if err := rest.tooClose(); err != nil {
		return Money{}, err
	}
	f, bound, nodes, err := search(ctx, &rest, aim{})
	if err != nil {
		return Money{}, err
	}
	t := f.plan(bound, nodes).Totals
	t.Wear, t.Products, t.Ending = earned.Wear, earned.Products, earned.Ending
	return t, nil
}

// Idle is what comes of leaving all batteries alone.
func (p *Portfolio) Idle(ctx context.Context) (Money, error) {
	return p.Settle(ctx, &Plan{Sites: make([]SitePlan, len(p.Sites))})
}

// added is a load with what a battery takes; a nil load is none.
func added(load, taken []float64) []float64 {
	out := slices.Clone(taken)
	for t := range load {
		out[t] += load[t]
	}
	return out
}
