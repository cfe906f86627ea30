package sunspec

import (
	"errors"
	"fmt"
	"math"
)

// ErrRange: a value that the registers of its point cannot hold.
var ErrRange = errors.New("out of the point's range")

// Value is what a point of a device holds.
type Value struct {
	typ   Type
	ok    bool
	raw   uint64 // sign-extended
	scale int    // power of ten
	text  string
}

// OK reports whether the point is implemented, and its scale factor with it.
func (v Value) OK() bool { return v.ok }

// Float is the value after its scale factor, NaN for what is not implemented and for
// text.
func (v Value) Float() float64 {
	switch {
	case !v.ok || !v.typ.Numeric():
		return math.NaN()
	case classes[v.typ] == floating:
		return scaled(float(v.typ, v.raw), v.scale)
	case classes[v.typ] == signed:
		return scaled(float64(int64(v.raw)), v.scale)
	}
	return scaled(float64(v.raw), v.scale)
}

// Raw is the number in the registers before the scale factor, exact.
func (v Value) Raw() (raw uint64, ok bool) { return v.raw, v.ok && v.typ.Numeric() }

// Is reports whether the point is implemented and holds n, of an enumeration.
func (v Value) Is(n uint64) bool { return v.ok && v.raw == n }

// Has reports whether the point is implemented and one of the bits of mask is set in it.
func (v Value) Has(mask uint64) bool { return v.ok && v.raw&mask != 0 }

// Text is the value of a string or an address; empty when it is not implemented.
func (v Value) Text() string { return v.text }

// Any is the value as a string, float64, int64 or uint64, whole numbers without a scale
// factor exact; nil when it is not implemented.
func (v Value) Any() any {
	switch c := classes[v.typ]; {
	case !v.ok:
		return nil
	case c == text:
		return v.text
	case c == floating || v.scale != 0:
		return v.Float()
	case c == signed:
		return int64(v.raw)
	}
	return v.raw
}

// maxScale bounds what a scale factor may be; beyond it is not implemented.
const maxScale = 10

// scaled is x * 10^scale. It divides by whole powers of ten, so that 548 with a scale of
// -1 is the number nearest to 54.8.
func scaled(x float64, scale int) float64 {
	if scale < 0 {
		return x / powers[-scale]
	}
	return x * powers[scale]
}

var powers = [maxScale + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10}

// decode reads the registers of one point.
func decode(t Type, regs []uint16, scale int) Value {
	if !implemented(t, regs) {
		return Value{typ: t}
	}
	v := Value{typ: t, ok: true, scale: scale}
	if !t.Numeric() {
		v.text = words(t, regs)
		v.ok = v.text != "" // a text of blanks is none
		return v
	}
	v.raw = join(regs)
	if n := 16 * len(regs); classes[t] == signed && n < 64 {
		v.raw = uint64(int64(v.raw<<(64-n)) >> (64 - n))
	}
	return v
}

// encode writes x, as Value.Any gives it, to the registers of one point: nil and NaN as
// not implemented. ErrRange for what they cannot hold; then they are as they were.
func encode(t Type, regs []uint16, scale int, x any) error {
	switch x := x.(type) {
	case nil:
		missing(t, regs)
		return nil
	case string:
		if t.Numeric() {
			return fmt.Errorf("%q for a number: %w", x, ErrRange)
		}
		return putWords(t, x, regs)
	case uint64:
		if c := classes[t]; scale == 0 && (c == unsigned || c == bits || c == accumulator) {
			return put(t, regs, x)
		}
		return encodeFloat(t, regs, scale, float64(x))
	case int64:
		if scale == 0 && classes[t] == signed {
			return put(t, regs, uint64(x))
		}
		return encodeFloat(t, regs, scale, float64(x))
	case float64:
		return encodeFloat(t, regs, scale, x)
	}
	return fmt.Errorf("a %T: %w", x, ErrRange)
}

func encodeFloat(t Type, regs []uint16, scale int, x float64) error {
	if !t.Numeric() {
		return fmt.Errorf("%g for text: %w", x, ErrRange)
	}
	if math.IsNaN(x) {
		missing(t, regs)
		return nil
	}
	x = scaled(x, -scale)
	switch t {
	case Float32:
		split(regs, uint64(math.Float32bits(float32(x))))
		return nil
	case Float64:
		split(regs, math.Float64bits(x))
		return nil
	}
	x = math.Round(x)
	if least, most := classes[t].bounds(16 * len(regs)); x < least || x > most {
		return fmt.Errorf("%g steps of a point from %g to %g: %w", x, least, most, ErrRange)
	}
	if classes[t] == signed {
		split(regs, uint64(int64(x)))
		return nil
	}
	if x >= math.MaxUint64 { // bounds rounds up for 64 bits
		return fmt.Errorf("%g steps: %w", x, ErrRange)
	}
	split(regs, uint64(x))
	return nil
}

// put writes a whole number unless the registers cannot hold it.
func put(t Type, regs []uint16, raw uint64) error {
	was := append([]uint16(nil), regs...)
	split(regs, raw)
	if back := decode(t, regs, 0); !back.ok || back.raw != raw {
		copy(regs, was)
		return fmt.Errorf("%d: %w", raw, ErrRange)
	}
	return nil
}
