package kernel_test

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"yunchu/twin/cell"
	"yunchu/twin/kernel"
)

// unlike returns strings of n cells that differ in everything.
func unlike(t testing.TB, n int, dt float64) *kernel.Block {
	t.Helper()
	m := testModel(t)
	tick := kernel.NewTick(m, heatCapacity, dt)
	places := make([]kernel.Place, n)
	for n := range places {
		places[n] = kernel.Place{Next: 0.38 * float64(n%16&1), Air: 0.25, Coolant: 0.2 * float64(n%3)}
	}
	places[n-1].Next = 0
	b, err := kernel.NewBlock(m, places, &tick)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range places {
		for l := range kernel.Lanes {
			x := kernel.Cell{
				State:   cell.State{SoC: 1.2*rng.Float64() - 0.1, V1: 0.02 * rng.NormFloat64(), V2: 0.02 * rng.NormFloat64(), Hyst: 2*rng.Float64() - 1, TempK: 260 + 60*rng.Float64()},
				Scatter: cell.Scatter{Capacity: 0.9 + 0.2*rng.Float64(), Resistance: 0.9 + 0.2*rng.Float64()},
			}
			if n%5 == 0 {
				x.BleedA, x.HeatW = rng.Float64()-0.5, 10*rng.Float64()
			}
			b.SetCell(n, l, x)
		}
	}
	for l := range kernel.Lanes {
		b.Drive.Air[l], b.Drive.AirK[l] = 290+float64(l), float64(l%2)
		b.Drive.Coolant[l], b.Drive.CoolantK[l] = 285+float64(l), 0.3+0.1*float64(l)
	}
	return b
}

// drive steps b by currents that jump, rest and change sign, some of them unforeseen.
func drive(b *kernel.Block, from, to int) {
	for n := from; n < to; n++ {
		rng := rand.New(rand.NewPCG(3, uint64(n/7)))
		var i, next kernel.Row
		for l := range i {
			i[l] = 600 * (rng.Float64() - 0.5)
			if rng.IntN(4) == 0 {
				i[l] = 0
			}
			next[l] = i[l] * (1 + 0.01*float64(n%3))
		}
		b.Step(&i, &next)
	}
}

// All kernels leave the same bits in all that a block remembers, over strings that
// need several calls.
func TestKernelsAgree(t *testing.T) {
	kernels := kernel.Kernels()
	for _, n := range []int{1, 2, 20, 512, 513, 600} {
		for _, dt := range []float64{1, 10} {
			var want kernel.Checkpoint
			for k, kern := range kernels {
				b := unlike(t, n, dt)
				b.Use(kern)
				b.Predict(&kernel.Row{})
				drive(b, 0, 4000/n+100)
				got := b.Checkpoint()
				if k == 0 {
					want = got
					if z := got.Slots[0].Z[0]; math.IsNaN(z) || z == unlike(t, n, dt).Slot(0).Z[0] {
						t.Fatalf("nothing moved: %g", z)
					}
					continue
				}
				for s := range want.Slots {
					if got.Slots[s] != want.Slots[s] {
						t.Fatalf("%d cells, %g s: slot %d of %s is\n%+v\nand of %s\n%+v", n, dt, s, kern.Name, got.Slots[s], kernels[0].Name, want.Slots[s])
					}
				}
				if got.Drive != want.Drive {
					t.Fatalf("%d cells, %g s: the drive of %s is\n%+v\nand of %s\n%+v", n, dt, kern.Name, got.Drive, kernels[0].Name, want.Drive)
				}
			}
		}
	}
	t.Logf("%d kernels", len(kernels))
}

// A block goes on from a checkpoint bit by bit, on any kernel.
func TestCheckpointGoesOn(t *testing.T) {
	want := unlike(t, 30, 1)
	want.Predict(&kernel.Row{})
	drive(want, 0, 500)
	half := want.Checkpoint()
	drive(want, 500, 1000)
	for _, k := range kernel.Kernels() {
		b := unlike(t, 30, 1)
		b.Use(k)
		if err := b.Restore(half); err != nil {
			t.Fatal(err)
		}
		drive(b, 500, 1000)
		if !reflect.DeepEqual(b.Checkpoint(), want.Checkpoint()) {
			t.Errorf("%s goes on in another way", k.Name)
		}
	}
}

// What a string takes in is stored or becomes heat, what its cells give off arrives,
// and charge is counted: step by step, whatever the cells do.
func TestBooksOfABlockClose(t *testing.T) {
	b := unlike(t, 40, 1)
	b.Predict(&kernel.Row{})
	rng := rand.New(rand.NewPCG(5, 5))
	for n := range 2000 {
		var i kernel.Row
		for l := range i {
			i[l] = 300 * (rng.Float64() - 0.5) * float64(n/50%3)
		}
		var before, after [kernel.Lanes]struct{ heat, charge, flow float64 }
		for l := range kernel.Lanes {
			for c := range b.Len() {
				s := b.Slot(c)
				before[l].heat += heatCapacity * s.T[l]
				before[l].charge += s.Z[l] * b.Coulombs(c, l)
				before[l].flow += i[l] - s.Bleed[l]
				after[l].heat -= s.Heat[l]
			}
		}
		volts := func(l int) float64 { return b.Drive.A[l] + b.Drive.B[l]*i[l] }
		var power [kernel.Lanes]float64
		for l := range power {
			power[l] = volts(l) * i[l]
		}
		b.Step(&i, &i)
		d := &b.Drive
		for l := range kernel.Lanes {
			for c := range b.Len() {
				s := b.Slot(c)
				after[l].heat += heatCapacity * s.T[l]
				after[l].charge += s.Z[l] * b.Coulombs(c, l)
			}
			if off := power[l] - d.Stored[l] - d.Over[l] - d.Bled[l]; math.Abs(off) > 1e-9*(1+math.Abs(power[l])) {
				t.Fatalf("step %d, string %d: %g W of %g are nowhere", n, l, off, power[l])
			}
			made := d.Over[l] + d.Entropic[l] - d.ToAir[l] - d.ToCoolant[l]
			if off := after[l].heat - before[l].heat - made; math.Abs(off) > 1e-6 { // of 6e7 J
				t.Fatalf("step %d, string %d: %g J of heat are nowhere", n, l, off)
			}
			if off := after[l].charge - before[l].charge - before[l].flow; math.Abs(off) > 1e-7 { // of 4e7 A*s
				t.Fatalf("step %d, string %d: %g A*s are nowhere", n, l, off)
			}
		}
	}
}
