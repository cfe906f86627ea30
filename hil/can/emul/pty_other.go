//go:build !linux

package emul

import (
	"errors"
	"io"
)

func openPTY(string) (io.ReadWriteCloser, error) {
	return nil, errors.New("pseudo-terminals are made on Linux only")
}
