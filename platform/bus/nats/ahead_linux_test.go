package nats

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"yunchu/platform/bus"
)

// TestRoomAheadOfALog: the disk has given the newest block what its next messages need, and
// the block is no longer for it.
func TestRoomAheadOfALog(t *testing.T) {
	store := t.TempDir()
	a := newAhead(store, bus.Data)
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	given := func(block int) (size, allocated int64) {
		var st syscall.Stat_t
		if err := syscall.Stat(a.path(block), &st); err != nil {
			t.Fatal(err)
		}
		return st.Size, st.Blocks * 512
	}
	a.keep() // there is none yet
	for i, block := range []int{7, 8, 30} {
		if err := os.WriteFile(a.path(block), make([]byte, 5000), 0o600); err != nil {
			t.Fatal(err)
		}
		if i == 2 { // after the others were trimmed
			_ = os.Remove(a.path(7))
			_ = os.Remove(a.path(8))
		}
		if a.keep(); a.block != block {
			t.Fatalf("block %d is taken for the newest, want %d", a.block, block)
		}
		if size, got := given(block); size != 5000 || got < size+aheadOf(bus.Data)/2 {
			if err := allocate(mustOpen(t, filepath.Join(store, "x")), 0, 1<<16); err != nil {
				t.Skip("this file system gives no room ahead:", err)
			}
			t.Errorf("block %d has %d bytes and room for %d", block, size, got)
		}
	}
}

func mustOpen(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}
