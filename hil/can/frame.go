package can

import (
	"encoding/binary"
	"fmt"

	"go.einride.tech/can"
)

// Frame is one frame of classic CAN, a value of 16 bytes: identifier (11 bits, or 29
// when extended), up to 8 bytes of data, or a remote request. Its String is candump's.
type Frame = can.Frame

// Data is the bytes of a frame.
type Data = can.Data

// Flags of an identifier in the binary form, those of SocketCAN.
const (
	flagExtended = 1 << 31
	flagRemote   = 1 << 30
)

// frameBytes is the length of a frame's binary form.
const frameBytes = 4 + 1 + 8

// AppendFrame appends the binary form of f, as taps see it and recordings keep it: the
// identifier with SocketCAN's flags (bit 31 extended, bit 30 remote), big endian, the
// number of data bytes, and always eight of these.
func AppendFrame(b []byte, f Frame) []byte {
	id := f.ID
	if f.IsExtended {
		id |= flagExtended
	}
	if f.IsRemote {
		id |= flagRemote
	}
	b = binary.BigEndian.AppendUint32(b, id)
	b = append(b, f.Length)
	return append(b, f.Data[:]...)
}

// ParseFrame reads the binary form.
func ParseFrame(b []byte) (Frame, error) {
	if len(b) != frameBytes {
		return Frame{}, fmt.Errorf("a frame of %d bytes, want %d", len(b), frameBytes)
	}
	id := binary.BigEndian.Uint32(b)
	f := Frame{
		ID: id &^ (flagExtended | flagRemote), IsExtended: id&flagExtended != 0, IsRemote: id&flagRemote != 0,
		Length: b[4], Data: Data(b[5:]),
	}
	if err := f.Validate(); err != nil {
		return Frame{}, err
	}
	return f, nil
}
