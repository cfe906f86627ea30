package modbus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"yunchu/platform/device"
)

// settingNames are the points that are settings by the names of platform/device.
var settingNames = map[string]string{
	"ramp": device.SettingRamp, "power_limit": device.SettingPowerLimit, "revert_s": device.SettingRevert,
	"connect": device.SettingConnect, "reserve": device.SettingReserve,
}

// shown are the points that no reading has room for; they are settings to be read.
var shown = map[string]bool{"reactive": true, "frequency": true, "grid_voltage": true, "cell_v_max": true, "cell_v_min": true}

// settingName is a point's name as a setting.
func (x *point) settingName() (name string, ok bool) {
	if name, ok := settingNames[x.name]; ok {
		return name, x.reads
	}
	return x.name, (x.own || shown[x.name]) && x.reads
}

// Settings implements device.Adjustable.
func (d *Driver) Settings(context.Context) (list []device.Setting, err error) {
	for _, x := range d.profile.points {
		name, ok := x.settingName()
		if !ok {
			continue
		}
		s := device.Setting{Name: name, Unit: x.unit, Step: x.step(), ReadOnly: !x.writes}
		if x.form == condition {
			s.Max, s.Step = 1, 1
		}
		if r := x.limits; r != nil {
			s.Min, s.Max, s.Step = r.Min, r.Max, max(s.Step, r.Step)
		}
		if x.name == "revert_s" {
			s.Min, s.Max = max(s.Min, s.Step), inSteps(x, d.configured).Seconds()
		}
		list = append(list, s)
	}
	return list, nil
}

func (d *Driver) setting(name string) (*point, error) {
	for _, x := range d.profile.points {
		if n, ok := x.settingName(); ok && n == name {
			return x, nil
		}
	}
	return nil, fmt.Errorf("setting %s: %w", name, device.ErrUnsupported)
}

// Setting implements device.Adjustable.
func (d *Driver) Setting(ctx context.Context, name string) (float64, error) {
	x, err := d.setting(name)
	if err != nil {
		return 0, err
	}
	regs, v, err := d.fetch(ctx, x)
	switch {
	case err != nil:
		return 0, fmt.Errorf("setting %s: %w", name, plain(err))
	case x.form == condition && x.holds(regs):
		return 1, nil
	case x.form == condition:
		return 0, nil
	case math.IsNaN(v):
		return 0, fmt.Errorf("setting %s is not implemented: %w", name, device.ErrUnsupported)
	}
	return v, nil
}

// plain turns a refusal into the error that callers know.
func plain(err error) error {
	if r, ok := errors.AsType[*refusal](err); ok {
		return fmt.Errorf("%w: %s", device.ErrRejected, r.reason)
	}
	return err
}

// Adjust implements device.Adjustable. A time to revert is also the dead-man time of
// the setpoints that follow, and no longer than the one that was configured.
func (d *Driver) Adjust(ctx context.Context, name string, value float64) (float64, error) {
	x, err := d.setting(name)
	if err != nil {
		return 0, err
	}
	if !x.writes {
		return 0, fmt.Errorf("setting %s is only read: %w", name, device.ErrRejected)
	}
	if d.stopped && (x.name == "connect" || x.name == "operate") && value != 0 { // also where a trial is undone
		return 0, fmt.Errorf("setting %s to %g: %w: an emergency stop holds it until it is reset", name, value, device.ErrRejected)
	}
	if longest := inSteps(x, d.configured).Seconds(); x.name == "revert_s" && !(value > 0 && value <= longest) {
		return 0, fmt.Errorf("setting %s to %g: %w: above 0 and at most %g s, the dead-man time that is configured", name, value, device.ErrRejected, longest)
	}
	if err := d.adjust(ctx, x, value); err != nil {
		return 0, fmt.Errorf("setting %s: %w", name, plain(err))
	}
	got, err := d.Setting(ctx, name)
	if err != nil {
		return 0, err
	}
	tolerance := max(x.step(), 1e-6*math.Abs(value))
	if x.form == condition {
		tolerance = 0
	}
	if !(math.Abs(got-value) <= tolerance) {
		return got, fmt.Errorf("setting %s was set to %g and reads %g: %w", name, value, got, device.ErrReadBack)
	}
	if x.name == "revert_s" && got > 0 {
		d.deadMan = min(time.Duration(got*float64(time.Second)), d.configured)
	}
	return got, nil
}

func (d *Driver) adjust(ctx context.Context, x *point, value float64) error {
	if err := d.mayWrite(ctx); err != nil {
		return err
	}
	if x.form == condition {
		w := inactive
		if value != 0 {
			w = active
		}
		return d.writeWord(ctx, x, w)
	}
	if err := x.inRange(value); err != nil {
		return rejected(codeRejected, "%v", err)
	}
	return d.write(ctx, x, value)
}

// nameplate are the points of what a device says of itself.
var nameplate = []string{"rated_kw", "rated_kwh", "maker", "model", "serial", "firmware"}

// Describe implements device.Described.
func (d *Driver) Describe(ctx context.Context, now time.Time) (device.Info, error) {
	d.tell(now)
	m := newImage(d.profile, d.profile.readable(nameplate))
	if err := m.read(ctx, d.conn); err != nil {
		return device.Info{}, fmt.Errorf("nameplate: %w", err)
	}
	rating := func(name string) float64 {
		if v := m.number(d.point(name)); v > 0 {
			return v
		}
		return 0
	}
	words := func(name string) string {
		x := d.point(name)
		if !m.has(x) {
			return ""
		}
		return x.text(m.registers(x))
	}
	var step float64
	if x := d.point("voltage"); x != nil && x.exponent == nil { // else it may move
		step = x.step()
	}
	return device.Info{
		VoltStep: step, Manufacturer: words("maker"), Model: words("model"), Serial: words("serial"), Firmware: words("firmware"),
		RatedKW: rating("rated_kw"), CapacityKWh: rating("rated_kwh"),
	}, nil
}
