package links

import (
	"context"
	"log/slog"
	"time"

	hil "yunchu/hil/mqtt"
	"yunchu/platform/api/mqtt"
	"yunchu/platform/device"
)

// Line makes the driver of a device that is connected to our own broker: the same that
// reaches a device behind another's.
func Line(l *mqtt.Line, silence time.Duration, log *slog.Logger) (device.Driver, error) {
	return hil.New(hil.Options{ID: l.ID, Carrier: line{l}, MaxAge: silence, Log: log})
}

// line carries the messages of one device.
type line struct{ *mqtt.Line }

// Listen implements hil.Carrier.
func (l line) Listen(topic string, fn func(hil.Message)) (end func()) {
	return l.Line.Listen(topic, func(m mqtt.Message) { fn(hil.Message{Topic: m.Topic, Body: m.Body, At: m.At}) })
}

// Publish implements hil.Carrier.
func (l line) Publish(ctx context.Context, m hil.Outgoing) error {
	return l.Line.Publish(ctx, m.Topic, m.Body)
}

// Refused implements hil.Carrier.
func (line) Refused(string) bool { return false }

// Close implements hil.Carrier: the connection is the device's.
func (line) Close() {}
