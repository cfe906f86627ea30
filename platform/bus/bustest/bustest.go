// Package bustest is what every bus promises, as a test suite.
package bustest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"yunchu/platform/bus"
	"yunchu/platform/device"
)

// Run opens a fresh bus for each promise. reopen, when not nil, closes the bus
// and opens the same log again, as a restart does.
func Run(t *testing.T, open func(t *testing.T) bus.Bus, reopen func(t *testing.T, b bus.Bus) bus.Bus) {
	t.Run("SequencesGrowByOne", func(t *testing.T) {
		b := open(t)
		for want := uint64(1); want <= 10; want++ {
			if got := publish(t, b, bus.Control, event("e", int64(want))); got != want {
				t.Fatalf("publication %d has sequence %d", want, got)
			}
		}
		if first, last, err := b.Bounds(bus.Control); first != 1 || last != 10 || err != nil {
			t.Errorf("Bounds() = %d, %d, %v, want 1, 10", first, last, err)
		}
		if first, last, err := b.Bounds(bus.Data); first != last+1 || err != nil {
			t.Errorf("Bounds() of an empty stream = %d, %d, %v, want first = last+1", first, last, err)
		}
	})
	t.Run("DoneAfterSubscribersHandled", func(t *testing.T) {
		b := open(t)
		var seen collector
		subscribe(t, b, bus.Control, 1, seen.handle)
		for i := range 50 {
			seq := publish(t, b, bus.Control, event("e", int64(i)))
			if got := seen.len(); got < i+1 {
				t.Fatalf("done of sequence %d came before the subscriber had it (%d handled)", seq, got)
			}
		}
		seen.wantOrder(t, 1, 50)
	})
	t.Run("StoredThenLiveWithoutGap", func(t *testing.T) {
		b := open(t)
		for i := range 20 {
			publish(t, b, bus.Control, event("old", int64(i)))
		}
		var all, some, none collector
		subscribe(t, b, bus.Control, 1, all.handle)
		subscribe(t, b, bus.Control, 15, some.handle)
		subscribe(t, b, bus.Control, 21, none.handle)
		for i := range 5 {
			publish(t, b, bus.Control, event("new", int64(i)))
		}
		all.wantOrder(t, 1, 25)
		some.wantOrder(t, 15, 25)
		none.wantOrder(t, 21, 25)
	})
	t.Run("ReplayGivesBackWhatWasPublished", func(t *testing.T) {
		b := open(t)
		r := &device.Readings{}
		row := device.Empty()
		row.Slot, row.At, row.SoC, row.Word = 7, 1703123456789, 75.5, "boosting"
		r.Append(&row)
		publish(t, b, bus.Data, r)
		n := 0
		err := bus.Readings.Replay(t.Context(), b, 1, func(seq uint64, f *device.Readings) {
			n++
			var got device.Reading
			f.Row(0, &got)
			if seq != 1 || got.Slot != 7 || got.At != row.At || !got.SameValues(&row) {
				t.Errorf("replayed %d: %+v, want %+v", seq, got, row)
			}
		})
		if err != nil || n != 1 {
			t.Errorf("Replay() = %v after %d frames, want 1", err, n)
		}
	})
	t.Run("CancelledSubscriberIsLeftAlone", func(t *testing.T) {
		b := open(t)
		var seen collector
		cancel := subscribe(t, b, bus.Control, 1, seen.handle)
		publish(t, b, bus.Control, event("e", 1))
		cancel()
		publish(t, b, bus.Control, event("e", 2))
		seen.wantOrder(t, 1, 1)
	})
	t.Run("HandlersMayPublish", func(t *testing.T) {
		b := open(t)
		answered := make(chan uint64, 1)
		subscribe(t, b, bus.Control, 1, func(_ uint64, f device.Frame) {
			if c, ok := f.(*device.Commands); ok {
				b.Publish(bus.Control, &device.Acks{List: []device.Ack{{Seq: c.List[0].Seq, Status: device.Done}}}, nil)
			}
		})
		subscribe(t, b, bus.Control, 1, func(seq uint64, f device.Frame) {
			if a, ok := f.(*device.Acks); ok && a.List[0].Seq == 42 {
				answered <- seq
			}
		})
		publish(t, b, bus.Control, &device.Commands{List: []device.Command{{Seq: 42, Verb: device.SetPower}}})
		select {
		case seq := <-answered:
			if seq != 2 {
				t.Errorf("the answer has sequence %d, want 2", seq)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the answer of a handler never came")
		}
	})
	t.Run("TrimForgetsOnlyWhatLiesBefore", func(t *testing.T) {
		b := open(t)
		for i := range 100 {
			publish(t, b, bus.Data, readings(i))
		}
		if err := b.Trim(bus.Data, 51); err != nil {
			t.Fatal(err)
		}
		var kept collector
		if err := b.Replay(t.Context(), bus.Data, 1, kept.handle); err != nil {
			t.Fatal(err)
		}
		if n := kept.len(); n < 50 {
			t.Errorf("%d frames left after Trim(51) of 100, want at least 50", n)
		}
		if got := publish(t, b, bus.Data, readings(100)); got != 101 {
			t.Errorf("sequence after Trim = %d, want 101", got)
		}
	})
	t.Run("MetaIsNeverTrimmed", func(t *testing.T) {
		b := open(t)
		for i := range 10 {
			publish(t, b, bus.Meta, &device.Meta{Kind: "device", Key: fmt.Sprint(i), Value: []byte("{}")})
		}
		_ = b.Trim(bus.Meta, 9) // may refuse or ignore
		var kept collector
		if err := b.Replay(t.Context(), bus.Meta, 1, kept.handle); err != nil {
			t.Fatal(err)
		}
		kept.wantOrder(t, 1, 10)
	})
	t.Run("ReplayStopsWhenCancelled", func(t *testing.T) {
		b := open(t)
		publish(t, b, bus.Control, event("e", 1))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.Replay(ctx, bus.Control, 1, func(uint64, device.Frame) {}); !errors.Is(err, context.Canceled) {
			t.Errorf("Replay() with a cancelled context = %v, want Canceled", err)
		}
	})
	t.Run("ClosedRefuses", func(t *testing.T) {
		b := open(t)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		b.Publish(bus.Control, event("e", 1), func(_ uint64, err error) { done <- err })
		if err := <-done; !errors.Is(err, bus.ErrClosed) {
			t.Errorf("Publish() after Close = %v, want ErrClosed", err)
		}
	})
	if reopen == nil {
		return
	}
	t.Run("SurvivesReopen", func(t *testing.T) {
		b := open(t)
		for i := range 30 {
			publish(t, b, bus.Control, event("e", int64(i)))
		}
		b = reopen(t, b)
		var kept collector
		if err := b.Replay(t.Context(), bus.Control, 1, kept.handle); err != nil {
			t.Fatal(err)
		}
		kept.wantOrder(t, 1, 30)
		if got := publish(t, b, bus.Control, event("e", 30)); got != 31 {
			t.Errorf("sequence after reopening = %d, want 31", got)
		}
	})
}

func publish(t *testing.T, b bus.Bus, stream string, f device.Frame) uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	seq, err := bus.PublishWait(ctx, b, stream, f)
	if err != nil {
		t.Fatalf("Publish(%s): %v", stream, err)
	}
	return seq
}

func subscribe(t *testing.T, b bus.Bus, stream string, from uint64, h bus.Handler) func() {
	t.Helper()
	cancel, err := b.Subscribe(stream, from, h)
	if err != nil {
		t.Fatalf("Subscribe(%s): %v", stream, err)
	}
	return cancel
}

func event(text string, at int64) *device.Events {
	return &device.Events{List: []device.Event{{ID: fmt.Sprint(at), Slot: device.Plant, Type: "test", Text: text, At: at}}}
}

func readings(i int) *device.Readings {
	f := &device.Readings{}
	r := device.Empty()
	r.Slot, r.At, r.Power = 1, int64(i), float64(i)
	f.Append(&r)
	return f
}

type collector struct {
	mu  sync.Mutex
	seq []uint64
}

func (c *collector) handle(seq uint64, _ device.Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq = append(c.seq, seq)
}

func (c *collector) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.seq)
}

// wantOrder waits for and checks the sequences from first to last, each once.
func (c *collector) wantOrder(t *testing.T, first, last uint64) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); c.len() < int(last-first+1) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.seq) != int(last-first+1) {
		t.Fatalf("%d frames handled, want %d to %d", len(c.seq), first, last)
	}
	for i, s := range c.seq {
		if s != first+uint64(i) {
			t.Fatalf("frame %d has sequence %d, want %d", i, s, first+uint64(i))
		}
	}
}
