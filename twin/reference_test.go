package twin_test

import (
	"encoding/csv"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"yunchu/twin"
	"yunchu/twin/params"
)

// Bars of the reference traces at a step of 1 s.
const (
	goodV = 1e-5 // V
	goodT = 3e-3 // K
)

// The conditions are those of the case list beside the traces.
var references = []struct {
	name         string
	soc, hyst    float64
	tempK, envK  float64
	every        time.Duration
	coarse10s    float64 // V allowed at a step of 10 s
	coarse60s    float64 // V allowed at a step of 60 s, 0: not asked
	secondOrder  bool    // the error falls with the square of the step
	profileInput string
}{
	{name: "A1_cp_half_rate", soc: 0.95, hyst: 1, tempK: 298.15, envK: 298.15, every: 5 * time.Second, coarse10s: 1e-5, coarse60s: 2e-4, secondOrder: true},
	{name: "B_hppc", soc: 0.95, hyst: 1, tempK: 298.15, envK: 298.15, every: time.Second, coarse10s: 1e-4},
	{name: "C1_drive_power", soc: 0.55, hyst: -0.3, tempK: 283.15, envK: 278.15, every: time.Second, coarse10s: 1e-5},
}

func TestReferenceTraces(t *testing.T) {
	dir := referenceDir(t)
	cell, err := params.LoadCell("lfp280_ref")
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range references {
		t.Run(ref.name, func(t *testing.T) {
			c := twin.TraceCase{
				Cell: cell, SoC: ref.soc, Hyst: ref.hyst, TempK: ref.tempK, EnvWPerK: 0.63, EnvK: ref.envK,
				Profile: readProfile(t, filepath.Join(dir, ref.name+".profile.csv")), OutputEvery: ref.every,
			}
			want := readReference(t, filepath.Join(dir, ref.name+".csv"))
			run := func(step time.Duration) (dV, dT float64) {
				c.Step = step
				n := 0
				if err := c.Run(func(r twin.TraceRow) error {
					w, ok := want[r.T.Milliseconds()]
					if !ok {
						return nil // the reference thins out its rests
					}
					n++
					dV = max(dV, math.Abs(r.VoltageV-w.v))
					dT = max(dT, math.Abs(r.TempK-w.t))
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				if 2*n < len(want) {
					t.Errorf("%d rows, the reference has %d", n, len(want))
				}
				t.Logf("step %v: max dV %.3g mV, max dT %.3g mK over %d rows", step, dV*1e3, dT*1e3, n)
				return dV, dT
			}
			dV, dT := run(time.Second)
			if dV > goodV || dT > goodT {
				t.Errorf("at 1 s: dV %g V, dT %g K, want at most %g and %g", dV, dT, goodV, goodT)
			}
			if dV, _ := run(10 * time.Second); dV > ref.coarse10s {
				t.Errorf("at 10 s: dV %g V, want at most %g", dV, ref.coarse10s)
			}
			if ref.coarse60s > 0 {
				if dV, _ := run(time.Minute); dV > ref.coarse60s {
					t.Errorf("at 60 s: dV %g V, want at most %g", dV, ref.coarse60s)
				}
			}
		})
	}
}

func referenceDir(t *testing.T) string {
	root := os.Getenv("YUNCHU_DATA")
	if root == "" {
		t.Skip("YUNCHU_DATA is not set: the reference traces are not at hand")
	}
	return filepath.Join(root, "twin", "reference")
}

func readCSV(t *testing.T, path string) (head map[string]int, rows [][]string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := csv.NewReader(f).ReadAll()
	if err != nil || len(all) < 2 {
		t.Fatalf("read %s: %d rows, %v", path, len(all), err)
	}
	head = make(map[string]int)
	for i, name := range all[0] {
		head[name] = i
	}
	return head, all[1:]
}

func number(t *testing.T, s string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func readProfile(t *testing.T, path string) []twin.ProfileRow {
	t.Helper()
	head, rows := readCSV(t, path)
	column, power := head["power_w"]
	if !power {
		column = head["current_a"]
	}
	out := make([]twin.ProfileRow, len(rows))
	for i, r := range rows {
		out[i] = twin.ProfileRow{
			T:     time.Duration(math.Round(number(t, r[head["t_s"]]) * 1e9)),
			Power: power, Value: number(t, r[column]),
		}
	}
	return out
}

type referenceRow struct{ v, t float64 }

func readReference(t *testing.T, path string) map[int64]referenceRow {
	t.Helper()
	head, rows := readCSV(t, path)
	out := make(map[int64]referenceRow, len(rows))
	for _, r := range rows {
		ms := int64(math.Round(number(t, r[head["t_s"]]) * 1e3))
		out[ms] = referenceRow{v: number(t, r[head["V_V"]]), t: number(t, r[head["T_K"]])}
	}
	return out
}

func TestTraceStopsAtVoltage(t *testing.T) {
	cell, err := params.LoadCell("lfp280_ref")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		soc   float64
		input twin.ProfileRow
	}{
		{"charged full", 0.9, twin.ProfileRow{Value: 280}},
		{"discharged empty", 0.05, twin.ProfileRow{Power: true, Value: -448}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := twin.TraceCase{
				Cell: cell, SoC: tt.soc, TempK: 298.15, EnvWPerK: 0.63, EnvK: 298.15, Step: time.Second,
				Profile: []twin.ProfileRow{tt.input, {T: 2 * time.Hour}},
			}
			var last twin.TraceRow
			err := c.Run(func(r twin.TraceRow) error { last = r; return nil })
			if !errors.Is(err, twin.ErrVoltage) {
				t.Fatalf("Run() = %v, want ErrVoltage", err)
			}
			if last.VoltageV <= cell.VMax && last.VoltageV >= cell.VMin || last.T >= 2*time.Hour {
				t.Errorf("last row %.4f V at %v, want the one past the limit", last.VoltageV, last.T)
			}
		})
	}
}
