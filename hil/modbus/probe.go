package modbus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"yunchu/platform/device"
)

// try is one message that must be refused.
type try struct {
	name string
	unit byte
	pdu  []byte
	want []Exception // any of them; nobody there may be silent instead
	mute bool

	// What it writes: a device that takes it now has that wrong.
	regs   []uint16
	single bool   // with the function for one register
	point  *point // nil: none of the profile is there
	span
}

// The last address, where no map that we know has a register, and a function of those that
// the protocol leaves to vendors.
const (
	farAddress      = 0xFFFF
	vendorsFunction = 0x41
)

// Probe implements device.Probed. What is written is outside of the device's map, beyond
// the range of a setting, or next to what a point has that is only read; it is put back
// should the device take it.
func (d *Driver) Probe(ctx context.Context) ([]device.Trial, error) {
	raw, ok := d.conn.(Raw)
	if !ok {
		return nil, fmt.Errorf("trials on this connection: %w", device.ErrUnsupported)
	}
	tries := append(d.tries(), d.beyond()...)
	only, err := d.onlyRead(ctx)
	if err != nil {
		return nil, err
	}
	m := newImage(d.profile, d.kept())
	if err := m.read(ctx, d.conn); err != nil {
		return nil, err
	}
	var trials []device.Trial
	for _, t := range append(tries, only...) {
		x, err := d.try(ctx, raw, m, &t)
		if err == nil || len(x.Writes) > 0 {
			trials = append(trials, x)
		}
		if err != nil {
			return trials, fmt.Errorf("after trial %q: %w", t.name, err)
		}
	}
	if len(only) == 0 {
		trials = append(trials, device.Trial{
			Name: "write to a read-only register", Skipped: "no holding register of the profile is only read, and others cannot be written by the protocol",
		})
	}
	return append(trials, d.roles()), nil
}

// roles are those of Modbus/TCP Security, which a certificate carries. A device shows them
// by what it refuses to whom; this driver has one certificate, and knows of no other role.
func (d *Driver) roles() device.Trial {
	why := "the link has no roles: only Modbus over TLS knows who asks"
	if c, ok := d.conn.(*conn); ok && c.link.to.secure {
		why = "roles are tried with a second certificate, and the device is given one"
	}
	return device.Trial{Name: "another role", Skipped: why}
}

// try does one.
func (d *Driver) try(ctx context.Context, raw Raw, m *image, t *try) (x device.Trial, err error) {
	x.Name, x.Want = t.name, t.wanted()
	told := d.told
	kept := image{requests: m.requests, blocks: slices.Clone(m.blocks)}
	var before []uint16
	if t.regs != nil {
		if before, err = d.there(ctx, t.span); err != nil {
			return x, err
		}
	}
	device.GiveWay(ctx)
	if ctx.Err() != nil {
		return x, ctx.Err()
	}
	whole := ctx
	if t.regs != nil { // what writes is not broken off before the device is as it was, and each exchange has its own end
		whole = context.WithoutCancel(ctx)
	}
	got, err := raw.Raw(whole, t.unit, t.pdu)
	if whole.Err() != nil && t.regs == nil {
		return x, whole.Err()
	}
	x.Got, x.Refused = t.judge(got, err)
	if t.regs != nil {
		w := t.written(before)
		w.Status, w.Text = device.Rejected, x.Got
		if x.Refused {
			var after []uint16
			after, err = d.look(whole, t.span)
			w.After = t.value(after)
		} else {
			err = d.undo(whole, raw, t, before, &x, &w)
		}
		x.Writes = append([]device.Write{w}, x.Writes...)
		if err != nil {
			return x, err
		}
	}
	device.GiveWay(ctx)
	if err := m.read(ctx, d.conn); err != nil {
		return x, err
	}
	for _, p := range d.kept() { // what is different is left alone: it may be a setpoint that the device has taken back
		if d.told != told && !p.onlySet() { // a command came in between
			continue
		}
		was, is := kept.registers(p), m.registers(p)
		x.Changed = x.Changed || was != nil && !slices.Equal(was, is)
	}
	return x, nil
}

// there is what lies in registers, nil for those that cannot be read.
func (d *Driver) there(ctx context.Context, s span) ([]uint16, error) {
	device.GiveWay(ctx)
	regs, err := d.conn.Read(ctx, s.table, s.addr, s.n)
	if _, refused := errors.AsType[Exception](err); refused {
		return nil, nil
	}
	return regs, err
}

// undoTries is how often a device is asked what it holds, and told what it held, before it is
// left with what a trial has written.
const undoTries = 3

// look is there of what was written, and asks again where no answer comes.
func (d *Driver) look(ctx context.Context, s span) (regs []uint16, err error) {
	for range undoTries {
		if regs, err = d.there(ctx, s); !errors.Is(err, device.ErrOffline) {
			break
		}
		Insist(d.conn)
	}
	return regs, err
}

// undo puts back what a write that was not refused has changed. What is measured moves by
// itself: it counts as taken while it is what was written.
func (d *Driver) undo(ctx context.Context, raw Raw, t *try, before []uint16, x *device.Trial, w *device.Write) error {
	after, err := d.look(ctx, t.span)
	if err != nil {
		w.Status = device.Failure
		return err
	}
	w.Status, w.After = device.Failure, t.value(after)
	taken := slices.Equal(after, t.regs)
	if taken {
		w.Status = device.Done
	}
	if !taken || before == nil || slices.Equal(before, after) {
		return nil
	}
	x.Changed = true
	back := *t
	back.regs, back.pdu = before, t.request(before)
	r := back.written(after)
	r.Act, r.Status = device.Restored, device.Failure
	for n := 0; n < undoTries && !x.Restored; n++ {
		Insist(d.conn)
		device.GiveWay(ctx)
		got, failed := raw.Raw(ctx, back.unit, back.pdu)
		r.Text, _ = back.judge(got, failed)
		if after, err = d.look(ctx, t.span); err != nil {
			break
		}
		r.After, x.Restored = t.value(after), !slices.Equal(after, t.regs) // whatever it says, what it holds now counts
	}
	if x.Restored {
		r.Status = device.Done
	}
	if err != nil {
		r.Text = err.Error()
	}
	x.Writes = append(x.Writes, r)
	return err
}

// written is what the audit says of the write.
func (t *try) written(before []uint16) device.Write {
	w := device.Write{What: fmt.Sprintf("%s %d", t.table, t.addr), Asked: t.value(t.regs), Before: t.value(before), After: math.NaN()}
	if t.point != nil {
		w.What, w.Unit = t.point.name, t.unitName()
	}
	return w
}

func (t *try) unitName() string {
	if t.point.exponent != nil { // as it lies there
		return ""
	}
	return t.point.unit
}

// value is what registers mean: in the point's unit, else as they are.
func (t *try) value(regs []uint16) float64 {
	switch {
	case regs == nil:
		return math.NaN()
	case t.point == nil:
		return float64(regs[0])
	case t.point.form == number && t.point.exponent == nil:
		return t.point.number(regs, 0)
	}
	return float64(t.point.raw(regs))
}

// kept are the points that must be the same after a trial: what is written, but for what
// counts by itself.
func (d *Driver) kept() (list []*point) {
	for _, x := range d.profile.points {
		if x.reads && x.writes && x.form != counter && x.name != "reset" {
			list = append(list, x)
		}
	}
	return list
}

// onlySet reports whether a point is a setting that no command writes.
func (x *point) onlySet() bool {
	_, setting := x.settingName()
	return setting && x.name != "revert_s" && x.name != "connect"
}

func (d *Driver) unit() byte {
	if c, ok := d.conn.(*conn); ok {
		return c.opt.Unit
	}
	return 1
}

// nobody is a unit that no device of ours is: the last of a line, or the one before.
func (d *Driver) nobody() byte {
	if d.unit() == 247 {
		return 246
	}
	return 247
}

func (d *Driver) tries() []try {
	u := d.unit()
	read := func(addr, n uint16) []byte {
		return AppendRequest(nil, &Request{Function: ReadHolding, Addr: addr, Count: n})
	}
	far := try{
		name: "write outside of the map", unit: u, want: []Exception{IllegalAddress, IllegalValue},
		regs: []uint16{0}, single: true, span: span{Holding, farAddress, 1},
	}
	far.pdu = far.request(far.regs)
	return []try{
		{name: "read outside of the map", unit: u, pdu: read(farAddress, 1), want: []Exception{IllegalAddress}},
		{name: "read beyond the last address", unit: u, pdu: read(farAddress, 2), want: []Exception{IllegalAddress}},
		{name: "read of no registers", unit: u, pdu: read(0, 0), want: []Exception{IllegalValue}},
		{name: "read of 126 registers", unit: u, pdu: read(0, MaxRead+1), want: []Exception{IllegalValue}},
		{name: "unknown function", unit: u, pdu: []byte{vendorsFunction}, want: []Exception{IllegalFunction}},
		far,
		{name: "wrong unit", unit: d.nobody(), pdu: read(0, 1), want: []Exception{GatewayNoPath, GatewayNoResponse}, mute: true},
	}
}

// beyond are writes out of the range of a setting. The setpoint is none of them, nor is the
// time to revert: what a device that takes them would do is not for a trial.
func (d *Driver) beyond() (list []try) {
	for _, x := range d.profile.points {
		if _, setting := x.settingName(); !setting || !x.writes || x.name == "revert_s" || x.limits == nil || x.table != Holding {
			continue
		}
		raw, err := x.encode(x.limits.Max + max(x.step(), x.limits.Step, 1e-3*x.limits.Max))
		if err != nil {
			continue // the register holds no more than the range
		}
		t := try{
			name: x.name + " out of its range", unit: d.unit(), want: []Exception{IllegalValue},
			regs: x.registers(raw), single: d.single(x), span: x.span(), point: x,
		}
		t.pdu = t.request(t.regs)
		list = append(list, t)
	}
	return list
}

// harmless are the points that are tried of those that are only read, in this order: what
// a device measures it writes anew by itself.
var harmless = []string{
	"frequency", "grid_voltage", "reactive", "power", "current", "voltage", "temperature", "cell_v_max", "cell_v_min", "soc", "soh", "rated_kwh", "rated_kw",
}

// onlyRead is a write to a holding register that is only read, with the last bit of what
// is there turned; nothing where the profile has none. Other tables cannot be written.
func (d *Driver) onlyRead(ctx context.Context) ([]try, error) {
	var candidates []*point
	for _, name := range harmless {
		candidates = append(candidates, d.profile.find(name))
	}
	for _, x := range d.profile.points {
		if x.own {
			candidates = append(candidates, x)
		}
	}
	for _, x := range candidates {
		if x == nil || x.table != Holding || x.writes || !x.reads || x.mask != 0 || x.form == text || d.written(x.span()) {
			continue
		}
		regs, err := d.there(ctx, x.span())
		if err != nil {
			return nil, err
		}
		if regs == nil {
			continue
		}
		t := try{
			name: "write to a read-only register, " + x.name, unit: d.unit(), want: []Exception{IllegalAddress, IllegalValue, IllegalFunction, DeviceFailure},
			regs: x.registers(x.raw(regs) ^ 1), single: d.single(x), span: x.span(), point: x,
		}
		t.pdu = t.request(t.regs)
		return []try{t}, nil
	}
	return nil, nil
}

// written reports whether any point is written in these registers.
func (d *Driver) written(s span) bool {
	return slices.ContainsFunc(d.profile.points, func(x *point) bool { return x.writes && overlap(x.span(), s) })
}

func (d *Driver) single(x *point) bool { return x.size == 1 && d.profile.Requests.Write == single }

// request writes registers where t does.
func (t *try) request(regs []uint16) []byte {
	f := WriteRegisters
	if t.single {
		f = WriteRegister
	}
	return AppendRequest(nil, &Request{Function: f, Addr: t.addr, Count: t.n, Values: regs})
}

func (t *try) wanted() string {
	var list []string
	for _, e := range t.want {
		list = append(list, e.Error())
	}
	if t.mute {
		list = append(list, "no answer")
	}
	return strings.Join(list, " or ")
}

// judge says what came back and whether it is the refusal that was wanted.
func (t *try) judge(pdu []byte, err error) (got string, ok bool) {
	switch {
	case err != nil && Timeout(err):
		return "no answer", t.mute
	case err != nil:
		return err.Error(), false
	case len(pdu) == 2 && pdu[0] == t.pdu[0]|refused:
		e := Exception(pdu[1])
		return e.Error(), slices.Contains(t.want, e)
	}
	return fmt.Sprintf("taken: % x", pdu), false
}
