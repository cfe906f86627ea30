package guard

import "math"

// ramp remembers what a setpoint, or the sum of all, was in the last second.
type ramp struct {
	sum   float64 // kW, less what it was before anything was changed
	marks []mark  // of the last second; the first was in force when it began
}

// mark is what sum was from a millisecond on, and between which values it moved
// within it.
type mark struct {
	at               int64 // ms
	sum, least, most float64
}

// rampWindow is the second of kW/s, in ms.
const rampWindow = 1000

// room is how far the sum may be changed at now, lo <= 0 <= hi, after free kW that nothing
// bounds: so that it stays within limit kW of all that it was in the last second, and not at
// all where it lies further from that already.
func (r *ramp) room(now int64, limit, free float64) (lo, hi float64) {
	r.forget(now)
	to := r.sum + free
	least, most := min(r.sum, to), max(r.sum, to)
	for _, m := range r.marks {
		least, most = min(least, m.least), max(most, m.most)
	}
	return min(0, most-limit-to), max(0, least+limit-to)
}

func (r *ramp) note(now int64, change float64) {
	if change == 0 {
		return
	}
	r.forget(now)
	if len(r.marks) == 0 {
		r.marks = append(r.marks, mark{now - rampWindow, r.sum, r.sum, r.sum})
	}
	r.sum += change
	last := &r.marks[len(r.marks)-1]
	if last.at != now {
		r.marks = append(r.marks, mark{now, r.sum, r.sum, r.sum})
		return
	}
	last.sum, last.least, last.most = r.sum, min(last.least, r.sum), max(last.most, r.sum)
}

// forget drops what no longer counts. When the clock has gone back, what lies
// ahead of it happened now.
func (r *ramp) forget(now int64) {
	if n := len(r.marks); n > 1 && r.marks[1].at > now-rampWindow && r.marks[n-1].at <= now { // all of them count
		return
	}
	for i := range r.marks {
		r.marks[i].at = min(r.marks[i].at, now)
	}
	old := 0
	for old+1 < len(r.marks) && r.marks[old+1].at <= now-rampWindow {
		old++
	}
	r.marks = append(r.marks[:0], r.marks[old:]...)
	if len(r.marks) == 1 { // nothing was changed in the last second
		r.sum, r.marks = 0, r.marks[:0]
		return
	}
	if len(r.marks) > 0 {
		m := &r.marks[0]
		m.least, m.most = m.sum, m.sum
	}
}

// heed takes note of the setpoints that have expired until now: all that is bounded goes by
// them. In which order they have is not known: the sum was anywhere between.
func (g *Guard) heed(now int64) {
	due := now >= g.soonest || now < g.heeded
	g.heeded = now
	if !due {
		return
	}
	g.soonest = math.MaxInt64
	rise, fall := 0.0, 0.0
	for i := range g.devices {
		kw := g.shift(&g.devices[i], now)
		rise += max(0, kw)
		fall -= min(0, kw)
	}
	g.note(now, -fall)
	g.note(now, fall+rise)
	g.note(now, -fall)
}

// changed takes note of what has become of a device's power at now without a command.
func (g *Guard) changed(d *state, now int64) {
	now = max(now, g.heeded)
	g.heed(now)
	g.note(now, g.shift(d, now))
}

// shift takes note of the power of a device that is in force at now, and gives by how much
// it has changed.
func (g *Guard) shift(d *state, now int64) (kw float64) {
	live := d.set.live(now)
	if live != 0 {
		g.soonest = min(g.soonest, d.set.until)
	}
	kw = live - d.ramped
	d.ramped = live
	if d.own != nil {
		d.own.note(now, kw)
	}
	return kw
}

// note takes note of a change of the sum.
func (g *Guard) note(now int64, kw float64) {
	if g.RampKWPerS > 0 {
		g.ramp.note(now, kw)
	}
}

// room is what the ramps of the fleet and of a device leave for it after free kW.
func (g *Guard) room(d *state, now int64, free float64) (lo, hi float64) {
	lo, hi = math.Inf(-1), math.Inf(1)
	if g.RampKWPerS > 0 {
		lo, hi = g.ramp.room(now, g.RampKWPerS, free)
	}
	if d.own != nil {
		l, h := d.own.room(now, d.env.RampKWPerS, free)
		lo, hi = max(lo, l), min(hi, h)
	}
	return lo, hi
}
