package nats

import (
	"os"
	"syscall"
)

// Space is how many bytes of the file system of dir are free to this process, and how many it has.
func Space(dir string) (free, total uint64, err error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	free = st.Bavail
	if os.Geteuid() == 0 { // who may take what is reserved for root
		free = st.Bfree
	}
	return free * uint64(st.Bsize), st.Blocks * uint64(st.Bsize), nil
}
