package metric_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"yunchu/harness/metric"
	"yunchu/harness/scenario"
)

// sorted quantile of rank ⌈qn⌉, the definition every histogram approximates.
func exactQuantile(vs []float64, q float64) float64 {
	s := slices.Sorted(slices.Values(vs))
	return s[max(int(math.Ceil(q*float64(len(s))-1e-9)), 1)-1]
}

func TestLatencyQuantiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	d := metric.NewLatency()
	var vs []float64
	for range 200_000 {
		v := math.Exp(2 + rng.NormFloat64())
		vs = append(vs, v)
		d.Add(v)
	}
	for _, q := range []float64{0.5, 0.9, 0.95, 0.99, 0.999} {
		want := exactQuantile(vs, q)
		if got := d.Quantile(q); math.Abs(got-want) > 1e-3*want+1e-3 {
			t.Errorf("quantile %g = %g, want %g within 0.1 %%", q, got, want)
		}
	}
	for stat, want := range map[string]float64{"min": slices.Min(vs), "max": slices.Max(vs), "last": vs[len(vs)-1], "count": 200_000} {
		if got, _, err := d.Stat(stat); err != nil || got != want {
			t.Errorf("%s = %g, %v, want %g", stat, got, err, want)
		}
	}
}

func TestLatencyKeepsItsBounds(t *testing.T) {
	d := metric.NewLatency()
	for _, v := range []float64{-1, math.NaN(), math.Inf(1)} {
		d.Add(v)
	}
	if d.N() != 0 || d.Bad() != 3 {
		t.Errorf("unusable values: n %d, bad %d, want 0 and 3", d.N(), d.Bad())
	}
	if _, _, err := d.Stat("p99"); !errors.Is(err, metric.ErrNoData) {
		t.Errorf("p99 of nothing: %v, want ErrNoData", err)
	}
	d.Add(0)
	d.Add(1e12)
	if got := d.Quantile(1); got != 1e12 {
		t.Errorf("max = %g, want 1e12", got)
	}
}

func TestRangeQuantiles(t *testing.T) {
	tests := []struct {
		name      string
		lo, hi    float64
		draw      func(*rand.Rand) float64
		tolerance float64
	}{
		{"state of charge", 0, 100, func(r *rand.Rand) float64 { return min(max(50+15*r.NormFloat64(), 0), 100) }, 0.005},
		{"power of both signs", -100, 100, func(r *rand.Rand) float64 { return 200*r.Float64() - 100 }, 0.01},
		// Eight times too wide: steps of 20/20000·8, a value is within half of that.
		{"range guessed too small", -10, 10, func(r *rand.Rand) float64 { return 60 * r.NormFloat64() }, 0.02},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(3, 4))
			d := metric.NewRange(tt.lo, tt.hi)
			var vs []float64
			for range 500 {
				step := make([]float64, 200)
				for i := range step {
					step[i] = tt.draw(rng)
				}
				vs = append(vs, step...)
				d.AddAll(step)
			}
			for _, q := range []float64{0, 0.05, 0.5, 0.9, 0.99, 0.999, 1} {
				want := exactQuantile(vs, q)
				if got := d.Quantile(q); math.Abs(got-want) > tt.tolerance {
					t.Errorf("quantile %g = %g, want %g ± %g", q, got, want, tt.tolerance)
				}
			}
		})
	}
}

func TestRangeExactAtWholeSteps(t *testing.T) {
	d := metric.NewRange(0, 100)
	d.AddAll([]float64{5, 50, 100, math.NaN()})
	for q, want := range map[float64]float64{0.01: 5, 0.5: 50, 1: 100} {
		if got := d.Quantile(q); math.Abs(got-want) > 1e-9 {
			t.Errorf("quantile %g = %v, want %v", q, got, want)
		}
	}
	if d.N() != 3 || d.Bad() != 1 {
		t.Errorf("n %d, bad %d, want 3 and 1", d.N(), d.Bad())
	}
}

// Merging in any grouping gives the histogram of all values, also when one part
// had to widen and the other had not.
func TestMerge(t *testing.T) {
	make2 := map[string]func() *metric.Dist{
		"latency": metric.NewLatency,
		"range":   func() *metric.Dist { return metric.NewRange(0, 10) },
	}
	for name, mk := range make2 {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(5, 6))
			all, a, b := mk(), mk(), mk()
			for i := range 20_000 {
				v := 10 * rng.Float64()
				if i >= 12_000 {
					v *= 5
				}
				all.Add(v)
				if i < 12_000 {
					a.Add(v)
				} else {
					b.Add(v)
				}
			}
			a.Merge(b)
			for _, q := range []float64{0, 0.1, 0.5, 0.9, 0.999, 1} {
				if got, want := a.Quantile(q), all.Quantile(q); got != want {
					t.Errorf("quantile %g = %v, want %v", q, got, want)
				}
			}
			if a.N() != all.N() || math.Abs(a.Mean()-all.Mean()) > 1e-9 {
				t.Errorf("n %d mean %g, want %d and %g", a.N(), a.Mean(), all.N(), all.Mean())
			}
			_, got, _ := a.Stat("mean")
			_, want, _ := all.Stat("mean")
			if math.IsNaN(got[0]) || !(got[0] < all.Mean() && all.Mean() < got[1]) || got[1]-got[0] > 2*(want[1]-want[0]) {
				t.Errorf("interval of the mean %v, of the whole %v", got, want)
			}
		})
	}
}

// The intervals are what they claim: they hold the truth in about 95 of 100 draws.
func TestIntervalsCover(t *testing.T) {
	const runs = 400
	hits := map[string]int{}
	for i := range uint64(runs) {
		rng := rand.New(rand.NewPCG(i, 7))
		d := metric.NewLatency()
		for range 2000 {
			d.Add(10 * rng.ExpFloat64())
		}
		for stat, truth := range map[string]float64{"p50": 10 * math.Ln2, "p90": 10 * math.Log(10), "p99": 10 * math.Log(100), "mean": 10} {
			if _, ci, err := d.Stat(stat); err == nil && ci[0] <= truth && truth <= ci[1] {
				hits[stat]++
			}
		}
	}
	for _, stat := range []string{"p50", "p90", "p99", "mean"} {
		// Three standard deviations of a binomial around 95 %; order statistics may be a little wider.
		if h := float64(hits[stat]) / runs; h < 0.917 || h > 0.995 {
			t.Errorf("%s: interval held the truth in %.1f %% of runs, want about 95 %%", stat, 100*h)
		}
	}
}

func TestSmallSamplesClaimNoBound(t *testing.T) {
	d := metric.NewLatency()
	for i := range 100 {
		d.Add(float64(i))
	}
	_, ci, err := d.Stat("p999")
	if err != nil || !math.IsInf(ci[1], 1) {
		t.Errorf("p999 of 100 values: interval %v, %v, want no upper end", ci, err)
	}
	if _, ci, _ := d.Stat("p50"); math.IsInf(ci[1], 1) || ci[0] < 35 || ci[1] > 65 {
		t.Errorf("p50 of 0..99: interval %v, want about 40..60", ci)
	}
}

func TestOrderRanks(t *testing.T) {
	// Textbook value: the median of 20 lies between the 6th and the 15th with 95.9 %.
	if l, u := metric.OrderRanks(20, 0.5, 0.95); l != 6 || u != 15 {
		t.Errorf("median of 20: ranks %d..%d, want 6..15", l, u)
	}
	// The two ways of computing meet where they change over (standard deviation 100).
	for _, q := range []float64{0.5, 0.9, 0.99, 0.999} {
		n := int64(100 * 100 / (q * (1 - q)))
		l0, u0 := metric.OrderRanks(n-n/1000, q, 0.95)
		l1, u1 := metric.OrderRanks(n+n/1000, q, 0.95)
		step := q * float64(n) / 500
		if d := float64(l1 - l0); math.Abs(d-step) > 3 {
			t.Errorf("q %g: lower rank jumps by %g, want %g", q, d, step)
		}
		if d := float64(u1 - u0); math.Abs(d-step) > 3 {
			t.Errorf("q %g: upper rank jumps by %g, want %g", q, d, step)
		}
	}
}

func TestClopperPearson(t *testing.T) {
	tests := []struct {
		ok, n  int64
		lo, hi float64
	}{
		{8, 10, 0.443905, 0.974789},
		{0, 10, 0, 0.308497},
		{10, 10, 0.691503, 1},
		{95, 100, 0.887165, 0.983569},
		{3000, 3000, 1 - 0.00122887, 1},
		// Rare failures follow the exact Poisson limits: 3 → 0.618672..8.767273.
		{86_400_000 - 3, 86_400_000, 1 - 8.767273/86.4e6, 1 - 0.618672/86.4e6},
	}
	for _, tt := range tests {
		ci := metric.ClopperPearson(tt.ok, tt.n, 0.95)
		tolerance := 1e-6 * max(1-tt.lo, 1e-9) * 10
		if math.Abs(ci[0]-tt.lo) > tolerance || math.Abs(ci[1]-tt.hi) > tolerance {
			t.Errorf("%d of %d: %.9f..%.9f, want %.9f..%.9f", tt.ok, tt.n, ci[0], ci[1], tt.lo, tt.hi)
		}
	}
	// Half of very many: symmetric, and as wide as the normal approximation says.
	ci := metric.ClopperPearson(50_000_000, 100_000_000, 0.95)
	if h := 1.959964 * 0.5 / 1e4; math.Abs(ci[1]-0.5-h) > 1e-7 || math.Abs(0.5-ci[0]-h) > 1e-7 {
		t.Errorf("half of 1e8: %v, want 0.5 ± %g", ci, h)
	}
	if ci := metric.ClopperPearson(0, 0, 0.95); !math.IsNaN(ci[0]) || !math.IsNaN(ci[1]) {
		t.Errorf("no trials: %v, want NaN", ci)
	}
}

func TestTrialsFor(t *testing.T) {
	for failures, want := range map[int64]int64{0: 2995, 1: 4742, 2: 6294} {
		if got := metric.TrialsFor(0.999, 0.95, failures); got != want {
			t.Errorf("99.9 %% with %d failures needs %d trials, want %d", failures, got, want)
		}
	}
}

func TestLimit(t *testing.T) {
	tests := []struct {
		limit string
		v     float64
		want  bool
	}{
		{"<= 0.02", 0.02, true},
		{"<= 0.02", 0.0201, false},
		{"< 100", 100, false},
		{"<100", 99, true},
		{">= 5", 5, true},
		{"> 5", 5, false},
		{"== 0", 0, true},
		{"== 0", 1, false},
		{">= -5", -4, true},
		{"<= 1", math.NaN(), false},
		{">= 1", math.NaN(), false},
		{"== 0", math.NaN(), false},
	}
	for _, tt := range tests {
		l, err := scenario.ParseLimit(tt.limit)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.Holds(tt.v); got != tt.want {
			t.Errorf("%v %s: %v, want %v", tt.v, tt.limit, got, tt.want)
		}
	}
	for _, s := range []string{"", "5", "<", "< five", "<= 5 ms", "<= NaN", "!= 3"} {
		if l, err := scenario.ParseLimit(s); err == nil {
			t.Errorf("limit %q was read as %v", s, l)
		}
	}
}

func TestBander(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 9))
	var b metric.Bander
	vs := make([]float64, 1000)
	for i := range vs {
		vs[i] = 50 + 10*rng.NormFloat64()
	}
	got := b.Of(append(vs, math.NaN()))
	tol := (got.Max - got.Min) / 4096
	for i, v := range []float64{got.Min, got.P5, got.P25, got.P50, got.P75, got.P95, got.Max} {
		if want := exactQuantile(vs, []float64{0, 0.05, 0.25, 0.5, 0.75, 0.95, 1}[i]); math.Abs(v-want) > tol {
			t.Errorf("percentile %d = %g, want %g", i, v, want)
		}
	}
	if got := b.Of([]float64{7, 7}); got.Min != 7 || got.P95 != 7 || got.Mean != 7 {
		t.Errorf("band of a constant: %+v", got)
	}
	if got := b.Of(nil); !math.IsNaN(got.P50) {
		t.Errorf("band of nothing: %+v, want NaN", got)
	}
}

func BenchmarkAddAll(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	vs := make([]float64, 1000)
	for i := range vs {
		vs[i] = 50 + 10*rng.NormFloat64()
	}
	d := metric.NewRange(0, 100)
	b.ReportAllocs()
	for b.Loop() {
		d.AddAll(vs)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/value")
}

func BenchmarkLatency(b *testing.B) {
	d := metric.NewLatency()
	b.ReportAllocs()
	v := 1.0
	for b.Loop() {
		if v += 0.37; v > 100 {
			v = 1
		}
		d.Add(v)
	}
}
