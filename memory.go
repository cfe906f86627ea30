package main

import (
	"math"
	"os"
	"runtime/debug"
)

// spareHeap is memory that is asked for and never touched, so that the system gives none.
// The garbage collector begins to work when the heap has doubled; that of a small plant is so
// small that under load it would begin many times a second, beside the requests. With this it
// begins at 128 MB, or 128 MB later.
const spareHeap = 64 << 20

// spare is that memory, which lasts as long as it is kept alive; nil where the environment
// says by GOGC or GOMEMLIMIT how much memory the process shall take.
func spare() []byte {
	if os.Getenv("GOGC") != "" || debug.SetMemoryLimit(-1) != math.MaxInt64 {
		return nil
	}
	return make([]byte, spareHeap)
}
