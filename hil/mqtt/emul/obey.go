package emul

import (
	"errors"
	"fmt"
	"time"

	"yunchu/hil/mqtt"
	"yunchu/hil/unit"
	"yunchu/platform/device"
)

// How old a command may be, and how far ahead of our clock, as for every device.
const (
	maxAge   = 60 * time.Second
	maxAhead = 5 * time.Second
)

// control obeys one command and answers it.
func (d *Device) control(now time.Time, m *mqtt.Message) {
	v := d.opt.Unit.View(now)
	if m.Retained {
		d.send("event", d.event("retained-command", "warning", "a retained command was refused: it is of the past"), v.Wire.Late)
		return
	}
	c, err := mqtt.ParseControl(d.id, m.Body)
	if err != nil {
		d.send("event", d.event("malformed-command", "warning", err.Error()), v.Wire.Late)
		return
	}
	a, known := d.done.find(c.CommandID)
	if !known {
		a = d.obey(now, &c)
		d.done.add(a)
	}
	d.send("ack", a, v.Wire.Late)
}

// refusal is why a command is not carried out: a code, and a reason for people.
type refusal struct {
	status       device.AckStatus
	code, reason string
}

func (r *refusal) Error() string { return r.code + ": " + r.reason }

func refuse(code, format string, args ...any) error {
	return &refusal{device.Rejected, code, fmt.Sprintf(format, args...)}
}

func (d *Device) obey(now time.Time, c *mqtt.Control) mqtt.Ack {
	a := mqtt.Ack{DeviceID: d.id, CommandID: c.CommandID, Status: device.Done.String(), Timestamp: now.UnixMilli()}
	if err := d.do(now, c); err != nil {
		a.Status, a.Reason = device.Rejected.String(), err.Error()
		if r, ok := errors.AsType[*refusal](err); ok {
			a.Status = r.status.String()
		}
	}
	return a
}

// stale refuses what was said too long ago, or is over by now: a command may have lain
// somewhere on its way.
func stale(now time.Time, c *mqtt.Control) error {
	if c.Timestamp == 0 {
		return nil
	}
	age := now.Sub(device.Time(c.Timestamp))
	switch s := c.Parameters.Duration; {
	case age > maxAge:
		return &refusal{device.Expired, "STALE_COMMAND", fmt.Sprintf("issued %.0f s ago", age.Seconds())}
	case age < -maxAhead:
		return refuse("STALE_COMMAND", "issued %.0f s in the future", -age.Seconds())
	case s != nil && age.Seconds() >= *s:
		return &refusal{device.Expired, "EXPIRED", fmt.Sprintf("issued %.1f s ago for %g s", age.Seconds(), *s)}
	}
	return nil
}

const (
	defaultHold = time.Minute // of a setpoint without a duration
	longestHold = 7 * 24 * time.Hour
)

func (d *Device) do(now time.Time, c *mqtt.Control) error {
	if err := stale(now, c); err != nil {
		return err
	}
	verb, ok := device.ParseVerb(c.Command)
	if !ok {
		return refuse("UNSUPPORTED", "there is no command %.40q", c.Command)
	}
	var err error
	u := d.opt.Unit
	switch verb {
	case device.SetPower:
		err = d.setPower(now, &c.Parameters)
	case device.Stop, device.Release:
		err = u.Do(now, unit.Clear())
	case device.SetMode:
		err = d.setMode(now, c.Parameters.Mode)
	case device.EStop:
		u.EStop(now)
	case device.Reset:
		err = u.Do(now, unit.Acknowledge(), unit.Operate(unit.OpStart))
	default:
		err = refuse("UNSUPPORTED", "%v is not for devices", verb)
	}
	switch {
	case errors.Is(err, unit.ErrLocal):
		return refuse("LOCAL", "%v", err)
	case errors.Is(err, unit.ErrRange), errors.Is(err, unit.ErrUnable):
		return refuse("REJECTED", "%v", err)
	}
	return err
}

func (d *Device) setPower(now time.Time, p *mqtt.Parameters) error {
	hold := defaultHold
	switch {
	case p.Power == nil:
		return refuse("REJECTED", "power is missing")
	case p.Duration != nil && !(*p.Duration > 0 && *p.Duration <= longestHold.Seconds()):
		return refuse("REJECTED", "a duration of %g s", *p.Duration)
	case p.Duration != nil:
		hold = time.Duration(*p.Duration * float64(time.Second))
	}
	if v := d.opt.Unit.View(now); !v.Local && (v.Fault || !v.Running) {
		return refuse("DEVICE_FAULT", "the unit does not run: fault %v, emergency stop %v, standby %v", v.Fault, v.EStop, v.Standby)
	}
	return d.opt.Unit.Do(now, unit.SetPower(by, *p.Power*1000, hold))
}

func (d *Device) setMode(now time.Time, word string) error {
	m, ok := device.ParseMode(word)
	if !ok {
		return refuse("REJECTED", "there is no mode %.40q", word)
	}
	op := unit.OpStandby
	if m == device.Run {
		op = unit.OpLeaveStandby
	}
	if err := d.opt.Unit.Do(now, unit.Operate(op)); err != nil {
		return err
	}
	d.mode = m
	return nil
}

// outcomes are the answers that were given, so that a command takes effect once. The
// oldest give way.
type outcomes struct {
	by    map[string]mqtt.Ack
	order []string
}

const remembered = 4096

func (o *outcomes) find(id string) (mqtt.Ack, bool) {
	a, ok := o.by[id]
	return a, ok
}

func (o *outcomes) add(a mqtt.Ack) {
	if len(o.order) >= remembered {
		delete(o.by, o.order[0])
		o.order = o.order[1:]
	}
	o.by[a.CommandID] = a
	o.order = append(o.order, a.CommandID)
}
