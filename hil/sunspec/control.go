package sunspec

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"yunchu/hil/modbus"
	"yunchu/platform/device"
)

// Values of 715.OpCtl, 802.SetOp, 802.SetInvState and 123.Conn.
const (
	opStop         = 0
	opStart        = 1
	opEnterStandby = 2
	opExitStandby  = 3

	bankConnect    = 1
	bankDisconnect = 2

	setStandby = 2
	setStarted = 3

	gridDisconnect = 0
	gridConnect    = 1
)

// live is the setpoint that the device has of us.
type live struct {
	on     bool
	kw     float64   // NaN: 0 is owed, and it may hold that or what it was told before
	step   float64   // kW, what one of its register was when it was written
	until  time.Time // zero: for ever
	armed  time.Time // it was written last
	lapses time.Time // the device takes it back by itself, unless it is written again
	revert float64   // s, that it was told
	runs   bool      // its time to revert was seen to run
}

// refusal is a command that the device, or the driver for it, does not take.
type refusal struct{ code, reason string }

func (r *refusal) Error() string { return r.reason }

// Write implements device.Driver.
func (d *Driver) Write(ctx context.Context, now time.Time, c device.Command) (device.Ack, error) {
	began := time.Now()
	d.now = now
	d.told++
	modbus.Insist(d.opt.Conn)
	kw, err := d.obey(ctx, now, &c)
	at := now.Add(time.Since(began)).UnixMilli()
	if err == nil {
		a := c.Answer(device.Done, at, "", "")
		a.Power = kw
		return a, nil
	}
	err = d.lost(err)
	status, code := outcome(err)
	if status == 0 {
		return device.Ack{}, offline(err)
	}
	return c.Answer(status, at, code, err.Error()), nil
}

// outcome is the answer to a command that has ended with an error; 0: nobody knows
// whether the device took it.
func outcome(err error) (device.AckStatus, string) {
	no, refused := errors.AsType[*refusal](err)
	exception, answered := errors.AsType[modbus.Exception](err)
	switch {
	case refused && no.code == codeExpired:
		return device.Expired, no.code
	case refused:
		return device.Rejected, no.code
	case errors.Is(err, device.ErrReadBack):
		return device.Failure, "READ_BACK"
	case errors.Is(err, device.ErrUnsupported):
		return device.Rejected, "UNSUPPORTED"
	case errors.Is(err, device.ErrOffline):
		return 0, ""
	case answered && (exception == modbus.DeviceFailure || exception == modbus.DeviceBusy):
		return device.Rejected, codeFault
	case answered, errors.Is(err, ErrRange):
		return device.Rejected, codeRejected
	}
	return 0, ""
}

const (
	codeExpired  = "EXPIRED"
	codeRejected = "REJECTED"
	codeFault    = "DEVICE_FAULT"
)

// obey does what a command asks for and returns the power that the device holds then.
func (d *Driver) obey(ctx context.Context, now time.Time, c *device.Command) (kw float64, err error) {
	if err := d.acceptable(now, c); err != nil {
		return 0, err
	}
	if c.Verb == device.EStop { // whatever comes: nothing of ours goes on
		d.live, d.stopped, d.stopping = live{}, true, true
	}
	if c.Verb != device.SetPower && d.live.on { // it is not renewed, whether the device can be reached or not
		d.live.until = now
	}
	if err := d.connect(ctx); err != nil {
		return 0, err
	}
	err = d.fetch(ctx, controlPlan)
	if c.Verb == device.EStop { // one answer that does not come, or a refusal to be read, does not keep it back
		if errors.Is(err, device.ErrOffline) && ctx.Err() == nil {
			modbus.Insist(d.opt.Conn)
			err = d.fetch(ctx, controlPlan)
		}
		if refused(err) {
			err = nil
		}
	}
	if err != nil {
		return 0, err
	}
	if d.layout.local() {
		d.live = live{}
		return 0, &refusal{"LOCAL", "the device is in local control"}
	}
	if c.Verb == device.SetPower { // it may be somebody else's that would be overwritten
		if d.watch(now); d.master.Equal(now) {
			return 0, &refusal{codeRejected, "somebody else commands the device"}
		}
	}
	switch c.Verb {
	case device.SetPower:
		return d.setPower(ctx, now, c)
	case device.EStop:
		return 0, d.stop(ctx)
	case device.Reset:
		return 0, d.reset(ctx)
	case device.SetMode:
		return 0, d.setMode(ctx, c.Mode)
	default: // Stop, Release
		if d.layout.setter == nil {
			return 0, fmt.Errorf("a setpoint: %w", device.ErrUnsupported)
		}
		return 0, d.rest(ctx)
	}
}

// acceptable is what can be said of a command without asking the device.
func (d *Driver) acceptable(now time.Time, c *device.Command) error {
	switch c.Verb {
	case device.SetPower:
		switch {
		case !device.Finite(c.Power):
			return &refusal{codeRejected, fmt.Sprintf("%v kW is not a power", c.Power)}
		case c.Until != 0 && c.Until <= now.UnixMilli():
			return &refusal{codeExpired, "the setpoint had expired when it came"}
		case d.stopped:
			return &refusal{codeFault, "an emergency stop has not been reset"}
		case d.mode != device.Run:
			return &refusal{codeRejected, fmt.Sprintf("the device takes no setpoint in mode %v", d.mode)}
		}
	case device.SetMode:
		if c.Mode > device.MaintenanceMode {
			return fmt.Errorf("mode %v: %w", c.Mode, device.ErrUnsupported)
		}
	case device.Stop, device.Release, device.EStop, device.Reset:
	default:
		return fmt.Errorf("%v: %w", c.Verb, device.ErrUnsupported)
	}
	return nil
}

func (d *Driver) setPower(ctx context.Context, now time.Time, c *device.Command) (float64, error) {
	switch {
	case d.layout.setter == nil:
		return 0, fmt.Errorf("a setpoint: %w", device.ErrUnsupported)
	case d.layout.fault():
		return 0, &refusal{codeFault, "the device reports a fault"}
	}
	next := live{on: true, kw: c.Power}
	if c.Until != 0 {
		next.until = device.Time(c.Until)
	}
	if d.layout.holdable(next.kw) != 0 {
		if now.Before(d.distrusted) {
			return 0, &refusal{codeRejected, "the device has not kept its time to revert, so that power would outlive its controller"}
		}
		if err := d.armed(ctx, now); err != nil {
			return 0, err
		}
	}
	held, taken, err := d.set(ctx, now, &next)
	if err != nil {
		if taken { // what the device holds now is not known, or not what it was told: 0 is owed
			d.live = live{on: true}
			err = errors.Join(err, d.rest(ctx))
		}
		return 0, err
	}
	d.live, d.master = next, time.Time{}
	d.beat.begin(now)
	if err := d.lost(d.pound(ctx, now)); err != nil { // the setpoint stands all the same
		d.opt.Log.Warn("heartbeat", "error", err)
	}
	return held, nil
}

// armed makes sure that the device stops by itself when it hears no more of us: after its
// time to revert, or for want of a heartbeat, which has then to beat before there is power.
func (d *Driver) armed(ctx context.Context, now time.Time) error {
	l := d.layout
	if l.setter.revert().value().OK() {
		return nil
	}
	if len(l.beats) > 0 && d.opt.Mute { // a recording, in which it beats
		return nil
	}
	begun := d.beat.begun
	d.beat.begin(now)
	if err := d.pound(ctx, now); err != nil {
		d.beat.begun = begun
		return fmt.Errorf("heartbeat: %w", err)
	}
	if len(d.beat.told) == 0 || d.beat.silent(now) {
		d.beat.begun = begun
		return &refusal{codeRejected, fmt.Sprintf("the device has no dead-man: %s is not implemented and it keeps no heartbeat, so that power would outlive its controller", l.setter.revert().name())}
	}
	return nil
}

// set writes a setpoint and reads back what the device holds. taken: the device may hold
// another one than before.
func (d *Driver) set(ctx context.Context, now time.Time, x *live) (held float64, taken bool, err error) {
	revert := d.revert(now, x)
	was, _ := d.layout.setter.holds()
	x.kw, x.step = d.layout.holdable(x.kw), d.layout.setter.resolution()
	steps, err := d.layout.setter.steps(x.kw, revert)
	if err != nil {
		return 0, false, err
	}
	for _, s := range steps {
		if err := d.write(ctx, s.block, s.at, s.regs); err != nil {
			return 0, taken || s.power && !refused(err), err
		}
		taken = taken || s.power
	}
	x.armed, x.lapses, x.revert = now, now.Add(revert), revert.Seconds()
	if held, err = d.confirm(ctx, x.kw, was, revert); err != nil {
		return held, true, err
	}
	x.runs = d.layout.setter.left().float() > 0
	return held, true, nil
}

// revert is when the device takes x back: after the dead-man time, and sooner where the
// setpoint holds no longer than that.
func (d *Driver) revert(now time.Time, x *live) time.Duration {
	t := d.deadMan
	if !x.until.IsZero() {
		t = min(t, x.until.Sub(now))
	}
	return time.Duration(seconds(t)) * time.Second
}

// holdable is the setpoint next to kw that the registers have a number for. It is no more
// than kw, as rounding must not lead out of the envelope that kw was kept in.
func (l *layout) holdable(kw float64) float64 {
	step := l.setter.resolution()
	if !(step > 0) {
		return kw // which steps refuses
	}
	const lastBit = 1e-6 // of a step
	return math.Trunc(kw/step+math.Copysign(lastBit, kw)) * step
}

// looks is how often a device is asked for what it holds that is too busy to tell.
const looks = 3

// transient reports whether an exception passes by itself, or one of several.
func transient(err error) bool {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		return slices.ContainsFunc(several.Unwrap(), transient)
	}
	e, ok := errors.AsType[modbus.Exception](err)
	return ok && e.Transient()
}

// confirm reads back the setpoint, and that the device will take it back in time: a
// dead-man that it does not hold, or holds for longer, is none. A setpoint of 0 needs none. was
// is what the device held before; NaN: that plays no part.
func (d *Driver) confirm(ctx context.Context, kw, was float64, revert time.Duration) (held float64, err error) {
	err = d.fetch(ctx, controlPlan)
	for n := 1; n < looks && transient(err); n++ {
		err = d.fetch(ctx, controlPlan)
	}
	if err != nil {
		if refused(err) {
			return 0, fmt.Errorf("%w: %w", device.ErrReadBack, err)
		}
		return 0, err
	}
	held, on := d.layout.setter.holds()
	if !on || !d.layout.same(held, kw) {
		return held, fmt.Errorf("%w: told %g kW, the device holds %g kW%s", device.ErrReadBack, kw, held, d.layout.instead(held, was, on))
	}
	if why := d.layout.unguarded(kw, seconds(revert), false); why != "" {
		return held, fmt.Errorf("%w: %s", device.ErrReadBack, why)
	}
	return held, nil
}

// instead says what is known of a power that a device holds instead of what it was told.
func (l *layout) instead(held, was float64, on bool) string {
	switch {
	case !on:
		return ", which is not in force"
	case l.same(held, was):
		return " as before: it does not take it"
	case !math.IsNaN(was):
		return fmt.Sprintf(", which is not the %g kW of before either: it has cut it, or a second master has written since", was)
	}
	return ""
}

// same reports whether two setpoints are one in the device's resolution, with some room
// for the last bit of a scaled number.
func (l *layout) same(a, b float64) bool {
	return math.Abs(a-b) <= 0.5*l.setter.resolution()*(1+1e-6)+1e-12
}

// perform writes a setpoint without looking back.
func (d *Driver) perform(ctx context.Context, kw float64, revert time.Duration) error {
	steps, err := d.layout.setter.steps(kw, revert)
	if err != nil {
		return err
	}
	for _, s := range steps {
		if err := d.write(ctx, s.block, s.at, s.regs); err != nil {
			return err
		}
	}
	return nil
}

// zero writes power 0. What is refused of it does not keep the setpoint itself back: a power of 0
// need not be taken back by itself. told: the device has answered that it has it.
func (d *Driver) zero(ctx context.Context) (told bool, err error) {
	steps, err := d.layout.setter.steps(0, d.deadMan)
	if err != nil {
		return false, err
	}
	for _, s := range steps {
		e := d.write(ctx, s.block, s.at, s.regs)
		told = told || s.power && e == nil
		if err = errors.Join(err, e); e != nil && (s.power || !refused(e)) { // what it holds would be enabled
			break
		}
	}
	return told, err
}

// rest takes the power to 0, where it can be set. Where a setpoint was in force, or may be, that
// is owed until the device holds it, or will not have it and has no setpoint in force, and what
// it holds meanwhile is not known.
func (d *Driver) rest(ctx context.Context) error {
	owed := d.live.on
	if owed {
		d.live.until, d.live.kw = d.now, math.NaN()
	}
	if d.layout.setter == nil {
		d.live = live{}
		return nil
	}
	told, err := d.zero(ctx)
	if err != nil && (errors.Is(err, device.ErrOffline) || !told && !owed) {
		return err
	}
	_, back := d.confirm(ctx, 0, math.NaN(), d.deadMan)
	_, on := d.layout.setter.holds()
	idle := !on && errors.Is(back, device.ErrReadBack) && !refused(back)
	if back == nil || idle && !transient(err) {
		d.live = live{}
	}
	if told && back == nil {
		return nil
	}
	return cmp.Or(err, back)
}

func (d *Driver) setMode(ctx context.Context, m device.Mode) error {
	if err := d.rest(ctx); err != nil {
		return err
	}
	l := d.layout
	operate, inverter := uint64(opEnterStandby), uint64(setStandby)
	if m == device.Run {
		operate, inverter = opExitStandby, setStarted
	}
	switch {
	case l.operate.exists():
		if err := d.tell(ctx, l.operate, operate); err != nil {
			return err
		}
	case l.setInverter.exists():
		if err := d.tell(ctx, l.setInverter, inverter); err != nil {
			return err
		}
	}
	d.mode = m
	return nil
}

// stop is the emergency stop: power 0, then all that the device has to stop and to open.
// What is refused, or not answered, does not keep the rest from being done.
func (d *Driver) stop(ctx context.Context) error {
	l := d.layout
	able := l.setter != nil
	modbus.Insist(d.opt.Conn)
	err := d.rest(ctx)
	for _, x := range []struct {
		point point
		value uint64
	}{{l.operate, opStop}, {l.setOp, bankDisconnect}, {l.connectInstead(), gridDisconnect}} {
		if x.point.block != nil {
			able = true
			modbus.Insist(d.opt.Conn)
			if x.point.field.Name == "Conn" {
				err = errors.Join(err, d.forever(ctx))
			}
			err = errors.Join(err, d.tell(ctx, x.point, x.value))
		}
	}
	delete(d.kept, device.SettingConnect)
	if !able {
		return fmt.Errorf("an emergency stop: %w", device.ErrUnsupported)
	}
	// What was refused for good will be refused again; what did not arrive, or did not take, is
	// tried until it does.
	d.stopping = errors.Is(err, device.ErrOffline) || errors.Is(err, device.ErrReadBack) || transient(err)
	return err
}

// forever lets a switch that opens stay open, and open now: the time after which it would
// close by itself, and the window within which it may wait, are somebody else's.
func (d *Driver) forever(ctx context.Context) (err error) {
	for _, p := range d.layout.connect.block.points("Conn_WinTms", "Conn_RvrtTms") {
		if v, ok := p.value().Raw(); ok && v != 0 {
			err = errors.Join(err, d.tell(ctx, p, 0))
		}
	}
	return err
}

// connectInstead is 123.Conn where neither 715 nor 802 can stop the device.
func (l *layout) connectInstead() point {
	if l.operate.block != nil || l.setOp.block != nil {
		return point{}
	}
	return l.connect
}

// reset acknowledges alarms and starts again what stop has stopped; power stays 0.
func (d *Driver) reset(ctx context.Context) error {
	if err := d.rest(ctx); err != nil {
		return err
	}
	l := d.layout
	for _, p := range l.resets { // which go back by themselves
		if err := d.put(ctx, p, 1); err != nil {
			return err
		}
	}
	for _, x := range []struct {
		point point
		value uint64
	}{{l.setOp, bankConnect}, {l.operate, opStart}, {l.connectInstead(), gridConnect}} {
		if x.point.block == nil {
			continue
		}
		if err := d.tell(ctx, x.point, x.value); err != nil {
			return err
		}
	}
	d.stopped, d.stopping = false, false
	return nil
}

// put writes a whole number to a point without a scale factor.
func (d *Driver) put(ctx context.Context, p point, n uint64) error {
	regs, err := p.block.Encode(p.field, n)
	if err != nil {
		return err
	}
	if err := d.write(ctx, p.block, p.field.At, regs); err != nil {
		return fmt.Errorf("%s = %d: %w", p.name(), n, err)
	}
	return nil
}

// tell is put with a look back.
func (d *Driver) tell(ctx context.Context, p point, n uint64) error {
	if err := d.put(ctx, p, n); err != nil {
		return err
	}
	regs, err := readRegisters(ctx, d.opt.Conn, p.block.Addr+p.field.At, p.field.Size)
	switch {
	case refused(err):
		return fmt.Errorf("%s: %w: %w", p.name(), device.ErrReadBack, err)
	case err != nil:
		return err
	case join(regs) != n:
		return fmt.Errorf("%s: %w: told %d, the device holds %d", p.name(), device.ErrReadBack, n, join(regs))
	}
	return nil
}
