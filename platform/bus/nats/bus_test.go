package nats_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"yunchu/platform/bus"
	"yunchu/platform/bus/bustest"
	"yunchu/platform/bus/nats"
	"yunchu/platform/device"
)

func open(t *testing.T, o nats.Options) *nats.Bus {
	t.Helper()
	b, err := nats.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("Close(): %v", err)
		}
	})
	return b
}

func TestEmbedded(t *testing.T) {
	dirs := map[bus.Bus]string{}
	bustest.Run(t, func(t *testing.T) bus.Bus {
		dir := t.TempDir()
		b := open(t, nats.Options{Dir: dir})
		dirs[b] = dir
		return b
	}, func(t *testing.T, b bus.Bus) bus.Bus {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		return open(t, nats.Options{Dir: dirs[b]})
	})
}

func TestOpenNeedsOnePlace(t *testing.T) {
	for _, o := range []nats.Options{{}, {Dir: t.TempDir(), URL: "nats://127.0.0.1:4222"}} {
		if b, err := nats.Open(o); err == nil {
			t.Errorf("Open(%+v) succeeded", o)
			_ = b.Close()
		}
	}
}

func TestFolderIsLocked(t *testing.T) {
	dir := t.TempDir()
	b := open(t, nats.Options{Dir: dir})
	if _, err := nats.Open(nats.Options{Dir: dir}); !errors.Is(err, nats.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("second Open() = %v, want ErrLocked with the folder's name", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, nats.Options{Dir: dir})
}

func TestLostStreamIsNotTakenForAnEmptyOne(t *testing.T) {
	dir := t.TempDir()
	b := open(t, nats.Options{Dir: dir})
	publish(t, b, bus.Control, event("e"))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	streams, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "log_control"))
	if err != nil || len(streams) != 1 {
		t.Fatalf("streams on disk: %v, %v", streams, err)
	}
	if err := os.RemoveAll(streams[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := nats.Open(nats.Options{Dir: dir}); !errors.Is(err, nats.ErrMissing) || !strings.Contains(err.Error(), bus.Control) {
		t.Errorf("Open() without a stream that was there = %v, want ErrMissing for %s", err, bus.Control)
	}
}

func TestUnreadableFrameIsNamed(t *testing.T) {
	dir := t.TempDir()
	b := open(t, nats.Options{Dir: dir})
	const frames, broken = 100, 40
	for i := range frames {
		publish(t, b, bus.Control, event(fmt.Sprintf("needle-%03d", i+1)))
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	flip(t, dir, fmt.Sprintf("needle-%03d", broken))
	b = open(t, nats.Options{Dir: dir})
	if _, last, err := b.Bounds(bus.Control); err != nil || last != frames {
		t.Fatalf("Bounds() = %d, %v, want %d", last, err, frames)
	}
	found := b.Damages()
	if len(found) != 1 || found[0].Stream != bus.Control || found[0].From != broken || found[0].To != broken || !found[0].Fresh || found[0].Until.IsZero() {
		t.Fatalf("Damages() with frame %d broken = %+v", broken, found)
	}
	n := 0
	if err := b.Replay(t.Context(), bus.Control, 1, func(seq uint64, _ device.Frame) {
		if n++; seq == broken {
			t.Errorf("Replay() gives the broken frame %d", seq)
		}
	}); err != nil || n != frames-1 {
		t.Errorf("Replay() = %v after %d frames, want the %d that are whole", err, n, frames-1)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, nats.Options{Dir: dir})
	if found := b.Damages(); len(found) != 1 || found[0].From != broken || found[0].Fresh {
		t.Errorf("Damages() at the next start = %+v, want the same one, not fresh", found)
	}
}

// A frame that goes bad while the log is open is an error for who reads it, and a damage for
// the scrub.
func TestScrub(t *testing.T) {
	dir := t.TempDir()
	b := open(t, nats.Options{Dir: dir})
	const frames, broken = 3000, 1500
	publishMany(t, b, frames)
	if err := b.Scrub(t.Context()); err != nil || len(b.Damages()) != 0 {
		t.Fatalf("Scrub() of a whole log = %v, %+v", err, b.Damages())
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, nats.Options{Dir: dir})
	flip(t, dir, fmt.Sprintf("needle-%04d", broken))
	if err := b.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found := b.Damages(); len(found) == 0 {
		t.Skip("the server had the block in its memory")
	} else if found[0].From > broken || found[len(found)-1].To < broken {
		t.Errorf("Scrub() finds %+v, want sequence %d", found, broken)
	}
}

func publishMany(t *testing.T, b *nats.Bus, frames int) {
	t.Helper()
	for i := range frames {
		publish(t, b, bus.Control, event(fmt.Sprintf("needle-%04d", i+1)))
	}
}

// flip turns one bit of the first stored text.
func flip(t *testing.T, dir, text string) {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "log_control", "msgs", "*.blk"))
	if err != nil || len(blocks) == 0 {
		t.Fatalf("blocks: %v, %v", blocks, err)
	}
	for _, path := range blocks {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if i := strings.Index(string(raw), text); i >= 0 {
			raw[i] ^= 1
			if err := os.WriteFile(path, raw, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("%q is in none of %v", text, blocks)
}

func TestTrim(t *testing.T) {
	dir := t.TempDir()
	b := open(t, nats.Options{Dir: dir})
	bounds := func(what string, first, last uint64) {
		t.Helper()
		if f, l, err := b.Bounds(bus.Data); f != first || l != last || err != nil {
			t.Errorf("%s: Bounds() = %d, %d, %v, want %d, %d", what, f, l, err, first, last)
		}
	}
	bounds("new", 1, 0)
	if err := b.Trim(bus.Data, 5); err != nil {
		t.Errorf("Trim() of an empty stream: %v", err)
	}
	for i := range 20 {
		publish(t, b, bus.Data, reading(i))
	}
	for _, before := range []uint64{0, 1} {
		if err := b.Trim(bus.Data, before); err != nil {
			t.Errorf("Trim(%d): %v", before, err)
		}
		bounds(fmt.Sprint("trim before ", before), 1, 20)
	}
	if err := b.Trim(bus.Data, 11); err != nil {
		t.Error(err)
	}
	bounds("trim before 11", 11, 20)
	var got []uint64
	if err := b.Replay(t.Context(), bus.Data, 3, func(seq uint64, _ device.Frame) { got = append(got, seq) }); err != nil {
		t.Error(err)
	}
	if want := []uint64{11, 12, 13, 14, 15, 16, 17, 18, 19, 20}; !slices.Equal(got, want) {
		t.Errorf("Replay() after Trim gives %v, want %v", got, want)
	}
	if err := b.Trim(bus.Data, 1000); err != nil {
		t.Error(err)
	}
	bounds("trim past the end", 20, 20)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, nats.Options{Dir: dir})
	bounds("reopened", 20, 20)
	if seq := publish(t, b, bus.Data, reading(20)); seq != 21 {
		t.Errorf("sequence after Trim and reopening = %d, want 21", seq)
	}
	publish(t, b, bus.Meta, &device.Meta{Kind: "device", Key: "a"})
	publish(t, b, bus.Meta, &device.Meta{Kind: "device", Key: "b"})
	if err := b.Trim(bus.Meta, 2); err == nil {
		t.Error("Trim() of the meta stream succeeded")
	}
}

func TestTooLargeIsRefused(t *testing.T) {
	b := open(t, nats.Options{Dir: t.TempDir()})
	full := &device.Readings{}
	for i := range device.MaxRows {
		r := device.Empty()
		r.Slot, r.At, r.Power, r.Voltage, r.Current = device.Slot(i*3), int64(i*i), float64(i), float64(i)/3, float64(i)/7
		r.SoC, r.SoH, r.Temperature, r.MaxCharge, r.MaxDischarge = float64(i)/9, float64(i)/11, float64(i)/13, float64(i)/17, float64(i)/19
		full.Append(&r)
	}
	publish(t, b, bus.Data, full)
	r := device.Empty()
	full.Append(&r)
	for name, f := range map[string]device.Frame{
		"rows":  full,
		"bytes": &device.Meta{Kind: "setting", Key: "k", Value: make([]byte, 8<<20)},
	} {
		if _, err := bus.PublishWait(t.Context(), b, bus.Meta, f); !errors.Is(err, nats.ErrTooLarge) {
			t.Errorf("%s: Publish() = %v, want ErrTooLarge", name, err)
		}
	}
	if _, err := bus.PublishWait(t.Context(), b, "log.nothing", event("e")); err == nil {
		t.Error("Publish() on an unknown stream succeeded")
	}
	if err := b.Err(); err != nil {
		t.Errorf("refusals failed the bus: %v", err)
	}
}

func TestOverloadRefusesAtOnce(t *testing.T) {
	const bound = 8
	b := open(t, nats.Options{Dir: t.TempDir(), MaxInFlight: bound})
	hold := make(chan struct{})
	if _, err := b.Subscribe(bus.Control, 1, func(uint64, device.Frame) { <-hold }); err != nil {
		t.Fatal(err)
	}
	var stored, refused atomic.Int64
	for i := range 3 * bound {
		b.Publish(bus.Control, event(fmt.Sprint(i)), func(_ uint64, err error) {
			switch {
			case err == nil:
				stored.Add(1)
			case errors.Is(err, bus.ErrOverload):
				refused.Add(1)
			default:
				t.Errorf("done(%v)", err)
			}
		})
	}
	if got := refused.Load(); got != 2*bound {
		t.Errorf("%d of %d refused while %d may be in flight, want %d", got, 3*bound, bound, 2*bound)
	}
	publish(t, b, bus.Data, reading(1)) // another stream is not held up
	close(hold)
	eventually(t, "what was taken is stored", func() bool { return stored.Load() == bound })
	publish(t, b, bus.Control, event("after"))
}

func TestHandlersThatPublishMuchDoNotBlock(t *testing.T) {
	b := open(t, nats.Options{Dir: t.TempDir(), MaxInFlight: 16})
	var answers, refused atomic.Int64
	_, err := b.Subscribe(bus.Control, 1, func(_ uint64, f device.Frame) {
		if _, ok := f.(*device.Commands); !ok {
			return
		}
		for range 10 {
			b.Publish(bus.Control, event("answer"), func(_ uint64, err error) {
				if err != nil {
					refused.Add(1)
					return
				}
				answers.Add(1)
			})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	const commands = 20
	for i := range commands {
		publish(t, b, bus.Control, &device.Commands{List: []device.Command{{Seq: uint64(i)}}})
	}
	eventually(t, "each answer is stored or refused", func() bool { return answers.Load()+refused.Load() == 10*commands })
}

func TestSubscribeWhilePublishing(t *testing.T) {
	b := open(t, nats.Options{Dir: t.TempDir()})
	const frames = 400
	var published sync.WaitGroup
	published.Go(func() {
		for i := range frames {
			publish(t, b, bus.Control, event(fmt.Sprint(i)))
		}
	})
	var (
		mu   sync.Mutex
		seen [20][]uint64
	)
	for i := range seen {
		_, err := b.Subscribe(bus.Control, 1, func(seq uint64, _ device.Frame) {
			mu.Lock()
			defer mu.Unlock()
			seen[i] = append(seen[i], seq)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	published.Wait()
	mu.Lock()
	defer mu.Unlock()
	for i, got := range seen {
		for n := range frames {
			if n >= len(got) || got[n] != uint64(n+1) {
				t.Fatalf("subscriber %d of a busy stream has a gap, a repeat or an end at %d: %v", i, n+1, got)
			}
		}
	}
}

func TestHandlersMaySubscribeAndCancel(t *testing.T) {
	b := open(t, nats.Options{Dir: t.TempDir()})
	for range 3 {
		publish(t, b, bus.Control, event("stored"))
	}
	var late []uint64
	var cancel func()
	cancel, err := b.Subscribe(bus.Control, 4, func(uint64, device.Frame) {
		cancel()
		if _, err := b.Subscribe(bus.Control, 2, func(seq uint64, _ device.Frame) { late = append(late, seq) }); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, b, bus.Control, event("live"))
	publish(t, b, bus.Control, event("live"))
	if want := []uint64{2, 3, 4, 5}; !slices.Equal(late, want) {
		t.Errorf("a subscription made by a handler saw %v, want %v", late, want)
	}
}

func TestCloseSettlesWhatWasPublished(t *testing.T) {
	dir := t.TempDir()
	b := open(t, nats.Options{Dir: dir})
	var stored atomic.Int64
	const frames = 300
	for i := range frames {
		b.Publish(bus.Data, reading(i), func(_ uint64, err error) {
			if err != nil {
				t.Errorf("done(%v)", err)
			}
			stored.Add(1)
		})
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if got := stored.Load(); got != frames {
		t.Errorf("%d of %d were settled when Close returned", got, frames)
	}
	for name, err := range map[string]error{
		"Replay": b.Replay(t.Context(), bus.Data, 1, func(uint64, device.Frame) {}),
		"Trim":   b.Trim(bus.Data, 2),
	} {
		if !errors.Is(err, bus.ErrClosed) {
			t.Errorf("%s() after Close = %v, want ErrClosed", name, err)
		}
	}
	b = open(t, nats.Options{Dir: dir})
	if _, last, err := b.Bounds(bus.Data); last != frames || err != nil {
		t.Errorf("last sequence after reopening = %d, %v, want %d", last, err, frames)
	}
}

func TestNothingIsLeftRunning(t *testing.T) {
	running := goleak.IgnoreCurrent()
	for range 2 {
		b, err := nats.Open(nats.Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Subscribe(bus.Control, 1, func(uint64, device.Frame) {}); err != nil {
			t.Fatal(err)
		}
		publish(t, b, bus.Control, event("e"))
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Errorf("second Close(): %v", err)
		}
	}
	if err := goleak.Find(running); err != nil {
		t.Error(err)
	}
}

func publish(t *testing.T, b bus.Bus, stream string, f device.Frame) uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	seq, err := bus.PublishWait(ctx, b, stream, f)
	if err != nil {
		t.Errorf("publish on %s: %v", stream, err)
	}
	return seq
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func event(id string) *device.Events {
	return &device.Events{List: []device.Event{{ID: id, Slot: device.Plant, Type: "test"}}}
}

func reading(i int) *device.Readings {
	f := &device.Readings{}
	r := device.Empty()
	r.Slot, r.At, r.Power = 1, int64(i), float64(i)
	f.Append(&r)
	return f
}
