package unit

import (
	"fmt"
	"math"
	"time"

	"yunchu/twin"
)

// Order is one thing that a unit is told over a wire.
type Order func(*draft) error

// draft is what a unit's controls will be once all orders of a write are taken.
type draft struct {
	controls
	unit *Unit
	now  time.Time
	then []func() // what the twin is told of it, in order
}

// Do carries out orders, one after another in the same instant: all of them, or none
// where one is refused. ErrLocal under local control.
func (u *Unit) Do(now time.Time, orders ...Order) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tick(now)
	if u.local {
		return ErrLocal
	}
	d := draft{controls: u.controls, unit: u, now: now}
	for _, order := range orders {
		if err := order(&d); err != nil {
			return err
		}
	}
	u.controls = d.controls
	for _, tell := range d.then {
		tell()
	}
	u.tick(now)
	return nil
}

// SetPower writes a setpoint in W at the AC terminals. revert > 0 takes it back after
// that time unless it is written again. ErrRange beyond rated power. A unit that does not
// run keeps it for when it does.
func SetPower(by string, w float64, revert time.Duration) Order {
	return func(d *draft) error {
		if rated := d.unit.model.RatedKW * 1000; !(math.Abs(w) <= rated*(1+1e-9)) {
			return fmt.Errorf("%g W, rated %g W: %w", w, rated, ErrRange)
		}
		d.set = setpoint{w: w, by: by, at: d.now}
		if revert > 0 {
			d.set.until = d.now.Add(revert)
		}
		if b := &d.beat; b.begun && b.lost { // beats must go on for it to last
			b.lost, b.at = false, d.now
		}
		return nil
	}
}

// Clear takes the setpoint back: the unit stands at zero until the next.
func Clear() Order {
	return func(d *draft) error {
		d.set = setpoint{at: d.now}
		return nil
	}
}

// Beat takes the heartbeat of whoever commands the unit; what counts is that it
// changes. The first change begins the watch.
func Beat(n uint32) Order {
	return func(d *draft) error {
		if n != d.beat.n {
			d.beat.n, d.beat.at, d.beat.begun = n, d.now, true
		}
		return nil
	}
}

// Connect closes the switch to the grid, or opens it. revert > 0 closes one that was opened
// again after that time, as a unit is connected unless it is told otherwise.
func Connect(on bool, revert time.Duration) Order {
	return func(d *draft) error {
		d.connected, d.closes = on, time.Time{}
		if !on && revert > 0 {
			d.closes = d.now.Add(revert)
		}
		return nil
	}
}

// Contactors closes those of the battery or opens them.
func Contactors(closed bool) Order {
	return func(d *draft) error {
		switch {
		case closed && d.latched&protecting != 0:
			return fmt.Errorf("contactors of a unit whose protection has tripped: %w", ErrUnable)
		case closed && d.stopped:
			return fmt.Errorf("contactors after an emergency stop that nobody has acknowledged: %w", ErrUnable)
		}
		d.open(!closed)
		return nil
	}
}

// open opens the contactors or closes them, where they can be closed.
func (d *draft) open(opened bool) {
	if opened = opened || d.unit.stuck; d.opened != opened {
		d.opened = opened
		d.then = append(d.then, func() { d.unit.switched(opened) })
	}
}

// Operate starts or stops the converter. Starting lifts a latched emergency stop
// whose button is released only after Acknowledge.
func Operate(op Op) Order {
	return func(d *draft) error {
		switch op {
		case OpStop:
			d.started = false
			d.set.lapsed = true
		case OpStart:
			if d.stopped {
				return fmt.Errorf("start after an emergency stop that nobody has acknowledged: %w", ErrUnable)
			}
			d.started = true
		case OpStandby:
			d.standby = true
			d.set.lapsed = true
		case OpLeaveStandby:
			d.standby = false
		default:
			return fmt.Errorf("operation %d: %w", op, ErrRange)
		}
		return nil
	}
}

// Acknowledge resets alarms whose causes are gone, and an emergency stop whose button
// is released: contactors close, and the unit stays stopped until it is started.
func Acknowledge() Order {
	return func(d *draft) error {
		u := d.unit
		if d.latched&protecting != 0 && u.raised&protecting == 0 {
			d.open(false)
		}
		d.latched = u.raised
		if d.stopped && !u.button {
			d.stopped = false
			d.then = append(d.then, func() {
				u.twin.EmergencyStop(0, false)
				u.twin.SetMode(0, twin.Run)
				u.effective = 0
			})
		}
		return nil
	}
}

// Limit bounds the power of both directions to a share of rated power; off lifts it.
// revert > 0 lifts it after that time.
func Limit(share float64, on bool, revert time.Duration) Order {
	return func(d *draft) error {
		if on && !(share >= 0 && share <= 1) {
			return fmt.Errorf("limit of %g of rated power: %w", share, ErrRange)
		}
		d.limit = limit{share: share, on: on}
		if on && revert > 0 {
			d.limit.until = d.now.Add(revert)
		}
		return nil
	}
}

// Ramp sets how fast the power moves to a setpoint, as a share of rated power a
// second; NaN leaves it to the converter, whose own ramp nothing makes faster.
func Ramp(perSecond float64) Order {
	return func(d *draft) error {
		if perSecond <= 0 || math.IsInf(perSecond, 0) {
			return fmt.Errorf("ramp of %g of rated power a second: %w", perSecond, ErrRange)
		}
		d.ramp = perSecond
		d.then = append(d.then, d.unit.setRamp)
		return nil
	}
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
func Reserve(percent float64) Order {
	return func(d *draft) error {
		if percent < 0 || percent > 100 {
			return fmt.Errorf("reserve of %g %%: %w", percent, ErrRange)
		}
		d.reserve = percent
		return nil
	}
}
