package platform_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"yunchu/platform"
	"yunchu/platform/api"
	"yunchu/platform/bus/local"
	"yunchu/platform/device"
	"yunchu/platform/ingest"
	"yunchu/platform/sched"
)

// says is a fleet of one device that measures the same power all the time, until it falls
// silent.
type says struct {
	still
	kw     float64
	silent *time.Time
}

func (d says) ReadAll(_ context.Context, now time.Time, into *device.Readings) error {
	if d.silent != nil && now.After(*d.silent) {
		return nil
	}
	r := device.Empty()
	r.At, r.Arrived, r.Power, r.SoC, r.Status = now.UnixMilli(), now.UnixMilli(), d.kw, 50, device.Charging
	into.Append(&r)
	return nil
}

// TestFusedDevice: one power is made of three, the one that lies is left out and told, and
// what is silent has no say.
func TestFusedDevice(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s, b := sched.New(sched.NewVirtual(start)), local.New(0)
	p, err := platform.New(platform.Config{Name: "test", Bus: b, Sched: s, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	quiet := start.Add(20 * time.Second)
	for _, d := range []struct {
		id    device.ID
		fleet device.Fleet
	}{{"meter", says{kw: 40}}, {"pcs", says{kw: 41}}, {"bms", says{kw: 90, silent: &quiet}}} {
		if err := p.Add(ctx, []device.Info{{ID: d.id, Kind: "sim", State: device.Active, RatedKW: 100}}, d.fleet); err != nil {
			t.Fatal(err)
		}
	}
	err = p.Fuse(ctx, []platform.Fusion{{
		ID: "unit", MaxAge: 5 * time.Second,
		Power: platform.Fused{From: []device.ID{"meter", "pcs", "bms"}, Tolerance: 2},
		SoC:   platform.Fused{From: []device.ID{"bms"}, Tolerance: 2},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(ctx, start); err != nil {
		t.Fatal(err)
	}
	slot, _ := p.Fleet.Slot("unit")
	at := func(after time.Duration) device.Reading {
		t.Helper()
		if err := s.Run(ctx, start.Add(after)); err != nil {
			t.Fatal(err)
		}
		d, _ := p.Fleet.Device(slot)
		return d.Last
	}
	if r := at(10 * time.Second); r.Power != 40.5 || r.SoC != 50 || r.Quality != device.Suspect || r.Flags&device.FlagConflict == 0 || r.Status != device.Charging {
		t.Errorf("with a liar: %+v", r)
	}
	if r := at(40 * time.Second); r.Power != 40.5 || device.Finite(r.SoC) || r.Quality != device.Good || r.Flags&device.FlagConflict != 0 {
		t.Errorf("when it is silent: %+v", r)
	}
	page, err := p.Face(api.About{}, nil).History.Query(ctx, api.Query{Slot: slot, From: start.UnixMilli(), To: start.Add(time.Minute).UnixMilli(), Limit: 100, Clean: true})
	if err != nil || len(page.Cleaned) < 30 {
		t.Errorf("%d cleaned rows, %v", len(page.Cleaned), err)
	}
	if info, _ := p.Fleet.Info("unit"); info.Kind != "fused" || info.State != device.Inactive {
		t.Errorf("%+v", info)
	}
	if !slices.ContainsFunc(page.Cleaned, func(r ingest.Row) bool { return r.Power == 40.5 }) {
		t.Error("the history does not have it")
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
