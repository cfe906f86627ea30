package twin_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
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
	if testing.Short() {
		t.Skip("computes; what is stepped side by side is that of TestCellsAreDeterministic")
	}
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

// steady is a module of n cells alike in groups of p.
func steady(set *params.Cell, n, p int) twin.ModuleParams {
	return twin.ModuleParams{
		Cell: set, Parallel: p, Heat: twin.HeatPaths{EnvWPerK: 0.4, EnvK: 285},
		Cells: members(n, one(1), one(1), one(0.4), one(0.5), one(290), one(0)),
	}
}

func newModule(t testing.TB, p twin.ModuleParams) *twin.Module {
	t.Helper()
	m, err := twin.NewModule(p)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Cells alike share alike: a module of them is one cell, its power n times as much,
// its voltage that of the groups in series.
func TestCellsAlikeAreOneCell(t *testing.T) {
	set := variants(t)["280 Ah"]
	for _, tt := range []struct{ series, parallel int }{{5, 1}, {1, 5}, {3, 4}} {
		n := tt.series * tt.parallel
		one, many := newModule(t, steady(set, 1, 1)), newModule(t, steady(set, n, tt.parallel))
		amps, each := make([]float64, 1), make([]float64, n)
		for k := range 600 {
			p := 800 * math.Sin(float64(k)/40)
			one.Step(twin.Drive{Kind: twin.ByPower, Value: p}, 1)
			many.Step(twin.Drive{Kind: twin.ByPower, Value: p * float64(n)}, 1)
		}
		i, v, _ := one.Terminals(twin.Drive{Kind: twin.ByPower, Value: 500}, amps)
		sum, volts, _ := many.Terminals(twin.Drive{Kind: twin.ByPower, Value: 500 * float64(n)}, each)
		if math.Abs(sum-i*float64(tt.parallel)) > 1e-9 || math.Abs(volts-v*float64(tt.series)) > 1e-11 {
			t.Errorf("%+v: %.12g A at %.12g V, one cell has %.12g A at %.12g V", tt, sum, volts, i, v)
		}
		for k := range n {
			a, b := one.Cell(0).State(), many.Cell(k).State()
			if math.Abs(each[k]-i) > 1e-9 || math.Abs(a.SoC-b.SoC) > 1e-13 || math.Abs(a.TempK-b.TempK) > 1e-10 {
				t.Errorf("%+v: cell %d with %.12g A is %+v, one alone with %.12g A %+v", tt, k, each[k], b, i, a)
			}
		}
	}
}

// A held voltage is there at every row, and the exact solution is followed: one cell
// that is charged to a voltage and kept there, and a module.
func TestHeldVoltage(t *testing.T) {
	if testing.Short() {
		t.Skip("computes; what is stepped side by side is that of TestCellsAreDeterministic")
	}
	set := variants(t)["280 Ah"]
	for _, tt := range []struct {
		name  string
		p     twin.ModuleParams
		volts float64
		bar   bar
	}{
		{"one cell", steady(set, 1, 1), 3.45, bar{1e-7, 5e-5, 5e-3}},
		{"three in series", twin.ModuleParams{
			Cell: set, Parallel: 1,
			Cells: members(3, []float64{1, 0.98, 1.01}, []float64{1, 1.05, 0.97}, []float64{0.4, 0.41, 0.395}, one(0), one(295), one(0)),
		}, 10.3, bar{1e-6, 5e-5, 5e-3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := float64(len(tt.p.Cells))
			c := twin.TraceCase{
				ModuleParams: tt.p, Step: time.Second,
				Profile: []twin.ProfileRow{
					{Drive: twin.Drive{Value: 140}},
					{T: 20 * time.Minute, Drive: twin.Drive{Kind: twin.ByVoltage, Value: tt.volts}},
					{T: 50 * time.Minute, Drive: twin.Drive{Kind: twin.ByPower, Value: -300 * n}},
					{T: 55 * time.Minute, Drive: twin.Drive{Kind: twin.ByVoltage, Value: tt.volts}},
					{T: 60 * time.Minute, Drive: twin.Drive{Kind: twin.ByVoltage, Value: tt.volts}},
				},
			}
			d, book, err := against(c)
			t.Log(d, book.BalanceError())
			if err != nil || !d.within(tt.bar) || book.BalanceError() > 1e-12 {
				t.Errorf("%v from the exact solution, balance %g, %v", d, book.BalanceError(), err)
			}
			rows := 0
			if _, err := c.Run(func(r twin.TraceRow) error {
				if held := r.T >= 20*time.Minute && r.T < 50*time.Minute || r.T >= 55*time.Minute; held {
					rows++
					if math.Abs(r.VoltageV-tt.volts) > 1e-12 {
						return fmt.Errorf("at %v %.15g V, want %g", r.T, r.VoltageV, tt.volts)
					}
				}
				return nil
			}); err != nil || rows != 2101 {
				t.Errorf("%d rows with the voltage held, %v", rows, err)
			}
		})
	}
}

// The error falls with the square of the step, for voltage, current and temperature.
func TestModuleIsSecondOrder(t *testing.T) {
	set := variants(t)["few knots"]
	p := twin.ModuleParams{
		Cell: set, Parallel: 3, Heat: twin.HeatPaths{EnvWPerK: 0.4, EnvK: 285, NeighbourWPerK: 0.5, CoolantWPerK: 2, CoolantK: 280, CoolFirst: true, CoolLast: true},
		Cells: members(6, []float64{1, 0.98, 1.02, 0.99, 1, 1.01}, []float64{1, 1.1, 0.95, 1.02, 0.97, 1.06},
			[]float64{0.62, 0.6, 0.63, 0.61, 0.6, 0.62}, one(0.3), one(290), []float64{5e-5, 6e-5, 4e-5, 5e-5, 7e-5, 3e-5}),
	}
	c := twin.TraceCase{ModuleParams: p, OutputEvery: 16 * time.Second, Profile: []twin.ProfileRow{
		{Drive: twin.Drive{Kind: twin.ByPower, Value: -4000}}, {T: 480 * time.Second, Drive: twin.Drive{Value: 600}}, {T: 960 * time.Second},
	}}
	worst := func(step time.Duration) off {
		c.Step = step
		d, _, err := against(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("step %v: %v", step, d)
		return d
	}
	coarse, fine := worst(8*time.Second), worst(2*time.Second)
	for name, r := range map[string]float64{"voltage": coarse.v / fine.v, "current": coarse.i / fine.i, "temperature": coarse.t / fine.t} {
		if r < 12 {
			t.Errorf("a fourth of the step divides the error of the %s by %.1f, want 16 or more", name, r)
		}
	}
}

// Steps far too long for the cells stay finite and balanced.
func TestLongSteps(t *testing.T) {
	sets := variants(t)
	rapid.Check(t, func(t *rapid.T) {
		c := drawCase(t, sets)
		c.Step = time.Duration(rapid.IntRange(2, 900).Draw(t, "step")) * time.Second
		c.OutputEvery = c.Step
		book, err := c.Run(func(r twin.TraceRow) error {
			for k, x := range r.Cells {
				if !(x.VoltageV > 1.5 && x.VoltageV < 5) || !(x.TempK > 240 && x.TempK < 380) || math.Abs(x.Hyst) > 1 {
					return fmt.Errorf("at %v cell %d is %+v", r.T, k+1, x)
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, twin.ErrVoltage) {
			t.Fatal(err)
		}
		if math.Abs(book.ResidualJ()) > 1e-10*(book.MovedJ+book.HeatJ)+1e-9 {
			t.Fatalf("energy balance %g: %+v", book.BalanceError(), book)
		}
	})
}

// What is written does not change what happens.
func TestOutputLeavesNoTrace(t *testing.T) {
	set := variants(t)["280 Ah"]
	c := twin.TraceCase{ModuleParams: steady(set, 6, 2), Step: 10 * time.Second, Profile: []twin.ProfileRow{
		{Drive: twin.Drive{Kind: twin.ByPower, Value: 2000}}, {T: 33 * time.Second, Drive: twin.Drive{Value: -90}}, {T: 2 * time.Minute},
	}}
	end := func(every time.Duration) (state cell.State, rows int) {
		c.OutputEvery = every
		if _, err := c.Run(func(r twin.TraceRow) error { state = r.Cells[3].State; rows++; return nil }); err != nil {
			t.Fatal(err)
		}
		return state, rows
	}
	want, n := end(10 * time.Second)
	got, m := end(300 * time.Millisecond)
	if got != want || n != 13 || m != 401 {
		t.Errorf("%d rows end with %+v, %d rows with %+v", n, want, m, got)
	}
}

func TestModuleStepDoesNotAllocate(t *testing.T) {
	m := newModule(t, steady(variants(t)["280 Ah"], 32, 4))
	amps := make([]float64, 32)
	for _, d := range []twin.Drive{{Value: 30}, {Kind: twin.ByPower, Value: -3000}, {Kind: twin.ByVoltage, Value: 26.5}} {
		if n := testing.AllocsPerRun(20, func() { m.Terminals(d, amps); m.Step(d, 1); m.Step(d, 0.5) }); n != 0 {
			t.Errorf("%v: %g allocations per step, want 0", d.Kind, n)
		}
	}
}

func TestNewModuleNamesEveryFault(t *testing.T) {
	p := twin.ModuleParams{
		Cells: []twin.Member{{}, {Scatter: cell.Nominal, State: cell.State{SoC: 1.2, Hyst: 2, TempK: 300}, ContactOhm: -1}}, Parallel: 3,
		Heat: twin.HeatPaths{EnvWPerK: -1, CoolantWPerK: 2},
	}
	_, err := twin.NewModule(p)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"no cell type", "2 cells cannot be groups of 3", "cell 1: capacity factor", "cell 1: resistance factor", "cell 1: temperature",
		"cell 2: soc 1.2", "cell 2: hysteresis 2", "cell 2: contact", "surroundings: -1 W/K", "coolant: 0 K",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %q", err, want)
		}
	}
}

// BenchmarkModule steps the module of 16 cells in series by a second.
func BenchmarkModule(b *testing.B) {
	r := references()[3]
	set := variants(b)["280 Ah"]
	m := newModule(b, twin.ModuleParams{Cell: set, Cells: r.cells, Parallel: r.p, Heat: r.heat})
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		p := 4000.0
		if n/300%2 == 0 {
			p = -p
		}
		m.Step(twin.Drive{Kind: twin.ByPower, Value: p}, 1)
		n++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(16*n), "ns/cell-step")
}
