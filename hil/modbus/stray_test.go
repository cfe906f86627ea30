package modbus_test

import (
	"errors"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/pty"
	"yunchu/platform/device"
)

// A device, a repeater or a second master may put a frame on a serial line that nobody
// asked for. It has all the marks of an answer, so it must be gone before the next request
// leaves: otherwise each answer is taken for that of the request after, for ever.
func TestStrayFrameIsNoAnswer(t *testing.T) {
	line, err := pty.Open(filepath.Join(t.TempDir(), "line"))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	twice := make(chan struct{}) // told when the second copy is on the line
	go func() {
		defer close(ended)
		buf := make([]byte, modbus.MaxRTU)
		for {
			n, err := line.Read(buf)
			if err != nil {
				return
			}
			unit, pdu, err := modbus.ParseRTU(buf[:n])
			if err != nil {
				continue
			}
			r, err := modbus.ParseRequest(pdu)
			if err != nil {
				continue
			}
			answer := modbus.AppendRTU(nil, unit, modbus.AppendAnswer(nil, &r, []uint16{r.Addr, r.Addr + 1}))
			_, _ = line.Write(answer) // a test that has ended reads no more
			_, _ = line.Write(answer)
			twice <- struct{}{}
		}
	}()
	t.Cleanup(func() { line.Close(); <-ended })
	c := dial(t, modbus.Options{Address: "rtu://" + line.Link(), Timeout: 200 * time.Millisecond})
	for _, at := range []uint16{100, 500, 600} {
		v, err := c.Read(t.Context(), modbus.Holding, at, 2)
		if err != nil {
			t.Fatal(err)
		}
		<-twice
		if !slices.Equal(v, []uint16{at, at + 1}) {
			t.Errorf("asked for %d, got the answer %v", at, v)
		}
	}
}

// A refusal is an answer, whatever its code: the device is there and is asked again at once.
func TestExceptionOfAMaker(t *testing.T) {
	addr := toy(t, func(c net.Conn, tx uint16, unit byte, pdu []byte) {
		_, _ = c.Write(modbus.AppendTCP(nil, tx, unit, modbus.AppendException(nil, modbus.Function(pdu[0]), 0xC3)))
	})
	c := dial(t, modbus.Options{Address: addr})
	for range 2 {
		_, err := c.Read(t.Context(), modbus.Holding, 0, 1)
		if e, ok := errors.AsType[modbus.Exception](err); !ok || e != 0xC3 || errors.Is(err, device.ErrOffline) {
			t.Errorf("exception 195: %v", err)
		}
	}
}
