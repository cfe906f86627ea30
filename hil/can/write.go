package can

import (
	"context"
	"fmt"
	"time"

	"yunchu/platform/device"
)

// Write implements device.Driver. A battery management takes no power, so that all it can
// be told is an emergency stop, and that only where its protocol has one: a message that
// stops, or a heartbeat without which it opens. Both last until Reset; a new connection
// does not lift them.
func (d *Driver) Write(ctx context.Context, now time.Time, c device.Command) (device.Ack, error) {
	switch c.Verb {
	case device.EStop:
		return d.stop(ctx, now, &c)
	case device.Reset:
		if d.profile.stops() {
			d.latch(false)
			return c.Answer(device.Done, now.UnixMilli(), "", ""), nil
		}
	}
	return c.Answer(device.Rejected, now.UnixMilli(), "UNSUPPORTED",
		fmt.Sprintf("%v: a battery management reports and limits, its converter is told: %v", c.Verb, device.ErrUnsupported)), nil
}

func (d *Driver) latch(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sender.estop = on
}

// stop latches first: what cannot be sent now is sent as soon as the bus is there.
func (d *Driver) stop(ctx context.Context, now time.Time, c *device.Command) (device.Ack, error) {
	if !d.profile.stops() {
		return c.Answer(device.Rejected, now.UnixMilli(), "UNSUPPORTED",
			fmt.Sprintf("the protocol %s has no stop: %v", d.profile.Name, device.ErrUnsupported)), nil
	}
	d.latch(true)
	if err := d.connect(ctx); err != nil {
		return device.Ack{}, fmt.Errorf("%w: %w", device.ErrOffline, err)
	}
	ctx, cancel := context.WithTimeout(ctx, d.opt.Timeout)
	defer cancel()
	for i := range d.profile.Controller {
		if d.profile.Controller[i].When != OnEStop {
			continue
		}
		if err := d.send(ctx, now, i); err != nil {
			d.fail(ctx, err)
			return device.Ack{}, fmt.Errorf("%w: %w", device.ErrOffline, err)
		}
	}
	return c.Answer(device.Done, now.UnixMilli(), "", ""), nil
}
