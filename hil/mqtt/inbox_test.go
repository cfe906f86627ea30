package mqtt

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"yunchu/platform/device"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func newInbox() *inbox {
	return &inbox{id: "rig", base: "own", maxAge: 5 * time.Second, open: map[string]*question{}}
}

// at is a message that comes so long after noon, with a body about then plus lag.
func at(after, lag time.Duration, form string) Message {
	return Message{Body: fmt.Appendf(nil, form, noon.Add(after+lag).UnixMilli()), At: noon.Add(after)}
}

const (
	dataForm  = `{"deviceId":"rig","timestamp":%d,"data":{"soc":50,"power":0,"status":"idle"}}`
	faultForm = `{"deviceId":"rig","timestamp":%d,"data":{"soc":50,"power":0,"status":"fault"}}`
	eventForm = `{"deviceId":"rig","eventType":"TYPE","timestamp":%d}`
)

const offline = time.Duration(math.MinInt64)

func event(kind string) string { return strings.Replace(eventForm, "TYPE", kind, 1) }

func TestAgeOfReadings(t *testing.T) {
	s := time.Second
	retained := func(m Message) Message { m.Retained = true; return m }
	for _, tt := range []struct {
		name string
		come []Message
		when time.Duration // it is read
		at   time.Duration // of what is read, or offline
	}{
		{"nothing", nil, 0, offline},
		{"fresh", []Message{at(0, 0, dataForm)}, 4 * s, 0},
		{"grown old", []Message{at(0, 0, dataForm)}, 6 * s, offline},
		{"old when it came", []Message{at(10*s, -6*s, dataForm)}, 10 * s, offline},
		{"a clock that is ahead makes nothing young", []Message{at(0, 60*s, dataForm)}, 6 * s, offline},
		{"within what clocks may be ahead", []Message{at(0, 299*s, dataForm)}, s, 299 * s},
		{"beyond it", []Message{at(0, 301*s, dataForm)}, s, offline},
		{"one from the future does not shut out what follows", []Message{at(0, 301*s, dataForm), at(s, 0, dataForm)}, s, s},
		{"nor does a clock that is set right", []Message{at(0, 200*s, dataForm), at(s, 0, dataForm)}, s, s},
		{"late ones change nothing", []Message{at(2*s, 0, dataForm), at(3*s, -2*s, dataForm)}, 3 * s, 2 * s},
		{"retained and young", []Message{retained(at(0, -s, dataForm))}, 2 * s, -s},
		{"retained and old", []Message{retained(at(0, -6*s, dataForm))}, 0, offline},
		{"retained from the future", []Message{retained(at(0, 2*s, dataForm))}, 0, offline},
		{"gone", []Message{at(0, 0, dataForm), at(s, 0, event(EventOffline))}, s, offline},
		{"and back", []Message{at(0, 0, event(EventOffline)), at(s, 0, dataForm)}, s, s},
		{"a retained will is of the past", []Message{at(0, 0, dataForm), retained(at(s, 0, event(EventOffline)))}, s, 0},
		{"a retained reading is no return", []Message{at(0, 0, event(EventOffline)), retained(at(s, 0, dataForm))}, s, offline},
	} {
		b := newInbox()
		for _, m := range tt.come {
			if strings.Contains(string(m.Body), "eventType") {
				b.event(m)
			} else {
				b.data(m)
			}
		}
		r, err := b.newest(noon.Add(tt.when))
		switch {
		case tt.at == offline:
			if err == nil {
				t.Errorf("%s: read as of now: %+v", tt.name, r)
			}
		case err != nil || r.At != noon.Add(tt.at).UnixMilli():
			t.Errorf("%s: %+v, %v; want the one of %v", tt.name, r, err, tt.at)
		}
	}
}

func TestFlagsFromEvents(t *testing.T) {
	s := time.Second
	for _, tt := range []struct {
		name string
		come []Message
		want device.Flags
	}{
		{"local", []Message{at(0, 0, event(EventLocal))}, device.FlagLocal},
		{"remote again", []Message{at(0, 0, event(EventLocal)), at(s, 0, event(EventRemote))}, 0},
		{"a device that starts says it anew", []Message{at(0, 0, event(EventLocal)), at(s, 0, event(EventOnline))}, 0},
		{"e-stop", []Message{at(0, 0, event(EventEStop)), at(s, 0, faultForm)}, device.FlagEStop},
		{"a reading of before it proves nothing", []Message{at(s, 0, event(EventEStop)), at(s, -s, dataForm)}, device.FlagEStop},
		{"reset", []Message{at(0, 0, event(EventEStop)), at(s, 0, dataForm)}, 0},
		{"e-stop by a clock that is ahead", []Message{at(0, time.Hour, event(EventEStop)), at(s, 0, dataForm)}, 0},
		{"second master", []Message{at(0, 0, event(EventSecondMaster))}, device.FlagMaster},
		{"a command of another's", []Message{at(0, 0, `{"deviceId":"rig","commandId":"theirs","command":"stop","timestamp":%d}`)}, device.FlagMaster},
		{"a command of ours", []Message{at(0, 0, `{"deviceId":"rig","commandId":"x.own-1","command":"stop","timestamp":%d}`)}, 0},
		{"another device's event", []Message{at(0, 0, strings.Replace(event(EventLocal), "rig", "other", 1))}, 0},
	} {
		b := newInbox()
		b.begin()
		b.data(at(0, -s, dataForm))
		for _, m := range tt.come {
			switch {
			case strings.Contains(string(m.Body), "eventType"):
				b.event(m)
			case strings.Contains(string(m.Body), "command"):
				b.control(m)
			default:
				b.data(m)
			}
		}
		if r, err := b.newest(noon.Add(s)); err != nil || r.Flags != tt.want {
			t.Errorf("%s: %v, %v; want %v", tt.name, r.Flags, err, tt.want)
		}
	}
}

// Somebody else who commands a device that we do not command is no second master.
func TestSecondMasterNeedsAFirst(t *testing.T) {
	b := newInbox()
	b.data(at(0, 0, dataForm))
	b.event(at(0, 0, event(EventSecondMaster)))
	if r, err := b.newest(noon); err != nil || r.Flags != 0 {
		t.Errorf("%v, %v", r.Flags, err)
	}
	b.hold(true)
	b.event(at(0, 0, event(EventSecondMaster)))
	b.hold(false) // given up, and told of for a while
	if r, err := b.newest(noon.Add(time.Second)); err != nil || r.Flags != device.FlagMaster {
		t.Errorf("%v, %v", r.Flags, err)
	}
	b.data(at(masterShown, 0, dataForm))
	if r, err := b.newest(noon.Add(masterShown)); err != nil || r.Flags != 0 {
		t.Errorf("%v, %v", r.Flags, err)
	}
}

// Who commands while a setpoint of ours is on its way is a second master like any other;
// who did before that is not.
func TestSecondMasterInTheSameCycle(t *testing.T) {
	b := newInbox()
	b.data(at(0, 0, dataForm))
	b.begin()
	b.control(at(0, 0, `{"deviceId":"rig","commandId":"theirs","command":"stop","timestamp":%d}`))
	b.hold(true)
	b.gone = true // nobody is told of it
	if _, err := b.newest(noon); err == nil || !b.contested() {
		t.Errorf("a device that has gone: %v", err)
	}
	b.gone = false
	if r, err := b.newest(noon); err != nil || r.Flags != device.FlagMaster || b.contested() {
		t.Errorf("%v, %v", r.Flags, err)
	}
	b.begin()
	b.hold(true)
	if r, err := b.newest(noon); err != nil || r.Flags != 0 {
		t.Errorf("%v, %v", r.Flags, err)
	}
}

func TestWhatIsNotUsedIsCounted(t *testing.T) {
	b := newInbox()
	for range 3 {
		b.data(at(0, 0, dataForm))
	}
	b.data(at(0, -time.Second, dataForm))
	b.data(at(0, time.Hour, dataForm))
	b.data(Message{Body: []byte("{")})
	b.event(Message{Body: []byte("{")})
	b.ack(Message{Body: []byte("{")})
	q := b.expect("mine")
	for range 2 { // once is once
		b.ack(Message{Body: []byte(`{"deviceId":"rig","commandId":"mine","status":"done"}`)})
	}
	b.ack(Message{Body: []byte(`{"deviceId":"rig","commandId":"theirs","status":"done"}`)})
	if a, ok := q.answered(); !ok || a.CommandID != "mine" {
		t.Errorf("%+v", a)
	}
	q = b.expect("late")
	b.forget(q)
	b.ack(Message{Body: []byte(`{"deviceId":"rig","commandId":"late","status":"done"}`)})
	if _, ok := q.answered(); ok {
		t.Error("an answer that nobody waits for any more is given")
	}
	want := Counts{Malformed: 3, Unasked: 3, Refused: 1, Late: 1, Superseded: 2}
	if got := b.counted(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
