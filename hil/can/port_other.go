//go:build !unix

package can

import (
	"fmt"
	"io"

	"go.bug.st/serial"
)

func openSerial(path string, baud int) (io.ReadWriteCloser, error) {
	p, err := serial.Open(path, &serial.Mode{BaudRate: baud})
	if err != nil {
		return nil, fmt.Errorf("open serial port %s: %w", path, err)
	}
	_ = p.ResetInputBuffer() // what was said before was for others; where that cannot be done, it is read once more
	return p, nil
}
