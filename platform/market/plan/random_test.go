package plan_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"yunchu/platform/market/lp"
	"yunchu/platform/market/plan"
)

// random is a portfolio with anything in it.
func random(seed uint64) plan.Portfolio {
	rng := rand.New(rand.NewPCG(seed, 11))
	some := func(p float64) bool { return rng.Float64() < p }
	inf := math.Inf(1)
	n := 4 + rng.IntN(29)
	p := plan.Portfolio{Hours: []float64{0.25, 0.5, 1}[rng.IntN(3)], Intervals: n, Weights: plan.Even, Nodes: 15}
	prices := wave(n, seed)
	if some(0.4) {
		for t := range prices {
			prices[t] -= 40
		}
	}
	all := plan.Limit{Name: "all", ImportMW: inf, ExportMW: inf}
	for i := range 1 + rng.IntN(4) {
		s := plan.Site{Name: fmt.Sprint("s", i), ImportMW: inf, ExportMW: inf, Curtail: some(0.5)}
		s.Buy = prices
		if some(0.5) {
			s.Sell = make([]float64, n)
			fee := 20*rng.Float64() - 3
			for t := range s.Sell {
				s.Sell[t] = prices[t] - fee
			}
		}
		if some(0.8) {
			e := math.Round(4*(1+4*rng.Float64())) / 4
			b := plan.Battery{ChargeMW: 0.5 + rng.Float64(), DischargeMW: 0.5 + rng.Float64(), MWh: e, Most: e, In: 0.85 + 0.15*rng.Float64(), Out: 0.85 + 0.15*rng.Float64()}
			if some(0.5) {
				b.Least, b.Most = 0.1*e, 0.9*e
			}
			b.Start = b.Least + rng.Float64()*(b.Most-b.Least)
			switch {
			case some(0.4):
				b.End = plan.End{Least: b.Start, Most: b.Start}
			case some(0.5):
				b.End = plan.End{Least: b.Least, Most: b.Most, Price: 60 * rng.Float64()}
			default:
				b.End = plan.End{Least: b.Start, Most: b.Most}
			}
			if some(0.4) {
				b.Wear = []plan.Segment{{To: 0.2, PerMWh: 1}, {To: 0.5, PerMWh: 3}, {To: 1, PerMWh: 10 * (1 + rng.Float64())}}
			}
			if some(0.3) {
				b.VariableCost = 3 * rng.Float64()
			}
			s.Battery = b
		}
		if some(0.6) {
			for range n {
				s.Load = append(s.Load, rng.Float64())
			}
			if some(0.5) {
				s.ImportMW = 1.2 + rng.Float64()
			}
		}
		if some(0.5) {
			for t := range n {
				s.PV = append(s.PV, max(0, 1.5*math.Sin(2*math.Pi*(float64(t)/float64(n)-0.25))))
			}
			if s.Curtail && some(0.5) {
				s.ExportMW = rng.Float64()
			}
		}
		if some(0.3) {
			s.Demand = []plan.Demand{{PerMW: 400 * rng.Float64(), SoFar: rng.Float64()}}
		}
		all.Sites = append(all.Sites, i)
		p.Sites = append(p.Sites, s)
	}
	if some(0.5) {
		all.ImportMW, all.ExportMW = 1.5*float64(len(p.Sites)), 2*float64(len(p.Sites))
		p.Limits = []plan.Limit{all}
	}
	if some(0.4) {
		for _, name := range []string{"regup", "regdown", "reserve"} {
			if !some(0.7) {
				continue
			}
			x := plan.Product{Name: name, Up: name != "regdown", Hours: []float64{0.25, 1}[rng.IntN(2)], MostMW: inf}
			if name != "reserve" {
				x.Called = 0.3 * rng.Float64()
			}
			for range n {
				x.Price = append(x.Price, 15*rng.Float64())
			}
			if some(0.3) {
				x.MostMW = 0.5
			}
			p.Products = append(p.Products, x)
		}
		p.Balanced = some(0.5)
	}
	return p
}

// TestAnything: whatever is in a portfolio, its plan keeps to it, is worth no less than nothing and no more than its
// bound, or it is said that there is none.
func TestAnything(t *testing.T) {
	many := cases(15) // of 3,000 that were tried
	none := uint64(0)
	for seed := range many {
		p := random(seed)
		got, err := p.Best(t.Context())
		if errors.Is(err, lp.ErrInfeasible) {
			none++
			continue
		} else if err != nil {
			t.Errorf("seed %d: %v", seed, err)
			continue
		}
		if got.AtMost < got.Value-1e-6*(1+math.Abs(got.Value)) {
			t.Errorf("seed %d: %v is above its bound, %v", seed, got.Value, got.AtMost)
		}
		kept(t, &p, got)
		fixed := false
		for i := range p.Sites {
			b := &p.Sites[i].Battery
			fixed = fixed || b.Start < b.End.Least || b.Start > b.End.Most
		}
		idle, err := p.Idle(t.Context())
		if err == nil && !fixed && idle.Sum() > got.AtMost+1e-6*(1+math.Abs(got.AtMost)) {
			t.Errorf("seed %d: nothing is worth %v, the plan %v", seed, idle.Sum(), got.Value)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if none > many/5 {
		t.Errorf("%d of %d have no plan", none, many)
	}
}
