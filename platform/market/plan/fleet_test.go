package plan_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"yunchu/platform/market/lp"
	"yunchu/platform/market/plan"
)

// fleet is sites with batteries of their own, loads, PV, tariffs and a feeder in common.
func fleet(sites, intervals int, seed uint64) plan.Portfolio {
	rng := rand.New(rand.NewPCG(seed, 7))
	prices := wave(intervals, seed)
	p := plan.Portfolio{Hours: 24 / float64(intervals), Intervals: intervals, Weights: plan.Even}
	feeder := plan.Limit{Name: "feeder", ImportMW: 0.9 * float64(sites), ExportMW: 0.3 * float64(sites)}
	for i := range sites {
		s := plan.Site{Name: string(rune('a' + i%26)), ImportMW: 2, ExportMW: 1, Curtail: true}
		s.Battery = plan.Battery{ChargeMW: 0.5 + rng.Float64(), DischargeMW: 0.5 + rng.Float64(), MWh: 2 + 2*rng.Float64(), In: 0.9 + 0.05*rng.Float64(), Out: 0.95}
		b := &s.Battery
		b.Least, b.Most = 0.1*b.MWh, 0.9*b.MWh
		b.Start, b.End = 0.5*b.MWh, plan.End{Least: 0.5 * b.MWh, Most: 0.5 * b.MWh}
		b.Wear = []plan.Segment{{To: 0.3, PerMWh: 2}, {To: 0.6, PerMWh: 4}, {To: 1, PerMWh: 9}}
		for t := range intervals {
			s.Buy, s.Sell = append(s.Buy, prices[t]+15), append(s.Sell, prices[t]-2)
			s.Load = append(s.Load, 0.4+0.2*rng.Float64())
			s.PV = append(s.PV, 0.8*max(0, math.Sin(2*math.Pi*(float64(t)/float64(intervals)-0.25)))*rng.Float64())
		}
		feeder.Sites = append(feeder.Sites, i)
		p.Sites = append(p.Sites, s)
	}
	p.Limits = []plan.Limit{feeder}
	return p
}

// TestFleet: a feeder in common is kept; nothing changes with the order of sites, with the unit of money or of
// power; and a tighter limit does not help.
func TestFleet(t *testing.T) {
	if testing.Short() {
		t.Skip("TestApart plans as many sites at once, and these six times in other units")
	}
	base := fleet(4, 24, 1)
	got := solved(t, &base)
	kept(t, &base, got)
	if idle, err := base.Idle(t.Context()); err != nil || idle.Sum() > got.Value+1e-6 {
		t.Errorf("nothing is worth %v (%v), the plan %v", idle.Sum(), err, got.Value)
	}

	turned := fleet(4, 24, 1)
	turned.Sites[0], turned.Sites[3] = turned.Sites[3], turned.Sites[0]
	near(t, "another order", solved(t, &turned).Value, got.Value, 1e-6)

	dear := fleet(4, 24, 1)
	for i := range dear.Sites {
		s := &dear.Sites[i]
		for k := range s.Buy {
			s.Buy[k], s.Sell[k] = 7*s.Buy[k], 7*s.Sell[k]
		}
		for j := range s.Battery.Wear {
			s.Battery.Wear[j].PerMWh *= 7
		}
	}
	near(t, "other money", solved(t, &dear).Value, 7*got.Value, 1e-6)

	large := fleet(4, 24, 1)
	for i := range large.Sites {
		s := &large.Sites[i]
		b := &s.Battery
		for _, x := range []*float64{
			&s.ImportMW, &s.ExportMW, &b.ChargeMW, &b.DischargeMW, &b.MWh, &b.Least, &b.Most, &b.Start, &b.End.Least, &b.End.Most,
		} {
			*x *= 100
		}
		for k := range s.Load {
			s.Load[k], s.PV[k] = 100*s.Load[k], 100*s.PV[k]
		}
	}
	large.Limits[0].ImportMW, large.Limits[0].ExportMW = 100*large.Limits[0].ImportMW, 100*large.Limits[0].ExportMW
	near(t, "larger sites", solved(t, &large).Value, 100*got.Value, 1e-6)

	before := got.Value
	for _, share := range []float64{0.9, 0.7} {
		tight := fleet(4, 24, 1)
		tight.Limits[0].ImportMW *= share
		got := solved(t, &tight)
		kept(t, &tight, got)
		if got.Value > before+1e-5 {
			t.Errorf("with %v of the feeder it is worth %v, more than %v", share, got.Value, before)
		}
		before = got.Value
	}
	closed := fleet(4, 24, 1)
	closed.Limits[0].ImportMW = 0.01
	if _, err := closed.Best(t.Context()); !errors.Is(err, lp.ErrInfeasible) {
		t.Errorf("through a feeder of nothing: %v", err)
	}
}

// TestApart: sites that nothing ties together are planned one by one, which changes nothing: with a limit
// that binds nobody they are planned as one.
func TestApart(t *testing.T) {
	intervals := 24
	if testing.Short() {
		intervals = 8
	}
	alone := fleet(4, intervals, 6)
	pair := plan.Limit{Name: "pair", Sites: []int{1, 3}, ImportMW: 1.2, ExportMW: math.Inf(1)}
	alone.Limits = []plan.Limit{pair}
	tied := fleet(4, intervals, 6)
	tied.Limits = []plan.Limit{pair, {Name: "all", Sites: []int{0, 1, 2, 3}, ImportMW: 100, ExportMW: 100}}
	one, two := solved(t, &alone), solved(t, &tied)
	kept(t, &alone, one)
	near(t, "value", one.Value, two.Value, 1e-7)
	near(t, "energy", one.Totals.Energy, two.Totals.Energy, 1e-5)
	if one.Bounds[0].Of != two.Bounds[0].Of {
		t.Errorf("%+v binds most, and %+v", one.Bounds[0], two.Bounds[0])
	}
}

// TestEqualBatteriesAreAlike: a battery split in two is worth the same, and both halves do the same.
func TestEqualBatteriesAreAlike(t *testing.T) {
	whole := fleet(1, 48, 3)
	halves := fleet(1, 48, 3)
	s := &halves.Sites[0]
	b := &s.Battery
	for _, x := range []*float64{
		&s.ImportMW, &s.ExportMW, &b.ChargeMW, &b.DischargeMW, &b.MWh, &b.Least, &b.Most, &b.Start, &b.End.Least, &b.End.Most,
	} {
		*x /= 2
	}
	for k := range s.Load {
		s.Load[k], s.PV[k] = s.Load[k]/2, s.PV[k]/2
	}
	halves.Sites = append(halves.Sites, halves.Sites[0])
	halves.Limits[0].Sites = []int{0, 1}
	one, two := solved(t, &whole), solved(t, &halves)
	near(t, "value of halves", two.Value, one.Value, 1e-6)
	for k := range two.Sites[0].Charge {
		a, b := two.Sites[0].Charge[k]-two.Sites[0].Discharge[k], two.Sites[1].Charge[k]-two.Sites[1].Discharge[k]
		if math.Abs(a-b) > 1e-4 {
			t.Errorf("interval %d: one half takes %v, the other %v", k, a, b)
		}
	}
}

// TestNoNeedlessMoves: where nothing is to be gained, nothing moves, and what has to be moved moves in as
// few intervals as it can.
func TestNoNeedlessMoves(t *testing.T) {
	p := day([]float64{30, 30, 30, 30, 30, 30, 30, 30})
	p.Sites[0].Battery.In = 1
	if got := solved(t, &p); got.Value > 1e-6 || got.Sites[0].Charge[0]+got.Sites[0].Discharge[3] > 1e-3 {
		t.Errorf("flat prices: %v of charge", got.Sites[0].Charge)
	}
	prices := []float64{20, 20, 20, 20, 60, 60, 60, 60}
	p = day(prices)
	p.Sites[0].Battery.Most, p.Sites[0].Battery.In = 1.7, 1
	got := solved(t, &p)
	moves := 0
	for k := range prices {
		if got.Sites[0].Charge[k] > 1e-3 || got.Sites[0].Discharge[k] > 1e-3 {
			moves++
		}
	}
	near(t, "value", got.Value, 1.7*40, 1e-6)
	if moves != 4 {
		t.Errorf("%d intervals move 1.7 MWh there and back: %v %v", moves, got.Sites[0].Charge, got.Sites[0].Discharge)
	}
}

// scenarios are prices that may come, alike probable.
func scenarios(p *plan.Portfolio, n int) {
	for k := range n {
		sc := plan.Scenario{Weight: 1}
		for i := range p.Sites {
			o := p.Sites[i].Outlook
			o.Buy = wave(p.Intervals, uint64(k+1))
			o.Sell = nil
			sc.Sites = append(sc.Sites, o)
		}
		p.Scenarios = append(p.Scenarios, sc)
	}
}

// TestRisk: without a weight it is the plan of the mean prices; the more the worst counts, the better it is and
// the less is expected; at the end it is the best plan of the worst scenario.
func TestRisk(t *testing.T) {
	const n = 6
	p := day(wave(24, 1))
	scenarios(&p, n)
	neutral := solved(t, &p)
	mean := make([]float64, 24)
	for k := range n {
		for t, x := range wave(24, uint64(k+1)) {
			mean[t] += x / n
		}
	}
	plain := day(mean)
	near(t, "of the mean", neutral.Value, solved(t, &plain).Value, 1e-6)

	worst := func(x *plan.Plan) float64 {
		out := math.Inf(1)
		for _, v := range x.Outcomes {
			out = min(out, v)
		}
		return out
	}
	before, expected := worst(neutral), neutral.Totals.Sum()
	for _, weight := range []float64{0.3, 1} {
		p.Risk = plan.Risk{Weight: weight, Level: 0.999}
		got := solved(t, &p)
		kept(t, &p, got)
		if w := worst(got); w < before-1e-5 || got.Totals.Sum() > expected+1e-5 {
			t.Errorf("weight %v: %v at worst, %v expected after %v and %v", weight, w, got.Totals.Sum(), before, expected)
		}
		near(t, "objective", got.Value, (1-weight)*got.Totals.Sum()+weight*worst(got), 1e-6)
		before, expected = worst(got), got.Totals.Sum()
	}
	if before < worst(neutral)+0.1 {
		t.Errorf("the worst is %v with all weight on it, %v without", before, worst(neutral))
	}
}

// TestRiskAddsUp: what is expected is the mean of the outcomes, also where nothing but bad ones counts and the others
// are free to import and export at once.
func TestRiskAddsUp(t *testing.T) {
	p := day(wave(24, 1))
	scenarios(&p, 6)
	p.Sites[0].Demand = []plan.Demand{{PerMW: 20}}
	for k := range p.Scenarios {
		o := &p.Scenarios[k].Sites[0]
		for _, x := range o.Buy {
			o.Sell = append(o.Sell, x-3)
		}
	}
	for _, weight := range []float64{0, 0.5, 1} {
		p.Risk = plan.Risk{Weight: weight, Level: 0.8}
		got := solved(t, &p)
		mean, total := 0.0, 0.0
		for k, x := range got.Outcomes {
			mean, total = mean+p.Scenarios[k].Weight*x, total+p.Scenarios[k].Weight
		}
		near(t, "expected", got.Totals.Sum(), mean/total, 1e-6)
	}
}

// TestStochasticSolution: a plan for all scenarios is worth no less, over all of them, than the plan for
// their mean. With a peak to hold, loads that vary make a difference.
func TestStochasticSolution(t *testing.T) {
	p := day(wave(12, 1))
	s := &p.Sites[0]
	s.Demand = []plan.Demand{{PerMW: 300}}
	s.Battery.In = 0.9
	s.Load = make([]float64, 12)
	for k := range 4 {
		sc := plan.Scenario{Weight: 1, Sites: []plan.Outlook{{Buy: s.Buy, Load: make([]float64, 12)}}}
		for t := range 12 {
			sc.Sites[0].Load[t] = 1
			if t == 4+k {
				sc.Sites[0].Load[t] = 3
			}
			s.Load[t] += sc.Sites[0].Load[t] / 4
		}
		p.Scenarios = append(p.Scenarios, sc)
	}
	stochastic := solved(t, &p)
	mean := p
	mean.Scenarios = nil
	settled, err := p.Settle(t.Context(), solved(t, &mean))
	if err != nil {
		t.Fatal(err)
	}
	if gain := stochastic.Value - settled.Sum(); gain < 1 {
		t.Errorf("a plan for all scenarios is worth %v, that for the mean %v", stochastic.Value, settled.Sum())
	}
}

// TestRobust: a budget of nothing is no budget; what it guards against costs what the worst deviations do.
func TestRobust(t *testing.T) {
	p := day(wave(24, 2))
	free := solved(t, &p)
	p.Risk.Deviation = make([]float64, 24)
	for k := range p.Risk.Deviation {
		p.Risk.Deviation[k] = 8
	}
	before := free.Value
	for _, budget := range []float64{1, 4, 24} {
		p.Risk.Budget = budget
		got := solved(t, &p)
		if got.Value > before+1e-6 {
			t.Errorf("a budget of %v has the value %v, above %v", budget, got.Value, before)
		}
		before = got.Value
		// The worst: the intervals that move most, of a battery that moves whole intervals or parts.
		moves := make([]float64, 24)
		for k := range moves {
			moves[k] = got.Sites[0].Charge[k] + got.Sites[0].Discharge[k]
		}
		worst := 0.0
		for range int(budget) {
			at := 0
			for k := range moves {
				if moves[k] > moves[at] {
					at = k
				}
			}
			worst += 8 * moves[at]
			moves[at] = 0
		}
		near(t, "value", got.Value, got.Totals.Sum()-worst, 1e-5)
	}
}

// TestFront: less of a measure costs money, and ever more of it.
func TestFront(t *testing.T) {
	points, intervals := 6, 24
	if testing.Short() {
		points, intervals = 3, 8
	}
	for _, measure := range []plan.Measure{plan.Wear, plan.Peak, plan.Carbon} {
		p := fleet(2, intervals, 5)
		for i := range p.Sites {
			for k := range intervals {
				p.Sites[i].Carbon = append(p.Sites[i].Carbon, 0.3+0.2*math.Cos(float64(k)/3))
			}
		}
		front, err := p.Front(t.Context(), measure, points)
		if err != nil {
			t.Fatal(err)
		}
		steep := math.Inf(1)
		for k := 1; k < len(front); k++ {
			kept(t, &p, front[k].Plan)
			dx, dy := front[k].Measure-front[k-1].Measure, front[k].Money-front[k-1].Money
			if dx < 1e-6 || dy < -1e-6 || dy/dx > steep*(1+1e-4)+1e-4 {
				t.Errorf("%s: from %v to %v the money rises by %v, slope %v after %v", measure, front[k-1].Measure, front[k].Measure, dy, dy/dx, steep)
			}
			steep = dy / dx
		}
	}
}

// TestRoll: with what is expected coming true, planning again and again carries out the plan; with
// other prices it earns more than the plan that was made once, and less than one that knew them.
func TestRoll(t *testing.T) {
	p := day(wave(24, 3))
	b := &p.Sites[0].Battery
	b.Wear = []plan.Segment{{To: 0.5, PerMWh: 2}, {To: 1, PerMWh: 5}}
	once := solved(t, &p)
	again, err := plan.Roll(t.Context(), &p, &p, plan.Rolling{Every: 1, Horizon: 24, Known: 1, Keep: 0.9})
	if err != nil {
		t.Fatal(err)
	}
	m, err := p.Settle(t.Context(), again)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "as expected", m.Sum(), once.Value, 1e-5)
	blind, rolled := 0.0, 0.0
	for seed := range cases(5) {
		came := day(wave(24, 3))
		rng := rand.New(rand.NewPCG(seed, 1))
		came.Sites[0].Buy = append([]float64(nil), came.Sites[0].Buy...)
		for k := range came.Sites[0].Buy {
			came.Sites[0].Buy[k] += 20 * rng.NormFloat64()
		}
		came.Sites[0].Battery = *b
		again, err := plan.Roll(t.Context(), &p, &came, plan.Rolling{Every: 1, Horizon: 24, Known: 1})
		if err != nil {
			t.Fatal(err)
		}
		first, err := came.Settle(t.Context(), once)
		if err != nil {
			t.Fatal(err)
		}
		second, err := came.Settle(t.Context(), again)
		if err != nil {
			t.Fatal(err)
		}
		best := solved(t, &came)
		if second.Sum() > best.Value+1e-5 || first.Sum() > best.Value+1e-5 {
			t.Errorf("%v and %v are more than the best, %v", first.Sum(), second.Sum(), best.Value)
		}
		blind, rolled = blind+first.Sum(), rolled+second.Sum()
	}
	if rolled < blind {
		t.Errorf("planning again earned %v, planning once %v", rolled, blind)
	}
}

// TestCommitments: what has been sold is kept, and what cannot be kept is paid for.
func TestCommitments(t *testing.T) {
	oneSite(t)
	p := day(wave(12, 4))
	b := &p.Sites[0].Battery
	b.Start, b.End = 2, plan.End{Least: 2, Most: 2}
	flat := make([]float64, 12)
	sold := make([]float64, 12)
	for k := range flat {
		flat[k], sold[k] = 5, 0.6
	}
	p.Products = []plan.Product{{Name: "reserve", Up: true, Price: flat, Hours: 1, MostMW: math.Inf(1), Committed: sold, Penalty: 500}}
	got := solved(t, &p)
	kept(t, &p, got)
	for k := range sold {
		near(t, "kept", got.Sites[0].Offers[0][k], 0.6, 1e-5)
	}
	near(t, "paid for", got.Totals.Products, 12*5*0.6, 1e-6)
	sold[5] = 2.6 // more than there is
	got = solved(t, &p)
	if short := 2.6 - got.Sites[0].Offers[0][5]; short < 0.5 {
		t.Errorf("%v MW of 2.6 are kept", got.Sites[0].Offers[0][5])
	}

	p = day(wave(12, 4))
	p.Position = &plan.Position{Sold: make([]float64, 12), Short: make([]float64, 12), Long: make([]float64, 12)}
	for k := range 12 {
		p.Position.Short[k], p.Position.Long[k] = 200, -200
	}
	p.Position.Sold[0], p.Position.Sold[6] = -1, 0.8
	got = solved(t, &p)
	near(t, "bought as sold", got.Sites[0].Charge[0], 1, 1e-5)
	near(t, "delivered as sold", got.Sites[0].Discharge[6], 0.8, 1e-5)
}
