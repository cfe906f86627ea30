package mqtt

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"strings"
	"sync"
	"time"

	"yunchu/platform/device"
)

// Replay is a broker that delivers a recording. What the device had sent comes again at
// the times it was recorded with. A command that it was told then is answered as it was, or
// not at all; one that it was never told has failed, since nothing reads back what an MQTT
// device holds.
type Replay struct {
	by   time.Duration // what timestamps in bodies are moved by
	told []told

	mu   sync.Mutex
	list []device.Crossing
	now  time.Time
	from time.Time // of an exchange, which lasts until now; zero: there is none
	to   map[string][]func(Message)
}

// told is a command of the recording, with its answer; nil where none came.
type told struct {
	at     time.Time
	what   Control
	answer *Ack
}

// A replay is not as punctual as what was recorded: a renewal is taken for one of then when
// it is so near to it, and a power for that of then.
const (
	nearTime  = time.Second
	nearShare = 0.005
)

var _ Carrier = (*Replay)(nil)

// NewReplay plays the crossings of a tap, which are in order of time and were moved by
// shift against when they were recorded.
func NewReplay(list []device.Crossing, shift time.Duration) *Replay {
	r := &Replay{by: shift, list: list, to: map[string][]func(Message){}}
	by := map[string]int{} // in told, by the id of a command
	for _, c := range list {
		m, ok := unpack(c.Data)
		switch {
		case !ok || m.Retained:
		case c.Out && strings.HasSuffix(m.Topic, "/control"):
			x := told{at: c.At}
			if json.Unmarshal(m.Body, &x.what) == nil {
				by[x.what.CommandID] = len(r.told)
				r.told = append(r.told, x)
			}
		case !c.Out && strings.HasSuffix(m.Topic, "/ack"):
			var a Ack
			if json.Unmarshal(m.Body, &a) != nil {
				continue
			}
			if i, asked := by[a.CommandID]; asked && r.told[i].answer == nil {
				r.told[i].answer = &a
			}
		}
	}
	return r
}

// Exchange lets what is told next, until the next SetNow, be what the recording has between
// two instants.
func (r *Replay) Exchange(from, to time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now, r.from = to, from
}

// SetNow delivers what had come by now.
func (r *Replay) SetNow(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now, r.from = now, time.Time{}
	for len(r.list) > 0 && !r.list[0].At.After(now) {
		c := r.list[0]
		r.list = r.list[1:]
		m, ok := unpack(c.Data)
		if c.Out || !ok || strings.HasSuffix(m.Topic, "/ack") {
			continue
		}
		m.At, m.Shift = c.At, r.by
		r.deliver(m)
	}
}

// What stands between a topic and a body in a recording: no topic has either.
const (
	live     = "\x00"
	retained = "\x01"
)

// pack is a message as it is recorded, without its time.
func (m *Message) pack() []byte {
	mark := live
	if m.Retained {
		mark = retained
	}
	return []byte(m.Topic + mark + string(m.Body))
}

// unpack reads a recorded message; ok is false when it is none.
func unpack(data []byte) (m Message, ok bool) {
	i := bytes.IndexAny(data, live+retained)
	if i < 0 {
		return Message{}, false
	}
	return Message{Topic: string(data[:i]), Body: data[i+1:], Retained: data[i] == retained[0]}, true
}

func (r *Replay) deliver(m Message) {
	for _, fn := range r.to[m.Topic] {
		fn(m)
	}
}

// Listen implements link. Nobody stops listening before the end.
func (r *Replay) Listen(topic string, fn func(Message)) (end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to[topic] = append(r.to[topic], fn)
	return func() {}
}

// Publish implements link.
func (r *Replay) Publish(ctx context.Context, m Outgoing) error {
	var c Control
	if err := json.Unmarshal(m.Body, &c); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a := &Ack{Status: device.Failure.String(), Reason: codeReadBack + ": it was not told so when it was recorded"}
	if was := r.like(&c); was != nil {
		a = was.answer
	}
	if a == nil {
		return ctx.Err()
	}
	body, err := json.Marshal(Ack{DeviceID: c.DeviceID, CommandID: c.CommandID, Status: a.Status, Reason: a.Reason, Timestamp: c.Timestamp})
	if err != nil {
		return err
	}
	r.deliver(Message{Topic: Topic(c.DeviceID, "ack"), Body: body, At: r.now})
	return ctx.Err()
}

// like is the command of the recording that c is, if there is one: of the exchange, or else
// the nearest to now.
func (r *Replay) like(c *Control) (best *told) {
	near := nearTime
	for i := range r.told {
		was := &r.told[i]
		if was.what.Command != c.Command || was.what.Parameters.Mode != c.Parameters.Mode || !alike(was.what.Parameters.Power, c.Parameters.Power) {
			continue
		}
		d := r.now.Sub(was.at).Abs()
		if !r.from.IsZero() {
			if was.at.Before(r.from.Add(-time.Millisecond)) || was.at.After(r.now.Add(time.Millisecond)) { // times are recorded to the microsecond
				continue
			}
			d = 0
		}
		if d <= near {
			best, near = was, d
		}
	}
	return best
}

func alike(a, b *float64) bool {
	if a == nil || b == nil {
		return a == b
	}
	return math.Abs(*a-*b) <= nearShare*math.Abs(*a)
}

// Away implements link.
func (r *Replay) Away() error { return nil }

// Refused implements link.
func (r *Replay) Refused(string) bool { return false }

// Close implements link.
func (r *Replay) Close() {}
