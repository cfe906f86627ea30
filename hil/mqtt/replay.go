package mqtt

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"yunchu/platform/device"
)

// Replay is a broker that delivers a recording. What the device had sent comes again at
// the times it was recorded with; a command is answered as done, and counted, since what
// was recorded cannot follow it.
type Replay struct {
	by time.Duration // what timestamps in bodies are moved by

	mu       sync.Mutex
	list     []device.Crossing
	now      time.Time
	to       map[string][]func(Message)
	diverged int
}

var _ Carrier = (*Replay)(nil)

// NewReplay plays the crossings of a tap, which are in order of time and were moved by
// shift against when they were recorded.
func NewReplay(list []device.Crossing, shift time.Duration) *Replay {
	return &Replay{by: shift, list: list, to: map[string][]func(Message){}}
}

// SetNow delivers what had come by now.
func (r *Replay) SetNow(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = now
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
	ack, err := json.Marshal(Ack{DeviceID: c.DeviceID, CommandID: c.CommandID, Status: device.Done.String(), Timestamp: c.Timestamp})
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.diverged++
	r.deliver(Message{Topic: Topic(c.DeviceID, "ack"), Body: ack, At: r.now})
	return ctx.Err()
}

// Diverged is how many commands were given that the recording cannot follow.
func (r *Replay) Diverged() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.diverged
}

// Away implements link.
func (r *Replay) Away() error { return nil }

// Refused implements link.
func (r *Replay) Refused(string) bool { return false }

// Close implements link.
func (r *Replay) Close() {}
