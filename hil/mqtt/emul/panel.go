package emul

import (
	"fmt"
	"math"
	"time"

	"yunchu/hil/mqtt"
	"yunchu/hil/unit"
	"yunchu/platform/device"
)

// Reading is what a unit shows, in the words and units of devices.
func Reading(v *unit.View, m device.Mode) device.Reading {
	r := device.Empty()
	round := func(x, steps float64) float64 { return math.Round(x*steps)/steps + 0 } // never -0
	r.SoC, r.SoH = round(v.SoC, 100), round(v.SoH, 100)
	r.Voltage, r.Current = round(v.DCV, 10), round(v.DCA, 10)
	r.Power, r.Temperature = round(v.ACW/1000, 1000), round(v.TempMaxC, 100)
	switch {
	case v.Fault:
		r.Status = device.Fault
	case m == device.MaintenanceMode:
		r.Status = device.Maintenance
	case !v.Running:
		r.Status = device.Standby
	case r.Power > 0:
		r.Status = device.Charging
	case r.Power < 0:
		r.Status = device.Discharging
	default:
		r.Status = device.Idle
	}
	return r
}

// panel is what the device tells of in events, when it changes.
type panel struct {
	local, fault, eStop bool
	ours, others        bool // whose setpoint is in force
}

// by is the name of this face at the unit.
const by = "mqtt"

// watch publishes what has changed at the panel. After a new connection all of it is
// told anew: who listens may have missed it.
func (d *Device) watch(v *unit.View) {
	is := panel{local: v.Local, fault: v.Fault, eStop: v.EStop, ours: v.SetActive && v.SetBy == by, others: v.SetActive && v.SetBy != by}
	tell := func(was, is bool, what, severity, text string) {
		if is && !was {
			d.send("event", d.event(what, severity, text), v.Wire.Late)
		}
	}
	if n := d.link.Sessions(); n != d.sessions {
		if d.link.Away() != nil {
			return // told when it is there again
		}
		d.sessions, d.was = n, panel{ours: d.was.ours, others: d.was.others}
		tell(false, true, mqtt.EventOnline, "info", "the device is there")
	}
	tell(d.was.local, is.local, mqtt.EventLocal, "warning", "the panel has the control")
	tell(is.local, d.was.local, mqtt.EventRemote, "info", "the panel has given the control back")
	tell(d.was.fault, is.fault, "fault", "critical", fmt.Sprintf("the unit has stopped, alarms %#x", uint32(v.Alarms)))
	tell(d.was.eStop, is.eStop, mqtt.EventEStop, "critical", "the emergency stop is pressed or latched")
	tell(false, d.was.ours && is.others, mqtt.EventSecondMaster, "warning", "the setpoint was changed by "+v.SetBy)
	d.was = is
}

func (d *Device) event(what, severity, text string) mqtt.Event {
	now := time.Now().UnixMilli()
	return mqtt.Event{
		EventID: fmt.Sprintf("%s-%d-%d", what, now, d.events.Add(1)), DeviceID: d.id, EventType: what, Severity: severity, Description: text, Timestamp: now,
	}
}
