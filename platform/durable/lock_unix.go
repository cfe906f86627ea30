//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package durable

import (
	"errors"
	"os"
	"syscall"
)

// Lock waits until nobody else has the file. The lock ends when f is closed or the
// process ends, however it ends.
func Lock(f *os.File) (unlock func() error, err error) {
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

// TryLock is [Lock] for who does not wait: ErrLocked while somebody else has the file.
func TryLock(f *os.File) (unlock func() error, err error) {
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	if err != nil {
		return nil, &os.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	return func() error { return nil }, nil
}
