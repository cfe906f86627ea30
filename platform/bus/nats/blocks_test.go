package nats_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"yunchu/platform/bus"
	"yunchu/platform/bus/nats"
	"yunchu/platform/device"
)

// turnSequence turns an upper bit of the sequence of the nth record of a log's first block.
func turnSequence(t *testing.T, dir, stream string, nth int) {
	t.Helper()
	path := filepath.Join(dir, "jetstream", "$G", "streams", stream, "msgs", "1.blk")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for range nth {
		at += int(binary.LittleEndian.Uint32(b[at:]))
	}
	b[at+4+5] ^= 1 // 2^40
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTurnedSequenceIsPutBack: a turned bit that makes a sequence a million million would
// have the server note as many messages as deleted. It is put back, told, and nothing is
// missing.
func TestTurnedSequenceIsPutBack(t *testing.T) {
	const frames = 50
	dir := t.TempDir()
	b := open(t, nats.Options{Dir: dir})
	publishMany(t, b, frames)
	for _, nth := range []int{0, 20, frames - 1} {
		for _, indices := range []bool{true, false} {
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			turnSequence(t, dir, "log_control", nth)
			if !indices {
				_ = os.Remove(filepath.Join(dir, "jetstream", "$G", "streams", "log_control", "msgs", "index.db"))
			}
			_ = os.Remove(filepath.Join(dir, "DAMAGE"))
			b = open(t, nats.Options{Dir: dir})
			if d := b.Damages(); len(d) != 1 || d[0].From != uint64(nth)+1 || d[0].To != d[0].From {
				t.Errorf("record %d, with indices %v: reported %+v", nth, indices, d)
			}
			n := 0
			err := b.Replay(t.Context(), bus.Control, 1, func(seq uint64, f device.Frame) {
				n++
				if e, ok := f.(*device.Events); !ok || seq != uint64(n) || e.List[0].ID != fmt.Sprintf("needle-%04d", n) {
					t.Errorf("record %d: %d is %+v", nth, seq, f)
				}
			})
			if err != nil || n != frames {
				t.Errorf("record %d: %d of %d frames, %v", nth, n, frames, err)
			}
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}
