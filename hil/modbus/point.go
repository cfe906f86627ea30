package modbus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// shape is how a value lies in registers.
type shape uint8

const (
	unsigned shape = iota
	signed
	float
	chars
	bitShape // of a coil or a discrete input
)

var shapes = map[string]struct {
	shape shape
	size  uint16 // registers
}{
	"uint16": {unsigned, 1}, "uint32": {unsigned, 2}, "uint64": {unsigned, 4},
	"int16": {signed, 1}, "int32": {signed, 2}, "int64": {signed, 4},
	"float32": {float, 2}, "float64": {float, 4},
	"string": {chars, 0},
}

// point is a Point that was checked, with everything that it leaves open filled in.
type point struct {
	name string
	own  bool // a setting of the device's own
	quantity

	table Table
	addr  uint16
	size  uint16 // registers, or 1 bit
	shape shape
	mask  uint64 // of an unsigned value; 0: all

	// A number is (raw*scale + offset) in the file's unit, and in the quantity's
	// sign * (that*factor + shift).
	scale, offset, factor, shift float64
	sign                         float64
	exponent                     *uint16

	littleWords, littleBytes bool
	reads, writes            bool

	absent   []uint64 // raw values that say it is not implemented
	values   map[string][]uint64
	valid    *Range // in the quantity's unit
	limits   *Range
	patience time.Duration
}

// bytes are the value's bytes, the highest first.
func (p *point) bytes(regs []uint16) []byte {
	b := make([]byte, 0, 8)
	for i := range regs {
		r := regs[i]
		if p.littleWords && p.shape != chars {
			r = regs[len(regs)-1-i]
		}
		if p.littleBytes {
			r = r<<8 | r>>8
		}
		b = binary.BigEndian.AppendUint16(b, r)
	}
	return b
}

// raw is what stands in the registers of a value that is no text.
func (p *point) raw(regs []uint16) uint64 {
	var x uint64
	for _, b := range p.bytes(regs) {
		x = x<<8 | uint64(b)
	}
	return x
}

// registers puts a raw value into registers.
func (p *point) registers(raw uint64) []uint16 {
	regs := make([]uint16, p.size)
	for i := range regs {
		r := uint16(raw >> (16 * (len(regs) - 1 - i)))
		if p.littleBytes {
			r = r<<8 | r>>8
		}
		at := i
		if p.littleWords {
			at = len(regs) - 1 - i
		}
		regs[at] = r
	}
	return regs
}

// implemented reports whether the device has the value.
func (p *point) implemented(raw uint64) bool { return !slices.Contains(p.absent, raw) }

// masked is the part of a raw value that counts, moved down where that is one bit.
func (p *point) masked(raw uint64) uint64 {
	if p.mask == 0 {
		return raw
	}
	raw &= p.mask
	if p.mask&(p.mask-1) == 0 && raw != 0 {
		return 1
	}
	return raw
}

// bits is how many bits a raw value has.
func (p *point) bits() int {
	if p.shape == bitShape {
		return 1
	}
	return 16 * int(p.size)
}

// maxExponent is the largest power of ten that a device's scale factor can sensibly be.
const maxExponent = 10

// number is the value in the quantity's unit: NaN when it is not implemented. exponent is
// the register with the power of ten, where there is one.
func (p *point) number(regs []uint16, exponent uint16) float64 {
	raw := p.raw(regs)
	if !p.implemented(raw) {
		return math.NaN()
	}
	var x float64
	switch p.shape {
	case float:
		if p.size == 2 {
			x = float64(math.Float32frombits(uint32(raw)))
		} else {
			x = math.Float64frombits(raw)
		}
	case signed:
		x = float64(int64(raw<<(64-p.bits())) >> (64 - p.bits()))
	default:
		x = float64(p.masked(raw))
	}
	scale := p.scale
	if p.exponent != nil {
		e := int(int16(exponent))
		if e < -maxExponent || e > maxExponent {
			return math.NaN() // 0x8000 among them
		}
		scale = tens(scale, e)
	}
	return p.sign*(times(x, scale, p.factor)+p.offset*p.factor+p.shift) + 0 // no -0
}

// tens is x times ten to the power of e, and exact where dividing is.
func tens(x float64, e int) float64 {
	if e < 0 {
		return x / math.Pow10(-e)
	}
	return x * math.Pow10(e)
}

// times is x*a*b. Where the product of the factors is one over a whole number, as with
// steps of 0.01, it divides, so that the result is the decimal number which was meant.
func times(x, a, b float64) float64 {
	f := a * b
	if inverse := math.Round(1 / f); math.Abs(f) < 1 && math.Abs(inverse*f-1) < 1e-12 {
		return x / inverse
	}
	return x * f
}

// step is the resolution of the register in the quantity's unit; 0 for floating point.
func (p *point) step() float64 {
	if p.shape == float {
		return 0
	}
	return math.Abs(times(1, p.scale, p.factor))
}

// errRange: a value that cannot be written.
var errRange = errors.New("out of range")

// encode is the raw value of a number: the nearest that the registers can hold.
// errRange when none is near.
func (p *point) encode(v float64) (uint64, error) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("%s: %v is no number: %w", p.name, v, errRange)
	}
	x := ((p.sign*v-p.shift)/p.factor - p.offset) / p.scale
	switch p.shape {
	case float:
		if p.size == 2 {
			if math.Abs(x) > math.MaxFloat32 {
				break
			}
			return uint64(math.Float32bits(float32(x))), nil
		}
		return math.Float64bits(x), nil
	case signed:
		most := math.Ldexp(1, p.bits()-1)
		if x = math.Round(x); x < -most || x >= most {
			break
		}
		raw := uint64(int64(x)) & (1<<(p.bits()-1)<<1 - 1)
		if !p.implemented(raw) {
			break
		}
		return raw, nil
	default:
		if x = math.Round(x); x < 0 || x >= math.Ldexp(1, p.bits()) || !p.implemented(uint64(x)) {
			break
		}
		return uint64(x), nil
	}
	return 0, fmt.Errorf("%s: %g %s does not fit into its register: %w", p.name, v, p.unit, errRange)
}

// inRange judges a number that is to be written.
func (p *point) inRange(v float64) error {
	if r := p.limits; r != nil && !(v >= r.Min && v <= r.Max) {
		return fmt.Errorf("%s: %g %s is outside of %g to %g: %w", p.name, v, p.unit, r.Min, r.Max, errRange)
	}
	return nil
}

// holds reports whether a condition does. One that warns holds with a value that is neither
// active nor inactive.
func (p *point) holds(regs []uint16) bool {
	raw := p.raw(regs)
	if !p.implemented(raw) {
		return false
	}
	raw = p.masked(raw)
	on, off := p.values[active], p.values[inactive]
	switch {
	case len(on) > 0 && (!p.warns || len(off) == 0):
		return slices.Contains(on, raw)
	case len(off) > 0:
		return !slices.Contains(off, raw)
	}
	return raw != 0
}

// meaning is the word of a raw value; ok is false for one without.
func (p *point) meaning(regs []uint16) (w string, raw uint64, ok bool) {
	raw = p.masked(p.raw(regs))
	for w, list := range p.values {
		if slices.Contains(list, raw) {
			return w, raw, true
		}
	}
	return "", raw, false
}

// code is the raw value of a word, or of a condition.
func (p *point) code(w string) (raw uint64, ok bool) {
	if list := p.values[w]; len(list) > 0 {
		return list[0], true
	}
	if p.form == condition {
		return map[string]uint64{active: 1, inactive: 0}[w], true
	}
	return 0, false
}

// text is a string: what is there before the first zero, without blanks around it.
func (p *point) text(regs []uint16) string {
	b := p.bytes(regs)
	if i := slices.Index(b, 0); i >= 0 {
		b = b[:i]
	}
	return strings.TrimSpace(strings.ToValidUTF8(string(b), ""))
}
