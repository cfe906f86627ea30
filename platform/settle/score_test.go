package settle_test

import (
	"math"
	"testing"

	"yunchu/platform/settle"
)

func shipped(t *testing.T, name string) *settle.Score {
	t.Helper()
	r, err := settle.ShippedScore(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func near(t *testing.T, what string, got, want, tol float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tol) {
		t.Errorf("%s: %.6g, want %.6g", what, got, want)
	}
}

// TestWorkedExamples: what the rules' own examples come to, parts, index and money.
func TestWorkedExamples(t *testing.T) {
	t.Parallel()
	quick := settle.Adjustment{Rate: 400, RateKW: 40e3, Delay: 2, Error: 0.5}
	north := settle.Adjustment{Rate: 60, RateKW: 60e3, Delay: 5, Error: 0.3} // 100 MW at 60 MW a minute, 0.3 MW off
	for _, tt := range []struct {
		rule  string
		a     settle.Adjustment
		parts []float64
		k     float64
	}{
		{"hunan", quick, []float64{3, 0.966667, 0.75}, 1.715},
		{"hunan", settle.Adjustment{Rate: -1, Delay: 90, Error: 50}, []float64{0, 0, 0}, 0},
		{"north-china", north, []float64{1.975, 1.8, 1.75}, 6.22125},
		{"north-china", settle.Adjustment{Delay: 300, Error: 40}, []float64{0.1, 0.1, 0.1}, 0.001},
		{"guangdong", settle.Adjustment{Rate: 200, Delay: 30, Error: 0.3}, []float64{2, 0.9, 0.8}, 0.25 * (2*2 + 0.9 + 0.8)},
		{"guangdong", quick, []float64{3, 0.993333, 0.666667}, 1.915},
		// At 60 MW a minute the rate still counts; beyond it a faster battery earns less.
		{"shanxi", north, []float64{1.975, 1.8, 1.75}, 6.22125},
		{"shanxi", settle.Adjustment{Rate: north.Rate, RateKW: 60000.00000000002, Delay: north.Delay, Error: north.Error}, []float64{1.975, 1.8, 1.75}, 6.22125},
		{"shanxi", settle.Adjustment{Rate: 61, RateKW: 61e3, Delay: 5, Error: 0.3}, []float64{0.1, 1.8, 1.75}, 0.315},
	} {
		r := shipped(t, tt.rule)
		for i, p := range r.Parts(tt.a) {
			near(t, tt.rule+" "+r.Terms[i].Name, p, tt.parts[i], 1e-6)
		}
		near(t, tt.rule, r.K(tt.a), tt.k, 1e-9)
	}

	nc := shipped(t, "north-china")
	near(t, "fee of North China", math.Round(100*nc.Fee(1, []settle.Mileage{{MW: 10, Price: nc.Price.Fixed, Index: nc.K(north)}}))/100, 141.40, 1e-9)
	near(t, "an index that is too low costs nothing", nc.Fee(1, []settle.Mileage{{MW: 10, Price: 5, Index: 0.3}}), 0, 0)
	hn := shipped(t, "hunan")
	// 1.715 is 1.72 in the rule's two decimals: 0.5 · (40 · 8 · 1.72 + 10 · 6 · 2).
	near(t, "fee of Hunan", hn.Fee(0.5, []settle.Mileage{{MW: 40, Price: 8, Index: 1.715}, {MW: 10, Price: 6, Index: 2.4}}), 335.2, 1e-9)

	pjm := shipped(t, "pjm")
	c, p := pjm.Credit(10, 0.9, 15, 2, 3)
	near(t, "capability credit", c, 135, 1e-9)
	near(t, "performance credit", p, 54, 1e-9)
	if c, p := pjm.Credit(10, 0.24, 15, 2, 3); c != 0 || p != 0 {
		t.Errorf("an hour below 0.25 earned %g and %g", c, p)
	}
	near(t, "mileage", settle.SignalMileage([]float64{0, 1, -1, -1, 0.5}), 4.5, 1e-12)
}

// TestShippedScores: every rule that ships says where it is from and how far it is verified.
func TestShippedScores(t *testing.T) {
	t.Parallel()
	if len(settle.ScoreNames()) != 5 {
		t.Errorf("rules: %v", settle.ScoreNames())
	}
	for _, name := range settle.ScoreNames() {
		r := shipped(t, name)
		if r.Name != name || r.Source == "" || len(r.Version) != len("2025-10-24") || (r.Standing != "verified" && len(r.Doubts) == 0) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if _, err := settle.ShippedScore("../../settle"); err == nil {
		t.Error("a rule that is none was found")
	}
	bad := settle.Score{Name: "x", Standing: "verified", Aggregation: "weighted", Terms: []settle.Term{{Of: "price", Form: "cube", Standard: 0, Least: 2, Most: 1}}}
	var keys []string
	for _, w := range bad.Check() {
		keys = append(keys, w.Key)
	}
	if len(keys) != 4 {
		t.Errorf("found wrong: %v; want form, of, standard and most of terms[0]", keys)
	}
}

// Worked from the formulas of SolveAGC, with 1.5 % of rated power and 20 s.
func TestKpIndex(t *testing.T) {
	t.Parallel()
	r := shipped(t, "north-china")
	for _, tt := range []struct {
		a     settle.Adjustment
		parts [3]float64
		kp    float64
	}{
		{settle.Adjustment{Rate: 1.5, Delay: 20, Error: 1.5}, [3]float64{1, 1, 1}, 1},
		{settle.Adjustment{Rate: 3, Delay: 10, Error: 0.75}, [3]float64{1.5, 1.5, 1.5}, 3.375},
		{settle.Adjustment{Rate: 150, Delay: 2, Error: 0.3}, [3]float64{1.99, 1.8, 1.9}, 6.8058},
		{settle.Adjustment{Rate: 0.75, Delay: 40, Error: 3}, [3]float64{0.1, 0.1, 0.1}, 0.001},
		{settle.Adjustment{Rate: 3, Delay: 10, Error: 50}, [3]float64{1.5, 0.1, 1.5}, 0.225},
		{settle.Adjustment{Rate: 0, Delay: 0, Error: 0}, [3]float64{0.1, 2, 2}, 0.4}, // did not move
		{settle.Adjustment{Rate: -1, Delay: 90, Error: 50}, [3]float64{0.1, 0.1, 0.1}, 0.001},
	} {
		got, kp := r.Parts(tt.a), r.K(tt.a)
		for i := range got {
			if math.Abs(got[i]-tt.parts[i]) > 1e-12 {
				t.Errorf("%+v: K%d = %g, want %g", tt.a, i+1, got[i], tt.parts[i])
			}
		}
		if math.Abs(kp-tt.kp) > 1e-9 {
			t.Errorf("%+v: Kp = %g, want %g", tt.a, kp, tt.kp)
		}
	}
}
