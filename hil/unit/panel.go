package unit

import (
	"fmt"
	"math"
	"time"

	"yunchu/twin"
)

// SetPower writes a setpoint in W at the AC terminals. revert > 0 takes it back after
// that time unless it is written again. ErrLocal under local control, ErrRange beyond
// rated power. A unit that does not run keeps it for when it does.
func (u *Unit) SetPower(now time.Time, by string, w float64, revert time.Duration) error {
	return u.write(now, func() error {
		if rated := u.model.RatedKW * 1000; !(math.Abs(w) <= rated*(1+1e-9)) {
			return fmt.Errorf("%g W, rated %g W: %w", w, rated, ErrRange)
		}
		s := setpoint{w: w, by: by, at: now}
		if revert > 0 {
			s.until = now.Add(revert)
		}
		u.set = s
		if b := &u.beat; b.begun && b.lost { // beats must go on for it to last
			b.lost, b.at = false, now
		}
		return nil
	})
}

// Clear takes the setpoint back: the unit stands at zero until the next.
func (u *Unit) Clear(now time.Time) error {
	return u.write(now, func() error {
		u.set = setpoint{at: now}
		return nil
	})
}

// Beat takes the heartbeat of whoever commands the unit; what counts is that it
// changes. The first change begins the watch.
func (u *Unit) Beat(now time.Time, n uint32) error {
	return u.write(now, func() error {
		if n != u.beat.n {
			u.beat.n, u.beat.at, u.beat.begun = n, now, true
		}
		return nil
	})
}

// Connect closes the switch to the grid, or opens it. revert > 0 closes one that was opened
// again after that time, as a unit is connected unless it is told otherwise.
func (u *Unit) Connect(now time.Time, on bool, revert time.Duration) error {
	return u.write(now, func() error {
		u.connected, u.closes = on, time.Time{}
		if !on && revert > 0 {
			u.closes = now.Add(revert)
		}
		return nil
	})
}

// Contactors closes those of the battery or opens them.
func (u *Unit) Contactors(now time.Time, closed bool) error {
	return u.write(now, func() error {
		if closed && u.latched&protecting != 0 {
			return fmt.Errorf("contactors of a unit whose protection has tripped: %w", ErrUnable)
		}
		u.open(!closed)
		return nil
	})
}

// Operate starts or stops the converter. Starting lifts a latched emergency stop
// whose button is released only after Acknowledge.
func (u *Unit) Operate(now time.Time, op Op) error {
	return u.write(now, func() error {
		switch op {
		case OpStop:
			u.started = false
			u.set.lapsed = true
		case OpStart:
			if u.stopped {
				return fmt.Errorf("start after an emergency stop that nobody has acknowledged: %w", ErrUnable)
			}
			u.started = true
		case OpStandby:
			u.standby = true
			u.set.lapsed = true
		case OpLeaveStandby:
			u.standby = false
		default:
			return fmt.Errorf("operation %d: %w", op, ErrRange)
		}
		return nil
	})
}

// Acknowledge resets alarms whose causes are gone, and an emergency stop whose button
// is released: contactors close, and the unit stays stopped until it is started.
func (u *Unit) Acknowledge(now time.Time) error {
	return u.write(now, func() error {
		if u.latched&protecting != 0 && u.raised&protecting == 0 {
			u.open(false)
		}
		u.latched = u.raised
		if u.stopped && !u.button {
			u.stopped = false
			u.twin.EmergencyStop(0, false)
			u.twin.SetMode(0, twin.Run)
			u.effective = 0
		}
		return nil
	})
}

// Limit bounds the power of both directions to a share of rated power; off lifts it.
// revert > 0 lifts it after that time.
func (u *Unit) Limit(now time.Time, share float64, on bool, revert time.Duration) error {
	return u.write(now, func() error {
		if on && !(share >= 0 && share <= 1) {
			return fmt.Errorf("limit of %g of rated power: %w", share, ErrRange)
		}
		u.limit = limit{share: share, on: on}
		if on && revert > 0 {
			u.limit.until = now.Add(revert)
		}
		return nil
	})
}

// Ramp sets how fast the power moves to a setpoint, as a share of rated power a
// second; NaN leaves it to the converter, whose own ramp nothing makes faster.
func (u *Unit) Ramp(now time.Time, perSecond float64) error {
	return u.write(now, func() error {
		if perSecond <= 0 || math.IsInf(perSecond, 0) {
			return fmt.Errorf("ramp of %g of rated power a second: %w", perSecond, ErrRange)
		}
		u.ramp = perSecond
		u.setRamp()
		return nil
	})
}

// setRamp tells the twin its ramp.
func (u *Unit) setRamp() {
	if math.IsNaN(u.ramp) || u.freeRamp {
		u.twin.SetRamp(0)
		return
	}
	u.twin.SetRamp(min(u.ramp, u.model.PCS.RampPerS) * u.model.RatedKW * 1000)
}

// Reserve keeps this much charge, in percent, from being discharged; NaN none.
func (u *Unit) Reserve(now time.Time, percent float64) error {
	return u.write(now, func() error {
		if percent < 0 || percent > 100 {
			return fmt.Errorf("reserve of %g %%: %w", percent, ErrRange)
		}
		u.reserve = percent
		return nil
	})
}

// SetReactive sets reactive power in var, above zero absorbed. ErrUnable for a model
// without.
func (u *Unit) SetReactive(now time.Time, q float64) error {
	return u.write(now, func() error {
		if u.model.PCS.Capability == nil && q != 0 {
			return fmt.Errorf("reactive power: %w", ErrUnable)
		}
		u.twin.SetPQ(0, now, u.effective, q, time.Time{})
		return nil
	})
}

// write does what comes over a wire: not under local control, and at once.
func (u *Unit) write(now time.Time, do func() error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tick(now)
	if u.local {
		return ErrLocal
	}
	err := do()
	u.tick(now)
	return err
}
