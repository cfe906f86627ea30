package market

import (
	"context"
	"encoding/csv"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// sheet reads a file of the shared data.
func sheet(t *testing.T, name string) [][]string {
	t.Helper()
	data := os.Getenv("YUNCHU_DATA")
	if data == "" {
		t.Skip("needs the reference data: set YUNCHU_DATA")
	}
	f, err := os.Open(filepath.Join(data, "market", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows[1:]
}

func numberOf(t *testing.T, text string) float64 {
	t.Helper()
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func caiso(t *testing.T) Prices {
	t.Helper()
	p := Prices{Hours: 1}
	for _, row := range sheet(t, "caiso2020.csv") {
		p.Energy = append(p.Energy, numberOf(t, row[1]))
		p.RegUp = append(p.RegUp, numberOf(t, row[2]))
		p.RegDown = append(p.RegDown, numberOf(t, row[3]))
	}
	return p
}

func (p *Prices) day(d int) Prices {
	from, to := 24*d, 24*d+24
	return Prices{Hours: p.Hours, Energy: p.Energy[from:to], RegUp: p.RegUp[from:to], RegDown: p.RegDown[from:to]}
}

// TestPublishedOptima: no day of EPRI's reference case is worse than it was published.
func TestPublishedOptima(t *testing.T) {
	p := caiso(t)
	b := Battery{PowerMW: 1, EnergyMWh: 4, Efficiency: 0.85, VariableCost: 2}
	r := Regulation{Up: true, Down: true, EnergyUp: 0.30, EnergyDown: 0.15, Hours: 1, Balanced: true}
	better, worst := 0.0, 0.0
	days := sheet(t, filepath.Join("dervet-caiso-2020", "expected_daily_objective.csv"))
	for d, row := range days {
		if testing.Short() && d%10 > 0 {
			continue
		}
		plan, err := Best(t.Context(), b, r, p.day(d))
		if err != nil {
			t.Fatalf("day %d: %v", d, err)
		}
		published := 10_000.0
		for _, cost := range row[1:] {
			published -= numberOf(t, cost)
		}
		worst, better = max(worst, published-plan.Value), max(better, plan.Value-published)
		if plan.Value < published-1e-4 {
			t.Errorf("day %d: %.6f, published %.6f", d, plan.Value, published)
		}
		if plan.AtMost-plan.Value > 1e-6*(1+plan.Value) {
			t.Errorf("day %d: %.6f, and it may be up to %.6f", d, plan.Value, plan.AtMost)
		}
	}
	t.Logf("%d days, at worst %.2g below what was published, at best %.2g above", len(days), worst, better)
	if better > 2.5 {
		t.Errorf("a day is better by %.2f than published", better)
	}
}

// TestPerfectForesight: energy alone, by days and over the whole year, against a second solver.
func TestPerfectForesight(t *testing.T) {
	if testing.Short() {
		t.Skip("a year of prices, for one sum")
	}
	p := caiso(t)
	b := Battery{PowerMW: 1, EnergyMWh: 4, Efficiency: 0.85}
	sum := 0.0
	for d := range len(p.Energy) / 24 {
		plan, err := Best(t.Context(), b, Regulation{}, p.day(d))
		if err != nil {
			t.Fatalf("day %d: %v", d, err)
		}
		sum += plan.Value
	}
	if math.Abs(sum-76_308.3582) > 1e-4 {
		t.Errorf("by days %.6f, want 76308.3582", sum)
	}
	for name, solve := range map[string]func(context.Context, Battery, Regulation, Prices) (*Plan, error){"recursion": Best, "program": program} {
		plan, err := solve(t.Context(), b, Regulation{}, p)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(plan.Value-76_356.2891) > 2e-4 {
			t.Errorf("over the year %.6f by the %s, want 76356.2891", plan.Value, name)
		}
	}
}

// TestBatteryIsBounded: what no battery is has no optimum.
func TestBatteryIsBounded(t *testing.T) {
	t.Parallel()
	good := Battery{PowerMW: 1, EnergyMWh: 4, Efficiency: 0.85}
	if _, err := Best(t.Context(), good, Regulation{}, Prices{Hours: 1, Energy: []float64{1, 2}}); err != nil {
		t.Fatal(err)
	}
	for _, x := range []float64{math.NaN(), math.Inf(1), -1, 0, 1e-300, 1e300} {
		for _, set := range []func(*Battery, float64){
			func(b *Battery, x float64) { b.PowerMW = x },
			func(b *Battery, x float64) { b.EnergyMWh = x },
			func(b *Battery, x float64) { b.Efficiency = x },
		} {
			b := good
			set(&b, x)
			if plan, err := Best(t.Context(), b, Regulation{}, Prices{Hours: 1, Energy: []float64{1, 2}}); err == nil {
				t.Errorf("%+v earns %v", b, plan.Value)
			}
		}
	}
	for _, x := range []float64{math.NaN(), math.Inf(-1), 1e300, -1e300} {
		b := good
		b.VariableCost = x
		if plan, err := Best(t.Context(), b, Regulation{}, Prices{Hours: 1, Energy: []float64{1, 2}}); err == nil {
			t.Errorf("%+v earns %v", b, plan.Value)
		}
	}
}
