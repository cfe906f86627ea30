package forecast_test

import (
	"math"
	"testing"

	"yunchu/platform/forecast"
)

func near(got, want float64) bool { return math.Abs(got-want) <= 1e-12 }

func TestScores(t *testing.T) {
	got := forecast.Compare([]float64{1, 4, 0}, []float64{2, 2, 0})
	// |e| = 1, 2, 0; sMAPE 100·(1/1.5 + 2/3 + 0)/3
	if !near(got.MAE, 1) || !near(got.RMSE, math.Sqrt(5.0/3)) || math.Abs(got.SMAPE-400.0/9) > 1e-9 || got.N != 3 {
		t.Errorf("%+v", got)
	}
}

func TestPinball(t *testing.T) {
	for _, tt := range []struct{ level, q, y, want float64 }{
		{0.9, 10, 12, 1.8},
		{0.9, 10, 8, 0.2},
		{0.5, 3, 3, 0},
	} {
		if got := forecast.Pinball(tt.level, tt.q, tt.y); !near(got, tt.want) {
			t.Errorf("level %g, quantile %g, value %g: %g, want %g", tt.level, tt.q, tt.y, got, tt.want)
		}
	}
	got := forecast.MeanPinball([]float64{0.1, 0.9}, [][]float64{{8, 10}}, []float64{12})
	if !near(got, (0.4+1.8)/2) {
		t.Errorf("mean over levels: %g", got)
	}
}

// TestDieboldMariano by hand: two steps a day, daily sums of |e| 1, 3, 2, 2 against 2, 4, 5, 1.
// d = −1, −1, −3, 1; mean −1, variance (0+0+4+4)/4 = 2; −1/√(2/4) = −√2; Φ(−√2) = 0.0786496…
func TestDieboldMariano(t *testing.T) {
	truth := make([]float64, 8)
	first := []float64{1, 0, 1, -2, -1, 1, 0, 2}
	second := []float64{1, 1, -2, 2, 5, 0, -1, 0}
	stat, p := forecast.DieboldMariano(first, second, truth, 2)
	if !near(stat, -math.Sqrt2) || math.Abs(p-0.0786496) > 1e-7 {
		t.Errorf("statistic %g, p %g", stat, p)
	}
	if stat, p = forecast.DieboldMariano(second, first, truth, 2); !near(stat, math.Sqrt2) || math.Abs(p-0.9213504) > 1e-7 {
		t.Errorf("the other way round: statistic %g, p %g", stat, p)
	}
	if stat, p = forecast.DieboldMariano(first, first, truth, 2); stat != 0 || p != 0.5 {
		t.Errorf("the same: statistic %g, p %g", stat, p)
	}
	// Always the same difference leaves no doubt, and is still a number.
	if stat, p = forecast.DieboldMariano([]float64{1, 1}, []float64{2, 2}, make([]float64, 2), 1); stat > -1e300 || math.IsInf(stat, 0) || p != 0 {
		t.Errorf("better by 1 every day: statistic %g, p %g", stat, p)
	}
}
