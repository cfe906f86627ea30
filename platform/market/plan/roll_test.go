package plan_test

import (
	"math"
	"testing"

	"yunchu/platform/market/plan"
)

// TestRollSells: capacity that always pays is sold in all intervals, however the plans follow on each other.
func TestRollSells(t *testing.T) {
	flat, price := make([]float64, 24), make([]float64, 24)
	for k := range price {
		flat[k], price[k] = 30, 5
	}
	p := day(flat)
	b := &p.Sites[0].Battery
	b.In, b.Out, b.VariableCost, b.Start, b.End = 1, 1, 1, 2, plan.End{Least: 2, Most: 2}
	p.Products = []plan.Product{{Name: "reserve", Up: true, Price: price, Hours: 1, MostMW: math.Inf(1)}}
	once := solved(t, &p)
	for _, r := range []plan.Rolling{{Every: 4, Horizon: 6}, {Every: 6, Horizon: 6}, {Every: 5, Horizon: 12}, {Every: 3, Horizon: 9}} {
		r.Known = r.Horizon
		again, err := plan.Roll(&p, &p, r)
		if err != nil {
			t.Fatal(err)
		}
		m, err := p.Settle(again)
		if err != nil {
			t.Fatal(err)
		}
		if m.Sum() < 0.95*once.Value || m.Sum() > once.AtMost+1e-5 { // the ends of horizons cost something
			t.Errorf("planned every %d of %d: %v of %v", r.Every, r.Horizon, m.Sum(), once.Value)
		}
	}
}
