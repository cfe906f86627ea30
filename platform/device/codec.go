package device

import (
	"encoding/binary"
	"errors"
	"math"
)

// The binary form of a frame: a magic byte, a version, the kind, the number of
// rows as a varint, then the columns (readings) or the rows. Numbers are little
// endian. A column says first how it is packed: every value, one value for all
// rows, or a first value that grows by one. The form is versioned because logs
// outlive programs.
const (
	frameMagic   = 0xE5
	frameVersion = 1
)

type frameKind uint8

const (
	kindReadings frameKind = iota + 1
	kindCommands
	kindAcks
	kindEvents
	kindMeta
	kindActs
	kindMetaBy // a Meta that says who asked
	kindWrites
	kindAcksOf     // Acks of which one says how the device stands
	kindReadingsHz // Readings of which one has a frequency
)

func (*Commands) kind() frameKind { return kindCommands }
func (*Events) kind() frameKind   { return kindEvents }
func (*Acts) kind() frameKind     { return kindActs }
func (*Writes) kind() frameKind   { return kindWrites }

func (f *Readings) kind() frameKind {
	for _, hz := range f.Frequency {
		if hz > 0 {
			return kindReadingsHz
		}
	}
	return kindReadings
}

func (f *Acks) kind() frameKind {
	for i := range f.List {
		if a := &f.List[i]; a.Was.Known() || a.Is.Known() {
			return kindAcksOf
		}
	}
	return kindAcks
}

func (f *Meta) kind() frameKind {
	if f.By != "" {
		return kindMetaBy
	}
	return kindMeta
}

// ErrFrame is wrapped by every error of DecodeFrame: the bytes are not a frame
// that this version reads.
var ErrFrame = errors.New("not a readable frame")

const (
	packAll  = 0
	packOne  = 1
	packStep = 2
)

func header(b []byte, f Frame) []byte {
	b = append(b, frameMagic, frameVersion, byte(f.kind()))
	return binary.AppendUvarint(b, uint64(f.Rows()))
}

// AppendBinary appends the binary form of the readings.
func (f *Readings) AppendBinary(b []byte) []byte {
	b = header(b, f)
	b = appendInts(b, f.Slot)
	b = appendInts(b, f.At)
	b = appendInts(b, f.Arrived)
	for _, c := range f.floats() {
		b = appendFloats(b, *c)
	}
	if f.kind() == kindReadingsHz {
		b = appendFloats(b, f.Frequency)
	}
	b = appendBytes(b, f.Status)
	b = appendBytes(b, f.Quality)
	b = appendInts(b, f.Flags)
	b = binary.AppendUvarint(b, uint64(len(f.Words)))
	for _, w := range f.Words {
		b = binary.AppendUvarint(b, uint64(w.Row))
		b = appendString(b, w.Text)
	}
	return b
}

func (f *Readings) floats() [8]*[]float64 {
	return [8]*[]float64{&f.SoC, &f.SoH, &f.Voltage, &f.Current, &f.Power, &f.Temperature, &f.MaxCharge, &f.MaxDischarge}
}

// AppendBinary appends the binary form of the commands.
func (f *Commands) AppendBinary(b []byte) []byte {
	b = header(b, f)
	for i := range f.List {
		c := &f.List[i]
		b = binary.LittleEndian.AppendUint32(b, uint32(c.Slot))
		b = binary.AppendUvarint(b, c.Seq)
		b = append(b, byte(c.Verb), byte(c.Mode), byte(c.Priority))
		b = appendFloat(b, c.Power)
		b = binary.AppendVarint(b, c.At)
		b = binary.AppendVarint(b, c.Duration)
		b = binary.AppendVarint(b, c.Until)
		b = appendString(b, c.ID)
		b = appendString(b, c.Source)
		b = appendString(b, c.Reason)
	}
	return b
}

// AppendBinary appends the binary form of the acknowledgements.
func (f *Acks) AppendBinary(b []byte) []byte {
	b = header(b, f)
	stand := f.kind() == kindAcksOf
	for i := range f.List {
		a := &f.List[i]
		b = binary.LittleEndian.AppendUint32(b, uint32(a.Slot))
		b = binary.AppendUvarint(b, a.Seq)
		b = append(b, byte(a.Status), byte(a.Verb), byte(a.Mode), byte(a.Priority), boolByte(a.Reduced), boolByte(a.Repeat))
		b = appendFloat(b, a.Power)
		b = appendFloat(b, a.Before)
		b = binary.AppendVarint(b, a.At)
		b = binary.AppendVarint(b, a.Issued)
		b = binary.AppendVarint(b, a.Until)
		b = appendString(b, a.ID)
		b = appendString(b, a.Code)
		b = appendString(b, a.Reason)
		b = appendString(b, a.Source)
		if stand {
			b = append(b, byte(a.Was), byte(a.Is))
		}
	}
	return b
}

// AppendBinary appends the binary form of the events.
func (f *Events) AppendBinary(b []byte) []byte {
	b = header(b, f)
	for i := range f.List {
		e := &f.List[i]
		b = binary.LittleEndian.AppendUint32(b, uint32(e.Slot))
		b = append(b, byte(e.Severity))
		b = binary.AppendVarint(b, e.At)
		b = appendString(b, e.ID)
		b = appendString(b, e.Type)
		b = appendString(b, e.Text)
	}
	return b
}

// AppendBinary appends the binary form of the acts.
func (f *Acts) AppendBinary(b []byte) []byte {
	b = header(b, f)
	for i := range f.List {
		a := &f.List[i]
		b = binary.AppendVarint(b, a.At)
		for _, s := range [...]string{a.Type, a.Source, a.From, a.Subject, a.Outcome, a.Text} {
			b = appendString(b, s)
		}
	}
	return b
}

// AppendBinary appends the binary form of the writes.
func (f *Writes) AppendBinary(b []byte) []byte {
	b = header(b, f)
	for i := range f.List {
		w := &f.List[i]
		b = binary.LittleEndian.AppendUint32(b, uint32(w.Slot))
		b = append(b, byte(w.Status))
		b = binary.AppendVarint(b, w.At)
		for _, v := range [...]float64{w.Asked, w.Before, w.After} {
			b = appendFloat(b, v)
		}
		for _, s := range [...]string{w.Act, w.What, w.Unit, w.Source, w.Reason, w.Text} {
			b = appendString(b, s)
		}
	}
	return b
}

// AppendBinary appends the binary form of the change.
func (f *Meta) AppendBinary(b []byte) []byte {
	b = header(b, f)
	b = binary.AppendVarint(b, f.At)
	b = appendString(b, f.Kind)
	b = appendString(b, f.Key)
	if f.By != "" {
		b = appendString(b, f.By)
	}
	b = binary.AppendUvarint(b, uint64(len(f.Value)))
	return append(b, f.Value...)
}

func appendFloats(b []byte, c []float64) []byte {
	if uniform(c) {
		b = append(b, packOne)
		if len(c) == 0 {
			return appendFloat(b, 0)
		}
		return appendFloat(b, c[0])
	}
	b = append(b, packAll)
	for _, v := range c {
		b = appendFloat(b, v)
	}
	return b
}

func uniform(c []float64) bool {
	for i := 1; i < len(c); i++ {
		if math.Float64bits(c[i]) != math.Float64bits(c[0]) {
			return false
		}
	}
	return true
}

func appendInts[T ~uint16 | ~uint32 | ~int64](b []byte, c []T) []byte {
	one, step := pattern(c)
	switch {
	case one:
		b = append(b, packOne)
	case step:
		b = append(b, packStep)
	default:
		b = append(b, packAll)
		for _, v := range c {
			b = binary.AppendVarint(b, int64(v))
		}
		return b
	}
	var first T
	if len(c) > 0 {
		first = c[0]
	}
	return binary.AppendVarint(b, int64(first))
}

// pattern reports whether all values are one, and whether each is its
// predecessor and one.
func pattern[T ~uint16 | ~uint32 | ~int64](c []T) (one, step bool) {
	one, step = true, true
	for i := 1; i < len(c) && (one || step); i++ {
		one = one && c[i] == c[0]
		step = step && c[i] == c[i-1]+1
	}
	return one, step
}

func appendBytes[T ~uint8](b []byte, c []T) []byte {
	if alike(c) {
		var first T
		if len(c) > 0 {
			first = c[0]
		}
		return append(b, packOne, byte(first))
	}
	b = append(b, packAll)
	for _, v := range c {
		b = append(b, byte(v))
	}
	return b
}

func alike[T ~uint8](c []T) bool {
	for _, v := range c {
		if v != c[0] {
			return false
		}
	}
	return true
}

func appendFloat(b []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func boolByte(v bool) byte {
	if v {
		return 1
	}
	return 0
}
