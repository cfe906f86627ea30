//go:build !nosim

package shadow

import "math"

// current compares the measured current with what power and voltage say: the
// converter's DC power over the pack's voltage. It cannot tell which of the two is
// wrong, and names the current.
type current struct {
	limit float64 // A of the pack
	mean  float64 // A, measured less deduced, over half a minute
	wrong hold
	back  hold
	alarm alarm
}

const currentS = 30.0

// step takes in the difference of a reading, A of the pack.
func (c *current) step(dt, difference float64) {
	c.mean += (difference - c.mean) * min(dt/currentS, 1)
	beyond := math.Abs(c.mean) > c.limit
	switch {
	case !c.alarm.on && c.wrong.over(dt, beyond, currentS):
		c.alarm.raise(SensorOffset, "current", c.mean, 0, "A")
		c.back = 0
	case c.alarm.on && c.back.over(dt, math.Abs(c.mean) < c.limit/2, 60):
		c.alarm.on = false
	}
}

// doubtful reports whether the current may be wrong, so that nothing may rest on it.
func (c *current) doubtful() bool { return c.alarm.on || c.wrong > 0 }
