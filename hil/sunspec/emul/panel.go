package emul

import (
	"fmt"
	"math"
	"time"

	"yunchu/hil/unit"
)

// by is the name under which setpoints are written to the unit.
const by = "sunspec"

// panel is what a client has written that the unit itself does not keep: setpoints and
// limits that are not enabled yet, reversion times, and how things were written.
type panel struct {
	ratedW float64

	// 704: W as the model counts, positive generates.
	setOn, setMode, setOnRevert float64
	setW, setPercent            float64
	setRevertS                  float64

	// 124.
	mode        uint64 // of StorCtl_Mod
	chaMaxW     float64
	in, out     float64 // percent of chaMaxW
	rateRevertS float64

	// The limit of 123 and 704.
	limitOn, limitPercent       float64
	limitRevertS, limitOnRevert float64

	connRevertS float64

	pcsBeat, bmsBeat uint64 // as written to 715 and 802
	op               float64

	told told
	beat uint32 // the unit's count of beats after the last of ours
}

// told is the setpoint of the unit as it is shown.
type told struct {
	on bool
	w  float64 // passive
	by string
}

// Values of points that are written.
const (
	on        = 1
	percent   = 0 // WSetMod
	watts     = 1
	charge    = 1 << 0 // StorCtl_Mod
	discharge = 1 << 1

	opStop       = 0
	opStart      = 1
	enterStandby = 2
	exitStandby  = 3
)

func newPanel(v *unit.View) panel {
	return panel{
		ratedW: v.RatedW, setMode: watts, setOnRevert: on, chaMaxW: v.RatedW, limitPercent: 100,
		op: opStart, beat: v.ControllerBeat, pcsBeat: uint64(v.ControllerBeat), bmsBeat: uint64(v.ControllerBeat % wrap16),
	}
}

// wrap16 keeps a count away from the 16-bit mark of what is not implemented.
const wrap16 = math.MaxUint16

// follow brings the panel in step with what has become of the unit: a setpoint that has
// lapsed or was written by somebody else, a limit that was lifted, a beat of another.
func (p *panel) follow(v *unit.View) {
	if now := (told{v.SetActive, v.SetW, v.SetBy}); now != p.told {
		switch {
		case now.on:
			p.show704(now.w)
			p.show124(now.w)
		case p.told.on:
			p.setW, p.setPercent, p.setOn = 0, 0, p.setOnRevert
			p.in, p.out = 0, 0
		}
		p.told = now
	}
	switch {
	case v.LimitOn:
		p.limitOn, p.limitPercent = on, 100*v.LimitShare
	case p.limitOn == on:
		p.limitOn, p.limitPercent = 0, 100
	}
	if v.ControllerBeat != p.beat {
		p.beat = v.ControllerBeat
		p.pcsBeat, p.bmsBeat = uint64(p.beat), uint64(p.beat%wrap16)
	}
}

// show704 shows a setpoint of w, passive, in 704.
func (p *panel) show704(w float64) {
	p.setOn, p.setMode, p.setW, p.setPercent = on, watts, 0-w, 0-100*w/p.ratedW
}

// show124 shows it in 124.
func (p *panel) show124(w float64) {
	p.mode, p.in = charge|discharge, 100*w/p.chaMaxW
	p.out = 0 - p.in
}

// change is one write in the making: what the panel will be, and what the unit is told.
type change struct {
	panel
	view *unit.View

	by704, by124, limit bool
	beats               bool
	acknowledge         bool
	connect             *bool
	contactors          *bool
	ops                 []unit.Op
	ramp, reserve       *float64
}

var errRange = unit.ErrRange

// settle checks what the points of a write come to together.
func (c *change) settle() error {
	if w := c.wanted704(); c.by704 && !(math.Abs(w) <= c.ratedW*(1+1e-9)) {
		return fmt.Errorf("%g W, rated %g W: %w", w, c.ratedW, errRange)
	}
	if c.by124 {
		w, err := c.wanted124()
		if err != nil {
			return err
		}
		if !(math.Abs(w) <= c.ratedW*(1+1e-9)) {
			return fmt.Errorf("%g W, rated %g W: %w", w, c.ratedW, errRange)
		}
	}
	return nil
}

// wanted704 is the setpoint of 704 in W, passive.
func (p *panel) wanted704() float64 {
	if p.setMode == percent {
		return 0 - p.setPercent/100*p.ratedW
	}
	return 0 - p.setW
}

// wanted124 is that of 124: the least power that the rates allow.
func (p *panel) wanted124() (float64, error) {
	switch p.mode {
	case charge:
		return p.in / 100 * p.chaMaxW, nil
	case discharge:
		return 0 - p.out/100*p.chaMaxW, nil
	case charge | discharge:
		if p.in < -p.out {
			return 0, fmt.Errorf("at most %g %% of charging and at least %g %%: %w", p.in, -p.out, errRange)
		}
		return min(max(0, -p.out), p.in) / 100 * p.chaMaxW, nil
	}
	return 0, nil
}

// orders are what the unit is told.
func (c *change) orders() (list []unit.Order) {
	if c.acknowledge {
		list = append(list, unit.Acknowledge())
	}
	if c.contactors != nil {
		list = append(list, unit.Contactors(*c.contactors))
	}
	for _, op := range c.ops {
		list = append(list, unit.Operate(op))
	}
	if c.connect != nil {
		list = append(list, unit.Connect(*c.connect, inSeconds(c.connRevertS)))
	}
	if c.ramp != nil {
		list = append(list, unit.Ramp(*c.ramp))
	}
	if c.reserve != nil {
		list = append(list, unit.Reserve(*c.reserve))
	}
	if c.limit {
		list = append(list, unit.Limit(c.limitPercent/100, c.limitOn == on, inSeconds(c.limitRevertS)))
	}
	if c.beats {
		c.beat = c.view.ControllerBeat + 1
		list = append(list, unit.Beat(c.beat))
	}
	return append(list, c.setpoint()...)
}

// setpoint tells the unit a setpoint that is enabled, or takes it back.
func (c *change) setpoint() []unit.Order {
	w, revert := 0.0, 0.0
	switch {
	case c.by704 && c.setOn == on:
		w, revert = c.wanted704(), c.setRevertS
		c.setW, c.setPercent = 0-w, 0-100*w/c.ratedW // either way of writing it shows in the other
		c.show124(w)
	case c.by124 && c.mode != 0:
		w, _ = c.wanted124() // settle has looked at it
		revert = c.rateRevertS
		c.show704(w)
	case (c.by704 || c.by124) && c.told.on:
		c.told, c.setOn, c.mode = told{}, 0, 0
		return []unit.Order{unit.Clear()}
	default:
		return nil
	}
	c.told = told{true, w, by}
	return []unit.Order{unit.SetPower(by, w, inSeconds(revert))}
}

func inSeconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
