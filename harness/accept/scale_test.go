package accept_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"yunchu/harness/accept"
	"yunchu/harness/backend"
	"yunchu/harness/metric"
	"yunchu/harness/report"
	"yunchu/platform/device"
)

const steps = `requires: [power]
steps:
  - {power_percent: 60, hold_s: 2.5, measure: {name: step, kind: step, settle_s: 0.2}}
  - {power_percent: -60, hold_s: 2.5, measure: {name: step, kind: step, settle_s: 0.2}}
limits:
  - {name: response_s, measure: step, metric: response_time_s, limit: "<= 1", source: test}
`

// A device that does a tenth of what its profile says, setpoint and power alike, passes
// nothing where only the profile says otherwise.
func TestScaleOfThePower(t *testing.T) {
	t.Parallel()
	blind := func(r *device.Reading) { r.Current = math.NaN() }
	for name, tt := range map[string]struct {
		bend func(*device.Reading)
		want report.Verdict
		note string
	}{
		"no current":            {blind, report.Inconclusive, accept.OnProfileAlone},
		"voltage times current": {nil, report.Passed, "confirmed within a factor of 1.3: voltage times current is "},
		"voltage times current of a tenth of power": {func(r *device.Reading) { r.Current /= 10 }, report.Inconclusive, "contradicted: voltage times current is 0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &pcs{sign: 1, bend: tt.bend}
			r, err := onWire(t, t.Context(), p, accept.Options{}, signTest(t), procedure(t, steps))
			if err != nil {
				t.Fatal(err)
			}
			d := r.Devices[0]
			if x := d.Tests[0]; x.Verdict != report.Passed {
				t.Errorf("sign test %s: %s", x.Verdict, x.Why)
			}
			x := d.Tests[1]
			if x.Verdict != tt.want || !strings.Contains(d.Scale.Text, tt.note) || r.Verdict != tt.want {
				t.Errorf("%s %s (%s), suite %s, want %s, %q", x.Verdict, d.Scale.Text, x.Why, r.Verdict, tt.want, tt.note)
			}
			if tt.want != report.Passed && !strings.Contains(x.Why, tt.note) {
				t.Errorf("it says %q", x.Why)
			}
		})
	}
}

// TestWhatConfirmsAScale: each thing that can, and each of them when it says otherwise.
func TestWhatConfirmsAScale(t *testing.T) {
	held := func(minutes int, change func(i int, s *device.Reading, r *accept.Record)) *accept.Record {
		r := &accept.Record{Test: "X", Begin: origin, Period: time.Second, RefPeriod: time.Second, RatedKW: 100, RatedKWh: 200, Usable: 1, MaxAge: 2 * time.Second}
		r.Setpoints = []metric.Point{{T: 0, V: -90}}
		r.End = origin.Add(time.Duration(minutes) * time.Minute)
		for i := range 60 * minutes {
			s := device.Empty()
			s.At = origin.Add(time.Duration(i) * time.Second).UnixMilli()
			s.Arrived, s.Power, s.Status = s.At, -90, device.Discharging
			s.SoC = math.Round(10*(60-float64(i)*90/3600/200*100)) / 10
			change(i, &s, r)
			r.Samples = append(r.Samples, s)
		}
		w := window("hold", 0, r.End.Sub(origin).Seconds())
		w.ToKW = -90
		r.Windows = []*accept.Window{w}
		return r
	}
	tenth := func(_ int, s *device.Reading, _ *accept.Record) { s.SoC = math.Round(10*(60-(60-s.SoC)/10)) / 10 }
	reference := func(kw float64) func(int, *device.Reading, *accept.Record) {
		return func(_ int, s *device.Reading, r *accept.Record) {
			r.Reference = append(r.Reference, backend.Truth{At: device.Time(s.At), PowerKW: kw})
		}
	}
	for name, tt := range map[string]struct {
		rec     *accept.Record
		metered bool
		want    report.Verdict
		text    string
	}{
		"nothing, in two minutes":       {held(2, func(int, *device.Reading, *accept.Record) {}), false, report.Inconclusive, accept.OnProfileAlone},
		"the charge, in ten minutes":    {held(10, func(int, *device.Reading, *accept.Record) {}), false, report.Passed, "state of charge"},
		"a tenth of the charge":         {held(10, tenth), false, report.Failed, "state of charge"},
		"ten times the charge":          {held(2, func(i int, s *device.Reading, _ *accept.Record) { s.SoC = 60 - 10*(60-s.SoC) }), false, report.Failed, "state of charge"},
		"a charge in steps of 2 %":      {held(10, func(_ int, s *device.Reading, _ *accept.Record) { s.SoC = 2 * math.Round(s.SoC/2) }), false, report.Inconclusive, accept.OnProfileAlone},
		"a charge after a long silence": {held(10, func(i int, s *device.Reading, _ *accept.Record) { s.At += int64(i/60) * 60_000 }), false, report.Inconclusive, accept.OnProfileAlone},
		"the reference":                 {held(1, reference(-88)), false, report.Passed, "reference"},
		"another reference":             {held(1, reference(-9)), false, report.Failed, "reference"},
		"a reference of 80 %":           {held(1, reference(-72)), false, report.Failed, "reference shows 0.8 of it, farther apart than a factor of 1.1"},
		"the meter":                     {held(1, func(int, *device.Reading, *accept.Record) {}), true, report.Passed, "setpoint"},
		"another meter":                 {held(1, func(_ int, s *device.Reading, _ *accept.Record) { s.Power = -20 }), true, report.Failed, "setpoint"},
		"too little power to tell": {held(1, func(_ int, s *device.Reading, _ *accept.Record) {
			s.Power, s.Voltage, s.Current = -9, 800, -11
		}), false, report.Inconclusive, accept.OnProfileAlone},
		"voltage and current, a tenth of it": {held(1, func(_ int, s *device.Reading, _ *accept.Record) {
			s.Voltage, s.Current = 800, -11
		}), false, report.Failed, "voltage times current"},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := accept.Compile(procedure(t, steps), 100, false)
			if err != nil {
				t.Fatal(err)
			}
			x := &accept.TestResult{Program: g, Record: tt.rec, Limits: accept.Judge(g.Procedure, tt.rec)}
			if s := accept.ScaleOf([]*accept.TestResult{x}, tt.metered); s.Verdict != tt.want || !strings.Contains(s.Text, tt.text) {
				t.Errorf("%s: %s, want %s, %q", s.Verdict, s.Text, tt.want, tt.text)
			} else {
				t.Log(s.Text)
			}
		})
	}
}
