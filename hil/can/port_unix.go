//go:build unix

package can

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"go.bug.st/serial"
)

// port is a serial port. The library sets its mode and holds it for us alone; bytes go
// through a file of their own, because from that the runtime can take back a write that
// an adapter which hangs does not let end.
type port struct {
	*os.File
	mode serial.Port
}

func openSerial(path string, baud int) (io.ReadWriteCloser, error) {
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open serial port: %w", err)
	}
	mode, err := serial.Open(path, &serial.Mode{BaudRate: baud})
	if err != nil {
		_ = f.Close() // nothing went through it
		return nil, fmt.Errorf("open serial port %s: %w", path, err)
	}
	_ = mode.ResetInputBuffer() // what was said before was for others; where that cannot be done, it is read once more
	return port{f, mode}, nil
}

func (p port) Close() error { return errors.Join(p.File.Close(), p.mode.Close()) }
