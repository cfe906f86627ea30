package market

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestArbitrage: the exact recursion and the linear program agree on what random prices are
// worth, and what the battery does earns it.
func TestArbitrage(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 9))
	var a Arbitrage
	for trial := range 300 {
		n := 1 + rng.IntN(40)
		b := Battery{PowerMW: 0.5 + rng.Float64(), EnergyMWh: 0.3 + 4*rng.Float64(), Efficiency: 0.6 + 0.4*rng.Float64(), VariableCost: 3 * rng.Float64()}
		if trial%5 == 0 {
			b.Efficiency, b.VariableCost = 1, 0
		}
		p := Prices{Hours: []float64{0.25, 1}[trial%2], Energy: make([]float64, n)}
		for i := range p.Energy {
			p.Energy[i] = math.Round(40 + 40*rng.NormFloat64()) // some are equal
			if p.Energy[i]*(1/b.Efficiency-1)+b.VariableCost < 0 {
				p.Energy[i] = 0
			}
		}
		stored := make([]float64, n+1)
		value, ok := a.Best(b, p.Hours, p.Energy, stored)
		if !ok {
			t.Fatalf("trial %d: not taken", trial)
		}
		plan, err := program(t.Context(), b, Regulation{}, p)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(value-plan.Value) > 1e-6*(1+plan.Value) {
			t.Errorf("trial %d: %.9f, the linear program finds %.9f", trial, value, plan.Value)
		}
		earned := 0.0
		for i, price := range p.Energy {
			move := stored[i+1] - stored[i]
			switch {
			case move > b.PowerMW*p.Hours*b.Efficiency*(1+1e-12), move < -b.PowerMW*p.Hours*(1+1e-12):
				t.Errorf("trial %d: %v MWh in an interval", trial, move)
			case stored[i+1] < -1e-12 || stored[i+1] > b.EnergyMWh*(1+1e-12):
				t.Errorf("trial %d: holds %v of %v MWh", trial, stored[i+1], b.EnergyMWh)
			case move > 0:
				earned -= price * move / b.Efficiency
			default:
				earned -= (price - b.VariableCost) * move
			}
		}
		if math.Abs(stored[n]) > 1e-9 || math.Abs(earned-value) > 1e-9*(1+math.Abs(value)) {
			t.Errorf("trial %d: what it does earns %.9f of %.9f and leaves %v MWh", trial, earned, value, stored[n])
		}
	}
	if _, ok := a.Best(Battery{PowerMW: 1, EnergyMWh: 1, Efficiency: 0.9}, 1, []float64{10, -10}, make([]float64, 3)); ok {
		t.Error("a price at which wasting pays is taken")
	}
}

func BenchmarkArbitrage(b *testing.B) {
	for name, n := range map[string]int{"96": 96, "288": 288} {
		b.Run(name, func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 1))
			prices := make([]float64, n)
			for i := range prices {
				prices[i] = 50 + 20*math.Sin(4*math.Pi*float64(i)/float64(n)) + 8*rng.NormFloat64()
			}
			var a Arbitrage
			stored := make([]float64, n+1)
			battery := Battery{PowerMW: 1, EnergyMWh: 4, Efficiency: 0.85, VariableCost: 2}
			b.ReportAllocs()
			for b.Loop() {
				a.Best(battery, 24/float64(n), prices, stored)
			}
		})
	}
}
