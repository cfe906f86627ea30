//go:build linux

package nats

import (
	"bufio"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"yunchu/platform/bus"
	"yunchu/platform/device"
)

// The server that is running must sync, not only the struct it was made from.
func TestRunningServerSyncsAlways(t *testing.T) {
	b, err := Open(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	jsz, err := b.srv.Jsz(nil)
	if err != nil {
		t.Fatal(err)
	}
	if !b.srv.JetStreamConfig().SyncAlways || !jsz.Config.SyncAlways {
		t.Error("the running server does not sync before it acknowledges")
	}
	for name, s := range b.streams {
		info, err := s.js.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if info.Config.PersistMode != jetstream.DefaultPersistMode || info.Config.Storage != jetstream.FileStorage {
			t.Errorf("%s is persisted in mode %v on %v", name, info.Config.PersistMode, info.Config.Storage)
		}
	}
	if addr := b.srv.Addr(); addr != nil {
		t.Errorf("the embedded server listens on %v", addr)
	}
}

func TestServerThatDoesNotSyncIsRefused(t *testing.T) {
	o := serverOptions(t.TempDir())
	o.SyncAlways = false
	e, err := startServer(o, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "sync") {
		t.Errorf("startServer() without SyncAlways = %v, want an error about it", err)
	}
	if err == nil {
		_ = e.stop()
	}
}

// An acknowledged frame must have left the page cache for the disk. The kernel
// says in smaps which pages of a mapped file still have to be written; the same
// look at a server that does not sync proves that the method sees them.
func TestAcknowledgedFramesAreOnTheDisk(t *testing.T) {
	unsynced := func(sync bool) int {
		dir := t.TempDir()
		if sync {
			b, err := Open(Options{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = b.Close() })
			for range 20 {
				if _, err := bus.PublishWait(t.Context(), b, bus.Control, &device.Meta{Value: make([]byte, 10_000)}); err != nil {
					t.Fatal(err)
				}
			}
			return dirtyKB(t, dir)
		}
		o := serverOptions(dir)
		o.SyncAlways = false
		lax, err := launch(o, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer lax.stop() //nolint:errcheck // a control experiment
		nc, err := nats.Connect("", nats.InProcessServer(lax.Server))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "log_control", Subjects: []string{bus.Control}}); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if _, err := js.Publish(t.Context(), bus.Control, make([]byte, 10_000)); err != nil {
				t.Fatal(err)
			}
		}
		return dirtyKB(t, dir)
	}
	lax := unsynced(false)
	if lax == 0 {
		t.Skip("this kernel or file system does not show which pages are still to be written")
	}
	t.Logf("%d kB to be written without sync", lax)
	if kb := unsynced(true); kb != 0 {
		t.Errorf("%d kB of acknowledged frames are not on the disk", kb)
	}
}

// dirtyKB is how much of the control stream's blocks is not written back.
func dirtyKB(t *testing.T, dir string) (kb int) {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "log_control", "msgs", "*.blk"))
	if err != nil || len(blocks) == 0 {
		t.Fatalf("blocks: %v, %v", blocks, err)
	}
	for _, path := range blocks {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		st, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		mem, err := syscall.Mmap(int(f.Fd()), 0, int(st.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(mem), "\x00"); n == 0 { // touches every page
			t.Errorf("%s holds no zeros", path)
		}
		kb += dirty(t, path)
		if err := syscall.Munmap(mem); err != nil {
			t.Error(err)
		}
		_ = f.Close()
	}
	return kb
}

func dirty(t *testing.T, path string) (kb int) {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skip("no smaps on this system:", err)
	}
	defer f.Close()
	mine := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		switch {
		case !strings.HasSuffix(fields[0], ":"): // a mapping begins
			mine = fields[len(fields)-1] == path
		case mine && (fields[0] == "Shared_Dirty:" || fields[0] == "Private_Dirty:"):
			n, err := strconv.Atoi(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			kb += n
		}
	}
	return kb
}
