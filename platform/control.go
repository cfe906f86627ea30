package platform

import (
	"context"
	"fmt"
	"sync"
	"time"

	"yunchu/platform/bus"
	"yunchu/platform/device"
	"yunchu/platform/gateway"
)

// awaited is a command that somebody waits for: an id is its sender's choice and
// says nothing about a command for another device.
type awaited struct {
	slot device.Slot
	id   string
}

// waiter is one of them. All who wait for one commandId ask for the same, but for an emergency
// stop, which is done under any.
type waiter struct {
	stop   bool
	answer chan device.Ack
}

// waiters are callers that wait for the acknowledgement of their command.
type waiters struct {
	mu   sync.Mutex
	open map[awaited][]waiter
}

func (w *waiters) wait(id awaited, verb device.Verb) (<-chan device.Ack, func()) {
	ch := make(chan device.Ack, 1)
	w.mu.Lock()
	w.open[id] = append(w.open[id], waiter{verb == device.EStop, ch})
	w.mu.Unlock()
	return ch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		list := w.open[id]
		for i, c := range list {
			if c.answer == ch {
				list = append(list[:i:i], list[i+1:]...)
			}
		}
		if len(list) == 0 {
			delete(w.open, id)
		} else {
			w.open[id] = list
		}
	}
}

func (w *waiters) answer(_ uint64, f *device.Acks) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.open) == 0 {
		return
	}
	for i := range f.List {
		a := &f.List[i]
		for _, x := range w.open[awaited{a.Slot, a.ID}] {
			if x.stop && a.Verb != device.EStop {
				continue
			}
			select {
			case x.answer <- *a:
			default: // has its answer
			}
		}
	}
}

// Command publishes c, which must have an ID, and waits for its acknowledgement
// until ctx ends: then the command is in the log and still open, and the error
// is ctx's. Where the ID was used for something else, c is not published, and rejected with
// COMMAND_ID_USED.
func (p *Plant) Command(ctx context.Context, c device.Command) (device.Ack, error) {
	if c.ID == "" {
		return device.Ack{}, fmt.Errorf("command for slot %d has no id", c.Slot)
	}
	if used := p.Gateway.Claim(c); used != "" {
		return c.Answer(device.Rejected, p.sched.Now().UnixMilli(), gateway.CodeIDUsed, used), nil
	}
	ch, cancel := p.waiters.wait(awaited{c.Slot, c.ID}, c.Verb)
	defer cancel()
	if c.Verb == device.EStop {
		p.Gateway.Stop(p.life, c)
	}
	if err := p.publish(ctx, bus.Control, &device.Commands{List: []device.Command{c}}); err != nil {
		if c.Verb == device.EStop {
			err = fmt.Errorf("the device is being stopped, and the log does not take it: %w", err)
		}
		return device.Ack{}, fmt.Errorf("command %s: %w", c.ID, err)
	}
	select {
	case a := <-ch:
		return a, nil
	case <-ctx.Done():
		return device.Ack{}, ctx.Err()
	}
}

// publish publishes from any goroutine and returns when f is in the log. It does
// not give up when ctx ends before: what was begun is finished, so that an error
// always means that f is not there or that nobody can say.
func (p *Plant) publish(_ context.Context, stream string, f device.Frame) error {
	ch := make(chan error, 1)
	send := func() { p.bus.Publish(stream, f, func(_ uint64, err error) { ch <- err }) }
	if p.sched.Virtual() {
		p.sched.Post("publish", func(time.Time) { send() })
	} else {
		send()
	}
	select {
	case err := <-ch:
		return err
	case <-p.closed: // the loop of a virtual clock has ended
		return bus.ErrClosed
	}
}

// onLoop runs fn on the loop of a virtual clock, and at once on the wall clock,
// where what it calls is safe from any goroutine. bus.ErrClosed when the loop has
// ended and fn may not have run.
func (p *Plant) onLoop(fn func() error) error {
	if !p.sched.Virtual() {
		return fn()
	}
	done := make(chan error, 1)
	p.sched.Post("api", func(time.Time) { done <- fn() })
	select {
	case err := <-done:
		return err
	case <-p.closed:
		return bus.ErrClosed
	}
}
