package fault

import (
	"context"
	"fmt"
	"sync"
	"time"

	"yunchu/harness/scenario"
	"yunchu/platform/device"
)

// Driver is one device on a wire with faults between gateway and driver. While its
// link is down the driver behind is not called, so that the device hears nothing
// either: its dead-man is part of what is tried.
type Driver struct {
	inner device.Driver
	// Told, when set, hears of each command that gets through to the device, and what it
	// returns of its end.
	Told func(c device.Command) (ended func())

	mu    sync.Mutex // faults come from the loop, reads from the wire's own goroutine
	fleet *Fleet
}

var (
	_ device.Driver     = (*Driver)(nil)
	_ device.Described  = (*Driver)(nil)
	_ device.Adjustable = (*Driver)(nil)
	_ device.Probed     = (*Driver)(nil)
	_ device.Remarking  = (*Driver)(nil)
	_ device.Parted     = (*Driver)(nil)
)

// WrapDriver returns next with no faults yet.
func WrapDriver(next device.Driver, id device.ID, seed uint64) *Driver {
	d := &Driver{inner: next}
	d.fleet = Wrap(device.Solo(behind{d}), []device.ID{id}, seed)
	return d
}

// behind is the driver behind the faults.
type behind struct{ *Driver }

func (b behind) Read(ctx context.Context, now time.Time) (device.Reading, error) {
	return b.inner.Read(ctx, now)
}

func (b behind) Write(ctx context.Context, now time.Time, c device.Command) (device.Ack, error) {
	if b.Told != nil {
		defer b.Told(c)()
	}
	return b.inner.Write(ctx, now, c)
}

// Renew puts another driver behind the faults, as after a restart.
func (d *Driver) Renew(next device.Driver) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inner = next
}

// Begin starts the fault and returns what ends it, like Fleet.Begin.
func (d *Driver) Begin(number int, inj *scenario.Injection) (end func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	stop := d.fleet.Begin(number, inj, []int{0})
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		stop()
	}
}

// Hold keeps whoever calls waiting, as a process that stands still would be, until it
// is released.
func (d *Driver) Hold() (release func()) {
	d.mu.Lock()
	return d.mu.Unlock
}

// down reports whether the link is cut. The caller holds mu.
func (d *Driver) down() bool {
	for _, r := range d.fleet.rules[0] {
		if r.f.Kind == "link-down" || r.f.Kind == "restart" {
			return true
		}
	}
	return false
}

// Read implements device.Driver. Of a reading that arrives twice one is handed on: a
// wire has one newest reading.
func (d *Driver) Read(ctx context.Context, now time.Time) (device.Reading, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down() {
		return device.Reading{}, fmt.Errorf("the link is down: %w", device.ErrOffline)
	}
	if d.fleet.active == 0 {
		return d.inner.Read(ctx, now)
	}
	var rows device.Readings
	if err := d.fleet.ReadAll(ctx, now, &rows); err != nil {
		return device.Reading{}, err
	}
	if rows.Rows() == 0 {
		return device.Reading{}, fmt.Errorf("the reading was lost: %w", device.ErrOffline)
	}
	var r device.Reading
	rows.Row(0, &r)
	return r, nil
}

// Write implements device.Driver.
func (d *Driver) Write(ctx context.Context, now time.Time, c device.Command) (device.Ack, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fleet.active == 0 {
		return behind{d}.Write(ctx, now, c)
	}
	slot := c.Slot
	c.Slot = 0
	acks, err := d.fleet.WriteAll(ctx, now, []device.Command{c}, nil)
	if err != nil {
		return device.Ack{}, err
	}
	if len(acks) == 0 {
		return device.Ack{}, fmt.Errorf("the command was lost: %w", device.ErrOffline)
	}
	acks[0].Slot = slot
	return acks[0], nil
}

// Remarks implements device.Remarking as far as the driver behind does.
func (d *Driver) Remarks() []device.Remark {
	d.mu.Lock()
	defer d.mu.Unlock()
	if x, ok := d.inner.(device.Remarking); ok {
		return x.Remarks()
	}
	return nil
}

// Pressed implements device.Parted as far as the driver behind does.
func (d *Driver) Pressed() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if x, ok := d.inner.(device.Parted); ok {
		return x.Pressed()
	}
	return ""
}

// Close implements device.Driver.
func (d *Driver) Close() error { return d.inner.Close() }

// Describe implements device.Described as far as the driver behind does.
func (d *Driver) Describe(ctx context.Context, now time.Time) (device.Info, error) {
	if x, ok := d.inner.(device.Described); ok {
		return x.Describe(ctx, now)
	}
	return device.Info{}, nil
}

// Settings implements device.Adjustable as far as the driver behind does.
func (d *Driver) Settings(ctx context.Context) ([]device.Setting, error) {
	if x, ok := d.inner.(device.Adjustable); ok {
		return x.Settings(ctx)
	}
	return nil, nil
}

// Setting implements device.Adjustable.
func (d *Driver) Setting(ctx context.Context, name string) (float64, error) {
	if x, ok := d.inner.(device.Adjustable); ok {
		return x.Setting(ctx, name)
	}
	return 0, fmt.Errorf("setting %s: %w", name, device.ErrUnsupported)
}

// Adjust implements device.Adjustable.
func (d *Driver) Adjust(ctx context.Context, name string, value float64) (float64, error) {
	if x, ok := d.inner.(device.Adjustable); ok {
		return x.Adjust(ctx, name, value)
	}
	return 0, fmt.Errorf("setting %s: %w", name, device.ErrUnsupported)
}

// Probe implements device.Probed as far as the driver behind does.
func (d *Driver) Probe(ctx context.Context) ([]device.Trial, error) {
	if x, ok := d.inner.(device.Probed); ok {
		return x.Probe(ctx)
	}
	return nil, fmt.Errorf("probe: %w", device.ErrUnsupported)
}
