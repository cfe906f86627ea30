// Package emul is a device behind a broker, with a twin for its battery: it publishes
// what it measures and obeys commands, once each, unless they are retained or old.
package emul

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"yunchu/hil/mqtt"
	"yunchu/hil/unit"
	"yunchu/platform/device"
)

// Options say which unit is served where.
type Options struct {
	Unit   *unit.Unit
	Access mqtt.Access
	Period time.Duration // between readings; 0: 500 ms
	Log    *slog.Logger
}

// Device is one served unit. It is made by New and runs in Serve, on one goroutine.
type Device struct {
	opt  Options
	id   device.ID
	log  *slog.Logger
	link *mqtt.Link
	in   chan mqtt.Message // commands that have come
	out  []delayed         // messages that a fault holds back

	done     outcomes
	mode     device.Mode
	was      panel
	sessions int  // of the link, when it was looked at last
	planted  bool // the retained command of a fault is on the broker
	events   atomic.Uint64
}

// delayed is a message that goes out later.
type delayed struct {
	due time.Time
	mqtt.Outgoing
}

// Bounds.
const (
	watchEvery = 20 * time.Millisecond // how often the panel and the faults are looked at
	waiting    = 64                    // commands that wait to be carried out; the oldest gives way
	heldBack   = 256                   // messages that a fault holds back; the oldest gives way
)

// New returns a device that serves nobody yet.
func New(o Options) (*Device, error) {
	o.Period = cmp.Or(o.Period, 500*time.Millisecond)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	id := device.ID(o.Unit.ID())
	if err := o.Access.Check(); err != nil {
		return nil, fmt.Errorf("serve %s: %w", id, err)
	}
	if !id.Valid() {
		return nil, fmt.Errorf("serve %q: it may not name a device", id)
	}
	return &Device{
		opt: o, id: id, log: o.Log.With("device", id), in: make(chan mqtt.Message, waiting), done: outcomes{by: map[string]mqtt.Ack{}},
	}, nil
}

// Serve publishes and obeys until ctx ends.
func (d *Device) Serve(ctx context.Context) error {
	link, err := mqtt.Connect(d.opt.Access, mqtt.LinkOptions{Log: d.log, Will: func() mqtt.Outgoing {
		return d.message("event", d.event(mqtt.EventOffline, "warning", "the connection was lost"))
	}})
	if err != nil {
		return fmt.Errorf("serve %s: %w", d.id, err)
	}
	d.link = link
	defer link.Close()
	defer link.Listen(mqtt.Topic(d.id, "control"), d.receive)()
	d.sessions = 0
	watch := time.NewTicker(min(watchEvery, d.opt.Period))
	defer watch.Stop()
	var due time.Time // of the next reading
	for {
		now := time.Now()
		v := d.opt.Unit.View(now)
		d.breakLink(ctx, &v)
		commands := d.in
		if v.Wire.Paused {
			commands = nil // they wait, as for a process that stands still
		} else {
			d.watch(&v)
			if !now.Before(due) {
				d.report(&v)
				due = now.Add(d.opt.Period)
			}
			d.flush(now)
		}
		select {
		case <-ctx.Done():
			d.leave()
			return nil
		case <-watch.C:
		case m := <-commands:
			if now := time.Now(); !d.opt.Unit.Wire().Paused {
				d.control(now, &m)
			} else {
				d.receive(m)
			}
		}
	}
}

// receive takes a command on the link's goroutine.
func (d *Device) receive(m mqtt.Message) {
	for {
		select {
		case d.in <- m:
			return
		default:
		}
		select {
		case <-d.in:
		default:
		}
	}
}

// leave says that the device goes.
func (d *Device) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if d.planted {
		d.plant(ctx, false)
	}
	m := d.message("event", d.event(mqtt.EventOffline, "info", "the device was switched off"))
	if err := d.link.Publish(ctx, m); err != nil {
		d.log.Debug("left without a word", "error", err)
	}
}

// report publishes what the instruments show.
func (d *Device) report(v *unit.View) {
	r := Reading(v, d.mode)
	values := mqtt.ValuesOf(&r)
	if v.Wire.NotImplemented {
		values = mqtt.Values{Status: values.Status}
	}
	d.send("data", mqtt.Data{DeviceID: d.id, Timestamp: v.At.UnixMilli(), Data: values}, v.Wire.Late)
}

// send publishes now, or later where a fault holds it back. Nothing is kept for a broker
// that is away.
func (d *Device) send(what string, body any, late time.Duration) {
	m := d.message(what, body)
	if late > 0 {
		if len(d.out) == heldBack {
			d.out = d.out[1:]
		}
		d.out = append(d.out, delayed{time.Now().Add(late), m})
		return
	}
	if _, err := d.link.Send(m); err != nil {
		d.log.Debug("not sent", "topic", m.Topic, "error", err)
	}
}

// flush publishes what was held back until now.
func (d *Device) flush(now time.Time) {
	for len(d.out) > 0 && !now.Before(d.out[0].due) {
		m := d.out[0].Outgoing
		d.out = d.out[1:]
		if _, err := d.link.Send(m); err != nil {
			d.log.Debug("not sent", "topic", m.Topic, "error", err)
		}
	}
}

func (d *Device) message(what string, body any) mqtt.Outgoing {
	b, err := json.Marshal(body)
	if err != nil { // ValuesOf leaves out what JSON has no word for
		panic(fmt.Sprintf("message of %s: %v", d.id, err))
	}
	return mqtt.Outgoing{Topic: mqtt.Topic(d.id, what), Body: b}
}
