package hil

import (
	"path/filepath"
	"strings"
)

// pseudoTerminal reports whether a device file is a pseudo-terminal, behind which
// stands a program and no device.
func pseudoTerminal(path string) bool {
	real, err := filepath.EvalSymlinks(path)
	return err == nil && strings.HasPrefix(real, "/dev/pts/")
}
