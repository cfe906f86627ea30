package settle_test

import (
	"encoding/csv"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"yunchu/platform/settle"
)

func marketCSV(t *testing.T, name string) [][]string {
	t.Helper()
	dir := os.Getenv("YUNCHU_DATA")
	if dir == "" {
		t.Skip("YUNCHU_DATA is not set: the reference signal is not part of the repository")
	}
	f, err := os.Open(filepath.Join(dir, "market", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.FieldsPerRecord = -1
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows[1:]
}

func number(t *testing.T, s string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestPJMScoreReproducesGolden(t *testing.T) {
	var signal []float64 // every 2 s
	for _, row := range marketCSV(t, "regd_pjm_2s_24h_noisy.csv") {
		signal = append(signal, number(t, row[2]))
	}
	respond := map[string]func(x []float64) []float64{
		"perfect": func(x []float64) []float64 { return x },
		"delay 4 s": func(x []float64) []float64 {
			return append(make([]float64, 2), x[:len(x)-2]...)
		},
		"first order tau 5 s": func(x []float64) []float64 {
			y := make([]float64, len(x))
			for i := 1; i < len(x); i++ {
				y[i] = y[i-1] + (1-math.Exp(-2.0/5))*(x[i]-y[i-1])
			}
			return y
		},
		"gain 0.8": func(x []float64) []float64 {
			y := make([]float64, len(x))
			for i, v := range x {
				y[i] = 0.8 * v
			}
			return y
		},
		"zero response": func(x []float64) []float64 { return make([]float64, len(x)) },
	}
	every10s := func(x []float64) []float64 {
		var y []float64
		// Hours 0 to 22 and the ten minutes the last sample looks ahead.
		for i := 0; i < len(x) && len(y) < 23*360+59; i += 5 {
			y = append(y, x[i])
		}
		return y
	}
	for _, row := range marketCSV(t, "pjm_score_golden.csv") {
		t.Run(row[0]+"/"+row[1], func(t *testing.T) {
			x, y := every10s(signal), every10s(respond[row[0]](signal))
			got, _, err := settle.PJMScore(x, y, settle.PJMReading(row[1]))
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range []float64{got.Score, got.Accuracy, got.Delay, got.Precision} {
				if want := number(t, row[2+i]); math.Abs(v-want) > 1e-3 {
					t.Errorf("%s = %.4f, want %.4f", []string{"score", "accuracy", "delay", "precision"}[i], v, want)
				}
			}
		})
	}
}

func TestPJMScoreNeedsSignal(t *testing.T) {
	for name, n := range map[string]int{"nothing": 0, "nine minutes": 54, "an hour of zero": 360} {
		s, _, err := settle.PJMScore(make([]float64, n), make([]float64, n), settle.Rolling)
		if !errors.Is(err, settle.ErrNoData) || !math.IsNaN(s.Score) {
			t.Errorf("%s: score %v, err %v, want NaN and ErrNoData", name, s.Score, err)
		}
	}
}
