//go:build !nosim

package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// traceReferences is where the reference traces are: all of their rows, or those kept
// with the tests.
func traceReferences() string {
	if data := os.Getenv("YUNCHU_DATA"); data != "" {
		return filepath.Join(data, "twin", "reference")
	}
	return filepath.Join("twin", "testdata", "reference")
}

// traceBars says how far apart a trace and its reference may be.
var traceBars = map[string]float64{
	"voltage_v": 0.0005e-3, "temp_c": 0.05e-3, "current_a": 1e-3, "soc": 1e-7, "hysteresis": 1e-6,
}

// TestTraceReferences holds what the command writes against solutions of the same
// equations by another solver, column by column.
func TestTraceReferences(t *testing.T) {
	for _, tt := range []struct {
		name   string
		cells  int
		module map[string]string // columns of the module: those of the result by those of the reference
	}{
		{"A1_cp_half_rate", 1, nil},
		{"B_hppc", 1, nil},
		{"C1_drive_power", 1, nil},
		{"D_module_1p16s", 16, map[string]string{"V_pack_V": "voltage_v", "I_A": "current_a"}},
		{"E_parallel_4p1s", 4, map[string]string{"V_bus_V": "voltage_v", "I_total_A": "current_a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reference, err := filepath.Abs(filepath.Join(traceReferences(), tt.name))
			if err != nil {
				t.Fatal(err)
			}
			p := fresh(t)
			o := p.run(t, "trace", reference+".trace.yaml", "--out", "result.csv", "--plot", "plot.svg", "--reference", reference+".csv", "--json")
			if o.code != exitPassed {
				t.Fatalf("exit code %d: %s", o.code, o.stderr)
			}
			want := table(t, reference+".csv")
			compare(t, table(t, filepath.Join(p.dir, "result.csv")), want, tt.cells, tt.module)
			checkSummary(t, o.stdout, tt.cells, len(want))
			checkSVG(t, filepath.Join(p.dir, "plot.svg"))
		})
	}
}

// column pairs what a trace prints with what a reference holds.
type column struct{ kind, result, reference string }

// traceColumns are those of so many cells, and of the module they are in.
func traceColumns(cells int, module map[string]string) (out []column) {
	for reference, kind := range module {
		out = append(out, column{kind, kind, reference})
	}
	for i := range cells {
		n, prefix := strconv.Itoa(i+1), "cell"+strconv.Itoa(i+1)+"_"
		if cells == 1 {
			n, prefix = "", ""
		}
		for kind, reference := range map[string]string{
			"voltage_v": "V" + n + "_V", "current_a": "I" + n + "_A", "soc": "soc" + n, "temp_c": "T" + n + "_K", "hysteresis": "h" + n,
		} {
			out = append(out, column{kind, prefix + kind, reference})
		}
	}
	return out
}

// compare holds every column of the reference against the result, where both have a row.
func compare(t *testing.T, got, want map[float64]map[string]float64, cells int, module map[string]string) {
	t.Helper()
	checked := 0
	for _, c := range traceColumns(cells, module) {
		offset := 0.0
		if c.kind == "temp_c" {
			offset = 273.15
		}
		worst, at, rows := 0.0, 0.0, 0
		for when, row := range want {
			y, known := row[c.reference]
			mine, ok := got[when]
			if !known || !ok { // the reference has rows between steps
				continue
			}
			x, there := mine[c.result]
			if !there {
				t.Fatalf("no column %s in the result", c.result)
			}
			rows++
			if d := math.Abs(x + offset - y); d >= worst {
				worst, at = d, when
			}
		}
		if rows == 0 {
			continue // the reference does not say
		}
		checked++
		if 2*rows < len(want) {
			t.Errorf("%s: %d of %d rows of the reference found", c.result, rows, len(want))
		}
		if !(worst <= traceBars[c.kind]) {
			t.Errorf("%s differs by up to %.3g (t_ms %v), want %.3g", c.result, worst, at, traceBars[c.kind])
		}
	}
	if checked < 4*cells {
		t.Errorf("%d columns compared, want %d", checked, 4*cells)
	}
}

// checkSummary holds the JSON summary against what it must say.
func checkSummary(t *testing.T, text string, cells, rows int) {
	t.Helper()
	var s struct {
		Cells        int     `json:"cells"`
		EnergyInJ    float64 `json:"energy_in_j"`
		StoredJ      float64 `json:"stored_j"`
		HeatJ        float64 `json:"heat_j"`
		ContactJ     float64 `json:"contact_j"`
		BalanceError float64 `json:"balance_error"`
		Reference    struct {
			Rows      int     `json:"rows"`
			VoltageMV float64 `json:"voltage_mv"`
			TempMK    float64 `json:"temp_mk"`
		} `json:"reference"`
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatalf("summary: %v\n%s", err, text)
	}
	if s.Cells != cells || 2*s.Reference.Rows < rows || s.Reference.VoltageMV > 0.0005 || s.Reference.TempMK > 0.05 || s.Reference.VoltageMV == 0 {
		t.Errorf("summary %+v", s)
	}
	if d := s.EnergyInJ - s.StoredJ - s.HeatJ - s.ContactJ; math.Abs(d) > 1e-9*s.HeatJ || s.BalanceError > 1e-11 {
		t.Errorf("energy is off by %g J, %g of all that moved: %+v", d, s.BalanceError, s)
	}
}

// checkSVG wants well-formed XML with the panels of a trace and of its differences.
func checkSVG(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(strings.NewReader(string(text))); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	for _, want := range []string{"voltage, V", "current, A", "state of charge, %", "temperature, °C", "Δ voltage", "Δ temperature"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the plot has no panel %q", want)
		}
	}
}

// table reads a CSV as numbers by time in ms and column.
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

// traceFile writes a trace of the reference cell through a profile, with more keys.
func traceFile(t *testing.T, profile, more string) (path string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"p.csv": profile, "t.yaml": "apiVersion: yunchu/v1\nkind: Trace\ncell: " + cellFile(t) + "\nprofile: p.csv\n" + more,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "t.yaml")
}

func TestTraceEndsWhenInterrupted(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	p := fresh(t)
	code := execute(ctx, []string{"trace", traceFile(t, "t_s,current_a\n0,1\n100000,1\n", "step: 100ns\noutput_every: 1h\n"), "--out", filepath.Join(p.dir, "x.csv")}, io.Discard, io.Discard)
	if code != exitInterrupted {
		t.Errorf("exit code %d, want %d", code, exitInterrupted)
	}
}

// What no cell can do is refused, in seconds, and what leaves 0..1 is said.
func TestTraceOfAbsurdNumbers(t *testing.T) {
	p := fresh(t)
	for _, tt := range []struct {
		name, profile, more string
		code                int
		want                string
	}{
		{"a tiny cell", "t_s,current_a\n0,1\n10,1\n", "capacity_factor: 1e-300\n", exitInput, "capacity_factor cannot be 1e-300"},
		{"heat in no time", "t_s,current_a\n0,1\n10,1\n", "heat: {env_w_per_k: 1e300}\n", exitInput, "heat.env_w_per_k cannot be 1e300"},
		{"many parts of a step", "t_s,current_a\n0,1\n10,1\n", "heat: {env_w_per_k: 1e6}\nstep: 24h\n", exitInput, "want a step of at most"},
		{"overcharged", "t_s,current_a\n0,140\n36000,140\n", "", exitPassed, "the state of charge goes from 0.5 to 5.5"},
		{"a huge current", "t_s,current_a\n0,1e300\n10,1\n", "", exitInput, "p.csv:2:3: 1e300 is beyond"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := p.run(t, "trace", traceFile(t, tt.profile, tt.more), "--out", "x.csv")
			if o.code != tt.code || !strings.Contains(o.stderr, tt.want) || len(o.stderr) > 600 {
				t.Errorf("exit code %d, want %d and %q: %s", o.code, tt.code, tt.want, o.stderr)
			}
		})
	}
}
