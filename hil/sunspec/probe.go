package sunspec

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
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
}

// Probe implements device.Probed. That a write to a point that is not writable must be
// answered with exception 2, 3 or 4 is said by the Device Information Model
// Specification since V1.1; before, it was to be ignored (github.com/sunspec/models,
// issue 235). ErrUnsupported over a connection that cannot carry what must be refused.
func (d *Driver) Probe(ctx context.Context) ([]device.Trial, error) {
	raw, ok := d.opt.Conn.(modbus.Raw)
	if !ok {
		return nil, fmt.Errorf("probe: the connection: %w", device.ErrUnsupported)
	}
	if err := d.connect(ctx); err != nil {
		return nil, offline(d.lost(err))
	}
	var out []device.Trial
	for _, t := range d.trials() {
		before, err := d.held(ctx)
		if err != nil {
			return out, offline(err)
		}
		r := device.Trial{Name: t.name, Want: t.want}
		r.Got, r.Refused, err = t.run(ctx, raw)
		if err != nil {
			return out, offline(d.lost(err))
		}
		after, err := d.held(ctx)
		if err != nil {
			return out, offline(err)
		}
		r.Changed = !slices.Equal(before, after)
		out = append(out, r)
	}
	return out, nil
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
	if p := l.power; p.exists() {
		value := p.block.Regs[p.field.At : p.field.At+p.field.Size]
		out = append(out, trial{
			"write to a read-only point", "exception 2, 3 or 4", d.opt.Unit, writePDU(p, value),
			func(e modbus.Exception, answered bool) bool {
				return answered && (e == modbus.IllegalAddress || e == modbus.IllegalValue || e == modbus.DeviceFailure)
			},
		})
	}
	base := uint16(l.device.Base)
	out = append(out,
		trial{
			"read outside the map", "exception 2", d.opt.Unit, readPDU(l.outside(), 2),
			func(e modbus.Exception, answered bool) bool { return answered && e == modbus.IllegalAddress },
		},
		trial{"read no registers", "exception 3", d.opt.Unit, readPDU(base, 0), refusesValue},
		trial{"read 126 registers", "exception 3", d.opt.Unit, readPDU(base, modbus.MaxRead+1), refusesValue},
	)
	if p := l.enumeration(); p.exists() {
		out = append(out, trial{"write a value out of range", "exception 3", d.opt.Unit, writePDU(p, []uint16{strange}), refusesValue})
	}
	return append(out, trial{
		"ask another unit", "exception 10 or 11, or no answer", otherUnit(d.opt.Unit), readPDU(base, 2),
		func(e modbus.Exception, answered bool) bool {
			return !answered || e == modbus.GatewayNoPath || e == modbus.GatewayNoResponse
		},
	})
}

// otherUnit is a unit beside ours; from 247 on addresses are reserved, and 0 is for all.
func otherUnit(unit byte) byte {
	if unit >= 247 {
		return unit - 1
	}
	return unit + 1
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
