package run

import (
	"fmt"
	"syscall"
)

// Magic numbers of statfs(2).
var fileSystems = map[int64]string{
	0xEF53: "ext4", 0x58465342: "xfs", 0x9123683E: "btrfs", 0x01021994: "tmpfs", 0x858458F6: "ramfs",
	0x794C7630: "overlay", 0x6969: "nfs", 0x2FC12FC1: "zfs", 0xF2F52010: "f2fs",
}

// fileSystem names the file system under a folder.
func fileSystem(dir string) string {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return "unknown"
	}
	if name, ok := fileSystems[int64(st.Type)]; ok { //nolint:unconvert // Type is an int32 on 32-bit systems
		return name
	}
	return fmt.Sprintf("type %#x", st.Type)
}

func inMemory(dir string) bool {
	fs := fileSystem(dir)
	return fs == "tmpfs" || fs == "ramfs"
}
