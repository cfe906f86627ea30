package nats

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/platform/bus"
	"yunchu/platform/device"
)

// What reached the log by another way than Publish, such as a frame whose
// acknowledgement was lost, is delivered in its place.
func TestForeignFramesKeepTheirPlace(t *testing.T) {
	b, err := Open(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	var live []string
	if _, err := bus.Events.Subscribe(b, 1, func(_ uint64, f *device.Events) { live = append(live, f.List[0].ID) }); err != nil {
		t.Fatal(err)
	}
	named := func(id string) *device.Events { return &device.Events{List: []device.Event{{ID: id}}} }
	foreign := func(raw []byte) {
		t.Helper()
		if _, err := b.js.Publish(t.Context(), bus.Control, raw); err != nil {
			t.Fatal(err)
		}
	}
	own := func(id string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := bus.PublishWait(ctx, b, bus.Control, named(id))
		return err
	}
	if err := own("own 1"); err != nil {
		t.Fatal(err)
	}
	foreign(named("foreign 2").AppendBinary(nil))
	foreign(named("foreign 3").AppendBinary(nil))
	if err := own("own 4"); err != nil {
		t.Fatal(err)
	}
	if want := []string{"own 1", "foreign 2", "foreign 3", "own 4"}; !slices.Equal(live, want) {
		t.Errorf("delivered %q, want %q", live, want)
	}

	foreign([]byte("not a frame"))
	if err := own("own 6"); err == nil || !strings.Contains(err.Error(), "sequence 5") {
		t.Errorf("done behind an unreadable frame: %v, want an error that names sequence 5", err)
	}
	select {
	case <-b.Failed():
	default:
		t.Error("the bus goes on after passing over a frame")
	}
	if err := own("own 7"); err == nil {
		t.Error("a failed bus acknowledges")
	}
}
