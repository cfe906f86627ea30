package sunspec

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"yunchu/platform/device"
)

// limit are the points of a bound on active power.
type limit struct {
	block                        *Block
	percent, on, revertTms, left string // left: empty where the model has none
}

func newLimit(d *Device) (limit, bool) {
	for _, l := range []limit{
		{d.Block(704), "WMaxLimPct", "WMaxLimPctEna", "WMaxLimPctRvrtTms", "WMaxLimPctRvrtRem"},
		{d.Block(123), "WMaxLimPct", "WMaxLim_Ena", "WMaxLimPct_RvrtTms", ""},
	} {
		if l.block.Value(l.percent).OK() && l.block.Value(l.on).OK() {
			return l, true
		}
	}
	return limit{}, false
}

// value is the bound in force; 100 is none.
func (l limit) value() float64 {
	if !l.block.Value(l.on).Is(enabled) {
		return 100
	}
	return l.block.Float(l.percent)
}

// ramps are the points that say how fast power moves: of those that are implemented, or
// else of those that exist, the one with the finest step.
func ramps(d *Device) (points []point) {
	for _, names := range [][]string{{"704.WRmp"}, {"121.WGra"}, {"124.WChaGra", "124.WDisChaGra"}} {
		group := []point(nil)
		for _, name := range names {
			if b, f, ok := d.Find(name); ok && f.At+f.Size <= len(b.Regs) && !math.IsNaN(b.Step(f)) {
				group = append(group, point{b, f})
			}
		}
		if len(group) < len(names) {
			continue
		}
		if points == nil {
			points = group
			continue
		}
		step, least := group[0].block.Step(group[0].field), points[0].block.Step(points[0].field)
		switch is, was := group[0].value().OK(), points[0].value().OK(); {
		case is && !was, is == was && step < least:
			points = group
		}
	}
	return points
}

// shown are measurements that a reading has no room for.
var shown = []string{"701.Hz", "103.Hz", "701.LLV", "701.Var", "103.VAr", "701.PF"}

// commanded reports whether a point acts, so that only commands may move it, which pass
// the guard, expire and are renewed.
func commanded(b *Block, f Field) bool {
	name := f.Point.Name
	switch b.ID {
	case 1: // DA, the address of the device itself
		return true
	case 123: // the settings power-limit and connect write these, with their times to revert
		return strings.HasPrefix(name, "Conn") || strings.HasPrefix(name, "WMaxLim") || strings.HasSuffix(name, "_RvrtTms")
	case 704: // and what is reverted to is not for others
		return strings.HasPrefix(name, "WSet") || strings.HasPrefix(name, "WMaxLim") || strings.Contains(name, "Rvrt")
	case 124:
		return name == "StorCtl_Mod" || name == "ChaGriSet" || name == "WChaMax" || strings.Contains(name, "WRte")
	case 804: // the switches of a string
		return true
	case 715, 802, 803:
		return !strings.HasPrefix(name, "SoCRsv") && !strings.HasPrefix(name, "SocRsv")
	}
	return false
}

// settable finds a point by model.point.
func (d *Driver) settable(name string) (point, error) {
	b, f, ok := d.layout.device.Find(name)
	if !ok || !(point{b, f}).exists() || !f.Type.Numeric() {
		return point{}, fmt.Errorf("setting %s: %w", name, device.ErrUnsupported)
	}
	return point{b, f}, nil
}

// refresh reads the blocks of points again.
func (d *Driver) refresh(ctx context.Context, points ...point) error {
	err := d.fetch(ctx, func(l *layout) []request { return l.requests(points) })
	if refused(err) {
		return fmt.Errorf("%w: %w", device.ErrRejected, err)
	}
	return d.lost(err)
}

// Settings implements device.Adjustable: the settings that mean the same on every
// device, then all points by model.point that can be written, and some measurements.
func (d *Driver) Settings(ctx context.Context) ([]device.Setting, error) {
	if err := d.connect(ctx); err != nil {
		return nil, offline(d.lost(err))
	}
	var writable []point
	for _, b := range d.layout.device.Blocks {
		for f := range b.Fields() {
			if p := (point{b, f}); f.RW && p.exists() && f.Type.Numeric() {
				writable = append(writable, p)
			}
		}
	}
	for _, name := range shown {
		writable = appendOK(writable, only(d.layout.device, name))
	}
	if err := d.refresh(ctx, writable...); err != nil {
		return nil, err
	}
	list := d.common()
	for _, p := range writable {
		if p.value().OK() {
			list = append(list, device.Setting{
				Name: p.name(), Unit: p.field.Unit, Step: p.block.Step(p.field), ReadOnly: !p.field.RW || commanded(p.block, p.field) || untimed(p),
			})
		}
	}
	return list, nil
}

// common are the settings that mean the same on every device, as far as this one has
// implemented them.
func (d *Driver) common() (list []device.Setting) {
	found := d.layout.device
	if p := ramps(found); p != nil && p[0].value().OK() {
		list = append(list, device.Setting{Name: device.SettingRamp, Unit: "%/s", Step: p[0].block.Step(p[0].field)})
	}
	if l, ok := newLimit(found); ok {
		list = append(list, device.Setting{Name: device.SettingPowerLimit, Unit: "%", Max: 100, Step: l.block.stepOf(l.percent)})
	}
	if s := d.layout.setter; s != nil && s.revert().value().OK() {
		list = append(list, device.Setting{Name: device.SettingRevert, Unit: "s", Min: 1, Max: d.longestRevert(), Step: 1})
	}
	if d.layout.connect.exists() {
		list = append(list, device.Setting{Name: device.SettingConnect, Max: 1, Step: 1})
	}
	if p := reserve(found); p.value().OK() {
		list = append(list, device.Setting{Name: device.SettingReserve, Unit: "%", Max: 100, Step: p.block.Step(p.field)})
	}
	if p := shownVar(found); p.value().OK() {
		list = append(list, device.Setting{Name: device.SettingReactive, Unit: "kvar", Step: p.block.Step(p.field) / 1000, ReadOnly: true})
	}
	return list
}

// longestRevert is in s the dead-man time that is configured: a setting only shortens it.
func (d *Driver) longestRevert() float64 { return seconds(d.opt.DeadMan) }

// shownVar is the reactive power that flows, var, above zero generated.
func shownVar(d *Device) point { return choose(d, "701.Var", "103.VAr") }

func reserve(d *Device) point { return choose(d, "124.MinRsvPct", "802.SoCRsvMin") }

// Setting implements device.Adjustable. Besides what Settings lists it reads any point
// by model.point.
func (d *Driver) Setting(ctx context.Context, name string) (float64, error) {
	if err := d.connect(ctx); err != nil {
		return math.NaN(), offline(d.lost(err))
	}
	x, err := d.setting(name)
	if err != nil {
		return math.NaN(), err
	}
	if err := d.refresh(ctx, x.points...); err != nil {
		return math.NaN(), err
	}
	v := x.value()
	if math.IsNaN(v) {
		return v, fmt.Errorf("setting %s: %w", name, device.ErrUnsupported)
	}
	return v, nil
}

// setting is how one setting is read and written.
type setting struct {
	points []point // that take part
	value  func() float64
	steps  func(v float64) ([]step, error)
	step   func() float64
	least  float64
	most   float64
	locked bool // only commands write it
	hidden bool // may be written while it is not implemented
	after  func(v float64)

	// Of one that the device takes back by itself: the points of the time to revert, and of
	// what is left of it where the model has one, and whether a value is taken back.
	timer, left point
	reverts     func(v float64) bool
	back        []assignment // what must be so for it to be taken back, of points of the same block
	timed       bool         // a value that is not taken back is not written
}

func (d *Driver) setting(name string) (*setting, error) {
	found := d.layout.device
	none := fmt.Errorf("setting %s: %w", name, device.ErrUnsupported)
	switch name {
	case device.SettingRamp:
		p := ramps(found)
		if p == nil {
			return nil, none
		}
		x := plain(p...)
		x.least, x.hidden = math.SmallestNonzeroFloat64, true
		return x, nil
	case device.SettingPowerLimit:
		l, ok := newLimit(found)
		if !ok {
			return nil, none
		}
		return &setting{
			points: l.block.points(l.percent, l.on, l.revertTms, l.left), most: 100, value: l.value,
			timer: pointOf(l.block, l.revertTms), left: pointOf(l.block, l.left), reverts: func(v float64) bool { return v < 100 },
			step: func() float64 { return l.block.stepOf(l.percent) },
			steps: func(v float64) ([]step, error) {
				on, revert := 0.0, 0.0
				if v < 100 {
					on, revert = enabled, d.settingRevert()
				}
				return l.block.sequence(
					[]assignment{{l.revertTms, revert, wanted}}, []assignment{{l.percent, v, must}}, []assignment{{l.on, on, must}})
			},
		}, nil
	case device.SettingRevert:
		if d.layout.setter == nil || !d.layout.setter.revert().exists() {
			return nil, none
		}
		x := plain(d.layout.setter.revert())
		x.least, x.most = 1, d.longestRevert()
		x.after = func(v float64) {
			d.deadMan = min(time.Duration(v)*time.Second, d.opt.DeadMan)
			d.live.revert = max(d.live.revert, v) // the setpoint in force has this time too by now
		}
		return x, nil
	case device.SettingConnect:
		if !d.layout.connect.exists() {
			return nil, none
		}
		b := d.layout.connect.block
		x := plain(d.layout.connect)
		x.most = 1
		x.points = b.points("Conn", "Conn_WinTms", "Conn_RvrtTms")
		x.timer, x.reverts = pointOf(b, "Conn_RvrtTms"), func(v float64) bool { return v == gridDisconnect }
		x.steps = func(v float64) ([]step, error) {
			revert := 0.0
			if x.reverts(v) { // the device closes it again when nobody says any more that it stays open
				revert = d.settingRevert()
			}
			return b.sequence([]assignment{{"Conn_WinTms", 0, wanted}, {"Conn_RvrtTms", revert, wanted}}, []assignment{{"Conn", v, must}})
		}
		return x, nil
	case device.SettingReserve:
		p := reserve(found)
		if !p.exists() {
			return nil, none
		}
		x := plain(p)
		x.most, x.hidden = 100, true
		return x, nil
	case device.SettingReactive:
		p := shownVar(found)
		if !p.exists() {
			return nil, none
		}
		x := plain(p)
		x.value, x.locked = func() float64 { return 0 - p.float()/1000 }, true
		return x, nil
	}
	p, err := d.settable(name)
	if err != nil {
		return nil, err
	}
	x := plain(p)
	x.least, x.locked = math.Inf(-1), !p.field.RW || commanded(p.block, p.field)
	d.reverting(x, p)
	return x, nil
}

// holds reports whether the device holds v, as it was read last: rounded to the step of its
// register, and the two values of a switch are a whole step apart.
func (x *setting) holds(v float64) bool { return math.Abs(x.value()-v) <= 0.5*x.step()*(1+1e-6) }

// plain is a setting of one value in points that are all written alike.
func plain(p ...point) *setting {
	return &setting{
		points: p, most: math.Inf(1),
		value: p[0].float,
		step:  func() float64 { return p[0].block.Step(p[0].field) },
		steps: func(v float64) (out []step, err error) {
			for _, p := range p {
				regs, err := p.block.Encode(p.field, v)
				if err != nil {
					return nil, err
				}
				out = append(out, step{block: p.block, at: p.field.At, regs: regs})
			}
			return out, nil
		},
	}
}

// Adjust implements device.Adjustable.
func (d *Driver) Adjust(ctx context.Context, name string, value float64) (float64, error) {
	fail := func(err error) (float64, error) {
		return math.NaN(), fmt.Errorf("setting %s to %g: %w", name, value, err)
	}
	if err := d.connect(ctx); err != nil {
		return fail(offline(d.lost(err)))
	}
	x, err := d.setting(name)
	if err != nil {
		return math.NaN(), err
	}
	if !(value >= x.least && value <= x.most) {
		return fail(fmt.Errorf("%w: takes %g to %g", device.ErrRejected, x.least, x.most))
	}
	points := slices.Concat(x.points, appendOK(appendOK(nil, d.layout.localPCS), d.layout.localBMS))
	if err := d.refresh(ctx, points...); err != nil {
		return fail(err)
	}
	there := x.points[0].value().OK()
	switch {
	case x.locked:
		return fail(fmt.Errorf("%w: only commands move it, and settings by name that see to its time to revert", device.ErrUnsupported))
	case !there && !x.hidden:
		return fail(device.ErrUnsupported)
	case x.timed && x.reverts(value) && !x.timer.value().OK():
		return fail(fmt.Errorf("%w: it would act, and the device has no time to revert for it", device.ErrUnsupported))
	case d.layout.local():
		return fail(fmt.Errorf("%w: local control", device.ErrRejected))
	case d.stopped && name == device.SettingConnect && value != 0: // also where a trial is undone
		return fail(fmt.Errorf("%w: an emergency stop holds it open until it is reset", device.ErrRejected))
	}
	steps, err := x.steps(value)
	if err != nil {
		return fail(fmt.Errorf("%w: %w", device.ErrRejected, err))
	}
	for _, s := range steps {
		if err := d.lost(d.write(ctx, s.block, s.at, s.regs)); refused(err) && !there {
			return fail(fmt.Errorf("%w: %w", device.ErrUnsupported, err))
		} else if refused(err) {
			return fail(fmt.Errorf("%w: %w", device.ErrRejected, err))
		} else if err != nil {
			return fail(offline(err))
		}
	}
	if err := d.refresh(ctx, x.points...); err != nil {
		return fail(err)
	}
	held := x.value()
	if !x.holds(value) {
		return held, fmt.Errorf("setting %s: %w: told %g, the device holds %g", name, device.ErrReadBack, value, held)
	}
	if x.timer.block != nil && x.reverts(value) && x.timer.value().OK() {
		if why := x.unarmed(d.settingRevert()); why != "" {
			return held, fmt.Errorf("setting %s: %w: %s", name, device.ErrReadBack, why)
		}
	}
	d.keeps(name, x, value)
	if x.after != nil {
		x.after(held)
	}
	return held, nil
}
