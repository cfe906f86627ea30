package gateway

import (
	"context"
	"fmt"
	"sync"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/sched"
)

// arrival is what became of one attempt to read.
type arrival struct {
	w    *wire
	r    device.Reading
	took time.Duration
	err  error
	part string // whose emergency stop is pressed, where it is one of several
}

// inbox collects what devices on wires report until the loop takes it, all at once.
type inbox struct {
	mu   sync.Mutex
	list []arrival
	free []arrival // memory
}

func (b *inbox) put(g *Gateway, ctx context.Context, a arrival) {
	b.mu.Lock()
	b.list = append(b.list, a)
	first := len(b.list) == 1
	b.mu.Unlock()
	if first {
		g.sched.Post("inbox", func(now time.Time) {
			if ctx.Err() == nil {
				g.collect(ctx, now)
			}
		})
	}
}

// collect judges what has arrived, shows it to the guard at once, and lets it go to
// the log with what comes in the next moment.
func (g *Gateway) collect(ctx context.Context, now time.Time) {
	b := &g.inbox
	b.mu.Lock()
	list := b.list
	b.list, b.free = b.free[:0], nil
	b.mu.Unlock()
	var (
		gone []silence
		back []device.Slot
		late []device.Reading
	)
	g.mu.Lock()
	for i := range list {
		a := &list[i]
		if a.err != nil {
			if a.w.misses++; a.w.misses == missedPolls {
				gone = append(gone, silence{a.w.Slot, a.err})
			}
			if a.w.misses >= missedPolls {
				a.w.silent = a.err
			}
			continue
		}
		if a.w.misses >= missedPolls {
			back = append(back, a.w.Slot)
		}
		a.w.misses, a.w.silent = 0, nil
		if a.part != "" {
			g.guard.Pressed(a.w.Slot, a.part)
		}
		if a.r.Arrived > now.UnixMilli()+wireAhead {
			late = append(late, a.r)
			continue
		}
		if a.w.Pushed {
			g.guard.Repeat(&a.r)
			continue
		}
		if !g.judge(now, &a.r) {
			continue
		}
		g.guard.Paced(a.w.Slot, a.took)
		g.guard.Observe(&a.r)
		if g.lingering == nil {
			g.lingering = g.frames.Get().(*device.Readings)
			g.lingering.Reset()
			g.sched.At(now.Add(frameLinger), sched.Arrival, func(time.Time) { g.release() })
		}
		g.lingering.Append(&a.r)
		if g.lingering.Rows() == device.MaxRows {
			f := g.lingering
			g.lingering = nil
			g.mu.Unlock()
			g.publish(f)
			g.mu.Lock()
		}
	}
	g.mu.Unlock()
	b.mu.Lock()
	b.free = list[:0]
	b.mu.Unlock()
	g.postpone(ctx, now, late)
	for _, x := range gone { // each has a reason of its own
		if !g.sched.Virtual() {
			g.log.Warn("device offline", "device", g.name(x.slot), "error", x.err)
		}
		g.Event(now, x.slot, "offline", device.Warning, fmt.Sprintf("%s offline: %v", g.name(x.slot), x.err))
	}
	g.report(now, back, "online", device.Information)
	g.correct(ctx, now)
}

// silence is a device that does not answer, and why.
type silence struct {
	slot device.Slot
	err  error
}

// Silence says why the wire of a device gives no reading; empty: it gives, or the device has
// none. It is called on the loop.
func (g *Gateway) Silence(s device.Slot) string {
	if int(s) < len(g.served) {
		if w := g.served[s].wire; w != nil && w.silent != nil {
			return w.silent.Error()
		}
	}
	return ""
}

func (g *Gateway) release() {
	if f := g.lingering; f != nil {
		g.lingering = nil
		g.publish(f)
	}
}
