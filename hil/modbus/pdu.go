package modbus

import (
	"encoding/binary"
	"errors"
)

// Function is what a request asks for.
type Function byte

// The functions of the application protocol (V1.1b3) that are spoken here.
const (
	ReadCoils      Function = 1
	ReadDiscrete   Function = 2
	ReadHolding    Function = 3
	ReadInput      Function = 4
	WriteCoil      Function = 5
	WriteRegister  Function = 6
	WriteCoils     Function = 15
	WriteRegisters Function = 16
)

// refused is the bit that turns the function of an answer into that of an exception.
const refused = 0x80

// The most bits of one request.
const (
	MaxReadBits  = 2000
	MaxWriteBits = 1968
)

// Request is what a client asks for. Count is how many registers or bits it is about;
// Values holds those that are written, bits as 0 and 1.
type Request struct {
	Function Function
	Addr     uint16
	Count    uint16
	Values   []uint16
}

// ErrMalformed: bytes that are no message of the protocol.
var ErrMalformed = errors.New("malformed message")

// coilOn and coilOff are the only values of function 5.
const (
	coilOn  = 0xFF00
	coilOff = 0x0000
)

// AppendRequest appends the protocol data unit of r.
func AppendRequest(dst []byte, r *Request) []byte {
	dst = append(dst, byte(r.Function))
	dst = binary.BigEndian.AppendUint16(dst, r.Addr)
	switch r.Function {
	case WriteCoil:
		v := uint16(coilOff)
		if r.Values[0] != 0 {
			v = coilOn
		}
		return binary.BigEndian.AppendUint16(dst, v)
	case WriteRegister:
		return binary.BigEndian.AppendUint16(dst, r.Values[0])
	case WriteCoils:
		dst = binary.BigEndian.AppendUint16(dst, r.Count)
		dst = append(dst, byte((r.Count+7)/8))
		return appendBits(dst, r.Values)
	case WriteRegisters:
		dst = binary.BigEndian.AppendUint16(dst, r.Count)
		dst = append(dst, byte(2*r.Count))
		return appendRegisters(dst, r.Values)
	}
	return binary.BigEndian.AppendUint16(dst, r.Count)
}

// ParseRequest reads the protocol data unit of a request. An error that is an Exception
// is to be answered with it; ErrMalformed is a unit that is cut.
func ParseRequest(pdu []byte) (Request, error) {
	if len(pdu) == 0 {
		return Request{}, ErrMalformed
	}
	r := Request{Function: Function(pdu[0])}
	switch r.Function {
	case ReadCoils, ReadDiscrete, ReadHolding, ReadInput, WriteCoil, WriteRegister, WriteCoils, WriteRegisters:
	default:
		return r, IllegalFunction
	}
	if len(pdu) < 5 {
		return r, ErrMalformed
	}
	r.Addr = binary.BigEndian.Uint16(pdu[1:])
	word := binary.BigEndian.Uint16(pdu[3:])
	r.Count = word
	data := pdu[5:]
	switch r.Function {
	case ReadCoils, ReadDiscrete, ReadHolding, ReadInput:
		most := uint16(MaxRead)
		if r.Function <= ReadDiscrete {
			most = MaxReadBits
		}
		if word < 1 || word > most || len(data) != 0 {
			return r, IllegalValue
		}
	case WriteCoil:
		if word != coilOn && word != coilOff || len(data) != 0 {
			return r, IllegalValue
		}
		r.Count, r.Values = 1, []uint16{word & 1}
		if word == coilOn {
			r.Values[0] = 1
		}
	case WriteRegister:
		if len(data) != 0 {
			return r, IllegalValue
		}
		r.Count, r.Values = 1, []uint16{word}
	case WriteCoils:
		size := (int(word) + 7) / 8
		if word < 1 || word > MaxWriteBits || len(data) != 1+size || int(data[0]) != size {
			return r, IllegalValue
		}
		r.Values = parseBits(data[1:], word)
	case WriteRegisters:
		size := 2 * int(word)
		if word < 1 || word > MaxWrite || len(data) != 1+size || int(data[0]) != size {
			return r, IllegalValue
		}
		r.Values = parseRegisters(data[1:])
	}
	if int(r.Addr)+int(r.Count) > 1<<16 {
		return r, IllegalAddress
	}
	return r, nil
}

// Reads reports whether r asks for values.
func (r *Request) Reads() bool { return r.Function <= ReadInput }

// Table is the one that r is about.
func (r *Request) Table() Table {
	switch r.Function {
	case ReadCoils, WriteCoil, WriteCoils:
		return Coils
	case ReadDiscrete:
		return Discrete
	case ReadInput:
		return Input
	}
	return Holding
}

// AppendAnswer appends the answer to r; values are what was read.
func AppendAnswer(dst []byte, r *Request, values []uint16) []byte {
	dst = append(dst, byte(r.Function))
	switch r.Function {
	case ReadCoils, ReadDiscrete:
		dst = append(dst, byte((len(values)+7)/8))
		return appendBits(dst, values)
	case ReadHolding, ReadInput:
		dst = append(dst, byte(2*len(values)))
		return appendRegisters(dst, values)
	}
	dst = binary.BigEndian.AppendUint16(dst, r.Addr)
	switch r.Function {
	case WriteCoil:
		if r.Values[0] != 0 {
			return binary.BigEndian.AppendUint16(dst, coilOn)
		}
		return binary.BigEndian.AppendUint16(dst, coilOff)
	case WriteRegister:
		return binary.BigEndian.AppendUint16(dst, r.Values[0])
	}
	return binary.BigEndian.AppendUint16(dst, r.Count)
}

// AppendException appends the refusal of a request of function f.
func AppendException(dst []byte, f Function, e Exception) []byte {
	return append(dst, byte(f)|refused, byte(e))
}

// ParseAnswer reads the answer to r: an Exception, or what was read. ErrMalformed for
// whatever is no answer to this very request.
func ParseAnswer(pdu []byte, r *Request) ([]uint16, error) {
	if len(pdu) == 2 && pdu[0] == byte(r.Function)|refused {
		return nil, Exception(pdu[1])
	}
	if len(pdu) < 2 || pdu[0] != byte(r.Function) {
		return nil, ErrMalformed
	}
	if !r.Reads() {
		if want := AppendAnswer(nil, r, nil); string(pdu) != string(want) {
			return nil, ErrMalformed
		}
		return nil, nil
	}
	size := 2 * int(r.Count)
	if r.Function <= ReadDiscrete {
		size = (int(r.Count) + 7) / 8
	}
	if len(pdu) != 2+size || int(pdu[1]) != size {
		return nil, ErrMalformed
	}
	if r.Function <= ReadDiscrete {
		return parseBits(pdu[2:], r.Count), nil
	}
	return parseRegisters(pdu[2:]), nil
}

func appendRegisters(dst []byte, values []uint16) []byte {
	for _, v := range values {
		dst = binary.BigEndian.AppendUint16(dst, v)
	}
	return dst
}

func parseRegisters(b []byte) []uint16 {
	values := make([]uint16, len(b)/2)
	for i := range values {
		values[i] = binary.BigEndian.Uint16(b[2*i:])
	}
	return values
}

// appendBits packs bits, the first into the lowest of the first byte.
func appendBits(dst []byte, values []uint16) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, (len(values)+7)/8)...)
	for i, v := range values {
		if v != 0 {
			dst[at+i/8] |= 1 << (i % 8)
		}
	}
	return dst
}

func parseBits(b []byte, n uint16) []uint16 {
	values := make([]uint16, n)
	for i := range values {
		values[i] = uint16(b[i/8] >> (i % 8) & 1)
	}
	return values
}
