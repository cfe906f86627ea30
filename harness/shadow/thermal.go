//go:build !nosim

package shadow

import "math"

// heat compares the measured temperature with the heat balance of the twin. A
// difference that grows is the heat's; one that is there from a reading to the next
// is the sensor's, because no cell warms so fast.
type heat struct {
	tol     *Tolerance
	last    float64 // K, difference at the reading before
	jump    float64 // K at once, 0 without
	before  float64 // K, difference before it
	jumping hold
	beyond  hold
	back    hold
	alarm   alarm
	begun   bool
}

// restart forgets what came before a gap.
func (h *heat) restart() {
	h.begun, h.beyond = false, 0
	if !h.alarm.on {
		h.jump, h.jumping = 0, 0
	}
}

// step takes in the difference measured less twin, K.
func (h *heat) step(dt, difference float64, quiet bool) {
	if !h.begun {
		h.begun, h.last = true, difference
		return
	}
	rise := difference - h.last
	h.last = difference
	if h.alarm.on {
		h.recover(dt, difference)
		return
	}
	if h.jump == 0 && math.Abs(rise) > h.tol.TempJumpK {
		h.jump, h.before, h.jumping = rise, difference-rise, 0
		return
	}
	if h.jump != 0 {
		if math.Abs(difference-h.before) < math.Abs(h.jump)/2 {
			h.jump = 0
		} else if h.jumping.over(dt, true, 10) {
			h.alarm.raise(SensorOffset, "temperature", difference-h.before, 0, "K")
		}
		return
	}
	if h.beyond.over(dt, math.Abs(difference) > h.tol.TempK && !quiet, 120) {
		h.alarm.raise(Thermal, "temperature", difference, 0, "K")
	}
}

// recover clears the finding when it is over.
func (h *heat) recover(dt, difference float64) {
	gone, need := math.Abs(difference) < h.tol.TempK/2, 600.0
	if h.alarm.finding.Cause == SensorOffset {
		gone, need = math.Abs(difference-h.before) < math.Abs(h.jump)/2, 60
	}
	if h.back.over(dt, gone, need) {
		h.alarm.on = false
		h.jump, h.back, h.beyond = 0, 0, 0
	}
}

// trusted reports whether the measured temperature may be used.
func (h *heat) trusted() bool { return h.jump == 0 }
