package mqtt

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"yunchu/platform/api"
	"yunchu/platform/auth"
	"yunchu/platform/bus"
	"yunchu/platform/device"
)

// teller takes events into the log.
type teller struct {
	registry api.Registry
	bus      bus.Bus
	log      *slog.Logger
	now      func() time.Time
	events   atomic.Uint64
}

// publish takes an event into the log; done is called once.
func (b *teller) publish(e device.Event, done func(error)) {
	if e.At == 0 {
		e.At = b.now().UnixMilli()
	}
	if e.ID == "" {
		e.ID = fmt.Sprintf("%s-%d-%d", e.Type, e.At, b.events.Add(1))
	}
	bus.Events.Publish(b.bus, &device.Events{List: []device.Event{e}}, func(_ uint64, err error) { done(err) })
}

// complain tells of messages that cannot be used.
func (b *teller) complain(id device.ID, by *auth.Principal, what, why string, n int) {
	slot, known := b.registry.Slot(id)
	if !known {
		slot = device.Plant
	}
	text := fmt.Sprintf("%s: what %s sent to %s cannot be used: %s", id, by.Name, topic(id, what), why)
	if n > 1 {
		text += fmt.Sprintf(" (%d messages since it was told last)", n)
	}
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "")
	}
	b.publish(device.Event{Slot: slot, Type: "mqtt-refused", Severity: device.Warning, Text: text}, func(err error) {
		if err != nil {
			b.log.Warn("event not stored", "device", id, "error", err)
		}
	})
}
