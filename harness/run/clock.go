package run

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/sched"
)

// machine is the clock of the machine that the runtime runs on, which a scenario may
// set. What stands beside the runtime has clocks of its own: rigs, loads, the twins,
// and the run with its timeline.
type machine struct{ set atomic.Int64 } // ns

func (m *machine) now() time.Time { return time.Now().Add(time.Duration(m.set.Load())) }

// jump is a leap of the plant's time, in which none of the run's passed.
type jump struct {
	from time.Time // of the plant
	by   time.Duration
}

// setClock acts as if the machine's clock had been set. The plant's time follows as it
// would follow any machine: forward it leaps, back it only goes slower.
func (r *Run) setClock(by time.Duration) {
	r.mu.Lock() // nobody takes notes meanwhile
	defer r.mu.Unlock()
	before := r.Sched.Now()
	r.machine.set.Add(int64(by))
	after := r.Sched.Now()
	if leap := after.Sub(before); leap > time.Second/10 { // else it is the time that this takes
		jumps := append(slices.Clone(r.leaps()), jump{before, leap})
		r.jumps.Store(&jumps)
		// Dispatch runs at once, for all the cycles that it would have missed.
		first, every := r.plant.FirstCycle(), r.Scenario.Dispatch.Every
		r.cycles = first.Add(after.Sub(first) / every * every)
	}
}

func (r *Run) leaps() []jump {
	if p := r.jumps.Load(); p != nil {
		return *p
	}
	return nil
}

// own is an instant of the plant in the run's own time, in which it did not leap.
func (r *Run) own(t time.Time) time.Time {
	out := t
	for _, j := range r.leaps() {
		out = out.Add(-min(max(t.Sub(j.from), 0), j.by))
	}
	return out
}

// elapsed is the run's own time since its start.
func (r *Run) elapsed(now time.Time) time.Duration { return r.own(now).Sub(r.start) }

// since is how much of the run's own time lies between ms and now.
func (r *Run) since(now time.Time, ms int64) int64 {
	return r.own(now).UnixMilli() - r.own(device.Time(ms)).UnixMilli()
}

// instant is when the run will have lasted for d, unless the clock is set before.
func (r *Run) instant(d time.Duration) time.Time {
	t := r.start.Add(d)
	for _, j := range r.leaps() {
		t = t.Add(j.by)
	}
	return t
}

// at runs fn when the run has lasted for d, whatever the clock is set to until then.
func (r *Run) at(d time.Duration, p sched.Priority, fn func(now time.Time)) {
	r.Sched.At(r.instant(d), p, func(now time.Time) {
		if r.elapsed(now) < d {
			r.at(d, p, fn)
			return
		}
		fn(now)
	})
}

// apart is a fleet that lives in the run's own time, as devices do whose runtime's clock
// is set. Whoever reads them says when that was.
type apart struct {
	device.Fleet
	r *Run
}

// ReadAll implements device.Fleet.
func (f apart) ReadAll(ctx context.Context, now time.Time, into *device.Readings) error {
	own := f.r.own(now)
	n := into.Rows()
	err := f.Fleet.ReadAll(ctx, own, into)
	if by := now.Sub(own).Milliseconds(); by != 0 {
		for i := n; i < into.Rows(); i++ {
			into.At[i] += by
			into.Arrived[i] += by
		}
	}
	return err
}

// WriteAll implements device.Fleet.
func (f apart) WriteAll(ctx context.Context, now time.Time, cmds []device.Command, acks []device.Ack) ([]device.Ack, error) {
	own := f.r.own(now)
	by := now.Sub(own).Milliseconds()
	if by == 0 {
		return f.Fleet.WriteAll(ctx, now, cmds, acks)
	}
	moved := slices.Clone(cmds)
	for i := range moved {
		moved[i].At -= by
		if moved[i].Until != 0 {
			moved[i].Until -= by
		}
	}
	n := len(acks)
	acks, err := f.Fleet.WriteAll(ctx, own, moved, acks)
	for i := n; i < len(acks); i++ {
		a := &acks[i]
		a.At += by
		a.Issued += by
		if a.Until != 0 {
			a.Until += by
		}
	}
	return acks, err
}
