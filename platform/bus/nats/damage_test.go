package nats_test

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yunchu/platform/bus"
	"yunchu/platform/bus/nats"
	"yunchu/platform/device"
)

// A random bit is turned, or a file is cut off or deleted, somewhere in the folder of the
// log. Afterwards everything is served as it was written, or the log says what it has lost,
// or it does not open and says why. Nothing else.
func TestDamageIsReported(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	rounds := 50
	if testing.Short() {
		rounds = 10
	}
	whole := t.TempDir()
	const frames = 2500
	b := open(t, nats.Options{Dir: whole})
	publishMany(t, b, frames)
	for i := range 20 {
		publish(t, b, bus.Meta, &device.Meta{Kind: "user", Key: fmt.Sprint("user-", i), Value: []byte(`{"name":"n"}`)})
		publish(t, b, bus.Data, &device.Readings{})
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	outcomes := map[string]int{}
	for round := range rounds {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		what := hurt(t, dir, rng)
		begun := time.Now()
		outcome := judge(t, dir, frames, what)
		if took := time.Since(begun); took > 5*time.Second {
			t.Logf("%s: %s after %v", what, outcome, took)
		}
		outcomes[outcome]++
		if t.Failed() {
			t.Fatalf("round %d, seed %d: %s", round, seed, what)
		}
	}
	t.Log(outcomes)
	if outcomes["reported"] == 0 {
		t.Error("no damage was reported in any round: the test hurts nothing")
	}
}

// What was trimmed is not missing, whole or across restarts.
func TestTrimmedIsNotDamaged(t *testing.T) {
	dir := t.TempDir()
	b := open(t, nats.Options{Dir: dir})
	publishMany(t, b, 2500)
	for _, before := range []uint64{2, 700, 1025, 1026, 2200, 2500} {
		if err := b.Trim(bus.Control, before); err != nil {
			t.Fatal(err)
		}
		if before == 1026 {
			if err := b.Scrub(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = open(t, nats.Options{Dir: dir})
		if first, last, err := b.Bounds(bus.Control); err != nil || first != before || last != 2500 {
			t.Errorf("trimmed before %d: %d to %d, %v", before, first, last, err)
		}
		if found := b.Damages(); len(found) > 0 {
			t.Fatalf("trimmed before %d: %+v", before, found)
		}
	}
}

// hurt damages one file below dir and says how.
func hurt(t *testing.T, dir string, rng *rand.Rand) string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if info, e := os.Stat(path); err == nil && e == nil && !d.IsDir() && info.Size() > 0 {
			files = append(files, path)
			if strings.HasSuffix(path, ".blk") { // where the frames are
				files = append(files, path, path, path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	path := files[rng.IntN(len(files))]
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	name, _ := filepath.Rel(dir, path)
	if rng.IntN(2) == 0 { // as after a crash, when the server reads its blocks
		indices, _ := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "*", "msgs", "index.db"))
		for _, i := range indices {
			if i == path {
				continue
			}
			if err := os.Remove(i); err != nil {
				t.Fatal(err)
			}
		}
		name += " without indices"
	}
	at := rng.IntN(len(b))
	switch rng.IntN(5) {
	case 0:
		err = os.Remove(path)
		name += " deleted"
	case 1:
		err = os.WriteFile(path, b[:at], 0o600)
		name += fmt.Sprintf(" cut off at %d of %d", at, len(b))
	default:
		b[at] ^= 1 << rng.IntN(8)
		err = os.WriteFile(path, b, 0o600)
		name += fmt.Sprintf(" bit turned at %d of %d", at, len(b))
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func judge(t *testing.T, dir string, frames int, what string) string {
	t.Helper()
	b, err := nats.Open(nats.Options{Dir: dir})
	if err != nil {
		return "refused"
	}
	defer b.Close() // it may be broken
	missing, next := 0, uint64(1)
	replayed := b.Replay(t.Context(), bus.Control, 1, func(seq uint64, f device.Frame) {
		e, ok := f.(*device.Events)
		if !ok {
			return // what stands in the place of something lost
		}
		missing += int(seq - next)
		next = seq + 1
		if want := fmt.Sprintf("needle-%04d", seq); e.List[0].ID != want {
			t.Errorf("%s: sequence %d is %q, want %q", what, seq, e.List[0].ID, want)
		}
	})
	missing += frames + 1 - int(next)
	users := 0
	err = b.Replay(t.Context(), bus.Meta, 1, func(_ uint64, f device.Frame) {
		if m := f.(*device.Meta); m.Kind == "user" && m.Key == fmt.Sprint("user-", users) {
			users++
		}
	})
	damages := b.Damages()
	switch {
	case len(damages) > 0:
		for name, want := range map[string]uint64{bus.Control: uint64(frames), bus.Meta: 20, bus.Data: 20} {
			if _, last, err := b.Bounds(name); err != nil || last < want {
				t.Errorf("%s: %s ends at %d, %v, want %d at least: sequences would be given twice", what, name, last, err, want)
			}
		}
		return "reported"
	case replayed != nil || err != nil:
		return "an error when read"
	case missing != 0 || users != 20:
		t.Errorf("%s: %d frames and %d of 20 users are missing without a word", what, missing, 20-users)
	}
	return "whole"
}
