package guard_test

import (
	"slices"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/guard"
)

func TestEmergencyStop(t *testing.T) {
	for _, tt := range []struct {
		name  string
		press func(w *wire)
	}{
		{"asked", func(w *wire) { w.must(device.EStop, 0) }},
		{"pressed", func(w *wire) { w.bend = func(r *device.Reading) { r.Flags |= device.FlagEStop } }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := armed(t)
			w.must(device.SetPower, 50)
			tt.press(w)
			w.pass(100 * time.Millisecond)
			if w.kw != 0 {
				t.Errorf("%v kW", w.kw)
			}
			w.noted("e-stop")
			w.bend = nil // a button that is released, a link that comes back: nothing lifts it
			w.silent = true
			w.pass(time.Minute)
			w.silent = false
			w.pass(time.Minute)
			w.refused(device.SetPower, 50, guard.CodeEStop, "latched")
			w.refused(device.Arm, 0, guard.CodeEStop, "latched")
			w.must(device.Reset, 0)
			w.pass(time.Second)
			w.noted("reset")
			w.refused(device.SetPower, 50, guard.CodeNotArmed, "")
			w.must(device.Arm, 0)
			w.pass(5 * time.Second)
			w.must(device.SetPower, 50)
		})
	}
	// A simulated unit needs no arming, and the stop latches all the same.
	g := plant(t, 1)
	check(g, start, setPower(0, start, 50, device.Normal))
	stop := setPower(0, start, 0, device.Low) // the weakest may
	stop.Verb = device.EStop
	if v := check(g, start, stop); v.Code != "" {
		t.Fatal(v)
	}
	if v := check(g, start, setPower(0, start, 50, device.Safety)); v.Code != guard.CodeEStop {
		t.Errorf("%+v", v)
	}
}

func TestEmergencyStopOutlivesARestart(t *testing.T) {
	g := plant(t, 1)
	g.Restore(&device.Ack{Slot: 0, Verb: device.EStop, Status: device.Done})
	if v := check(g, start, setPower(0, start, 50, device.Normal)); v.Code != guard.CodeEStop {
		t.Errorf("%+v", v)
	}
	g.Restore(&device.Ack{Slot: 0, Verb: device.Reset, Status: device.Done})
	if v := check(g, start, setPower(0, start, 50, device.Normal)); v.Code != "" {
		t.Errorf("%+v", v)
	}
	w := wired(t)
	w.g.Restore(&device.Ack{Slot: 0, Verb: device.Arm, Status: device.Done})
	w.pass(time.Second)
	w.refused(device.SetPower, 50, guard.CodeNotArmed, "not armed")
}

// What was told before the restart may be known only after the first reading.
func TestEmulatorWithALatchedStop(t *testing.T) {
	w := wired(t)
	w.g.ArmItself(0)
	w.pass(200 * time.Millisecond)
	w.g.Restore(&device.Ack{Slot: 0, Verb: device.EStop, Status: device.Done})
	w.pass(time.Second)
	w.must(device.Reset, 0)
	w.pass(time.Second)
	w.refused(device.SetPower, 50, guard.CodeNotArmed, "emergency stop")
}

// An emergency stop is told again until the device has heard it, and no longer.
func TestEmergencyStopIsToldUntilItIsHeard(t *testing.T) {
	w := armed(t)
	w.must(device.SetPower, 50)
	w.silent = true
	w.must(device.EStop, 0)
	w.pass(20 * time.Second)
	if w.stops < 4 || w.stops > 7 { // after 1 s, 2 s, 4 s and so on
		t.Errorf("told %d times in 20 s", w.stops)
	}
	w.silent, w.stops = false, 0
	w.pass(200 * time.Millisecond)
	if w.stops != 1 || w.kw != 0 {
		t.Errorf("with its link back: told %d times, at %g kW", w.stops, w.kw)
	}
	w.pass(time.Minute)
	if w.stops != 1 {
		t.Errorf("told %d times after it was heard", w.stops)
	}
	// Who starts it all the same, before somebody has reset it, sees it stop again.
	w.kw = 50
	w.pass(10 * time.Second)
	if w.stops != 2 || w.kw != 0 {
		t.Errorf("running again: told %d times, at %g kW", w.stops, w.kw)
	}
}

// After a restart, when everything else is only read, too.
func TestEmergencyStopIsToldAfterARestart(t *testing.T) {
	for _, tt := range []struct {
		name  string
		heard device.AckStatus // how the stop ended before the restart
		bend  func(r *device.Reading)
		deaf  bool // refuses
		kw    float64
		after time.Duration // that its link is back
		told  int
	}{
		{name: "not heard", heard: device.Failure, kw: 50, told: 1},
		{name: "not heard, at rest", heard: device.Failure, told: 1},
		{name: "refused", heard: device.Rejected, kw: 50, told: 1},
		{name: "heard", heard: device.Done},
		{name: "heard, and runs", heard: device.Done, kw: 50, told: 1},
		{name: "a part is stopped", heard: device.Failure, bend: func(r *device.Reading) { r.Flags |= device.FlagEStop }, told: 1},
		{name: "stopped and deaf", heard: device.Failure, bend: func(r *device.Reading) { r.Flags |= device.FlagEStop }, deaf: true, told: 1},
		{name: "offline for a while", heard: device.Failure, kw: 50, after: time.Minute, told: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := wired(t)
			w.bend, w.kw = tt.bend, tt.kw
			w.g.Restore(&device.Ack{Slot: 0, Verb: device.EStop, Status: tt.heard})
			if tt.deaf {
				w.refuse = func(*device.Command) string { return "busy" }
			}
			w.silent = tt.after > 0
			w.pass(tt.after)
			w.silent, w.stops = false, 0
			w.pass(300 * time.Millisecond)
			if tt.told > 0 && tt.heard != device.Done && w.stops != tt.told {
				t.Errorf("told %d times at once", w.stops)
			}
			w.pass(time.Minute)
			if w.stops != tt.told || tt.bend == nil && w.kw != 0 {
				t.Errorf("told %d times, want %d, at %g kW", w.stops, tt.told, w.kw)
			}
			w.refused(device.Arm, 0, guard.CodeEStop, "latched")
			w.bend, w.refuse = nil, nil
			w.must(device.Reset, 0)
			w.stops = 0
			w.pass(time.Minute)
			if w.stops > 0 {
				t.Errorf("told %d times after the reset", w.stops)
			}
		})
	}
}

// A button is that of one part: the others of a device that may act are told the stop as well,
// whatever power was asked for. One that is only read is left to whoever has it.
func TestEmergencyStopByTheButtonOfAPart(t *testing.T) {
	pressed := func(r *device.Reading) { r.Flags |= device.FlagEStop }
	for _, kw := range []float64{0, 50} {
		w := armed(t)
		w.must(device.SetPower, kw)
		w.bend, w.stops = pressed, 0
		w.pass(time.Minute)
		if w.stops != 1 || w.kw != 0 {
			t.Errorf("at %g kW: told %d times, then at %g kW", kw, w.stops, w.kw)
		}
	}
	w := armed(t)
	w.bend = pressed
	w.refuse = func(*device.Command) string { return "it is stopped" }
	w.pass(time.Minute)
	if w.stops != 1 {
		t.Errorf("refused: told %d times", w.stops)
	}
	w = wired(t)
	w.bend = pressed
	w.pass(time.Minute)
	if w.stops != 0 {
		t.Errorf("only read: told %d times", w.stops)
	}
}

// What happened is said, in the event and with what is written: whose button it was, and why a
// device is told a stop that it has itself.
func TestEmergencyStopSaysWhatHappened(t *testing.T) {
	pressed := func(r *device.Reading) { r.Flags |= device.FlagEStop }
	for _, tt := range []struct{ part, want string }{
		{"", "its own emergency stop is pressed or latched"},
		{"bms", "the emergency stop of its bms is pressed or latched"},
	} {
		w := armed(t)
		if tt.part != "" {
			w.g.Pressed(0, tt.part)
		}
		w.bend = pressed
		w.pass(time.Second)
		w.noted("e-stop: " + tt.want)
		if want := []string{tt.want + ": all of the device is told"}; !slices.Equal(w.reasons, want) {
			t.Errorf("told because %q, want %q", w.reasons, want)
		}
		w.bend, w.reasons, w.kw = nil, nil, 50 // somebody starts it
		w.pass(5 * time.Second)
		if want := []string{"it runs, and nobody has reset its emergency stop"}; !slices.Equal(w.reasons, want) {
			t.Errorf("told because %q, want %q", w.reasons, want)
		}
	}
	w := armed(t)
	w.silent = true
	w.must(device.EStop, 0)
	w.silent, w.reasons = false, nil
	w.pass(3 * time.Second)
	if want := []string{"it has not taken its emergency stop"}; !slices.Equal(w.reasons, want) {
		t.Errorf("told because %q, want %q", w.reasons, want)
	}
}

// A device that has no emergency stop is not asked for ever.
func TestEmergencyStopThatTheDeviceDoesNotHave(t *testing.T) {
	w := wired(t)
	w.g.Restore(&device.Ack{Slot: 0, Verb: device.EStop, Status: device.Failure})
	w.refuse = func(*device.Command) string { return guard.CodeUnsupported }
	w.pass(time.Hour)
	if w.stops != 1 {
		t.Errorf("told %d times", w.stops)
	}
}

// A reset starts a device again: it is for who stands there now, and not for a word of
// yesterday.
func TestOldResetIsRefused(t *testing.T) {
	w := armed(t)
	w.must(device.EStop, 0)
	w.pass(time.Second)
	for _, age := range []time.Duration{61 * time.Second, time.Hour, -time.Minute} {
		var v [1]guard.Verdict
		w.g.Check(w.now, []device.Command{{Seq: 99, Verb: device.Reset, At: w.now.Add(-age).UnixMilli(), Source: "user:ann"}}, v[:])
		if v[0].Code != guard.CodeStale {
			t.Errorf("%v old: %+v", age, v[0])
		}
	}
	w.must(device.Reset, 0)
}
