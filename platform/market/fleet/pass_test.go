package fleet

import "testing"

// BenchmarkRound is one look at 64 stores, at prices at which limits bind and narrow as in the last stages.
func BenchmarkRound(b *testing.B) {
	p := feeder(64, 4)
	s := newSolver(p)
	if _, _, err := s.stages(b.Context(), first*s.spread, 0, 1e-5); err != nil {
		b.Fatal(err)
	}
	s.stay()
	g := &s.parts[0]
	for b.Loop() {
		s.work(g, 0.01*s.spread)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64/192, "ns/unit")
}
