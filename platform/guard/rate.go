package guard

import (
	"math"

	"yunchu/platform/device"
)

// DefaultPerDevice and DefaultPerSecond are how many commands a fleet takes within any
// second unless somebody has said: so many for each of its devices, and no fewer than
// that for all.
const (
	DefaultPerDevice = wiredPerSecond
	DefaultPerSecond = 10_000
)

// paced reports whether c counts in the rates, and waits for them, where the device runs
// at live. What brings a device to rest, or takes the right to act from it, never waits.
func paced(c *device.Command, live float64) bool {
	switch c.Verb {
	case device.SetPower:
		return c.Power != 0 && (c.Priority != device.Safety || free(c, live, c.Power) != c.Power)
	case device.SetMode:
		return c.Mode == device.Run
	case device.Arm, device.Reset:
		return true
	}
	return false
}

// most is how many commands the fleet takes within any second.
func (g *Guard) most() int {
	if g.CommandsPerS > 0 {
		return g.CommandsPerS
	}
	return max(DefaultPerSecond, DefaultPerDevice*len(g.devices))
}

// flow counts commands by the millisecond over the last second. The zero value is ready.
type flow struct {
	at  int64              // ms, the newest that is counted
	n   [rampWindow]uint32 // by ms, modulo the second
	sum int
}

// within is how many were counted in the second that ends with now. When the clock has
// gone back, what lies ahead of it happened now.
func (f *flow) within(now int64) int {
	switch {
	case now < f.at || now-f.at >= rampWindow:
		sum := 0
		if now < f.at {
			sum = f.sum
		}
		f.n, f.sum = [rampWindow]uint32{}, sum
		f.n[place(now)] = uint32(sum)
	default:
		for ms := f.at + 1; ms <= now; ms++ {
			cell := &f.n[place(ms)]
			f.sum -= int(*cell)
			*cell = 0
		}
	}
	f.at = now
	return f.sum
}

// note counts one more at now, for which within was asked.
func (f *flow) note(now int64) {
	f.n[place(now)]++
	f.sum++
}

// place is the cell of a millisecond, whatever its sign.
func place(ms int64) int { return int((ms%rampWindow + rampWindow) % rampWindow) }

// rate remembers when the last setpoints of a device were given.
type rate struct {
	at   []int64 // ms, a ring of as many as one second may have
	next int     // where the oldest of them is
}

// room reports whether one more at now is within most in any second; most 0 is no bound.
// When the clock has gone back, what lies ahead of it happened now.
func (r *rate) room(now int64, most int) bool {
	if most <= 0 {
		return true
	}
	if len(r.at) != most {
		r.resize(most)
	}
	for i := range r.at {
		r.at[i] = min(r.at[i], now)
	}
	return r.at[r.next] <= now-rampWindow
}

// note counts one at now, for which room was asked.
func (r *rate) note(now int64) {
	if len(r.at) == 0 {
		return
	}
	r.at[r.next] = now
	r.next = (r.next + 1) % len(r.at)
}

// resize makes room for another bound, and keeps the newest of what was given.
func (r *rate) resize(most int) {
	old := append(append([]int64(nil), r.at[r.next:]...), r.at[:r.next]...)
	r.at, r.next = make([]int64, most), 0
	for i := range r.at {
		r.at[i] = math.MinInt64
		if k := len(old) - most + i; k >= 0 {
			r.at[i] = old[k]
		}
	}
}
