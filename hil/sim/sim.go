// Package sim puts a fleet of twins behind the Driver interface, without a wire
// between: the fastest of the three worlds. It reports what a BMS and a PCS would
// report, in their resolution, and it converts the twin's SI units and nothing
// else.
package sim

import (
	"context"
	"fmt"
	"math"
	"time"

	"yunchu/platform/device"
	"yunchu/twin"
)

// The resolution of what is reported, as steps per unit: 0.01 % and 0.01 °C,
// 0.1 V and 0.1 A, 1 W. A reading is rounded, the twin's own state is not.
const (
	perPercent = 100
	perVolt    = 10
	perAmpere  = 10
	perKW      = 1000
	perKelvin  = 100
)

// kelvin is 0 °C.
const kelvin = 273.15

// Fleet serves units from to of a fleet of twins as devices.
type Fleet struct {
	twins *twin.Fleet
	from  int
	n     int
}

var _ device.Fleet = (*Fleet)(nil)

// Fleets serves all units of f, as many fleets as their bound on size asks for.
func Fleets(f *twin.Fleet) []*Fleet {
	var out []*Fleet
	for from := 0; from < f.Len(); from += device.MaxRows {
		out = append(out, &Fleet{f, from, min(device.MaxRows, f.Len()-from)})
	}
	return out
}

// Size implements device.Fleet.
func (f *Fleet) Size() int { return f.n }

// Index is the twin's number of device i of the fleet.
func (f *Fleet) Index(i int) int { return f.from + i }

// ReadAll steps the twins to now, where nobody else has done so yet, and reports
// every unit.
func (f *Fleet) ReadAll(_ context.Context, now time.Time, into *device.Readings) error {
	f.twins.Step(now)
	ms := now.UnixMilli()
	for i := range f.n {
		r := f.reading(i, ms)
		into.Append(&r)
	}
	return nil
}

func (f *Fleet) reading(i int, ms int64) device.Reading {
	s := f.twins.State(f.from + i)
	return device.Reading{
		Slot: device.Slot(i), At: ms, Arrived: ms,
		SoC: round(100*s.SoC, perPercent), SoH: round(100*s.SoH, perPercent),
		Voltage: round(s.PackV, perVolt), Current: round(s.PackI, perAmpere),
		Power: round(s.ACPowerW/1000, perKW), Temperature: round(s.TempK-kelvin, perKelvin),
		MaxCharge:    math.Floor(s.AvailableChargeW) / 1000,
		MaxDischarge: math.Floor(s.AvailableDischargeW) / 1000,
		Status:       status(&s),
	}
}

// round gives v in steps of 1/steps; what is too small to show is 0, not -0.
func round(v, steps float64) float64 { return math.Round(v*steps)/steps + 0 }

func status(s *twin.State) device.Status {
	switch s.Mode {
	case twin.Standby:
		return device.Standby
	case twin.Maintenance:
		return device.Maintenance
	case twin.Fault:
		return device.Fault
	}
	switch {
	case s.ACPowerW >= 0.5:
		return device.Charging
	case s.ACPowerW <= -0.5:
		return device.Discharging
	}
	return device.Idle
}

// WriteAll hands setpoints to the twins. Each answers when its control has taken
// the setpoint: after its response delay.
func (f *Fleet) WriteAll(_ context.Context, now time.Time, cmds []device.Command, acks []device.Ack) ([]device.Ack, error) {
	for i := range cmds {
		acks = append(acks, f.write(now, &cmds[i]))
	}
	return acks, nil
}

func (f *Fleet) write(now time.Time, c *device.Command) device.Ack {
	if int(c.Slot) >= f.n {
		return c.Answer(device.Rejected, now.UnixMilli(), "REJECTED", "no such unit")
	}
	unit := f.from + int(c.Slot)
	at := now.Add(f.twins.ResponseDelay(unit))
	if c.Until != 0 && !at.Before(device.Time(c.Until)) && c.Duration > 0 {
		return c.Answer(device.Expired, at.UnixMilli(), "EXPIRED", "the setpoint had expired when it reached the unit")
	}
	switch c.Verb {
	case device.SetPower:
		if !device.Finite(c.Power) {
			return c.Answer(device.Rejected, at.UnixMilli(), "REJECTED", fmt.Sprintf("%v kW is not a power", c.Power))
		}
		if !f.twins.SetPower(unit, now, c.Power*1000, device.Time(c.Until)) {
			return c.Answer(device.Rejected, at.UnixMilli(), "DEVICE_FAULT",
				fmt.Sprintf("the unit takes no setpoint: it is in mode %s", f.twins.State(unit).Mode))
		}
	case device.Stop, device.Release:
		f.twins.SetPQ(unit, now, 0, 0, device.Time(c.Until)) // nothing at all flows
	case device.EStop:
		f.twins.Step(now)
		f.twins.EmergencyStop(unit, true)
		f.twins.EmergencyStop(unit, false) // a word from outside is no button that stays in
	case device.Reset:
		f.twins.Step(now)
		f.twins.SetMode(unit, twin.Run)
	case device.SetMode:
		if c.Mode > device.MaintenanceMode {
			return c.Answer(device.Rejected, at.UnixMilli(), "UNSUPPORTED", fmt.Sprintf("mode %v: %v", c.Mode, device.ErrUnsupported))
		}
		f.twins.Step(now) // what was before was in the mode before
		f.twins.SetMode(unit, modeOf(c.Mode))
	default:
		return c.Answer(device.Rejected, at.UnixMilli(), "UNSUPPORTED", fmt.Sprintf("%v: %v", c.Verb, device.ErrUnsupported))
	}
	return c.Answer(device.Done, at.UnixMilli(), "", "")
}

func modeOf(m device.Mode) twin.Mode {
	switch m {
	case device.StandbyMode:
		return twin.Standby
	case device.MaintenanceMode:
		return twin.Maintenance
	}
	return twin.Run
}

// Unit is one unit of a fleet as a Driver of its own.
func (f *Fleet) Unit(i int) device.Driver { return &unit{f, i} }

type unit struct {
	fleet *Fleet
	index int
}

var (
	_ device.Driver = (*unit)(nil)
	_ device.Member = (*unit)(nil)
)

func (u *unit) Read(_ context.Context, now time.Time) (device.Reading, error) {
	u.fleet.twins.Step(now)
	return u.fleet.reading(u.index, now.UnixMilli()), nil
}

func (u *unit) Write(_ context.Context, now time.Time, c device.Command) (device.Ack, error) {
	slot := c.Slot
	c.Slot = device.Slot(u.index)
	a := u.fleet.write(now, &c)
	a.Slot = slot
	return a, nil
}

func (u *unit) Close() error { return nil }

// Fleet implements device.Member.
func (u *unit) Fleet() (device.Fleet, int) { return u.fleet, u.index }
