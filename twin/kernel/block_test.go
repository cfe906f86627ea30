package kernel_test

import (
	"math"
	"testing"

	"yunchu/twin/cell"
	"yunchu/twin/kernel"
)

func testModel(t testing.TB) *cell.Model {
	t.Helper()
	m, err := cell.New(cell.Params{
		CapacityAh: 280, CoulombicEfficiency: 1, TRefK: 298.15, RGas: 8.314462618,
		OCV:        cell.Table{SoC: []float64{0, 0.05, 0.1, 0.3, 0.4, 0.7, 0.75, 0.98, 1}, Value: []float64{2.3, 3.05, 3.2, 3.27, 3.292, 3.311, 3.33, 3.346, 3.53}},
		HalfGap:    cell.Table{SoC: []float64{0, 0.5, 1}, Value: []float64{0.015, 0.0094, 0.012}},
		Gamma:      30,
		Entropy:    cell.Table{SoC: []float64{0, 0.4, 1}, Value: []float64{-4.9e-4, 1e-4, 1.2e-4}},
		Resistance: cell.Table{SoC: []float64{0, 0.3, 1}, Value: []float64{5.3e-4, 4.8e-4, 5.1e-4}},
		Fraction:   [3]float64{0.4, 0.25, 0.35},
		Activation: [3]float64{10e3, 18e3, 22e3},
		Tau:        [2]float64{12, 480},
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const heatCapacity = 5425.42 // J/K

// A string of one cell in constant power is the cell of twin/cell.
func TestMatchesScalarCell(t *testing.T) {
	m := testModel(t)
	for _, dt := range []float64{1, 10} {
		tick := kernel.NewTick(m, heatCapacity, dt)
		b, err := kernel.NewBlock(m, []kernel.Place{{Air: 0.63}}, &tick)
		if err != nil {
			t.Fatal(err)
		}
		start := cell.State{SoC: 0.62, Hyst: -0.3, TempK: 285}
		x := cell.Scatter{Capacity: 0.97, Resistance: 1.1}
		b.SetCell(0, 2, kernel.Cell{State: start, Scatter: x})
		c := m.Cell(start, x)
		ct := m.Tick(dt)
		var ip kernel.Row
		b.Predict(&ip)
		var worst [5]float64
		p := 0.0
		for n := range int(7200 / dt) {
			if n%int(600/dt) == 0 {
				p = 450 * math.Sin(float64(n)*dt/1000)
				i := c.Current(p)
				ip = kernel.Row{2: i}
				b.Predict(&ip)
			}
			a, r := b.Drive.A[2], b.Drive.B[2]
			i := 2 * p / (a + math.Sqrt(a*a+4*r*p))
			row := kernel.Row{2: i}
			b.Step(&row, &row)

			i0 := c.Current(p)
			t0 := c.TempK()
			tm := t0 + (c.Heat(i0)-0.63*(t0-298.15))*dt/2/heatCapacity
			var f cell.Flow
			c.StepPower(p, i0, tm, &ct, &f)
			c.SetTemp(t0 + (f.HeatW-0.63*(tm-298.15))*dt/heatCapacity)
			got, want := b.Cell(0, 2).State, c.State()
			for k, d := range [5]float64{got.SoC - want.SoC, got.V1 - want.V1, got.V2 - want.V2, got.Hyst - want.Hyst, got.TempK - want.TempK} {
				worst[k] = max(worst[k], math.Abs(d))
			}
		}
		t.Logf("step %g s: SoC %.2g, v1 %.2g V, v2 %.2g V, h %.2g, T %.2g K", dt, worst[0], worst[1], worst[2], worst[3], worst[4])
		for k, limit := range [5]float64{4e-9, 2e-8, 2e-8, 4e-9, 1e-5} {
			if worst[k] > limit*dt*dt {
				t.Errorf("step %g s: state %d off by %g", dt, k, worst[k])
			}
		}
	}
}

func BenchmarkSweep(b *testing.B) {
	m := testModel(b)
	tick := kernel.NewTick(m, heatCapacity, 1)
	places := make([]kernel.Place, 416)
	for n := range places {
		places[n] = kernel.Place{Next: 0.38, Air: 0.25, Coolant: 0.2}
	}
	places[415].Next = 0
	for _, k := range kernel.Kernels() {
		b.Run(k.Name, func(b *testing.B) {
			blk, err := kernel.NewBlock(m, places, &tick)
			if err != nil {
				b.Fatal(err)
			}
			blk.Use(k)
			for n := range places {
				for l := range kernel.Lanes {
					blk.SetCell(n, l, kernel.Cell{State: cell.State{SoC: 0.4 + 0.001*float64((n*8+l)%200), TempK: 298.15}, Scatter: cell.Nominal})
				}
			}
			var row kernel.Row
			p := 450. * 416
			blk.Predict(&row)
			n := 0
			for b.Loop() {
				if n++; n%600 == 0 {
					p = -p
				}
				for l := range row {
					a, r := blk.Drive.A[l], blk.Drive.B[l]
					row[l] = 2 * p / (a + math.Sqrt(a*a+4*r*p))
				}
				blk.Step(&row, &row)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*416*8), "ns/cell")
		})
	}
}
