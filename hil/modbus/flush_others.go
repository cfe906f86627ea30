//go:build !linux

package modbus

import "errors"

// flush is not known here for a line that the library holds: it is opened anew instead,
// which costs a Pause of every request.
func flush(string) error { return errors.ErrUnsupported }
