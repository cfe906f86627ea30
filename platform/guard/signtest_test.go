package guard_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/guard"
)

func TestSignTestBothWaysThenRest(t *testing.T) {
	w := wired(t)
	w.refused(device.Arm, 0, guard.CodeNotArmed, "no fresh")
	w.pass(time.Second)
	w.must(device.Arm, 0)
	w.refused(device.SetPower, 50, guard.CodeNotArmed, "being tested")
	w.refused(device.Arm, 0, guard.CodeNotArmed, "being tested")
	for range 50 {
		if w.pass(100 * time.Millisecond); w.g.Armed(0) {
			break
		}
	}
	if got := slices.Compact(w.told); !slices.Equal(got, []float64{5, -5, 0}) {
		t.Errorf("told %v kW, want 5, -5, 0", got)
	}
	w.noted("armed: sign test passed, armed by user:ann")
	w.must(device.SetPower, 50) // the test holds it no longer
	w.refused(device.Arm, 0, guard.CodeNotArmed, "it is armed")
}

func TestSignTestFinds(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		bend       func(r *device.Reading)
	}{
		{"power", "sign of its power is wrong", func(r *device.Reading) { r.Power = -r.Power }},
		{"current", "sign of the battery's current", func(r *device.Reading) { r.Current = -r.Current }},
		{"status", "its status says the other direction", func(r *device.Reading) {
			if r.Power != 0 {
				r.Flags |= device.FlagSign
			}
		}},
		{"scale", "voltage times current is too small for that power: a scale or a sign is wrong", func(r *device.Reading) {
			if r.Power != 0 { // it has a tenth of it, and its current is that of its losses
				r.Current = math.Copysign(0.3, r.Power)
				r.Flags |= device.FlagSign
			}
		}},
		{"both", "its voltage is higher while it discharges", func(r *device.Reading) { r.Voltage = 1600 - r.Voltage }},
		{"deaf", "does not follow", func(r *device.Reading) { r.Power, r.Current = 0, 0 }},
		{"greedy", "more power than it was asked", func(r *device.Reading) { r.Power *= 4; r.Current *= 4 }},
		{"restless", "does not come to rest", func(r *device.Reading) {
			if r.Power == 0 {
				r.Power = 6
			}
		}},
		{"no power", "reports no power", func(r *device.Reading) { r.Power = math.NaN() }},
		{"one way", "no power in this direction", func(r *device.Reading) { r.MaxDischarge = 0 }},
		{"master", "second master", func(r *device.Reading) {
			if r.Power != 0 {
				r.Flags |= device.FlagMaster
			}
		}},
		{"bad", "link lost", func(r *device.Reading) {
			if r.Power != 0 {
				r.Quality = device.Bad
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := wired(t)
			w.pass(time.Second)
			w.must(device.Arm, 0)
			w.bend = tt.bend
			w.pass(time.Minute)
			if w.g.Armed(0) {
				t.Error("armed")
			}
			if !slices.ContainsFunc(w.notes, func(n string) bool { return strings.HasPrefix(n, "arm-failed") && strings.Contains(n, tt.want) }) {
				t.Errorf("noted %q, want %q", w.notes, tt.want)
			}
			if n := len(w.told); tt.name != "master" && (n == 0 || w.told[n-1] != 0) {
				t.Errorf("told %v kW, and not left at 0", w.told)
			}
			w.refused(device.SetPower, 50, guard.CodeNotArmed, "")
		})
	}
}

// A battery management tells its current a second later than the converter its power. That
// is no wrong sign.
func TestSignTestOfASlowCurrent(t *testing.T) {
	w := wired(t)
	w.pass(time.Second)
	type told struct {
		at int64
		a  float64
	}
	var measured []told
	w.bend = func(r *device.Reading) {
		measured = append(measured, told{r.At, r.Current})
		for _, m := range measured {
			if m.at > r.At-1000 {
				break
			}
			r.Current = m.a
		}
		if r.Power*r.Current < 0 {
			r.Flags |= device.FlagSign
		}
	}
	w.must(device.Arm, 0)
	w.pass(30 * time.Second)
	if !w.g.Armed(0) {
		t.Errorf("noted %q", w.notes)
	}
}

// A device that somebody else drives when its test begins is on its way from their power
// for a while. That is no wrong sign: either they write again, and are found, or it comes.
func TestSignTestOfADeviceThatIsDriven(t *testing.T) {
	for name, tt := range map[string]struct {
		kw    float64 // that it is driven with
		again bool    // they write again
		stay  bool    // it stays at their power, and nobody is seen to write
		want  string
		code  string
	}{
		"they write again":         {60, true, false, "arm-failed: a second master writes its setpoint", guard.CodeNotArmed},
		"the other way, and again": {-60, true, false, "arm-failed: a second master writes its setpoint", guard.CodeNotArmed},
		"it comes":                 {60, false, false, "armed: sign test passed", ""},
		"it comes from the other":  {-60, false, false, "armed: sign test passed", ""},
		"it stays":                 {60, false, true, "arm-failed: sign test: it takes more power than it was asked to", guard.CodeSign},
		"it stays in the other":    {-60, false, true, "arm-failed: sign test: its power runs against the setpoint", guard.CodeSign},
	} {
		t.Run(name, func(t *testing.T) {
			w := wired(t)
			kw := tt.kw
			w.bend = func(r *device.Reading) {
				if !tt.stay && math.Abs(kw) > 0.5 {
					kw *= 0.8 // of its way in each reading
				}
				if tt.stay {
					r.Power = kw
				} else {
					r.Power += kw
				}
				r.Current, r.Voltage = r.Power*1000/800, 800+0.05*r.Power
			}
			w.pass(100 * time.Millisecond)
			kw = tt.kw
			w.must(device.Arm, 0)
			w.pass(1500 * time.Millisecond)
			if tt.again {
				bend := w.bend
				w.bend = func(r *device.Reading) { bend(r); r.Flags |= device.FlagMaster }
			}
			for range 20 {
				w.now = w.now.Add(100 * time.Millisecond)
				r := w.reading()
				w.g.Observe(&r)
				for _, c := range w.g.Tick(w.now, nil) {
					w.give(c.Command)
				}
				for _, n := range w.g.Notices() {
					if w.notes = append(w.notes, n.Kind+": "+n.Text); n.Code != tt.code {
						t.Errorf("%s has code %q, want %q", n.Text, n.Code, tt.code)
					}
				}
			}
			w.pass(20 * time.Second)
			if len(w.notes) == 0 || !strings.HasPrefix(w.notes[0], tt.want) {
				t.Errorf("noted %q, want %q", w.notes, tt.want)
			}
		})
	}
}

// A battery management that tells its current once a second has its say all the same.
func TestSignTestWaitsForTheCurrent(t *testing.T) {
	for _, sign := range []float64{1, -1} {
		w := wired(t)
		n := 0
		w.bend = func(r *device.Reading) {
			if r.Current *= sign; n%10 != 9 {
				r.Current = math.NaN()
			}
			n++
		}
		w.pass(2 * time.Second)
		w.must(device.Arm, 0)
		w.pass(30 * time.Second)
		if got := w.g.Armed(0); got != (sign > 0) {
			t.Errorf("sign %g: armed %v, noted %q", sign, got, w.notes)
		}
	}
}

// Where nothing but the profile says which direction is charging, people are told so.
func TestSignTestWithoutAVoltage(t *testing.T) {
	for volt, want := range map[float64]string{math.NaN(): "rest on the profile alone", 800: "rest on the profile alone", 0: "the voltage confirms"} {
		w := wired(t)
		w.bend = func(r *device.Reading) {
			if volt != 0 {
				r.Voltage = volt
			}
		}
		w.pass(time.Second)
		w.must(device.Arm, 0)
		w.pass(10 * time.Second)
		if !slices.ContainsFunc(w.notes, func(n string) bool { return strings.HasPrefix(n, "armed") && strings.Contains(n, want) }) {
			t.Errorf("at %g V: noted %q", volt, w.notes)
		}
	}
}

// What takes the right to act away, and that nothing but arming gives it back.
// TestWrongSignUnderDispatch: who is told another power every second has time enough to
// follow it, as long as it is one of the same direction.
func TestWrongSignUnderDispatch(t *testing.T) {
	w := armed(t)
	for i := range 8 {
		w.must(device.SetPower, float64(40+i))
		w.pass(time.Second)
	}
	for i := range 8 { // a turn is no wrong sign, however slow
		lag := w.kw
		w.must(device.SetPower, float64(-40-i))
		if i < 2 {
			w.bend = func(r *device.Reading) { r.Power, r.Current = lag, lag*1000/800 }
		}
		w.pass(time.Second)
		w.bend = nil
	}
	w.bend = func(r *device.Reading) { r.Power, r.Current = -r.Power, -r.Current }
	for i := range 2 {
		w.ask(device.SetPower, float64(-50-i))
		w.pass(time.Second)
	}
	w.noted("disarmed: its power runs against")
}

// A device that is read seldom is read at the moments at which the test's setpoint is handed out
// again: what was measured then was not measured under it, and there must be others.
func TestSignTestOfADeviceThatIsReadSeldom(t *testing.T) {
	for _, period := range []time.Duration{time.Second, 1500 * time.Millisecond, 3 * time.Second} {
		w := wired(t, func(i *device.Info) { i.PollMS = int(period.Milliseconds()) })
		step := func() {
			w.now = w.now.Add(period)
			given := w.g.Tick(w.now, nil)
			r := w.reading()
			w.g.Observe(&r)
			for _, c := range given {
				w.give(c.Command)
			}
			for _, n := range w.g.Notices() {
				w.notes = append(w.notes, n.Kind+": "+n.Text)
			}
		}
		step()
		w.must(device.Arm, 0)
		for range 40 {
			step()
		}
		if !w.g.Armed(0) {
			t.Errorf("read every %v: noted %q", period, w.notes)
		}
	}
}

// What the sign test asks for holds no longer than a lease does, and a device for which that is
// too short is not tested at all.
func TestSignTestKeepsToTheLease(t *testing.T) {
	w := wired(t)
	w.g.Lease = 2 * time.Second
	w.pass(time.Second)
	w.must(device.Arm, 0)
	for range 50 {
		if w.pass(100 * time.Millisecond); w.g.Armed(0) {
			break
		}
	}
	if !w.g.Armed(0) || w.holds > 2*time.Second {
		t.Errorf("armed %v, with setpoints that hold for %v: %q", w.g.Armed(0), w.holds, w.notes)
	}

	w = wired(t)
	w.g.Lease = time.Second
	w.pass(time.Second)
	w.refused(device.Arm, 0, guard.CodeLease, "a setpoint holds at most 1s unless it is renewed, and for the sign test of this device, which is told every 1.332s, it must hold for 1.998s: raise guard.lease")
	if w.pass(time.Minute); len(w.told) > 0 {
		t.Errorf("told %v kW", w.told)
	}

	w = wired(t) // one that proves to be slow
	w.g.Lease = 2 * time.Second
	w.pass(time.Second)
	w.must(device.Arm, 0)
	w.slow = 900 * time.Millisecond
	w.pass(time.Minute)
	if want := "for the sign test of this device, which is told every 1.8s"; w.g.Armed(0) || !slices.ContainsFunc(w.notes, func(n string) bool { return strings.HasPrefix(n, "arm-failed") && strings.Contains(n, want) }) {
		t.Errorf("armed %v, noted %q, want %q", w.g.Armed(0), w.notes, want)
	}
	if w.holds > 2*time.Second || w.kw != 0 {
		t.Errorf("left at %g kW; setpoints held for %v", w.kw, w.holds)
	}
}
