package api

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// TestNumbers: a number is written as its shortest text, whichever way that is found.
func TestNumbers(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	values := []float64{0, math.Copysign(0, -1), 1, -1, 0.1, 0.001, -0.25, 1.005, 0.0005, 999999999999.999, -1e12, 1e15, 1e20, 1e21, 1e-7, 123456789.125}
	for range 100_000 {
		values = append(values, float64(rng.Int64N(2e12)-1e12)/1000, rng.NormFloat64()*50, float64(rng.IntN(200_000)-100_000)/math.Pow10(rng.IntN(5)), math.Float64frombits(rng.Uint64()))
	}
	for _, v := range values {
		if v != v || math.IsInf(v, 0) {
			continue
		}
		form := byte('f')
		if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
			form = 'e'
		}
		if got, want := string(appendNumber(nil, v)), strconv.FormatFloat(v, form, -1, 64); got != want {
			t.Fatalf("%v is written %s, want %s", v, got, want)
		}
	}
}

func BenchmarkNumber(b *testing.B) {
	out := make([]byte, 0, 64)
	for v := 0.0; b.Loop(); v += 0.017 {
		out = appendNumber(out[:0], math.RoundToEven(v*1000)/1000)
	}
}
