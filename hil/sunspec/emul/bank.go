// Package emul shows a served unit as a SunSpec device: models 1, 103, 120 to 124, 160,
// 701, 702, 704, 713 to 715, 802 and 803, as registers that a Modbus server answers from.
//
// # What a client may rely on
//
// All registers of one request are of one moment, and all that one write has in it is
// taken together or not at all. A write may span points of a model in any way that cuts
// none of them. A point that cannot be written, or is not implemented, is refused with
// exception 3, and nothing of the request is taken: the Device Information Model
// Specification V1.1 demands exception 2, 3 or 4 where older ones let the device ignore
// such a write (github.com/sunspec/models, issue 235). The same answers a value that is
// out of range; exception 4 a unit in local control or one that cannot do what is asked;
// exception 2 what lies outside the map.
//
// The setpoint of the unit is shown in 704 and in 124, however it came to be. 704.WSet
// has no effect until 704.WSetEna is written, be it before, with or after it. Writing any
// of the setpoint's points while it is enabled starts the time to revert anew. When that
// is over the setpoint is 0 and WSetEna what WSetEnaRvrt says: this unit reverts to
// nothing else. A setpoint without a time to revert holds, unless the client has begun a
// heartbeat (715.ControllerHb or 802.CtrlHb) and lets it stop.
//
// 124 bounds the power from both sides: with both bits of StorCtl_Mod it is the least
// power that InWRte and a negative OutWRte allow, or the other way round; with one bit it
// is that rate. 160 has the battery as two inputs, one for each direction, as its points
// have no sign. Ramps (704.WRmp, 121.WGra, 124.WChaGra) are not implemented until
// somebody has written one.
package emul

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/sunspec"
	"yunchu/hil/unit"
)

// DefaultBase is where maps usually are.
const DefaultBase = 40000

// Options say what is served.
type Options struct {
	Unit *unit.Unit
	Base int              // address of the map
	Now  func() time.Time // nil: the wall clock
	Log  *slog.Logger
}

// Bank is the register map of one unit. It is used by one goroutine at a time.
type Bank struct {
	unit   *unit.Unit
	now    func() time.Time
	log    *slog.Logger
	base   int
	size   int
	models []*model
	panel  panel
}

// model is one of the map's with the points that it shows.
type model struct {
	at     int // registers from the start of the map
	block  *sunspec.Block
	points []shown
	scales []scale
	index  map[int]int // point by register
}

// shown is one implemented point.
type shown struct {
	field    sunspec.Field
	measured bool // which a fault can make not implemented
	get      func(*screen) any
	put      func(*change, sunspec.Value) error // nil: read only
}

// scale is a scale factor as it is without faults.
type scale struct {
	at  int
	exp int
}

// screen is what a point is shown from.
type screen struct {
	unit.View
	panel *panel
}

// The registers around the models: "SunS", and an ID and a length at the end.
const (
	mark1, mark2 = 0x5375, 0x6E53
	markSize     = 2
	endID        = 0xFFFF
	endSize      = 2
	headerSize   = 2
)

// New returns the map of a unit. An error means that it does not fit behind the base.
func New(o Options) (*Bank, error) {
	b := &Bank{unit: o.Unit, now: o.Now, log: o.Log, base: o.Base}
	if b.now == nil {
		b.now = time.Now
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	v := b.unit.View(b.now())
	b.panel = newPanel(&v)
	at := markSize
	for _, d := range describe(&v) {
		m, err := d.build(at, o.Base)
		if err != nil {
			return nil, fmt.Errorf("serve %s: %w", v.ID, err)
		}
		b.models = append(b.models, m)
		at += len(m.block.Regs)
	}
	b.size = at + endSize
	if o.Base < 0 || o.Base+b.size > 1<<16 {
		return nil, fmt.Errorf("serve %s: a map of %d registers does not fit at %d", v.ID, b.size, o.Base)
	}
	return b, nil
}

// Wire is what is broken about the unit's wire, for the server.
func (b *Bank) Wire() unit.Wire { return b.unit.View(b.now()).Wire }

// Read implements the Bank of hil/modbus/emul.
func (b *Bank) Read(t modbus.Table, addr, n uint16) ([]uint16, error) {
	if t != modbus.Holding {
		return nil, modbus.IllegalFunction
	}
	if n == 0 || n > modbus.MaxRead {
		return nil, modbus.IllegalValue
	}
	from, to := int(addr)-b.base, int(addr)-b.base+int(n)
	if from < 0 || to > b.size {
		return nil, modbus.IllegalAddress
	}
	s := b.look()
	out := make([]uint16, n)
	whole := []uint16{mark1, mark2}
	copyInto(out, from, whole, 0)
	for _, m := range b.models {
		if m.at < to && m.at+len(m.block.Regs) > from {
			m.paint(s)
			copyInto(out, from, m.block.Regs, m.at)
		}
	}
	copyInto(out, from, []uint16{endID, 0}, b.size-endSize)
	return out, nil
}

// copyInto copies what of src, which begins at register at, lies in dst, which begins at
// from.
func copyInto(dst []uint16, from int, src []uint16, at int) {
	if at < from {
		src, at = src[min(from-at, len(src)):], from
	}
	if at-from < len(dst) {
		copy(dst[at-from:], src)
	}
}

// look is the unit now, the panel in step with it.
func (b *Bank) look() *screen {
	v := b.unit.View(b.now())
	b.panel.follow(&v)
	return &screen{v, &b.panel}
}

// paint brings the registers of a model up to date. A value that they cannot hold is
// shown as not implemented.
func (m *model) paint(s *screen) {
	shift := 0
	if s.Wire.ScaleChange {
		shift = 1
	}
	for _, x := range m.scales {
		m.block.Regs[x.at] = uint16(int16(x.exp + shift))
	}
	for i := range m.points {
		p := &m.points[i]
		var x any
		if !p.measured || !s.Wire.NotImplemented {
			x = p.get(s)
		}
		regs, err := m.block.Encode(p.field, x)
		if err != nil {
			regs, err = m.block.Encode(p.field, nil)
		}
		if err == nil {
			copy(m.block.Regs[p.field.At:], regs)
		}
	}
}

// Write implements the Bank of hil/modbus/emul: all of a request or nothing of it.
func (b *Bank) Write(addr uint16, values []uint16) error {
	if len(values) == 0 || len(values) > modbus.MaxWrite {
		return modbus.IllegalValue
	}
	from, to := int(addr)-b.base, int(addr)-b.base+len(values)
	if from < 0 || to > b.size {
		return modbus.IllegalAddress
	}
	s := b.look()
	if s.Local {
		return modbus.DeviceFailure
	}
	c := &change{panel: b.panel, view: &s.View}
	for at := from; at < to; {
		m, p := b.find(at)
		if p == nil || p.put == nil || m.at+p.field.At != at || at+p.field.Size > to {
			return modbus.IllegalValue
		}
		m.paint(s)
		regs := m.block.Regs[p.field.At : p.field.At+p.field.Size]
		copy(regs, values[at-from:])
		v := m.block.At(p.field)
		if !v.OK() {
			return modbus.IllegalValue
		}
		if err := p.put(c, v); err != nil {
			return b.refuse(err)
		}
		at += p.field.Size
	}
	if err := c.settle(); err != nil {
		return b.refuse(err)
	}
	if err := b.unit.Do(b.now(), c.orders()...); err != nil {
		return b.refuse(err)
	}
	b.panel = c.panel
	return nil
}

// find is the implemented point whose register is at; nil: none.
func (b *Bank) find(at int) (*model, *shown) {
	for _, m := range b.models {
		if k, ok := m.index[at-m.at]; ok {
			return m, &m.points[k]
		}
	}
	return nil, nil
}

// refuse is the exception for what a unit says to a write.
func (b *Bank) refuse(err error) error {
	b.log.Debug("write refused", "error", err)
	if errors.Is(err, unit.ErrLocal) || errors.Is(err, unit.ErrUnable) {
		return modbus.DeviceFailure
	}
	return modbus.IllegalValue
}

// WriteCoils implements the Bank of hil/modbus/emul: there are none.
func (b *Bank) WriteCoils(uint16, []bool) error { return modbus.IllegalFunction }
