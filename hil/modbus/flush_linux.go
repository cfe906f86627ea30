package modbus

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// flush throws away what has come over a serial line that somebody else has open, too:
// what waits to be read belongs to the line, not to a handle of it.
func flush(line string) error {
	f, err := os.OpenFile(line, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("serial line: %w", err)
	}
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		return fmt.Errorf("serial line %s: %w", line, err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = unix.IoctlSetInt(int(fd), unix.TCFLSH, unix.TCIFLUSH) }); err != nil {
		return fmt.Errorf("serial line %s: %w", line, err)
	}
	if failed != nil {
		return fmt.Errorf("serial line %s: %w", line, failed)
	}
	return nil
}
