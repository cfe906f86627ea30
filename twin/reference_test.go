package twin_test

import (
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"yunchu/twin"
	"yunchu/twin/cell"
	"yunchu/twin/celltype"
	"yunchu/twin/params"
	"yunchu/twin/thermal"
)

// bar is how far a trace may be from the exact solution.
type bar struct{ v, t, i float64 } // V, K, A

// reference is a case of the list beside the reference traces.
type reference struct {
	name  string
	cells []twin.Member
	p     int // in parallel
	heat  twin.HeatPaths
	every time.Duration
	bars  map[time.Duration]bar // by step
}

// members are n cells whose values are lists by cell, or one for all.
func members(n int, capacity, resistance, soc, hyst, tempK, contact []float64) []twin.Member {
	of := func(v []float64, i int) float64 {
		if len(v) == 1 {
			return v[0]
		}
		return v[i]
	}
	m := make([]twin.Member, n)
	for i := range m {
		m[i] = twin.Member{
			Scatter:    cell.Scatter{Capacity: of(capacity, i), Resistance: of(resistance, i)},
			State:      cell.State{SoC: of(soc, i), Hyst: of(hyst, i), TempK: of(tempK, i)},
			ContactOhm: of(contact, i),
		}
	}
	return m
}

func one(x float64) []float64 { return []float64{x} }

func single(soc, hyst, tempK float64) []twin.Member {
	return members(1, one(1), one(1), one(soc), one(hyst), one(tempK), one(0))
}

func references() []reference {
	warm := twin.HeatPaths{EnvWPerK: 0.63, EnvK: 298.15}
	var rising []float64
	for i := range 16 {
		rising = append(rising, 295.15+0.15*float64(i))
	}
	return []reference{
		{
			name: "A1_cp_half_rate", cells: single(0.95, 1, 298.15), p: 1, heat: warm, every: 5 * time.Second,
			bars: map[time.Duration]bar{time.Second: {2e-6, 5e-4, 1}, 10 * time.Second: {1e-5, 3e-3, 1}, time.Minute: {2e-4, 3e-2, 1}},
		},
		{
			name: "B_hppc", cells: single(0.95, 1, 298.15), p: 1, heat: warm, every: time.Second,
			bars: map[time.Duration]bar{time.Second: {2e-6, 5e-4, 1}, 10 * time.Second: {1e-4, 3e-3, 1}},
		},
		{
			name: "C1_drive_power", cells: single(0.55, -0.3, 283.15), p: 1, heat: twin.HeatPaths{EnvWPerK: 0.63, EnvK: 278.15}, every: time.Second,
			bars: map[time.Duration]bar{time.Second: {2e-6, 5e-4, 1}, 10 * time.Second: {1e-5, 3e-3, 1}},
		},
		{
			name: "D_module_1p16s", p: 1, every: 2 * time.Second,
			cells: members(16,
				[]float64{1.0, 0.993, 1.0065, 0.9875, 1.011, 1.002, 0.996, 1.0045, 0.991, 1.008, 0.999, 0.9835, 1.003, 1.0125, 0.9945, 1.001},
				[]float64{1.0, 1.031, 0.972, 1.054, 0.981, 1.012, 0.993, 1.067, 0.958, 1.024, 1.005, 1.081, 0.986, 0.969, 1.018, 1.04},
				[]float64{0.9, 0.905, 0.893, 0.897, 0.911, 0.902, 0.899, 0.906, 0.889, 0.904, 0.901, 0.885, 0.908, 0.896, 0.903, 0.9},
				one(0), rising, one(0)),
			heat: twin.HeatPaths{EnvWPerK: 0.25, EnvK: 298.15, NeighbourWPerK: 0.38, CoolantWPerK: 3, CoolantK: 293.15, CoolFirst: true},
			bars: map[time.Duration]bar{time.Second: {5e-7, 5e-5, 1e-3}, 10 * time.Second: {1e-5, 3e-3, 1}},
		},
		{
			name: "E_parallel_4p1s", p: 4, heat: warm, every: 5 * time.Second,
			cells: members(4,
				[]float64{1.0, 0.97, 1.02, 0.985}, []float64{1.0, 1.12, 0.93, 1.05}, []float64{0.62, 0.6, 0.63, 0.58},
				one(-0.5), one(298.15), []float64{5e-5, 7e-5, 6e-5, 9e-5}),
			bars: map[time.Duration]bar{time.Second: {5e-7, 5e-5, 1e-3}},
		},
	}
}

func (r *reference) traceCase(t testing.TB, dir string) twin.TraceCase {
	set, err := params.LoadCell("lfp280_ref")
	if err != nil {
		t.Fatal(err)
	}
	return twin.TraceCase{
		ModuleParams: twin.ModuleParams{Cell: set, Cells: r.cells, Parallel: r.p, Heat: r.heat},
		Profile:      readProfile(t, filepath.Join(dir, r.name+".profile.csv")), OutputEvery: r.every, Step: time.Second,
	}
}

// off is the largest differences found so far.
type off struct{ v, t, i, z float64 }

func (o *off) add(v, t, i, z float64) {
	o.v, o.t, o.i, o.z = max(o.v, math.Abs(v)), max(o.t, math.Abs(t)), max(o.i, math.Abs(i)), max(o.z, math.Abs(z))
}

func (o *off) within(b bar) bool { return o.v <= b.v && o.t <= b.t && o.i <= b.i }

func (o off) String() string {
	return fmt.Sprintf("dV %.3g mV, dT %.3g mK, dI %.3g mA, dSoC %.3g", o.v*1e3, o.t*1e3, o.i*1e3, o.z)
}

func TestReferenceTraces(t *testing.T) {
	if testing.Short() {
		t.Skip("computes; what is stepped side by side is that of TestCellsAreDeterministic")
	}
	dir := referenceDir()
	for _, ref := range references() {
		t.Run(ref.name, func(t *testing.T) {
			c := ref.traceCase(t, dir)
			want := readReference(t, filepath.Join(dir, ref.name+".csv"))
			for _, step := range []time.Duration{time.Second, 10 * time.Second, time.Minute} {
				b, ok := ref.bars[step]
				if !ok {
					continue
				}
				c.Step = step
				var d off
				n := 0
				energy, err := c.Run(func(r twin.TraceRow) error {
					w, ok := want[r.T.Milliseconds()]
					if !ok {
						return nil // the reference thins out its rests
					}
					n++
					w.compare(r, &d)
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("step %v: %v over %d rows, energy %.2g", step, d, n, energy.BalanceError())
				if 2*n < len(want) {
					t.Errorf("%d rows, the reference has %d", n, len(want))
				}
				if !d.within(b) {
					t.Errorf("at a step of %v: %v, want at most %+v", step, d, b)
				}
				if energy.BalanceError() > 1e-11 {
					t.Errorf("at a step of %v: energy balance %g: %+v", step, energy.BalanceError(), energy)
				}
			}
		})
	}
}

// The plain step of a cell, which fleets take as it is or in their kernels, keeps the
// bars of a cell as well.
func TestCellStepReference(t *testing.T) {
	for _, ref := range references()[:3] {
		t.Run(ref.name, func(t *testing.T) {
			c := ref.traceCase(t, referenceDir())
			want := readReference(t, filepath.Join(referenceDir(), ref.name+".csv"))
			model, err := celltype.New(c.Cell)
			if err != nil {
				t.Fatal(err)
			}
			one := model.Cell(c.Cells[0].State, c.Cells[0].Scatter)
			tick, capacity := model.Tick(1), c.Cell.Thermal.HeatCapacity()
			half, full := thermal.NewStep(capacity, c.Heat.EnvWPerK, 0.5), thermal.NewStep(capacity, c.Heat.EnvWPerK, 1)
			var d off
			row := 0
			for at := time.Duration(0); ; at += time.Second {
				if row+1 < len(c.Profile) && c.Profile[row+1].T == at {
					row++
				}
				in := c.Profile[row]
				i := in.Value
				if in.Kind == twin.ByPower {
					i = one.Current(in.Value)
				}
				if w, ok := want[at.Milliseconds()]; ok {
					d.add(one.Voltage(i)-w["V_V"], one.TempK()-w["T_K"], i-w["I_A"], one.SoC()-w["soc"])
				}
				if row == len(c.Profile)-1 {
					break
				}
				var f cell.Flow
				k := one.TempK()
				mid := half.Next(k, c.Heat.EnvK, one.Heat(i))
				if in.Kind == twin.ByPower {
					one.StepPower(in.Value, i, mid, &tick, &f)
				} else {
					one.StepCurrent(i, mid, &tick, &f)
				}
				one.SetTemp(full.Next(k, c.Heat.EnvK, f.HeatW))
			}
			t.Log(d)
			if !d.within(ref.bars[time.Second]) {
				t.Errorf("%v from the reference, want at most %+v", d, ref.bars[time.Second])
			}
		})
	}
}

// referenceDir is where the reference traces are: all of their rows, or those that are
// kept with the tests.
func referenceDir() string {
	if root := os.Getenv("YUNCHU_DATA"); root != "" {
		return filepath.Join(root, "twin", "reference")
	}
	return filepath.Join("testdata", "reference")
}

func readCSV(t testing.TB, path string) (head map[string]int, rows [][]string) {
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

func number(t testing.TB, s string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func readProfile(t testing.TB, path string) []twin.ProfileRow {
	t.Helper()
	head, rows := readCSV(t, path)
	out := make([]twin.ProfileRow, len(rows))
	for i, r := range rows {
		out[i].T = time.Duration(math.Round(number(t, r[head["t_s"]]) * 1e9))
		for name, kind := range map[string]twin.DriveKind{"current_a": twin.ByCurrent, "power_w": twin.ByPower} {
			if k, ok := head[name]; ok && strings.TrimSpace(r[k]) != "" {
				out[i].Drive = twin.Drive{Kind: kind, Value: number(t, r[k])}
			}
		}
	}
	return out
}

// referenceRow is a row of a reference by column.
type referenceRow map[string]float64

func readReference(t testing.TB, path string) map[int64]referenceRow {
	t.Helper()
	head, rows := readCSV(t, path)
	out := make(map[int64]referenceRow, len(rows))
	for _, r := range rows {
		row := referenceRow{}
		for name, k := range head {
			row[name] = number(t, r[k])
		}
		out[int64(math.Round(row["t_s"]*1e3))] = row
	}
	return out
}

// compare adds to d how far r is from w, whose columns are numbered by cell where
// there are several.
func (w referenceRow) compare(r twin.TraceRow, d *off) {
	for k, c := range r.Cells {
		n := strconv.Itoa(k + 1)
		v, amps := "V"+n+"_V", "I"+n+"_A"
		if len(r.Cells) == 1 {
			n, v, amps = "", "V_V", "I_A"
		}
		dv, di := r.VoltageV-w["V_bus_V"], r.CurrentA-w["I_A"]
		if want, ok := w[v]; ok {
			dv = c.VoltageV - want
		}
		if want, ok := w[amps]; ok {
			di = c.CurrentA - want
		}
		d.add(dv, c.TempK-w["T"+n+"_K"], di, c.SoC-w["soc"+n])
	}
}

func TestTraceStopsAtVoltage(t *testing.T) {
	set, err := params.LoadCell("lfp280_ref")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		cells []twin.Member
		p     int
		drive twin.Drive
		want  string
	}{
		{"charged full", single(0.9, 0, 298.15), 1, twin.Drive{Value: 280}, "the cell reached 3.6"},
		{"discharged empty", single(0.05, 0, 298.15), 1, twin.Drive{Kind: twin.ByPower, Value: -448}, "the cell reached 2.4"},
		{"more than there is", single(0.5, 0, 298.15), 1, twin.Drive{Kind: twin.ByPower, Value: -1e5}, "the cell cannot give 100000 W, "},
		{"one of three in series", members(3, one(1), one(1), []float64{0.9, 0.93, 0.91}, one(0), one(298.15), one(0)), 1, twin.Drive{Value: 280}, "cell 2 reached 3.6"},
		{"one of three in parallel", members(3, one(1), []float64{1, 1.3, 1.1}, one(0.1), one(0), one(298.15), one(1e-4)), 3, twin.Drive{Value: -840}, "cell 1 reached 2.4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := twin.TraceCase{
				ModuleParams: twin.ModuleParams{Cell: set, Cells: tt.cells, Parallel: tt.p}, Step: time.Second,
				Profile: []twin.ProfileRow{{Drive: tt.drive}, {T: 2 * time.Hour}},
			}
			var last time.Duration
			var v float64
			_, err := c.Run(func(r twin.TraceRow) error { last, v = r.T, r.Cells[0].VoltageV; return nil })
			if !errors.Is(err, twin.ErrVoltage) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Run() = %v, want ErrVoltage with %q", err, tt.want)
			}
			if len(tt.cells) == 1 && v <= set.VMax && v >= set.VMin || last >= 2*time.Hour {
				t.Errorf("last row %.4f V at %v, want the one past the limit", v, last)
			}
		})
	}
}
