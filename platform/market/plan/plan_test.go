package plan_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"yunchu/platform/market"
	"yunchu/platform/market/plan"
)

// day is a battery of 1 MW and 4 MWh alone at prices.
func day(prices []float64) plan.Portfolio {
	inf := math.Inf(1)
	return plan.Portfolio{
		Hours: 1, Intervals: len(prices), Weights: plan.Even,
		Sites: []plan.Site{{
			Name: "a", Outlook: plan.Outlook{Buy: prices}, ImportMW: inf, ExportMW: inf,
			Battery: plan.Battery{ChargeMW: 1, DischargeMW: 1, MWh: 4, Most: 4, In: 0.85, Out: 1, End: plan.End{Most: 0}},
		}},
	}
}

func wave(n int, seed uint64) []float64 {
	rng := rand.New(rand.NewPCG(seed, 3))
	out := make([]float64, n)
	for t := range out {
		out[t] = 40 + 25*math.Sin(4*math.Pi*float64(t)/float64(n)) + 10*rng.NormFloat64()
	}
	return out
}

func solved(t *testing.T, p *plan.Portfolio) *plan.Plan {
	t.Helper()
	out, err := p.Best()
	if err != nil {
		t.Fatal(err)
	}
	if gap := out.AtMost - out.Value; gap < -1e-6*(1+math.Abs(out.Value)) {
		t.Errorf("the bound %v is below the value %v", out.AtMost, out.Value)
	}
	return out
}

func near(t *testing.T, what string, got, want, relative float64) {
	t.Helper()
	if !(math.Abs(got-want) <= relative*(1+math.Abs(want))) {
		t.Errorf("%s: %.9g, want %.9g", what, got, want)
	}
}

// TestEqualsArbitrage: alone with prices of energy a battery earns what the exact recursion finds.
func TestEqualsArbitrage(t *testing.T) {
	for seed := range uint64(8) {
		prices := wave(48, seed)
		p := day(prices)
		p.Hours = 0.5
		got := solved(t, &p)
		want, err := market.Best(market.Battery{PowerMW: 1, EnergyMWh: 4, Efficiency: 0.85}, market.Regulation{}, market.Prices{Hours: 0.5, Energy: prices})
		if err != nil {
			t.Fatal(err)
		}
		near(t, "value", got.Value, want.Value, 1e-6)
		near(t, "bound", got.AtMost, want.Value, 1e-6)
		for i, line := range got.Sites[0].Why {
			if seed == 0 {
				t.Log(i, line)
			}
		}
		if seed == 0 {
			t.Logf("%+v", got.Bounds)
		}
	}
}
