package sim_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"yunchu/hil/sim"
	"yunchu/platform/device"
	"yunchu/platform/device/devicetest"
	"yunchu/twin"
	"yunchu/twin/params"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// twins are n units at 50 %.
func twins(t testing.TB, model string, n int) *twin.Fleet {
	t.Helper()
	m, err := params.LoadModel(model)
	if err != nil {
		t.Fatal(err)
	}
	if m.RatedKW > 1000 { // a string of it: the 10 kW of the suite are less than the whole loses
		m.RatedKW, m.RatedKWh = m.RatedKW/float64(m.Parallel), m.RatedKWh/float64(m.Parallel)
		m.PCS.StandbyW /= float64(m.Parallel)
		m.Parallel = 1
	}
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("ess-%03d", i+1)
	}
	f, err := twin.NewFleet(m, ids, twin.Options{SoCMean: 50, Start: start})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestUnitKeepsWhatDriversPromise(t *testing.T) {
	for _, model := range params.Models() {
		t.Run(model, func(t *testing.T) {
			devicetest.Run(t, func(t *testing.T) (device.Driver, func(time.Duration) time.Time) {
				now := start
				return sim.Fleets(twins(t, model, 3))[0].Unit(1), func(d time.Duration) time.Time {
					now = now.Add(d)
					return now
				}
			})
		})
	}
}

func TestFleetsAreCutToSize(t *testing.T) {
	f := twins(t, "ess-100kw-215kwh", device.MaxRows+5)
	fleets := sim.Fleets(f)
	if len(fleets) != 2 || fleets[0].Size() != device.MaxRows || fleets[1].Size() != 5 {
		t.Fatalf("%d fleets", len(fleets))
	}
	c := device.Command{Slot: 4, Verb: device.SetPower, Power: 10, Duration: 60_000, Until: start.Add(time.Minute).UnixMilli()}
	if acks, err := fleets[1].WriteAll(t.Context(), start, []device.Command{c}, nil); err != nil || acks[0].Status != device.Done {
		t.Fatalf("%+v, %v", acks, err)
	}
	f.Step(start.Add(time.Second))
	for i := range f.Len() {
		want := 0.0
		if i == device.MaxRows+4 {
			want = 10_000
		}
		if got := f.State(i).ACPowerW; got != want {
			t.Errorf("unit %d: %v W, want %v W", i, got, want)
		}
	}
	var rows device.Readings
	if err := fleets[1].ReadAll(t.Context(), start.Add(time.Second), &rows); err != nil || rows.Rows() != 5 || rows.Power[4] != 10 || rows.Slot[4] != 4 {
		t.Errorf("%d rows, %v kW of device %d, %v", rows.Rows(), rows.Power[4], rows.Slot[4], err)
	}
}

func TestAnswerComesAfterTheResponseDelay(t *testing.T) {
	f := twins(t, "ess-100kw-215kwh", 1)
	u := sim.Fleets(f)[0].Unit(0)
	c := device.Command{Verb: device.SetPower, Power: 10, Duration: 60_000, Until: start.Add(time.Minute).UnixMilli()}
	a, err := u.Write(t.Context(), start, c)
	if want := start.Add(f.ResponseDelay(0)).UnixMilli(); err != nil || a.At != want || f.ResponseDelay(0) <= 0 {
		t.Errorf("answered at %d, %v, want %d", a.At, err, want)
	}
	// A setpoint that ends before the unit acts on it is none.
	c.Duration, c.Until = 20, start.Add(20*time.Millisecond).UnixMilli()
	if a, err := u.Write(t.Context(), start, c); err != nil || a.Status != device.Expired {
		t.Errorf("a setpoint shorter than the response delay: %v, %v, want expired", a.Status, err)
	}
}

func TestUnitInFault(t *testing.T) {
	f := twins(t, "ess-100kw-215kwh", 1)
	u := sim.Fleets(f)[0].Unit(0)
	f.OpenContactor(0, true)
	c := device.Command{Verb: device.SetPower, Power: 10, Duration: 60_000, Until: start.Add(time.Minute).UnixMilli()}
	if a, err := u.Write(t.Context(), start, c); err != nil || a.Status != device.Rejected || a.Code != "DEVICE_FAULT" {
		t.Errorf("setpoint with an open contactor: %+v, %v", a, err)
	}
	if a, err := u.Write(t.Context(), start, device.Command{Verb: device.Stop}); err != nil || a.Status != device.Done {
		t.Errorf("stop with an open contactor: %+v, %v, want done: nothing flows", a, err)
	}
	r, err := u.Read(t.Context(), start.Add(time.Second))
	if err != nil || r.Status != device.Fault || r.Power != 0 || r.MaxCharge != 0 || r.MaxDischarge != 0 {
		t.Errorf("reading with an open contactor: %+v, %v", r, err)
	}
}

// A report has the resolution of a BMS and no signed zero.
func TestResolution(t *testing.T) {
	f := twins(t, "ess-100kw-215kwh", 1)
	u := sim.Fleets(f)[0].Unit(0)
	for i, kw := range []float64{-0.0004, 33.3333, -0.0001, 0} {
		now := start.Add(time.Duration(10*i) * time.Second)
		c := device.Command{Verb: device.SetPower, Power: kw, Duration: 60_000, Until: now.Add(time.Minute).UnixMilli()}
		if a, err := u.Write(t.Context(), now, c); err != nil || a.Status != device.Done {
			t.Fatalf("%+v, %v", a, err)
		}
		r, err := u.Read(t.Context(), now.Add(5*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []struct {
			name     string
			v, steps float64
		}{{"soc", r.SoC, 100}, {"soh", r.SoH, 100}, {"voltage", r.Voltage, 10}, {"current", r.Current, 10}, {"power", r.Power, 1000}, {"temperature", r.Temperature, 100}} {
			if x := v.v * v.steps; math.Abs(x-math.Round(x)) > 1e-6 || v.v == 0 && math.Signbit(v.v) {
				t.Errorf("at %v kW: %s reads %v, want steps of %v", kw, v.name, v.v, 1/v.steps)
			}
		}
	}
}

// TestStopEndsReactivePower gives units a reactive power beside their setpoints: a stop
// leaves none of it, and a mode does not act on what was before.
func TestStopEndsReactivePower(t *testing.T) {
	m, err := params.LoadModel("ess-100kw-215kwh")
	if err != nil {
		t.Fatal(err)
	}
	m.PCS.Capability = &params.Capability{S: 1, Charge: 1, Discharge: 1, Absorb: 0.5, Inject: 0.5}
	f, err := twin.NewFleet(m, []string{"u"}, twin.Options{SoCMean: 50, Start: start, ReactiveVar: 40e3})
	if err != nil {
		t.Fatal(err)
	}
	u := sim.Fleets(f)[0].Unit(0)
	write := func(after time.Duration, c device.Command) {
		t.Helper()
		if a, err := u.Write(t.Context(), start.Add(after), c); err != nil || a.Status != device.Done {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	write(0, device.Command{Verb: device.SetPower, Power: -60, Duration: 3600000, Until: start.Add(time.Hour).UnixMilli()})
	f.Step(start.Add(10 * time.Second))
	if s := f.State(0); s.ReactiveVar != 40e3 || s.ACPowerW != -60e3 {
		t.Errorf("%g W, %g var", s.ACPowerW, s.ReactiveVar)
	}
	write(20*time.Second, device.Command{Verb: device.Stop})
	f.Step(start.Add(30 * time.Second))
	if s := f.State(0); s.ReactiveVar != 0 || s.ACPowerW != 0 {
		t.Errorf("%g W, %g var after a stop", s.ACPowerW, s.ReactiveVar)
	}
	write(40*time.Second, device.Command{Verb: device.SetPower, Power: -60, Duration: 3600000, Until: start.Add(time.Hour).UnixMilli()})
	before := f.Energy(0).ACOutJ
	write(100*time.Second, device.Command{Verb: device.SetMode, Mode: device.StandbyMode})
	if kws := (f.Energy(0).ACOutJ - before) / 1e3; math.Abs(kws-60*60) > 60 {
		t.Errorf("%g kWs delivered in a minute before the mode, want 3600", kws)
	}
}
