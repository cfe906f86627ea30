package gateway

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"yunchu/platform/bus"
	"yunchu/platform/device"
	"yunchu/platform/guard"
)

// replay is what a gateway has to know of the log when it starts.
type replay struct {
	// Of each device the guard needs its mode, what it was asked last, and what
	// it was told last, which may be a correction of the guard's own.
	mode, asked, told map[device.Slot]device.Ack
	stop              map[device.Slot]device.Ack // its last emergency stop or reset

	unanswered map[request]numbered
	n          uint64                 // commands so far
	issued     map[device.Slot]issued // of what was done
}

// numbered is a command with its place in the log.
type numbered struct {
	device.Command
	n uint64
}

// issued is when the newest command that was done was issued, by priority.
type issued [device.Safety + 1]int64

func newReplay() *replay {
	return &replay{
		mode: map[device.Slot]device.Ack{}, asked: map[device.Slot]device.Ack{}, told: map[device.Slot]device.Ack{},
		stop: map[device.Slot]device.Ack{}, unanswered: map[request]numbered{}, issued: map[device.Slot]issued{},
	}
}

// command notes a command with an id. The first of several with one id counts, but an
// emergency stop before all others.
func (r *replay) command(c *device.Command) {
	key := request{c.Slot, c.ID}
	if w, known := r.unanswered[key]; !known || c.Verb == device.EStop && w.Verb != device.EStop {
		r.n++
		r.unanswered[key] = numbered{*c, r.n}
	}
}

// ack notes an answer.
func (r *replay) ack(a *device.Ack) {
	key := request{a.Slot, a.ID}
	if a.Verb == device.EStop || r.unanswered[key].Verb != device.EStop { // what else had its id is no answer to an emergency stop
		delete(r.unanswered, key)
	}
	if a.Verb == device.EStop && !a.Repeat { // it latches, whatever the device answered
		r.stop[a.Slot] = *a
	}
	if a.Status != device.Done || a.Repeat {
		return
	}
	if a.Verb == device.Reset {
		r.stop[a.Slot] = *a
	}
	r.told[a.Slot] = *a
	if a.Verb == device.SetMode {
		r.mode[a.Slot] = *a
	}
	if a.Source == guard.Source {
		if a.Verb == device.SetMode { // to arm it: what it was asked before holds no more
			delete(r.asked, a.Slot)
		}
		return
	}
	r.asked[a.Slot] = *a
	if a.Priority <= device.Safety {
		at := r.issued[a.Slot]
		at[a.Priority] = max(at[a.Priority], a.Issued)
		r.issued[a.Slot] = at
	}
}

// left are the commands that nobody has answered, in the order of the log: those
// that are open, and those that are not carried out any more: after which something was
// done for the same device that was issued later and at no weaker priority, and those that
// let a device act, which is for somebody who is there.
func (r *replay) left() (open, over []device.Command) {
	for _, w := range slices.SortedFunc(maps.Values(r.unanswered), func(a, b numbered) int { return cmp.Compare(a.n, b.n) }) {
		at := r.issued[w.Slot]
		if w.Verb == device.EStop || w.Verb == device.Disarm { // nothing but their outcome replaces them
			open = append(open, w.Command)
			continue
		}
		if w.Verb == device.Arm || w.Verb == device.Reset || slices.Max(at[min(w.Priority, device.Safety):]) > w.At {
			over = append(over, w.Command)
		} else {
			open = append(open, w.Command)
		}
	}
	return open, over
}

// recover notes the answers that the log holds, and returns how far that was. The
// commands of people that nobody had answered become open: whoever sent them was
// told that they are in, so they are judged again, by their age among other
// things, but for those that are over.
func (g *Gateway) recover(ctx context.Context) (last uint64, err error) {
	r := newReplay()
	err = g.bus.Replay(ctx, bus.Control, 1, func(seq uint64, f device.Frame) {
		last = seq
		switch f := f.(type) {
		case *device.Commands:
			for i := range f.List {
				c := &f.List[i]
				if c.ID == "" {
					continue
				}
				g.claims.claim(c)
				if c.Verb == device.EStop || g.seen[request{c.Slot, c.ID}].Status == 0 {
					r.command(c)
				}
			}
		case *device.Acks:
			for i := range f.List {
				a := &f.List[i]
				r.ack(a)
				if a.ID != "" {
					g.remember(*a)
				}
			}
		}
	})
	if err != nil {
		return 0, err
	}
	g.onLoop(func(time.Time) { // behind the registrations, which go the same way
		for _, told := range []map[device.Slot]device.Ack{r.mode, r.asked, r.told, r.stop} {
			for _, a := range told {
				g.guard.Restore(&a)
			}
		}
	})
	g.open, g.over = r.left()
	return last, nil
}

// arrive judges commands from the bus, and before the first of them what a
// restart has left open: it came earlier.
func (g *Gateway) arrive(ctx context.Context, now time.Time, list []device.Command) {
	if ctx.Err() != nil {
		return
	}
	if len(g.over) > 0 {
		acks := make([]device.Ack, len(g.over))
		for i := range acks {
			why := "and replaced by a newer command since"
			if v := g.over[i].Verb; v == device.Arm || v == device.Reset {
				why = "which arms and resets nothing by itself"
			}
			acks[i] = g.over[i].Answer(device.Expired, now.UnixMilli(), CodeExpired, "not answered before a restart, "+why)
		}
		g.over = nil
		g.answer(ctx, now, acks)
	}
	if len(g.open) > 0 {
		open := g.open
		g.open = nil
		g.commands(ctx, now, open)
	}
	if len(list) > 0 {
		g.commands(ctx, now, list)
	}
}
