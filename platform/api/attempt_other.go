//go:build !unix

package api

import "errors"

// canAttempt says that attempt works here.
const canAttempt = false

// attempt writes what the system takes without waiting.
func attempt(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }
