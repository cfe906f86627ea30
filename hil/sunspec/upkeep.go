package sunspec

import (
	"context"
	"errors"
	"math"
	"time"

	"yunchu/platform/device"
)

// beat is our heartbeat: from the first setpoint on a device hears every second that it
// is still commanded.
type beat struct {
	begun bool
	next  time.Time
	last  time.Time         // it was heard last
	told  map[string]uint64 // what was written last, by point that keeps it
	deaf  map[string]bool   // points that do not keep what is written
}

func (b *beat) begin(now time.Time) {
	if !b.begun {
		*b = beat{begun: true, next: now, last: now, told: map[string]uint64{}, deaf: map[string]bool{}}
	}
}

// silent reports whether the device may have lost patience with us.
func (b *beat) silent(now time.Time) bool { return now.Sub(b.last) > stillAfter }

// forget is for a device that may have been another one, or off, meanwhile. It hears the
// next beat at once.
func (b *beat) forget() {
	b.next = time.Time{}
	clear(b.told)
	clear(b.deaf)
}

// Beats come a second apart, and up to early sooner, so that a poll that comes a little
// early does not make it two.
const (
	beatEvery = time.Second
	early     = 100 * time.Millisecond
)

// pound beats the heart when it is time.
func (d *Driver) pound(ctx context.Context, now time.Time) error {
	b := &d.beat
	if !b.begun || now.Before(b.next.Add(-early)) {
		return nil
	}
	if b.next = b.next.Add(beatEvery); b.next.Before(now) {
		b.next = now.Add(beatEvery)
	}
	for _, p := range d.layout.beats {
		if d.opt.Mute {
			break
		}
		n, told := b.told[p.name()]
		if !told {
			n, _ = p.value().Raw()
		}
		if _, most := classes[p.field.Type].bounds(16 * p.field.Size); n >= uint64(most) {
			n = 0
		} else {
			n++
		}
		if err := d.beatAt(ctx, p, n, !told && !b.deaf[p.name()]); err != nil {
			return err
		}
	}
	b.last = now
	return nil
}

// beatAt writes a heartbeat. The first one is looked at again: a device that does not keep
// what it is told cannot tell of another controller.
func (d *Driver) beatAt(ctx context.Context, p point, n uint64, first bool) error {
	name := p.name()
	if _, kept := d.beat.told[name]; !first && kept {
		err := d.tell(ctx, p, n)
		if err == nil || errors.Is(err, device.ErrReadBack) { // by somebody else: the next reading tells
			d.beat.told[name] = n
			return nil
		}
		return err
	}
	if !first {
		return d.put(ctx, p, n)
	}
	switch err := d.tell(ctx, p, n); {
	case err == nil:
		d.beat.told[name] = n
	case errors.Is(err, device.ErrReadBack):
		d.beat.deaf[name] = true
	default:
		return err
	}
	return nil
}

// moved reports whether one of our heartbeats has been moved by somebody else.
func (d *Driver) moved() bool {
	for _, p := range d.layout.beats {
		if n, told := d.beat.told[p.name()]; told {
			if v, ok := p.value().Raw(); ok && v != n {
				return true
			}
		}
	}
	return false
}

// watch looks for what has become of our setpoint, as the registers that were just read
// tell it. It is given up when the device is in local control, in fault or stopped: it
// must not move again just because that has passed. A setpoint that the device took back
// by itself, or whose scale it has changed, is written again while it holds. Any other
// change was made by somebody else, whom the device is left to.
func (d *Driver) watch(now time.Time) {
	l := d.layout
	switch {
	case l.local():
		d.live, d.beat.begun = live{}, false
		return
	case d.beat.begun && d.moved():
		d.handOver(now, "heartbeat")
		return
	case !d.live.on:
		return
	case l.setter == nil: // the device that came back has none of the points
		d.live = live{}
		return
	case l.fault(), l.shutDown():
		d.live.until = now // taken to 0 now
		return
	}
	held, on := l.setter.holds()
	switch {
	case math.IsNaN(d.live.kw): // taken to 0 now
	case on && l.same(held, d.live.kw):
		d.watchTimer(now)
	case on && l.rescaled(held, &d.live):
		d.live.armed = time.Time{} // written again at once, in what it counts in now
	case math.IsNaN(held): // it does not say, and takes it back by itself
	case l.setter.revert().value().OK() && !now.Before(d.live.lapses), len(l.beats) > 0 && d.beat.silent(now):
		d.live.armed = time.Time{} // written again at once
	case l.resting():
		d.live = live{}
	default:
		d.handOver(now, "setpoint")
	}
}

func (d *Driver) handOver(now time.Time, what string) {
	d.opt.Log.Warn("somebody else commands the device", "changed", what)
	d.live, d.master, d.beat.begun = live{}, now, false
}

// upkeep does what is due at now: it completes an emergency stop, ends a setpoint or
// renews it, and beats the heart.
func (d *Driver) upkeep(ctx context.Context, now time.Time) error {
	if d.layout.local() {
		return nil
	}
	if d.stopping {
		return d.stop(ctx)
	}
	var err error
	switch x := &d.live; {
	case !x.on:
	case !x.until.IsZero() && !now.Before(x.until):
		err = d.rest(ctx)
	case now.Sub(x.armed) >= d.deadMan/3:
		err = d.renew(ctx, now)
	}
	return errors.Join(err, d.pound(ctx, now))
}
