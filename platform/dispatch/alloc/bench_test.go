package alloc_test

import (
	"fmt"
	"testing"

	"yunchu/platform/dispatch/alloc"
)

// BenchmarkSolve moves the target over the whole range of a mixed fleet.
//
//   - first: a new Solver for each problem, its scratch memory included
//   - moving: one Solver, another target each time (the way dispatch works)
//   - again: one Solver, one target; there is no warm start, so this is the price of
//     one more solution with all data as near as it can be
func BenchmarkSolve(b *testing.B) {
	for _, n := range []int{1e3, 1e4, 1e5, 1e6} {
		p := fleet(n, 1)
		lo, hi := total(p.Lo), total(p.Hi)
		x := make([]float64, n)
		for _, mode := range []string{"first", "moving", "again"} {
			b.Run(fmt.Sprintf("%d/%s", n, mode), func(b *testing.B) {
				var s alloc.Solver
				k, steps := 0, 0
				for b.Loop() {
					at := 0.4
					switch mode {
					case "first":
						s = alloc.Solver{}
						fallthrough
					case "moving":
						at = 0.02 + 0.96*float64(k*31%97)/97
					}
					res, err := s.Solve(p, lo+at*(hi-lo), x)
					if err != nil {
						b.Fatal(err)
					}
					k++
					steps += res.Steps
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/1e3/float64(k), "ms/op")
				b.ReportMetric(float64(steps)/float64(k), "steps/op")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}
