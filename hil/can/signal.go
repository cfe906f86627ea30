package can

import "math"

// Signal is one value in the data of a message. Physical = raw x Factor + Offset. The
// range that databases state beside it is not used: a value outside is passed on for
// ingest to judge, never bent into range.
type Signal struct {
	Name      string
	Start     uint8 // bit, counted as databases do: of the least significant one, for big endian of the most significant one
	Length    uint8 // bits
	BigEndian bool
	Signed    bool
	Float     bool // IEEE 754 of Length bits
	Factor    float64
	Offset    float64
	Unit      string
	When      int64 // value of the message's switch with which the signal is there; -1 always
	bytes     int   // of data that it reaches into
}

// reach is how many bytes of data it takes to hold the signal.
func (s *Signal) reach() int {
	if !s.BigEndian {
		return (int(s.Start) + int(s.Length) + 7) / 8
	}
	first := int(s.Start)%8 + 1 // bits in the byte where it begins
	return int(s.Start)/8 + 1 + (max(int(s.Length)-first, 0)+7)/8
}

// Raw is the signal's bits.
func (s *Signal) Raw(d *Data) uint64 {
	if s.BigEndian {
		return d.UnsignedBitsBigEndian(s.Start, s.Length)
	}
	return d.UnsignedBitsLittleEndian(s.Start, s.Length)
}

// SetRaw puts the signal's bits.
func (s *Signal) SetRaw(d *Data, raw uint64) {
	raw &= s.ones()
	if s.BigEndian {
		d.SetUnsignedBitsBigEndian(s.Start, s.Length, raw)
	} else {
		d.SetUnsignedBitsLittleEndian(s.Start, s.Length, raw)
	}
}

// ones is a raw value of nothing but ones.
func (s *Signal) ones() uint64 { return ^uint64(0) >> (64 - s.Length) }

// Physical is the value of raw bits, NaN where they say that it is not implemented: all
// ones in an unsigned signal of at least a byte, the largest or the smallest value in a
// signed one (0x7FFF as in NMEA 2000, 0x8000 as in SunSpec).
func (s *Signal) Physical(raw uint64) float64 {
	switch {
	case s.Float && s.Length == 32:
		return s.scaled(float64(math.Float32frombits(uint32(raw))))
	case s.Float:
		return s.scaled(math.Float64frombits(raw))
	case !s.Signed:
		if s.Length >= 8 && raw == s.ones() {
			return math.NaN()
		}
		return s.scaled(float64(raw))
	}
	top := uint64(1) << (s.Length - 1)
	if s.Length >= 8 && (raw == top || raw == top-1) {
		return math.NaN()
	}
	return s.scaled(float64(int64(raw<<(64-s.Length)) >> (64 - s.Length)))
}

// scaled is a number of the signal with factor and offset. Where the factor is one over a
// whole number, as with steps of 0.1, it divides, so that the result is the decimal number
// which was meant.
func (s *Signal) scaled(x float64) float64 {
	if inverse := math.Round(1 / s.Factor); math.Abs(s.Factor) < 1 && math.Abs(inverse*s.Factor-1) < 1e-12 {
		return x/inverse + s.Offset
	}
	return x*s.Factor + s.Offset
}

// Encode puts a physical value into the data, rounded to the signal's step and cut to what
// its bits hold; NaN as not implemented where the signal has a form for that, else as 0.
func (s *Signal) Encode(d *Data, v float64) { s.SetRaw(d, s.rawOf(v)) }

// SetCount puts a counter as its bits, whatever its factor, from 0 again after the most that
// they hold; what Physical takes for no value is skipped.
func (s *Signal) SetCount(d *Data, n uint64) {
	switch most := s.ones() >> signBit(s.Signed); {
	case s.Float:
		s.Encode(d, float64(n))
		return
	case s.Length >= 8:
		n %= most
	default:
		n %= most + 1
	}
	s.SetRaw(d, n)
}

func (s *Signal) rawOf(v float64) uint64 {
	x := (v - s.Offset) / s.Factor
	if s.Float {
		if s.Length == 32 {
			return uint64(math.Float32bits(float32(x)))
		}
		return math.Float64bits(x)
	}
	least, most := 0.0, float64(s.ones())
	if s.Signed {
		most = float64(s.ones() >> 1)
		least = -most - 1
	}
	if s.Length >= 8 { // what lies at the ends says that there is no value
		if math.IsNaN(x) {
			return s.ones() >> signBit(s.Signed)
		}
		most--
		if s.Signed {
			least++
		}
	}
	switch x = math.Round(x); {
	case math.IsNaN(x):
		return 0
	case x <= least:
		return uint64(int64(least))
	case x >= most && s.Length == 64: // most itself is no float64
		return s.ones()>>signBit(s.Signed) - 1
	case x >= most:
		x = most
	}
	if s.Signed {
		return uint64(int64(x))
	}
	return uint64(x)
}

func signBit(signed bool) uint {
	if signed {
		return 1
	}
	return 0
}

// Decode puts the values of all signals of a frame into values, which has a place for
// each, and their bits into raw. NaN stands for what the frame does not hold: it is too
// short, another selection, or not implemented. A frame of nothing but ones says that of
// all its signals.
func (m *Message) Decode(f *Frame, values []float64, raw []uint64) {
	length, blank := min(f.Length, 8), blank(f)
	selected := int64(-1)
	if m.switches >= 0 {
		selected = int64(m.Signals[m.switches].Raw(&f.Data))
	}
	for i := range m.Signals {
		s := &m.Signals[i]
		if blank || s.bytes > int(length) || s.When >= 0 && s.When != selected {
			values[i], raw[i] = math.NaN(), 0
			continue
		}
		raw[i] = s.Raw(&f.Data)
		values[i] = s.Physical(raw[i])
	}
}

// blank reports whether a frame holds nothing but ones.
func blank(f *Frame) bool {
	length := min(f.Length, 8)
	return length == 0 || f.Data.PackLittleEndian()<<(64-8*length) == ^uint64(0)<<(64-8*length)
}

// Frame is an empty frame of the message.
func (m *Message) Frame() Frame {
	return Frame{ID: m.ID, IsExtended: m.Extended, Length: uint8(m.Size)}
}
