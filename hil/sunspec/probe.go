package sunspec

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"yunchu/hil/modbus"
	"yunchu/platform/device"
)

// Functions of Modbus that Probe uses as no client should.
const (
	readHolding    = 3
	writeRegisters = 16
)

// trial is a request that must be refused.
type trial struct {
	name, want string
	unit       byte
	pdu        []byte
	fits       func(e modbus.Exception, answered bool) bool

	point point // what it writes regs to; zero of one that writes nothing
	regs  []uint16
}

// Probe implements device.Probed. That a write to a point that is not writable must be
// answered with exception 2, 3 or 4 is said by the Device Information Model
// Specification since V1.1; before, it was to be ignored (github.com/sunspec/models,
// issue 235). What the device takes is put back. ErrUnsupported over a connection that cannot carry what must be refused.
func (d *Driver) Probe(ctx context.Context) ([]device.Trial, error) {
	raw, ok := d.opt.Conn.(modbus.Raw)
	if !ok {
		return nil, fmt.Errorf("probe: the connection: %w", device.ErrUnsupported)
	}
	if err := d.connect(ctx); err != nil {
		return nil, offline(d.lost(err))
	}
	var out []device.Trial
	l := d.layout
	for _, t := range d.trials() {
		if err := d.giveWay(ctx, l); err != nil {
			return out, err
		}
		told := d.told
		before, err := d.held(ctx)
		if err != nil {
			return out, offline(err)
		}
		r := device.Trial{Name: t.name, Want: t.want}
		if err := d.try(ctx, raw, l, &t, &r); err != nil {
			return append(out, r), offline(d.lost(err))
		}
		if err := d.giveWay(ctx, l); err != nil {
			return append(out, r), err
		}
		after, err := d.held(ctx)
		if err != nil {
			return append(out, r), offline(err)
		}
		// What a command has changed that came in between cannot be told from what the trial has.
		r.Changed = r.Changed || d.told == told && !slices.Equal(before, after)
		out = append(out, r)
	}
	return append(out, device.Trial{
		Name: "another role", Skipped: "the link has no roles, or roles are tried with a second certificate and the device is given one",
	}), nil
}

// giveWay lets go first what cannot wait. ErrOffline when the device was lost with that: what is
// tried is made for where things lay in l, also where the device was found again.
func (d *Driver) giveWay(ctx context.Context, l *layout) error {
	if device.GiveWay(ctx); d.layout != l {
		return fmt.Errorf("lost with a command that came between: %w", device.ErrOffline)
	}
	return nil
}

// try does one trial, and puts back what the device has taken.
func (d *Driver) try(ctx context.Context, c modbus.Raw, l *layout, t *trial, r *device.Trial) (err error) {
	p := t.point
	if p.block == nil {
		r.Got, r.Refused, err = t.run(ctx, c)
		return err
	}
	before, err := d.there(ctx, p)
	if err != nil {
		return err
	}
	if err := d.giveWay(ctx, l); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// What writes is not broken off before the device is as it was. Each exchange has its own end.
	ctx = context.WithoutCancel(ctx)
	r.Got, r.Refused, err = t.run(ctx, c)
	w := written(p, t.regs, before)
	w.Status, w.Text = device.Rejected, r.Got
	switch {
	case err != nil:
	case r.Refused:
		var after []uint16
		if after, err = d.look(ctx, p); err == nil {
			w.After = meaning(p, after)
		}
	default:
		err = d.putBack(ctx, t, before, &w, r)
	}
	if err != nil {
		w.Status = device.Failure
	}
	r.Writes = append([]device.Write{w}, r.Writes...)
	return err
}

// undoTries is how often a device is asked what it holds, and told what it held, before it is
// left with what a trial has written.
const undoTries = 3

// look is there of what was written, and asks again where no answer comes.
func (d *Driver) look(ctx context.Context, p point) (regs []uint16, err error) {
	for range undoTries {
		if regs, err = d.there(ctx, p); !errors.Is(err, device.ErrOffline) {
			break
		}
		modbus.Insist(d.opt.Conn)
	}
	return regs, err
}

// putBack looks whether a device has taken what it did not refuse, and writes what was
// there before. What is measured moves by itself: it counts as taken while it is what was
// written.
func (d *Driver) putBack(ctx context.Context, t *trial, before []uint16, w *device.Write, r *device.Trial) error {
	p := t.point
	after, err := d.look(ctx, p)
	if err != nil {
		return err
	}
	w.Status, w.After = device.Failure, meaning(p, after)
	if !slices.Equal(after, t.regs) || slices.Equal(after, before) {
		return nil
	}
	w.Status, r.Changed = device.Done, true
	back := written(p, before, after)
	back.Act, back.Status = device.Restored, device.Failure
	for n := 0; n < undoTries && !r.Restored; n++ {
		modbus.Insist(d.opt.Conn)
		told := d.told
		if device.GiveWay(ctx); d.told != told { // which may have written here: then what was before is of the past
			if after, err = d.look(ctx, p); err != nil {
				break
			} else if !slices.Equal(after, t.regs) {
				return nil
			}
		}
		failed := d.write(ctx, p.block, p.field.At, before)
		if back.Text = ""; failed != nil {
			back.Text = failed.Error()
		}
		if after, err = d.look(ctx, p); err != nil {
			break
		}
		back.After, r.Restored = meaning(p, after), !slices.Equal(after, t.regs)
	}
	if r.Restored {
		back.Status = device.Done
	}
	if err != nil {
		back.Text = err.Error()
	}
	r.Writes = append(r.Writes, back)
	return err
}

// there is what lies in the registers of a point.
func (d *Driver) there(ctx context.Context, p point) ([]uint16, error) {
	device.GiveWay(ctx)
	return readRegisters(ctx, d.opt.Conn, p.block.Addr+p.field.At, p.field.Size)
}

// written is what the audit says of a write of regs.
func written(p point, regs, before []uint16) device.Write {
	return device.Write{What: p.name(), Unit: p.field.Unit, Asked: meaning(p, regs), Before: meaning(p, before), After: math.NaN()}
}

// meaning is the number that regs are in a point, after the scale factor as it was read
// last; NaN for not implemented.
func meaning(p point, regs []uint16) float64 {
	scale, ok := p.block.scale(p.field)
	if !ok {
		return math.NaN()
	}
	return decode(p.field.Type, regs, scale).Float()
}

// held are the registers of all points that can be written, heartbeats and timers left
// out, which move by themselves.
func (d *Driver) held(ctx context.Context) (out []uint16, err error) {
	var points []point
	for _, b := range d.layout.device.Blocks {
		for f := range b.Fields() {
			if p := (point{b, f}); f.RW && p.exists() && !slices.Contains(d.layout.beats, p) {
				points = append(points, p)
			}
		}
	}
	if err := d.refresh(ctx, points...); err != nil {
		return nil, err
	}
	for _, p := range points {
		out = append(out, p.block.Regs[p.field.At:p.field.At+p.field.Size]...)
	}
	return out, nil
}

func (d *Driver) trials() []trial {
	l := d.layout
	var out []trial
	refusesValue := func(e modbus.Exception, answered bool) bool { return answered && e == modbus.IllegalValue }
	if p := l.power; p.exists() { // which is measured, and so written anew by a device that takes it
		regs := slices.Clone(p.block.Regs[p.field.At : p.field.At+p.field.Size])
		regs[len(regs)-1] ^= 1
		out = append(out, trial{
			name: "write to a read-only point", want: "exception 2, 3 or 4", unit: d.opt.Unit, pdu: writePDU(p, regs), point: p, regs: regs,
			fits: func(e modbus.Exception, answered bool) bool {
				return answered && (e == modbus.IllegalAddress || e == modbus.IllegalValue || e == modbus.DeviceFailure)
			},
		})
	}
	base := uint16(l.device.Base)
	out = append(out,
		trial{
			name: "read outside the map", want: "exception 2", unit: d.opt.Unit, pdu: readPDU(l.outside(), 2),
			fits: func(e modbus.Exception, answered bool) bool { return answered && e == modbus.IllegalAddress },
		},
		trial{name: "read no registers", want: "exception 3", unit: d.opt.Unit, pdu: readPDU(base, 0), fits: refusesValue},
		trial{name: "read 126 registers", want: "exception 3", unit: d.opt.Unit, pdu: readPDU(base, modbus.MaxRead+1), fits: refusesValue},
	)
	if p := l.enumeration(); p.exists() {
		regs := []uint16{strange}
		out = append(out, trial{
			name: "write a value out of range", want: "exception 3", unit: d.opt.Unit, pdu: writePDU(p, regs), fits: refusesValue, point: p, regs: regs,
		})
	}
	return append(out, trial{
		name: "ask another unit", want: "exception 10 or 11, or no answer", unit: otherUnit(d.opt.Unit), pdu: readPDU(base, 2),
		fits: func(e modbus.Exception, answered bool) bool {
			return !answered || e == modbus.GatewayNoPath || e == modbus.GatewayNoResponse
		},
	})
}

// otherUnit is one that hardly any device has, which the one beside ours may be: the last
// address of a line, or the one before.
func otherUnit(unit byte) byte {
	if unit == 247 {
		return 246
	}
	return 247
}

// strange is a value that no enumeration of the models has.
const strange = 999

// enumeration is a point that does least should the device take a strange value for it.
func (l *layout) enumeration() point {
	for _, name := range []string{"704.WMaxLimPctEnaRvrt", "704.WSetEnaRvrt", "704.WRmpRef", "123.VArPct_Mod", "124.ChaGriSet", "704.WSetMod", "123.WMaxLim_Ena"} {
		if p := only(l.device, name); p.exists() {
			return p
		}
	}
	return point{}
}

// outside is an address behind the map, or before it where it fills all there is.
func (l *layout) outside() uint16 {
	const gap = 1000 // whatever the maker has put behind the map
	end := l.device.Base
	for _, b := range l.device.Blocks {
		end = max(end, b.Addr+headerSize+int(b.Regs[1]))
	}
	if end+gap+2 > addresses {
		return uint16(max(l.device.Base-gap, 0))
	}
	return uint16(end + gap)
}

func readPDU(addr, n uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16([]byte{readHolding}, addr), n)
}

func writePDU(p point, regs []uint16) []byte {
	out := binary.BigEndian.AppendUint16([]byte{writeRegisters}, uint16(p.block.Addr+p.field.At))
	out = append(binary.BigEndian.AppendUint16(out, uint16(len(regs))), byte(2*len(regs)))
	for _, r := range regs {
		out = binary.BigEndian.AppendUint16(out, r)
	}
	return out
}

// run tries it. No answer at all is one; what broke the link otherwise is an error only
// when the next request finds it broken.
func (t *trial) run(ctx context.Context, c modbus.Raw) (got string, refused bool, err error) {
	answer, err := c.Raw(ctx, t.unit, t.pdu)
	switch {
	case ctx.Err() != nil:
		return "", false, ctx.Err()
	case errors.Is(err, device.ErrOffline):
		return "no answer", t.fits(0, false), nil
	case err != nil:
		return "", false, err
	case len(answer) == 2 && answer[0] == t.pdu[0]|0x80:
		e := modbus.Exception(answer[1])
		return e.Error(), t.fits(e, true), nil
	}
	return "an answer", false, nil
}
