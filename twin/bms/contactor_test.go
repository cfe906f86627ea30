package bms_test

import (
	"math"
	"testing"
	"time"

	"yunchu/twin/bms"
)

// A bus comes up to what the bleeder leaves of the rack's voltage, 790 V less 3.15 V,
// with the time constant of both resistors: within 15 V of the rack after 1.67 s.
func TestPrecharge(t *testing.T) {
	p, l := rack(t), link(t)
	var s bms.State
	in := well()
	in.BusV, in.Close = 0, true
	events := make([]bms.Event, 0, 8)
	var now time.Duration
	const dt = 10 * time.Millisecond
	for s.Mode != bms.Connected && now < 10*time.Second {
		var o bms.Output
		o, events = p.Step(&s, now, now+dt, &in, events)
		if o.Contacts.Positive && s.Mode != bms.Connected {
			t.Fatalf("%+v", o)
		}
		in.BusV = l.Next(in.BusV, in.RackV, dt.Seconds())
		now += dt
	}
	end := 790 * 10000 / 10040.0
	want := 40 * 10000 / 10040.0 * 0.01 * math.Log(end/(end-790+15))
	if !(math.Abs(s.Since.Seconds()-want) <= 2*dt.Seconds()) || !(math.Abs(want-1.6715) <= 1e-3) {
		t.Errorf("closed after %v, want about %.4f s", s.Since, want)
	}
	if len(events) != 2 || events[0].Kind != bms.PrechargeBegun || events[1].Kind != bms.Closed || s.Closings != 1 {
		t.Errorf("%+v, %d closings", events, s.Closings)
	}
}

// Behind open contactors the bus discharges, however time is cut, and the precharge
// does not depend on the cuts either.
func TestLink(t *testing.T) {
	l := link(t)
	once, cut := l.Left(1331, 310), 1331.0
	up, cutUp := l.Next(0, 1331, 3), 0.0
	for range 1000 {
		cut = l.Left(cut, 0.31)
		cutUp = l.Next(cutUp, 1331, 0.003)
	}
	if !(math.Abs(once-cut) <= 1e-9) || !(math.Abs(once-1331*math.Exp(-3.1)) <= 1e-9) {
		t.Errorf("%g V are left at once, %g V in parts", once, cut)
	}
	if !(math.Abs(up-cutUp) <= 1e-9) {
		t.Errorf("%g V after 3 s at once, %g V in parts", up, cutUp)
	}
}

// A bus that does not come up trips the rack after the timeout, whatever the steps.
func TestPrechargeTimeout(t *testing.T) {
	p := rack(t)
	for _, dt := range []time.Duration{time.Millisecond, 3 * time.Second, time.Hour} {
		var s bms.State
		in := well()
		in.BusV, in.Close = 0, true
		for now := time.Duration(0); now < 6*time.Second; now += dt {
			p.Step(&s, now, now+dt, &in, nil)
		}
		if s.Mode != bms.Tripped || !s.Trips.Has(bms.Precharge) || s.Since != 5*time.Second || s.Closings != 0 {
			t.Errorf("steps of %v: %v since %v, %d closings", dt, s.Mode, s.Since, s.Closings)
		}
	}
}

func TestResetAndClose(t *testing.T) {
	p := rack(t)
	s, now := connected(t, p)
	events := make([]bms.Event, 0, 64)
	step := func(dt time.Duration, change func(in *bms.Input)) bms.Output {
		in := well()
		in.Close = true // held, so that it must not act again by itself
		change(&in)
		var o bms.Output
		o, events = p.Step(&s, now, now+dt, &in, events)
		now += dt
		return o
	}
	if o := step(time.Second, func(in *bms.Input) { in.EmergencyStop = true }); o.Mode != bms.Tripped {
		t.Fatalf("%v after an emergency stop", o.Mode)
	}
	if o := step(time.Second, func(in *bms.Input) { in.EmergencyStop, in.Reset = true, true }); o.Mode != bms.Tripped {
		t.Errorf("%v after a reset with the button pressed", o.Mode)
	}
	if o := step(time.Hour, func(in *bms.Input) { in.Reset = true }); o.Mode != bms.Tripped {
		t.Errorf("%v after an hour of the same reset", o.Mode)
	}
	step(time.Second, func(*bms.Input) {})
	if o := step(time.Second, func(in *bms.Input) { in.Reset = true }); o.Mode != bms.Off || o.Trips != 0 {
		t.Errorf("%v after the reset: a close command that was there before must not close", o.Mode)
	}
	step(time.Second, func(in *bms.Input) { in.Close = false })
	if o := step(time.Second, func(*bms.Input) {}); o.Mode != bms.Connected {
		t.Errorf("%v after a new close command", o.Mode)
	}
	var kinds []bms.Kind
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	want := []bms.Kind{bms.TripRaised, bms.ResetRefused, bms.TripCleared, bms.WasReset, bms.PrechargeBegun, bms.Closed}
	if len(kinds) != len(want) {
		t.Fatalf("events %v, want %v", kinds, want)
	}
	for i := range want {
		if kinds[i] != want[i] {
			t.Fatalf("events %v, want %v", kinds, want)
		}
	}
}

// Told to open, the rack waits until the current is gone, and opens under current if
// it does not go: that wears the contactors.
func TestOpening(t *testing.T) {
	p := rack(t)
	for _, tt := range []struct {
		amps float64
		want time.Duration
		hot  int
	}{{4, 0, 0}, {100, 3 * time.Second, 1}} {
		s, now := connected(t, p)
		in := well()
		in.Open, in.CurrentA = true, tt.amps
		p.Step(&s, now, now+10*time.Second, &in, nil)
		if s.Mode != bms.Off || s.Since != now+tt.want || s.HotOpenings != tt.hot {
			t.Errorf("at %g A: %v after %v, %d hot openings", tt.amps, s.Mode, s.Since-now, s.HotOpenings)
		}
	}
}

// A contactor tells once that it has come to the end of its life.
func TestWear(t *testing.T) {
	p := rack(t)
	worn := func(events []bms.Event) (n int) {
		for _, e := range events {
			if e.Kind == bms.WornOut {
				n++
			}
		}
		return n
	}
	for before, want := range map[int]int{48: 0, 49: 1, 50: 0} {
		s, now := connected(t, p)
		s.HotOpenings = before
		in := well()
		in.CurrentA, in.EmergencyStop = -150, true
		_, events := p.Step(&s, now, now+time.Second, &in, make([]bms.Event, 0, 8))
		if s.HotOpenings != before+1 || worn(events) != want {
			t.Errorf("hot opening %d: %+v", s.HotOpenings, events)
		}
	}
	s := bms.State{Closings: p.Contactor.LifeClosings - 1}
	in := well()
	in.Close = true
	if _, events := p.Step(&s, 0, time.Minute, &in, make([]bms.Event, 0, 8)); worn(events) != 1 {
		t.Errorf("closing %d: %+v", s.Closings, events)
	}
}

func TestCloseRefused(t *testing.T) {
	p := rack(t)
	var s bms.State
	in := well()
	in.InsulationFault = true
	p.Step(&s, 0, time.Second, &in, nil) // its delay still runs
	in.Close = true
	_, events := p.Step(&s, time.Second, 2*time.Second, &in, make([]bms.Event, 0, 4))
	if s.Mode != bms.Off || len(events) != 1 || events[0].Kind != bms.CloseRefused {
		t.Errorf("%v, %+v", s.Mode, events)
	}
}

// Open has its way where both are commanded.
func TestOpenBeforeClose(t *testing.T) {
	p := rack(t)
	var s bms.State
	in := well()
	in.Close, in.Open = true, true
	if _, events := p.Step(&s, 0, time.Minute, &in, make([]bms.Event, 0, 4)); s.Mode != bms.Off || len(events) != 0 {
		t.Errorf("%v, %+v", s.Mode, events)
	}
}

func TestEventsWithoutRoomAreCounted(t *testing.T) {
	p := rack(t)
	var s bms.State
	in := well()
	in.Close = true
	if _, events := p.Step(&s, 0, time.Minute, &in, make([]bms.Event, 0, 1)); len(events) != 1 || s.Lost != 1 {
		t.Errorf("%d events, %d lost", len(events), s.Lost)
	}
}

func TestStepDoesNotAllocate(t *testing.T) {
	p := rack(t)
	s, now := connected(t, p)
	in := well()
	events := make([]bms.Event, 0, 16)
	if n := testing.AllocsPerRun(200, func() {
		in.MaxCellV = 3.30 + 3.55 - in.MaxCellV // a warning in every other step
		_, events = p.Step(&s, now, now+15*time.Second, &in, events[:0])
		now += 15 * time.Second
	}); n != 0 {
		t.Errorf("%g allocations a step", n)
	}
}

func BenchmarkStep(b *testing.B) {
	p := rack(b)
	s, now := connected(b, p)
	in := well()
	b.ReportAllocs()
	for b.Loop() {
		p.Step(&s, now, now+time.Second, &in, nil)
		now += time.Second
	}
}
