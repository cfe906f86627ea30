package sunspec

import (
	"math"
	"time"

	"yunchu/platform/device"
)

// Values of 701.InvSt, and of 101.St to 103.St, which count from 1 otherwise alike.
const (
	invOff = iota
	invSleeping
	invStarting
	invRunning
	invThrottled
	invShuttingDown
	invFault
	invStandby
)

// Values of 802.State.
const (
	bankDisconnected = 1
	bankInitializing = 2
	bankStandby      = 4
	bankSuspending   = 6
	bankFault        = 99
)

// Values of 802.ChaSt and 124.ChaSt, of 802.ReqInvState, and of LocRemCtl.
const (
	chaDischarging = 3
	chaCharging    = 4
	chaHolding     = 6
	requestStop    = 2
	controlLocal   = 1
)

// manualShutdown is the bit of 701.Alrm and of 101.Evt1 to 103.Evt1.
const manualShutdown = 1 << 6

// Bits of 802.Evt1 that forbid something. An alarm of temperature, ground or contactor
// forbids both directions, one of voltage, current or charge that which made it. An error
// of communication forbids nothing: a battery that misses its controller says so until it
// is commanded again, and a device that may take nothing is not.
const (
	evtOverTemp        = 1 << 1
	evtUnderTemp       = 1 << 3
	evtChargeCurr      = 1 << 5
	evtDischargeCurr   = 1 << 7
	evtOverVolt        = 1 << 9
	evtUnderVolt       = 1 << 11
	evtUnderSoC        = 1 << 13
	evtOverSoC         = 1 << 15
	evtTempImbalance   = 1 << 18
	evtContactor       = 1 << 20
	evtGround          = 1 << 22
	evtOther           = 1 << 25
	evtConfiguration   = 1 << 28
	evtForbidBoth      = evtOverTemp | evtUnderTemp | evtTempImbalance | evtContactor | evtGround | evtOther | evtConfiguration
	evtForbidCharge    = evtChargeCurr | evtOverVolt | evtOverSoC
	evtForbidDischarge = evtDischargeCurr | evtUnderVolt | evtUnderSoC
)

// reading is what the registers that were just read come to. AC power is counted
// positive when generated, in all of 101 to 103 and 701; battery current as the options
// say.
func (d *Driver) reading(now time.Time) device.Reading {
	l := d.layout
	r := device.Empty()
	r.SoC, r.SoH = l.soc.float(), l.soh.float()
	r.Voltage = l.voltage.float()
	r.Current = 0 + d.sign*l.current.float() // 0 is not -0
	r.Power = 0 - l.power.float()/1000
	r.Temperature = l.temperature.float()
	r.Frequency = l.frequency.float()
	r.MaxCharge, r.MaxDischarge = l.limits()
	if d.silent() {
		r.MaxCharge, r.MaxDischarge = 0, 0
	}
	r.Own = l.windows().Told()
	r.Status = d.status(r.Power)
	if d.still(now) {
		r.Flags |= device.FlagHeartbeat
	}
	if l.local() {
		r.Flags |= device.FlagLocal
	}
	if !d.master.IsZero() && now.Sub(d.master) < masterShown {
		r.Flags |= device.FlagMaster
	}
	if l.shutDown() {
		r.Flags |= device.FlagEStop
	}
	return r
}

// limits are in kW what the device can take and give now: the least of what its battery
// says in amperes and in watts and of what its converter is set to or rated, and nothing
// of what it forbids or of what the battery's voltage has no room for. NaN when it says
// nothing.
func (l *layout) limits() (charge, discharge float64) {
	volts := l.voltage.float()
	charge = least(l.chargeA.float()*volts, l.chargeW.float(), l.ratedChargeW.float()) / 1000
	discharge = least(l.dischargeA.float()*volts, l.dischargeW.float(), l.ratedDischargeW.float()) / 1000
	switch events := l.events.value(); {
	case l.battery.value().Is(bankDisconnected), l.battery.value().Is(bankInitializing), l.battery.value().Is(bankSuspending),
		l.battery.value().Is(bankFault), l.request.value().Is(requestStop), events.Has(evtForbidBoth):
		return 0, 0
	default:
		if events.Has(evtForbidCharge) || volts >= l.chargeV.float() {
			charge = 0
		}
		if events.Has(evtForbidDischarge) || volts <= l.dischargeV.float() {
			discharge = 0
		}
	}
	return charge, discharge
}

// place is where a device has a point.
type place struct {
	model uint16
	addr  int
	name  string
}

// silent takes note of the alarms that the device tells, and reports whether it has ceased to
// tell some: these may be any. That it was lost, or has started again, since does not excuse it.
func (d *Driver) silent() (silent bool) {
	for _, p := range []point{d.layout.alarms, d.layout.alarms10x, d.layout.events} {
		if p.block == nil {
			continue
		}
		at := place{p.block.ID, p.block.Addr, p.field.Name}
		if p.value().OK() {
			d.alarmed[at] = true
		}
		silent = silent || d.alarmed[at] && !p.value().OK()
	}
	return silent
}

// windows are those that the battery tells of itself: of charge the inner one of what it is
// made for and of what is set for it, where the device told them when it was scanned.
func (l *layout) windows() device.OwnWindows {
	w := device.Untold()
	w.SoC = device.Span{-least(-l.socMin.float(), -l.reserveMin.float()), least(l.socMax.float(), l.reserveMax.float())}
	w.Voltage = device.Span{l.dischargeV.float(), l.chargeV.float()}
	return w
}

// least ignores what is not a number.
func least(list ...float64) float64 {
	x := math.NaN()
	for _, v := range list {
		if !(v >= x) && !math.IsNaN(v) {
			x = v
		}
	}
	return x
}

func (l *layout) local() bool {
	return l.localPCS.value().Is(controlLocal) || l.localBMS.value().Is(controlLocal)
}

func (l *layout) shutDown() bool {
	return l.alarms.value().Has(manualShutdown) || l.alarms10x.value().Has(manualShutdown)
}

// inverterState is that of 701, or that of 101 to 103 in its numbers; !ok: unknown.
func (l *layout) inverterState() (state uint64, ok bool) {
	if v := l.inverter.value(); v.OK() {
		return v.Raw()
	}
	if v := l.inverter10x.value(); v.OK() && v.raw > 0 {
		return v.raw - 1, true
	}
	return 0, false
}

// fault reports whether converter or battery say that they have one.
func (l *layout) fault() bool {
	s, ok := l.inverterState()
	return ok && s == invFault || l.battery.value().Is(bankFault)
}

// resting reports whether the converter or the battery says that it is off or in standby.
func (l *layout) resting() bool {
	switch s, ok := l.inverterState(); {
	case !ok:
		return l.battery.value().Is(bankStandby)
	default:
		return s == invOff || s == invSleeping || s == invShuttingDown || s == invStandby
	}
}

// status is the device's word where it has one, so that a sign that is wrong shows; the
// sign of its power where it has none.
func (d *Driver) status(kw float64) device.Status {
	l := d.layout
	switch {
	case l.fault():
		return device.Fault
	case d.mode == device.MaintenanceMode:
		return device.Maintenance
	case l.resting():
		return device.Standby
	}
	switch v := l.charging.value(); {
	case v.Is(chaCharging):
		return device.Charging
	case v.Is(chaDischarging):
		return device.Discharging
	case v.Is(chaHolding):
		return device.Idle
	}
	switch {
	case kw > 0:
		return device.Charging
	case kw < 0:
		return device.Discharging
	}
	return device.Idle
}

// masterShown is how long a second master is told of: long enough for every reader, and
// not so long that nobody could take the device over again.
const masterShown = 3 * time.Second

// stillAfter is how long a heartbeat of one a second may stand.
const stillAfter = 3 * time.Second

// pulse is a heartbeat of the device, which counts only while it changes.
type pulse struct {
	n  uint64
	at time.Time // it changed
}

// still takes note of the heartbeats and reports whether one stands still.
func (d *Driver) still(now time.Time) (still bool) {
	for _, p := range d.layout.pulses {
		n, ok := p.value().Raw()
		was := d.pulses[p.name()]
		switch {
		case was == nil:
			d.pulses[p.name()] = &pulse{n, now}
		case ok && n != was.n:
			*was = pulse{n, now}
		case now.Sub(was.at) > stillAfter:
			still = true
		}
	}
	return still
}
