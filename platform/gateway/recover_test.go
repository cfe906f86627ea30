package gateway_test

import (
	"fmt"
	"testing"
	"time"

	"yunchu/platform/bus"
	"yunchu/platform/device"
	"yunchu/platform/fleet/image"
	"yunchu/platform/guard"
)

// A client that sends a command again gets its answer again; the device that was
// released since stays released, for everybody and after a restart.
func TestRepeatedAnswerChangesNothing(t *testing.T) {
	r := newRig(t, 1)
	var img image.Device
	_, err := bus.Acks.Subscribe(r.bus, 1, func(seq uint64, f *device.Acks) {
		for i := range f.List {
			img.Take(seq, &f.List[i])
		}
	})
	r.must(err)
	hold := setPower(0, "hold", 50)
	hold.Duration = time.Hour.Milliseconds()
	release := device.Command{Slot: slot(0), ID: "release", Verb: device.Release, Priority: device.Normal, Source: "user:ann"}
	r.send(2*time.Second, hold)
	r.send(4*time.Second, release)
	r.send(6*time.Second, hold)
	r.run(8 * time.Second)
	for i, want := range []bool{false, false, true} {
		if r.acks[i].Repeat != want {
			t.Errorf("answer %d: repeat = %v, want %v", i, r.acks[i].Repeat, want)
		}
	}
	r.wantAcks("2.04s hold@0 done", "4.04s release@0 done", "6s hold@0 done")
	if img.Told != (image.Told{}) {
		t.Errorf("the released device is told %+v", img.Told)
	}
	r.restart()
	weak := setPower(0, "", 10)
	weak.Priority = device.Low
	r.send(12*time.Second, weak)
	r.send(13*time.Second, hold)
	r.run(14 * time.Second)
	r.wantAcks("12.04s @0 done", "13s hold@0 done")
	r.wantTook("2s hold@0 setPower 50", "4s release@0 release 0", "12s @0 setPower 10")
}

// A device that was not reached when its setpoint expired is brought to 0 as soon
// as it is reached; the log is not filled with the attempts.
func TestExpiryIsCorrectedUntilItIsDone(t *testing.T) {
	r := newRig(t, 1)
	down := false
	r.fleet.answer = func(now time.Time, c *device.Command) (device.Ack, bool) {
		if down {
			return c.Answer(device.Failure, now.UnixMilli(), "OFFLINE", "down"), true
		}
		return c.Answer(device.Done, now.UnixMilli(), "", ""), true
	}
	c := setPower(0, "a", 50)
	c.Duration = 5000
	r.send(2*time.Second, c)
	r.run(6 * time.Second)
	down = true
	r.run(10 * time.Second)
	down = false
	r.run(time.Hour)
	r.wantTook("2s a@0 setPower 50", "7s @0 setPower 0", "8s @0 setPower 0", "10s @0 setPower 0", "14s @0 setPower 0")
	r.wantAcks("2s a@0 done", "7s @0 failed OFFLINE", "14s @0 done")
	r.wantEvents("7s guard: ess-0 set to 0 kW: setpoint expired", "14s guard: ess-0 set to 0 kW at last: setpoint expired")
}

// However many commands were answered: none of them is executed again. The device is
// told what of the last one's hold is left, because it may have lost it.
func TestAnsweredCommandsAreNotOpenAfterARestart(t *testing.T) {
	r := newRig(t, 1)
	n := 0
	for s := 2; s < 37; s++ {
		var list []device.Command
		for range 2000 { // 70,000 in all, more than are remembered
			list = append(list, setPower(0, fmt.Sprint(n), float64(n%90)))
			n++
		}
		r.send(time.Duration(s)*time.Second, list...)
	}
	r.run(38 * time.Second)
	if len(r.acks) != n {
		t.Fatalf("%d of %d answered", len(r.acks), n)
	}
	r.fleet.took, r.fleet.tookAt, r.acks = nil, nil, nil
	r.restart()
	r.run(40 * time.Second)
	r.wantTook("39s @0 setPower 69")
	r.wantAcks("39.04s @0 done")
}

// After a restart a device is told once what is left of a person's setpoint; what
// dispatch had told it comes with the next cycle.
func TestHoldIsToldAgainAfterARestart(t *testing.T) {
	r := newRig(t, 2)
	dispatched := setPower(1, "", 20)
	dispatched.Priority = device.Dispatch
	r.send(1500*time.Millisecond, setPower(0, "a", 50), dispatched)
	r.run(4 * time.Second)
	r.fleet.took, r.fleet.tookAt, r.acks = nil, nil, nil
	r.restart()
	r.run(10 * time.Second)
	if len(r.fleet.took) != 1 {
		t.Fatalf("told %+v", r.fleet.took)
	}
	if c := r.fleet.took[0]; c.Power != 50 || c.Until != at(61500*time.Millisecond).UnixMilli() || c.Reason != "again after a restart" {
		t.Errorf("told %+v", c)
	}
	r.wantAcks("5.04s @0 done")
	r.wantEvents()
}

// deaf makes commands get no answer while the gateway lives: it goes down before.
func deaf(now time.Time, c *device.Command) (device.Ack, bool) {
	return c.Answer(device.Done, now.Add(time.Hour).UnixMilli(), "", ""), true
}

// What nobody answered is judged after a restart in the order of the log, unless
// something newer was done since; and before what arrives later.
func TestOpenCommands(t *testing.T) {
	t.Run("order", func(t *testing.T) {
		r := newRig(t, 2)
		r.fleet.answer = deaf
		for i := range 20 {
			r.send(1500*time.Millisecond+time.Duration(i)*time.Millisecond, setPower(i%2, fmt.Sprint("c", i), float64(i)))
		}
		r.run(1600 * time.Millisecond)
		r.fleet.answer, r.fleet.took, r.fleet.tookAt = nil, nil, nil
		r.restart()
		r.run(3 * time.Second)
		for i, c := range r.fleet.took {
			if want := fmt.Sprint("c", i); c.ID != want {
				t.Errorf("command %d is %s, want %s", i, c.ID, want)
			}
		}
		if len(r.fleet.took) != 20 || len(r.acks) != 20 {
			t.Errorf("%d taken and %d answered, want 20", len(r.fleet.took), len(r.acks))
		}
	})
	t.Run("before what arrives", func(t *testing.T) {
		r := newRig(t, 1)
		r.fleet.answer = deaf
		r.send(1200*time.Millisecond, setPower(0, "old", 10))
		r.run(1300 * time.Millisecond)
		r.fleet.answer, r.fleet.took, r.fleet.tookAt = nil, nil, nil
		r.restart()
		r.send(1500*time.Millisecond, setPower(0, "new", 20))
		r.run(3 * time.Second)
		r.wantTook("1.5s old@0 setPower 10", "1.5s new@0 setPower 20")
		r.wantAcks("1.54s old@0 done", "1.54s new@0 done")
	})
	t.Run("replaced", func(t *testing.T) {
		for _, tt := range []struct {
			name   string
			change func(c *device.Command) // the command that was done
			want   []string
		}{
			{"newer", func(c *device.Command) {}, []string{"2s old@0 expired EXPIRED", "2.04s @0 done"}},
			{"a newer one of dispatch", func(c *device.Command) { c.Priority, c.ID = device.Dispatch, "" }, []string{"2.04s old@0 done"}},
			{"older", func(c *device.Command) { c.At = at(time.Second).UnixMilli() }, []string{"2.04s @0 done", "2.04s old@0 done"}},
			{"newer, of another device", func(c *device.Command) { c.Slot = slot(1) }, []string{"2.04s @1 done", "2.04s old@0 done"}},
			{"newer, by the guard", func(c *device.Command) { c.ID, c.Source = "", guard.Source }, []string{"2.04s @0 done", "2.04s old@0 done"}},
		} {
			t.Run(tt.name, func(t *testing.T) {
				r := newRig(t, 2)
				r.fleet.answer = deaf
				r.send(1200*time.Millisecond, setPower(0, "old", 10))
				r.run(1300 * time.Millisecond)
				done := setPower(0, "new", 20)
				done.At, done.Until = at(1300*time.Millisecond).UnixMilli(), at(time.Minute).UnixMilli()
				tt.change(&done)
				bus.Acks.Publish(r.bus, &device.Acks{List: []device.Ack{done.Answer(device.Done, at(1300*time.Millisecond).UnixMilli(), "", "")}}, nil)
				r.fleet.answer, r.acks = nil, nil
				r.restart()
				r.run(3 * time.Second)
				r.wantAcks(tt.want...)
			})
		}
	})
}

// After a restart a correction leaves the device to whom it was.
func TestRestoredHoldKeepsItsOwner(t *testing.T) {
	r := newRig(t, 1)
	r.fleet.change = func(now time.Time, x *device.Reading) {
		if now.After(at(2500 * time.Millisecond)) {
			x.MaxCharge = 30
		}
	}
	r.send(1500*time.Millisecond, setPower(0, "a", 50))
	r.run(4 * time.Second)
	r.wantTook("1.5s a@0 setPower 50", "3s @0 setPower 30")
	r.acks = nil
	r.restart()
	weak := setPower(0, "weak", 1)
	weak.Priority = device.Dispatch
	r.send(5500*time.Millisecond, weak)
	r.run(6 * time.Second)
	if len(r.acks) != 2 || r.acks[0].Source != guard.Source || r.acks[1].Reason != "held by user:ann at priority normal until 2026-01-01T00:01:01Z" {
		t.Errorf("answers %+v", r.acks)
	}
}

// An emergency stop that a restart has found unanswered is carried out, whatever was
// issued by a clock ahead of its own.
func TestOpenEmergencyStopIsNotReplaced(t *testing.T) {
	r := newRig(t, 1)
	r.fleet.answer = deaf
	stop := device.Command{Slot: slot(0), ID: "stop", Verb: device.EStop, Priority: device.Normal, Source: "user:ann"}
	r.send(1200*time.Millisecond, stop)
	r.run(1300 * time.Millisecond)
	done := setPower(0, "ahead", 20)
	done.At, done.Until = at(3*time.Second).UnixMilli(), at(time.Minute).UnixMilli()
	bus.Acks.Publish(r.bus, &device.Acks{List: []device.Ack{done.Answer(device.Done, at(1100*time.Millisecond).UnixMilli(), "", "")}}, nil)
	r.fleet.answer, r.acks = nil, nil
	r.fleet.took, r.fleet.tookAt = nil, nil
	r.restart()
	r.run(4 * time.Second)
	if !r.guard.Stopped(slot(0)) {
		t.Errorf("the emergency stop is lost; answers %+v", r.acks)
	}
}

// A commandId takes effect once, but that of an emergency stop as often as it is needed: a
// button that always sends the same one, or one that was used for something else.
func TestEmergencyStopWithAnIDThatWasUsed(t *testing.T) {
	r := newRig(t, 1)
	stop := device.Command{Slot: slot(0), ID: "button", Verb: device.EStop, Priority: device.Normal, Source: "user:ann"}
	reset := device.Command{Slot: slot(0), ID: "reset", Verb: device.Reset, Priority: device.Normal, Source: "user:ann"}
	r.send(1200*time.Millisecond, setPower(0, "button", 50))
	r.send(2200*time.Millisecond, stop)
	r.run(2300 * time.Millisecond)
	if !r.guard.Stopped(slot(0)) {
		t.Error("the first is lost")
	}
	r.send(3200*time.Millisecond, reset)
	r.send(4200*time.Millisecond, stop, stop)
	r.run(5 * time.Second)
	if !r.guard.Stopped(slot(0)) {
		t.Error("the second is lost")
	}
}

// An emergency stop that comes under the id of a command of before, and is not answered, is
// carried out after a restart, be that command answered or not.
func TestOpenEmergencyStopWithAnIDThatWasUsed(t *testing.T) {
	for _, answered := range []string{"not", "before", "after"} {
		t.Run(answered, func(t *testing.T) {
			r := newRig(t, 1)
			r.run(1100 * time.Millisecond)
			first := setPower(0, "button", 0)
			first.Verb = device.Stop
			stop := device.Command{Slot: slot(0), ID: "button", Verb: device.EStop, Priority: device.Normal, Source: "user:ann"}
			answer := &device.Acks{List: []device.Ack{first.Answer(device.Done, at(1200*time.Millisecond).UnixMilli(), "", "")}}
			r.stop()
			r.bus.Detach()
			bus.Commands.Publish(r.bus, &device.Commands{List: []device.Command{first}}, nil)
			if answered == "before" {
				bus.Acks.Publish(r.bus, answer, nil)
			}
			bus.Commands.Publish(r.bus, &device.Commands{List: []device.Command{stop}}, nil)
			if answered == "after" {
				bus.Acks.Publish(r.bus, answer, nil)
			}
			r.open()
			r.run(4 * time.Second)
			if !r.guard.Stopped(slot(0)) {
				t.Errorf("the emergency stop is lost; answers %+v", r.acks)
			}
		})
	}
}

// The emergency stop that a device has told of latches across a restart, though its button
// is out again by then.
func TestPressedEmergencyStopOutlivesARestart(t *testing.T) {
	r := newRig(t, 1)
	r.fleet.change = func(now time.Time, x *device.Reading) {
		if now.Before(at(2 * time.Second)) {
			x.Flags |= device.FlagEStop
		}
	}
	r.run(4 * time.Second)
	if !r.guard.Stopped(slot(0)) {
		t.Fatal("not latched")
	}
	r.restart()
	r.run(8 * time.Second)
	if !r.guard.Stopped(slot(0)) {
		t.Error("the emergency stop is lost with the restart")
	}
	r.send(9*time.Second, device.Command{Slot: slot(0), ID: "reset", Verb: device.Reset, Priority: device.Normal, Source: "user:ann"})
	r.run(12 * time.Second)
	r.restart()
	r.run(14 * time.Second)
	if r.guard.Stopped(slot(0)) {
		t.Error("reset, and latched again by a restart")
	}
}
