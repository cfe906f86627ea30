package platform_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"yunchu/platform"
	"yunchu/platform/bus/nats"
	"yunchu/platform/device"
	"yunchu/platform/sched"
)

// late is a fleet of one device that answers setpoints after a while.
type late struct {
	still
	mu   sync.Mutex
	took []device.Command
}

func (l *late) WriteAll(_ context.Context, now time.Time, cmds []device.Command, acks []device.Ack) ([]device.Ack, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range cmds {
		at := now
		if cmds[i].Verb == device.SetPower {
			at = now.Add(900 * time.Millisecond)
		}
		if cmds[i].ID != "" {
			l.took = append(l.took, cmds[i])
		}
		acks = append(acks, cmds[i].Answer(device.Done, at.UnixMilli(), "", ""))
	}
	return acks, nil
}

func (l *late) taken() []device.Command {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]device.Command(nil), l.took...)
}

// TestCommandIdIsForOneThing: while the first command under an id is open, when it is answered
// and after a restart, the same again is answered as the first, and anything else is refused
// and not done, but for an emergency stop.
func TestCommandIdIsForOneThing(t *testing.T) {
	l, dir := &late{}, t.TempDir()
	open := func() (*platform.Plant, device.Slot, func()) {
		b, err := nats.Open(nats.Options{Dir: filepath.Join(dir, "bus")})
		if err != nil {
			t.Fatal(err)
		}
		s := sched.New(sched.NewWall())
		p, err := platform.New(platform.Config{Bus: b, Sched: s, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if err := p.Add(ctx, []device.Info{{ID: "a", Kind: "sim", State: device.Active, RatedKW: 100, Simulated: true}}, l); err != nil {
			t.Fatal(err)
		}
		if err := p.Start(ctx, time.Now()); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx, time.Time{}) }()
		slot, _ := p.Fleet.Slot("a")
		return p, slot, func() {
			cancel()
			if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if err := errors.Join(p.Close(), b.Close()); err != nil {
				t.Error(err)
			}
		}
	}
	p, slot, done := open()
	send := func(verb device.Verb, kw float64) device.Ack {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		a, err := p.Command(ctx, device.Command{
			Slot: slot, ID: "x", Verb: verb, Power: kw, Priority: device.Normal, At: time.Now().UnixMilli(), Duration: 60_000, Source: "user:ann",
		})
		if err != nil {
			t.Errorf("%v: %v", verb, err)
		}
		return a
	}
	others := func(when string) {
		t.Helper()
		for _, o := range []struct {
			verb device.Verb
			kw   float64
			says string
		}{{device.SetPower, 60, "setPower 60 kW"}, {device.Stop, 0, "stop"}, {device.Disarm, 0, "disarm"}, {device.Release, 0, "release"}} {
			a := send(o.verb, o.kw)
			want := `commandId "x" was used for setPower 50 kW, and ` + o.says + " was not done"
			if a.Status != device.Rejected || a.Code != "COMMAND_ID_USED" || a.Reason != want {
				t.Errorf("%s: %v is answered %v %s %q, want %q", when, o.verb, a.Status, a.Code, a.Reason, want)
			}
		}
	}
	first := make(chan device.Ack, 1)
	go func() { first <- send(device.SetPower, 50) }()
	for began := time.Now(); len(l.taken()) == 0; time.Sleep(time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			t.Fatal("the device was told nothing")
		}
	}
	others("while it is open")
	for what, a := range map[string]device.Ack{"the same again": send(device.SetPower, 50), "the first": <-first} {
		if a.Status != device.Done || a.Power != 50 {
			t.Errorf("%s is answered %+v", what, a)
		}
	}
	others("when it is answered")
	done()

	p, slot, done = open()
	defer done()
	others("after a restart")
	if a := send(device.SetPower, 50); a.Status != device.Done || a.Power != 50 {
		t.Errorf("the same after a restart is answered %+v", a)
	}
	if list := l.taken(); len(list) != 1 {
		t.Errorf("the device was told %+v", list)
	}
	if a := send(device.EStop, 0); a.Status != device.Done || a.Verb != device.EStop {
		t.Errorf("an emergency stop is answered %+v", a)
	}
	if list := l.taken(); !strings.Contains(list[len(list)-1].Verb.String(), "eStop") {
		t.Errorf("the device was told %+v", list)
	}
}
