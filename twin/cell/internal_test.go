package cell

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

var tables = [4]Table{
	{SoC: []float64{0.02, 0.05, 0.1, 0.3, 0.98}, Value: []float64{2.3, 3.05, 3.2, 3.27, 3.53}},
	{SoC: []float64{0, 0.5, 1}, Value: []float64{0.015, 0.0094, 0.012}},
	{SoC: []float64{0, 0.4, 1}, Value: []float64{-4.9e-4, 1e-4, 1.2e-4}},
	{SoC: []float64{0.1, 0.3, 0.9}, Value: []float64{5.3e-4, 4.8e-4, 5.1e-4}},
}

// The union of the knots must not change any table.
func TestGridInterpolates(t *testing.T) {
	g := newGrid(tables[0], tables[1], tables[2], tables[3])
	rapid.Check(t, func(t *rapid.T) {
		z := rapid.Float64Range(-0.5, 1.5).Draw(t, "z")
		if rapid.Bool().Draw(t, "at a knot") {
			z = rapid.SampledFrom([]float64{0, 0.02, 0.05, 0.1, 0.3, 0.4, 0.5, 0.9, 0.98, 1}).Draw(t, "knot")
		}
		i := g.find(z)
		s := &g.spans[i]
		if z < s.from || z >= s.to {
			t.Fatalf("find(%g) = span %d, %g..%g", z, i, s.from, s.to)
		}
		if j := g.near(rapid.IntRange(0, len(g.spans)-1).Draw(t, "hint"), z); j != i {
			t.Fatalf("near(%g) = %d, want %d", z, j, i)
		}
		d := z - s.from
		for k, got := range []float64{s.u + s.du*d, s.m + s.dm*d, s.e + s.de*d, s.r + s.dr*d} {
			if want := tables[k].at(z); math.Abs(got-want) > 1e-14*(1+math.Abs(want)) {
				t.Fatalf("table %d at %g: %g, want %g", k, z, got, want)
			}
		}
	})
}

// primitive is the integral of t from its first knot to z, worked out knot by knot.
func (t Table) primitive(z float64) (sum float64) {
	if z < t.SoC[0] {
		return (z - t.SoC[0]) * t.Value[0]
	}
	for i := 1; i < len(t.SoC); i++ {
		end := min(z, t.SoC[i])
		if end > t.SoC[i-1] {
			sum += (end - t.SoC[i-1]) * (t.at(end) + t.Value[i-1]) / 2
		}
	}
	n := len(t.SoC) - 1
	return sum + max(z-t.SoC[n], 0)*t.Value[n]
}

func TestGridMeanIsIntegral(t *testing.T) {
	g := newGrid(tables[0], tables[1], tables[2], tables[3])
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.Float64Range(-0.1, 1.1).Draw(t, "a")
		b := rapid.Float64Range(-0.1, 1.1).Draw(t, "b")
		i := g.find(a)
		if s := &g.spans[i]; b >= s.from && b <= s.to {
			t.Skip("within one span")
		}
		u, e := g.mean(i, a, b)
		for k, got := range map[int]float64{0: u, 2: e} {
			if want := (tables[k].primitive(b) - tables[k].primitive(a)) / (b - a); math.Abs(got-want) > 1e-11*(1+1/math.Abs(b-a)) {
				t.Fatalf("mean of table %d over %g..%g is %.12g, want %.12g", k, a, b, got, want)
			}
		}
	})
}

func TestArrheniusMatchesExponential(t *testing.T) {
	a := newArrhenius([3]float64{10e3, 18e3, 22e3}, 298.15, 8.314462618)
	rapid.Check(t, func(t *rapid.T) {
		temp := rapid.Float64Range(150, 600).Draw(t, "K")
		away := rapid.Float64Range(-0.5, 0.5).Draw(t, "away")
		want := a.exact(temp)
		var at, base factors
		a.at(temp, &at)
		a.at(temp-away, &base)
		f0, f1, f2 := a.nearby(&base, away)
		for k, near := range []float64{f0, f1, f2} {
			if math.Abs(at.f[k]/want[k]-1) > 2e-11 || math.Abs(near/want[k]-1) > 2e-10 {
				t.Fatalf("factor %d at %g K: %.15g, from %g K away %.15g, want %.15g", k, temp, at.f[k], away, near, want[k])
			}
		}
	})
}

func TestPhi(t *testing.T) {
	for x := 1e-12; x < 50; x *= 1.7 {
		if got, want := phi(x), -math.Expm1(-x)/x; math.Abs(got-want) > 2e-14 {
			t.Errorf("phi(%g) = %.16g, want %.16g", x, got, want)
		}
	}
	if phi(0) != 1 {
		t.Errorf("phi(0) = %g, want 1", phi(0))
	}
}
