package device

import (
	"encoding/binary"
	"fmt"
	"math"
)

// DecodeFrame reads what AppendBinary wrote, and nothing else: a frame has one
// binary form, so what is accepted is given back byte for byte by AppendBinary.
// The frame shares no memory with b. Every error wraps ErrFrame; no input makes
// it panic or allocate more than MaxRows readings and a small multiple of its own
// size.
func DecodeFrame(b []byte) (Frame, error) {
	if len(b) < 4 || b[0] != frameMagic {
		return nil, fmt.Errorf("%w: no frame header", ErrFrame)
	}
	if b[1] != frameVersion {
		return nil, fmt.Errorf("%w: version %d, this program reads %d", ErrFrame, b[1], frameVersion)
	}
	d := decoder{b: b[3:]}
	n := d.uvarint()
	if n > MaxRows {
		return nil, fmt.Errorf("%w: %d rows, at most %d", ErrFrame, n, MaxRows)
	}
	f := d.frame(frameKind(b[2]), int(n))
	switch {
	case d.bad:
		return nil, fmt.Errorf("%w: cut short or malformed", ErrFrame)
	case f == nil:
		return nil, fmt.Errorf("%w: unknown kind %d", ErrFrame, b[2])
	case len(d.b) != 0:
		return nil, fmt.Errorf("%w: %d bytes too many", ErrFrame, len(d.b))
	}
	return f, nil
}

type decoder struct {
	b   []byte
	bad bool
}

// The fewest bytes that a row of a list takes, which bound how many rows an input
// of some size may ask memory for.
const (
	minCommand = 22
	minAck     = 34
	minEvent   = 9
	minAct     = 7
	minWrite   = 36
)

// rows is n, or 0 when the input cannot hold n rows of at least size bytes.
func (d *decoder) rows(n, size int) int {
	if n*size > len(d.b) {
		d.bad = true
		return 0
	}
	return n
}

func (d *decoder) frame(k frameKind, n int) Frame {
	switch k {
	case kindReadings, kindReadingsHz:
		return d.readings(n, k)
	case kindCommands:
		f := &Commands{List: make([]Command, d.rows(n, minCommand))}
		for i := range f.List {
			if d.bad {
				break
			}
			f.List[i] = Command{
				Slot: Slot(d.uint32()), Seq: d.uvarint(),
				Verb: Verb(d.byte()), Mode: Mode(d.byte()), Priority: Priority(d.byte()),
				Power: d.float(), At: d.varint(), Duration: d.varint(), Until: d.varint(),
				ID: d.string(), Source: d.string(), Reason: d.string(),
			}
		}
		return f
	case kindAcks, kindAcksOf:
		f := &Acks{List: make([]Ack, d.rows(n, minAck))}
		for i := range f.List {
			if d.bad {
				break
			}
			f.List[i] = Ack{
				Slot: Slot(d.uint32()), Seq: d.uvarint(), Status: AckStatus(d.byte()),
				Verb: Verb(d.byte()), Mode: Mode(d.byte()), Priority: Priority(d.byte()), Reduced: d.bool(), Repeat: d.bool(),
				Power: d.float(), Before: d.float(), At: d.varint(), Issued: d.varint(), Until: d.varint(),
				ID: d.string(), Code: d.string(), Reason: d.string(), Source: d.string(),
			}
			if k == kindAcksOf {
				f.List[i].Was, f.List[i].Is = d.standing(), d.standing()
			}
		}
		d.bad = d.bad || f.kind() != k
		return f
	case kindEvents:
		f := &Events{List: make([]Event, d.rows(n, minEvent))}
		for i := range f.List {
			if d.bad {
				break
			}
			f.List[i] = Event{
				Slot: Slot(d.uint32()), Severity: Severity(d.byte()), At: d.varint(),
				ID: d.string(), Type: d.string(), Text: d.string(),
			}
		}
		return f
	case kindActs:
		f := &Acts{List: make([]Act, d.rows(n, minAct))}
		for i := range f.List {
			if d.bad {
				break
			}
			f.List[i] = Act{
				At: d.varint(), Type: d.string(), Source: d.string(), From: d.string(),
				Subject: d.string(), Outcome: d.string(), Text: d.string(),
			}
		}
		return f
	case kindWrites:
		f := &Writes{List: make([]Write, d.rows(n, minWrite))}
		for i := range f.List {
			if d.bad {
				break
			}
			f.List[i] = Write{
				Slot: Slot(d.uint32()), Status: AckStatus(d.byte()), At: d.varint(),
				Asked: d.float(), Before: d.float(), After: d.float(),
				Act: d.string(), What: d.string(), Unit: d.string(), Source: d.string(), Reason: d.string(), Text: d.string(),
			}
		}
		return f
	case kindMeta, kindMetaBy:
		if n != 1 {
			d.bad = true
		}
		f := &Meta{At: d.varint(), Kind: d.string(), Key: d.string()}
		if k == kindMetaBy {
			f.By = d.string()
			d.bad = d.bad || f.By == ""
		}
		f.Value = append([]byte(nil), d.take(d.length())...)
		return f
	}
	return nil
}

func (d *decoder) readings(n int, k frameKind) *Readings {
	f := &Readings{Slot: readInts[Slot](d, n), At: readInts[int64](d, n), Arrived: readInts[int64](d, n)}
	for _, c := range f.floats() {
		*c = d.floats(n)
	}
	if k == kindReadingsHz {
		f.Frequency = d.floats(n)
		for _, hz := range f.Frequency {
			d.bad = d.bad || !(hz > 0) && math.Float64bits(hz) != 0
		}
		d.bad = d.bad || f.kind() != k
	}
	f.Status = readBytes[Status](d, n)
	f.Quality = readBytes[Quality](d, n)
	f.Flags = readInts[Flags](d, n)
	words := d.uvarint()
	if words > uint64(n) {
		d.bad = true
		return f
	}
	for range words {
		if d.bad {
			break
		}
		row := d.uvarint()
		if k := len(f.Words); row >= uint64(n) || k > 0 && row <= uint64(f.Words[k-1].Row) {
			d.bad = true
		}
		f.Words = append(f.Words, Word{Row: uint32(row), Text: d.string()})
	}
	return f
}

func (d *decoder) take(n int) []byte {
	if d.bad || n < 0 || n > len(d.b) {
		d.bad = true
		return nil
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) byte() byte {
	if p := d.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (d *decoder) bool() bool {
	v := d.byte()
	d.bad = d.bad || v > 1
	return v == 1
}

func (d *decoder) standing() Standing {
	s := Standing(d.byte())
	d.bad = d.bad || !s.valid()
	return s
}

func (d *decoder) uint32() uint32 {
	if p := d.take(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if p := d.take(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

func (d *decoder) float() float64 { return math.Float64frombits(d.uint64()) }

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	d.skip(n)
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	d.skip(n)
	return v
}

// skip passes over a varint of n bytes, the shortest there is for its value.
func (d *decoder) skip(n int) {
	if n <= 0 || n > 1 && d.b[n-1] == 0 {
		d.bad = true
		d.b = nil
		return
	}
	d.b = d.b[n:]
}

func (d *decoder) length() int {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.bad = true
		return 0
	}
	return int(n)
}

func (d *decoder) string() string { return string(d.take(d.length())) }

func (d *decoder) floats(n int) []float64 {
	if d.bad {
		return nil
	}
	out := make([]float64, n)
	switch d.byte() {
	case packAll:
		p := d.take(8 * n)
		if p == nil {
			break
		}
		for i := range out {
			out[i] = math.Float64frombits(binary.LittleEndian.Uint64(p[8*i:]))
		}
		d.bad = uniform(out)
	case packOne:
		v := d.float()
		for i := range out {
			out[i] = v
		}
		d.empty(n, v == 0 && !math.Signbit(v))
	default:
		d.bad = true
	}
	return out
}

// empty checks that the value of a column without rows is 0.
func (d *decoder) empty(n int, zero bool) { d.bad = d.bad || n == 0 && !zero }

func readInts[T ~uint16 | ~uint32 | ~int64](d *decoder, n int) []T {
	if d.bad {
		return nil
	}
	out := make([]T, n)
	switch pack := d.byte(); pack {
	case packAll:
		for i := range out {
			if d.bad {
				break
			}
			out[i] = readInt[T](d)
		}
		one, step := pattern(out)
		d.bad = d.bad || one || step
	case packOne, packStep:
		first := readInt[T](d)
		for i := range out {
			out[i] = first
			if pack == packStep {
				out[i] += T(i)
			}
		}
		d.empty(n, first == 0)
		d.bad = d.bad || pack == packStep && n < 2
	default:
		d.bad = true
	}
	return out
}

func readInt[T ~uint16 | ~uint32 | ~int64](d *decoder) T {
	v := d.varint()
	d.bad = d.bad || int64(T(v)) != v
	return T(v)
}

func readBytes[T ~uint8](d *decoder, n int) []T {
	if d.bad {
		return nil
	}
	out := make([]T, n)
	switch d.byte() {
	case packAll:
		for i, v := range d.take(n) {
			out[i] = T(v)
		}
		d.bad = d.bad || alike(out)
	case packOne:
		v := T(d.byte())
		for i := range out {
			out[i] = v
		}
		d.empty(n, v == 0)
	default:
		d.bad = true
	}
	return out
}
