package emul_test

import (
	"context"
	"math"
	"testing"
	"time"

	"go.uber.org/goleak"

	"yunchu/hil/can"
	"yunchu/hil/can/emul"
	"yunchu/hil/unit"
	"yunchu/platform/device"
	"yunchu/twin/params"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newUnit(t *testing.T, at time.Time) *unit.Unit {
	t.Helper()
	m, err := params.LoadModel("ess-100kw-215kwh")
	if err != nil {
		t.Fatal(err)
	}
	u, err := unit.New(unit.Options{ID: "ess", Model: m, SoC: 50, Seed: 1, AmbientC: 25, Start: at})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func profile(t *testing.T, name string) *can.Profile {
	t.Helper()
	p, err := can.LoadProfile(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// rig is a unit, its emulator and the driver on one bus in simulated time.
type rig struct {
	t      *testing.T
	now    time.Time
	unit   *unit.Unit
	em     *emul.Emulator
	driver *can.Driver
	opt    can.Options
}

// restart is a new driver after the old one was closed.
func (r *rig) restart() (err error) {
	r.driver, err = can.New(r.opt)
	return err
}

func newRig(t *testing.T, name string, change func(*can.Options)) *rig {
	t.Helper()
	r := &rig{t: t, now: start, unit: newUnit(t, start)}
	bus := can.NewMemory()
	var err error
	if r.em, err = emul.New(emul.Options{Unit: r.unit, Profile: profile(t, name), Bus: bus.Node()}); err != nil {
		t.Fatal(err)
	}
	opt := can.Options{Profile: profile(t, name), Dial: onBus(bus)}
	if change != nil {
		change(&opt)
	}
	r.opt = opt
	if err := r.restart(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.driver.Close(); err != nil {
			t.Error(err)
		}
		if err := r.em.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// pass lets time go by; the driver is read every second.
func (r *rig) pass(d time.Duration) {
	r.t.Helper()
	for end := r.now.Add(d); r.now.Before(end); {
		r.now = r.now.Add(100 * time.Millisecond)
		if err := r.em.Step(r.t.Context(), r.now); err != nil {
			r.t.Fatal(err)
		}
		if r.now.Sub(start)%time.Second == 0 {
			_, _ = r.driver.Read(r.t.Context(), r.now) // offline is a finding of the tests, not of this
		}
	}
}

func (r *rig) read() device.Reading {
	r.t.Helper()
	got, err := r.driver.Read(r.t.Context(), r.now)
	if err != nil {
		r.t.Fatal(err)
	}
	return got
}

func near(got, want, tolerance float64) bool { return math.Abs(got-want) <= tolerance }

// series of the pack as the protocol's class has it.
func shown(p *can.Profile, v *unit.View) float64 {
	if p.ShownSeries == 0 {
		return 1
	}
	return float64(v.Series) / float64(p.ShownSeries)
}

func TestDriverReadsEveryEmulator(t *testing.T) {
	for _, name := range can.Shipped() {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, name, nil)
			for _, kw := range []float64{0, 50, -50} {
				if err := r.unit.Do(r.now, unit.SetPower("test", kw*1000, 0)); err != nil {
					t.Fatal(err)
				}
				r.pass(20 * time.Second)
				got, v := r.read(), r.unit.Truth(r.now)
				k := shown(profile(t, name), &v)
				for _, c := range []struct {
					what                 string
					got, want, tolerance float64
				}{
					{"soc", got.SoC, v.SoC, 0.6},
					{"soh", got.SoH, v.SoH, 0.6},
					{"voltage", got.Voltage, v.DCV / k, 0.2},
					{"current", got.Current, v.DCA * k, 0.2 * k},
					{"dc power", got.Voltage * got.Current, v.DCW, 400},
					{"temperature", got.Temperature, v.TempMaxC, 1},
					{"max charge", got.MaxCharge, v.ChargeA * v.DCV / 1000, 0.5},
					{"max discharge", got.MaxDischarge, v.DischargeA * v.DCV / 1000, 0.5},
					{"own voltage low", got.Own.Voltage[0], v.DischargeV / k, 0.1},
					{"own voltage high", got.Own.Voltage[1], v.ChargeV / k, 0.1},
				} {
					if !near(c.got, c.want, c.tolerance) {
						t.Errorf("at %v kW: %s %v, want %v", kw, c.what, c.got, c.want)
					}
				}
				want := map[float64]device.Status{50: device.Charging, -50: device.Discharging}[kw]
				if kw == 0 { // the idle converter lives on the battery
					want = device.Discharging
				}
				if got.Status != want || got.Flags != 0 {
					t.Errorf("at %v kW: status %v, flags %v, want %v and none", kw, got.Status, got.Flags, want)
				}
				if !math.IsNaN(got.Power) {
					t.Errorf("power at the AC terminals %v: a battery management does not know it", got.Power)
				}
				if age := r.now.UnixMilli() - got.At; age < 0 || age > 1100 {
					t.Errorf("measured %d ms ago", age)
				}
			}
		})
	}
}

func onBus(bus *can.Memory) func(context.Context) (can.Bus, error) {
	return func(context.Context) (can.Bus, error) { return bus.Node(), nil }
}
