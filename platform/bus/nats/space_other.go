//go:build !linux

package nats

import (
	"errors"
	"os"
)

// allocate has the disk give n bytes of f from an offset on.
func allocate(*os.File, int64, int64) error { return errors.ErrUnsupported }

// Space is how many bytes of the file system of dir are free, and how many it has.
func Space(string) (free, total uint64, err error) { return 0, 0, errors.ErrUnsupported }
