//go:build !nosim

package shadow_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"yunchu/harness/shadow"
	"yunchu/hil/sim"
	"yunchu/platform/device"
	"yunchu/twin"
	"yunchu/twin/params"
)

// tried is the sign test of a twin: 5 % of the rating for 3 s each way and at rest after.
type tried struct {
	soc, tempC float64
	before     float64       // share of the rating that flowed for ten minutes before
	rest       time.Duration // between that and the test
	every      time.Duration
	spread     float64 // percent, of the cells' capacity; three times as much of the resistance
	bend       func(*device.Reading)
}

func (x tried) window(t *testing.T, m *params.Model) (list []device.Tried) {
	t.Helper()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f, err := twin.NewFleet(m, []string{"ess"}, twin.Options{
		Seed: 7, SoCMean: x.soc, CapacitySpread: x.spread, ResistanceSpread: 3 * x.spread, AmbientK: x.tempC + 273.15, Start: start,
	})
	if err != nil {
		t.Fatal(err)
	}
	now, d := start, sim.Fleets(f)[0]
	f.SetPower(0, now, 1e3*x.before*m.RatedKW, time.Time{})
	now = now.Add(10 * time.Minute)
	f.Step(now)
	f.SetPower(0, now, 0, time.Time{})
	now = now.Add(x.rest)
	f.Step(now)
	var frame device.Readings
	read := func(asked float64) {
		frame.Reset()
		if err := d.ReadAll(context.Background(), now, &frame); err != nil {
			t.Fatal(err)
		}
		r := device.Tried{AskedKW: asked}
		frame.Row(0, &r.Reading)
		if x.bend != nil {
			x.bend(&r.Reading)
		}
		list = append(list, r)
	}
	read(math.NaN())
	for _, kw := range []float64{0.05 * m.RatedKW, -0.05 * m.RatedKW, 0} {
		f.SetPower(0, now, 1e3*kw, time.Time{})
		for n := range int(3 * time.Second / x.every) {
			now = now.Add(x.every)
			asked := math.NaN()
			if n >= int(3*time.Second/x.every)-3 && n > 0 {
				asked = kw
			}
			read(asked)
		}
	}
	return list
}

func model(t *testing.T, name string, change func(*params.Model)) *params.Model {
	t.Helper()
	m, err := params.LoadModel(name)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(m)
	}
	return m
}

// nickel makes the cells of a model such of a layered oxide: a voltage of 3.4 to 4.2 V that
// rises all the way.
func nickel(m *params.Model) {
	for i, z := range m.Cell.OCV.SoC {
		m.Cell.OCV.V[i] = 3.4 + 0.8*z
	}
	m.Cell.CapacityAh *= 0.842 // as much energy
	m.Cell.VMin, m.Cell.VMax, m.Limits.CellV = 3, 4.3, params.Range{Min: 3, Max: 4.3}
}

func compare(t *testing.T, of *params.Model, said *device.Info, window []device.Tried) (evidence, differs string) {
	t.Helper()
	k, err := shadow.NewKind(of)
	if err != nil {
		t.Fatal(err)
	}
	c, err := k.Comparison(shadow.Margin{})
	if err != nil {
		t.Fatal(err)
	}
	return c(said, window)
}

// TestComparisonKnowsItsOwn: a unit of the model differs in nothing, at any charge and
// temperature, fresh from rated power, with cells that are not all alike, read often or
// seldom, and whatever it does not report.
func TestComparisonKnowsItsOwn(t *testing.T) {
	for _, name := range []string{"ess-100kw-215kwh", "ess-250kw-500kwh", "../../scenarios/models/ess-low-voltage.yaml"} {
		for _, x := range []tried{
			{soc: 50, tempC: 25},
			{soc: 8, tempC: 25},
			{soc: 93, tempC: 25},
			{soc: 50, tempC: 3},
			{soc: 50, tempC: 42},
			{soc: 30, tempC: 25, before: 1},
			{soc: 70, tempC: 25, before: -1},
			{soc: 25, tempC: 10, before: -1, rest: 5 * time.Second},
			{soc: 12, tempC: 25, before: 1},
			{soc: 88, tempC: 25, before: -1},
			{soc: 50, tempC: 25, spread: 3},
			{soc: 50, tempC: 25, every: time.Second},
			{soc: 50, tempC: 25, bend: func(r *device.Reading) { r.SoC = math.NaN() }},
			{soc: 50, tempC: 25, bend: func(r *device.Reading) { r.Temperature = math.NaN() }},
			{soc: 50, tempC: 25, bend: func(r *device.Reading) { r.Voltage = math.NaN() }},
			{soc: 50, tempC: 25, bend: func(r *device.Reading) { r.Current = math.NaN() }},
			{soc: 50, tempC: 25, bend: func(r *device.Reading) { r.SoC = math.Round(r.SoC) + 4 }},
			{soc: 50, tempC: 25, bend: func(r *device.Reading) { r.Voltage = math.Round(r.Voltage) }},
		} {
			x.every = max(x.every, 50*time.Millisecond)
			if x.every < time.Second && x.spread == 0 {
				x.every = 200 * time.Millisecond
			}
			m := model(t, name, nil)
			evidence, differs := compare(t, m, &device.Info{RatedKW: m.RatedKW, CapacityKWh: m.RatedKWh}, x.window(t, m))
			if differs != "" || !strings.Contains(evidence, "compared with the twin of "+m.Name) {
				t.Errorf("%s %+v: %q %q", m.Name, x, evidence, differs)
			}
		}
	}
}

// TestComparisonTells: what is not of the model differs, in the quantity that shows it, and
// both numbers and the tolerance are told.
func TestComparisonTells(t *testing.T) {
	const name = "ess-100kw-215kwh"
	plain := tried{soc: 50, tempC: 25, every: 200 * time.Millisecond}
	for what, tt := range map[string]struct {
		is   func(*params.Model) // what the device is
		bend func(*device.Reading)
		said device.Info
		want []string
	}{
		"another chemistry":        {is: nickel, want: []string{"voltage "}},
		"half the cells in series": {is: func(m *params.Model) { m.Series, m.RatedKWh = m.Series/2, m.RatedKWh/2 }, want: []string{"voltage ", "current "}},
		"a module less":            {is: func(m *params.Model) { m.Series, m.RatedKWh = m.Series-16, m.RatedKWh*14/15 }, want: []string{"voltage "}},
		"twice the capacity, and says so": {
			is: func(m *params.Model) { m.Parallel, m.RatedKWh = 2*m.Parallel, 2*m.RatedKWh }, said: device.Info{RatedKW: 100, CapacityKWh: 430},
			want: []string{"rated energy on its nameplate 430 kWh, expected 215 ± 21.5 kWh"},
		},
		"four times the capacity": {is: func(m *params.Model) { m.Parallel, m.RatedKWh = 4*m.Parallel, 4*m.RatedKWh }, said: device.Info{CapacityKWh: 215}, want: []string{"step of the voltage "}},
		"ten times the current":   {bend: func(r *device.Reading) { r.Current *= 10 }, want: []string{"current "}},
		"a tenth of the current":  {bend: func(r *device.Reading) { r.Current /= 10 }, want: []string{"current "}},
		"half of the power":       {bend: func(r *device.Reading) { r.Power *= 0.55 }, want: []string{"power 2.75 kW, expected 5 ± 2 kW"}},
		"a charge that runs away": {bend: func(r *device.Reading) { r.SoC += float64(r.At%100000) / 2000 }, want: []string{"movement of the state of charge "}},
		"heat":                    {bend: func(r *device.Reading) { r.Temperature += float64(r.At%100000) / 1000 }, want: []string{"movement of the temperature "}},
	} {
		x := plain
		x.bend = tt.bend
		evidence, differs := compare(t, model(t, name, nil), &tt.said, x.window(t, model(t, name, tt.is)))
		for _, want := range tt.want {
			if !strings.Contains(differs, want) || !strings.Contains(differs, "it differs from the twin of "+name) || !strings.Contains(differs, "expected") {
				t.Errorf("%s: %q (%q), want %q", what, differs, evidence, want)
			}
		}
	}
}

// TestComparisonKnowsAVoltageThatStandsStill: a voltage that does not move where the twin's
// moves by several steps of what it is written in differs. One that is written so coarsely
// that it may stand still, or that an entry says to be so coarse, is not held against it.
func TestComparisonKnowsAVoltageThatStandsStill(t *testing.T) {
	const name, silent = "ess-100kw-215kwh", "step of the voltage, which is too small to tell"
	still := func(volt float64) func(*device.Reading) {
		return func(r *device.Reading) { r.Voltage = volt }
	}
	whole := func(r *device.Reading) { r.Voltage = math.Round(r.Voltage) }
	for what, tt := range map[string]struct {
		bend     func(*device.Reading)
		step     float64 // V, declared
		coarse   shadow.Margin
		tempC    float64
		differs  bool
		evidence string
	}{
		"in tenths of a volt":                  {bend: still(791.8), step: 0.1, differs: true},
		"in tenths, at a whole one":            {bend: still(792), step: 0.1, differs: true},
		"of a warm pack":                       {bend: still(791.8), step: 0.1, tempC: 42, differs: true},
		"written in tenths, which nobody says": {bend: still(791.8), differs: true},
		"in whole volts":                       {bend: whole, step: 1, evidence: silent},
		"in whole volts, which stand still":    {bend: still(792), step: 1, evidence: silent},
		"written in whole volts":               {bend: still(792), evidence: silent},
		"as coarse as its entry says":          {bend: still(792), step: 0.1, coarse: shadow.Margin{VoltStep: 1}, evidence: silent},
		"that moves as it should":              {step: 0.1, evidence: "step of the voltage 0."},
		"but for one jump": {bend: func(r *device.Reading) {
			if r.Voltage = 791.8; r.Power < 0 {
				r.Voltage = 791.9
			}
		}, step: 0.1, differs: true},
	} {
		x := tried{soc: 50, tempC: 25, every: 200 * time.Millisecond, bend: tt.bend}
		if tt.tempC != 0 {
			x.tempC = tt.tempC
		}
		k, err := shadow.NewKind(model(t, name, nil))
		if err != nil {
			t.Fatal(err)
		}
		c, err := k.Comparison(tt.coarse)
		if err != nil {
			t.Fatal(err)
		}
		evidence, differs := c(&device.Info{RatedKW: 100, CapacityKWh: 215, VoltStep: tt.step}, x.window(t, model(t, name, nil)))
		if tt.differs != strings.Contains(differs, "step of the voltage") || !tt.differs && differs != "" || !strings.Contains(evidence, tt.evidence) {
			t.Errorf("%s: %q, %q", what, differs, evidence)
		}
	}
}

// TestComparisonOfNothing: without a reading nothing is made up.
func TestComparisonOfNothing(t *testing.T) {
	evidence, differs := compare(t, model(t, "ess-100kw-215kwh", nil), nil, nil)
	if differs != "" || !strings.Contains(evidence, ": nothing; not compared: rated power, rated energy, its readings") {
		t.Error(fmt.Sprint(evidence, differs))
	}
	k, err := shadow.NewKind(model(t, "ess-100kw-215kwh", nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Comparison(shadow.Margin{Resistance: 0.5}); err == nil {
		t.Error("a resistance that may be half of the model's and no more is no margin")
	}
}
