package gateway

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"yunchu/platform/bus"
	"yunchu/platform/device"
	"yunchu/platform/ingest"
)

// push is readings of one caller that wait for the log.
type push struct {
	rows     []device.Reading
	verdicts []ingest.Verdict
	err      error
	done     chan struct{} // has room for the one word that is said
	state    atomic.Int32
}

// A push waits until either the gateway takes it or its caller leaves it.
const (
	waiting int32 = iota
	taken
	left
)

// Push takes readings that devices sent to us and returns when all of them that
// are not refused are in the log, with a verdict for each. A reading whose twin
// with the same values is stored already counts as stored. After an error none
// was taken, or nobody can say: bus.ErrOverload when too many are waiting,
// bus.ErrClosed when the gateway has ended, ctx's error when it ended before the
// turn of these readings came. The rows are the gateway's until Push returns; it
// sets their arrival, quality and flags.
//
// Readings of many callers share one log message and one sync: whoever comes
// while a message is being written waits for the next one. More than fit into one
// message have room for all of them before the first is written: if each message
// had to find its own, arrays would push each other out half way, and of many that
// come at once none would ever be whole.
func (g *Gateway) Push(ctx context.Context, rows []device.Reading) ([]ingest.Verdict, error) {
	if err := g.check(rows); err != nil || len(rows) == 0 {
		return nil, err
	}
	room := int64(len(rows))
	if taken := g.queued.Add(room); taken > g.bound && taken > room { // alone, any array gets in
		g.queued.Add(-room)
		g.Stats.Shed.Add(uint64(room))
		return nil, bus.ErrOverload
	}
	verdicts := make([]ingest.Verdict, len(rows))
	for from := 0; from < len(rows); from += device.MaxRows {
		to := min(from+device.MaxRows, len(rows))
		if err := g.pushOne(ctx, rows[from:to], verdicts[from:to]); err != nil {
			g.queued.Add(-int64(len(rows) - to)) // Run gives back the room of what it was given
			return nil, err
		}
	}
	return verdicts, nil
}

// pushOne takes rows of one message, which have their room.
func (g *Gateway) pushOne(ctx context.Context, rows []device.Reading, verdicts []ingest.Verdict) error {
	p := g.pushes.Get().(*push)
	p.rows, p.verdicts, p.err = rows, verdicts, nil
	p.state.Store(waiting)
	g.queue <- p // has room: queued bounds it
	select {
	case <-p.done:
		return g.heard(p)
	case <-ctx.Done():
		if p.state.CompareAndSwap(waiting, left) {
			return ctx.Err()
		}
	case <-g.ended:
		if p.state.CompareAndSwap(waiting, left) {
			return bus.ErrClosed
		}
	}
	<-p.done // it is on its way to the log
	return g.heard(p)
}

// heard is what became of a push, which nobody knows any more.
func (g *Gateway) heard(p *push) error {
	err := p.err
	p.rows, p.verdicts = nil, nil
	g.pushes.Put(p)
	return err
}

func (g *Gateway) check(rows []device.Reading) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range rows {
		if !g.known(rows[i].Slot) {
			return fmt.Errorf("push reading %d: slot %d is not registered", i, rows[i].Slot)
		}
	}
	return nil
}

// Run commits what is pushed until ctx ends, then what is still waiting. It is
// called once.
func (g *Gateway) Run(ctx context.Context) error {
	defer close(g.ended)
	batch := make([]*push, 0, 256)
	var held *push
	for {
		batch = batch[:0]
		first := held
		held = nil
		if first == nil {
			select {
			case first = <-g.queue:
			case <-ctx.Done():
				select {
				case first = <-g.queue:
				default:
					return nil
				}
			}
		}
		rows := len(first.rows)
		batch = append(batch, first)
	more:
		for {
			select {
			case p := <-g.queue:
				if rows+len(p.rows) > device.MaxRows {
					held = p
					break more
				}
				rows += len(p.rows)
				batch = append(batch, p)
			default:
				break more
			}
		}
		g.commit(ctx, batch)
		g.queued.Add(-int64(rows))
	}
}

// commit stores the readings of those who still wait for it and answers them.
func (g *Gateway) commit(ctx context.Context, batch []*push) {
	here := batch[:0]
	for _, p := range batch {
		if p.state.CompareAndSwap(waiting, taken) {
			here = append(here, p)
		}
	}
	if len(here) == 0 {
		return
	}
	err := g.store(ctx, here)
	for i, p := range here {
		here[i] = nil // its caller may use it again
		p.err = err
		p.done <- struct{}{}
	}
}

// store judges the readings of a batch and returns when those that are new are in
// the log, as one message. On a virtual clock the loop does it.
func (g *Gateway) store(ctx context.Context, batch []*push) error {
	ch := make(chan error, 1)
	done := func(err error) { ch <- err }
	if !g.sched.Virtual() {
		g.record(g.sched.Now(), batch, done)
		return <-ch
	}
	var begun atomic.Bool
	g.sched.Post("push", func(now time.Time) {
		if begun.CompareAndSwap(false, true) {
			g.record(now, batch, done)
		}
	})
	select {
	case err := <-ch:
		return err
	case <-ctx.Done(): // the loop may have ended with it
		if begun.CompareAndSwap(false, true) {
			return bus.ErrClosed
		}
		return <-ch
	}
}

// before is what the checks knew of a device before they judged a reading.
type before struct {
	slot   device.Slot
	memory ingest.Memory
}

// record judges and publishes. When the log refuses, the checks forget what they
// saw, so that a repetition is not taken for a duplicate of something that was
// never stored.
func (g *Gateway) record(now time.Time, batch []*push, done func(error)) {
	f := g.frames.Get().(*device.Readings)
	f.Reset()
	was := g.befores.Get().(*[]before)
	var act []device.Reading // of devices that may act: the guard must know
	g.mu.Lock()
	for _, p := range batch {
		for i := range p.rows {
			r := &p.rows[i]
			*was = append(*was, before{r.Slot, g.memory[r.Slot]})
			r.Arrived = now.UnixMilli()
			p.verdicts[i] = g.memory[r.Slot].Judge(&g.infos[r.Slot], now, r)
			if p.verdicts[i] != ingest.Store {
				continue
			}
			f.Append(r)
			if g.infos[r.Slot].State == device.Active || g.attended[r.Slot] {
				act = append(act, *r)
			}
		}
	}
	g.mu.Unlock()
	finish := func(err error) {
		if err != nil {
			g.mu.Lock()
			for _, b := range slices.Backward(*was) { // a device may be there twice
				g.memory[b.slot] = b.memory
			}
			g.mu.Unlock()
		} else {
			g.count(batch)
		}
		*was = (*was)[:0]
		g.befores.Put(was)
		g.frames.Put(f)
		done(err)
	}
	if len(act) > 0 {
		g.onLoop(func(time.Time) {
			for i := range act {
				g.guard.Observe(&act[i])
			}
		})
	}
	if f.Rows() == 0 {
		finish(nil)
		return
	}
	bus.Readings.Publish(g.bus, f, func(_ uint64, err error) { finish(err) })
}

func (g *Gateway) count(batch []*push) {
	var stored, duplicates, refused uint64
	for _, p := range batch {
		for _, v := range p.verdicts {
			switch v {
			case ingest.Store:
				stored++
			case ingest.Duplicate:
				duplicates++
			case ingest.Future:
				refused++
			}
		}
	}
	g.Stats.Readings.Add(stored)
	g.Stats.Duplicates.Add(duplicates)
	g.Stats.Refused.Add(refused)
}
