package guard

import (
	"fmt"
	"time"

	"yunchu/platform/device"
)

// Bound is that a limit has begun to keep a device from power, or that a window does so no
// more.
type Bound struct {
	Slot device.Slot
	Free bool
	Text string // the limit, and of a window what it forbids; the same for all whom it binds alike
}

// Bounds hands out what has changed since the last call.
func (g *Guard) Bounds() []Bound {
	b := g.bounds
	g.bounds = nil
	return b
}

// told is what was last said of the limits that commands meet. A device is spoken of at
// most once in boundRest, and one that keeps meeting a limit is not spoken of again.
type told struct {
	limit     string
	met, said int64 // ms, when it was met last, and when something was said
}

// boundRest is in ms.
const boundRest = int64(time.Minute / time.Millisecond)

// binds takes note of a limit that a command has met, "" for none.
func (g *Guard) binds(s device.Slot, now int64, limit string) {
	d := g.device(s)
	if limit == "" || d == nil {
		return
	}
	t := &d.told
	again := t.limit == limit && now-t.met < boundRest
	t.met = now
	if again || t.limit != "" && now-t.said < boundRest {
		return
	}
	t.limit, t.said = limit, now
	for i, name := range edges {
		if name == limit && d.shut()>>i&1 == 1 { // which was told when it began
			return
		}
	}
	g.bounds = append(g.bounds, Bound{Slot: s, Text: limit})
}

// edges are the sides of the windows of a device.
var edges = [...]string{
	"state of charge low", "state of charge high", "temperature low", "temperature high", "voltage low", "voltage high",
}

// shut has a bit for each edge that a device has reached.
func (d *state) shut() (bits uint8) {
	for i, b := range [len(edges)]bool{d.noGive, d.noCharge, d.cold, d.hot, d.low, d.high} {
		if b {
			bits |= 1 << i
		}
	}
	return bits
}

// forbids is what an edge forbids, and from where on.
func (e *Envelope) forbids(edge int) string {
	x := [len(edges)]struct {
		what, unit string
		at         float64
	}{
		{"discharging at or below", "%", e.SoCMin},
		{"charging at or above", "%", e.SoCMax},
		{"charging at or below", "°C", e.TempMin},
		{"power at or above", "°C", e.TempMax},
		{"discharging at or below", "V", e.VoltMin},
		{"charging at or above", "V", e.VoltMax},
	}[edge]
	return fmt.Sprintf("no %s %.6g %s", x.what, x.at, x.unit)
}

// latch blocks what the windows forbid, and notes what that has changed.
func (g *Guard) latch(s device.Slot, d *state) {
	before := d.shut()
	d.latch()
	changed := before ^ d.shut()
	for i := range edges {
		if changed>>i&1 == 1 {
			text := edges[i] + ", " + d.env.forbids(i)
			if d.theirs>>i&1 == 1 {
				text += ", which the device tells of itself"
			}
			g.bounds = append(g.bounds, Bound{Slot: s, Free: before>>i&1 == 1, Text: text})
		}
	}
}
