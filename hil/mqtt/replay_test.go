package mqtt

import (
	"errors"
	"slices"
	"testing"
	"time"

	"yunchu/platform/device"
)

// What a broker had retained is of the past, in a recording as on the wire; and a command
// of somebody else's is one in both.
func TestReplayKnowsWhatWasRetained(t *testing.T) {
	const s = time.Second
	const theirs = `{"deviceId":"rig","commandId":"theirs","command":"stop","timestamp":%d}`
	on := func(what string, m Message) Message { m.Topic = Topic("rig", what); return m }
	retained := func(m Message) Message { m.Retained = true; return m }
	fresh := on("data", at(0, 0, dataForm))
	for _, tt := range []struct {
		name    string
		come    []Message
		offline bool
		flags   device.Flags
	}{
		{"a reading", []Message{fresh}, false, 0},
		{"a stale retained reading", []Message{retained(on("data", at(0, -6*s, dataForm)))}, true, 0},
		{"a retained reading of the future", []Message{retained(on("data", at(0, 2*s, dataForm)))}, true, 0},
		{"a young retained reading", []Message{retained(on("data", at(0, -s, dataForm)))}, false, 0},
		{"gone", []Message{fresh, on("event", at(s, 0, event(EventOffline)))}, true, 0},
		{"a retained will", []Message{fresh, retained(on("event", at(s, 0, event(EventOffline))))}, false, 0},
		{"no return by a retained reading", []Message{on("event", at(0, 0, event(EventOffline))), retained(on("data", at(s, 0, dataForm)))}, true, 0},
		{"a retained command of another's", []Message{fresh, retained(on("control", at(s, 0, theirs)))}, false, 0},
		{"a command of another's", []Message{fresh, on("control", at(s, 0, theirs))}, false, device.FlagMaster},
	} {
		play := func(r *Replay, come func(time.Time)) (list []device.Crossing, got device.Reading, counts Counts, err error) {
			d, err := New(Options{ID: "rig", Replay: r, Tap: func(c device.Crossing) {
				c.Data = slices.Clone(c.Data)
				list = append(list, c)
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			r.SetNow(noon.Add(-s))
			c := device.Command{Verb: device.SetPower, Power: 5, Until: noon.Add(time.Hour).UnixMilli()}
			if a, err := d.Write(t.Context(), noon.Add(-s), c); err != nil || a.Status != device.Done {
				t.Fatalf("%s: %+v, %v", tt.name, a, err)
			}
			come(noon.Add(s))
			got, err = d.Read(t.Context(), noon.Add(s))
			return list, got, d.Counts(), err
		}
		told := []device.Crossing{
			{At: noon.Add(-s), Out: true, Data: []byte("device/rig/control\x00" + `{"deviceId":"rig","commandId":"a","command":"setPower","parameters":{"power":5}}`)},
			{At: noon.Add(-s), Data: []byte("device/rig/ack\x00" + `{"deviceId":"rig","commandId":"a","status":"done"}`)},
		}
		live := NewReplay(slices.Clone(told), 0)
		list, was, counted, err := play(live, func(now time.Time) {
			live.SetNow(now)
			for _, m := range tt.come {
				live.deliver(m)
			}
		})
		if errors.Is(err, device.ErrOffline) != tt.offline || err == nil && was.Flags != tt.flags {
			t.Errorf("%s: %+v, %v", tt.name, was, err)
		}
		list = slices.DeleteFunc(list, func(c device.Crossing) bool { return c.At.Before(noon) || c.At.After(noon.Add(s)) })
		again := NewReplay(append(told, list...), 0)
		_, got, counts, erragain := play(again, again.SetNow)
		if (err == nil) != (erragain == nil) || err == nil && (!got.SameValues(&was) || got.Flags != was.Flags) || counts != counted {
			t.Errorf("%s: replayed %+v, %v, %+v, it was %+v, %v, %+v", tt.name, got, erragain, counts, was, err, counted)
		}
	}
}

// A recording of before retained messages were told apart has a zero byte behind every
// topic: each counts as one that had just been sent.
func TestReplayOfAnOldRecording(t *testing.T) {
	m := at(0, -6*time.Second, dataForm)
	r := NewReplay([]device.Crossing{{At: m.At, Data: append([]byte("device/rig/data\x00"), m.Body...)}}, 0)
	d, err := New(Options{ID: "rig", Replay: r, MaxAge: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	r.SetNow(noon)
	if got, err := d.Read(t.Context(), noon); err != nil || got.At != noon.Add(-6*time.Second).UnixMilli() {
		t.Errorf("%+v, %v", got, err)
	}
}
