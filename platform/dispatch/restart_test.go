package dispatch_test

import (
	"math"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/dispatch"
	"yunchu/platform/fleet/image"
)

// What a restart leaves: a unit in maintenance that reports idle, long after the
// command that put it there, and a held unit that has lost its setpoint. Neither
// may be planned with as if it did what it was told.
func TestUnitsThatDoNotDoWhatTheyWereTold(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	ms := now.UnixMilli()
	unit := func(slot device.Slot) image.Device {
		r := device.Empty()
		r.Slot, r.At, r.SoC, r.Power, r.Status, r.MaxCharge, r.MaxDischarge = slot, ms, 50, 0, device.Idle, 100, 100
		return image.Device{
			Info: device.Info{ID: device.ID(rune('a' + slot)), Slot: slot, State: device.Active, RatedKW: 100, CapacityKWh: 200},
			Last: r, Good: r,
		}
	}
	img := image.Image{Devices: []image.Device{unit(0), unit(1), unit(2), unit(3)}}
	img.Devices[2].Mode = device.MaintenanceMode
	img.Devices[3].Told = image.Told{Verb: device.SetPower, Priority: device.High, Power: 50, At: ms - 60_000, Until: ms + 600_000}
	p := dispatch.Planner{Settings: dispatch.Settings{Every: 2 * time.Second, Strategy: dispatch.Proportional}}
	d, err := p.Decide(now, &img, 120, nil)
	if err != nil {
		t.Fatal(err)
	}
	var sum float64
	for _, c := range d.Commands {
		if c.Slot >= 2 {
			t.Errorf("unit %d is commanded: %+v", c.Slot, c)
		}
		sum += c.Power
	}
	if math.Abs(sum-120) > 1e-6 || d.HeldPower != 0 || d.Shortfall != 0 {
		t.Errorf("%v kW for the two free units, %v held, shortfall %v; want 120, 0, 0", sum, d.HeldPower, d.Shortfall)
	}
	img.Devices[3].Told.At = ms - 1000 // it is on its way
	if d, err = p.Decide(now, &img, 120, nil); err != nil || d.HeldPower != 50 {
		t.Errorf("a unit that was told a second ago holds %v kW, %v; want 50", d.HeldPower, err)
	}
}
