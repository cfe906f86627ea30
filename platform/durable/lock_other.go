//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package durable

import (
	"errors"
	"os"
)

// Lock refuses while somebody else has the file. What has it is a file beside it, which a
// process that was killed leaves behind.
func Lock(f *os.File) (unlock func() error, err error) {
	beside, err := os.OpenFile(f.Name()+".lock", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return func() error { return errors.Join(beside.Close(), os.Remove(beside.Name())) }, nil
}

// TryLock is Lock: ErrLocked while somebody else has the file.
func TryLock(f *os.File) (unlock func() error, err error) {
	unlock, err = Lock(f)
	if errors.Is(err, os.ErrExist) {
		err = &os.PathError{Op: "lock", Path: f.Name(), Err: ErrLocked}
	}
	return unlock, err
}
