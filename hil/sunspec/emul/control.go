package emul

import (
	"fmt"
	"math"
	"slices"
	"time"

	"yunchu/hil/sunspec"
	"yunchu/hil/unit"
)

// The models that a unit is controlled through: 121, 123, 124, 704 and 715. The points
// that can be written here say what a write of them is; what several of them come to is
// the panel's.

// The scales of points in percent: 0.01 %.
const percentScale = -2

// oneOf takes only these values.
func oneOf(f func(*change, float64), values ...float64) func(*change, float64) error {
	return func(c *change, x float64) error {
		if !slices.Contains(values, x) {
			return fmt.Errorf("%g, takes %v: %w", x, values, errRange)
		}
		f(c, x)
		return nil
	}
}

// within takes values from least to most.
func within(f func(*change, float64), least, most float64) func(*change, float64) error {
	return func(c *change, x float64) error {
		if !(x >= least && x <= most) {
			return fmt.Errorf("%g, takes %g to %g: %w", x, least, most, errRange)
		}
		f(c, x)
		return nil
	}
}

func settings() described {
	return described{
		id: 121, scales: map[string]int{"WGra_SF": percentScale},
		points: []entry{writable("WGra", shownRamp, putRamp)},
	}
}

// shownRamp is in percent of rated power a second.
func shownRamp(s *screen) float64 { return 100 * s.Ramp }

func putRamp(c *change, x float64) error {
	if x <= 0 {
		return fmt.Errorf("ramp of %g %%/s: %w", x, errRange)
	}
	share := x / 100
	c.ramp = &share
	return nil
}

func controls() described {
	return described{
		id: 123, scales: map[string]int{"WMaxLimPct_SF": percentScale},
		points: []entry{
			writable("Conn_WinTms", func(*screen) float64 { return 0 }, oneOf(func(*change, float64) {}, 0)), // it moves at once
			writable("Conn_RvrtTms", func(s *screen) float64 { return s.panel.connRevertS }, within(func(c *change, x float64) { c.connRevertS = x }, 0, math.MaxUint16-1)),
			writable("Conn", func(s *screen) float64 { return flag(s.Connected) },
				oneOf(func(c *change, x float64) { closed := x == on; c.connect = &closed }, 0, on)),
			writable("WMaxLimPct", func(s *screen) float64 { return s.panel.limitPercent }, putLimit),
			writable("WMaxLimPct_RvrtTms", func(s *screen) float64 { return min(s.panel.limitRevertS, math.MaxUint16-1) }, putLimitRevert),
			writable("WMaxLim_Ena", func(s *screen) float64 { return s.panel.limitOn }, putLimitOn),
		},
	}
}

var (
	putLimit       = within(func(c *change, x float64) { c.limit, c.limitPercent = true, x }, 0, 100)
	putLimitRevert = within(func(c *change, x float64) { c.limit, c.limitRevertS = true, x }, 0, longest)
	putLimitOn     = oneOf(func(c *change, x float64) { c.limit, c.limitOn = true, x }, 0, on)
)

// longest is the longest time to revert, in s: a day is more than any command holds.
const longest = 86400

func storage(v *unit.View) described {
	return described{
		id: 124,
		scales: map[string]int{
			"WChaMax_SF": scaleFor(v.RatedW, 0), "WChaDisChaGra_SF": percentScale, "MinRsvPct_SF": percentScale, "ChaState_SF": percentScale,
			"StorAval_SF": scaleFor(v.CapacityAh, -1), "InBatV_SF": -1, "InOutWRte_SF": percentScale,
		},
		points: []entry{
			writable("WChaMax", func(s *screen) float64 { return s.panel.chaMaxW },
				func(c *change, x float64) error {
					return within(func(c *change, x float64) { c.by124, c.chaMaxW = true, x }, c.ratedW/100, c.ratedW)(c, x)
				}),
			writable("WChaGra", shownRamp, putRamp),
			writable("WDisChaGra", shownRamp, putRamp),
			{
				name: "StorCtl_Mod", get: func(s *screen) any { return s.panel.mode },
				put: func(c *change, v sunspec.Value) error {
					return oneOf(func(c *change, x float64) { c.by124, c.mode = true, uint64(x) }, 0, charge, discharge, charge|discharge)(c, v.Float())
				},
			},
			writable("MinRsvPct", func(s *screen) float64 { return s.Reserve },
				within(func(c *change, x float64) { c.reserve = &x }, 0, 100)),
			number("ChaState", func(s *screen) float64 { return s.SoC }),
			number("StorAval", func(s *screen) float64 { return s.CapacityAh * s.SoC / 100 }),
			number("InBatV", func(s *screen) float64 { return s.DCV }),
			state("ChaSt", charging),
			writable("OutWRte", func(s *screen) float64 { return s.panel.out }, within(func(c *change, x float64) { c.by124, c.out = true, x }, -100, 100)),
			writable("InWRte", func(s *screen) float64 { return s.panel.in }, within(func(c *change, x float64) { c.by124, c.in = true, x }, -100, 100)),
			writable("InOutWRte_RvrtTms", func(s *screen) float64 { return s.panel.rateRevertS },
				within(func(c *change, x float64) { c.by124, c.rateRevertS = true, x }, 0, math.MaxUint16-1)),
			writable("ChaGriSet", func(*screen) float64 { return fromGrid }, oneOf(func(*change, float64) {}, fromGrid)), // there is no PV
		},
	}
}

const fromGrid = 1

func controlAC() described {
	return described{
		id:     704,
		scales: map[string]int{"WMaxLimPct_SF": percentScale, "WSet_SF": 0, "WSetPct_SF": percentScale},
		points: []entry{
			writable("WMaxLimPctEna", func(s *screen) float64 { return s.panel.limitOn }, putLimitOn),
			writable("WMaxLimPct", func(s *screen) float64 { return s.panel.limitPercent }, putLimit),
			writable("WMaxLimPctRvrt", func(*screen) float64 { return 100 }, oneOf(func(*change, float64) {}, 100)),
			writable("WMaxLimPctEnaRvrt", func(s *screen) float64 { return s.panel.limitOnRevert }, oneOf(func(c *change, x float64) { c.limitOnRevert = x }, 0, on)),
			writable("WMaxLimPctRvrtTms", func(s *screen) float64 { return s.panel.limitRevertS }, putLimitRevert),
			state("WMaxLimPctRvrtRem", limitRemaining),

			writable("WSetEna", func(s *screen) float64 { return s.panel.setOn }, oneOf(func(c *change, x float64) { c.by704, c.setOn = true, x }, 0, on)),
			writable("WSetMod", func(s *screen) float64 { return s.panel.setMode },
				oneOf(func(c *change, x float64) { c.by704, c.setMode = true, x }, percent, watts)),
			writable("WSet", func(s *screen) float64 { return s.panel.setW }, putWatts),
			writable("WSetRvrt", func(*screen) float64 { return 0 }, oneOf(func(*change, float64) {}, 0)),
			writable("WSetPct", func(s *screen) float64 { return s.panel.setPercent }, within(func(c *change, x float64) { c.by704, c.setPercent = true, x }, -100, 100)),
			writable("WSetPctRvrt", func(*screen) float64 { return 0 }, oneOf(func(*change, float64) {}, 0)),
			writable("WSetEnaRvrt", func(s *screen) float64 { return s.panel.setOnRevert }, oneOf(func(c *change, x float64) { c.setOnRevert = x }, 0, on)),
			writable("WSetRvrtTms", func(s *screen) float64 { return s.panel.setRevertS }, within(func(c *change, x float64) { c.by704, c.setRevertS = true, x }, 0, longest)),
			state("WSetRvrtRem", remaining),

			writable("WRmp", shownRamp, putRamp),
			writable("WRmpRef", func(*screen) float64 { return rampOfPower }, oneOf(func(*change, float64) {}, rampOfPower)),
		},
	}
}

// rampOfPower: ramps are in percent of the greatest active power, not current.
const rampOfPower = 1

func putWatts(c *change, x float64) error {
	return within(func(c *change, x float64) { c.by704, c.setW = true, x }, -c.ratedW, c.ratedW)(c, x)
}

// remaining is for how long the setpoint still holds, in s.
func remaining(s *screen) float64 {
	if !s.SetActive || s.SetUntil.IsZero() {
		return 0
	}
	return math.Ceil(max(s.SetUntil.Sub(s.At), 0).Seconds())
}

// limitRemaining is for how long the limit still holds, in s.
func limitRemaining(s *screen) float64 {
	if !s.LimitOn || s.LimitUntil.IsZero() {
		return 0
	}
	return math.Ceil(max(s.LimitUntil.Sub(s.At), 0).Seconds())
}

func control() described {
	return described{
		id: 715,
		points: []entry{
			state("LocRemCtl", func(s *screen) float64 { return flag(s.Local) }),
			{name: "DERHb", get: func(s *screen) any { return uint64(s.Heartbeat) }},
			{
				name: "ControllerHb", get: func(s *screen) any { return s.panel.pcsBeat },
				put: func(c *change, v sunspec.Value) error { return putBeat(c, &c.pcsBeat, v) },
			},
			writable("AlarmReset", func(*screen) float64 { return 0 }, putReset),
			writable("OpCtl", operation, putOperation),
		},
	}
}

// putBeat takes a heartbeat; what counts is that it changes.
func putBeat(c *change, beat *uint64, v sunspec.Value) error {
	n, _ := v.Raw()
	c.beats = c.beats || n != *beat
	*beat = n
	return nil
}

var putReset = oneOf(func(c *change, x float64) { c.acknowledge = c.acknowledge || x == on }, 0, on)

// operation is the last that was written, unless the unit is in another state meanwhile.
func operation(s *screen) float64 {
	switch {
	case !s.Started:
		return opStop
	case s.Standby:
		return enterStandby
	case s.panel.op == exitStandby:
		return exitStandby
	}
	return opStart
}

var putOperation = oneOf(func(c *change, x float64) {
	c.op = x
	c.ops = append(c.ops, map[float64]unit.Op{
		opStop: unit.OpStop, opStart: unit.OpStart, enterStandby: unit.OpStandby, exitStandby: unit.OpLeaveStandby,
	}[x])
}, opStop, opStart, enterStandby, exitStandby)

// flag is a switch as a number.
func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// epoch is where 122.Tms counts from.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
