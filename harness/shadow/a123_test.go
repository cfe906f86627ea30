//go:build !nosim

package shadow_test

import (
	"bufio"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"yunchu/harness/shadow"
	"yunchu/platform/device"
	"yunchu/twin/params"
)

// identified is the A123 26650 cell as it was identified from measured data.
type identified struct {
	CapacityAh float64 `yaml:"capacity_Ah_dyn"`
	OCV        struct {
		SoC []float64 `yaml:"soc"`
		Dis []float64 `yaml:"U_discharge_V"`
		Chg []float64 `yaml:"U_charge_V"`
	} `yaml:"ocv_25C"`
	Fit map[string]struct {
		TempC float64 `yaml:"T_C"`
		R0    float64 `yaml:"R0_ohm"`
		R1    float64 `yaml:"R1_ohm"`
		Tau1  float64 `yaml:"tau1_s"`
		R2    float64 `yaml:"R2_ohm"`
		Tau2  float64 `yaml:"tau2_s"`
		KM    float64 `yaml:"kM"`
		Gamma float64 `yaml:"gamma"`
	} `yaml:"fit_2RC_constant_parameters"`
}

func data(t testing.TB, path ...string) string {
	t.Helper()
	root := os.Getenv("YUNCHU_DATA")
	if root == "" {
		t.Skip("YUNCHU_DATA is not set: the measured records are not in the repository")
	}
	return filepath.Join(append([]string{root, "twin"}, path...)...)
}

// a123 is a unit of one such cell at a chamber temperature, P05, P25 or P45.
func a123(t testing.TB, chamber string) *params.Model {
	t.Helper()
	raw, err := os.ReadFile(data(t, "params", "a123_26650_identified.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var id identified
	if err := yaml.Unmarshal(raw, &id); err != nil {
		t.Fatal(err)
	}
	f := id.Fit[chamber]
	r := f.R0 + f.R1 + f.R2
	flat := []float64{0, 1}
	c := &params.Cell{
		Name: "a123", CapacityAh: id.CapacityAh, CoulombicEfficiency: 0.9945, VMin: 2, VMax: 3.6,
		TRefK: 273.15 + f.TempC, RGas: 8.314462618,
		OCV:        params.OCV{SoC: id.OCV.SoC},
		Hysteresis: params.Hysteresis{Gamma: f.Gamma, SoC: id.OCV.SoC},
		Entropic:   params.Entropic{SoC: flat, DUDT: []float64{0, 0}},
		Resistance: params.Resistance{
			SoC: flat, RTot: []float64{r, r}, Frac: params.Split{R0: f.R0 / r, R1: f.R1 / r, R2: f.R2 / r},
			Tau: params.TimeConsts{Tau1: f.Tau1, Tau2: f.Tau2},
		},
		Thermal: params.Thermal{MassKg: 0.07, CpJPerKg: 1000, HAPerK: 0.5},
	}
	for i := range id.OCV.SoC {
		c.OCV.V = append(c.OCV.V, (id.OCV.Chg[i]+id.OCV.Dis[i])/2)
		c.Hysteresis.M = append(c.Hysteresis.M, f.KM*(id.OCV.Chg[i]-id.OCV.Dis[i])/2)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	m := &params.Model{Name: "a123", Series: 1, Parallel: 1, Cell: c, RatedKW: 0.033}
	m.Heat.EnvWPerK = c.Thermal.HAPerK
	m.PCS.RampPerS = 1
	m.Limits.SoC = params.Range{Min: 20, Max: 95}
	return m
}

// row is one measured second.
type row struct{ t, amps, volt float64 }

func record(t testing.TB, chamber string) []row {
	t.Helper()
	f, err := os.Open(data(t, "measured", "lfp_a123_esc_uccs", "a123_dyn_"+chamber+".csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Scan()
	var rows []row
	for lines.Scan() {
		cells := strings.Split(lines.Text(), ",")
		number := func(i int) float64 {
			x, err := strconv.ParseFloat(cells[i], 64)
			if err != nil {
				t.Fatal(err)
			}
			return x
		}
		rows = append(rows, row{number(0), number(2), number(3)})
	}
	return rows
}

// injected is a fault laid over a measured record from an instant on.
type injected struct {
	from       float64 // s
	resistance float64 // share of R0
	volt       float64 // V
	leak       float64 // A that leave the cell and not the terminals: the sensor reads so much more
	temp       float64 // K
}

// player runs shadows over one record.
type player struct {
	kind *shadow.Kind
	cell *params.Cell
	tol  shadow.Tolerance
	rows []row
	// reports: the device reports its state of charge, to 0.1 %, as the laboratory
	// counted it; else nobody says what it is after the start.
	reports bool
}

func newPlayer(t testing.TB, chamber string, reports bool) *player {
	t.Helper()
	m := a123(t, chamber)
	k, err := shadow.NewKind(m)
	if err != nil {
		t.Fatal(err)
	}
	tol := shadow.Tolerance{ReportStepV: 1e-4}
	if m.Cell.TRefK < 280 {
		tol.OffsetV = 10e-3 // the model drifts by as much within minutes in the cold
	}
	return &player{k, m.Cell, tol, record(t, chamber), reports}
}

// play runs a shadow over the record, down to 20 % of charge, with a fault laid over
// it, and stops at the first thing that it says after the fault has begun. moving is
// the time from there on in which more than 0.1 A flowed.
func (p *player) play(t testing.TB, f injected) (said []shadow.Change, moving float64) {
	t.Helper()
	s, err := p.kind.Shadow(shadow.Options{AmbientK: p.cell.TRefK, Tolerance: p.tol})
	if err != nil {
		t.Fatal(err)
	}
	s.SetSoC(1, p.cell.TRefK)
	r0 := p.cell.Resistance.RTot[0] * p.cell.Resistance.Frac.R0
	soc := 1.0
	for n := range p.rows {
		x := &p.rows[n]
		if n > 0 {
			counted := p.rows[n-1].amps * (x.t - p.rows[n-1].t) / 3600 / p.cell.CapacityAh
			if counted > 0 {
				counted *= p.cell.CoulombicEfficiency
			}
			soc += counted
		}
		if soc < 0.2 {
			break
		}
		r := device.Empty()
		r.At = int64(1000*x.t) + 1
		r.Arrived = r.At
		r.Current, r.Voltage, r.Temperature = x.amps, x.volt, p.cell.TRefK-273.15
		if p.reports {
			r.SoC = math.Round(1000*soc) / 10
		}
		if x.t >= f.from {
			r.Voltage += f.resistance*r0*x.amps + f.volt
			r.Current += f.leak
			r.Temperature += f.temp
			if math.Abs(x.amps) > 0.1 {
				moving++
			}
		}
		if said = append(said, s.Step(&r)...); len(said) > 0 && x.t >= f.from {
			break
		}
	}
	return said, moving
}

// TestMeasuredRecords lays faults over the measured records of an A123 cell in three
// chambers, at many instants, and counts what its shadow makes of them. The twin is the
// cell as it was identified with constant parameters: its voltage is off by up to 12 mV
// without any fault.
func TestMeasuredRecords(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine, and minutes long under the race detector")
	}
	const minute = 60.0
	any := math.Inf(1)
	type expected struct {
		median, most float64 // s; of the resistance: s in which current flows
		named        float64 // least share that is named right
	}
	for _, tt := range []struct {
		name    string
		fault   injected
		cause   shadow.Cause
		reports bool
		warm    expected // at 25 and 45 degC
		cold    expected // at 5 degC
	}{
		{"R0 +20 %", injected{resistance: 0.2}, shadow.Resistance, false, expected{2 * minute, 5 * minute, 1}, expected{2 * minute, 5 * minute, 1}},
		{"R0 +50 %", injected{resistance: 0.5}, shadow.Resistance, false, expected{minute, 2 * minute, 1}, expected{minute, 2 * minute, 1}},
		{"voltage +5 mV", injected{volt: 5e-3}, shadow.SensorOffset, true, expected{minute, 4 * minute, 1}, expected{any, any, 0}},
		{"voltage -5 mV", injected{volt: -5e-3}, shadow.SensorOffset, true, expected{minute, 4 * minute, 1}, expected{any, any, 0}},
		{"voltage +10 mV", injected{volt: 10e-3}, shadow.SensorOffset, true, expected{20, minute / 2, 1}, expected{any, any, 0.7}},
		{"voltage -10 mV", injected{volt: -10e-3}, shadow.SensorOffset, true, expected{20, minute / 2, 1}, expected{any, any, 0.9}},
		{"voltage +5 mV, SoC unknown", injected{volt: 5e-3}, shadow.SensorOffset, false, expected{minute, 4 * minute, 0.95}, expected{any, any, 0}},
		{"leak 0.1 A", injected{leak: 0.1}, shadow.CapacityOrLeak, true, expected{30 * minute, 45 * minute, 0.85}, expected{30 * minute, 45 * minute, 0.7}},
		{"leak 0.1 A, SoC unknown", injected{leak: 0.1}, shadow.CapacityOrLeak, false, expected{75 * minute, any, 0.95}, expected{75 * minute, any, 0.95}},
		{"temperature +5 K", injected{temp: 5}, shadow.SensorOffset, true, expected{12, 12, 1}, expected{12, 12, 1}},
	} {
		for _, chamber := range []string{"P05", "P25", "P45"} {
			p := newPlayer(t, chamber, tt.reports)
			want := tt.warm
			if chamber == "P05" {
				want = tt.cold
			}
			var late []float64
			named, n := 0, 0
			for from := 4800.0; from < 25000; from += 509 {
				f := tt.fault
				f.from = from
				n++
				said, moving := p.play(t, f)
				if len(said) == 0 {
					late = append(late, math.Inf(1))
					continue
				}
				if said[0].Finding.Cause == tt.cause {
					named++
				}
				if tt.cause == shadow.Resistance {
					late = append(late, moving)
				} else {
					late = append(late, float64(said[0].At)/1000-from)
				}
			}
			slices.Sort(late)
			got := expected{late[n/2], late[n-1], float64(named) / float64(n)}
			t.Logf("%s  %-26s median %6.0f s, 90 %% %6.0f s, most %6.0f s of %d; named right %3.0f %%", chamber, tt.name, got.median, late[n*9/10], got.most, n, 100*got.named)
			if got.median > want.median || got.most > want.most || got.named < want.named {
				t.Errorf("%s %s: median %.0f s, most %.0f s, named %.2f; want %.0f, %.0f, %.2f", chamber, tt.name, got.median, got.most, got.named, want.median, want.most, want.named)
			}
		}
	}
}

// TestMeasuredRecordsRaiseNothing: the records without a fault, down to 20 % of charge.
func TestMeasuredRecordsRaiseNothing(t *testing.T) {
	for _, chamber := range []string{"P05", "P25", "P45"} {
		for _, reports := range []bool{false, true} {
			said, _ := newPlayer(t, chamber, reports).play(t, injected{from: math.Inf(1)})
			for _, c := range said {
				t.Errorf("%s, SoC reported %v: %s at %.0f s", chamber, reports, c.Finding, float64(c.At)/1000)
			}
		}
	}
}
