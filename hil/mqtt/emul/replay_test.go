package emul_test

import (
	"errors"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"yunchu/hil/mqtt"
	"yunchu/hil/unit"
	"yunchu/platform/device"
)

// What was recorded is read again a day later, as it was: readings, gaps and what is
// told in events.
func TestPeerReplay(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var list []device.Crossing
	b := newBroker(t)
	s := serve(t, b.access(), func(o *mqtt.Options) {
		o.MaxAge = 300 * time.Millisecond
		o.Tap = func(c device.Crossing) {
			mu.Lock()
			defer mu.Unlock()
			c.Data = slices.Clone(c.Data)
			list = append(list, c)
		}
	})
	if a := s.setPower(20, time.Minute); a.Status != device.Done {
		t.Fatalf("%+v", a)
	}
	await(t, "20 kW", func() bool { return power(t, s.driver) == 20 })
	begun := time.Now()
	end, err := s.unit.Inject(begun, unit.Fault{Kind: "pause"})
	if err != nil {
		t.Fatal(err)
	}
	await(t, "it is silent", func() bool { return math.IsNaN(power(t, s.driver)) })
	silent := time.Now()
	end(silent)
	if _, err := s.unit.Inject(silent, unit.Fault{Kind: "local"}); err != nil {
		t.Fatal(err)
	}
	await(t, "it is local", func() bool {
		r, err := s.driver.Read(t.Context(), time.Now())
		return err == nil && r.Flags == device.FlagLocal && r.Arrived > silent.UnixMilli()
	})
	last, err := s.driver.Read(t.Context(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.driver.Close(); err != nil {
		t.Fatal(err)
	}

	const day = 24 * time.Hour
	for i := range list {
		list[i].At = list[i].At.Add(day)
	}
	r := mqtt.NewReplay(list, day)
	d, err := mqtt.New(mqtt.Options{ID: "rig", Replay: r, MaxAge: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	read := func(at time.Time) (device.Reading, error) {
		at = at.Add(day)
		r.SetNow(at)
		return d.Read(t.Context(), at)
	}
	if got, err := read(begun); err != nil || got.Power != 20 {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := read(silent); !errors.Is(err, device.ErrOffline) {
		t.Errorf("it was silent: %+v, %v", got, err)
	}
	last.At, last.Arrived = last.At+day.Milliseconds(), last.Arrived+day.Milliseconds()
	got, err := read(device.Time(last.Arrived + 1).Add(-day)) // a crossing is finer than a millisecond
	if err != nil || !got.SameValues(&last) || got.At != last.At || got.Arrived != last.Arrived || got.Flags != last.Flags {
		t.Errorf("%+v, %v, want %+v", got, err, last)
	}
	if r.Diverged() != 0 {
		t.Errorf("%d commands", r.Diverged())
	}
	c := device.Command{Verb: device.SetPower, Power: 5}
	if a, err := d.Write(t.Context(), device.Time(last.Arrived+1), c); err != nil || a.Code != "LOCAL" {
		t.Errorf("%+v, %v", a, err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// Commands to a recording are taken, and counted.
func TestReplayTakesCommands(t *testing.T) {
	r := mqtt.NewReplay(nil, 0)
	d, err := mqtt.New(mqtt.Options{ID: "rig", Replay: r})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	now := time.Now()
	if a, err := d.Write(t.Context(), now, command(device.SetPower, 5)); err != nil || a.Status != device.Done || r.Diverged() != 1 {
		t.Errorf("%+v, %v, %d", a, err, r.Diverged())
	}
	if _, err := d.Read(t.Context(), now); !errors.Is(err, device.ErrOffline) {
		t.Errorf("an empty recording is read: %v", err)
	}
}
