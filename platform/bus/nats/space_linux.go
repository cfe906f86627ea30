package nats

import (
	"os"
	"syscall"
)

// keepSize is FALLOC_FL_KEEP_SIZE: room beyond the end of a file, which stays where it is.
const keepSize = 1

// allocate has the disk give n bytes of f from an offset on.
func allocate(f *os.File, from, n int64) error {
	return syscall.Fallocate(int(f.Fd()), keepSize, from, n)
}

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
