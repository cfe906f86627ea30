package main

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// memory is how many bytes this program may use: those of the machine, or of its control group
// where that has fewer.
func memory() uint64 {
	least := uint64(mostRoom)
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) == nil {
		least = uint64(info.Totalram) * uint64(info.Unit) //nolint:unconvert // 32 bits on some
	}
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil { // else "max"
			least = min(least, n)
		}
	}
	return least
}
