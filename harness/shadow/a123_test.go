//go:build !nosim

package shadow_test

import (
	"bufio"
	"fmt"
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
	leak       float64 // A that the sensor does not see leave
	kelvin     float64
	r0         float64
}

// play runs a shadow over a record down to 20 % of charge and returns what it raised.
func play(t testing.TB, m *params.Model, rows []row, f injected) []shadow.Change {
	t.Helper()
	tolerance := shadow.Tolerance{ReportStepV: 1e-4}
	if m.Cell.TRefK < 280 {
		tolerance.OffsetV = 10e-3
	}
	k, err := shadow.NewKind(m)
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.Shadow(shadow.Options{AmbientK: m.Cell.TRefK, Tolerance: tolerance})
	if err != nil {
		t.Fatal(err)
	}
	s.SetSoC(1, m.Cell.TRefK)
	var changes []shadow.Change
	soc := 1.0
	for _, x := range rows {
		if soc < 0.2 {
			break
		}
		soc += x.amps / 3600 / m.Cell.CapacityAh
		r := device.Empty()
		r.At = int64(1000*x.t) + 1
		r.Arrived = r.At
		r.Current, r.Voltage = x.amps, x.volt
		if x.t >= f.from {
			r.Voltage += f.resistance*f.r0*x.amps + f.volt
			r.Current += f.leak
		}
		for _, c := range s.Step(&r) {
			changes = append(changes, c)
		}
	}
	return changes
}

func TestA123(t *testing.T) {
	for _, chamber := range []string{"P05", "P25", "P45"} {
		m, rows := a123(t, chamber), record(t, chamber)
		r0 := m.Cell.Resistance.RTot[0] * m.Cell.Resistance.Frac.R0
		for _, c := range play(t, m, rows, injected{from: math.Inf(1)}) {
			t.Errorf("%s: false alarm at %.0f s: %s over %v", chamber, float64(c.At)/1000, c.Finding, c.Over)
		}
		for _, tt := range []struct {
			name string
			f    injected
			want shadow.Cause
		}{
			{"R0 +20 %", injected{resistance: 0.2}, shadow.Resistance},
			{"R0 +50 %", injected{resistance: 0.5}, shadow.Resistance},
			{"voltage +5 mV", injected{volt: 5e-3}, shadow.SensorOffset},
			{"voltage -5 mV", injected{volt: -5e-3}, shadow.SensorOffset},
			{"voltage +10 mV", injected{volt: 10e-3}, shadow.SensorOffset},
			{"voltage -10 mV", injected{volt: -10e-3}, shadow.SensorOffset},
			{"leak 0.1 A", injected{leak: .1}, shadow.CapacityOrLeak},
		} {
			var late []float64
			other, missed := map[string]int{}, 0
			for from := 4800.0; from < 25000; from += 1009 {
				tt.f.from, tt.f.r0 = from, r0
				found := play(t, m, rows, tt.f)
				switch {
				case len(found) == 0:
					missed++
				case found[0].Finding.Cause != tt.want:
					other[fmt.Sprintf("%s@%.0f+%.0f", found[0].Finding, from, float64(found[0].At)/1000-from)]++
				default:
					late = append(late, float64(found[0].At)/1000-from)
				}
			}
			slices.Sort(late)
			line := fmt.Sprintf("%s %-15s", chamber, tt.name)
			if len(late) > 0 {
				line += fmt.Sprintf(" median %.0f s, 90 %% %.0f, max %.0f of %d", late[len(late)/2], late[len(late)*9/10], late[len(late)-1], len(late))
			}
			line += fmt.Sprintf(" missed %d other %d", missed, len(other))
			k := 0
			for o := range other {
				if k++; k < 4 {
					line += "; " + o
				}
			}
			t.Log(line)
		}
	}
}
