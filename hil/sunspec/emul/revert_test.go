package emul_test

import (
	"testing"
	"time"

	"yunchu/hil/unit"
	"yunchu/platform/device"
)

// TestSettingsRevertOverTCP: over a socket a limit and an open switch stay while the driver
// reads the unit, and fall back once nobody does: the limit is lifted and the switch closed,
// after the power is gone.
func TestSettingsRevertOverTCP(t *testing.T) {
	r := newRig(t, "ess-100kw-215kwh")
	onTCP(t, r, 10*time.Second)
	view := func() unit.View { return r.unit.View(r.now) }
	r.read()
	adjust := func(name string, v float64) {
		t.Helper()
		if got, err := r.driver.Adjust(t.Context(), name, v); err != nil || got != v {
			t.Fatalf("%s: holds %v, %v", name, got, err)
		}
	}
	adjust(device.SettingPowerLimit, 40)
	r.setPower(60, time.Hour)
	r.pass(30 * time.Second)
	if v := view(); !v.LimitOn || v.LimitShare != 0.4 || v.ACW < 39000 || v.ACW > 40500 {
		t.Fatalf("after 30 s with a driver: limit %v %v, %v W", v.LimitOn, v.LimitShare, v.ACW)
	}
	if left := r.show("704.WMaxLimPctRvrtRem"); left < 6 || left > 12 {
		t.Errorf("the limit holds %v s more", left)
	}
	// The driver is gone. The power ends before the limit does.
	for range 60 {
		r.step(250 * time.Millisecond)
		if v := view(); !v.LimitOn && v.SetActive {
			t.Fatal("the limit was lifted while there was a setpoint")
		}
	}
	if v := view(); v.LimitOn || v.SetActive || r.show("704.WMaxLimPctEna") != 0 || r.show("123.WMaxLim_Ena") != 0 || r.show("704.WMaxLimPctRvrtRem") != 0 {
		t.Errorf("15 s without a driver: limit %v, setpoint %v, %v s left", v.LimitOn, v.SetActive, r.show("704.WMaxLimPctRvrtRem"))
	}

	adjust(device.SettingPowerLimit, 100)
	adjust(device.SettingConnect, 0)
	r.pass(30 * time.Second)
	if v := view(); v.Connected {
		t.Fatal("the switch closed although the driver goes on")
	}
	r.step(13 * time.Second)
	if v := view(); !v.Connected || r.show("123.Conn") != 1 {
		t.Error("the switch has not closed 13 s after the driver was gone")
	}
	// What is read next finds that out, and opens it again: somebody wants it open.
	r.read()
	list := r.driver.Remarks()
	if v := view(); v.Connected || len(list) != 1 || list[0].Type != "reversion" || list[0].Severity != device.Warning {
		t.Errorf("connected %v, %+v", v.Connected, list)
	}
	adjust(device.SettingConnect, 1)
	r.pass(20 * time.Second)
	if v := view(); !v.Connected || len(r.driver.Remarks()) != 0 {
		t.Error("it is not connected any more")
	}
}

// TestTimersOf123: what a client writes by hand reverts as the model says.
func TestTimersOf123(t *testing.T) {
	r := newRig(t, "ess-100kw-215kwh")
	r.must("123.Conn_RvrtTms", 5)
	r.must("123.Conn", 0)
	r.must("123.WMaxLimPct_RvrtTms", 8)
	r.must("123.WMaxLimPct", 50)
	r.must("123.WMaxLim_Ena", 1)
	for _, x := range []struct {
		at        time.Duration
		connected bool
		limited   bool
	}{{4 * time.Second, false, true}, {6 * time.Second, true, true}, {9 * time.Second, true, false}} {
		for r.now.Sub(start) < x.at {
			r.step(time.Second)
		}
		if v := r.unit.View(r.now); v.Connected != x.connected || v.LimitOn != x.limited {
			t.Errorf("after %v: connected %v, limited %v", x.at, v.Connected, v.LimitOn)
		}
	}
	r.must("123.Conn_RvrtTms", 0)
	r.must("123.Conn", 0)
	r.step(time.Hour)
	if v := r.unit.View(r.now); v.Connected {
		t.Error("without a time to revert it closes by itself")
	}
}
