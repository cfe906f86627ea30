package gateway

import (
	"context"
	"fmt"
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
	done     chan struct{}
}

// Push takes readings that devices sent to us and returns when all of them that
// are not refused are in the log, with a verdict for each. A reading whose twin
// with the same values is stored already counts as stored. bus.ErrOverload means
// that none was taken. The slots must be known.
//
// Readings of many callers share one log message and one sync: whoever comes
// while a message is being written waits for the next one.
func (g *Gateway) Push(ctx context.Context, rows []device.Reading) ([]ingest.Verdict, error) {
	if len(rows) > device.MaxRows {
		return nil, fmt.Errorf("push %d readings: at most %d at once", len(rows), device.MaxRows)
	}
	if g.queued.Add(int64(len(rows))) > g.bound {
		g.queued.Add(-int64(len(rows)))
		g.Stats.Shed.Add(uint64(len(rows)))
		return nil, bus.ErrOverload
	}
	p := &push{rows: rows, verdicts: make([]ingest.Verdict, len(rows)), done: make(chan struct{})}
	g.queue <- p // has room: queued bounds it
	select {
	case <-p.done:
		return p.verdicts, p.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Run commits what is pushed until ctx ends, then what is still waiting.
func (g *Gateway) Run(ctx context.Context) error {
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
		batch = append(batch, first)
		rows := len(first.rows)
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
		g.commit(batch)
		g.queued.Add(-int64(rows))
	}
}

// commit judges the readings of a batch, writes those that are new as one
// message, and answers everybody. When the log refuses, the checks forget what
// they saw, so that a repetition is not taken for a duplicate of something that
// was never stored.
func (g *Gateway) commit(batch []*push) {
	f := g.frames.Get().(*device.Readings)
	f.Reset()
	now := g.sched.Now()
	before := make(map[device.Slot]ingest.Memory)
	g.mu.Lock()
	for _, p := range batch {
		for i := range p.rows {
			r := &p.rows[i]
			if _, saved := before[r.Slot]; !saved {
				before[r.Slot] = g.memory[r.Slot]
			}
			r.Arrived = now.UnixMilli()
			switch p.verdicts[i] = g.memory[r.Slot].Judge(&g.infos[r.Slot], now, r); p.verdicts[i] {
			case ingest.Store:
				f.Append(r)
			case ingest.Duplicate:
				g.Stats.Duplicates.Add(1)
			case ingest.Future:
				g.Stats.Refused.Add(1)
			}
		}
	}
	g.mu.Unlock()
	var err error
	if f.Rows() > 0 {
		rows := uint64(f.Rows())
		if err = g.store(f); err == nil {
			g.Stats.Readings.Add(rows)
		} else {
			g.mu.Lock()
			for s, m := range before {
				g.memory[s] = m
			}
			g.mu.Unlock()
		}
	}
	g.frames.Put(f)
	for _, p := range batch {
		p.err = err
		close(p.done)
	}
}

// store publishes and waits. On a virtual clock the loop does it.
func (g *Gateway) store(f *device.Readings) error {
	ch := make(chan error, 1)
	publish := func() { bus.Readings.Publish(g.bus, f, func(_ uint64, err error) { ch <- err }) }
	if g.sched.Virtual() {
		g.sched.Post("push", func(time.Time) { publish() })
	} else {
		publish()
	}
	return <-ch
}
