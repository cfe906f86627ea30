//go:build !linux

package pty

import (
	"errors"
	"fmt"
)

func open(link string) (*Terminal, error) {
	return nil, fmt.Errorf("pseudo-terminal %s: %w on this system", link, errors.ErrUnsupported)
}
