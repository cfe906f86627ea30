package unit

import (
	"math"
	"time"

	"yunchu/twin"
)

// Alarm is what a unit complains of.
type Alarm uint32

// The alarms that faces can show.
const (
	AlarmOverTemp Alarm = 1 << iota
	AlarmUnderTemp
	AlarmOverVolt
	AlarmUnderVolt
	AlarmOverCurrent
	AlarmSoCLow
	AlarmSoCHigh
	AlarmContactor
	AlarmFan
	AlarmGround
	AlarmGrid
	AlarmEStop
	AlarmComm
)

// View is what the instruments of a unit show at one moment. Passive signs, SI.
type View struct {
	At time.Time

	// Nameplate.
	ID, Maker, Model, Version string
	RatedW, RatedVA, RatedWh  float64
	CapacityAh, NominalDCV    float64
	Series, Parallel          int
	SoCMin, SoCMax            float64 // percent
	CellVLow, CellVHigh       float64 // V, the window of a cell
	TempCLow, TempCHigh       float64 // below the first no charging, above the second no power
	ResponseDelay             time.Duration
	MaxRamp                   float64 // share of rated power a second
	Strings, StringsOn        int
	Reactive                  bool // it has any

	// AC side.
	ACW, ACVar, ACVA, ACA float64 // A of a line, >= 0
	Hz, LineV             float64
	InWh, OutWh           float64 // drawn and delivered since the start

	// Battery.
	DCV, DCA, DCW         float64
	SoC, SoH              float64 // percent
	CellVMax, CellVMin    float64
	TempMaxC, TempMinC    float64
	ChargeW, DischargeW   float64 // >= 0, at AC, that could be taken and given now
	ChargeA, DischargeA   float64 // >= 0, the same at the battery's terminals
	ChargeV, DischargeV   float64 // V, the voltages that end a charge and a discharge
	ChargeOK, DischargeOK bool    // permissions
	Cycles                float64 // full ones, from the energy that went in

	// Panel.
	Connected, Started, Standby, Local bool
	Contactors                         bool // closed
	EStop, Tripped, Fault              bool
	Running                            bool
	Limiting                           twin.Limit
	Alarms                             Alarm
	SetW                               float64   // as written
	SetBy                              string    // which face wrote it
	SetActive                          bool      // in force: written, not lapsed
	SetUntil                           time.Time // zero: for ever
	LimitShare                         float64
	LimitOn                            bool
	LimitUntil                         time.Time // zero: for ever
	Ramp                               float64   // share a second; NaN: not implemented
	Reserve                            float64   // percent; NaN: none
	Heartbeat                          uint32    // one more every second
	ControllerBeat                     uint32
	BeatLost                           bool

	Wire Wire // what is broken about the wires
}

// View is the unit at now.
func (u *Unit) View(now time.Time) View {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tick(now)
	return u.view(now, true)
}

// Truth is what a perfect instrument beside the unit would show: no fault of a wire or
// of a display is in it.
func (u *Unit) Truth(now time.Time) View {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tick(now)
	return u.view(now, false)
}

func (u *Unit) view(now time.Time, shown bool) View {
	m, s, e := u.model, u.twin.State(0), u.twin.Energy(0)
	v := View{
		At: now, ID: u.opt.ID, Maker: "Yunchu", Model: m.Name, Version: "1",
		RatedW: m.RatedKW * 1000, RatedVA: m.RatedKW * 1000, RatedWh: m.RatedKWh * 1000,
		CapacityAh: m.Cell.CapacityAh * float64(m.Parallel), Series: m.Series, Parallel: m.Parallel,
		SoCMin: m.Limits.SoC.Min, SoCMax: m.Limits.SoC.Max, CellVLow: m.Limits.CellV.Min, CellVHigh: m.Limits.CellV.Max,
		TempCLow: m.Limits.TempC.Charge.Min, TempCHigh: max(m.Limits.TempC.Charge.Max, m.Limits.TempC.Discharge.Max),
		ResponseDelay: time.Duration(m.PCS.ResponseDelay), MaxRamp: m.PCS.RampPerS,
		Strings: m.Parallel, StringsOn: m.Parallel, Reactive: m.PCS.Capability != nil,

		ACW: s.ACPowerW, ACVar: s.ReactiveVar, ACVA: math.Hypot(s.ACPowerW, s.ReactiveVar),
		Hz: u.hz, LineV: NominalV * u.pu, InWh: e.ACInJ / 3600, OutWh: e.ACOutJ / 3600,

		DCV: s.PackV, DCA: s.PackI, DCW: s.DCPowerW, SoC: 100 * s.SoC, SoH: 100 * s.SoH,
		CellVMax: s.CellVMax, CellVMin: s.CellVMin, TempMaxC: s.TempK - kelvin, TempMinC: s.TempMinK - kelvin,
		ChargeW: s.AvailableChargeW, DischargeW: s.AvailableDischargeW,

		Connected: u.connected, Started: u.started, Standby: u.standby, Local: u.local,
		Contactors: !u.opened && s.Mode != twin.Fault, EStop: u.stopped, Tripped: u.tripped,
		Fault: u.stopped || u.tripped || s.Mode == twin.Fault, Running: u.running(), Limiting: s.Limit,
		SetW: u.set.w, SetBy: u.set.by, SetActive: u.set.by != "" && !u.set.lapsed, SetUntil: u.set.until,
		LimitShare: u.limit.share, LimitOn: u.limit.on, LimitUntil: u.limit.until, Ramp: u.ramp, Reserve: u.reserve,
		Heartbeat: uint32(max(now.Sub(u.since), 0) / time.Second), ControllerBeat: u.beat.n, BeatLost: u.beat.lost,
		Wire: u.wire,
	}
	if !v.Running {
		v.ChargeW, v.DischargeW = 0, 0
	}
	v.NominalDCV = v.RatedWh / max(v.CapacityAh, 1e-9)
	v.ACA = v.ACVA / (math.Sqrt(3) * max(v.LineV, 1))
	v.ChargeV, v.DischargeV = v.CellVHigh*float64(m.Series), v.CellVLow*float64(m.Series)
	v.ChargeA, v.DischargeA = bearable(&v, v.ChargeW), bearable(&v, v.DischargeW)
	v.Cycles = v.InWh / max(v.RatedWh, 1)
	if s.Strings > 0 || m.Strings != nil {
		v.StringsOn = s.Strings
	}
	if v.Fault || u.opened {
		v.StringsOn = 0
	}
	u.protection(&v)
	if shown {
		u.values.show(&v, now)
	}
	return v
}

// bearable is the current at the battery's terminals that belongs to a power it could
// have now. Where the converter is what bounds the power, the battery bears more: with
// its losses a converter draws some percent more from it than it delivers.
func bearable(v *View, w float64) float64 {
	if w >= v.RatedW*(1-1e-6) {
		w *= spare
	}
	return w / max(v.DCV, 1)
}

// spare is how much more than the converter's rating its battery bears.
const spare = 1.1

// protection is what the battery management makes of the measurements: permissions
// and alarms, with those that a test has raised.
func (u *Unit) protection(v *View) {
	set := func(on bool, a Alarm) {
		if on {
			v.Alarms |= a
		}
	}
	v.ChargeOK, v.DischargeOK = v.ChargeW > 0, v.DischargeW > 0
	set(v.SoC <= v.SoCMin, AlarmSoCLow)
	set(v.SoC >= v.SoCMax, AlarmSoCHigh)
	set(!v.Contactors, AlarmContactor)
	set(v.Tripped, AlarmGrid)
	set(v.EStop, AlarmEStop)
	set(v.BeatLost, AlarmComm)
	set(v.Limiting == twin.LimitTempHigh, AlarmOverTemp)
	set(v.Limiting == twin.LimitTempLow, AlarmUnderTemp)
	v.Alarms |= u.raised | u.latched
	if v.Alarms&protecting != 0 {
		v.ChargeOK, v.DischargeOK = false, false
		v.ChargeW, v.DischargeW, v.ChargeA, v.DischargeA = 0, 0, 0, 0
	}
}
