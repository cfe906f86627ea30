package unit_test

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"yunchu/hil/unit"
	"yunchu/twin/params"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// bench is a unit and its time.
type bench struct {
	*testing.T
	u   *unit.Unit
	now time.Time
}

func newBench(t *testing.T, change ...func(*unit.Options)) *bench {
	t.Helper()
	m, err := params.LoadModel("ess-100kw-215kwh")
	if err != nil {
		t.Fatal(err)
	}
	o := unit.Options{ID: "u", Model: m, SoC: 50, AmbientC: 25, Start: start}
	for _, c := range change {
		c(&o)
	}
	u, err := unit.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{t, u, start}
}

func (b *bench) pass(d time.Duration) {
	for end := b.now.Add(d); b.now.Before(end); {
		b.now = b.now.Add(10 * time.Millisecond)
		b.u.Tick(b.now)
	}
}

func (b *bench) kw() float64 { return b.u.Truth(b.now).ACW / 1000 }

func (b *bench) wantKW(want float64) {
	b.Helper()
	if got := b.kw(); !(math.Abs(got-want) <= 0.2) {
		b.Errorf("at %v: %.3f kW, want %g", b.now.Sub(start), got, want)
	}
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) set(kw float64, revert time.Duration) {
	b.Helper()
	b.must(b.u.Do(b.now, unit.SetPower("x", kw*1000, revert)))
}

func (b *bench) inject(f unit.Fault) (end func()) {
	b.Helper()
	done, err := b.u.Inject(b.now, f)
	b.must(err)
	return func() { done(b.now) }
}

func TestSetpointLastsForEver(t *testing.T) {
	b := newBench(t)
	b.set(50, 0)
	b.pass(time.Second)
	b.wantKW(50)
	b.pass(time.Minute)
	b.wantKW(50)
	b.set(-80, 0)
	b.pass(time.Second)
	b.wantKW(-80)
}

func TestSetpointReverts(t *testing.T) {
	b := newBench(t)
	b.set(50, 3*time.Second)
	b.pass(2 * time.Second)
	b.wantKW(50)
	b.set(50, 3*time.Second)
	b.pass(2 * time.Second)
	b.wantKW(50)
	b.pass(2 * time.Second)
	b.wantKW(0)
	if b.u.View(b.now).SetActive {
		t.Error("a setpoint that has reverted is shown as active")
	}
}

func TestHeartbeatIsEnforcedFromTheFirstOn(t *testing.T) {
	b := newBench(t)
	b.set(50, 0)
	b.must(b.u.Do(b.now, unit.Beat(0))) // no change: no beat
	b.pass(time.Minute)
	b.wantKW(50)
	for n := range uint32(10) {
		b.must(b.u.Do(b.now, unit.Beat(n+1)))
		b.pass(time.Second)
	}
	b.wantKW(50)
	b.pass(3 * time.Second)
	b.wantKW(50)
	b.pass(3 * time.Second) // more than the watchdog in all
	b.wantKW(0)
	b.must(b.u.Do(b.now, unit.Beat(99)))
	b.pass(time.Second)
	b.wantKW(0) // beats alone bring nothing back
	b.set(20, 0)
	b.pass(time.Second)
	b.wantKW(20)
	b.pass(6 * time.Second) // and the watch goes on
	b.wantKW(0)
}

func TestPanel(t *testing.T) {
	b := newBench(t)
	run := func() { b.set(60, 0); b.pass(time.Second) }
	run()
	b.must(b.u.Do(b.now, unit.Connect(false, 0)))
	b.pass(time.Second)
	b.wantKW(0)
	b.must(b.u.Do(b.now, unit.Connect(true, 0)))
	b.pass(time.Second)
	b.wantKW(60) // the setpoint was kept
	b.must(b.u.Do(b.now, unit.Operate(unit.OpStop)))
	b.pass(time.Second)
	b.wantKW(0)
	b.must(b.u.Do(b.now, unit.Operate(unit.OpStart)))
	b.pass(time.Second)
	b.wantKW(0) // stopping ends it
	run()
	b.wantKW(60)
	b.must(b.u.Do(b.now, unit.Operate(unit.OpStandby)))
	b.pass(time.Second)
	b.wantKW(0)
	b.must(b.u.Do(b.now, unit.Operate(unit.OpLeaveStandby)))
	run()
	b.wantKW(60)
	b.must(b.u.Do(b.now, unit.Limit(0.33, true, 0)))
	b.pass(time.Second)
	b.wantKW(33)
	b.must(b.u.Do(b.now, unit.Limit(0.5, true, 2*time.Second)))
	b.pass(time.Second)
	b.wantKW(50)
	b.pass(3 * time.Second)
	b.wantKW(60)
	b.must(b.u.Do(b.now, unit.Reserve(55)))
	b.set(-60, 0)
	b.pass(time.Second)
	b.wantKW(0) // 50 % is what is kept
	b.must(b.u.Do(b.now, unit.Clear()))
	b.pass(time.Second)
	b.wantKW(0)
	for _, w := range []float64{101e3, -101e3, math.NaN(), math.Inf(1)} {
		if err := b.u.Do(b.now, unit.SetPower("x", w, 0)); !errors.Is(err, unit.ErrRange) {
			t.Errorf("%g W: %v", w, err)
		}
	}
	if err := b.u.Do(b.now, unit.Limit(1.5, true, 0)); !errors.Is(err, unit.ErrRange) {
		t.Errorf("limit: %v", err)
	}
	b.inject(unit.Fault{Kind: "local"})
	if err := b.u.Do(b.now, unit.SetPower("x", 1, 0)); !errors.Is(err, unit.ErrLocal) {
		t.Errorf("under local control: %v", err)
	}
}

func TestRamp(t *testing.T) {
	b := newBench(t)
	if !math.IsNaN(b.u.View(b.now).Ramp) {
		t.Error("the ramp register is implemented before somebody writes it")
	}
	b.must(b.u.Do(b.now, unit.Ramp(0.1)))
	b.set(100, 0)
	b.pass(5*time.Second + 40*time.Millisecond) // and the response delay
	b.wantKW(50)
	b.must(b.u.Do(b.now, unit.Ramp(math.NaN())))
	b.pass(300 * time.Millisecond)
	b.wantKW(100)
	if err := b.u.Do(b.now, unit.Ramp(0)); !errors.Is(err, unit.ErrRange) {
		t.Errorf("no ramp at all: %v", err)
	}
}

func TestEmergencyStopLatches(t *testing.T) {
	b := newBench(t)
	b.set(60, 0)
	b.pass(time.Second)
	release := b.inject(unit.Fault{Kind: "e-stop"})
	b.pass(100 * time.Millisecond)
	b.wantKW(0)
	again := func() float64 {
		_ = b.u.Do(b.now, unit.Operate(unit.OpStart)) // refused or not: what counts is what flows
		b.set(60, 0)
		b.pass(time.Second)
		return b.kw()
	}
	for _, step := range []struct {
		name string
		do   func()
		want float64
	}{
		{"pressed", func() {}, 0},
		{"acknowledged while pressed", func() { b.must(b.u.Do(b.now, unit.Acknowledge())) }, 0},
		{"released", release, 0},
	} {
		step.do()
		if kw := again(); kw != step.want {
			t.Errorf("%s: %g kW", step.name, kw)
		}
	}
	b.must(b.u.Do(b.now, unit.Acknowledge()))
	b.pass(time.Second)
	b.wantKW(0) // not started yet
	if kw := again(); math.Abs(kw-60) > 0.2 {
		t.Errorf("%g kW after reset and start", kw)
	}
	b.u.EStop(b.now) // over a wire it latches likewise
	b.pass(100 * time.Millisecond)
	b.wantKW(0)
	if kw := again(); kw != 0 {
		t.Errorf("%g kW", kw)
	}
	b.must(b.u.Do(b.now, unit.Acknowledge()))
	if kw := again(); math.Abs(kw-60) > 0.2 {
		t.Errorf("%g kW after reset and start", kw)
	}
}

func TestProtectionTripsAtOnceAndLatches(t *testing.T) {
	b := newBench(t)
	b.set(-60, 0)
	b.pass(time.Second)
	end := b.inject(unit.Fault{Kind: "over-temperature"})
	b.pass(20 * time.Millisecond)
	b.wantKW(0)
	v := b.u.View(b.now)
	if v.ChargeOK || v.DischargeOK || v.Contactors || v.Alarms&unit.AlarmOverTemp == 0 {
		t.Errorf("%+v", v)
	}
	if err := b.u.Do(b.now, unit.Contactors(true)); !errors.Is(err, unit.ErrUnable) {
		t.Errorf("contactors close on an alarm: %v", err)
	}
	end()
	b.set(-60, 0)
	b.pass(time.Second)
	b.wantKW(0)
	b.must(b.u.Do(b.now, unit.Acknowledge()))
	b.set(-60, 0)
	b.pass(time.Second)
	b.wantKW(-60)
}

// Contactors that are stuck open are closed by nobody; and when they are not any more, a
// protection that has tripped still keeps them open.
func TestContactorsThatDoNotClose(t *testing.T) {
	b := newBench(t)
	closed := func(want bool) {
		t.Helper()
		b.set(40, 0)
		b.pass(time.Second)
		kw := 0.0
		if want {
			kw = 40
		}
		if v := b.u.View(b.now); v.Contactors != want {
			t.Errorf("contactors closed: %v, want %v", v.Contactors, want)
		}
		b.wantKW(kw)
	}
	stuck := b.inject(unit.Fault{Kind: "contactor-open"})
	closed(false)
	b.must(b.u.Do(b.now, unit.Contactors(true)))
	closed(false)
	tripped := b.inject(unit.Fault{Kind: "over-voltage"})
	tripped()
	b.must(b.u.Do(b.now, unit.Acknowledge()))
	closed(false)
	tripped = b.inject(unit.Fault{Kind: "over-voltage"})
	stuck()
	closed(false)
	tripped()
	b.must(b.u.Do(b.now, unit.Acknowledge()))
	closed(true)
}

func TestGrid(t *testing.T) {
	b := newBench(t, func(o *unit.Options) {
		o.Response = &unit.Response{DeadbandHz: 0.05, DroopPercent: 2}
	})
	b.set(10, 0)
	b.pass(time.Second)
	b.must(b.u.Grid(b.now, 49.8, 1)) // 0.15 Hz beyond the dead band; 1 Hz is a rated power
	b.pass(time.Second)
	b.wantKW(10 - 15)
	b.must(b.u.Grid(b.now, 50.2, 1))
	b.pass(time.Second)
	b.wantKW(10 + 15)
	b.must(b.u.Grid(b.now, 50.04, 1))
	b.pass(time.Second)
	b.wantKW(10)
	for _, pu := range []float64{0.86, 1.09} {
		b.must(b.u.Grid(b.now, 50, pu))
		b.pass(time.Minute)
		b.wantKW(10)
	}
	b.must(b.u.Grid(b.now, 50, 0.5))
	b.pass(150 * time.Millisecond)
	b.wantKW(10)
	b.pass(time.Second)
	b.wantKW(0)
	b.must(b.u.Grid(b.now, 50, 1))
	b.pass(6 * time.Second)
	b.wantKW(10)
	if err := b.u.Grid(b.now, math.NaN(), 1); !errors.Is(err, unit.ErrRange) {
		t.Errorf("%v", err)
	}
}

func TestDisplaysLieAndTheTruthDoesNot(t *testing.T) {
	b := newBench(t)
	b.set(60, 0)
	b.pass(time.Second)
	var ends []func()
	for _, kind := range []string{"sign-flip", "soc-frozen", "voltage-frozen", "heartbeat-frozen"} {
		ends = append(ends, b.inject(unit.Fault{Kind: kind}))
	}
	before := b.u.View(b.now)
	b.pass(10 * time.Minute)
	v, truth := b.u.View(b.now), b.u.Truth(b.now)
	if math.Abs(v.ACW+truth.ACW) > 1 || v.SoC != before.SoC || v.DCV != before.DCV || v.Heartbeat != before.Heartbeat {
		t.Errorf("shown %g W, %g %%, %g V, beat %d; true %g W", v.ACW, v.SoC, v.DCV, v.Heartbeat, truth.ACW)
	}
	if truth.SoC < before.SoC+3 || truth.DCV == before.DCV || truth.Heartbeat < before.Heartbeat+599 {
		t.Errorf("true: %g %%, beat %d", truth.SoC, truth.Heartbeat)
	}
	for _, end := range ends {
		end()
	}
	if v, truth := b.u.View(b.now), b.u.Truth(b.now); v.ACW != truth.ACW || v.SoC != truth.SoC || v.DCV != truth.DCV || v.Heartbeat != truth.Heartbeat {
		t.Errorf("shown %+v, true %+v", v, truth)
	}
}

// A ramp that is shown and not kept: what a test of ramps must find.
func TestIgnoredRamp(t *testing.T) {
	b := newBench(t)
	b.must(b.u.Do(b.now, unit.Ramp(0.1)))
	end := b.inject(unit.Fault{Kind: "ramp-ignored"})
	b.set(60, 0)
	b.pass(time.Second)
	b.wantKW(60)
	if v := b.u.View(b.now); v.Ramp != 0.1 {
		t.Errorf("it shows a ramp of %g", v.Ramp)
	}
	end()
	b.set(0, 0)
	b.pass(2 * time.Second)
	if kw := b.u.Truth(b.now).ACW / 1000; math.Abs(kw-40) > 1.5 {
		t.Errorf("%.3g kW two seconds after, want about 40", kw)
	}
}

func TestSecondMaster(t *testing.T) {
	b := newBench(t)
	b.set(60, 0)
	end := b.inject(unit.Fault{Kind: "second-master", KW: -30})
	b.pass(2 * time.Second)
	b.wantKW(-30)
	end()
	b.set(60, 0)
	b.pass(2 * time.Second)
	b.wantKW(60)
}

func TestKindsAreKnown(t *testing.T) {
	for _, k := range unit.Kinds() {
		b := newBench(t)
		end, err := b.u.Inject(b.now, unit.Fault{Kind: k, ToC: 40})
		if err != nil {
			t.Errorf("%s: %v", k, err)
			continue
		}
		b.pass(time.Second)
		end(b.now)
	}
	if _, err := newBench(t).u.Inject(start, unit.Fault{Kind: "meteor"}); !errors.Is(err, unit.ErrUnable) {
		t.Errorf("%v", err)
	}
}

// Orders that come together are taken together: one that is refused takes the others with it.
func TestOrdersTogether(t *testing.T) {
	b := newBench(t)
	b.set(50, 0)
	b.pass(time.Second)
	b.inject(unit.Fault{Kind: "over-voltage"})()
	b.inject(unit.Fault{Kind: "e-stop"}) // and the button stays pressed
	b.pass(time.Second)
	before := fmt.Sprintf("%+v", b.u.View(b.now))
	for name, orders := range map[string][]unit.Order{
		"acknowledged and started":      {unit.Acknowledge(), unit.Operate(unit.OpStart)},
		"acknowledged and closed":       {unit.Acknowledge(), unit.Contactors(true)},
		"a bound, a ramp and too much":  {unit.Limit(0.5, true, 0), unit.Ramp(0.1), unit.SetPower("y", 1e9, 0)},
		"a beat and an impossible mode": {unit.Beat(7), unit.Reserve(20), unit.Connect(false, 0), unit.Operate(9)},
	} {
		if err := b.u.Do(b.now, orders...); err == nil {
			t.Errorf("%s: taken", name)
		}
		if after := fmt.Sprintf("%+v", b.u.View(b.now)); after != before {
			t.Errorf("%s: refused, and\n%s became\n%s", name, before, after)
		}
	}
}
