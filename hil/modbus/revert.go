package modbus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"yunchu/platform/device"
)

// This file is about the time to revert of a setpoint in force: that the device still holds
// it, so that a power never outlives its controller.

// timer is what was seen of it.
type timer struct {
	looked     time.Time // at it last
	busy       int       // so many looks in a row the device was too busy to tell
	gone       time.Time // it was found to be gone last
	distrusted time.Time // until then the device gets no power
	remarks    []device.Remark
}

// A timer is looked at every lookEvery while there is power. A device that is found twice
// within distrust not to keep it gets no power for as long.
const (
	lookEvery = time.Second
	distrust  = time.Minute
)

// looks is how often a device is asked for its timer that is too busy to tell, before that is a
// no: with one setpoint, and with so many readings in a row.
const looks = 3

// transient reports whether an exception passes by itself.
func transient(err error) bool {
	e, ok := errors.AsType[Exception](err)
	return ok && e.Transient()
}

// remarksBound is how many remarks wait for somebody to read them.
const remarksBound = 16

var _ device.Remarking = (*Driver)(nil)

// Remarks implements device.Remarking.
func (d *Driver) Remarks() []device.Remark {
	list := d.timer.remarks
	d.timer.remarks = nil
	return list
}

func (d *Driver) remark(s device.Severity, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	d.log.Warn("reversion", "found", text)
	if len(d.timer.remarks) < remarksBound {
		d.timer.remarks = append(d.timer.remarks, device.Remark{Type: "reversion", Severity: s, Text: text})
	}
}

// watchRevert looks whether the setpoint in force would still be taken back. A time that is
// gone, longer, or that the device refuses to tell, unless it is only busy for the moment, is
// written again at once, with the setpoint; where it does not stay, there is no power. A setpoint that may have lapsed by
// now proves nothing, and a recording neither.
func (d *Driver) watchRevert(ctx context.Context, now time.Time) error {
	s, t := &d.live, &d.timer
	if !s.on || d.mute || now.Sub(t.looked) < lookEvery || now.Sub(s.renewed) >= s.revert {
		return nil
	}
	t.looked = now
	err := d.holdsRevert(ctx, s)
	if transient(err) {
		if t.busy++; t.busy < looks {
			t.looked = time.Time{} // the next reading looks again
			return nil
		}
	}
	t.busy = 0
	r, answered := errors.AsType[*refusal](err)
	if !answered {
		return err
	}
	if !t.gone.IsZero() && now.Sub(t.gone) < distrust {
		s.on, d.owed, t.distrusted = false, true, now.Add(distrust)
		d.remark(device.Critical, "the device does not keep its time to revert, so it is taken to 0 kW and gets no power for %v: %s", distrust, r.reason)
		return d.takeBack(ctx)
	}
	t.gone, t.looked = now, time.Time{} // the next reading looks again
	d.remark(device.Warning, "the setpoint would not be taken back, and is written again: %s", r.reason)
	return d.renew(ctx, now)
}

// trusted refuses power to a device that has not kept its time to revert.
func (d *Driver) trusted(now time.Time, kw float64) error {
	if kw != 0 && now.Before(d.timer.distrusted) {
		return rejected(codeRejected, "the device has not kept its time to revert, so that power would outlive its controller")
	}
	return nil
}
