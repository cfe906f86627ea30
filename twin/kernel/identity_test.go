package kernel_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"yunchu/twin/cell"
	"yunchu/twin/kernel"
)

func TestKernelsAgree(t *testing.T) {
	m := testModel(t)
	tick := kernel.NewTick(m, heatCapacity, 1)
	places := make([]kernel.Place, 20)
	for n := range places {
		places[n] = kernel.Place{Next: 0.38, Air: 0.25, Coolant: 0.2}
	}
	places[19].Next = 0
	var want []kernel.Slot
	for _, k := range kernel.Kernels() {
		b, _ := kernel.NewBlock(m, places, &tick)
		b.Use(k)
		rng := rand.New(rand.NewPCG(1, 2))
		for n := range places {
			for l := range kernel.Lanes {
				b.SetCell(n, l, kernel.Cell{State: cell.State{SoC: rng.Float64(), Hyst: 2*rng.Float64() - 1, TempK: 280 + 30*rng.Float64()}, Scatter: cell.Scatter{Capacity: 0.9 + 0.2*rng.Float64(), Resistance: 0.9 + 0.2*rng.Float64()}, BleedA: rng.Float64() - .5})
			}
		}
		var row kernel.Row
		b.Predict(&row)
		for n := range 20000 {
			if n%100 == 0 {
				for l := range row {
					row[l] = 600 * (rng.Float64() - .5)
					if rng.IntN(10) == 0 {
						row[l] = 0
					}
				}
			}
			b.Step(&row, &row)
		}
		c := b.Checkpoint()
		if want == nil {
			want = c.Slots
			continue
		}
		for n := range want {
			if n < 20 && want[n] != c.Slots[n] {
				t.Fatalf("kernel %s differs at slot %d\n%v\n%v", k.Name, n, want[n], c.Slots[n])
			}
		}
		if math.IsNaN(want[0].Z[0]) {
			t.Fatal("nan")
		}
	}
}
