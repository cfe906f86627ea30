//go:build unix

package api

import (
	"errors"
	"syscall"
)

// canAttempt says that attempt works here.
const canAttempt = true

// attempt writes what the system takes without waiting.
func attempt(fd uintptr, b []byte) (int, error) {
	for {
		n, err := syscall.Write(int(fd), b)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			return 0, nil
		}
		return max(n, 0), err
	}
}
