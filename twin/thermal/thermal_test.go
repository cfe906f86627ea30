package thermal_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"yunchu/twin/thermal"
)

func TestStepIsExact(t *testing.T) {
	const capacity, g, env, q, t0 = 5425.0, 0.63, 278.15, 12.0, 310.0
	for _, dt := range []float64{0.01, 1, 900, 1e6} {
		want := env + q/g + (t0-env-q/g)*math.Exp(-g*dt/capacity)
		if got := thermal.NewStep(capacity, g, dt).Next(t0, env, q); math.Abs(got-want) > 1e-10 {
			t.Errorf("after %g s: %.12g K, want %.12g K", dt, got, want)
		}
	}
}

func TestStepWithoutConductance(t *testing.T) {
	if got := thermal.NewStep(100, 0, 10).Next(300, 0, 5); got != 300.5 {
		t.Errorf("%g K, want 300.5: 50 J into 100 J/K", got)
	}
}

func TestStepDoesNotDependOnCuts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := rapid.Float64Range(0, 5).Draw(t, "g")
		dt := rapid.Float64Range(0.01, 1e4).Draw(t, "dt")
		cut := rapid.Float64Range(0.01, 0.99).Draw(t, "cut")
		q := rapid.Float64Range(-50, 50).Draw(t, "q")
		whole := thermal.NewStep(5000, g, dt).Next(300, 280, q)
		half := thermal.NewStep(5000, g, cut*dt).Next(300, 280, q)
		if both := thermal.NewStep(5000, g, dt-cut*dt).Next(half, 280, q); math.Abs(both-whole) > 1e-9 {
			t.Fatalf("in two parts %g K, at once %g K", both, whole)
		}
	})
}

func TestJoin(t *testing.T) {
	p := thermal.Join(thermal.Path{Conductance: 1, TempK: 300}, thermal.Path{Conductance: 3, TempK: 280})
	if p.Conductance != 4 || math.Abs(p.TempK-285) > 1e-12 {
		t.Errorf("Join = %+v, want 4 W/K to 285 K", p)
	}
	if p := thermal.Join(); p != (thermal.Path{}) {
		t.Errorf("Join() = %+v, want nothing", p)
	}
}
