package sunspec

import (
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strings"
)

// Type is how the registers of a point are read.
type Type uint8

// The types of the SunSpec Device Information Model Specification. An accumulator is an
// unsigned number that is not implemented while it is zero.
const (
	Int16 Type = iota
	Uint16
	Acc16
	Enum16
	Bitfield16
	Count
	ScaleFactor
	Pad
	Int32
	Uint32
	Acc32
	Enum32
	Bitfield32
	Int64
	Uint64
	Acc64
	Bitfield64
	Float32
	Float64
	IPAddr
	IPv6Addr
	EUI48
	String
)

var typeNames = map[string]Type{
	"int16": Int16, "uint16": Uint16, "acc16": Acc16, "enum16": Enum16, "bitfield16": Bitfield16, "count": Count,
	"sunssf": ScaleFactor, "pad": Pad, "int32": Int32, "uint32": Uint32, "acc32": Acc32, "enum32": Enum32,
	"bitfield32": Bitfield32, "int64": Int64, "uint64": Uint64, "acc64": Acc64, "bitfield64": Bitfield64,
	"float32": Float32, "float64": Float64, "ipaddr": IPAddr, "ipv6addr": IPv6Addr, "eui48": EUI48, "string": String,
}

// sizes are in registers; a string says its own.
var sizes = [...]int{
	Int16: 1, Uint16: 1, Acc16: 1, Enum16: 1, Bitfield16: 1, Count: 1, ScaleFactor: 1, Pad: 1,
	Int32: 2, Uint32: 2, Acc32: 2, Enum32: 2, Bitfield32: 2, Int64: 4, Uint64: 4, Acc64: 4, Bitfield64: 4,
	Float32: 2, Float64: 4, IPAddr: 2, IPv6Addr: 8, EUI48: 4, String: 0,
}

// class is what the types have in common.
type class uint8

const (
	unsigned    class = iota // not implemented: all ones
	signed                   // not implemented: the least number
	accumulator              // not implemented: zero
	bits                     // not implemented: the highest bit is set
	floating                 // not implemented: not a number
	text                     // not implemented: all zero
)

var classes = [...]class{
	Int16: signed, Int32: signed, Int64: signed, ScaleFactor: signed, Pad: signed,
	Uint16: unsigned, Uint32: unsigned, Uint64: unsigned, Enum16: unsigned, Enum32: unsigned, Count: unsigned,
	Acc16: accumulator, Acc32: accumulator, Acc64: accumulator,
	Bitfield16: bits, Bitfield32: bits, Bitfield64: bits,
	Float32: floating, Float64: floating,
	IPAddr: text, IPv6Addr: text, EUI48: text, String: text,
}

// Numeric reports whether the type is a number, which a string or an address is not.
func (t Type) Numeric() bool { return classes[t] != text }

// bounds are the least and the greatest number that a type of n bits can tell, its mark
// for what is not implemented left out.
func (c class) bounds(n int) (least, most float64) {
	span := math.Ldexp(1, n)
	switch c {
	case signed:
		return 1 - span/2, span/2 - 1
	case bits:
		return 0, span/2 - 1
	case accumulator:
		return 0, span - 1
	case floating:
		return math.Inf(-1), math.Inf(1)
	}
	return 0, span - 2
}

// join makes one number of registers, the first the highest.
func join(regs []uint16) (raw uint64) {
	for _, r := range regs {
		raw = raw<<16 | uint64(r)
	}
	return raw
}

// split is join's inverse.
func split(regs []uint16, raw uint64) {
	for i := range regs {
		regs[i] = uint16(raw >> (16 * (len(regs) - 1 - i)))
	}
}

// missing is what the registers of a point hold that is not implemented.
func missing(t Type, regs []uint16) {
	fill := uint16(0)
	first := fill
	switch classes[t] {
	case unsigned, bits:
		fill, first = 0xFFFF, 0xFFFF
	case signed:
		first = 0x8000
	case floating:
		first = 0x7FC0
		if t == Float64 {
			first = 0x7FF8
		}
	}
	for i := range regs {
		regs[i] = fill
	}
	regs[0] = first
	if t == EUI48 {
		copy(regs, []uint16{0, 0xFFFF, 0xFFFF, 0xFFFF})
	}
}

// implemented reports whether registers of one point hold anything.
func implemented(t Type, regs []uint16) bool {
	raw := uint64(0)
	if len(regs) <= 4 {
		raw = join(regs)
	}
	n := 16 * len(regs)
	switch classes[t] {
	case unsigned:
		return raw != math.MaxUint64>>(64-n)
	case signed:
		return raw != 1<<(n-1)
	case accumulator:
		return raw != 0
	case bits:
		return raw>>(n-1) == 0
	case floating:
		return !math.IsNaN(float(t, raw))
	}
	if t == EUI48 && raw&(1<<48-1) == 1<<48-1 {
		return false
	}
	for _, r := range regs {
		if r != 0 {
			return true
		}
	}
	return false
}

func float(t Type, raw uint64) float64 {
	if t == Float32 {
		return float64(math.Float32frombits(uint32(raw)))
	}
	return math.Float64frombits(raw)
}

// words is the text that registers hold.
func words(t Type, regs []uint16) string {
	b := make([]byte, 0, 2*len(regs))
	for _, r := range regs {
		b = binary.BigEndian.AppendUint16(b, r)
	}
	switch t {
	case IPAddr, IPv6Addr:
		a, _ := netip.AddrFromSlice(b)
		return a.String()
	case EUI48:
		return net.HardwareAddr(b[2:]).String()
	}
	s, _, _ := strings.Cut(string(b), "\x00")
	return strings.TrimRight(s, " ")
}

// putWords is the inverse of words.
func putWords(t Type, s string, regs []uint16) error {
	b := make([]byte, 2*len(regs))
	switch t {
	case IPAddr, IPv6Addr:
		a, err := netip.ParseAddr(s)
		if err != nil || a.BitLen() != 8*len(b) {
			return fmt.Errorf("%q is no address of this kind: %w", s, ErrRange)
		}
		copy(b, a.AsSlice())
	case EUI48:
		a, err := net.ParseMAC(s)
		if err != nil || len(a) != 6 {
			return fmt.Errorf("%q is no EUI-48: %w", s, ErrRange)
		}
		copy(b[2:], a)
	default:
		if len(s) > len(b) {
			return fmt.Errorf("%q has more than %d bytes: %w", s, len(b), ErrRange)
		}
		copy(b, s)
	}
	for i := range regs {
		regs[i] = binary.BigEndian.Uint16(b[2*i:])
	}
	return nil
}
