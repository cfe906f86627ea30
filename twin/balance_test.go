package twin_test

import (
	"testing"
	"time"

	"yunchu/twin"
	"yunchu/twin/params"
)

// At the top of the charge, where the voltage tells, balancing brings the fullest and
// the emptiest cell of a string together; the charge it takes is in the books.
func TestBalancingLevelsTheCells(t *testing.T) {
	if testing.Short() {
		t.Skip("computes; what is stepped side by side is that of TestCellsAreDeterministic")
	}
	m := *loadModel(t, modelCells)
	m.Parallel, m.RatedKW, m.RatedKWh = 1, 40, 373
	m.Limits.SoC = params.Range{Min: 5, Max: 100}
	s, management := *m.Strings, *m.BMS
	s.Spread = params.StringsSpread{SoC: 0.5}
	management.Balance.Ohm = 3.3 // ten times the current, so that hours do
	m.Strings, m.BMS = &s, &management
	f, err := twin.NewFleet(&m, []string{"a"}, twin.Options{SoCMean: 97.5, Start: start})
	if err != nil {
		t.Fatal(err)
	}
	spread := func() float64 {
		low, high := 2.0, -1.0
		for n := range m.Series {
			z := f.Cell(0, 0, n).SoC
			low, high = min(low, z), max(high, z)
		}
		return high - low
	}
	before := spread()
	for n := range 4 * 360 {
		f.SetPower(0, at(time.Duration(n)*10*time.Second), 8e3, time.Time{})
		f.Step(at(time.Duration(n+1) * 10 * time.Second))
	}
	if after := spread(); after > 0.7*before {
		t.Errorf("cells %.3f %% apart, %.3f %% before; %+v", 100*after, 100*before, f.State(0))
	}
	if r := f.Energy(0).BalanceError(); !(r < 1e-12) {
		t.Errorf("energy balance is off by %g", r)
	}
	mean := 0.0
	for n := range m.Series {
		mean += f.Cell(0, 0, n).SoC / float64(m.Series)
	}
	if d := f.State(0).SoC - mean; d > 1e-9 || d < -1e-9 {
		t.Errorf("the string counts %g of charge more than its cells hold", d)
	}
}
