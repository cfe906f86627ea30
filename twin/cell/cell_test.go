package cell_test

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"yunchu/twin/cell"
)

// testModel is a cell with the features of an LFP one and round numbers.
func testModel(t testing.TB) *cell.Model {
	t.Helper()
	m, err := cell.New(testParams())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func testParams() cell.Params {
	return cell.Params{
		CapacityAh: 280, CoulombicEfficiency: 1, TRefK: 298.15, RGas: 8.314462618,
		OCV:        cell.Table{SoC: []float64{0, 0.05, 0.1, 0.3, 0.4, 0.7, 0.75, 0.98, 1}, Value: []float64{2.3, 3.05, 3.2, 3.27, 3.292, 3.311, 3.33, 3.346, 3.53}},
		HalfGap:    cell.Table{SoC: []float64{0, 0.5, 1}, Value: []float64{0.015, 0.0094, 0.012}},
		Gamma:      30,
		Entropy:    cell.Table{SoC: []float64{0, 0.4, 1}, Value: []float64{-4.9e-4, 1e-4, 1.2e-4}},
		Resistance: cell.Table{SoC: []float64{0, 0.3, 1}, Value: []float64{5.3e-4, 4.8e-4, 5.1e-4}},
		Fraction:   [3]float64{0.4, 0.25, 0.35},
		Activation: [3]float64{10e3, 18e3, 22e3},
		Tau:        [2]float64{12, 480},
	}
}

// interpolate is the table in the plainest form.
func interpolate(t cell.Table, z float64) float64 {
	for i := 1; i < len(t.SoC); i++ {
		if z <= t.SoC[i] {
			w := (z - t.SoC[i-1]) / (t.SoC[i] - t.SoC[i-1])
			return t.Value[i-1]*(1-w) + t.Value[i]*w
		}
	}
	return t.Value[len(t.Value)-1]
}

// With constant resistance and temperature the answer to a constant current is
// known: dz = I*t/Q, v_k = R_k*I*(1-exp(-t/tau)), h = 1-(1-h0)*exp(-k*t).
func TestConstantCurrentClosedForm(t *testing.T) {
	p := testParams()
	p.Resistance = cell.Table{SoC: []float64{0, 1}, Value: []float64{5e-4, 5e-4}}
	p.CoulombicEfficiency = 0.99
	m, err := cell.New(p)
	if err != nil {
		t.Fatal(err)
	}
	const i, total, soc, h0 = 140.0, 600.0, 0.3, -0.4
	for _, dt := range []float64{0.01, 1, 60, 600} {
		c := m.Cell(cell.State{SoC: soc, Hyst: h0, TempK: 298.15}, cell.Nominal)
		tick := m.Tick(dt)
		var f cell.Flow
		for range int(math.Round(total / dt)) {
			c.StepCurrent(i, 298.15, &tick, &f)
			c.SetTemp(298.15)
		}
		z := soc + 0.99*i*total/(3600*280)
		h := 1 - (1-h0)*math.Exp(-30*(z-soc))
		v1 := 5e-4 * 0.25 * i * (1 - math.Exp(-total/12))
		v2 := 5e-4 * 0.35 * i * (1 - math.Exp(-total/480))
		v := interpolate(p.OCV, z) + h*interpolate(p.HalfGap, z) + v1 + v2 + 5e-4*0.4*i
		for _, q := range []struct {
			name      string
			got, want float64
		}{{"soc", c.SoC(), z}, {"hysteresis", c.State().Hyst, h}, {"v1", c.State().V1, v1}, {"v2", c.State().V2, v2}, {"voltage", c.Voltage(i), v}} {
			if math.Abs(q.got-q.want) > 1e-11 {
				t.Errorf("step %g s: %s %.14g, want %.14g", dt, q.name, q.got, q.want)
			}
		}
	}
}

// run steps c for total seconds at p watt in a lumped heat balance and returns the
// energies in J.
func run(m *cell.Model, c *cell.Cell, p, dt, total float64) (energy, stored, heat float64) {
	const capacity, g, env = 5425.0, 0.63, 290.0
	tick := m.Tick(dt)
	step := func(t, q, h float64) float64 { // exact lumped node
		k := math.Exp(-g * h / capacity)
		return env + (t-env)*k + q/g*(1-k)
	}
	var f cell.Flow
	for range int(math.Round(total / dt)) {
		i, t := c.Current(p), c.TempK()
		c.StepPower(p, i, step(t, c.Heat(i), dt/2), &tick, &f)
		c.SetTemp(step(t, f.HeatW, dt))
		energy += f.PowerW * dt
		stored += f.StoredW * dt
		heat += f.HeatW * dt
	}
	return energy, stored, heat
}

func TestSecondOrder(t *testing.T) {
	m := testModel(t)
	// Largest errors of voltage and temperature at every 32 s of half an hour.
	path := func(dt float64) (v, k []float64) {
		c := m.Cell(cell.State{SoC: 0.62, Hyst: 1, TempK: 283.15}, cell.Nominal)
		for range 60 {
			run(m, &c, -700, dt, 32)
			v, k = append(v, c.Voltage(-200)), append(k, c.TempK())
		}
		return v, k
	}
	exactV, exactT := path(0.25)
	worst := func(dt float64) (dV, dT float64) {
		v, k := path(dt)
		for n := range v {
			dV, dT = max(dV, math.Abs(v[n]-exactV[n])), max(dT, math.Abs(k[n]-exactT[n]))
		}
		return dV, dT
	}
	coarseV, coarseT := worst(16)
	fineV, fineT := worst(8)
	for _, q := range []struct {
		name         string
		coarse, fine float64
	}{{"voltage", coarseV, fineV}, {"temperature", coarseT, fineT}} {
		if r := q.coarse / q.fine; r < 3.2 || r > 4.8 {
			t.Errorf("%s: halving the step divides the error by %.2f (%g to %g), want 4", q.name, r, q.coarse, q.fine)
		}
	}
}

// The heat of one coarse step is that of the same time in fine steps, sampled by
// the momentary formula q = I*(V-U_a) + I*T*E.
func TestHeatIsHonest(t *testing.T) {
	m := testModel(t)
	a := m.Cell(cell.State{SoC: 0.2, Hyst: 0.5, TempK: 300}, cell.Nominal)
	b := a
	const p, total, fine = 800.0, 8.0, 0.005
	_, _, coarse := run(m, &a, p, total, total)
	var sampled float64
	for range int(total / fine) {
		sampled += b.Heat(b.Current(p)) * fine / 2
		run(m, &b, p, fine, fine)
		sampled += b.Heat(b.Current(p)) * fine / 2
	}
	if math.Abs(coarse/sampled-1) > 1e-3 {
		t.Errorf("heat of an 8 s step %.8g J, sampled %.8g J", coarse, sampled)
	}
}

// What an isothermal cell stores is the difference of the primitive of its
// open-circuit voltage, however it got there.
func TestStoredEnergyIsPathIndependent(t *testing.T) {
	p := testParams()
	m := testModel(t)
	integral := func(a, b float64) (sum float64) { // J/(A*s) at 310 K, midpoint rule on fine pieces
		const n = 200000
		for k := range n {
			z := a + (b-a)*(float64(k)+0.5)/n
			sum += interpolate(p.OCV, z) + (310-298.15)*interpolate(p.Entropy, z)
		}
		return sum * (b - a) / n
	}
	c := m.Cell(cell.State{SoC: 0.5, TempK: 310}, cell.Scatter{Capacity: 0.9, Resistance: 1.2})
	tick := m.Tick(7)
	var stored float64
	var f cell.Flow
	for n := range 500 {
		w := 900 * math.Sin(float64(n)/60)
		c.StepPower(w, c.Current(w), 310, &tick, &f)
		c.SetTemp(310)
		stored += f.StoredW * 7
	}
	want := integral(0.5, c.SoC()) * c.Coulombs()
	if math.Abs(stored-want) > 1e-7*math.Abs(want) {
		t.Errorf("stored %.10g J from 0.5 to %.4f, the table holds %.10g J", stored, c.SoC(), want)
	}
}

// Whatever the state, the step and the short, the power asked for is delivered and
// the energy balance of the step closes.
func TestStepPowerBalances(t *testing.T) {
	m := testModel(t)
	rapid.Check(t, func(t *rapid.T) {
		c := m.Cell(cell.State{
			SoC:   rapid.Float64Range(0.03, 0.97).Draw(t, "soc"),
			V1:    rapid.Float64Range(-0.05, 0.05).Draw(t, "v1"),
			V2:    rapid.Float64Range(-0.05, 0.05).Draw(t, "v2"),
			Hyst:  rapid.Float64Range(-1, 1).Draw(t, "h"),
			TempK: rapid.Float64Range(263, 330).Draw(t, "T"),
		}, cell.Scatter{Capacity: rapid.Float64Range(0.8, 1.1).Draw(t, "kQ"), Resistance: rapid.Float64Range(0.8, 1.5).Draw(t, "kR")})
		short := rapid.SampledFrom([]float64{0, 0, 10, 0.1}).Draw(t, "short ohm")
		c.SetLeak(short)
		p := rapid.Float64Range(-1500, 1500).Draw(t, "p")
		dt := math.Pow(10, rapid.Float64Range(-3, 1.5).Draw(t, "log dt"))
		tick := m.Tick(dt)
		i := c.Current(p)
		if v := c.Voltage(i); math.Abs(v*i-p) > 1e-9*math.Abs(p) {
			t.Fatalf("Current(%g) = %g A at %g V", p, i, v)
		}
		soc := c.SoC()
		var f cell.Flow
		c.StepPower(p, i, c.TempK(), &tick, &f)
		moved := math.Abs(p)
		if short > 0 {
			moved += f.VoltageV * f.VoltageV / short
		}
		if math.Abs(f.PowerW-p) > 1e-10*moved || math.Abs(f.VoltageV*f.CurrentA-f.PowerW) > 1e-12*math.Abs(p) {
			t.Fatalf("asked for %g W, got %.15g W = %g V * %g A", p, f.PowerW, f.VoltageV, f.CurrentA)
		}
		if r := f.PowerW - f.StoredW - f.HeatW + f.EntropicW; math.Abs(r) > 1e-12*(moved+math.Abs(f.StoredW)) {
			t.Fatalf("residual %g W of %g W", r, p)
		}
		if dz := f.InnerA * dt / c.Coulombs(); math.Abs(c.SoC()-soc-dz) > 1e-14 {
			t.Fatalf("soc moved by %g, the current by %g", c.SoC()-soc, dz)
		}
		if want := f.InnerA; short > 0 && math.Abs(f.CurrentA-want-f.VoltageV/short) > 1e-9*(1+math.Abs(want)) {
			t.Fatalf("terminal %g A, inner %g A, short %g A", f.CurrentA, want, f.VoltageV/short)
		}
	})
}

func TestStepCurrentWithShort(t *testing.T) {
	m := testModel(t)
	c := m.Cell(cell.State{SoC: 0.5, TempK: 298.15}, cell.Nominal)
	c.SetLeak(0.05)
	tick := m.Tick(1)
	var f cell.Flow
	c.StepCurrent(30, 298.15, &tick, &f)
	if math.Abs(f.CurrentA-30) > 1e-9 || math.Abs(f.InnerA+f.VoltageV/0.05-30) > 1e-9 {
		t.Errorf("30 A asked for: %g A at the terminals, %g A inside, %g V", f.CurrentA, f.InnerA, f.VoltageV)
	}
}

// More power than the cell has must not produce nonsense.
func TestImpossiblePower(t *testing.T) {
	m := testModel(t)
	c := m.Cell(cell.State{SoC: 0.5, TempK: 298.15}, cell.Nominal)
	most := c.MinPower()
	tick := m.Tick(1)
	var f cell.Flow
	c.StepPower(2*most, c.Current(2*most), 298.15, &tick, &f)
	if !(f.PowerW < 0.5*most && f.PowerW > 1.01*most) || !(c.SoC() < 0.5) {
		t.Errorf("asked for %g W of at most %g W: %g W, soc %g", 2*most, most, f.PowerW, c.SoC())
	}
}

func TestNewNamesEveryFault(t *testing.T) {
	p := testParams()
	p.CapacityAh = 0
	p.Tau[1] = -1
	p.OCV.Value = p.OCV.Value[1:]
	p.Entropy.SoC = []float64{0, 0.4, 0.4}
	_, err := cell.New(p)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"capacity", "time constants", "OCV", "entropy"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %s", err, want)
		}
	}
}

func TestStepDoesNotAllocate(t *testing.T) {
	m := testModel(t)
	c := m.Cell(cell.State{SoC: 0.5, TempK: 298.15}, cell.Nominal)
	tick := m.Tick(1)
	var f cell.Flow
	if n := testing.AllocsPerRun(100, func() { c.StepPower(100, c.Current(100), c.TempK(), &tick, &f) }); n != 0 {
		t.Errorf("%g allocations per step, want 0", n)
	}
}
