//go:build !nosim

package shadow_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/harness/shadow"
	"yunchu/platform/bus"
	"yunchu/platform/bus/local"
	"yunchu/platform/device"
)

// live publishes what two units report for six hours, the first one with a voltage
// that goes wrong and comes right, and returns the events on the bus and the bytes of
// the log.
func live(t *testing.T, restart bool) (events []device.Event, log []byte) {
	t.Helper()
	l := local.New(0)
	l.Tap = func(_ string, frame []byte) { log = append(log, frame...) }
	listen := func() {
		if _, err := bus.Events.Subscribe(l, 1, func(_ uint64, f *device.Events) { events = append(events, f.List...) }); err != nil {
			t.Fatal(err)
		}
	}
	b := newBench(t, 3, 1)
	b.steady = true
	r := shadow.NewRunner()
	follow := func() {
		if err := r.Follow(l); err != nil {
			t.Fatal(err)
		}
		events = nil
		listen()
	}
	follow()
	// The shadows of the bench see nothing; those of the runner see slots 4 and 9,
	// and nobody looks at the third unit.
	r.Watch(4, b.shadows[0])
	r.Watch(9, b.shadows[1])
	slots := []device.Slot{4, 9, 2}
	b.lost = func(int) bool { return true }
	f := &device.Readings{}
	hours := func(n int) {
		for end := b.now.Add(time.Duration(n) * time.Hour); b.now.Before(end); {
			f.Reset()
			b.step(func(int, shadow.Change) {})
			r.SetAmbient(b.ambient(b.now.Sub(b.start).Hours() / 24))
			bus.Readings.Publish(l, f, nil)
			r.Tick(b.now)
		}
	}
	volt := 0.0
	b.change = func(i int, x *device.Reading) {
		x.Slot = slots[i]
		if i == 0 {
			x.Voltage += volt
		}
		f.Append(x)
	}
	hours(2)
	if restart {
		l.Detach()
		follow()
	}
	volt = 2.4
	hours(1)
	volt = 0
	hours(1)
	return events, log
}

func TestRunnerSpeaksOnTheBus(t *testing.T) {
	for _, restart := range []bool{false, true} {
		events, _ := live(t, restart)
		var got []string
		for _, e := range events {
			got = append(got, e.Type+" "+e.Severity.String())
			if e.Slot != 4 || !strings.HasPrefix(e.Text, "sensor-offset: voltage +") || !strings.Contains(e.Text, " mV") || e.ID == "" || e.At == 0 {
				t.Errorf("restart %v: event %+v, want one of slot 4 about its voltage", restart, e)
			}
		}
		if want := []string{"shadow-divergence warning", "shadow-recovered info"}; !slices.Equal(got, want) {
			t.Errorf("restart %v: events %q, want %q", restart, got, want)
		}
	}
}

func TestRunnerIsDeterministic(t *testing.T) {
	_, a := live(t, false)
	_, b := live(t, false)
	if !slices.Equal(a, b) {
		t.Errorf("two runs of one seed left different logs of %d and %d bytes", len(a), len(b))
	}
}
