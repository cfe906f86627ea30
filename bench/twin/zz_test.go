package main

import (
	"fmt"
	"testing"

	"yunchu/twin/kernel"
)

func BenchmarkTurn(b *testing.B) {
	for _, cells := range []int{3328, 100000} {
		for _, scale := range []float64{1, 0.01} {
			w, err := newWork(cells)
			if err != nil {
				b.Fatal(err)
			}
			for n := range w.powers {
				for l := range w.powers[n] {
					w.powers[n][l] *= scale
				}
			}
			for _, k := range kernel.Kernels() {
				w.turn(k, 10_000_000)
				b.Run(fmt.Sprint(cells, "/", scale, "/", k.Name), func(b *testing.B) {
					var s float64
					n := 0
					for b.Loop() {
						s += w.turn(k, 10_000_000)
						n++
					}
					b.ReportMetric(s/float64(n), "ns/cell-step")
				})
			}
		}
	}
}
