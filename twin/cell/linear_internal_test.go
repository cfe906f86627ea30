package cell

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func linearModel(t testing.TB) *Model {
	t.Helper()
	m, err := New(Params{
		CapacityAh: 280, CoulombicEfficiency: 0.99, TRefK: 298.15, RGas: 8.314462618,
		OCV: tables[0], HalfGap: tables[1], Gamma: 30, Entropy: tables[2], Resistance: tables[3],
		Fraction: [3]float64{0.4, 0.25, 0.35}, Activation: [3]float64{10e3, 18e3, 22e3}, Tau: [2]float64{12, 480},
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestBendIsMeanOverMiddle(t *testing.T) {
	m := linearModel(t)
	r := tables[3]
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.Float64Range(0, 1).Draw(t, "a")
		b := rapid.Float64Range(0, 1).Draw(t, "b")
		want := 1.0
		if i := m.grid.find(a); b < m.grid.spans[i].from || b > m.grid.spans[i].to {
			want = (r.primitive(b) - r.primitive(a)) / (b - a) / r.at((a+b)/2)
		}
		if got := m.grid.bend(m.grid.find(a), a, b); math.Abs(got-want) > 1e-11*(1+1e-3/math.Abs(b-a)) {
			t.Fatalf("bend from %g to %g is %.14g, want %.14g", a, b, got, want)
		}
	})
}

// However absurd a state of charge, it lies in a span.
func TestGridHasNoEnd(t *testing.T) {
	g := &linearModel(t).grid
	for _, z := range []float64{-1e300, -1e12, -2, 0.5, 2, 1e12, 1e300, math.Inf(1), math.Inf(-1)} {
		if s := &g.spans[g.find(z)]; (z < s.from && s != &g.spans[0]) || (z >= s.to && s != &g.spans[len(g.spans)-1]) {
			t.Errorf("%g is found in %g..%g", z, s.from, s.to)
		}
		for _, a := range []float64{-3, 0.5, 3} {
			i := g.find(a)
			if b := g.bend(i, a, z); math.Abs(z) <= 1e12 && !(b > 0) {
				t.Errorf("bend from %g to %g is %g", a, z, b)
			}
			if z != a {
				g.mean(i, a, z)
			}
		}
	}
}

func drawCell(t *rapid.T, m *Model) Cell {
	f := func(name string, low, high float64) float64 { return rapid.Float64Range(low, high).Draw(t, name) }
	return m.Cell(
		State{SoC: f("soc", 0.05, 0.95), V1: f("v1", -0.03, 0.03), V2: f("v2", -0.03, 0.03), Hyst: f("h", -1, 1), TempK: f("K", 263, 323)},
		Scatter{Capacity: f("kQ", 0.9, 1.1), Resistance: f("kR", 0.8, 1.2)})
}

// Where no table bends, a trial with a current is the step with this current.
func TestTrialIsTheStep(t *testing.T) {
	m := linearModel(t)
	tick := m.Tick(1)
	rapid.Check(t, func(t *rapid.T) {
		a := drawCell(t, m)
		b := a
		i := rapid.Float64Range(-300, 300).Draw(t, "A")
		if s := m.grid.spans[a.at]; a.s.SoC < s.from+1e-3 || a.s.SoC > s.to-1e-3 {
			t.Skip("at a knot")
		}
		var trial Trial
		var f, g Flow
		trial.Begin(&a, i, a.TempK()+0.01, &tick)
		trial.Try(&a, i)
		trial.End(&a, &tick, &f)
		b.StepCurrent(i, b.TempK()+0.01, &tick, &g)
		if a.State() != b.State() || f != g {
			t.Fatalf("trial %+v %+v, step %+v %+v", a.State(), f, b.State(), g)
		}
	})
}

// The line of a trial touches the mean voltage at the current tried last, across knots
// of the tables as well.
func TestTrialLineTouches(t *testing.T) {
	m := linearModel(t)
	rapid.Check(t, func(t *rapid.T) {
		tick := m.Tick(rapid.Float64Range(0.1, 120).Draw(t, "s"))
		c := drawCell(t, m)
		i := rapid.Float64Range(20, 300).Draw(t, "A") * rapid.SampledFrom([]float64{-1, 1}).Draw(t, "sign")
		var trial Trial
		trial.Begin(&c, i, c.TempK(), &tick)
		v := trial.Try(&c, i)
		e, r := trial.Line(&c)
		if math.Abs(e+r*i-v) > 1e-14*(1+r*math.Abs(i)) {
			t.Fatalf("the line has %.15g V at %g A, the trial %.15g V", e+r*i, i, v)
		}
		const d = 0.01
		slope := (trial.Try(&c, i+d) - trial.Try(&c, i-d)) / (2 * d)
		if math.Abs(r/slope-1) > 0.1 { // the curvature of the hysteresis is left out
			t.Fatalf("slope %g ohm, the voltages say %g ohm", r, slope)
		}
	})
}
