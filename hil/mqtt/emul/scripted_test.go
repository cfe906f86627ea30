package emul_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"yunchu/hil/mqtt"
	"yunchu/platform/device"
)

const timeUnit = time.Millisecond

func id(prefix string, i int) device.ID { return device.ID(fmt.Sprintf("%s-%d", prefix, i)) }

func away(t testing.TB, d *mqtt.Driver) bool {
	t.Helper()
	_, err := d.Read(t.Context(), time.Now())
	return err != nil && strings.Contains(err.Error(), "the broker is away")
}

// power is what the device reports, NaN while it is offline.
func power(t testing.TB, d *mqtt.Driver) float64 {
	t.Helper()
	r, err := d.Read(t.Context(), time.Now())
	if err != nil {
		return math.NaN()
	}
	return r.Power
}

// hand is a device, or somebody else, that does what a test says.
type hand struct {
	testing.TB
	link *mqtt.Link
}

func connect(t testing.TB, a mqtt.Access) *hand {
	t.Helper()
	l, err := mqtt.Connect(a, mqtt.LinkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	await(t, "the hand is connected", func() bool { return l.Away() == nil })
	return &hand{t, l}
}

func (h *hand) say(of device.ID, what string, body any) {
	h.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		h.Fatal(err)
	}
	if err := h.link.Publish(h.Context(), mqtt.Outgoing{Topic: mqtt.Topic(of, what), Body: b}); err != nil {
		h.Error(err)
	}
}

func (h *hand) data(of device.ID, kw float64) {
	h.Helper()
	soc := 50.0
	h.say(of, "data", mqtt.Data{DeviceID: of, Timestamp: time.Now().UnixMilli(), Data: mqtt.Values{SoC: &soc, Power: &kw, Status: "idle"}})
}

func (h *hand) event(of device.ID, what string) {
	h.Helper()
	h.say(of, "event", mqtt.Event{EventID: what, DeviceID: of, EventType: what, Timestamp: time.Now().UnixMilli()})
}

// listen begins to listen, and returns when the broker delivers.
func (h *hand) listen(topic string, fn func(m mqtt.Message)) {
	h.Helper()
	probe := fmt.Sprintf("probe %p", fn)
	there := make(chan bool, 1)
	h.link.Listen(topic, func(m mqtt.Message) {
		if string(m.Body) == probe {
			there <- true
			return
		}
		fn(m)
	})
	if err := h.link.Publish(h.Context(), mqtt.Outgoing{Topic: topic, Body: []byte(probe)}); err != nil {
		h.Fatal(err)
	}
	await(h.TB, "the broker delivers", func() bool { return len(there) > 0 })
}

// hear collects the commands of a device.
func (h *hand) hear(of device.ID) func() []mqtt.Control {
	h.Helper()
	var mu sync.Mutex
	var got []mqtt.Control
	h.listen(mqtt.Topic(of, "control"), func(m mqtt.Message) {
		if c, err := mqtt.ParseControl(of, m.Body); err == nil {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, c)
		}
	})
	return func() []mqtt.Control {
		mu.Lock()
		defer mu.Unlock()
		return append([]mqtt.Control(nil), got...)
	}
}

// answers answers each command by what answer says of it; an empty status is silence.
func (h *hand) answers(of device.ID, answer func(c mqtt.Control) (status, reason string)) {
	h.Helper()
	h.listen(mqtt.Topic(of, "control"), func(m mqtt.Message) {
		c, err := mqtt.ParseControl(of, m.Body)
		if err != nil {
			h.Errorf("%s: %v", m.Body, err)
			return
		}
		status, reason := answer(c)
		if status == "" {
			return
		}
		b, _ := json.Marshal(mqtt.Ack{DeviceID: of, CommandID: c.CommandID, Status: status, Reason: reason, Timestamp: m.At.UnixMilli()})
		for range 2 { // twice is once
			if _, err := h.link.Send(mqtt.Outgoing{Topic: mqtt.Topic(of, "ack"), Body: b}); err != nil {
				h.Error(err)
			}
		}
	})
}

func command(v device.Verb, kw float64) device.Command {
	now := time.Now()
	return device.Command{ID: "CMD_1", Verb: v, Power: kw, At: now.UnixMilli(), Until: now.Add(time.Minute).UnixMilli()}
}

func wantOffline(t testing.TB, a device.Ack, err error) {
	t.Helper()
	if !errors.Is(err, device.ErrOffline) {
		t.Errorf("%+v, %v; want %v", a, err, device.ErrOffline)
	}
}

func setPower(t testing.TB, d *mqtt.Driver, kw float64, want func(testing.TB, device.Ack, error)) {
	t.Helper()
	begun := time.Now()
	a, err := d.Write(t.Context(), begun, command(device.SetPower, kw))
	want(t, a, err)
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
}

// scripted is a driver whose device answers by a script.
func scripted(t *testing.T, answer func(c mqtt.Control) (status, reason string)) (*mqtt.Driver, *hand) {
	t.Helper()
	b := newBroker(t)
	h := connect(t, b.access())
	h.answers("rig", answer)
	d, err := mqtt.New(mqtt.Options{ID: "rig", Access: b.access(), Timeout: 500 * time.Millisecond, DeadMan: 600 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	await(t, "it reports", func() bool { h.data("rig", 0); return power(t, d) == 0 })
	return d, h
}

func TestPeerAnswersBecomeAcknowledgements(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status, reason string
		want           device.AckStatus
		code           string
	}{
		{"done", "", device.Done, ""},
		{"rejected", "", device.Rejected, "REJECTED"},
		{"rejected", "LOCAL: key switch", device.Rejected, "LOCAL"},
		{"expired", "", device.Expired, "EXPIRED"},
		{"failed", "contactor stuck", device.Failure, "DEVICE_FAULT"},
	} {
		t.Run(tt.status+tt.reason, func(t *testing.T) {
			t.Parallel()
			var last mqtt.Control
			d, _ := scripted(t, func(c mqtt.Control) (string, string) { last = c; return tt.status, tt.reason })
			setPower(t, d, 5, func(t testing.TB, a device.Ack, err error) {
				t.Helper()
				if err != nil || a.Status != tt.want || a.Code != tt.code || a.ID != "CMD_1" || a.Power != 5 || (a.Reason == "") != (a.Status == device.Done) {
					t.Errorf("%+v, %v", a, err)
				}
			})
			if !strings.HasPrefix(last.CommandID, "CMD_1.") || *last.Parameters.Power != 5 || *last.Parameters.Duration != 0.6 {
				t.Errorf("the device was told %+v", last)
			}
		})
	}
	d, _ := scripted(t, func(mqtt.Control) (string, string) { return "", "" })
	setPower(t, d, 5, wantOffline)
}

// A setpoint that the device does not take any longer is given up, and not told again.
func TestPeerRefusedRenewalEndsTheSetpoint(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	told := 0
	d, h := scripted(t, func(mqtt.Control) (string, string) {
		mu.Lock()
		defer mu.Unlock()
		if told++; told == 1 {
			return "done", ""
		}
		return "rejected", "DEVICE_FAULT: it has stopped"
	})
	setPower(t, d, 5, func(t testing.TB, a device.Ack, err error) {
		t.Helper()
		if err != nil || a.Status != device.Done {
			t.Fatalf("%+v, %v", a, err)
		}
	})
	for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		h.data("rig", 5)
		power(t, d)
	}
	mu.Lock()
	defer mu.Unlock()
	if told != 2 {
		t.Errorf("told %d times, want once and one renewal", told)
	}
}

// What the published contract asks of a device are setPower, setMode, stop and release:
// one without an emergency stop is stopped, and held there by the driver.
func TestPeerDeviceWithoutEmergencyStop(t *testing.T) {
	t.Parallel()
	d, _ := scripted(t, func(c mqtt.Control) (string, string) {
		if c.Command == "eStop" || c.Command == "reset" {
			return "rejected", "unknown command"
		}
		return "done", ""
	})
	write := func(v device.Verb, want device.AckStatus) {
		t.Helper()
		if a, err := d.Write(t.Context(), time.Now(), command(v, 5)); err != nil || a.Status != want {
			t.Errorf("%v: %+v, %v; want %v", v, a, err, want)
		}
	}
	write(device.SetPower, device.Done)
	write(device.EStop, device.Done)
	write(device.SetPower, device.Rejected)
	write(device.Reset, device.Done)
	write(device.SetPower, device.Done)
	write(device.Reset, device.Rejected) // nothing of ours is latched: the device's own word counts
}

// An emergency stop that the device has not answered is told until it does, in the word
// that it has, and under one commandId, so that it takes effect once.
func TestPeerEmergencyStopIsToldUntilItIsAnswered(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		words []string // that the device knows
		last  string
	}{
		{"eStop", []string{"eStop"}, "eStop"},
		{"stop", []string{"stop"}, "stop"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var told []mqtt.Control
			deaf := true
			d, h := scripted(t, func(c mqtt.Control) (string, string) {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case deaf:
					return "", ""
				case slices.Contains(tt.words, c.Command):
					told = append(told, c)
					return "done", ""
				}
				told = append(told, c)
				return "rejected", "unknown command"
			})
			a, err := d.Write(t.Context(), time.Now(), command(device.EStop, 0))
			wantOffline(t, a, err)
			power(t, d)
			mu.Lock()
			deaf = false
			mu.Unlock()
			heard := func() (list []mqtt.Control) {
				h.data("rig", 0)
				power(t, d)
				mu.Lock()
				defer mu.Unlock()
				return slices.Clone(told)
			}
			await(t, "it has heard its stop", func() bool { c := heard(); return len(c) > 0 && c[len(c)-1].Command == tt.last })
			for end := time.Now().Add(2500 * time.Millisecond); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
				heard()
			}
			ids := map[string]string{}
			for _, c := range heard() {
				if was := ids[c.Command]; was != "" && was != c.CommandID {
					t.Errorf("%s as %s and as %s", c.Command, was, c.CommandID)
				}
				ids[c.Command] = c.CommandID
			}
			if n := len(heard()); n > 3 {
				t.Errorf("told %d times after it had answered", n)
			}
			if a, err := d.Write(t.Context(), time.Now(), command(device.SetPower, 5)); err != nil || a.Status != device.Rejected {
				t.Errorf("a setpoint: %+v, %v", a, err)
			}
		})
	}
}

// A broker that is away when the stop is asked for delivers it when it is back.
func TestPeerEmergencyStopWaitsForTheBroker(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	h := connect(t, b.access())
	var mu sync.Mutex
	told := 0
	h.answers("rig", func(c mqtt.Control) (string, string) {
		mu.Lock()
		defer mu.Unlock()
		if c.Command == "eStop" {
			told++
		}
		return "done", ""
	})
	d, err := mqtt.New(mqtt.Options{ID: "rig", Access: b.access(), Timeout: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	await(t, "it reports", func() bool { h.data("rig", 0); return power(t, d) == 0 })
	b.stop()
	await(t, "the broker is away", func() bool { return away(t, d) })
	a, err := d.Write(t.Context(), time.Now(), command(device.EStop, 0))
	wantOffline(t, a, err)
	b.start(peer(t, "mosquitto"))
	await(t, "it has heard its stop", func() bool {
		power(t, d)
		mu.Lock()
		defer mu.Unlock()
		return told > 0
	})
}

func TestPeerEventsOfThePanel(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	told := 0
	d, h := scripted(t, func(mqtt.Control) (string, string) { mu.Lock(); told++; mu.Unlock(); return "done", "" })
	flags := func(want device.Flags) {
		t.Helper()
		await(t, fmt.Sprintf("flags %v", want), func() bool {
			h.data("rig", 0)
			r, err := d.Read(t.Context(), time.Now())
			return err == nil && r.Flags == want
		})
	}
	h.event("rig", mqtt.EventLocal)
	flags(device.FlagLocal)
	for _, v := range []device.Verb{device.SetPower, device.Stop, device.EStop} {
		if a, err := d.Write(t.Context(), time.Now(), command(v, 5)); err != nil || a.Status != device.Rejected || a.Code != "LOCAL" {
			t.Errorf("%v: %+v, %v", v, a, err)
		}
	}
	h.event("rig", mqtt.EventRemote)
	flags(0)
	mu.Lock()
	if told != 0 {
		t.Errorf("a device in local control was told %d times", told)
	}
	mu.Unlock()
	setPower(t, d, 5, func(t testing.TB, a device.Ack, err error) {
		t.Helper()
		if err != nil || a.Status != device.Done {
			t.Errorf("%+v, %v", a, err)
		}
	})
	h.event("rig", mqtt.EventOffline)
	await(t, "its last will makes it offline", func() bool { return math.IsNaN(power(t, d)) })
}
