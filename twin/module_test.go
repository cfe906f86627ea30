package twin_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/twin"
	"yunchu/twin/cell"
	"yunchu/twin/params"
)

// variants are cell types beside the reference cell, each with a trait that another
// cell file may have.
func variants(t testing.TB) map[string]*params.Cell {
	reference, err := params.LoadCell("lfp280_ref")
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(*params.Cell)) *params.Cell {
		c := *reference
		change(&c)
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		return &c
	}
	return map[string]*params.Cell{
		"280 Ah": reference,
		"3 Ah": with(func(c *params.Cell) { // Sony US26650FTC1, which the reference cell was scaled from
			c.Resistance.RTot = slices.Clone(c.Resistance.RTot)
			for i := range c.Resistance.RTot {
				c.Resistance.RTot[i] *= c.CapacityAh / 3
			}
			c.CapacityAh, c.VMin, c.VMax = 3, 2, 3.6
			c.Thermal.MassKg, c.Thermal.HAPerK = 0.07, 0.08
		}),
		"side reaction": with(func(c *params.Cell) { c.CoulombicEfficiency = 0.99 }),
		"few knots": with(func(c *params.Cell) {
			c.OCV.SoC, c.OCV.V = []float64{0, 0.1, 0.5, 1}, []float64{2.5, 3.2, 3.3, 3.45}
			c.Hysteresis.SoC, c.Hysteresis.M = []float64{0, 1}, []float64{0.012, 0.009}
			c.Entropic.SoC, c.Entropic.DUDT = []float64{0, 0.4, 1}, []float64{-4e-4, 1e-4, 1.2e-4}
			c.Resistance.SoC, c.Resistance.RTot = []float64{0, 0.3, 1}, []float64{7e-4, 4.8e-4, 5.1e-4}
		}),
		"quick": with(func(c *params.Cell) { c.Resistance.Tau = params.TimeConsts{Tau1: 6, Tau2: 90} }),
	}
}

// drawCase draws a module, its surroundings and a profile of powers and currents up
// to 1C, pauses and noise, -10 to 50 degC warm, 10 to 95 % full.
func drawCase(t *rapid.T, sets map[string]*params.Cell) twin.TraceCase {
	f := func(name string, low, high float64) float64 { return rapid.Float64Range(low, high).Draw(t, name) }
	set := sets[rapid.SampledFrom([]string{"280 Ah", "3 Ah", "side reaction", "few knots", "quick"}).Draw(t, "cell")]
	shape := rapid.SampledFrom([][2]int{{1, 1}, {2, 1}, {7, 1}, {20, 1}, {1, 2}, {1, 5}, {1, 16}, {2, 3}, {4, 2}}).Draw(t, "series and parallel")
	n := shape[0] * shape[1]
	mass := set.Thermal.HeatCapacity() / 5425
	env := f("K around", 263.15, 323.15)
	c := twin.TraceCase{
		ModuleParams: twin.ModuleParams{
			Cell: set, Parallel: shape[1],
			Heat: twin.HeatPaths{
				EnvWPerK: mass * f("W/K around", 0, 0.8), EnvK: env, NeighbourWPerK: mass * f("W/K between", 0, 0.6),
				CoolantWPerK: mass * f("W/K coolant", 0, 4), CoolantK: env - 5,
				CoolFirst: rapid.Bool().Draw(t, "first cooled"), CoolLast: rapid.Bool().Draw(t, "last cooled"),
			},
		},
		Step: time.Second, OutputEvery: time.Second,
	}
	soc, hyst, temp := f("soc", 0.15, 0.9), f("h", -1, 1), f("K", 263.15, 323.15)
	ohm := set.Resistance.RTot[len(set.Resistance.RTot)/2]
	for range n {
		m := twin.Member{
			Scatter: cell.Scatter{Capacity: f("kQ", 0.97, 1.03), Resistance: f("kR", 0.9, 1.12)},
			State:   cell.State{SoC: soc + f("dz", -0.015, 0.015), Hyst: hyst, TempK: temp + f("dT", -1, 1)},
		}
		if shape[1] > 1 {
			m.ContactOhm = ohm * f("contact", 0, 0.2)
		}
		c.Cells = append(c.Cells, m)
	}

	amps := set.CapacityAh * float64(shape[1]) // 1C
	watts := amps * 3.3 * float64(shape[0])
	longest := min(1500, 4000/n) // s, of a piece
	at := time.Duration(0)
	drive := func(kind twin.DriveKind, rate float64, seconds int) {
		if end := soc + rate*float64(seconds)/3600; end < 0.1 || end > 0.94 {
			seconds = 5
		}
		d := twin.Drive{Kind: kind, Value: rate * amps}
		if kind == twin.ByPower {
			d.Value = rate * watts
		}
		c.Profile = append(c.Profile, twin.ProfileRow{T: at, Drive: d})
		at += time.Duration(seconds) * time.Second
		soc += rate * float64(seconds) / 3600
	}
	for range rapid.IntRange(1, 3).Draw(t, "pieces") {
		low, high := -1.0, 1.0
		if soc > 0.85 {
			high = 0
		} else if soc < 0.12 {
			low = 0
		}
		seconds := rapid.IntRange(5, longest).Draw(t, "s")
		switch rapid.SampledFrom([]string{"power", "current", "pause", "noise"}).Draw(t, "piece") {
		case "power":
			drive(twin.ByPower, f("rate", low, high), seconds)
		case "current":
			drive(twin.ByCurrent, f("rate", low, high), seconds)
		case "pause":
			drive(twin.ByPower, 0, 2*seconds)
		case "noise":
			for range min(30, seconds) {
				drive(twin.ByPower, f("rate", low, high), 2)
			}
		}
	}
	c.Profile = append(c.Profile, twin.ProfileRow{T: at})
	return c
}

// against runs c and the oracle side by side and returns how far they are apart at
// most. Both end where the trace does.
func against(c twin.TraceCase) (d off, book twin.ModuleEnergy, err error) {
	o := newOracle(c.ModuleParams)
	at, row := time.Duration(0), 0
	book, err = c.Run(func(r twin.TraceRow) error {
		for at < r.T {
			to := min(r.T, c.Profile[row+1].T)
			o.advance(c.Profile[row].Drive, (to - at).Seconds())
			if at = to; at == c.Profile[row+1].T {
				row++
			}
			if row == len(c.Profile)-1 {
				break
			}
		}
		if miss := imbalance(r, c.Parallel); miss > 1e-14 {
			return fmt.Errorf("at %v the currents of a group miss that of the module by %g of themselves", r.T, miss)
		}
		w := o.row(c.Profile[row].Drive)
		for k, x := range r.Cells {
			y := w.Cells[k]
			d.add(x.VoltageV-y.VoltageV, x.TempK-y.TempK, x.CurrentA-y.CurrentA, x.SoC-y.SoC)
		}
		return nil
	})
	if errors.Is(err, twin.ErrVoltage) {
		err = nil
	}
	return d, book, err
}

// imbalance is by how much the currents of a group miss that of the module, as a share
// of their sizes.
func imbalance(r twin.TraceRow, parallel int) (worst float64) {
	for g := 0; g < len(r.Cells); g += parallel {
		sum, size := -r.CurrentA, math.Abs(r.CurrentA)
		for _, c := range r.Cells[g : g+parallel] {
			sum += c.CurrentA
			size += math.Abs(c.CurrentA)
		}
		if size > 0 {
			worst = max(worst, math.Abs(sum)/size)
		}
	}
	return worst
}

// Whatever the module, the temperature and the profile, a step of 1 s keeps the bars
// of the reference module and the reference group against the exact solution, charge
// is conserved and the energy balance closes.
func TestModuleIsExact(t *testing.T) {
	sets := variants(t)
	var worst off
	rapid.Check(t, func(t *rapid.T) {
		c := drawCase(t, sets)
		d, book, err := against(c)
		if err != nil {
			t.Fatal(err)
		}
		worst.add(d.v, d.t, d.i, d.z)
		if !d.within(bar{5e-7, 5e-5, 1e-3}) {
			t.Fatalf("%v from the exact solution", d)
		}
		if math.Abs(book.ResidualJ()) > 1e-10*(book.MovedJ+book.HeatJ)+1e-9 {
			t.Fatalf("energy balance %g: %+v", book.BalanceError(), book)
		}
	})
	t.Logf("at most %v", worst)
}
