package modbus

import (
	"context"
	"fmt"
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

	wrote *point // a setting that a device which takes it now has wrong
}

// The last address, where no map that we know has a register, and a function of those that
// the protocol leaves to vendors.
const (
	farAddress      = 0xFFFF
	vendorsFunction = 0x41
)

// Probe implements device.Probed. What is written is either outside of the device's map or
// beyond the range of a setting, which is put back should the device take it.
func (d *Driver) Probe(ctx context.Context) ([]device.Trial, error) {
	raw, ok := d.conn.(Raw)
	if !ok {
		return nil, fmt.Errorf("trials on this connection: %w", device.ErrUnsupported)
	}
	m := newImage(d.profile, d.kept())
	if err := m.read(ctx, d.conn); err != nil {
		return nil, err
	}
	var trials []device.Trial
	for _, t := range append(d.tries(), d.beyond()...) {
		before := slices.Clone(m.blocks)
		got, err := raw.Raw(ctx, t.unit, t.pdu)
		if ctx.Err() != nil {
			return trials, ctx.Err()
		}
		x := device.Trial{Name: t.name, Want: t.wanted()}
		x.Got, x.Refused = t.judge(got, err)
		if x.Changed, err = d.changed(ctx, m, before, t.wrote); err != nil {
			return trials, fmt.Errorf("after trial %q: %w", t.name, err)
		}
		trials = append(trials, x)
	}
	return trials, nil
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

// changed reads the kept points again, and puts back the one that the trial wrote. What
// else is different is left alone: it may be a setpoint that the device has taken back.
func (d *Driver) changed(ctx context.Context, m *image, before [][]uint16, wrote *point) (bool, error) {
	old := image{m.requests, before}
	if err := m.read(ctx, d.conn); err != nil {
		return false, err
	}
	different := false
	for _, x := range d.kept() {
		was, is := old.registers(x), m.registers(x)
		if was == nil || slices.Equal(was, is) {
			continue
		}
		different = true
		if x != wrote {
			continue
		}
		if err := d.writeRaw(ctx, x, x.raw(was)); err != nil {
			return true, err
		}
	}
	if different {
		return true, m.read(ctx, d.conn)
	}
	return false, nil
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
	write := AppendRequest(nil, &Request{Function: WriteRegister, Addr: farAddress, Count: 1, Values: []uint16{0}})
	return []try{
		{name: "read outside of the map", unit: u, pdu: read(farAddress, 1), want: []Exception{IllegalAddress}},
		{name: "read beyond the last address", unit: u, pdu: read(farAddress, 2), want: []Exception{IllegalAddress}},
		{name: "read of no registers", unit: u, pdu: read(0, 0), want: []Exception{IllegalValue}},
		{name: "read of 126 registers", unit: u, pdu: read(0, MaxRead+1), want: []Exception{IllegalValue}},
		{name: "unknown function", unit: u, pdu: []byte{vendorsFunction}, want: []Exception{IllegalFunction}},
		{name: "write outside of the map", unit: u, pdu: write, want: []Exception{IllegalAddress, IllegalValue}},
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
		regs := x.registers(raw)
		list = append(list, try{
			name: x.name + " out of its range", unit: d.unit(), want: []Exception{IllegalValue}, wrote: x,
			pdu: AppendRequest(nil, &Request{Function: WriteRegisters, Addr: x.addr, Count: x.size, Values: regs}),
		})
	}
	return list
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
