//go:build !nosim

package simworld

import (
	"math"
	"strings"
	"testing"
	"time"

	"yunchu/twin"
	"yunchu/twin/params"
)

func TestBeyond(t *testing.T) {
	m, err := params.LoadModel("ess-100kw-215kwh")
	if err != nil {
		t.Fatal(err)
	}
	good := twin.State{SoC: 0.5, CellV: 3.3, PackV: 792, PackI: 60, ACPowerW: 50e3, LoadedK: 298.15}
	tests := []struct {
		name   string
		change func(*twin.State)
		want   string // part of the reason; empty: within limits
	}{
		{"within", func(*twin.State) {}, ""},
		{"charged when full", func(s *twin.State) { s.SoC = m.Limits.SoC.Max/100 + 1e-4 }, "charged at"},
		{"full and resting", func(s *twin.State) { s.SoC, s.ACPowerW = m.Limits.SoC.Max/100+1e-4, 0 }, ""},
		{"discharged when empty", func(s *twin.State) { s.SoC, s.ACPowerW = m.Limits.SoC.Min/100-1e-4, -5e4 }, "discharged at"},
		{"cell too high", func(s *twin.State) { s.CellV = m.Limits.CellV.Max + 0.01 }, "V a cell"},
		{"cell too low", func(s *twin.State) { s.CellV, s.ACPowerW = m.Limits.CellV.Min-0.01, -5e4 }, "V a cell"},
		{"too hot", func(s *twin.State) { s.LoadedK = kelvin + m.Limits.TempC.Charge.Max + 1 }, "°C"},
		{"too hot and standing", func(s *twin.State) { s.LoadedK, s.ACPowerW = kelvin+m.Limits.TempC.Charge.Max+1, 60 }, ""},
		{"too cold", func(s *twin.State) { s.LoadedK = kelvin + m.Limits.TempC.Charge.Min - 1 }, "°C"},
		{"more than rated", func(s *twin.State) { s.ACPowerW = 100.1e3 }, "rated"},
		{"no number", func(s *twin.State) { s.SoC = math.NaN() }, "not all numbers"},
		{"no power number", func(s *twin.State) { s.ACPowerW = math.Inf(1) }, "not all numbers"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := good
			tt.change(&s)
			if got := beyond(&m.Limits, &s, m.RatedKW); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("beyond(%+v) = %q, want %q", s, got, tt.want)
			}
		})
	}
}

// A unit behind open contactors is judged too: by the heat of its cells.
func TestImbalance(t *testing.T) {
	for _, q := range []struct {
		name string
		book twin.Energy
		want float64
	}{
		{"moved power", twin.Energy{ACInJ: 60, ACOutJ: 40, HeatJ: 5, ResidualJ: 1}, 0.01},
		{"only lost charge", twin.Energy{HeatJ: 50, ResidualJ: 1}, 0.02},
		{"out of nothing", twin.Energy{ResidualJ: 3}, 3},
		{"nothing", twin.Energy{}, 0},
	} {
		if got := imbalance(q.book); got != q.want {
			t.Errorf("%s: %g, want %g", q.name, got, q.want)
		}
	}
	if got := imbalance(twin.Energy{HeatJ: 1, ResidualJ: math.NaN()}); !math.IsNaN(got) {
		t.Errorf("no number: %g", got)
	}
}

func TestBalanceSeesUnitsWithoutPower(t *testing.T) {
	m, err := params.LoadModel("ess-100kw-215kwh")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	twins, err := twin.NewFleet(m, []string{"a"}, twin.Options{SoCMean: 50, Start: start})
	if err != nil {
		t.Fatal(err)
	}
	twins.OpenContactor(0, true)
	twins.ShortCell(0, 10)
	w := World{parts: []part{{twins: twins, model: m}}}
	twins.Step(start.Add(time.Hour))
	if ratio, worst := w.Balance(); worst != "a" || !(ratio <= 1e-9) || twins.Energy(0).HeatJ == 0 {
		t.Errorf("%g of %q, %+v", ratio, worst, twins.Energy(0))
	}
}
