package main

import (
	"os"
	"runtime"
)

// mostRoom is how much garbage may gather before it is looked for, beyond what the collector
// leaves by itself: as much as is in use.
const mostRoom = 512 << 20

// makeRoom lets garbage gather: a plant that uses 60 MB and serves 10,000 requests a second
// would look for it every other second, and each time every goroutine that allocates has to help,
// so that requests stand still for some 50 ms. The memory is never touched, so it takes none; it
// only counts as in use, see golang/go#23044. On a small machine, or in a small
// container, it is less. Who sets GOGC or GOMEMLIMIT decides himself.
func makeRoom() (release func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	room := make([]byte, min(mostRoom, memory()/16))
	return func() { runtime.KeepAlive(room) }
}
