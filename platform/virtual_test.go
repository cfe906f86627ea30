package platform_test

import (
	"context"
	"testing"
	"time"

	"yunchu/platform"
	"yunchu/platform/bus"
	"yunchu/platform/bus/local"
	"yunchu/platform/device"
	"yunchu/platform/sched"
)

// still is a fleet of one device at rest.
type still struct{}

func (still) Size() int { return 1 }

func (still) ReadAll(_ context.Context, now time.Time, into *device.Readings) error {
	r := device.Empty()
	r.At, r.Arrived, r.Power, r.SoC, r.Status = now.UnixMilli(), now.UnixMilli(), 0, 50, device.Idle
	into.Append(&r)
	return nil
}

func (still) WriteAll(_ context.Context, now time.Time, cmds []device.Command, acks []device.Ack) ([]device.Ack, error) {
	for i := range cmds {
		acks = append(acks, cmds[i].Answer(device.Done, now.UnixMilli(), "", ""))
	}
	return acks, nil
}

// TestLifeInVirtualTimeReachesTheRegistry: an emergency stop arrives in a handler of the
// bus, and what it makes of the device is written over the same bus. Nothing may wait
// there for itself.
func TestLifeInVirtualTimeReachesTheRegistry(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s, b := sched.New(sched.NewVirtual(start)), local.New(0)
	p, err := platform.New(platform.Config{Name: "test", Bus: b, Sched: s, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := p.Add(ctx, []device.Info{{ID: "a", Kind: "sim", State: device.Active, RatedKW: 100, Simulated: true}}, still{}); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(ctx, start); err != nil {
		t.Fatal(err)
	}
	slot, _ := p.Fleet.Slot("a")
	for i, step := range []struct {
		verb device.Verb
		want device.State
	}{{device.EStop, device.Failed}, {device.Reset, device.Active}} {
		at := start.Add(time.Duration(i+1) * 5 * time.Second)
		s.At(at, sched.Decide, func(now time.Time) {
			bus.Commands.Publish(b, &device.Commands{List: []device.Command{{
				Slot: slot, ID: step.verb.String(), Verb: step.verb, Priority: device.Safety, At: now.UnixMilli(), Source: "user:ann",
			}}}, nil)
		})
		if err := s.Run(ctx, at.Add(2*time.Second)); err != nil {
			t.Fatal(err)
		}
		if info, _ := p.Fleet.Info("a"); info.State != step.want {
			t.Errorf("after %v it is %v, want %v", step.verb, info.State, step.want)
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
