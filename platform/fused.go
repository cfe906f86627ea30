package platform

import (
	"context"
	"fmt"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/ingest"
)

// fusedKind is the kind of a device whose readings are made of those of others.
const fusedKind = "fused"

// Fusion makes one device of what several others say of the same thing, such as the meter, the
// converter and the battery management of one unit. It is read like all others, and it cannot
// be commanded.
type Fusion struct {
	ID     device.ID
	MaxAge time.Duration // an older reading has no say
	// By quantity: the devices that measure it, and how far apart they may be.
	SoC, SoH, Voltage, Current, Power, Temperature Fused
}

// Fused is one quantity of a Fusion.
type Fused struct {
	From      []device.ID
	Tolerance float64 // in the unit of the quantity
}

// quantities are those of a Fusion with their place in a reading.
func (f *Fusion) quantities(do func(q *Fused, of func(*device.Reading) *float64)) {
	do(&f.SoC, func(r *device.Reading) *float64 { return &r.SoC })
	do(&f.SoH, func(r *device.Reading) *float64 { return &r.SoH })
	do(&f.Voltage, func(r *device.Reading) *float64 { return &r.Voltage })
	do(&f.Current, func(r *device.Reading) *float64 { return &r.Current })
	do(&f.Power, func(r *device.Reading) *float64 { return &r.Power })
	do(&f.Temperature, func(r *device.Reading) *float64 { return &r.Temperature })
}

// Fuse registers devices that are made of others.
func (p *Plant) Fuse(ctx context.Context, list []Fusion) error {
	if len(list) == 0 {
		return nil
	}
	infos := make([]device.Info, len(list))
	for i := range list {
		infos[i] = device.Info{ID: list[i].ID, Kind: fusedKind, State: device.Inactive}
	}
	return p.Add(ctx, infos, &fused{plant: p, list: list})
}

// fused is the fleet of devices that are made of others.
type fused struct {
	plant *Plant
	list  []Fusion
}

var _ device.Fleet = (*fused)(nil)

// Size implements device.Fleet.
func (f *fused) Size() int { return len(f.list) }

// ReadAll implements device.Fleet. A device none of whose sources can be used is not there.
func (f *fused) ReadAll(_ context.Context, now time.Time, into *device.Readings) error {
	for i := range f.list {
		if r, ok := f.list[i].read(now.UnixMilli(), f.plant.newest); ok {
			r.Slot = device.Slot(i)
			into.Append(&r)
		}
	}
	return nil
}

// newest is the newest reading of a device.
func (p *Plant) newest(id device.ID) (device.Reading, bool) {
	slot, ok := p.Fleet.Slot(id)
	if !ok {
		return device.Reading{}, false
	}
	d, ok := p.Fleet.Device(slot)
	return d.Last, ok && d.Last.At != 0
}

// read makes a reading of the newest ones of others.
func (f *Fusion) read(now int64, newest func(device.ID) (device.Reading, bool)) (device.Reading, bool) {
	out := device.Empty()
	f.quantities(func(q *Fused, of func(*device.Reading) *float64) {
		samples := make([]ingest.Sample, 0, len(q.From))
		for _, id := range q.From {
			if r, ok := newest(id); ok {
				samples = append(samples, ingest.Sample{Value: *of(&r), At: r.At, Quality: r.Quality})
				out.Flags |= r.Flags & device.FlagSimulated
			}
		}
		x := ingest.Fuse(samples, now, f.MaxAge, q.Tolerance)
		*of(&out) = x.Value
		out.At = max(out.At, x.At)
		if x.Conflict {
			out.Flags |= device.FlagConflict
		}
	})
	out.Status = statusOf(out.Power)
	return out, out.At != 0
}

// restKW is the power below which a fused device is idle.
const restKW = 0.1

func statusOf(kw float64) device.Status {
	switch {
	case kw > restKW:
		return device.Charging
	case kw < -restKW:
		return device.Discharging
	}
	return device.Idle
}

// WriteAll implements device.Fleet: nobody can be told what several devices measure.
func (f *fused) WriteAll(_ context.Context, now time.Time, cmds []device.Command, acks []device.Ack) ([]device.Ack, error) {
	for i := range cmds {
		why := fmt.Sprintf("%s is made of others: command one of them", f.list[cmds[i].Slot].ID)
		acks = append(acks, cmds[i].Answer(device.Rejected, now.UnixMilli(), "UNSUPPORTED", why))
	}
	return acks, nil
}
