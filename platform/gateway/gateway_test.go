package gateway_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"yunchu/platform/bus"
	"yunchu/platform/device"
	"yunchu/platform/guard"
	"yunchu/platform/sched"
)

func TestReadingsGoToTheLog(t *testing.T) {
	r := newRig(t, 3)
	r.fleet.change = func(_ time.Time, x *device.Reading) {
		if x.Slot == 1 {
			x.Status, x.Word = device.OtherStatus, "boosting"
		}
	}
	r.run(2 * time.Second)
	if len(r.frames) != 2 {
		t.Fatalf("%d frames after two polls", len(r.frames))
	}
	for i, f := range r.frames {
		if want := at(time.Duration(i+1) * time.Second); f.now != want || len(f.rows) != 3 {
			t.Errorf("frame %d at %v with %d rows", i, f.now.Sub(start), len(f.rows))
		}
		for k, row := range f.rows {
			if row.Slot != slot(k) || row.At != f.now.UnixMilli() {
				t.Errorf("frame %d, row %d is slot %d of %d", i, k, row.Slot, row.At)
			}
		}
		if w := f.rows[1]; w.StatusWord() != "boosting" || w.Quality != device.Suspect {
			t.Errorf("frame %d: status %q, %v", i, w.StatusWord(), w.Quality)
		}
	}
	if n := r.gw.Stats.Readings.Load(); n != 6 {
		t.Errorf("%d readings counted, want 6", n)
	}
}

func TestWhatIsNotNewIsNotStored(t *testing.T) {
	r := newRig(t, 3)
	r.fleet.change = func(now time.Time, x *device.Reading) {
		switch x.Slot {
		case 0: // a device that hands out its newest reading until there is another
			x.At = start.UnixMilli()
			x.SoC, x.Status, x.Word = 50, device.OtherStatus, "thinking"
		case 1: // a clock that runs ahead
			x.At = now.Add(10 * time.Minute).UnixMilli()
		case 2:
			x.Status, x.Word = device.OtherStatus, "boosting"
		}
	}
	r.run(3 * time.Second)
	var slots []string
	for _, f := range r.frames {
		for _, row := range f.rows {
			slots = append(slots, fmt.Sprint(row.Slot, row.StatusWord()))
		}
	}
	if got, want := strings.Join(slots, " "), "10thinking 14boosting 14boosting 14boosting"; got != want {
		t.Errorf("stored %s, want %s", got, want)
	}
	if d, f := r.gw.Stats.Duplicates.Load(), r.gw.Stats.Refused.Load(); d != 2 || f != 3 {
		t.Errorf("%d duplicates and %d from the future, want 2 and 3", d, f)
	}
}

func TestLateReadingsComeWhenTheyArrive(t *testing.T) {
	r := newRig(t, 4)
	r.fleet.change = func(now time.Time, x *device.Reading) {
		if now.Equal(at(time.Second)) {
			x.Arrived += []int64{0, 300, 1500, 300}[x.Slot]
		}
	}
	r.run(3 * time.Second)
	var got []string
	for _, f := range r.frames {
		for _, row := range f.rows {
			if row.At == at(time.Second).UnixMilli() {
				got = append(got, fmt.Sprintf("%v:%d[%v]", f.now.Sub(start), row.Slot, row.Flags))
			}
			if row.Arrived != f.now.UnixMilli() {
				t.Errorf("slot %d arrives at %d and is stored at %d", row.Slot, row.Arrived, f.now.UnixMilli())
			}
		}
	}
	if got, want := strings.Join(got, " "), "1s:10[] 1.3s:12[] 1.3s:16[] 2.5s:14[order]"; got != want {
		t.Errorf("stored %s, want %s", got, want)
	}
	r.wantEvents() // what is on its way is not offline
}

func TestStrangeRowsArePassedOver(t *testing.T) {
	r := newRig(t, 1)
	r.fleet.extra = []device.Reading{healthy(7, start), healthy(device.Plant, start)}
	r.fleet.readErr = errors.New("half of it")
	r.run(2 * time.Second)
	if len(r.frames) != 2 || len(r.frames[0].rows) != 1 {
		t.Errorf("%d frames, want the reading in hand of each poll", len(r.frames))
	}
	if n := strings.Count(r.log.String(), "half of it"); n != 1 {
		t.Errorf("an error that goes on is logged %d times", n)
	}
}

func TestPresence(t *testing.T) {
	r := newRig(t, 5)
	silence := func(when time.Duration, on bool, indices ...int) {
		r.sched.At(at(when), sched.Physics, func(time.Time) {
			for _, i := range indices {
				r.fleet.silent[i] = on
			}
		})
	}
	silence(2*time.Second, true, 0)
	silence(4*time.Second, false, 0) // two polls are no sign
	silence(6*time.Second, true, 1)
	silence(20*time.Second, false, 1)
	silence(30*time.Second, true, 0, 1, 2, 3, 4)
	silence(40*time.Second, false, 0, 1, 2, 3, 4)
	r.run(time.Minute)
	r.wantEvents(
		"8s offline: ess-1 offline",
		"20s online: ess-1 online",
		"32s offline: ess-0, ess-1, ess-2 (and 2 more devices) offline",
		"40s online: ess-0, ess-1, ess-2 (and 2 more devices) online",
	)
}

func TestCommandsAreAnsweredWhenTheDeviceAnswers(t *testing.T) {
	r := newRig(t, 3)
	r.fleet.answer = func(now time.Time, c *device.Command) (device.Ack, bool) {
		delay := []time.Duration{500 * time.Millisecond, 0, 40 * time.Millisecond}[c.Slot]
		return c.Answer(device.Done, now.Add(delay).UnixMilli(), "", ""), true
	}
	r.send(1500*time.Millisecond, setPower(0, "a", 10), setPower(1, "b", 20), setPower(2, "c", 30))
	r.run(3 * time.Second)
	r.wantTook("1.5s a@0 setPower 10", "1.5s b@1 setPower 20", "1.5s c@2 setPower 30")
	r.wantAcks("1.5s b@1 done", "1.54s c@2 done", "2s a@0 done")
}

func TestAckSaysWhatWasInForceAndWhatWasCut(t *testing.T) {
	r := newRig(t, 1)
	r.fleet.change = func(_ time.Time, x *device.Reading) { x.MaxCharge = 40 }
	r.send(1500*time.Millisecond, setPower(0, "a", 30))
	r.send(2500*time.Millisecond, setPower(0, "b", 70))
	r.send(3500*time.Millisecond, setPower(0, "c", 170))
	r.run(5 * time.Second)
	if len(r.acks) != 3 {
		t.Fatalf("%d acknowledgements", len(r.acks))
	}
	a, b, c := r.acks[0], r.acks[1], r.acks[2]
	if a.Before != 0 || a.Power != 30 || a.Reduced || a.Until != at(61500*time.Millisecond).UnixMilli() || a.Issued != at(1500*time.Millisecond).UnixMilli() {
		t.Errorf("first: %+v", a)
	}
	if b.Before != 30 || b.Power != 40 || !b.Reduced || b.Reason != "reduced from 70 kW: device limit" || b.Source != "user:ann" {
		t.Errorf("second: %+v", b)
	}
	if c.Before != 40 || c.Status != device.Rejected || c.Code != guard.CodeRange {
		t.Errorf("third: %+v", c)
	}
}

func TestRefusals(t *testing.T) {
	r := newRig(t, 2)
	old := setPower(0, "old", 10)
	old.At = start.Add(-time.Hour).UnixMilli()
	nobody := setPower(0, "nobody", 10)
	nobody.Slot = 1000
	plant := setPower(0, "plant", 10)
	plant.Slot = device.Plant
	r.gw.Know(device.Info{ID: "alone", Slot: 77, State: device.Active, RatedKW: 100}) // served by nobody
	alone := setPower(0, "alone", 10)
	alone.Slot = 77
	weak := setPower(1, "weak", 1)
	weak.Priority = device.Low
	r.send(1500*time.Millisecond, setPower(1, "first", 5), setPower(0, "much", 500), old, nobody, plant, alone, weak)
	r.run(3 * time.Second)
	r.wantTook("1.5s first@1 setPower 5")
	r.wantAcks(
		"1.5s much@0 rejected OUT_OF_RANGE", "1.5s old@0 rejected STALE_COMMAND", "1.5s nobody@495 rejected UNKNOWN_DEVICE",
		"1.5s plant@2147483642 rejected UNKNOWN_DEVICE", "1.5s alone@33 rejected OFFLINE", "1.5s weak@1 rejected HELD", "1.54s first@1 done",
	)
}

func TestUnansweredCommandsFail(t *testing.T) {
	r := newRig(t, 3)
	r.fleet.answer = func(now time.Time, c *device.Command) (device.Ack, bool) {
		return c.Answer(device.Done, now.UnixMilli(), "", ""), c.Slot != 1
	}
	r.send(1500*time.Millisecond, setPower(0, "a", 10), setPower(1, "b", 20), setPower(2, "c", 30))
	r.run(3 * time.Second)
	r.wantAcks("1.5s a@0 done", "1.5s c@2 done", "2.5s b@1 failed NO_ANSWER")

	r.fleet.answer = func(time.Time, *device.Command) (device.Ack, bool) { return device.Ack{}, false }
	r.fleet.writeErr = fmt.Errorf("read timeout: %w", device.ErrOffline)
	r.send(4500*time.Millisecond, setPower(0, "d", 10))
	r.run(5 * time.Second)
	r.wantAcks("4.5s d@0 failed OFFLINE")
	r.fleet.writeErr = errors.New("line noise")
	r.send(5500*time.Millisecond, setPower(0, "e", 10))
	r.run(6 * time.Second)
	r.wantAcks("5.5s e@0 failed NO_ANSWER")
}

// A command that the device did not take holds it for nobody.
func TestRefusedCommandDoesNotHold(t *testing.T) {
	for _, status := range []device.AckStatus{device.Rejected, device.Expired, device.Failure} {
		r := newRig(t, 1)
		r.fleet.answer = func(now time.Time, c *device.Command) (device.Ack, bool) {
			if c.ID == "strong" {
				return c.Answer(status, now.UnixMilli(), "X", "no"), true
			}
			return c.Answer(device.Done, now.UnixMilli(), "", ""), true
		}
		strong, weak := setPower(0, "strong", 50), setPower(0, "weak", 5)
		strong.Priority, weak.Priority = device.High, device.Low
		r.send(1500*time.Millisecond, strong)
		r.send(2500*time.Millisecond, weak)
		r.run(3 * time.Second)
		r.wantAcks(fmt.Sprintf("1.5s strong@0 %v X", status), "2.5s weak@0 done")
	}
}

// Answers that a driver muddles must not reach somebody else's command.
func TestMuddledAnswers(t *testing.T) {
	r := newRig(t, 2)
	r.fleet.answer = func(now time.Time, c *device.Command) (device.Ack, bool) {
		a := c.Answer(device.Done, now.UnixMilli(), "", "")
		if c.ID == "b" {
			a.Seq = 99
		}
		return a, true
	}
	a, b, c := setPower(0, "a", 1), setPower(1, "b", 2), setPower(0, "c", 3)
	a.Seq, b.Seq, c.Seq = 1, 2, 3
	r.send(1500*time.Millisecond, a, b, c)
	r.run(3 * time.Second)
	r.wantAcks("1.5s a@0 done", "2.5s b@1 failed NO_ANSWER", "2.5s c@0 failed NO_ANSWER")
	if !strings.Contains(r.log.String(), "answers that fit no command") {
		t.Errorf("the log does not tell: %s", r.log)
	}
}

func TestCommandIdTakesEffectOnce(t *testing.T) {
	r := newRig(t, 2)
	// twice at once, again while it is open, again when it is answered, for another device
	r.send(1500*time.Millisecond, setPower(0, "a", 10), setPower(0, "a", 99))
	r.send(1520*time.Millisecond, setPower(0, "a", 98))
	r.send(2*time.Second, setPower(0, "a", 97))
	r.send(3*time.Second, setPower(1, "a", 20))
	// refused once, refused for good
	r.send(4*time.Second, setPower(0, "much", 500))
	r.send(5*time.Second, setPower(0, "much", 5))
	r.run(6 * time.Second)
	r.wantTook("1.5s a@0 setPower 10", "3s a@1 setPower 20")
	r.wantAcks("1.54s a@0 done", "2s a@0 done", "3.04s a@1 done", "4s much@0 rejected OUT_OF_RANGE", "5s much@0 rejected OUT_OF_RANGE")

	r.restart()
	r.send(7*time.Second, setPower(0, "a", 96), setPower(1, "a", 95), setPower(0, "much", 4))
	r.send(8*time.Second, setPower(0, "new", 1))
	r.run(9 * time.Second)
	r.wantTook("7s @0 setPower 10", "7s @1 setPower 20", "8s new@0 setPower 1") // what was held is told again
	r.wantAcks("7s a@0 done", "7s a@1 done", "7s much@0 rejected OUT_OF_RANGE", "7.04s @0 done", "7.04s @1 done", "8.04s new@0 done")
}

// Dispatch's commands carry no id: each of them counts.
func TestCommandsWithoutIdAllCount(t *testing.T) {
	r := newRig(t, 1)
	for i := range 3 {
		c := setPower(0, "", float64(i))
		c.Seq, c.Priority = uint64(i), device.Dispatch
		r.send(time.Duration(i+1)*time.Second+500*time.Millisecond, c)
	}
	r.run(5 * time.Second)
	if len(r.fleet.took) != 3 || len(r.acks) != 3 {
		t.Errorf("%d taken, %d answered, want 3", len(r.fleet.took), len(r.acks))
	}
}

func TestRestart(t *testing.T) {
	r := newRig(t, 2)
	r.fleet.change = func(now time.Time, x *device.Reading) {
		if now.Equal(at(3 * time.Second)) {
			x.Arrived += 1500 // on its way when the gateway goes down
		}
	}
	r.fleet.answer = func(now time.Time, c *device.Command) (device.Ack, bool) {
		delay := 40 * time.Millisecond
		if c.ID == "open" {
			delay = 700 * time.Millisecond
		}
		return c.Answer(device.Done, now.Add(delay).UnixMilli(), "", ""), true
	}
	held := setPower(0, "held", 30)
	held.Priority = device.High
	mode := device.Command{Slot: slot(1), ID: "mode", Verb: device.SetMode, Mode: device.MaintenanceMode, Priority: device.Normal, Duration: 1000}
	r.send(1500*time.Millisecond, held, mode)
	r.run(3500 * time.Millisecond)
	r.wantAcks("1.54s held@0 done", "1.54s mode@1 done")
	open := setPower(0, "open", 40)
	open.Priority = device.High
	r.send(3600*time.Millisecond, open)
	r.run(3700 * time.Millisecond)
	r.wantAcks()
	reads := r.fleet.reads
	r.fleet.took, r.fleet.tookAt = nil, nil
	frames := len(r.frames)
	r.restart() // at 3.7 s: "open" is in the log and not answered

	r.fleet.answer = nil
	weak := setPower(0, "weak", 5)
	r.send(4500*time.Millisecond, weak, setPower(1, "in maintenance", 5))
	r.run(5 * time.Second)
	r.wantTook("4s @0 setPower 30", "4s open@0 setPower 40") // what was held, then the open one, this time answered
	r.wantAcks("4.04s @0 done", "4.04s open@0 done", "4.5s weak@0 rejected HELD", "4.5s in maintenance@1 rejected MAINTENANCE")
	if n := r.fleet.reads - reads; n != 2 {
		t.Errorf("%d polls at 4 s and 5 s, want 2: the gateway that ended polls no more", n)
	}
	for _, f := range r.frames[frames:] {
		if f.rows[0].At == at(3*time.Second).UnixMilli() {
			t.Errorf("a reading that was on its way to the gateway that ended is stored at %v", f.now.Sub(start))
		}
	}
}

// After a restart the newest readings are known: to the guard and to the checks.
func TestPrime(t *testing.T) {
	r := newRig(t, 1)
	full := healthy(slot(0), start)
	full.SoC = 95
	r.gw.Prime(full)
	r.gw.Prime(healthy(999, start)) // nobody's
	r.fleet.change = func(_ time.Time, x *device.Reading) {
		x.SoC, x.At = 95, start.UnixMilli()
	}
	r.send(500*time.Millisecond, setPower(0, "a", 10))
	r.run(time.Second)
	r.wantAcks("500ms a@0 rejected ENVELOPE")
	if len(r.frames) != 0 {
		t.Error("the reading that was primed is stored again")
	}
}

func TestGuardCorrects(t *testing.T) {
	r := newRig(t, 3)
	r.fleet.change = func(now time.Time, x *device.Reading) {
		if x.Slot < 2 && now.After(at(2500*time.Millisecond)) {
			x.Temperature = 65
		}
	}
	r.send(1500*time.Millisecond, setPower(0, "a", 10), setPower(1, "b", 20), setPower(2, "c", 30))
	fails := true
	r.sched.At(at(2*time.Second), sched.Physics, func(time.Time) {
		r.fleet.answer = func(now time.Time, c *device.Command) (device.Ack, bool) {
			if c.Slot == 0 && fails {
				fails = false
				return device.Ack{}, false
			}
			return c.Answer(device.Done, now.UnixMilli(), "", ""), true
		}
	})
	r.run(6 * time.Second)
	r.wantTook("1.5s a@0 setPower 10", "1.5s b@1 setPower 20", "1.5s c@2 setPower 30",
		"3s @0 setPower 0", "3s @1 setPower 0", "4s @0 setPower 0") // the one that failed is repeated
	r.wantAcks("1.54s a@0 done", "1.54s b@1 done", "1.54s c@2 done", "3s @1 done", "4s @0 failed NO_ANSWER", "4s @0 done")
	r.wantEvents("3s guard: ess-0 set to 0 kW: temperature high (and 1 more devices)",
		"3s guard-bound: ess-0, ess-1 bound by the guard: temperature high, no power at or above 60 °C", "4s guard: ess-0 set to 0 kW at last: temperature high")
	if n := r.gw.Stats.Interventions.Load(); n != 2 { // a repetition is none
		t.Errorf("%d interventions counted, want 2", n)
	}
	r.run(62 * time.Second)
	r.wantTook("1m2s @2 setPower 0") // expired at 61.5 s
}

// Who follows the acknowledgements may send the next commands from there, also
// while those of the guard's corrections are handed out.
func TestSubscribersMayCommand(t *testing.T) {
	r := newRig(t, 3)
	r.fleet.change = func(now time.Time, x *device.Reading) {
		if now.After(at(2500 * time.Millisecond)) {
			x.Temperature = 65
		}
	}
	r.fleet.answer = func(now time.Time, c *device.Command) (device.Ack, bool) {
		return c.Answer(device.Done, now.Add(time.Duration(c.Slot)*10*time.Millisecond).UnixMilli(), "", ""), true
	}
	_, err := bus.Acks.Subscribe(r.bus, 1, func(_ uint64, f *device.Acks) {
		if f.List[0].ID != "a" && (f.List[0].Source != "guard" || f.List[0].Slot != slot(0)) {
			return
		}
		var list []device.Command
		for i := range 3 {
			c := setPower(i, fmt.Sprint("next-", f.List[0].ID), 7)
			c.At = r.sched.Now().UnixMilli()
			list = append(list, c)
		}
		bus.Commands.Publish(r.bus, &device.Commands{List: list}, nil)
	})
	r.must(err)
	r.send(1500*time.Millisecond, setPower(0, "a", 10), setPower(1, "b", 20), setPower(2, "c", 30))
	r.run(2 * time.Second)
	r.wantAcks("1.5s a@0 done", "1.5s next-a@0 done", "1.51s b@1 done", "1.51s next-a@1 done", "1.52s c@2 done", "1.52s next-a@2 done")
	r.run(4 * time.Second)
	r.wantAcks("3s @0 done", "3s next-@0 rejected ENVELOPE", "3s next-@1 rejected ENVELOPE", "3s next-@2 rejected ENVELOPE",
		"3.01s @1 done", "3.02s @2 done")
}

func TestServe(t *testing.T) {
	r := newRig(t, 2)
	for _, tt := range []struct {
		name  string
		n     int
		slots []device.Slot
	}{
		{"too few slots", 2, []device.Slot{slot(0)}},
		{"unknown slot", 1, []device.Slot{500}},
		{"a gap between slots", 1, []device.Slot{slot(0) + 1}},
		{"no device", 1, []device.Slot{device.Plant}},
		{"too many", device.MaxRows + 1, make([]device.Slot, device.MaxRows+1)},
	} {
		if err := r.gw.Serve(&fleet{n: tt.n}, tt.slots); err == nil {
			t.Errorf("%s: served", tt.name)
		}
	}
}

// A damaged registration must not cost the memory of all slots before it.
func TestHugeSlot(t *testing.T) {
	r := newRig(t, 1)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r.gw.Know(device.Info{ID: "huge", Slot: device.Plant - 1, State: device.Active})
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("a slot far out costs %d bytes", n)
	}
	if !strings.Contains(r.log.String(), "far beyond") {
		t.Errorf("nobody is told: %s", r.log)
	}
}
