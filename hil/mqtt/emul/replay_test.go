package emul_test

import (
	"errors"
	"fmt"
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
	c := device.Command{Verb: device.SetPower, Power: 5}
	if a, err := d.Write(t.Context(), device.Time(last.Arrived+1), c); err != nil || a.Code != "LOCAL" {
		t.Errorf("%+v, %v", a, err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// A recorded device answers what it was told then as it did, and has failed what it was
// never told: nothing else would show that it does not follow.
func TestReplayAnswersAsItWas(t *testing.T) {
	now := time.Now()
	var list []device.Crossing
	add := func(after time.Duration, out bool, topic, body string) {
		list = append(list, device.Crossing{At: now.Add(after), Out: out, Data: []byte("device/rig/" + topic + "\x00" + body)})
	}
	asked := func(after time.Duration, id string, kw float64, answer string) {
		add(after, true, "control", fmt.Sprintf(`{"deviceId":"rig","commandId":%q,"command":"setPower","parameters":{"power":%v}}`, id, kw))
		if answer != "" {
			add(after+time.Millisecond, false, "ack", fmt.Sprintf(`{"deviceId":"rig","commandId":%q,%s}`, id, answer))
		}
	}
	asked(0, "a", 5, `"status":"done"`)
	asked(time.Second, "b", 7, `"status":"rejected","reason":"LOCAL: at its panel"`)
	asked(2*time.Second, "c", 9, "")
	add(3*time.Second, true, "control", "{")
	r := mqtt.NewReplay(list, 0)
	d, err := mqtt.New(mqtt.Options{ID: "rig", Replay: r, Timeout: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, tt := range []struct {
		after  time.Duration
		within bool // the exchange of then
		kw     float64
		status device.AckStatus
		code   string
	}{
		{0, true, 5, device.Done, ""},
		{0, false, 5, device.Done, ""},
		{900 * time.Millisecond, false, 5, device.Done, ""},
		{1100 * time.Millisecond, false, 5, device.Failure, "READ_BACK"},
		{time.Second, true, 5, device.Failure, "READ_BACK"},
		{0, true, 6, device.Failure, "READ_BACK"},
		{0, true, -5, device.Failure, "READ_BACK"},
		{time.Second, true, 7, device.Rejected, "LOCAL"},
	} {
		at := now.Add(tt.after)
		r.SetNow(at)
		if tt.within {
			r.Exchange(at, at.Add(time.Millisecond))
		}
		if a, err := d.Write(t.Context(), at, command(device.SetPower, tt.kw)); err != nil || a.Status != tt.status || a.Code != tt.code {
			t.Errorf("%+v: %+v, %v", tt, a, err)
		}
	}
	at := now.Add(2 * time.Second)
	r.Exchange(at, at.Add(time.Millisecond))
	if a, err := d.Write(t.Context(), at, command(device.SetPower, 9)); !errors.Is(err, device.ErrOffline) {
		t.Errorf("it did not answer then: %+v, %v", a, err)
	}
	if a, err := d.Write(t.Context(), at, device.Command{Verb: device.Stop}); err != nil || a.Status != device.Failure {
		t.Errorf("it was not stopped then: %+v, %v", a, err)
	}
	if _, err := d.Read(t.Context(), at); !errors.Is(err, device.ErrOffline) {
		t.Errorf("a recording without readings is read: %v", err)
	}
}
