package mqtt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"yunchu/platform/device"
)

// Codes of answers.
const (
	codeExpired     = "EXPIRED"
	codeFault       = "DEVICE_FAULT"
	codeLocal       = "LOCAL"
	codeReadBack    = "READ_BACK" // of a recording
	codeRejected    = "REJECTED"
	codeStale       = "STALE_COMMAND"
	codeUnsupported = "UNSUPPORTED"
)

// Write implements device.Driver. The power of the acknowledgement is what the device
// was asked for: its answer is its word.
func (d *Driver) Write(ctx context.Context, now time.Time, c device.Command) (device.Ack, error) {
	if a, refused := d.refused(now, &c); refused {
		return a, nil
	}
	before := d.live
	d.hold(setpoint{}) // whatever becomes of the command: if nobody knows, the device falls back by itself
	if c.Verb == device.SetPower {
		d.in.begin()
	}
	begun := time.Now()
	a, err := d.carryOut(ctx, now, &c)
	if err != nil {
		d.hold(setpoint{})
		return device.Ack{}, fmt.Errorf("%v: %w", c.Verb, err)
	}
	at := now.Add(time.Since(begun)).UnixMilli()
	status := statuses[a.Status]
	if status != device.Done {
		code, reason := explained(status, a.Reason)
		d.hold(setpoint{})
		if c.Verb == device.SetPower && status != device.Failure { // it has what it had
			before.renewal = nil
			d.hold(before)
		}
		return c.Answer(status, at, code, reason), nil
	}
	switch c.Verb {
	case device.SetPower:
		d.hold(setpoint{on: c.Until != 0, kw: c.Power, priority: c.Priority, until: c.Until, sent: now})
	case device.SetMode:
		d.mode = c.Mode
	case device.Reset:
		d.in.forget(d.stop.again)
		d.stop = emergency{}
	}
	out := c.Answer(device.Done, at, "", "")
	if c.Verb != device.SetPower {
		out.Power = 0
	}
	return out, nil
}

// refused answers what is not sent at all.
func (d *Driver) refused(now time.Time, c *device.Command) (device.Ack, bool) {
	ms := now.UnixMilli()
	reject := func(code, format string, args ...any) (device.Ack, bool) {
		return c.Answer(device.Rejected, ms, code, fmt.Sprintf(format, args...)), true
	}
	switch c.Verb {
	case device.SetPower:
		switch {
		case !device.Finite(c.Power):
			return reject(codeRejected, "%v kW is not a power", c.Power)
		case c.Until != 0 && c.Until <= ms:
			return c.Answer(device.Expired, ms, codeExpired, "the setpoint had expired when it came"), true
		case d.stop.on:
			return reject(codeFault, "the emergency stop has not been reset")
		case d.mode != device.Run:
			return reject(codeFault, "the device is in mode %v", d.mode)
		case d.in.contested(): // the next reading tells of it
			return reject(codeRejected, "somebody else commands the device")
		}
	case device.SetMode:
		if c.Mode > device.MaintenanceMode {
			return reject(codeUnsupported, "mode %v: %v", c.Mode, device.ErrUnsupported)
		}
	case device.Stop, device.Release, device.EStop, device.Reset:
	default:
		return reject(codeUnsupported, "%v: %v", c.Verb, device.ErrUnsupported)
	}
	if d.in.isLocal() {
		d.hold(setpoint{})
		return reject(codeLocal, "the device is in local control")
	}
	return device.Ack{}, false
}

// carryOut tells the device, in words that it has.
func (d *Driver) carryOut(ctx context.Context, now time.Time, c *device.Command) (Ack, error) {
	hold := d.opt.DeadMan // of a setpoint that does not say how long it holds, which is not renewed
	if c.Until != 0 {
		hold = d.given(now, c.Until)
	}
	switch c.Verb {
	case device.EStop:
		d.in.forget(d.stop.again)
		d.stop = emergency{on: true, owed: device.EStop, sent: now}
		a, err := d.ask(ctx, now, c, 0)
		if err != nil {
			return a, err
		}
		if statuses[a.Status] == device.Done {
			d.stop.owed = 0
			return a, nil
		}
		// Stopped and held there by us is the most that can be had of it.
		stop := *c
		stop.Verb, d.stop.owed = device.Stop, device.Stop
		stopped, err := d.ask(ctx, now, &stop, 0)
		if err == nil {
			d.stop.owed, d.stop.bare = 0, statuses[stopped.Status] == device.Done
		}
		return stopped, err
	case device.Reset:
		if d.stop.bare { // there is nothing to reset
			stop := *c
			stop.Verb = device.Stop
			return d.ask(ctx, now, &stop, 0)
		}
	}
	return d.ask(ctx, now, c, hold)
}

// name is a commandId of the driver's own, which begins with the sender's.
func (d *Driver) name(of string) string {
	d.seq++
	own := fmt.Sprintf("%s-%d", d.base, d.seq)
	if of == "" {
		return own
	}
	return strings.ToValidUTF8(of[:min(len(of), maxCommandID-len(own)-1)], "") + "." + own
}

// say sends a command.
func (d *Driver) say(ctx context.Context, now time.Time, c *device.Command, hold time.Duration, name string) error {
	body, err := json.Marshal(control(d.opt.ID, name, c, hold, now))
	if err != nil {
		return fmt.Errorf("command for %s: %w", d.opt.ID, err)
	}
	topic := Topic(d.opt.ID, "control")
	d.tap(true, &Message{Topic: topic, Body: body, At: time.Now()})
	return d.link.Publish(ctx, Outgoing{Topic: topic, Body: body})
}

// ask sends a command and waits for the device's answer.
func (d *Driver) ask(ctx context.Context, now time.Time, c *device.Command, hold time.Duration) (Ack, error) {
	ctx, cancel := context.WithTimeout(ctx, d.opt.Timeout)
	defer cancel()
	q := d.in.expect(d.name(c.ID))
	defer d.in.forget(q)
	begun := time.Now()
	a, err := d.exchange(ctx, now, c, hold, q)
	if d.opt.Timed != nil {
		d.opt.Timed(time.Since(begun), err)
	}
	return a, err
}

func (d *Driver) exchange(ctx context.Context, now time.Time, c *device.Command, hold time.Duration, q *question) (Ack, error) {
	if err := d.say(ctx, now, c, hold, q.name); err != nil {
		return Ack{}, err
	}
	select {
	case a := <-q.answer:
		return a, nil
	case <-ctx.Done():
		err := fmt.Errorf("%s has not answered: %w", d.opt.ID, device.ErrOffline)
		if topic := Topic(d.opt.ID, "ack"); d.link.Refused(topic) {
			err = errors.Join(err, fmt.Errorf("the broker refuses to tell of %s", topic))
		}
		return Ack{}, err
	}
}

// explained takes the code off the reason of a refusal.
func explained(s device.AckStatus, reason string) (code, rest string) {
	known := []string{codeExpired, codeFault, codeLocal, codeReadBack, codeRejected, codeStale, codeUnsupported}
	if code, rest, ok := strings.Cut(reason, ":"); ok && slices.Contains(known, code) {
		return code, strings.TrimSpace(rest)
	}
	code = map[device.AckStatus]string{device.Rejected: codeRejected, device.Expired: codeExpired, device.Failure: codeFault}[s]
	if reason == "" {
		reason = "the device answers " + s.String() + " and does not say why"
	}
	return code, reason
}
