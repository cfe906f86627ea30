package modbus

import (
	"errors"
	"fmt"
	"time"

	lib "github.com/simonvetter/modbus"
	"go.bug.st/serial"
)

// OpenSerial opens the serial line of an rtu:// address for bytes.
func OpenSerial(address string) (serial.Port, error) {
	to, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	if to.device == "" {
		return nil, fmt.Errorf("address %q is not that of a serial line", address)
	}
	return openSerial(&to)
}

// Baud is the speed of the line of an rtu:// address, bit/s.
func Baud(address string) (int, error) {
	to, err := parseAddress(address)
	return int(to.baud), err
}

// FrameTime is how long so many bytes take on a serial line: characters of 11 bits, and the
// silence that ends them. Of no line, 0, they take none.
func FrameTime(baud, bytes int) time.Duration {
	if baud <= 0 {
		return 0
	}
	t := target{baud: uint(baud)}
	return time.Duration(bytes)*11*time.Second/time.Duration(baud) + t.silence()
}

// openSerial opens a serial line for bytes.
func openSerial(to *target) (serial.Port, error) {
	mode := serial.Mode{BaudRate: int(to.baud), DataBits: int(to.data)}
	if to.stop == 2 {
		mode.StopBits = serial.TwoStopBits
	}
	switch to.parity {
	case lib.PARITY_EVEN:
		mode.Parity = serial.EvenParity
	case lib.PARITY_ODD:
		mode.Parity = serial.OddParity
	}
	p, err := serial.Open(to.device, &mode)
	if err != nil {
		return nil, fmt.Errorf("serial line %s: %w", to.device, err)
	}
	return p, nil
}

// silence is how long a serial line is silent between frames: 3.5 characters of 11 bits, and
// from 19200 bit/s on 1.75 ms (Modbus over Serial Line V1.02, chapter 2.5.1.1).
func (t *target) silence() time.Duration {
	if t.baud >= 19200 {
		return 1750 * time.Microsecond
	}
	return 35 * 11 * time.Second / 10 / time.Duration(t.baud)
}

// Pause is more than the 3.5 characters of silence that end a frame, which are 4 ms at
// 9600 bit/s, and more than a driver of a USB adapter holds bytes back.
const Pause = 20 * time.Millisecond

var errNoise = errors.New("the serial line does not become silent")

// drain listens to a serial line and throws away what comes, until a time and a Pause
// after the last byte. A frame on a serial line does not say which request it answers, so
// an answer that comes late would be taken for that of the next.
func drain(to *target, until time.Time) error {
	p, err := openSerial(to)
	if err != nil {
		return err
	}
	defer p.Close() //nolint:errcheck // nothing was written
	if err := p.SetReadTimeout(Pause); err != nil {
		return err
	}
	limit := time.Now()
	if until.After(limit) {
		limit = until
	}
	limit = limit.Add(time.Second)
	buf := make([]byte, MaxRTU)
	for {
		n, err := p.Read(buf)
		if err != nil {
			return fmt.Errorf("serial line %s: %w", to.device, err)
		}
		switch now := time.Now(); {
		case n == 0 && !now.Before(until):
			return nil
		case now.After(limit):
			return errNoise
		}
	}
}
