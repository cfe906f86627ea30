//go:build linux

package nats_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"yunchu/platform/bus"
	"yunchu/platform/bus/nats"
	"yunchu/platform/device"
)

// The test binary runs itself as a writer that is then killed.
const (
	writerDir  = "YUNCHU_TEST_BUS_DIR"
	writerMode = "YUNCHU_TEST_BUS_MODE"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerDir); dir != "" {
		if err := write(dir, os.Getenv(writerMode)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// write publishes without end and prints each acknowledged sequence with the id
// of its event. In mode "full" the disk takes no more after a while.
func write(dir, mode string) error {
	b, err := nats.Open(nats.Options{Dir: dir})
	if err != nil {
		return err
	}
	if mode == "full" {
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 200_000, Max: 200_000}); err != nil {
			return err
		}
	}
	var out sync.Mutex
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := 0; b.Err() == nil; i++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), w, i)
				seq, err := bus.PublishWait(context.Background(), b, bus.Control, event(id))
				if err == nil {
					out.Lock()
					fmt.Println(seq, id)
					out.Unlock()
				}
			}
		})
	}
	writers.Wait()
	select {
	case <-b.Failed():
	case <-time.After(30 * time.Second):
		return errors.New("Failed() is open after the disk refused a write")
	}
	if _, err := bus.PublishWait(context.Background(), b, bus.Control, event("late")); err == nil {
		return errors.New("a failed bus acknowledges")
	}
	fmt.Fprintln(os.Stderr, b.Err())
	_ = b.Close()
	return nil
}

// run starts a writer, calls end with its process after d unless d is 0, and
// returns what was acknowledged.
func run(t *testing.T, dir, mode string, d time.Duration, end func(*os.Process)) (acked map[uint64]string, stderr string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var complaints strings.Builder
	c := exec.Command(self)
	c.Env = append(os.Environ(), writerDir+"="+dir, writerMode+"="+mode)
	c.Stderr = &complaints
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if d > 0 {
		time.AfterFunc(d, func() { end(c.Process) })
	}
	acked = map[uint64]string{}
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		var seq uint64
		var id string
		if n, _ := fmt.Sscan(lines.Text(), &seq, &id); n == 2 && strings.Count(id, "-") == 2 {
			acked[seq] = id
		}
	}
	err = c.Wait()
	if d == 0 && err != nil {
		t.Fatalf("writer: %v: %s", err, complaints.String())
	}
	return acked, complaints.String()
}

func kill(p *os.Process) { _ = p.Kill() }

// wantStored opens the log anew and looks for every acknowledged frame.
func wantStored(t *testing.T, dir string, acked map[uint64]string) {
	t.Helper()
	b := open(t, nats.Options{Dir: dir})
	if found := b.Damages(); len(found) > 0 {
		t.Errorf("a crash is taken for damage: %+v", found)
	}
	stored := map[uint64]string{}
	if err := b.Replay(t.Context(), bus.Control, 1, func(seq uint64, f device.Frame) {
		stored[seq] = f.(*device.Events).List[0].ID
	}); err != nil {
		t.Fatal(err)
	}
	for seq, id := range acked {
		if stored[seq] != id {
			t.Errorf("sequence %d was acknowledged as %s and is %q after reopening", seq, id, stored[seq])
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAcknowledgedSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	all := map[uint64]string{}
	for round := range 6 {
		d := 100*time.Millisecond + rand.N(400*time.Millisecond)
		acked, stderr := run(t, dir, "", d, kill)
		if len(acked) == 0 {
			t.Logf("round %d: killed after %v before anything was acknowledged: %s", round, d, stderr)
		}
		for seq, id := range acked {
			if before, ok := all[seq]; ok {
				t.Errorf("sequence %d given twice: %s, %s", seq, before, id)
			}
			all[seq] = id
		}
		wantStored(t, dir, all)
	}
	if len(all) == 0 {
		t.Fatal("nothing was acknowledged in any round")
	}
	t.Logf("%d acknowledged, all stored", len(all))
}

func TestDiskThatRefusesEndsAcknowledging(t *testing.T) {
	dir := t.TempDir()
	begun := time.Now()
	acked, stderr := run(t, dir, "full", 0, kill)
	if len(acked) == 0 || !strings.Contains(stderr, "bus failed") {
		t.Errorf("%d acknowledged before the disk refused, %q", len(acked), stderr)
	}
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("noticing took %v", took)
	}
	wantStored(t, dir, acked)
	t.Logf("%d acknowledged, then: %s", len(acked), stderr)
}
