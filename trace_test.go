//go:build !nosim

package main

import (
	"encoding/csv"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// columns pairs what a trace prints with what the reference solutions hold, and
// says how far apart "good" lets them be. power_w has no bound: it is the input,
// or follows from voltage and current.
var columns = []struct {
	result, reference string
	offset            float64 // result + offset = reference
	good              float64
}{
	{"voltage_v", "V_V", 0, 0.01e-3},
	{"temp_c", "T_K", 273.15, 3e-3},
	{"current_a", "I_A", 0, 1e-3},
	{"soc", "soc", 0, 1e-6},
	{"hysteresis", "h", 0, 1e-4},
	{"power_w", "P_W", 0, math.Inf(1)},
}

// TestTraceReferences holds the cell against solutions of the same equations by
// another solver, column by column.
func TestTraceReferences(t *testing.T) {
	data := os.Getenv("YUNCHU_DATA")
	if data == "" {
		t.Skip("YUNCHU_DATA is not set: no reference solutions")
	}
	for _, name := range []string{"A1_cp_half_rate", "B_hppc", "C1_drive_power"} {
		t.Run(name, func(t *testing.T) {
			reference := filepath.Join(data, "twin", "reference", name)
			p := fresh(t)
			if o := p.run(t, "trace", reference+".trace.yaml", "--out", "result.csv"); o.code != exitPassed {
				t.Fatalf("exit code %d: %s", o.code, o.stderr)
			}
			compare(t, table(t, filepath.Join(p.dir, "result.csv")), table(t, reference+".csv"))
		})
	}
}

// compare holds every column against the reference where both have a row.
func compare(t *testing.T, got, want map[float64]map[string]float64) {
	t.Helper()
	for _, c := range columns {
		worst, at, rows := 0.0, 0.0, 0
		for when, row := range want {
			mine, ok := got[when]
			if !ok { // the reference has rows between steps
				continue
			}
			x, there := mine[c.result]
			y, known := row[c.reference]
			if !there || !known {
				t.Fatalf("no column %s in the result or %s in the reference", c.result, c.reference)
			}
			rows++
			if d := math.Abs(x + c.offset - y); d >= worst {
				worst, at = d, when
			}
		}
		if rows < 100 || 2*rows < len(want) {
			t.Fatalf("%d of %d rows of the reference found", rows, len(want))
		}
		if worst > c.good {
			t.Errorf("%s differs by up to %.3g (t_s %v), good is %.3g", c.result, worst, at, c.good)
		}
		t.Logf("%s: at most %.3g over %d rows", c.result, worst, rows)
	}
}

// table reads a CSV as numbers by time and column.
func table(t *testing.T, path string) map[float64]map[string]float64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	out := map[float64]map[string]float64{}
	for i, row := range rows[1:] {
		values := map[string]float64{}
		for k, cell := range row {
			if values[rows[0][k]], err = strconv.ParseFloat(cell, 64); err != nil {
				t.Fatalf("%s, row %d: %v", filepath.Base(path), i+1, err)
			}
		}
		out[math.Round(1000*values["t_s"])] = values
	}
	return out
}
