package modbus

import (
	"math"
	"slices"
)

// Register is one point of a profile for whoever serves it: where it lies, and values as
// they lie there. Numbers are in the units and signs of platform/device.
type Register struct{ x *point }

// Form is what kind of value a register is.
type Form uint8

// The forms. A Counter counts on, a Condition holds or does not, a Word is one of several.
const (
	Number    = Form(number)
	Counter   = Form(counter)
	Condition = Form(condition)
	Word      = Form(word)
	Text      = Form(text)
)

// Registers are all points of the profile, by name.
func (p *Profile) Registers() []Register {
	list := make([]Register, len(p.points))
	for i, x := range p.points {
		list[i] = Register{x}
	}
	return list
}

// Name is the point's name; Own whether it is one of the device's own settings.
func (r Register) Name() string { return r.x.name }

// Own reports whether it is a setting of the device's own.
func (r Register) Own() bool { return r.x.own }

// Form is what kind of value it is.
func (r Register) Form() Form { return Form(r.x.form) }

// Span is where it lies.
func (r Register) Span() (t Table, addr, n uint16) { return r.x.table, r.x.addr, r.x.size }

// Writes reports whether a client may write it.
func (r Register) Writes() bool { return r.x.writes }

// Reads reports whether a client may read it.
func (r Register) Reads() bool { return r.x.reads }

// Exponent is the address of the power of ten, where it has one.
func (r Register) Exponent() (addr uint16, ok bool) {
	if r.x.exponent == nil {
		return 0, false
	}
	return *r.x.exponent, true
}

// Put is a number as it lies there, with its power of ten. One that does not fit, or NaN,
// is not implemented; ok is false then.
func (r Register) Put(v float64, exponent int) (regs []uint16, ok bool) {
	x := *r.x
	x.scale = tens(x.scale, exponent)
	raw, err := x.encode(v)
	if err != nil {
		return r.Absent(), false
	}
	return x.registers(raw), true
}

// PutCount is a counter or bits as they lie there.
func (r Register) PutCount(n uint64) []uint16 {
	if r.x.mask != 0 {
		n &= r.x.mask
	}
	return r.x.registers(n & (math.MaxUint64 >> (64 - r.x.bits())))
}

// PutWord is a word as it lies there; ok is false when the profile lacks it.
func (r Register) PutWord(w string) (regs []uint16, ok bool) {
	raw, ok := r.x.code(w)
	return r.x.registers(raw), ok
}

// PutCondition is a condition as it lies there.
func (r Register) PutCondition(holds bool) []uint16 {
	on, off := r.x.values[active], r.x.values[inactive]
	var raw uint64
	switch {
	case holds && len(on) > 0:
		raw = on[0]
	case holds:
		raw = 1
		if slices.Contains(off, raw) {
			raw = 2
		}
	case len(off) > 0:
		raw = off[0]
	case slices.Contains(on, 0):
		raw = 1
	}
	if m := r.x.mask; m != 0 && raw != 0 && raw&m == 0 { // a bit further up
		raw = m
	}
	return r.x.registers(raw)
}

// PutText is a text as it lies there, cut to its length.
func (r Register) PutText(s string) []uint16 {
	b := make([]byte, 2*int(r.x.size))
	copy(b, s)
	regs := make([]uint16, r.x.size)
	for i := range regs {
		hi, lo := b[2*i], b[2*i+1]
		if r.x.littleBytes {
			hi, lo = lo, hi
		}
		regs[i] = uint16(hi)<<8 | uint16(lo)
	}
	return regs
}

// Absent is what lies there when the device does not have the value: the profile's own
// marker, else the one that is common for its type.
func (r Register) Absent() []uint16 {
	x := r.x
	raw := uint64(math.MaxUint64) >> (64 - min(x.bits(), 64))
	switch {
	case len(x.absent) > 0:
		raw = x.absent[0]
	case x.shape == signed:
		raw = 1 << (x.bits() - 1)
	case x.shape == float && x.size == 2:
		raw = uint64(math.Float32bits(float32(math.NaN())))
	case x.shape == float:
		raw = math.Float64bits(math.NaN())
	}
	return x.registers(raw)
}

// Number is the value of registers that were written; ok is false when the profile's
// range does not have it.
func (r Register) Number(regs []uint16) (v float64, ok bool) {
	v = r.x.number(regs, 0)
	return v, !math.IsNaN(v) && !math.IsInf(v, 0) && r.x.inRange(v) == nil
}

// Count is the raw value of registers.
func (r Register) Count(regs []uint16) uint64 { return r.x.raw(regs) }

// Word is the word that registers mean; ok is false for none.
func (r Register) Word(regs []uint16) (w string, ok bool) {
	w, _, ok = r.x.meaning(regs)
	return w, ok
}

// Condition is whether registers mean that it holds; ok is false when they mean neither.
func (r Register) Condition(regs []uint16) (holds, ok bool) {
	if len(r.x.values) > 0 {
		_, _, ok := r.x.meaning(regs)
		return r.x.holds(regs), ok
	}
	return r.x.holds(regs), r.x.raw(regs) <= 1
}
