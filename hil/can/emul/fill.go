package emul

import (
	"math"
	"slices"

	"yunchu/hil/can"
	"yunchu/hil/unit"
	"yunchu/platform/device"
)

// fill is a message with what the unit shows. Signals that the profile has no use for are
// 0. A point that is not implemented is nothing but ones.
func (e *Emulator) fill(v *unit.View, m *message) can.Frame {
	f := m.def.Frame()
	if v.Wire.NotImplemented {
		for i := range f.Length {
			f.Data[i] = 0xFF
		}
		return f
	}
	for i := range m.use.Signals {
		u := &m.use.Signals[i]
		s := &m.def.Signals[m.def.Signal(u.Name)]
		switch {
		case u.Is == can.StatusWord:
			s.SetRaw(&f.Data, statusOf(v, u))
		case u.Is == can.Manufacturer:
			s.SetRaw(&f.Data, text(v.Maker, int(s.Length)/8))
		case u.Is == can.Heartbeat:
			s.SetCount(&f.Data, uint64(v.Heartbeat))
		case condition(u.Is):
			s.SetRaw(&f.Data, s.Raw(&f.Data)|bits(u, holds(v, u)))
		default:
			s.Encode(&f.Data, e.number(v, u.Is))
		}
	}
	return f
}

func condition(is string) bool {
	switch is {
	case can.ChargeAllowed, can.DischargeAllowed, can.ChargeForbidden, can.DischargeForbidden,
		can.FaultCondition, can.WarningCondition, can.EStopCondition:
		return true
	}
	return false
}

// regrouped is by how much the voltage of the pack is above that of the protocol's class:
// of so many parts in series the pack would have to be put in parallel. Power, charge and
// cells stay what they are.
func (e *Emulator) regrouped(v *unit.View) float64 {
	n := e.opt.Profile.ShownSeries
	if n == 0 || v.Series <= n {
		return 1
	}
	return float64(v.Series) / float64(n)
}

// number is a quantity in the units and signs of the wire.
func (e *Emulator) number(v *unit.View, is string) float64 {
	k := e.regrouped(v)
	switch is {
	case can.SoC, can.SoCFine:
		return v.SoC
	case can.SoH:
		return v.SoH
	case can.Voltage:
		return v.DCV / k
	case can.Current:
		if e.opt.Profile.CurrentSign == can.Discharge {
			return -v.DCA * k
		}
		return v.DCA * k
	case can.Temperature:
		return (v.TempMaxC + v.TempMinC) / 2
	case can.CellTemperatureMax:
		return v.TempMaxC
	case can.CellTemperatureMin:
		return v.TempMinC
	case can.CellVoltageMax:
		return v.CellVMax
	case can.CellVoltageMin:
		return v.CellVMin
	case can.ChargeVoltageLimit:
		return v.ChargeV / k
	case can.DischargeVoltageLimit:
		return v.DischargeV / k
	case can.ChargeCurrentLimit:
		return v.ChargeA * k
	case can.DischargeCurrentLimit:
		if e.opt.Profile.LimitSign == can.Signed {
			return -v.DischargeA * k
		}
		return v.DischargeA * k
	}
	return nameplate(v, is, k)
}

func nameplate(v *unit.View, is string, k float64) float64 {
	blocked := func(ok bool) float64 {
		if ok {
			return 0
		}
		return float64(v.StringsOn)
	}
	switch is {
	case can.Modules:
		return float64(v.StringsOn)
	case can.ModulesBlockCharge:
		return blocked(v.ChargeOK)
	case can.ModulesBlockDischarge:
		return blocked(v.DischargeOK)
	case can.ModulesOffline:
		return float64(v.Strings - v.StringsOn)
	case can.Cells:
		return float64(v.Series * v.Parallel)
	case can.CellsPerModule:
		return float64(v.Series)
	case can.CapacityAh:
		return v.CapacityAh * k
	case can.NominalVoltage:
		return v.NominalDCV / k
	case can.ChargeCycles:
		return v.Cycles
	case can.ChargedKWh:
		return v.InWh / 1000
	case can.DischargedKWh:
		return v.OutWh / 1000
	}
	return math.NaN()
}

// bits are those of a condition, beside what other conditions say in the same signal.
func bits(u *can.SignalUse, on bool) uint64 {
	switch {
	case !on:
		return u.Inactive
	case u.Active != nil:
		return *u.Active
	case u.Mask != 0:
		return u.Mask
	}
	return 1
}

func holds(v *unit.View, u *can.SignalUse) bool {
	switch u.Is {
	case can.ChargeAllowed:
		return v.ChargeOK
	case can.DischargeAllowed:
		return v.DischargeOK
	case can.ChargeForbidden:
		return !v.ChargeOK
	case can.DischargeForbidden:
		return !v.DischargeOK
	case can.EStopCondition:
		return v.EStop
	}
	// What has opened the contactors is a fault, what has not yet is a warning.
	if (u.Is == can.FaultCondition) == v.Contactors {
		return false
	}
	return slices.ContainsFunc(u.Of, func(name string) bool { return v.Alarms&alarms[name] != 0 })
}

// alarms are those of the unit that a word of the profile stands for.
var alarms = map[string]unit.Alarm{
	"over-voltage":      unit.AlarmOverVolt,
	"under-voltage":     unit.AlarmUnderVolt,
	"over-temperature":  unit.AlarmOverTemp,
	"under-temperature": unit.AlarmUnderTemp,
	"over-current":      unit.AlarmOverCurrent,
	"contactor":         unit.AlarmContactor,
	"internal":          unit.AlarmGround | unit.AlarmEStop | unit.AlarmFan,
	"communication":     unit.AlarmComm,
	"any":               ^(unit.AlarmSoCLow | unit.AlarmSoCHigh | unit.AlarmGrid),
}

// statusOf is the value whose word says what the unit does.
func statusOf(v *unit.View, u *can.SignalUse) uint64 {
	word := device.Idle
	switch {
	case !v.Contactors:
		word = device.Fault
	case v.Standby:
		word = device.Standby
	case v.DCA > 0:
		word = device.Charging
	case v.DCA < 0:
		word = device.Discharging
	}
	for _, w := range []device.Status{word, device.Idle, device.Standby} {
		for raw := range uint64(256) {
			if u.Words[raw] == w.String() {
				return raw
			}
		}
	}
	return 0
}

// text is at most n characters, the first in the lowest byte, filled up with blanks.
func text(s string, n int) uint64 {
	var raw uint64
	for i := range min(n, 8) {
		c := byte(' ')
		if i < len(s) {
			c = s[i]
		}
		raw |= uint64(c) << (8 * i)
	}
	return raw
}
