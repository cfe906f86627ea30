package dispatch

import (
	"time"

	"yunchu/platform/device"
	"yunchu/platform/fleet/image"
)

// unit is a device that takes part in the allocation.
type unit struct {
	slot      device.Slot
	mute      bool   // takes no setpoint now
	low, high string // what keeps it from its rating, giving and taking
	limit     int32  // the limit of a group that holds it back; -1 none
}

// number is v, or 0 where nothing was said.
func number(v float64) float64 {
	if device.Finite(v) {
		return v
	}
	return 0
}

// settle is how long a held device may take to be where it was told to be. After
// that its reading says what it does: one that lost its setpoint in a restart, or
// cannot keep it, must not be planned with as if it did.
const settle = 5 * time.Second

// held is the power that a held device is planned with.
func held(dev *image.Device, now int64) float64 {
	if now-dev.Told.At > settle.Milliseconds() && device.Finite(dev.Good.Power) {
		return dev.Good.Power
	}
	return number(dev.Told.Power)
}

// rated reports whether dispatch counts with a device at all.
func rated(dev *image.Device) bool {
	return dev.Info.State == device.Active && dev.Info.RatedKW >= minRatedKW && dev.Info.RatedKW <= maxRatedKW
}

// silenced is why a device takes no setpoint now, empty if it does.
func silenced(dev *image.Device) string {
	if dev.Mode != device.Run { // whatever its status word says
		return "mode " + dev.Mode.String()
	}
	switch s := dev.Good.Status; s {
	case device.Fault, device.Offline, device.Maintenance, device.Standby:
		return s.String()
	}
	return ""
}

// limits is what a device can do now by its last good reading, lo <= 0 <= hi, and
// notes what keeps it from its rating.
func (u *unit) limits(dev *image.Device) (lo, hi float64) {
	g := &dev.Good
	if why := silenced(dev); why != "" {
		u.mute, u.low, u.high = true, why, why
		return 0, 0
	}
	hi = dev.Info.Cap()
	if hi < dev.Info.RatedKW {
		u.low, u.high = "cap", "cap"
	}
	lo = -hi
	if l := min(0, -g.MaxDischarge); l > lo { // NaN compares false
		lo, u.low = l, "discharge limit"
	}
	if h := max(0, g.MaxCharge); h < hi {
		hi, u.high = h, "charge limit"
	}
	soc := dev.Info.ChargeWindow()
	if g.SoC <= soc[0] {
		lo, u.low = 0, "state of charge low"
	}
	if g.SoC >= soc[1] {
		hi, u.high = 0, "state of charge high"
	}
	return lo, hi
}

// within is what a window leaves of lo and hi.
func (u *unit) within(lo, hi float64, window func(device.Slot) (lo, hi float64, why string)) (float64, float64) {
	l, h, why := window(u.slot)
	if l > lo {
		lo, u.low = l, why
	}
	if h < hi {
		hi, u.high = h, why
	}
	return lo, hi
}

// why is what limits the device in the direction of the fleet.
func (u *unit) why(free float64) string {
	if free < 0 {
		return u.low
	}
	return u.high
}

// What a nameplate can say, so that one wrong entry does not put an end to all
// decisions.
const (
	minRatedKW = 1e-3
	maxRatedKW = 1e7
	minHours   = 1e-2 // capacity over rating
	maxHours   = 1e4
)

// charged reports whether the device says how full it is.
func charged(d *image.Device) bool { return d.Good.SoC >= 0 && d.Good.SoC <= 100 }

// capacity is the device's energy in kWh; where it is not known or makes no
// sense, two hours of rated power.
func capacity(d *image.Device) float64 {
	if e, kw := d.Info.CapacityKWh, d.Info.RatedKW; e >= minHours*kw && e <= maxHours*kw {
		return e
	}
	return 2 * d.Info.RatedKW
}

// usable is the capacity that the device's state of health has left, where it is known.
func usable(d *image.Device) float64 {
	if h := d.Good.SoH; h > 0 && h < 100 {
		return capacity(d) * h / 100
	}
	return capacity(d)
}
