package local_test

import (
	"testing"

	"yunchu/platform/bus"
	"yunchu/platform/bus/bustest"
	"yunchu/platform/bus/local"
	"yunchu/platform/device"
)

func TestBus(t *testing.T) {
	bustest.Run(t, func(t *testing.T) bus.Bus { return local.New(0) }, func(t *testing.T, b bus.Bus) bus.Bus {
		b.(*local.Bus).Detach()
		return b
	})
}

func TestSpilledLogReplays(t *testing.T) {
	b := local.New(20 << 20)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	f := &device.Readings{}
	const rows, frames = 4000, 300
	for i := range rows {
		r := device.Empty()
		r.Slot, r.SoC, r.Power, r.Voltage = device.Slot(i), float64(i), float64(i)/7, float64(i)/3
		f.Append(&r)
	}
	for i := range frames {
		f.Power[0] = float64(i)
		b.Publish(bus.Data, f, nil)
	}
	want := 0.0
	err := bus.Readings.Replay(t.Context(), b, 1, func(seq uint64, f *device.Readings) {
		if f.Power[0] != want || f.Rows() != rows {
			t.Fatalf("sequence %d: power %v of %d rows, want %v of %d", seq, f.Power[0], f.Rows(), want, rows)
		}
		want++
	})
	if err != nil || want != frames {
		t.Fatalf("Replay() = %v after %v frames, want %d", err, want, frames)
	}
	if err := b.Trim(bus.Data, frames); err != nil {
		t.Fatal(err)
	}
	if first, _, _ := b.Bounds(bus.Data); first < frames/2 {
		t.Errorf("first sequence after Trim = %d, want the spilled segments gone", first)
	}
}
