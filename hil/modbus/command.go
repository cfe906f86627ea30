package modbus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"yunchu/platform/device"
)

// Codes of answers.
const (
	codeExpired     = "EXPIRED"
	codeFault       = "DEVICE_FAULT"
	codeLocal       = "LOCAL"
	codeReadBack    = "READ_BACK"
	codeRejected    = "REJECTED"
	codeUnsupported = "UNSUPPORTED"
)

// refusal is a command that is not done, with what the acknowledgement says.
type refusal struct {
	status       device.AckStatus
	code, reason string
}

func (r *refusal) Error() string { return r.code + ": " + r.reason }

func rejected(code, format string, args ...any) error {
	return &refusal{device.Rejected, code, fmt.Sprintf(format, args...)}
}

// Write implements device.Driver.
func (d *Driver) Write(ctx context.Context, now time.Time, c device.Command) (device.Ack, error) {
	began := time.Now()
	d.told++
	d.tell(now)
	Insist(d.conn)
	kw, err := d.do(ctx, now, &c)
	at := now.Add(time.Since(began)).UnixMilli()
	if r, ok := errors.AsType[*refusal](err); ok {
		return c.Answer(r.status, at, r.code, r.reason), nil
	}
	if err != nil {
		return device.Ack{}, fmt.Errorf("%v: %w", c.Verb, err)
	}
	a := c.Answer(device.Done, at, "", "")
	a.Power = kw
	return a, nil
}

// do carries a command out and returns the power that the device has taken.
func (d *Driver) do(ctx context.Context, now time.Time, c *device.Command) (kw float64, err error) {
	switch c.Verb {
	case device.SetPower:
		return d.setPower(ctx, now, c)
	case device.Stop, device.Release:
		return 0, d.rest(ctx)
	case device.SetMode:
		return 0, d.setMode(ctx, c.Mode)
	case device.EStop:
		return 0, d.eStop(ctx)
	case device.Reset:
		return 0, d.reset(ctx)
	}
	return 0, rejected(codeUnsupported, "%v: %v", c.Verb, device.ErrUnsupported)
}

func (d *Driver) setPower(ctx context.Context, now time.Time, c *device.Command) (float64, error) {
	x := d.point("setpoint")
	switch {
	case x == nil || !x.writes:
		return 0, rejected(codeUnsupported, "the device takes no setpoint")
	case !device.Finite(c.Power):
		return 0, rejected(codeRejected, "%v kW is not a power", c.Power)
	case c.Until != 0 && c.Until <= now.UnixMilli():
		return 0, &refusal{device.Expired, codeExpired, "the setpoint had expired when it came"}
	case d.stopped:
		return 0, rejected(codeFault, "the emergency stop has not been reset")
	case d.mode != device.Run:
		return 0, rejected(codeFault, "the device is in mode %v", d.mode)
	}
	_, err := x.encode(c.Power)
	if err = cmp.Or(err, x.inRange(c.Power)); err != nil {
		return 0, rejected(codeRejected, "%v", err)
	}
	if err := d.trusted(now, c.Power); err != nil {
		return 0, err
	}
	if err := d.mayWrite(ctx); err != nil {
		return 0, err
	}
	switch {
	case d.before.holds(d.point("e_stop")):
		return 0, rejected(codeFault, "the device's emergency stop is pressed")
	case d.modeIn(d.before) != device.Run:
		return 0, rejected(codeFault, "the device itself is in mode %v", d.modeIn(d.before))
	case d.replaced(d.before, now): // it would be overwritten unseen
		d.handOver(now)
		return 0, rejected(codeRejected, "somebody else commands the device")
	}
	until := now.Add(d.deadMan) // one that does not say how long it holds is not renewed
	if c.Until != 0 {
		until = device.Time(c.Until)
	}
	d.live.on, d.owed = false, true // until it is known what the device holds
	s := setpoint{on: true, kw: x.within(c.Power), until: until}
	// The heartbeat comes first: a device that is watched by it alone never has a power
	// without it.
	err = d.firstBeat(ctx, now)
	if err == nil {
		err = d.put(ctx, now, &s)
	}
	if err == nil {
		err = d.readBack(ctx, &s)
	}
	if err != nil {
		if _, answered := errors.AsType[*refusal](err); answered {
			if e := d.takeBack(ctx); e != nil {
				d.log.Warn("power not taken back: it is tried again with every reading", "error", e)
			}
		}
		return 0, err
	}
	d.live, d.owed, d.master = s, false, time.Time{}
	return x.number(s.regs, 0), nil
}

// within is the number next to v that the register has and that is no further from 0, as
// rounding must not lead out of the envelope that v was kept in.
func (x *point) within(v float64) float64 {
	raw, err := x.encode(v)
	if err != nil {
		return v
	}
	if got := x.number(x.registers(raw), 0); math.Abs(got) > math.Abs(v)+1e-6*x.step() {
		return got - math.Copysign(x.step(), v)
	}
	return v
}

// mayWrite reads what forbids writing.
func (d *Driver) mayWrite(ctx context.Context) error {
	if err := d.before.read(ctx, d.conn); err != nil {
		return d.answered(err)
	}
	if d.before.holds(d.point("local")) {
		return rejected(codeLocal, "the device is in local control")
	}
	return nil
}

// answered makes a refusal of an exception, which a transient one still is beside that; other
// errors stay what they are.
func (d *Driver) answered(err error) error {
	e, ok := errors.AsType[Exception](err)
	switch r := rejected(codeRejected, "%v", err); {
	case !ok:
		return err
	case e.Transient():
		return fmt.Errorf("%w: %w", r, e)
	default:
		return r
	}
}

// modeIn is the mode that the device itself shows.
func (d *Driver) modeIn(m *image) device.Mode {
	x := d.point("mode")
	if !m.has(x) {
		return device.Run
	}
	w, _, _ := x.meaning(m.registers(x))
	mode, _ := device.ParseMode(w)
	return mode
}

// put writes a setpoint: the time to revert first, so that none is ever without.
func (d *Driver) put(ctx context.Context, now time.Time, s *setpoint) error {
	revert := time.Duration(math.MaxInt64)
	if x := d.point("revert_s"); x != nil && x.writes {
		revert = d.revertFor(x, s.until.Sub(now))
		if err := d.write(ctx, x, revert.Seconds()); err != nil {
			return err
		}
	}
	s.revert = revert // one that may not have arrived is no measure of what the device holds
	x := d.point("setpoint")
	if err := d.write(ctx, x, s.kw); err != nil {
		return err
	}
	raw, err := x.encode(s.kw)
	if err != nil {
		return err
	}
	s.regs, s.renewed = x.registers(raw), now
	if x := d.point("setpoint_enable"); x != nil && x.writes {
		return d.writeWord(ctx, x, active)
	}
	return nil
}

// revertFor is the time to revert of a setpoint that holds for so long: no more than that,
// in steps of its register, and at least one of them.
func (d *Driver) revertFor(x *point, holds time.Duration) time.Duration {
	return inSteps(x, min(d.deadMan, holds))
}

// inSteps is the time that a register is given for t.
func inSteps(x *point, holds time.Duration) time.Duration {
	t, step := holds.Seconds(), x.step()
	if x.limits != nil {
		step = max(step, x.limits.Step)
	}
	if step > 0 {
		t = max(math.Ceil(t/step-1e-9), 1) * step
	}
	if x.limits != nil {
		t = min(max(t, x.limits.Min), x.limits.Max)
	}
	return time.Duration(t * float64(time.Second))
}

// readBack compares what the device holds with what it was told. What it holds, within
// the resolution of its register, is what it is held to from then on.
func (d *Driver) readBack(ctx context.Context, s *setpoint) error {
	x := d.point("setpoint")
	if x.reads {
		regs, got, err := d.fetch(ctx, x)
		if err != nil {
			return err
		}
		if !(math.Abs(got-s.kw) <= x.step()/2*(1+1e-9)+1e-6*math.Abs(s.kw)) {
			why := ": it does not take it, or a second master has written since"
			if was := d.before.number(x); math.Abs(got-was) <= x.step()/2 {
				why = " as before: it does not take it"
			} else if !math.IsNaN(was) {
				why = fmt.Sprintf(", which is not the %g kW of before either: it has cut it, or a second master has written since", was)
			}
			return &refusal{device.Failure, codeReadBack, fmt.Sprintf("the device was told %g kW and holds %g kW%s", s.kw, got, why)}
		}
		s.regs = regs
	}
	err := d.holdsRevert(ctx, s)
	for n := 1; n < looks && transient(err); n++ {
		err = d.holdsRevert(ctx, s)
	}
	if err != nil {
		return err
	}
	if x := d.point("setpoint_enable"); x != nil && x.writes {
		return d.verifyWord(ctx, x, active)
	}
	return nil
}

// holdsRevert makes sure that the device takes a setpoint back in time: a dead-man that it
// does not hold, or holds for longer, is none. A setpoint of 0 needs none.
func (d *Driver) holdsRevert(ctx context.Context, s *setpoint) error {
	x := d.point("revert_s")
	if x == nil || !x.writes || !x.reads || s.kw == 0 {
		return nil
	}
	_, got, err := d.fetch(ctx, x)
	if d.mute && errors.Is(err, device.ErrOffline) { // a recording of before this was asked
		return nil
	}
	if err != nil {
		return err
	}
	if told := s.revert.Seconds(); !(got > 0 && got <= told+x.step()/2) {
		return &refusal{device.Failure, codeReadBack, fmt.Sprintf("the device was told to take its setpoint back after %g s and holds %g s", told, got)}
	}
	return nil
}

// fetch reads one point from the device.
func (d *Driver) fetch(ctx context.Context, x *point) (regs []uint16, v float64, err error) {
	m := newImage(d.profile, []*point{x})
	if err := m.read(ctx, d.conn); err != nil {
		return nil, 0, d.answered(fmt.Errorf("%s: %w", x.name, err))
	}
	return m.registers(x), m.number(x), nil
}

// renew writes the setpoint in force once more.
func (d *Driver) renew(ctx context.Context, now time.Time) error {
	regs := d.live.regs
	if err := d.put(ctx, now, &d.live); err != nil {
		return fmt.Errorf("renew setpoint: %w", err)
	}
	d.live.regs = regs // as it was read back
	return nil
}

// takeBack writes power 0. Until that has succeeded it is owed, and tried again with every
// reading.
func (d *Driver) takeBack(ctx context.Context) error {
	err := d.write(ctx, d.point("setpoint"), 0)
	d.owed = err != nil
	return err
}

// rest takes the power to 0 and makes sure of it. A setpoint that was in force is not
// renewed any more, whether the device can be reached or not.
func (d *Driver) rest(ctx context.Context) error {
	x := d.point("setpoint")
	if x == nil || !x.writes {
		return rejected(codeUnsupported, "the device takes no setpoint")
	}
	if d.live.on {
		d.live.on, d.owed = false, true
	}
	if err := d.mayWrite(ctx); err != nil {
		return err
	}
	if err := d.takeBack(ctx); err != nil {
		return err
	}
	return d.holdsNone(ctx, x)
}

// holdsNone makes sure that the device holds power 0.
func (d *Driver) holdsNone(ctx context.Context, x *point) error {
	if !x.reads {
		return nil
	}
	_, got, err := d.fetch(ctx, x)
	if err == nil && !(math.Abs(got) <= x.step()/2) {
		err = &refusal{device.Failure, codeReadBack, fmt.Sprintf("the device was told 0 kW and holds %g kW", got)}
	}
	return err
}

// setMode takes the power to 0 and then the device into its own standby, where it has one.
func (d *Driver) setMode(ctx context.Context, m device.Mode) error {
	x := d.point("mode")
	takes := x != nil && x.writes
	switch {
	case m > device.MaintenanceMode:
		return rejected(codeUnsupported, "mode %v: %v", m, device.ErrUnsupported)
	case !takes && d.point("setpoint") == nil:
		return rejected(codeUnsupported, "the device takes neither mode nor setpoint")
	}
	quiet := d.mayWrite
	if x := d.point("setpoint"); x != nil && x.writes {
		quiet = d.rest
	}
	if err := quiet(ctx); err != nil {
		return err
	}
	if takes {
		w := m.String()
		if _, ok := x.code(w); !ok && m == device.MaintenanceMode {
			w = device.StandbyMode.String() // which is as still
		}
		if _, ok := x.code(w); ok {
			if err := d.setWord(ctx, x, w); err != nil {
				return err
			}
		}
	}
	d.mode = m
	return nil
}

// eStop takes the power to 0 and stops the device by whatever it has. A step that fails
// keeps none of the others back.
func (d *Driver) eStop(ctx context.Context) error {
	if err := d.mayWrite(ctx); err != nil {
		if r, ok := errors.AsType[*refusal](err); ok && r.code == codeLocal {
			return err
		}
	}
	d.live.on, d.beat.on, d.stopped = false, false, true
	err := d.steps(
		step{"setpoint", func(*point) error { return d.takeBack(ctx) }},
		step{"operate", func(x *point) error { return d.setWord(ctx, x, stop) }},
		step{"connect", func(x *point) error { return d.setWord(ctx, x, inactive) }},
		step{"setpoint", func(x *point) error { return d.holdsNone(ctx, x) }}, // last: it keeps no stop waiting
	)
	// What was refused for good will be refused again; what did not arrive, or did not take, is
	// tried with every reading until it does.
	d.stopping = err != nil && !final(err)
	return err
}

// reset acknowledges alarms and starts the device again; its power stays at 0.
func (d *Driver) reset(ctx context.Context) error {
	if err := d.mayWrite(ctx); err != nil {
		return err
	}
	d.live.on = false
	err := d.steps(
		step{"setpoint", func(*point) error { return d.takeBack(ctx) }},
		step{"reset", func(x *point) error { return d.writeWord(ctx, x, active) }},
		step{"connect", func(x *point) error { return d.setWord(ctx, x, active) }},
		step{"operate", func(x *point) error { return d.setWord(ctx, x, start) }},
	)
	if err == nil {
		d.stopped, d.stopping = false, false
	}
	return err
}

// final reports whether a refusal does not pass by itself.
func final(err error) bool {
	r, refused := errors.AsType[*refusal](err)
	return refused && r.code != codeReadBack && !transient(err)
}

// step is one write to a point, where the device takes it.
type step struct {
	name string
	do   func(*point) error
}

// steps takes all of them, and tries to reach the device for each, whatever became of the one
// before. An error that leaves open what the device did, or will do, counts more than a refusal
// for good.
func (d *Driver) steps(list ...step) (first error) {
	taken := 0
	for _, s := range list {
		x := d.point(s.name)
		if x == nil || !x.writes {
			continue
		}
		taken++
		Insist(d.conn)
		err := s.do(x)
		if _, refused := errors.AsType[*refusal](err); err != nil && (first == nil || !refused || final(first) && !final(err)) {
			first = err
		}
	}
	if taken == 0 {
		return rejected(codeUnsupported, "the device takes no commands")
	}
	return first
}

// setWord writes a word and makes sure of it.
func (d *Driver) setWord(ctx context.Context, x *point, w string) error {
	if err := d.writeWord(ctx, x, w); err != nil {
		return err
	}
	return d.verifyWord(ctx, x, w)
}

func (d *Driver) verifyWord(ctx context.Context, x *point, w string) error {
	if !x.reads {
		return nil
	}
	regs, _, err := d.fetch(ctx, x)
	if err != nil {
		return err
	}
	ok := slices.Contains(x.values[w], x.raw(regs))
	if x.form == condition {
		ok = x.holds(regs) == (w == active)
	}
	if !ok {
		return &refusal{device.Failure, codeReadBack, fmt.Sprintf("%s was set to %s and reads %d", x.name, w, x.raw(regs))}
	}
	return nil
}

// writeWord writes the code of a word.
func (d *Driver) writeWord(ctx context.Context, x *point, w string) error {
	raw, ok := x.code(w)
	if !ok {
		return rejected(codeUnsupported, "%s: the device has no %s", x.name, w)
	}
	return d.writeRaw(ctx, x, raw)
}

// write writes a number.
func (d *Driver) write(ctx context.Context, x *point, v float64) error {
	raw, err := x.encode(v)
	if err != nil {
		return rejected(codeRejected, "%v", err)
	}
	return d.writeRaw(ctx, x, raw)
}

func (d *Driver) writeRaw(ctx context.Context, x *point, raw uint64) error {
	var err error
	switch one, ok := d.conn.(Single); {
	case x.table == Coils:
		err = d.conn.WriteCoil(ctx, x.addr, raw != 0)
	case d.profile.Requests.Write == single && ok:
		err = one.WriteOne(ctx, x.addr, x.registers(raw)[0])
	default:
		err = d.conn.Write(ctx, x.addr, x.registers(raw))
	}
	if err != nil {
		return d.answered(fmt.Errorf("%s: %w", x.name, err))
	}
	return nil
}

// firstBeat begins our heartbeat, where it has not begun: one above what is there.
func (d *Driver) firstBeat(ctx context.Context, now time.Time) error {
	x := d.point("controller_heartbeat")
	if x == nil || !x.writes || d.beat.on || d.mute {
		return nil
	}
	if x.reads {
		regs, _, err := d.fetch(ctx, x)
		if err != nil {
			return err
		}
		d.beat.n = x.raw(regs)
	}
	err := d.strike(ctx, now)
	d.beat.on = err == nil || d.beat.unsure
	return err
}

// strike is one beat.
func (d *Driver) strike(ctx context.Context, now time.Time) error {
	x, b := d.point("controller_heartbeat"), &d.beat
	n := b.next(x)
	if err := d.writeRaw(ctx, x, n); err != nil {
		_, refused := errors.AsType[*refusal](err)
		b.unsure = !refused
		return fmt.Errorf("heartbeat: %w", err)
	}
	b.n, b.unsure, b.at = n, false, now
	return nil
}
