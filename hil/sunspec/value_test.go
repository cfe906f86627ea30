package sunspec_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"yunchu/hil/sunspec"
)

// block is a model of one point of a type, with a scale factor.
func block(t *testing.T, typ sunspec.Type, size, scale int) (*sunspec.Block, sunspec.Field) {
	t.Helper()
	b := sunspec.NewBlock(sunspec.Lookup(103), 0, 0)
	if err := b.Set("W_SF", int64(scale)); err != nil {
		t.Fatal(err)
	}
	f, ok := b.Field("A")
	if !ok {
		t.Fatal("no point A")
	}
	p := *f.Point
	p.Type, p.Size, p.Scale = typ, size, "W_SF"
	if !typ.Numeric() {
		p.Scale = ""
	}
	f.Point = &p
	return b, f
}

// TestValues reads registers of every type and writes them again.
func TestValues(t *testing.T) {
	for _, tt := range []struct {
		name  string
		typ   sunspec.Type
		scale int
		regs  []uint16
		want  any // nil: not implemented
	}{
		{"int16", sunspec.Int16, 0, []uint16{0xFFFF}, int64(-1)},
		{"int16 scaled down", sunspec.Int16, -1, []uint16{548}, 54.8},
		{"int16 scaled up", sunspec.Int16, 3, []uint16{0xFE0C}, -500000.0},
		{"int16 least", sunspec.Int16, 0, []uint16{0x8001}, int64(-32767)},
		{"int16 missing", sunspec.Int16, 0, []uint16{0x8000}, nil},
		{"uint16", sunspec.Uint16, 0, []uint16{0xFFFE}, uint64(65534)},
		{"uint16 like a missing int16", sunspec.Uint16, 0, []uint16{0x8000}, uint64(32768)},
		{"uint16 missing", sunspec.Uint16, -2, []uint16{0xFFFF}, nil},
		{"enum16", sunspec.Enum16, 0, []uint16{4}, uint64(4)},
		{"enum16 missing", sunspec.Enum16, 0, []uint16{0xFFFF}, nil},
		{"bitfield16", sunspec.Bitfield16, 0, []uint16{3}, uint64(3)},
		{"bitfield16 missing", sunspec.Bitfield16, 0, []uint16{0xFFFF}, nil},
		{"int32", sunspec.Int32, 0, []uint16{0xFFF9, 0xE580}, int64(-400000)},
		{"int32 missing", sunspec.Int32, 0, []uint16{0x8000, 0}, nil},
		{"uint32", sunspec.Uint32, -3, []uint16{0, 50000}, 50.0},
		{"uint32 missing", sunspec.Uint32, 0, []uint16{0xFFFF, 0xFFFF}, nil},
		{"acc32", sunspec.Acc32, 3, []uint16{1, 0xE240}, 123456000.0},
		{"acc32 missing", sunspec.Acc32, 0, []uint16{0, 0}, nil},
		{"enum32 missing", sunspec.Enum32, 0, []uint16{0xFFFF, 0xFFFF}, nil},
		{"bitfield32", sunspec.Bitfield32, 0, []uint16{0x0010, 0x0001}, uint64(1<<20 | 1)},
		{"bitfield32 missing", sunspec.Bitfield32, 0, []uint16{0xFFFF, 0xFFFF}, nil},
		{"uint64 beyond the exact floats", sunspec.Uint64, 0, []uint16{0x0020, 0, 0, 1}, uint64(1<<53 + 1)},
		{"uint64 greatest", sunspec.Uint64, 0, []uint16{0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE}, uint64(math.MaxUint64 - 1)},
		{"uint64 missing", sunspec.Uint64, 0, []uint16{0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF}, nil},
		{"int64", sunspec.Int64, 0, []uint16{0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE}, int64(-2)},
		{"int64 missing", sunspec.Int64, 0, []uint16{0x8000, 0, 0, 0}, nil},
		{"acc64", sunspec.Acc64, 0, []uint16{0, 0, 0, 7}, uint64(7)},
		{"acc64 missing", sunspec.Acc64, 0, []uint16{0, 0, 0, 0}, nil},
		{"float32", sunspec.Float32, 0, []uint16{0x3FC0, 0}, 1.5},
		{"float32 missing", sunspec.Float32, 0, []uint16{0x7FC0, 0}, nil},
		{"float64", sunspec.Float64, 0, []uint16{0x3FF8, 0, 0, 0}, 1.5},
		{"float64 missing", sunspec.Float64, 0, []uint16{0x7FF8, 0, 0, 0}, nil},
		{"string", sunspec.String, 0, []uint16{0x4142, 0x4300}, "ABC"},
		{"string missing", sunspec.String, 0, []uint16{0, 0}, nil},
		{"ipaddr", sunspec.IPAddr, 0, []uint16{0x7F00, 0x0001}, "127.0.0.1"},
		{"ipaddr missing", sunspec.IPAddr, 0, []uint16{0, 0}, nil},
		{"ipv6addr", sunspec.IPv6Addr, 0, []uint16{0x2001, 0x0DB8, 0, 0, 0, 0, 0, 1}, "2001:db8::1"},
		{"eui48", sunspec.EUI48, 0, []uint16{0, 0x0102, 0x0304, 0x0506}, "01:02:03:04:05:06"},
		{"eui48 missing", sunspec.EUI48, 0, []uint16{0, 0xFFFF, 0xFFFF, 0xFFFF}, nil},
		{"scale factor missing", sunspec.Int16, -32768, []uint16{5}, nil},
		{"scale factor that is none", sunspec.Int16, 11, []uint16{5}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, f := block(t, tt.typ, len(tt.regs), 0)
			b.Regs[scaleAt] = uint16(int16(tt.scale))
			copy(b.Regs[f.At:], tt.regs)
			v := b.At(f)
			if got := v.Any(); got != tt.want {
				t.Fatalf("%x = %v (%T), want %v (%T)", tt.regs, got, got, tt.want, tt.want)
			}
			if v.OK() != (tt.want != nil) || !v.OK() && !math.IsNaN(v.Float()) {
				t.Errorf("implemented %t, as a number %v", v.OK(), v.Float())
			}
			if tt.scale == -32768 || tt.scale > 10 {
				return // cannot be written either
			}
			regs, err := b.Encode(f, tt.want)
			if err != nil || !slices.Equal(regs, tt.regs) {
				t.Errorf("written again %x, %v, want %x", regs, err, tt.regs)
			}
		})
	}
}

// scaleAt is where 103 has W_SF.
const scaleAt = 15

// TestBitfieldHighestBit: a bit field in which the highest bit is set is not implemented,
// whatever else it holds.
func TestBitfieldHighestBit(t *testing.T) {
	b, f := block(t, sunspec.Bitfield32, 2, 0)
	copy(b.Regs[f.At:], []uint16{0x8000, 1})
	if v := b.At(f); v.OK() || v.Has(1) {
		t.Errorf("implemented %t", v.OK())
	}
}

// TestOutOfRange: what a register cannot hold is refused, never cut.
func TestOutOfRange(t *testing.T) {
	for _, tt := range []struct {
		name  string
		typ   sunspec.Type
		size  int
		scale int
		x     any
	}{
		{"int16 above", sunspec.Int16, 1, 0, 32768.0},
		{"int16 below", sunspec.Int16, 1, 0, -32769.0},
		{"int16 its own mark", sunspec.Int16, 1, 0, -32768.0},
		{"uint16 negative", sunspec.Uint16, 1, 0, -1.0},
		{"uint16 its own mark", sunspec.Uint16, 1, 0, uint64(65535)},
		{"uint16 after scaling", sunspec.Uint16, 1, -2, 700.0},
		{"bitfield16 its own mark", sunspec.Bitfield16, 1, 0, uint64(0x8000)},
		{"int32 above", sunspec.Int32, 2, 0, 3e9},
		{"uint64 above", sunspec.Uint64, 4, 0, 2e19},
		{"infinite", sunspec.Int16, 1, 0, math.Inf(1)},
		{"text for a number", sunspec.Int16, 1, 0, "5"},
		{"number for text", sunspec.String, 2, 0, 5.0},
		{"long text", sunspec.String, 2, 0, "abcde"},
		{"no address", sunspec.IPAddr, 2, 0, "::1"},
		{"no scale factor", sunspec.Int16, 1, -32768, 5.0},
		{"a strange thing", sunspec.Int16, 1, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, f := block(t, tt.typ, tt.size, 0)
			b.Regs[scaleAt] = uint16(int16(tt.scale))
			if regs, err := b.Encode(f, tt.x); !errors.Is(err, sunspec.ErrRange) {
				t.Errorf("%v as %x, %v, want ErrRange", tt.x, regs, err)
			}
		})
	}
}
