package gateway

import (
	"context"
	"fmt"
	"slices"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/guard"
)

// correct hands the guard's corrections to the devices. One that a device does
// not take is repeated by the guard; it is reported when it begins and when it is
// done, and its failures in between, which say nothing new, are not acknowledged.
func (g *Gateway) correct(ctx context.Context, now time.Time) {
	g.fixes = g.guard.Tick(now, g.fixes[:0])
	if len(g.fixes) == 0 {
		g.tell(ctx, now)
		return
	}
	m := g.take()
	fixes := make(map[device.Slot]*guard.Correction, len(g.fixes))
	var begun, done []device.Command
	for i := range g.fixes {
		c := &g.fixes[i]
		m.cmds = append(m.cmds, c.Command)
		fixes[c.Slot] = c
		switch {
		case c.Attempt > 1:
		case !c.Routine:
			begun = append(begun, c.Command)
		case c.Verb == device.SetMode: // a part of arming that people see at the device
			g.Event(now, c.Slot, guard.Source, device.Information, fmt.Sprintf("%s %s: %s", g.name(c.Slot), deed(&c.Command), c.Reason))
		}
	}
	g.Stats.Interventions.Add(uint64(len(begun)))
	g.fixing = fixes
	acks := g.write(ctx, now, m.cmds, nil, m.acks)
	g.fixing = nil
	m.acks = acks[:0]
	for _, a := range acks {
		c := fixes[a.Slot]
		if a.Source != guard.Source { // one that the correction has overtaken
			m.acks = append(m.acks, a)
			continue
		}
		if c.Attempt > 1 && a.Status != device.Done {
			continue
		}
		if c.Attempt > 1 {
			done = append(done, c.Command)
		}
		m.acks = append(m.acks, a)
	}
	g.answer(ctx, now, m.acks)
	g.scratch = m
	g.corrected(now, begun, "")
	g.corrected(now, done, " at last")
	g.tell(ctx, now)
}

// corrected reports corrections, which are all for one moment.
func (g *Gateway) corrected(now time.Time, cmds []device.Command, how string) {
	if len(cmds) == 0 {
		return
	}
	c := &cmds[0]
	g.Event(now, c.Slot, guard.Source, device.Warning,
		fmt.Sprintf("%s %s%s: %s%s", g.name(c.Slot), deed(c), how, c.Reason, andMore(len(cmds)-1)))
}

// deed is what a correction does.
func deed(c *device.Command) string {
	switch c.Verb {
	case device.SetMode:
		return fmt.Sprintf("put into mode %v at 0 kW", c.Mode)
	case device.EStop:
		return "told its emergency stop"
	}
	return fmt.Sprintf("set to %.6g kW", c.Power)
}

// bounds reports limits that have begun to keep devices from power, or have ceased to:
// those of one moment and one kind together.
func (g *Gateway) bounds(now time.Time) {
	list := g.guard.Bounds()
	for len(list) > 0 {
		first := list[0]
		var alike []device.Slot
		list = slices.DeleteFunc(list, func(b guard.Bound) bool {
			if b.Text != first.Text || b.Free != first.Free {
				return false
			}
			alike = append(alike, b.Slot)
			return true
		})
		kind, how := "guard-bound", "bound by the guard: "
		if first.Free {
			kind, how = "guard-free", "no longer bound by the guard: "
		}
		slot, names := g.together(alike)
		g.Event(now, slot, kind, device.Information, names+" "+how+first.Text)
	}
}
