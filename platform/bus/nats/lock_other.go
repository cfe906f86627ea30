//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package nats

import (
	"errors"
	"fmt"
	"os"
)

// lockDir refuses: without a lock two processes could write one log.
func lockDir(path string) (*os.File, error) {
	return nil, fmt.Errorf("lock %s: %w on this system; use an external server", path, errors.ErrUnsupported)
}
