package main

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// TestSpareHeap: a small plant does not collect garbage before there is some; who says how
// much memory it shall take is heard.
func TestSpareHeap(t *testing.T) {
	t.Setenv("GOGC", "")
	kept := spare()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.NextGC < 2*spareHeap {
		t.Errorf("the collector begins at %d MB, want %d at least", m.NextGC>>20, 2*spareHeap>>20)
	}
	runtime.KeepAlive(kept)
	before := debug.SetMemoryLimit(1 << 30)
	if kept := spare(); kept != nil {
		t.Errorf("%d bytes are spare beside a limit of memory", len(kept))
	}
	debug.SetMemoryLimit(before)
	t.Setenv("GOGC", "50")
	if kept := spare(); kept != nil {
		t.Errorf("%d bytes are spare beside GOGC", len(kept))
	}
}
