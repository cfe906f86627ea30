package emul_test

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"yunchu/hil/can"
	"yunchu/hil/unit"
	"yunchu/platform/device"
)

func (r *rig) inject(f unit.Fault) (end func()) {
	r.t.Helper()
	stop, err := r.unit.Inject(r.now, f)
	if err != nil {
		r.t.Fatal(err)
	}
	return func() { stop(r.now) }
}

// A silent wire, however it came about, is flagged after 3 s and offline after the
// timeouts; what comes back is taken again.
func TestSilentWire(t *testing.T) {
	for _, kind := range []string{"bus-off", "pause", "link-down"} {
		for _, name := range can.Shipped() {
			r := newRig(t, name, nil)
			r.pass(3 * time.Second)
			end := r.inject(unit.Fault{Kind: kind})
			r.pass(4 * time.Second)
			if got := r.read(); got.Flags != device.FlagHeartbeat {
				t.Errorf("%s, %s: after 4 s flags %v", name, kind, got.Flags)
			}
			r.pass(3 * time.Second)
			if _, err := r.driver.Read(t.Context(), r.now); !errors.Is(err, device.ErrOffline) {
				t.Errorf("%s, %s: after 7 s %v, want ErrOffline", name, kind, err)
			}
			end()
			r.pass(11 * time.Second)
			if got := r.read(); got.Flags != 0 || got.MaxCharge < 1 {
				t.Errorf("%s, %s: back again: %+v", name, kind, got)
			}
		}
	}
}

func TestNotImplementedIsNoValue(t *testing.T) {
	for _, name := range can.Shipped() {
		r := newRig(t, name, nil)
		r.pass(3 * time.Second)
		end := r.inject(unit.Fault{Kind: "not-implemented"})
		r.pass(2 * time.Second)
		got := r.read()
		for what, v := range map[string]float64{"soc": got.SoC, "soh": got.SoH, "voltage": got.Voltage, "current": got.Current, "temperature": got.Temperature} {
			if !math.IsNaN(v) {
				t.Errorf("%s: %s %v", name, what, v)
			}
		}
		if got.MaxCharge != 0 || got.MaxDischarge != 0 {
			t.Errorf("%s: max charge %v, max discharge %v", name, got.MaxCharge, got.MaxDischarge)
		}
		end()
		r.pass(11 * time.Second)
		if got := r.read(); math.IsNaN(got.SoC) || got.MaxCharge == 0 {
			t.Errorf("%s: afterwards %+v", name, got)
		}
	}
}

func TestLateFrames(t *testing.T) {
	r := newRig(t, "victron-sma-lv", nil)
	r.pass(3 * time.Second)
	end := r.inject(unit.Fault{Kind: "late-answer", By: 2 * time.Second})
	if err := r.unit.Do(r.now, unit.SetPower("test", 50e3, 0)); err != nil {
		t.Fatal(err)
	}
	r.pass(1800 * time.Millisecond)
	if got := r.read(); got.Status == device.Charging {
		t.Errorf("1.8 s later: %v", got.Status)
	}
	r.pass(1500 * time.Millisecond)
	if got := r.read(); got.Status != device.Charging || got.Flags != 0 {
		t.Errorf("3.3 s later: %v, flags %v", got.Status, got.Flags)
	}
	end()
	r.pass(time.Second)
	if got := r.read(); got.Status != device.Charging || r.now.UnixMilli()-got.At > 100 {
		t.Errorf("afterwards: %v, measured %d ms ago", got.Status, r.now.UnixMilli()-got.At)
	}
}

func TestSignFlipAndFrozenChargeComeThrough(t *testing.T) {
	r := newRig(t, "ecube-hv-pcs", nil)
	if err := r.unit.Do(r.now, unit.SetPower("test", -80e3, 0)); err != nil {
		t.Fatal(err)
	}
	r.pass(5 * time.Second)
	end := r.inject(unit.Fault{Kind: "sign-flip"})
	r.pass(2 * time.Second)
	if got := r.read(); got.Current < 50 {
		t.Errorf("flipped: %v A", got.Current)
	}
	end()
	r.pass(2 * time.Second)
	before := r.read().SoC
	end = r.inject(unit.Fault{Kind: "soc-frozen"})
	r.pass(10 * time.Minute)
	if got := r.read(); got.SoC != before || got.Current > -50 {
		t.Errorf("frozen at %v %%: %v %%, %v A", before, got.SoC, got.Current)
	}
	end()
	r.pass(2 * time.Second)
	if got := r.read(); got.SoC >= before {
		t.Errorf("afterwards %v %%, was %v %%", got.SoC, before)
	}
}

// TestNarrowHeartbeatGoesOn: eight bits, or four, count as long as the unit lives.
func TestNarrowHeartbeatGoesOn(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"counter.yaml", "counter.dbc"} {
		text, err := os.ReadFile(filepath.Join("..", "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.Replace(text, []byte("Count : 8|8@1+"), []byte("Count : 8|4@1+"), 1)
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{filepath.Join("..", "testdata", "counter.yaml"), filepath.Join(dir, "counter.yaml")} {
		r := newRig(t, path, nil)
		for range 100 {
			r.pass(10 * time.Second)
			if got := r.read(); got.Flags&device.FlagHeartbeat != 0 {
				t.Fatalf("%s: stands still after %v", path, r.now.Sub(start))
			}
		}
	}
}

// A protection takes the permissions away in every protocol, and shows as a fault.
func TestProtections(t *testing.T) {
	for _, name := range can.Shipped() {
		for _, kind := range []string{"over-voltage", "under-voltage", "over-temperature", "under-temperature", "over-current", "ground-fault", "contactor-open"} {
			r := newRig(t, name, nil)
			r.pass(3 * time.Second)
			if got := r.read(); got.MaxCharge < 1 || got.MaxDischarge < 1 {
				t.Fatalf("%s: at first %+v", name, got)
			}
			end := r.inject(unit.Fault{Kind: kind})
			r.pass(2 * time.Second)
			if got := r.read(); got.Status != device.Fault || got.MaxCharge != 0 || got.MaxDischarge != 0 {
				t.Errorf("%s, %s: %v, max charge %v, max discharge %v", name, kind, got.Status, got.MaxCharge, got.MaxDischarge)
			}
			end()
			if err := r.unit.Do(r.now, unit.Acknowledge()); err != nil {
				t.Fatal(err)
			}
			r.pass(2 * time.Second)
			if got := r.read(); got.Status == device.Fault || got.MaxCharge < 1 {
				t.Errorf("%s, %s: afterwards %v, max charge %v", name, kind, got.Status, got.MaxCharge)
			}
		}
	}
}

// A pylon-lv battery that has heard its inverter opens when it is silent for 5 s, and
// closes when it is back. One that never heard one stays closed.
func TestMissedHeartbeatOpens(t *testing.T) {
	r := newRig(t, "pylon-lv", func(o *can.Options) { o.ListenOnly = true })
	r.pass(20 * time.Second)
	if v := r.unit.Truth(r.now); !v.Contactors {
		t.Error("open without ever having heard a heartbeat")
	}
	r = newRig(t, "pylon-lv", nil)
	r.pass(20 * time.Second)
	if v := r.unit.Truth(r.now); !v.Contactors {
		t.Error("open while the heartbeat is there")
	}
	if err := r.driver.Close(); err != nil {
		t.Error(err)
	}
	r.pass(4500 * time.Millisecond)
	if v := r.unit.Truth(r.now); !v.Contactors {
		t.Error("open after 4.5 s")
	}
	r.pass(1500 * time.Millisecond)
	if v := r.unit.Truth(r.now); v.Contactors {
		t.Error("still closed after 6 s")
	}
	if err := r.restart(); err != nil {
		t.Fatal(err)
	}
	r.pass(3 * time.Second)
	if v := r.unit.Truth(r.now); !v.Contactors {
		t.Error("still open though the heartbeat is back")
	}
}

func TestQuickStopStopsTheUnit(t *testing.T) {
	r := newRig(t, "victron-sma-lv", nil)
	if err := r.unit.Do(r.now, unit.SetPower("test", 50e3, 0)); err != nil {
		t.Fatal(err)
	}
	r.pass(3 * time.Second)
	a, err := r.driver.Write(t.Context(), r.now, device.Command{Verb: device.EStop})
	if err != nil || a.Status != device.Done {
		t.Fatalf("%+v, %v", a, err)
	}
	r.pass(200 * time.Millisecond)
	if v := r.unit.Truth(r.now); !v.EStop || v.ACW != 0 {
		t.Errorf("stopped %v at %v W", v.EStop, v.ACW)
	}
	r.pass(2 * time.Second)
	if got := r.read(); got.Status != device.Fault || got.MaxCharge != 0 {
		t.Errorf("%+v", got)
	}
	if a, err := r.driver.Write(t.Context(), r.now, device.Command{Verb: device.Reset}); err != nil || a.Status != device.Done {
		t.Errorf("%+v, %v", a, err)
	}
	r.pass(2 * time.Second)
	if v := r.unit.Truth(r.now); !v.EStop {
		t.Error("the stop is lifted by the end of the message: that is for a person at the unit")
	}
}
