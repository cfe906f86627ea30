package main

import (
	"runtime"
	"testing"
)

// TestRoom: garbage may gather as far as the machine has memory for it, unless somebody has said
// how far.
func TestRoom(t *testing.T) {
	goal := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.NextGC
	}
	if least := memory(); least < 64<<20 {
		t.Fatalf("this machine has %d bytes of memory", least)
	}
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	without := goal()
	release := makeRoom()
	with := goal()
	release()
	if least := min(mostRoom, memory()/16); with < without+least {
		t.Errorf("the collector waits for %d bytes, %d without room", with, without)
	}
	t.Setenv("GOMEMLIMIT", "1GiB")
	release = makeRoom()
	if with := goal(); with > without+mostRoom/2 {
		t.Errorf("the collector waits for %d bytes though somebody has set a limit", with)
	}
	release()
}
