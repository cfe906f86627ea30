//go:build !nosim

package shadow

import "yunchu/platform/device"

// plan is what the device has been told, and so what its power was between two
// readings that show no more than its ends.
type plan struct {
	on          bool    // a setpoint is in force
	kw          float64 // that setpoint, else the power last read
	was         float64 // kW, what was before
	from, until int64   // ms; until 0: without an end

	since int64   // ms, of the newest reading
	at    int64   // ms, up to which sum goes
	sum   float64 // kW*ms since then
}

// told takes in that the device has taken a command.
func (p *plan) told(a *device.Ack) {
	if p.since == 0 {
		return
	}
	p.reach(a.At)
	p.on = a.Verb == device.SetPower
	if p.on {
		p.was, p.kw, p.from, p.until = p.kw, a.Power, a.At, a.Until
	}
}

func (p *plan) reach(at int64) {
	if at > p.at {
		p.sum += p.kw * float64(at-p.at)
		p.at = at
	}
}

// between is by how much the mean of the power since the last reading was above that
// at its end, kW; known is false where no setpoint was in force or it was not followed.
func (p *plan) between(r *device.Reading, follows bool) (more float64, known bool) {
	if p.on && p.until != 0 && r.At >= p.until {
		p.on = false
	}
	if p.since != 0 && p.on {
		p.reach(r.At)
		more, known = p.sum/float64(r.At-p.since)-p.kw, follows
	}
	p.since, p.at, p.sum = r.At, r.At, 0
	if !p.on {
		p.kw = r.Power
	}
	return more, known
}
