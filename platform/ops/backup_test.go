package ops_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"yunchu/platform/bus"
	"yunchu/platform/bus/nats"
	"yunchu/platform/device"
	"yunchu/platform/ops"
)

// plant is a data folder with a log that begins at sequence 6, and a file.
func plant(t *testing.T) (dir string, b *nats.Bus) {
	t.Helper()
	dir = t.TempDir()
	b, err := nats.Open(nats.Options{Dir: filepath.Join(dir, "bus")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() }) // closed by some
	for i := range 40 {
		put(t, b, bus.Control, &device.Events{List: []device.Event{{ID: fmt.Sprint("e", i+1)}}})
		put(t, b, bus.Meta, &device.Meta{Kind: "user", Key: fmt.Sprint("u", i+1), Value: []byte(`{}`)})
	}
	if err := b.Trim(bus.Control, 6); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "history"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"history/00000001-1-5.parquet", "version"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("text of "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, b
}

func put(t *testing.T, b bus.Bus, stream string, f device.Frame) {
	t.Helper()
	if _, err := bus.PublishWait(t.Context(), b, stream, f); err != nil {
		t.Fatal(err)
	}
}

func TestBackupIsRestored(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		to  []age.Recipient
		ids []age.Identity
	}{"plain": {}, "encrypted": {[]age.Recipient{key.Recipient()}, []age.Identity{key}}} {
		t.Run(name, func(t *testing.T) {
			dir, b := plant(t)
			var file bytes.Buffer
			m, err := ops.Backup(t.Context(), &file, ops.Source{Dir: dir, Bus: b, Program: "test", Now: time.Now()}, tt.to...)
			if err != nil || m.Log[bus.Control] != (ops.Cut{First: 6, Last: 40}) {
				t.Fatalf("Backup() = %+v, %v", m, err)
			}
			if len(tt.to) > 0 && bytes.Contains(file.Bytes(), []byte("text of")) {
				t.Error("an encrypted backup can be read")
			}
			to := filepath.Join(t.TempDir(), "restored")
			if _, err := ops.Restore(t.Context(), bytes.NewReader(file.Bytes()), to, tt.ids...); err != nil {
				t.Fatal(err)
			}
			if text, err := os.ReadFile(filepath.Join(to, "history", "00000001-1-5.parquet")); string(text) != "text of history/00000001-1-5.parquet" {
				t.Errorf("a file came back as %q, %v", text, err)
			}
			r, err := nats.Open(nats.Options{Dir: filepath.Join(to, "bus")})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			next := uint64(6)
			if err := r.Replay(t.Context(), bus.Control, 1, func(seq uint64, f device.Frame) {
				if id := f.(*device.Events).List[0].ID; seq != next || id != fmt.Sprint("e", seq) {
					t.Errorf("sequence %d is %s, want sequence %d", seq, id, next)
				}
				next++
			}); err != nil || next != 41 {
				t.Errorf("the log ends before %d, %v", next, err)
			}
			if seq, err := bus.PublishWait(t.Context(), r, bus.Meta, &device.Meta{Kind: "user", Key: "new"}); err != nil || seq != 41 {
				t.Errorf("the next change has sequence %d, %v, want 41", seq, err)
			}
			if _, err := ops.Restore(t.Context(), bytes.NewReader(file.Bytes()), to, tt.ids...); err == nil {
				t.Error("restored over a folder that is not empty")
			}
		})
	}
}

// One bit anywhere, or one byte less, and it is no backup; nothing is written.
// TestBackupHasNoKeys: whoever reads a backup signs neither access tokens nor an audit with
// it, nor serves with the plant's certificate, and what crossed its wires is not there either.
func TestBackupHasNoKeys(t *testing.T) {
	dir, b := plant(t)
	for _, name := range []string{"keys/jwt/1.pem", "keys/audit.key", "keys/tls.key", "audit/checkpoint", "audit.damaged-1/checkpoint", "links/rig-1.ndjson", "remote-write/store"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte("text of "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m, err := ops.Backup(t.Context(), io.Discard, ops.Source{Dir: dir, Bus: b, Program: "test", Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range m.Files {
		if !strings.HasPrefix(f.Name, "log/") {
			names = append(names, f.Name)
		}
	}
	want := []string{"history/00000001-1-5.parquet", "remote-write/store", "version", "manifest.json"}
	slices.Sort(names)
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("a backup has %q, want %q", names, want)
	}
}

func TestChangedBackupIsRefused(t *testing.T) {
	dir, b := plant(t)
	var file bytes.Buffer
	if _, err := ops.Backup(t.Context(), &file, ops.Source{Dir: dir, Bus: b, Program: "test", Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if _, err := ops.Verify(bytes.NewReader(file.Bytes())); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		bad := bytes.Clone(file.Bytes())
		at, bit := rng.IntN(len(bad)), rng.IntN(8)
		bad[at] ^= 1 << bit
		if _, err := ops.Verify(bytes.NewReader(bad)); !errors.Is(err, ops.ErrBackup) {
			t.Errorf("bit %d of byte %d of %d turned: %v, want ErrBackup", bit, at, len(bad), err)
		}
	}
	for _, n := range []int{0, 1, 40, file.Len() / 2, file.Len() - 41, file.Len() - 40, file.Len() - 1} {
		to := filepath.Join(t.TempDir(), "restored")
		if _, err := ops.Restore(t.Context(), bytes.NewReader(file.Bytes()[:n]), to); !errors.Is(err, ops.ErrBackup) {
			t.Errorf("cut off at %d: %v, want ErrBackup", n, err)
		}
		if _, err := os.Stat(to); err == nil {
			t.Errorf("cut off at %d, and something was written", n)
		}
	}
}

func FuzzVerify(f *testing.F) {
	dir := f.TempDir()
	b, err := nats.Open(nats.Options{Dir: filepath.Join(dir, "bus")})
	if err != nil {
		f.Fatal(err)
	}
	var file bytes.Buffer
	if _, err := ops.Backup(f.Context(), &file, ops.Source{Dir: dir, Bus: b, Program: "test", Now: time.Now()}); err != nil {
		f.Fatal(err)
	}
	if err := b.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Fuzz(func(t *testing.T, archive []byte) {
		if _, err := ops.Verify(bytes.NewReader(archive)); err != nil {
			return
		}
		bad := bytes.Clone(archive) // what is accepted is not with another bit in it
		bad[len(bad)/2] ^= 1
		if _, err := ops.Verify(bytes.NewReader(bad)); err == nil {
			t.Errorf("taken for a backup: %x", bad)
		}
	})
}
