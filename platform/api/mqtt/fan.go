package mqtt

import (
	"fmt"
	"sync"
	"sync/atomic"

	"yunchu/platform/api"
	"yunchu/platform/bus"
	"yunchu/platform/device"
)

// fanned bounds what waits to be told to subscribers.
const fanned = 1 << 14

// fan tells subscribers what has come into the log. The bus is never kept waiting: what is
// too much is dropped and counted.
type fan struct {
	broker   *Broker
	watchers atomic.Int64 // subscriptions of those who are no device

	mu       sync.Mutex
	readings []device.Reading
	acks     []device.Ack
	events   []device.Event
	wake     chan struct{}
}

func (f *fan) subscribe(b bus.Bus) error {
	for _, stream := range []string{bus.Data, bus.Control} {
		_, last, err := b.Bounds(stream)
		if err == nil {
			_, err = b.Subscribe(stream, last+1, f.frame)
		}
		if err != nil {
			return fmt.Errorf("follow %s: %w", stream, err)
		}
	}
	return nil
}

// frame is called by the bus.
func (f *fan) frame(_ uint64, frame device.Frame) {
	if f.watchers.Load() == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	lost := 0
	switch x := frame.(type) {
	case *device.Readings:
		var r device.Reading
		for i := range x.Slot {
			if len(f.readings) >= fanned {
				lost++
				continue
			}
			x.Row(i, &r)
			f.readings = append(f.readings, r)
		}
	case *device.Acks:
		for i := range x.List {
			switch {
			case x.List[i].ID == "": // those of dispatch
			case len(f.acks) >= fanned:
				lost++
			default:
				f.acks = append(f.acks, x.List[i])
			}
		}
	case *device.Events:
		for i := range x.List {
			switch {
			case x.List[i].Slot == device.Plant:
			case len(f.events) >= fanned:
				lost++
			default:
				f.events = append(f.events, x.List[i])
			}
		}
	}
	f.broker.metrics.dropped.Add(float64(lost))
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// run tells until the broker ends.
func (f *fan) run() {
	for {
		select {
		case <-f.broker.life.Done():
			return
		case <-f.wake:
		}
		f.mu.Lock()
		readings, acks, events := f.readings, f.acks, f.events
		f.readings, f.acks, f.events = nil, nil, nil
		f.mu.Unlock()
		for i := range acks {
			f.tell(acks[i].Slot, ack, 1, func(id device.ID) []byte { return api.AppendAck(nil, id, &acks[i]) })
		}
		for i := range events {
			f.tell(events[i].Slot, event, 1, func(id device.ID) []byte { return api.AppendEvent(nil, id, &events[i]) })
		}
		for i := range readings {
			f.tell(readings[i].Slot, data, 0, func(id device.ID) []byte { return api.AppendReading(nil, id, &readings[i]) })
		}
	}
}

func (f *fan) tell(s device.Slot, what string, qos byte, body func(device.ID) []byte) {
	info, ok := f.broker.registry.Device(s)
	if !ok {
		return
	}
	name := topic(info.ID, what)
	if subs := f.broker.mochi.Topics.Subscribers(name); len(subs.Subscriptions) == 0 {
		return
	}
	if err := f.broker.mochi.Publish(name, body(info.ID), false, qos); err != nil {
		f.broker.log.Debug("not told to subscribers", "topic", name, "error", err)
	}
}
