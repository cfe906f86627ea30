package modbus_test

import (
	"net"
	"testing"
	"time"

	"yunchu/hil/modbus"
	"yunchu/platform/device"
)

// An exchange that was answered shows that the device is there, with an exception too; one
// without an answer does not.
func TestAnswersAreHeard(t *testing.T) {
	addr := toy(t, func(c net.Conn, tx uint16, unit byte, pdu []byte) {
		switch pdu[2] {
		case 0:
			_, _ = c.Write(modbus.AppendTCP(nil, tx, unit, []byte{3, 2, 0, 7}))
		case 1:
			_, _ = c.Write(modbus.AppendTCP(nil, tx, unit, []byte{0x83, 2}))
		default:
			c.Close()
		}
	})
	c := dial(t, modbus.Options{Address: addr, Timeout: 10 * time.Second})
	heard := 0
	ctx := device.WithHeard(t.Context(), func() { heard++ })
	for i, want := range []int{1, 2, 2} {
		if _, err := c.Read(ctx, modbus.Holding, uint16(i), 1); heard != want || (err == nil) != (i == 0) {
			t.Errorf("exchange %d: heard %d times, want %d: %v", i, heard, want, err)
		}
	}
}
