//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package billing

import (
	"errors"
	"os"
	"syscall"
)

// lock waits until nobody else has the file. The lock ends with the file or the process,
// however it ends.
func lock(f *os.File) (unlock func() error, err error) {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err == nil {
			return func() error { return nil }, nil
		}
		if !errors.Is(err, syscall.EINTR) {
			return nil, &os.PathError{Op: "lock", Path: f.Name(), Err: err}
		}
	}
}
