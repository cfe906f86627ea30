package fault_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"yunchu/harness/fault"
	"yunchu/harness/scenario"
	"yunchu/platform/device"
)

// steady is a device on a wire that counts how often it is called.
type steady struct{ reads, writes int }

func (s *steady) Read(_ context.Context, now time.Time) (device.Reading, error) {
	s.reads++
	r := device.Empty()
	r.SoC, r.At, r.Arrived = 50, now.UnixMilli(), now.UnixMilli()
	return r, nil
}

func (s *steady) Write(_ context.Context, now time.Time, c device.Command) (device.Ack, error) {
	s.writes++
	return c.Answer(device.Done, now.UnixMilli(), "", ""), nil
}

func (s *steady) Close() error { return nil }

func TestFaultsOfOneWire(t *testing.T) {
	inner := &steady{}
	d := fault.WrapDriver(inner, "rig", 1)
	now := time.UnixMilli(1_800_000_000_000)
	read := func() (device.Reading, error) { return d.Read(t.Context(), now) }
	write := func() (device.Ack, error) {
		return d.Write(t.Context(), now, device.Command{Slot: 77, Verb: device.SetPower, Power: 5})
	}
	if a, err := write(); err != nil || a.Slot != 77 || a.Status != device.Done {
		t.Fatalf("%+v, %v", a, err)
	}
	end := d.Begin(1, &scenario.Injection{Kind: "bias", Field: "soc", By: scenario.Amount{Number: 5}, On: "readings"})
	if r, err := read(); err != nil || r.SoC != 55 {
		t.Errorf("%+v, %v", r, err)
	}
	end()
	if r, err := read(); err != nil || r.SoC != 50 {
		t.Errorf("%+v, %v", r, err)
	}
	// A link that is down carries nothing either way, not even what would keep the
	// device's dead-man alive.
	reads, writes := inner.reads, inner.writes
	end = d.Begin(2, &scenario.Injection{Kind: "link-down", On: "both"})
	if _, err := read(); !errors.Is(err, device.ErrOffline) {
		t.Errorf("%v", err)
	}
	if a, err := write(); err != nil || a.Status != device.Failure || a.Slot != 77 {
		t.Errorf("%+v, %v", a, err)
	}
	if inner.reads != reads || inner.writes != writes {
		t.Error("the device hears through a link that is down")
	}
	end()
	end = d.Begin(3, &scenario.Injection{Kind: "drop", Ratio: 1, On: "both"})
	if _, err := read(); !errors.Is(err, device.ErrOffline) {
		t.Errorf("%v", err)
	}
	if _, err := write(); !errors.Is(err, device.ErrOffline) {
		t.Errorf("%v", err)
	}
	end()
	if _, err := read(); err != nil {
		t.Error(err)
	}
}
