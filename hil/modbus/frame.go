package modbus

import (
	"encoding/binary"
	"fmt"
	"io"
)

// MaxPDU bounds a protocol data unit: function and data.
const MaxPDU = 253

// mbapSize is the header of Modbus TCP: transaction, protocol, length, unit.
const mbapSize = 7

// AppendTCP appends pdu as a frame of Modbus TCP.
func AppendTCP(dst []byte, transaction uint16, unit byte, pdu []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, transaction)
	dst = append(dst, 0, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(pdu)+1))
	dst = append(dst, unit)
	return append(dst, pdu...)
}

// ReadTCP reads one frame of Modbus TCP into buf, which holds MaxPDU bytes. ErrMalformed
// when what comes is none: the stream has no beginning to find again and is to be closed.
func ReadTCP(r io.Reader, buf []byte) (transaction uint16, unit byte, pdu []byte, err error) {
	var head [mbapSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, 0, nil, err
	}
	size := int(binary.BigEndian.Uint16(head[4:])) - 1
	if protocol := binary.BigEndian.Uint16(head[2:]); protocol != 0 || size < 1 || size > MaxPDU {
		return 0, 0, nil, fmt.Errorf("%w: header % x", ErrMalformed, head)
	}
	pdu = buf[:size]
	if _, err := io.ReadFull(r, pdu); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, 0, nil, err
	}
	return binary.BigEndian.Uint16(head[:]), head[6], pdu, nil
}

// MaxRTU bounds a frame on a serial line: unit, protocol data unit, check sum.
const MaxRTU = 256

// AppendRTU appends pdu as a frame of Modbus on a serial line.
func AppendRTU(dst []byte, unit byte, pdu []byte) []byte {
	from := len(dst)
	dst = append(dst, unit)
	dst = append(dst, pdu...)
	return binary.LittleEndian.AppendUint16(dst, CRC(dst[from:]))
}

// ParseRTU checks a frame of a serial line.
func ParseRTU(frame []byte) (unit byte, pdu []byte, err error) {
	n := len(frame) - 2
	if n < 2 || n > MaxRTU-2 {
		return 0, nil, fmt.Errorf("%w: %d bytes", ErrMalformed, len(frame))
	}
	if got, want := binary.LittleEndian.Uint16(frame[n:]), CRC(frame[:n]); got != want {
		return 0, nil, fmt.Errorf("%w: check sum %04x, want %04x", ErrMalformed, got, want)
	}
	return frame[0], frame[1:n], nil
}

// RequestRTU is how many bytes the frame of a request has, as far as the beginning tells:
// 0 while it does not. ErrMalformed when no request begins like that.
func RequestRTU(begin []byte) (size int, err error) {
	if len(begin) < 2 {
		return 0, nil
	}
	switch Function(begin[1]) {
	case ReadCoils, ReadDiscrete, ReadHolding, ReadInput, WriteCoil, WriteRegister:
		return 8, nil
	case WriteCoils, WriteRegisters:
		if len(begin) < 7 {
			return 0, nil
		}
		if size = 9 + int(begin[6]); size > MaxRTU {
			return 0, ErrMalformed
		}
		return size, nil
	}
	return 0, ErrMalformed
}

// AnswerRTU is RequestRTU for answers.
func AnswerRTU(begin []byte) (size int, err error) {
	if len(begin) < 3 {
		return 0, nil
	}
	f := Function(begin[1])
	switch {
	case begin[1]&refused != 0:
		return 5, nil
	case f >= ReadCoils && f <= ReadInput:
		if size = 5 + int(begin[2]); size > MaxRTU {
			return 0, ErrMalformed
		}
		return size, nil
	case f == WriteCoil || f == WriteRegister || f == WriteCoils || f == WriteRegisters:
		return 8, nil
	}
	return 0, ErrMalformed
}

// crcTable is for the polynomial 0xA001, the reflected x¹⁶+x¹⁵+x²+1 of Modbus over Serial
// Line V1.02, chapter 2.5.1.2.
var crcTable = func() (t [256]uint16) {
	for i := range t {
		c := uint16(i)
		for range 8 {
			if c&1 != 0 {
				c = c>>1 ^ 0xA001
			} else {
				c >>= 1
			}
		}
		t[i] = c
	}
	return t
}()

// CRC is the check sum of a frame on a serial line; its low byte is sent first.
func CRC(b []byte) uint16 {
	c := uint16(0xFFFF)
	for _, x := range b {
		c = c>>8 ^ crcTable[byte(c)^x]
	}
	return c
}
