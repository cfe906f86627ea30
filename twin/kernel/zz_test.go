package kernel_test

import (
	"fmt"
	"math"
	"testing"

	"yunchu/twin/cell"
	"yunchu/twin/kernel"
)

func BenchmarkSizes(b *testing.B) {
	m := testModel(b)
	tick := kernel.NewTick(m, heatCapacity, 1)
	for _, size := range []int{208, 416} {
		places := make([]kernel.Place, size)
		for n := range places {
			places[n] = kernel.Place{Next: 0.38, Air: 0.25, Coolant: 0.2}
		}
		places[size-1].Next = 0
		for _, k := range kernel.Kernels() {
			b.Run(fmt.Sprint(k.Name, size), func(b *testing.B) {
				blk, _ := kernel.NewBlock(m, places, &tick)
				blk.Use(k)
				for n := range places {
					for l := range kernel.Lanes {
						blk.SetCell(n, l, kernel.Cell{State: cell.State{SoC: 0.4 + 0.001*float64((n*8+l)%200), TempK: 298.15}, Scatter: cell.Nominal})
					}
				}
				var row kernel.Row
				p := 450. * float64(size)
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
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size*8), "ns/cell")
			})
		}
	}
}
