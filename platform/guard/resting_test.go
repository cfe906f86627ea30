package guard_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/guard"
)

// A device that rests is started first, at no power, and is put back to rest unless the
// sign test passes.
func TestArmingStartsADeviceAtRest(t *testing.T) {
	w := resting(t, device.StandbyMode)
	w.must(device.Arm, 0)
	w.pass(100 * time.Millisecond)
	if len(w.told) > 0 || !slices.Equal(w.modes, []string{"run at 0 kW"}) {
		t.Errorf("told %v kW and %q, want mode run before any power", w.told, w.modes)
	}
	w.pass(5 * time.Second)
	w.must(device.SetPower, 50)
	w.pass(30 * time.Second)
	if len(w.modes) != 1 || w.kw != 50 || !w.g.Armed(0) {
		t.Errorf("%g kW, modes %q, noted %q", w.kw, w.modes, w.notes)
	}

	// It is not told a mode that it shows already.
	w = wired(t)
	w.pass(time.Second)
	w.must(device.Arm, 0)
	w.pass(5 * time.Second)
	if len(w.modes) > 0 || !w.g.Armed(0) {
		t.Errorf("modes %q, armed %v", w.modes, w.g.Armed(0))
	}
}

// Somebody else may have put it to rest, or this program before a restart.
func TestArmingStartsADeviceThatShowsItsRest(t *testing.T) {
	w := wired(t)
	w.mode = device.StandbyMode
	w.bend = func(r *device.Reading) {
		if w.mode == device.StandbyMode {
			r.Status = device.Standby
		}
	}
	w.pass(time.Minute)
	if len(w.modes) > 0 {
		t.Errorf("told %q before it was armed", w.modes)
	}
	w.must(device.Arm, 0)
	w.pass(5 * time.Second)
	w.must(device.SetPower, 50)
	if w.kw != 50 {
		t.Errorf("%g kW", w.kw)
	}

	// One that shows standby and has no modes is tested as it is.
	w = wired(t)
	w.bend = func(r *device.Reading) { r.Status = device.Standby }
	w.refuse = func(c *device.Command) string {
		if c.Verb == device.SetMode {
			return "unknown"
		}
		return ""
	}
	w.pass(time.Second)
	w.must(device.Arm, 0)
	w.pass(5 * time.Second)
	w.must(device.SetPower, 50)
}

func TestArmingThatFailsPutsBackToRest(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		fail       func(w *wire)
		end        func(w *wire)
		modes      []string
	}{
		{"sign", "sign of its power", func(w *wire) { w.bend = func(r *device.Reading) { r.Power = -r.Power } }, nil, []string{"run at 0 kW", "standby at 0 kW"}},
		{"disarmed", "disarmed by", func(w *wire) { w.pass(time.Second); w.must(device.Disarm, 0) }, nil, []string{"run at 0 kW", "standby at 0 kW"}},
		{
			"silence", "link lost", func(w *wire) { w.pass(time.Second); w.silent = true },
			func(w *wire) { w.silent = false },
			[]string{"run at 0 kW", "standby at 0 kW"},
		},
		{"refused", "not put into mode run: no", func(w *wire) { w.refuse = func(*device.Command) string { return "no" } }, nil, nil},
		{
			"master", "a second master", func(w *wire) { w.pass(time.Second); w.bend = func(r *device.Reading) { r.Flags |= device.FlagMaster } },
			nil,
			[]string{"run at 0 kW"}, // it is handed over
		},
		{"stop", "emergency stop", func(w *wire) { w.pass(time.Second); w.must(device.EStop, 0) }, nil, []string{"run at 0 kW"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := resting(t, device.StandbyMode)
			w.must(device.Arm, 0)
			tt.fail(w)
			w.pass(time.Minute)
			if tt.end != nil {
				tt.end(w)
				w.pass(time.Minute)
			}
			if !slices.ContainsFunc(w.notes, func(n string) bool { return strings.HasPrefix(n, "arm-failed") && strings.Contains(n, tt.want) }) {
				t.Errorf("noted %q, want %q", w.notes, tt.want)
			}
			if !slices.Equal(w.modes, tt.modes) || tt.name != "master" && w.kw != 0 {
				t.Errorf("%g kW, modes %q, want %q", w.kw, w.modes, tt.modes)
			}
			w.bend, w.refuse = nil, nil
			if w.ask(device.Reset, 0); tt.name == "stop" {
				w.pass(time.Second)
			}
			w.must(device.Arm, 0)
			w.pass(5 * time.Second)
			w.must(device.SetPower, 50)
			if w.kw != 50 {
				t.Errorf("%g kW", w.kw)
			}
		})
	}
}

// People may be at work on a device in maintenance: that is ended by a word of its own,
// which nobody has to arm it for.
func TestMaintenanceIsEndedBeforeArming(t *testing.T) {
	w := resting(t, device.MaintenanceMode)
	w.refused(device.Arm, 0, guard.CodeMode, "in maintenance")
	if v := w.askMode(device.SetMode, device.Run, 0); v.Code != guard.CodeNotArmed {
		t.Errorf("run: %+v", v)
	}
	if v := w.askMode(device.SetMode, device.StandbyMode, 0); v.Code != "" {
		t.Errorf("standby: %+v", v)
	}
	w.must(device.Arm, 0)
	w.pass(5 * time.Second)
	w.must(device.SetPower, 50)
	if w.kw != 50 {
		t.Errorf("%g kW", w.kw)
	}
}
