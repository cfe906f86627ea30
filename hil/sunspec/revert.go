package sunspec

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"yunchu/platform/device"
)

// This file is about what a device takes back by itself when it hears no more of us: that
// its timers are armed and go on running.

// kept is a setting that the device takes back unless it is written again.
type kept struct {
	value  float64
	revert float64   // s
	armed  time.Time // it was written last
	runs   bool      // its time was seen to run
	gone   time.Time // it was found to be gone last
}

// keptFor is how many times longer than a setpoint a setting of a timed function holds: a
// bound must not be lifted, nor a switch be closed, before there is no power any more.
const keptFor = 2

// distrust is for how long a device is not given power that was seen twice within that time
// not to keep its timer.
const distrust = time.Minute

func (d *Driver) settingRevert() float64 { return keptFor * seconds(d.deadMan) }

// remark notes something for people.
func (d *Driver) remark(s device.Severity, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	d.opt.Log.Warn("reversion", "found", text)
	d.remarks = append(d.remarks, device.Remark{Type: "reversion", Severity: s, Text: text})
}

// Remarks implements device.Remarking.
func (d *Driver) Remarks() []device.Remark {
	list := d.remarks
	d.remarks = nil
	return list
}

// unguarded says what a device lacks that is to take kw back after revert, "" for nothing.
// A setpoint of 0 needs no guard. runs: its time was seen to run.
func (l *layout) unguarded(kw, revert float64, runs bool) string {
	if kw == 0 {
		return ""
	}
	s := l.setter
	if v := s.revert().value(); v.OK() && !(v.Float() > 0 && v.Float() <= revert) {
		return fmt.Sprintf("told to revert after %g s, the device holds %g s", revert, v.Float())
	}
	if to := s.reverts(); !math.IsNaN(to) && !l.same(to, 0) {
		return fmt.Sprintf("told to revert to 0 kW, the device holds %g kW", to)
	}
	for _, a := range s.guards(kw) {
		if v := pointOf(s.block(), a.name); v.exists() && v.value().OK() && v.float() != a.value {
			return fmt.Sprintf("%s: told %g, the device holds %g", v.name(), a.value, v.float())
		}
	}
	if runs && !(s.left().float() > 0) {
		return "its time to revert does not run"
	}
	return ""
}

// watchTimer looks whether the setpoint in force would still be taken back. A timer that is
// gone is armed again at once; where it does not stay, there is no power.
func (d *Driver) watchTimer(now time.Time) {
	x := &d.live
	if d.opt.Recorded || !now.Before(x.lapses) || x.armed.IsZero() {
		return
	}
	why := d.layout.unguarded(x.kw, x.revert, x.runs)
	if why == "" {
		return
	}
	if !d.gone.IsZero() && now.Sub(d.gone) < distrust {
		x.until, d.distrusted = now, now.Add(distrust)
		d.remark(device.Critical, "the device does not keep its time to revert, so it is taken to 0 kW and gets no power for %v: %s", distrust, why)
		return
	}
	d.gone, x.armed = now, time.Time{}
	d.remark(device.Warning, "the setpoint would not be taken back, and is written again: %s", why)
}

// renew writes the setpoint in force again and looks at once whether the device holds it.
func (d *Driver) renew(ctx context.Context, now time.Time) error {
	x := &d.live
	revert := d.revert(now, x)
	kw, step := d.layout.holdable(x.kw), d.layout.setter.resolution()
	if err := d.perform(ctx, kw, revert); err != nil {
		return err
	}
	x.kw, x.step = kw, step
	x.armed, x.lapses, x.revert = now, now.Add(revert), revert.Seconds()
	if err := d.fetch(ctx, controlPlan); err != nil {
		return err
	}
	x.runs = d.layout.setter.left().float() > 0
	if held, _ := d.layout.setter.holds(); d.layout.rescaled(held, x) {
		d.remark(device.Warning, "its scale has changed while the setpoint was renewed: it is taken to 0 kW")
		return d.rest(ctx)
	}
	d.watch(now)
	if x.on && !x.until.IsZero() && !now.Before(x.until) { // what was found ends it
		return d.rest(ctx)
	}
	return nil
}

// rescaled reports whether a device that holds another power than x still has the number that
// it was told, and only what it counts in is another: that is no second master.
func (l *layout) rescaled(held float64, x *live) bool {
	step := l.setter.resolution()
	return step != x.step && !l.same(held, x.kw) && math.Abs(held/step-x.kw/x.step) < 0.5
}

// keeps notes a setting that was written, so that it is renewed where the device takes it
// back by itself.
func (d *Driver) keeps(name string, x *setting, value float64) {
	if x.timer.block == nil {
		return
	}
	delete(d.kept, name)
	if x.reverts(value) && x.timer.value().OK() {
		if d.kept == nil {
			d.kept = map[string]*kept{}
		}
		d.kept[name] = &kept{value: value, revert: d.settingRevert(), armed: d.now, runs: x.left.float() > 0}
	}
}

// lacks says what of a setting is not as it was written, "" for nothing.
func (k *kept) lacks(x *setting) string {
	if !x.holds(k.value) {
		return fmt.Sprintf("told %g, the device holds %g", k.value, x.value())
	}
	if why := x.unarmed(k.revert); why != "" {
		return why
	}
	if !x.timer.value().OK() {
		return "its time to revert is gone"
	}
	if k.runs && !(x.left.float() > 0) {
		return "its time to revert does not run"
	}
	return ""
}

// keep looks after the settings that revert: it renews them with the setpoint, and writes
// once again what is gone. One that does not stay is left, and people are told.
func (d *Driver) keep(ctx context.Context, now time.Time) error {
	if d.layout.local() {
		clear(d.kept)
	}
	for _, name := range slices.Sorted(maps.Keys(d.kept)) {
		k := d.kept[name]
		x, err := d.setting(name)
		if err != nil { // the device that came back has none of it
			delete(d.kept, name)
			d.remark(device.Warning, "setting %s = %g is not kept any more: %v", name, k.value, err)
			continue
		}
		if err := d.refresh(ctx, x.points...); err != nil {
			return err
		}
		if !x.reverts(k.value) { // it asks for nothing any more, as another setting has it
			delete(d.kept, name)
			continue
		}
		lapsed := now.Sub(k.armed).Seconds() >= k.revert // we were away for longer
		switch why := k.lacks(x); {
		case why == "" && now.Sub(k.armed) < d.deadMan/3:
			continue
		case why == "":
		case lapsed:
			d.remark(device.Warning, "setting %s = %g was taken back by the device, and is written again: %s", name, k.value, why)
		case !k.gone.IsZero() && now.Sub(k.gone) < distrust:
			delete(d.kept, name)
			d.remark(device.Critical, "setting %s = %g does not stay, and is left: %s", name, k.value, why)
			continue
		default:
			k.gone = now
			d.remark(device.Warning, "setting %s = %g is written again: %s", name, k.value, why)
		}
		if err := d.rewrite(ctx, now, name, x, k); err != nil {
			return err
		}
	}
	return nil
}

func (d *Driver) rewrite(ctx context.Context, now time.Time, name string, x *setting, k *kept) error {
	steps, err := x.steps(k.value)
	if err != nil {
		return fmt.Errorf("setting %s: %w", name, err)
	}
	for _, s := range steps {
		if err := d.write(ctx, s.block, s.at, s.regs); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
	}
	if err := d.refresh(ctx, x.points...); err != nil {
		return err
	}
	k.armed, k.revert, k.runs = now, d.settingRevert(), x.left.float() > 0
	if why := k.lacks(x); why != "" {
		return fmt.Errorf("setting %s, renewed: %w: %s", name, device.ErrReadBack, why)
	}
	return nil
}
