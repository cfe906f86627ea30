//go:build linux

package nats_test

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A power cut: the log lies on a file system of its own in an image file, which is
// copied while the writer stands still. The copy has what the disk had, and
// nothing of the page cache, which survives a kill. It needs root and a loop
// device, so it runs only where YUNCHU_POWERCUT is set.
func TestAcknowledgedSurvivesPowerCut(t *testing.T) {
	if os.Getenv("YUNCHU_POWERCUT") == "" {
		t.Skip("YUNCHU_POWERCUT is not set: mounts loop devices, needs root")
	}
	sum := 0
	for round := range 5 {
		dir := t.TempDir()
		before, after, mnt := filepath.Join(dir, "a.img"), filepath.Join(dir, "b.img"), filepath.Join(dir, "mnt")
		command(t, "truncate", "-s", "400M", before)
		command(t, "mkfs.ext4", "-q", before)
		if err := os.Mkdir(mnt, 0o700); err != nil {
			t.Fatal(err)
		}
		log := filepath.Join(mnt, "log")
		t.Cleanup(func() { _ = exec.Command("umount", "-l", mnt).Run() }) // after a failure
		command(t, "mount", "-o", "loop", before, mnt)
		acked, stderr := run(t, log, "", time.Second+rand.N(time.Second), func(p *os.Process) {
			_ = p.Signal(syscall.SIGSTOP)
			time.Sleep(20 * time.Millisecond) // what it had said is on its way
			command(t, "cp", "--sparse=always", before, after)
			_ = p.Kill()
		})
		command(t, "umount", mnt)
		if len(acked) == 0 {
			t.Errorf("round %d: nothing was acknowledged: %s", round, stderr)
		}
		command(t, "mount", "-o", "loop", after, mnt)
		wantStored(t, log, acked)
		command(t, "umount", mnt)
		sum += len(acked)
	}
	t.Logf("%d acknowledged, all stored", sum)
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Errorf("%s %v: %v: %s", name, args, err, out)
	}
}
