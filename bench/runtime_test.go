//go:build !nosim

package bench

import (
	"fmt"
	"testing"

	"yunchu/harness/run"
	"yunchu/harness/scenario"
	"yunchu/harness/simworld"
)

// BenchmarkRuntime is the whole runtime on the virtual clock: twins, gateway,
// ingest, log with its hash, image, dispatch every 2 s, guard, acknowledgements,
// history and all metrics, for an hour of simulated time per operation.
func BenchmarkRuntime(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprintf("devices=%d", n), func(b *testing.B) {
			text := fmt.Sprintf(`apiVersion: yunchu/v1
kind: Scenario
name: bench
duration: 1h
fleet: [{id: ess, count: %d, device: sim, soc: {mean: 55, spread: 8}, spread_percent: {capacity: 1, resistance: 3}}]
dispatch: {every: 2s, target: {csv: ../scenarios/inputs/regulation-1h.csv, column: regulation, scale_kw: %d}}
`, n, -80*n)
			s, err := scenario.Parse("runtime_test.go", []byte(text), scenario.Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := run.Do(b.Context(), s, run.Options{World: simworld.Open}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)*3600*float64(b.N)/b.Elapsed().Seconds(), "device-s/s")
		})
	}
}
