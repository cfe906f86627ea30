//go:build !linux

package nats

import "errors"

// Space is how many bytes of the file system of dir are free, and how many it has.
func Space(string) (free, total uint64, err error) { return 0, 0, errors.ErrUnsupported }
