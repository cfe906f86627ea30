package emul

import (
	"math"

	"yunchu/hil/sunspec"
	"yunchu/hil/unit"
)

// The models of the battery and its DC side: 160, 713, 714, 802 and 803. Current and
// power are counted positive into the battery, which the models leave open.

func dcA(s *screen) float64 { return s.DCA }
func dcW(s *screen) float64 { return s.DCW }
func dcV(s *screen) float64 { return s.DCV }

// ratedDCA is the current at rated power and nominal voltage.
func ratedDCA(v *unit.View) float64 { return v.RatedW / max(v.NominalDCV, 1) }

// inputs is 160: one input charges and one discharges, each with the amount, as makers of
// hybrid inverters show a battery there.
func inputs(v *unit.View) described {
	input := func(i int, id string, sign float64) []entry {
		amount := func(f func(*screen) float64) func(*screen) float64 {
			return func(s *screen) float64 { return max(sign*f(s), 0) }
		}
		return of("module", i,
			fixed("ID", uint64(i+1)), fixed("IDStr", id), number("DCA", amount(dcA)), number("DCV", dcV), number("DCW", amount(dcW)),
			number("Tmp", func(s *screen) float64 { return math.Round(s.TempMaxC) }),
			state("DCSt", func(s *screen) float64 { return inverterState(s) + 1 }), fixed("DCEvt", uint64(0)))
	}
	return described{
		id: 160, instances: 2,
		scales: map[string]int{"DCA_SF": scaleFor(ratedDCA(v), -1), "DCV_SF": -1, "DCW_SF": scaleFor(v.RatedW, 0)},
		points: append(append([]entry{fixed("Evt", uint64(0)), fixed("N", uint64(2))}, input(0, "StCha", 1)...), input(1, "StDisCha", -1)...),
	}
}

func capacityDC(v *unit.View) described {
	return described{
		id:     713,
		scales: map[string]int{"WH_SF": scaleFor(v.RatedWh, 0), "Pct_SF": percentScale},
		points: []entry{
			fixed("WHRtg", v.RatedWh),
			number("WHAvail", func(s *screen) float64 { return s.RatedWh * s.SoC / 100 * s.SoH / 100 }),
			number("SoC", func(s *screen) float64 { return s.SoC }), number("SoH", func(s *screen) float64 { return s.SoH }),
			state("Sta", func(s *screen) float64 {
				switch {
				case s.Fault:
					return 2
				case s.Alarms != 0:
					return 1
				}
				return 0
			}),
		},
	}
}

func measureDC(v *unit.View) described {
	return described{
		id: 714, instances: 1,
		scales: map[string]int{"DCA_SF": scaleFor(ratedDCA(v), -1), "DCV_SF": -1, "DCW_SF": scaleFor(v.RatedW, 0), "Tmp_SF": -2},
		points: append([]entry{
			state("PrtAlrms", func(s *screen) float64 { return flag(s.Fault) }),
			fixed("NPrt", uint64(1)), number("DCA", dcA), number("DCW", dcW),
		}, of("Prt", 0,
			fixed("PrtTyp", uint64(1)), // storage
			fixed("ID", uint64(1)), fixed("IDStr", "battery"), number("DCA", dcA), number("DCV", dcV), number("DCW", dcW),
			number("Tmp", func(s *screen) float64 { return s.TempMaxC }),
			state("DCSta", func(s *screen) float64 {
				if s.Fault {
					return 3
				}
				return flag(s.Contactors)
			}), fixed("DCAlrm", uint64(0)))...),
	}
}

// Values of 802.State, ChaSt and ReqInvState.
const (
	bankDisconnected  = 1
	bankConnected     = 3
	bankStandby       = 4
	bankSoCProtection = 5
	bankFault         = 99

	chaOff         = 1
	chaEmpty       = 2
	chaDischarging = 3
	chaCharging    = 4
	chaFull        = 5
	chaHolding     = 6

	requestStop = 2
)

// charging is the word for what the battery does. Less than this is nothing: half of the
// smallest step that power is shown in.
func charging(s *screen) float64 {
	const still = 0.5 // W
	switch {
	case !s.Contactors:
		return chaOff
	case s.ACW >= still:
		return chaCharging
	case s.ACW <= -still:
		return chaDischarging
	case s.SoC <= s.SoCMin:
		return chaEmpty
	case s.SoC >= s.SoCMax:
		return chaFull
	}
	return chaHolding
}

// tripped are the alarms on which a battery has opened its contactors by itself.
const tripped = unit.AlarmOverVolt | unit.AlarmUnderVolt | unit.AlarmOverTemp | unit.AlarmUnderTemp | unit.AlarmOverCurrent | unit.AlarmGround

func bankState(s *screen) float64 {
	switch {
	case s.EStop, !s.Contactors && s.Alarms&tripped != 0:
		return bankFault
	case !s.Contactors:
		return bankDisconnected
	case s.Standby:
		return bankStandby
	case s.Alarms&(unit.AlarmSoCLow|unit.AlarmSoCHigh) != 0:
		return bankSoCProtection
	}
	return bankConnected
}

// Bits of 802.Evt1.
func events(s *screen) float64 {
	bits := 0
	for alarm, bit := range map[unit.Alarm]int{
		unit.AlarmComm: 1 << 0, unit.AlarmOverTemp: 1 << 1, unit.AlarmUnderTemp: 1 << 3, unit.AlarmOverCurrent: 1<<5 | 1<<7,
		unit.AlarmOverVolt: 1 << 9, unit.AlarmUnderVolt: 1 << 11, unit.AlarmSoCLow: 1 << 13, unit.AlarmSoCHigh: 1 << 15,
		unit.AlarmContactor: 1 << 20, unit.AlarmFan: 1 << 21, unit.AlarmGround: 1 << 22, unit.AlarmEStop: 1 << 25,
	} {
		if s.Alarms&alarm != 0 {
			bits |= bit
		}
	}
	return float64(bits)
}

func battery(v *unit.View) described {
	ampere := scaleFor(ratedDCA(v), -1)
	return described{
		id: 802,
		scales: map[string]int{
			"AHRtg_SF": scaleFor(v.CapacityAh, -1), "WHRtg_SF": scaleFor(v.RatedWh, 0), "WChaDisChaMax_SF": scaleFor(v.RatedW, 0),
			"SoC_SF": percentScale, "SoH_SF": percentScale, "V_SF": -1, "CellV_SF": -3, "A_SF": ampere, "AMax_SF": ampere,
			"W_SF": scaleFor(v.RatedW, 0),
		},
		points: []entry{
			fixed("AHRtg", v.CapacityAh), fixed("WHRtg", v.RatedWh), fixed("WChaRteMax", v.RatedW), fixed("WDisChaRteMax", v.RatedW),
			fixed("SoCMax", v.SoCMax), fixed("SoCMin", v.SoCMin),
			number("SoC", func(s *screen) float64 { return s.SoC }), number("SoH", func(s *screen) float64 { return s.SoH }),
			number("NCyc", func(s *screen) float64 { return math.Floor(s.Cycles) }),
			state("ChaSt", charging),
			state("LocRemCtl", func(s *screen) float64 { return flag(s.Local) }),
			{name: "Hb", get: func(s *screen) any { return uint64(s.Heartbeat % wrap16) }},
			{
				name: "CtrlHb", get: func(s *screen) any { return s.panel.bmsBeat },
				put: func(c *change, v sunspec.Value) error { return putBeat(c, &c.bmsBeat, v) },
			},
			writable("AlmRst", func(*screen) float64 { return 0 }, putReset),
			fixed("Typ", uint64(4)), // lithium-ion
			state("State", bankState), state("Evt1", events), fixed("Evt2", uint64(0)),
			number("V", dcV), fixed("VMax", v.ChargeV), fixed("VMin", v.DischargeV),
			number("CellVMax", func(s *screen) float64 { return s.CellVMax }), number("CellVMin", func(s *screen) float64 { return s.CellVMin }),
			number("A", dcA),
			number("AChaMax", func(s *screen) float64 { return allowed(s.ChargeOK, s.ChargeA, ampere) }),
			number("ADisChaMax", func(s *screen) float64 { return allowed(s.DischargeOK, s.DischargeA, ampere) }),
			number("W", dcW),
			state("ReqInvState", func(s *screen) float64 { return requestStop * flag(bankState(s) == bankFault) }),
			writable("SetOp", func(s *screen) float64 { return 2 - flag(s.Contactors) },
				oneOf(func(c *change, x float64) { closed := x == setConnect; c.contactors = &closed }, setConnect, setDisconnect)),
			writable("SetInvState", setInverter, putInverter),
		},
	}
}

// Values of 802.SetOp and SetInvState.
const (
	setConnect    = 1
	setDisconnect = 2
	setStopped    = 1
	setStandby    = 2
	setStarted    = 3
)

func setInverter(s *screen) float64 {
	switch {
	case !s.Started:
		return setStopped
	case s.Standby:
		return setStandby
	}
	return setStarted
}

var putInverter = oneOf(func(c *change, x float64) {
	c.ops = append(c.ops, map[float64][]unit.Op{
		setStopped: {unit.OpStop}, setStandby: {unit.OpStandby}, setStarted: {unit.OpStart, unit.OpLeaveStandby},
	}[x]...)
}, setStopped, setStandby, setStarted)

// allowed is the current of a direction that is permitted, in steps of a power of ten and
// never rounded up.
func allowed(ok bool, a float64, step int) float64 {
	if !ok {
		return 0
	}
	return math.Floor(a*math.Pow10(-step)) / math.Pow10(-step)
}

func bank(v *unit.View) described {
	ampere := scaleFor(ratedDCA(v), -1)
	hot, cold := func(s *screen) float64 { return s.TempMaxC }, func(s *screen) float64 { return s.TempMinC }
	d := described{
		id: 803, instances: v.Strings,
		scales: map[string]int{"CellV_SF": -3, "ModTmp_SF": -2, "A_SF": ampere, "SoH_SF": percentScale, "SoC_SF": percentScale, "V_SF": -1},
		points: []entry{
			fixed("NStr", uint64(v.Strings)), state("NStrCon", func(s *screen) float64 { return float64(s.StringsOn) }),
			number("ModTmpMax", hot), number("ModTmpMin", cold),
			number("StrVMax", dcV), number("StrVMin", dcV), number("StrVAvg", dcV), number("StrAAvg", stringA),
		},
	}
	for i := range v.Strings {
		on := func(s *screen) bool { return i < s.StringsOn }
		d.points = append(d.points, of("string", i,
			state("StrSt", func(s *screen) float64 { return 1 + 2*flag(on(s)) }), // enabled, and its contactor
			number("StrSoC", func(s *screen) float64 { return s.SoC }), number("StrSoH", func(s *screen) float64 { return s.SoH }),
			number("StrA", func(s *screen) float64 { return flag(on(s)) * stringA(s) }),
			number("StrCellVMax", func(s *screen) float64 { return s.CellVMax }), number("StrCellVMin", func(s *screen) float64 { return s.CellVMin }),
			number("StrModTmpMax", hot), number("StrModTmpMin", cold),
			state("StrConSt", func(s *screen) float64 { return flag(on(s)) }), state("StrEvt1", events))...)
	}
	return d
}

// stringA is the share of one of the strings that are connected.
func stringA(s *screen) float64 { return s.DCA / float64(max(s.StringsOn, 1)) }
