package emul_test

import (
	"math"
	"testing"
	"time"

	"yunchu/hil/sunspec/emul"
	"yunchu/hil/sunspec/internal/memory"
	"yunchu/hil/unit"
	"yunchu/platform/device"
	"yunchu/twin/params"
)

// TestLimitsAreNotRoundedUp: what is shown of a current that the battery bears is the step
// below it, whatever it is.
func TestLimitsAreNotRoundedUp(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine writes and looks")
	}
	m, err := params.LoadModel("ess-100kw-215kwh")
	if err != nil {
		t.Fatal(err)
	}
	values := map[float64]bool{}
	for ambient := -10.0; ambient < 60; ambient += 1.3 { // which derates it
		u, err := unit.New(unit.Options{ID: "rig-1", Model: m, SoC: 50, AmbientC: ambient, Start: start})
		if err != nil {
			t.Fatal(err)
		}
		bank, err := emul.New(emul.Options{Unit: u, Base: emul.DefaultBase, Now: func() time.Time { return start }})
		if err != nil {
			t.Fatal(err)
		}
		r := &rig{t: t, now: start, unit: u, bank: bank, conn: &memory.Conn{Bank: bank}}
		v := u.View(start)
		for name, bears := range map[string]float64{"802.AChaMax": v.ChargeA, "802.ADisChaMax": v.DischargeA} {
			values[bears] = true
			if shown := r.show(name); shown > bears+1e-9 || shown < bears-0.1 {
				t.Errorf("at %v °C: %s shows %v A of %v A", ambient, name, shown, bears)
			}
		}
	}
	if len(values) < 5 {
		t.Errorf("only the currents %v: the test does not look where they vary", values)
	}
}

// TestUnitThatMissesItsController: after a pause of the controller the unit complains, can
// be commanded all the same, and is content again.
func TestUnitThatMissesItsController(t *testing.T) {
	r := newRig(t, "ess-100kw-215kwh")
	r.setPower(20, 2*time.Second)
	r.pass(3 * time.Second) // the setpoint is over, the heartbeat goes on
	r.later(10 * time.Second)
	if v := r.unit.View(r.now); v.Alarms&unit.AlarmComm == 0 {
		t.Fatalf("alarms %b: the unit does not miss its controller", v.Alarms)
	}
	r.pass(2 * time.Second)
	got := r.read()
	if !(got.MaxCharge > 50) || !(got.MaxDischarge > 50) || got.Status != device.Idle {
		t.Errorf("%+v", got)
	}
	r.setPower(20, time.Minute)
	r.pass(2 * time.Second)
	if got := r.read(); math.Abs(got.Power-20) > 0.01 || got.Flags != 0 {
		t.Errorf("commanded again: %+v", got)
	}
	if v := r.unit.View(r.now); v.Alarms&unit.AlarmComm != 0 {
		t.Errorf("alarms %b: it still misses its controller", v.Alarms)
	}
}

// TestRequestsOfAPoll counts them: a reading takes three, with a setpoint in force no more.
func TestRequestsOfAPoll(t *testing.T) {
	r := newRig(t, "ess-100kw-215kwh")
	count := func() int {
		r.conn.Log = nil
		r.read()
		n := len(r.conn.Log)
		return n
	}
	r.read() // scans
	if n := count(); n > 3 {
		t.Errorf("at rest: %d requests", n)
	}
	r.setPower(20, time.Minute)
	if n := count(); n > 3 {
		t.Errorf("with a setpoint: %d requests", n)
	}
}
