package plan_test

import (
	"encoding/csv"
	"math"
	"os"
	"strconv"
	"testing"
	"time"

	"yunchu/platform/market"
	"yunchu/platform/market/plan"
)

func TestProbe(t *testing.T) {
	f, _ := os.Open("/work/shared/data/market/caiso2020.csv")
	rows, _ := csv.NewReader(f).ReadAll()
	rows = rows[1:]
	col := func(c, a, b int) []float64 {
		var o []float64
		for _, r := range rows[a:b] {
			x, _ := strconv.ParseFloat(r[c], 64)
			o = append(o, x)
		}
		return o
	}
	for d := 0; d < 40; d++ {
		e, u, w := col(1, 24*d, 24*d+24), col(2, 24*d, 24*d+24), col(3, 24*d, 24*d+24)
		p := day(e)
		p.Sites[0].Battery.VariableCost = 2
		p.Balanced = true
		p.Products = []plan.Product{{Name: "regup", Up: true, Price: u, Called: .3, Hours: 1, MostMW: math.Inf(1)}, {Name: "regdown", Price: w, Called: .15, Hours: 1, MostMW: math.Inf(1)}}
		begin := time.Now()
		got, err := p.Best()
		if err != nil {
			t.Fatal(d, err)
		}
		el := time.Since(begin)
		want, _ := market.Best(market.Battery{PowerMW: 1, EnergyMWh: 4, Efficiency: .85, VariableCost: 2}, market.Regulation{Up: true, Down: true, EnergyUp: .3, EnergyDown: .15, Hours: 1, Balanced: true}, market.Prices{Hours: 1, Energy: e, RegUp: u, RegDown: w})
		t.Logf("%d: %.4f at most %.4f gap %.2g; backtest %.4f; nodes %d, %v", d, got.Value, got.AtMost, got.AtMost-got.Value, want.Value, got.Nodes, el)
	}
	// negative
	for seed := range uint64(6) {
		e := wave(96, seed)
		for i := range e {
			e[i] -= 30
		}
		p := day(e)
		p.Hours = .25
		begin := time.Now()
		got, err := p.Best()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%.4f at most %.4f gap %.2g; nodes %d, %v", got.Value, got.AtMost, got.AtMost-got.Value, got.Nodes, time.Since(begin))
	}
}
