package emul

import (
	"math"

	"yunchu/hil/unit"
)

// The models of the converter and its AC side: 1, 103, 120, 122, 701 and 702. Active and
// reactive power are counted positive when they are generated.

func common(v *unit.View) described {
	return described{id: 1, points: []entry{
		fixed("Mn", v.Maker), fixed("Md", v.Model), fixed("Vr", v.Version), fixed("SN", cut(v.ID, 32)), fixed("DA", uint64(1)),
	}}
}

// cut keeps what a string point of n bytes holds.
func cut(s string, n int) string { return s[:min(len(s), n)] }

func generatedW(s *screen) float64   { return 0 - s.ACW }
func generatedVar(s *screen) float64 { return 0 - s.ACVar }

// powerFactor has the sign of active power.
func powerFactor(s *screen) float64 {
	if s.ACVA < 1 {
		return 1
	}
	return 0 - s.ACW/s.ACVA
}

func phaseV(s *screen) float64 { return s.LineV / math.Sqrt(3) }

// phase is a third of f, as all phases are alike.
func phase(f func(*screen) float64) func(*screen) float64 {
	return func(s *screen) float64 { return f(s) / 3 }
}

func voltAmpere(s *screen) float64 { return s.ACVA }
func lineA(s *screen) float64      { return s.ACA }
func totalA(s *screen) float64     { return 3 * s.ACA }
func lineV(s *screen) float64      { return s.LineV }

// ratedA is the current of a line at rated power.
func ratedA(v *unit.View) float64 { return v.RatedVA / (math.Sqrt(3) * unit.NominalV) }

func inverter(v *unit.View) described {
	watt := scaleFor(v.RatedVA, 0)
	return described{
		id: 103,
		scales: map[string]int{
			"A_SF": scaleFor(3*ratedA(v), -1), "V_SF": -1, "W_SF": watt, "Hz_SF": -2, "VA_SF": watt, "VAr_SF": watt, "PF_SF": -2,
			"WH_SF": 0, "DCV_SF": -1, "DCW_SF": watt, "Tmp_SF": -2,
		},
		points: []entry{
			number("A", totalA), number("AphA", lineA), number("AphB", lineA), number("AphC", lineA),
			number("PPVphAB", lineV), number("PPVphBC", lineV), number("PPVphCA", lineV),
			number("PhVphA", phaseV), number("PhVphB", phaseV), number("PhVphC", phaseV),
			number("W", generatedW), number("Hz", func(s *screen) float64 { return s.Hz }),
			number("VA", voltAmpere), number("VAr", generatedVar),
			number("PF", func(s *screen) float64 { return 100 * powerFactor(s) }),
			number("WH", func(s *screen) float64 { return math.Floor(s.OutWh) }),
			number("DCV", func(s *screen) float64 { return s.DCV }),
			number("DCW", func(s *screen) float64 { return 0 - s.DCW }),
			number("TmpCab", func(s *screen) float64 { return s.TempMaxC }),
			state("St", func(s *screen) float64 { return inverterState(s) + 1 }),
			state("Evt1", alarmsAC), fixed("Evt2", uint64(0)),
		},
	}
}

// The states of 701.InvSt; those of 103.St are one more each.
const (
	stateOff       = 0
	stateRunning   = 3
	stateThrottled = 4
	stateFault     = 6
	stateStandby   = 7
)

func inverterState(s *screen) float64 {
	switch {
	case s.Fault:
		return stateFault
	case !s.Connected || !s.Started:
		return stateOff
	case s.Standby:
		return stateStandby
	case s.LimitOn:
		return stateThrottled
	}
	return stateRunning
}

// Bits of 701.Alrm and 103.Evt1.
const (
	alarmGround      = 1 << 0
	alarmDCOverVolt  = 1 << 1
	alarmDCOpen      = 1 << 3
	alarmGridOpen    = 1 << 4
	alarmManual      = 1 << 6
	alarmOverTemp    = 1 << 7
	alarmACOverVolt  = 1 << 10
	alarmACUnderVolt = 1 << 11
	alarmUnderTemp   = 1 << 13
)

func alarmsAC(s *screen) float64 {
	bits := 0
	for alarm, bit := range map[unit.Alarm]int{
		unit.AlarmGround: alarmGround, unit.AlarmOverVolt: alarmDCOverVolt, unit.AlarmContactor: alarmDCOpen, unit.AlarmGrid: alarmGridOpen,
		unit.AlarmEStop: alarmManual, unit.AlarmOverTemp: alarmOverTemp, unit.AlarmUnderTemp: alarmUnderTemp,
	} {
		if s.Alarms&alarm != 0 {
			bits |= bit
		}
	}
	switch {
	case s.Alarms&unit.AlarmGrid == 0:
	case s.LineV > unit.NominalV:
		bits |= alarmACOverVolt
	case s.LineV < unit.NominalV:
		bits |= alarmACUnderVolt
	}
	return float64(bits)
}

func nameplate(v *unit.View) described {
	watt := scaleFor(v.RatedVA, 0)
	return described{
		id: 120,
		scales: map[string]int{
			"WRtg_SF": watt, "VARtg_SF": watt, "ARtg_SF": scaleFor(ratedA(v), -1), "WHRtg_SF": scaleFor(v.RatedWh, 0),
			"AhrRtg_SF": scaleFor(v.CapacityAh, -1), "MaxChaRte_SF": watt, "MaxDisChaRte_SF": watt,
		},
		points: []entry{
			fixed("DERTyp", uint64(82)), // with storage
			fixed("WRtg", v.RatedW), fixed("VARtg", v.RatedVA), fixed("ARtg", ratedA(v)), fixed("WHRtg", v.RatedWh),
			fixed("AhrRtg", v.CapacityAh), fixed("MaxChaRte", v.RatedW), fixed("MaxDisChaRte", v.RatedW),
		},
	}
}

// Bits of 122.StorConn and StActCtl, and of 701.ThrotSrc and 702.CtrlModes.
const (
	connected  = 1 << 0
	available  = 1 << 1
	operating  = 1 << 2
	fixedWatts = 1 << 0
	maxWatts   = 1 << 0
	setWatts   = 1 << 1
)

func status() described {
	return described{id: 122, points: []entry{
		fixed("PVConn", uint64(0)),
		state("StorConn", func(s *screen) float64 {
			return flag(s.Contactors)*connected + flag(s.Running)*available + flag(s.Running && s.SetActive)*operating
		}),
		state("ECPConn", func(s *screen) float64 { return 1 + flag(s.Connected && !s.Tripped) }), // bits
		number("ActWh", func(s *screen) float64 { return math.Floor(s.OutWh) }),
		state("StActCtl", func(s *screen) float64 { return flag(s.SetActive) * fixedWatts }),
		fixed("TmSrc", "RTC"),
		state("Tms", func(s *screen) float64 { return math.Floor(s.At.Sub(epoch).Seconds()) }),
	}}
}

func measureAC(v *unit.View) described {
	watt := scaleFor(v.RatedVA, 0)
	points := []entry{
		fixed("ACType", uint64(2)), // three phases
		state("St", func(s *screen) float64 { return flag(s.Running) }),
		state("InvSt", inverterState),
		state("ConnSt", func(s *screen) float64 { return flag(s.Connected && !s.Tripped) }),
		state("Alrm", alarmsAC),
		fixed("DERMode", uint64(1)), // follows the grid
		number("W", generatedW), number("VA", voltAmpere), number("Var", generatedVar), number("PF", powerFactor), number("A", totalA),
		number("LLV", lineV), number("LNV", phaseV), number("Hz", func(s *screen) float64 { return s.Hz }),
		number("TotWhInj", func(s *screen) float64 { return math.Floor(s.OutWh) }),
		number("TotWhAbs", func(s *screen) float64 { return math.Floor(s.InWh) }),
		number("TmpCab", func(s *screen) float64 { return s.TempMaxC }),
		state("ThrotPct", func(s *screen) float64 { return math.Round(100 * s.LimitShare) }),
		state("ThrotSrc", func(s *screen) float64 { return flag(s.LimitOn)*maxWatts + flag(s.SetActive)*setWatts }),
	}
	for _, l := range []struct{ name, next string }{{"L1", "L1L2"}, {"L2", "L2L3"}, {"L3", "L3L1"}} {
		points = append(points,
			number("W"+l.name, phase(generatedW)), number("VA"+l.name, phase(voltAmpere)), number("Var"+l.name, phase(generatedVar)),
			number("PF"+l.name, powerFactor), number("A"+l.name, lineA), number("V"+l.next, lineV), number("V"+l.name, phaseV))
	}
	return described{
		id: 701,
		scales: map[string]int{
			"A_SF": scaleFor(3*ratedA(v), -1), "V_SF": -1, "Hz_SF": -3, "W_SF": watt, "PF_SF": -3, "VA_SF": watt, "Var_SF": watt,
			"TotWh_SF": 0, "Tmp_SF": -2,
		},
		points: points,
	}
}

func capacity(v *unit.View) described {
	watt := scaleFor(v.RatedVA, 0)
	return described{
		id:     702,
		scales: map[string]int{"W_SF": watt, "VA_SF": watt, "V_SF": -1, "A_SF": scaleFor(ratedA(v), -1)},
		points: []entry{
			fixed("WMaxRtg", v.RatedW), fixed("VAMaxRtg", v.RatedVA), fixed("WChaRteMaxRtg", v.RatedW), fixed("WDisChaRteMaxRtg", v.RatedW),
			fixed("VAChaRteMaxRtg", v.RatedVA), fixed("VADisChaRteMaxRtg", v.RatedVA), fixed("VNomRtg", float64(unit.NominalV)),
			fixed("AMaxRtg", ratedA(v)), fixed("CtrlModes", uint64(maxWatts|setWatts)),
		},
	}
}
