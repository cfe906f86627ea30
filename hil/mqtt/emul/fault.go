package emul

import (
	"context"
	"time"

	"yunchu/hil/mqtt"
	"yunchu/hil/unit"
	"yunchu/platform/device"
)

// breakLink does to the link what is broken about it.
func (d *Device) breakLink(ctx context.Context, v *unit.View) {
	d.link.Cut(v.Wire.Down)
	if v.Wire.Retained != d.planted {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		d.plant(ctx, v.Wire.Retained)
	}
}

// lain is how old the retained command of the fault is: one may lie on a broker for
// ever.
const lain = 24 * time.Hour

// plant lays an old command on the broker for whoever subscribes, or takes it away: the
// hand of a test, with a connection of its own. Then the device connects anew and finds
// it, which must not move it.
func (d *Device) plant(ctx context.Context, on bool) {
	m := mqtt.Outgoing{Topic: mqtt.Topic(d.id, "control"), Retained: true} // empty: taken away
	if on {
		kw, s := d.opt.Unit.Model().RatedKW, (48 * time.Hour).Seconds()
		m = d.message("control", mqtt.Control{
			DeviceID: d.id, CommandID: "planted", Command: device.SetPower.String(),
			Parameters: mqtt.Parameters{Power: &kw, Duration: &s}, Timestamp: time.Now().Add(-lain).UnixMilli(),
		})
		m.Retained = true
	}
	hand, err := mqtt.Connect(d.opt.Access, mqtt.LinkOptions{})
	if err != nil {
		d.log.Error("no hand to plant a command", "error", err)
		return
	}
	defer hand.Close()
	for hand.Away() != nil && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if err := hand.Publish(ctx, m); err != nil {
		d.log.Warn("retained command not planted", "error", err) // tried again
		return
	}
	d.planted = on
	if on {
		d.link.Cut(true)
		d.link.Cut(false)
	}
}
