//go:build !nosim

package simworld

import (
	"fmt"
	"time"

	"yunchu/platform/device"
	"yunchu/twin"
)

// A unit at a limit under a regulation signal meets it in every other direction of power,
// so a limit is said when it first binds and holds until it has not bound for so long;
// and whatever binds, a unit speaks no more than once a minute.
const (
	limitFree = 5 * time.Minute
	limitRest = time.Minute
)

// binding is what was last said of the limits of a unit.
type binding struct {
	said   twin.Limit
	bound  time.Time // when a limit was last seen to bind
	spoken time.Time // when something was last said
}

// next takes in what binds at now and answers whether there is something to say: b.said.
func (b *binding) next(now time.Time, l twin.Limit) bool {
	if l != twin.LimitNone {
		b.bound = now
	} else if now.Sub(b.bound) < limitFree {
		return false
	}
	if l == b.said || now.Sub(b.spoken) < limitRest {
		return false
	}
	b.said, b.spoken = l, now
	return true
}

// limits are events of the units whose binding limit has changed.
func (w *World) limits(now time.Time) (list []device.Event) {
	for k := range w.parts {
		p := &w.parts[k]
		for i := range p.twins.Len() {
			slot, ok := w.speaker.slot(device.ID(p.twins.ID(i)))
			if !ok {
				continue // the plant has not heard of it yet
			}
			b := &p.bound[i]
			if !b.next(now, p.twins.State(i).Limit) {
				continue
			}
			e := device.Event{Slot: slot, Type: "limit-bound", Severity: device.Information, Text: b.said.String() + " binds", At: now.UnixMilli()}
			if b.said == twin.LimitNone {
				e.Type, e.Text = "limit-free", "no limit binds any more"
			}
			w.speaker.n++
			e.ID = fmt.Sprintf("limit-%d-%d", e.At, w.speaker.n)
			list = append(list, e)
		}
	}
	return list
}
