package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"yunchu/platform/device"
)

// Work is something to be done with a device on a wire beside readings and commands,
// such as reading its settings.
type Work struct {
	Kind   string // of the event that tells of it: adjusted, probed, examined
	Text   string // what is done, for people
	Writes bool   // it changes the device: only while that is armed and not stopped
	Source string // who asks for it, for the audit: user:<name>
	Reason string // why, for the audit
	// Do is called on the device's goroutine, between two exchanges, and must end with
	// ctx: the device is not read meanwhile. An emergency stop ends ctx, and of work that
	// writes a stop and a disarming too, so that they wait for one exchange and not for all
	// that Do has in mind.
	Do func(ctx context.Context, h *Held) error
}

// Errors of Exchange.
var (
	ErrNoWire   = errors.New("not a device on a wire")
	ErrNotArmed = errors.New("the device must not be written to")
	ErrBusy     = errors.New("too much waits for the device already")
	ErrAudit    = errors.New("the log does not take what is about to be written")
)

// worksBound is how much work may wait for one device.
const worksBound = 8

// workWithin bounds one piece of work: until it ends the device is not read.
const workWithin = 2 * time.Second

// work is a Work on its way to its device.
type work struct {
	Work
	ctx    context.Context //nolint:containedctx // of the caller, who may give up while it waits
	answer chan error
}

// Exchange does work with a device on a wire and returns when it is done. What writes
// is refused unless the guard lets the device act, is dropped by an emergency stop or a
// disarming that comes before it, is broken off by one of them and by a stop that comes
// while it is done, and leaves an event. What only reads is broken off by an emergency stop
// alone. It is in the log, for the audit, before anything is written, and so is each value
// that was written, afterwards. Exchange must not be called on the loop.
func (g *Gateway) Exchange(ctx context.Context, slot device.Slot, x Work) error {
	w := &work{Work: x, ctx: ctx, answer: make(chan error, 1)}
	g.sched.Post("exchange", func(now time.Time) {
		if err := g.takes(slot, w); err != nil || !x.Writes {
			g.give(slot, w, err)
			return
		}
		g.announce(now, slot, &w.Work, func(err error) {
			if err != nil {
				err = fmt.Errorf("%s: %s: %w: %w", g.name(slot), x.Text, ErrAudit, err)
			}
			g.sched.Post("exchange", func(time.Time) {
				if err == nil {
					err = g.takes(slot, w) // it may have been disarmed meanwhile
				}
				g.give(slot, w, err)
			})
		})
	})
	select {
	case err := <-w.answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", x.Text, ctx.Err())
	}
}

// takes is why work cannot be done with a device, nil when it can. It runs on the loop.
func (g *Gateway) takes(slot device.Slot, x *work) error {
	switch {
	case int(slot) >= len(g.served) || g.served[slot].wire == nil:
		return fmt.Errorf("%s: %w", g.name(slot), ErrNoWire)
	case x.Writes && !g.guard.Armed(slot):
		return fmt.Errorf("%s: %s: %w: it is not armed, or its emergency stop is latched", g.name(slot), x.Text, ErrNotArmed)
	}
	return nil
}

// give hands work to the device, unless there is a reason not to. It runs on the loop.
func (g *Gateway) give(slot device.Slot, x *work, why error) {
	if why != nil {
		x.answer <- why
		return
	}
	g.served[slot].wire.putWork(x)
}

func (w *wire) putWork(x *work) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.ended:
		x.answer <- fmt.Errorf("%s: %w", x.Text, device.ErrOffline)
	case len(w.works) >= worksBound:
		x.answer <- fmt.Errorf("%s: %w", x.Text, ErrBusy)
	default:
		w.works = append(w.works, x)
		w.rouse()
	}
}

// nextWork takes the next piece of work, nil for none, as there is while an emergency stop waits.
// It is being done from then on, with a context and an end as during gives them: what disarms the
// device finds it either waiting or being done.
func (w *wire) nextWork(ctx context.Context) (x *work, during context.Context, over func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.works) == 0 || len(w.orders) > 0 && w.orders[0].c.Verb == device.EStop {
		return nil, nil, nil
	}
	x = w.works[0]
	w.works = append(w.works[:0], w.works[1:]...)
	during, over = w.begin(ctx, doing{breaks: x.breaks, writes: x.Writes})
	return x, during, over
}

// doing is something that is done with the device and may be broken off: no other exchange of
// it begins then.
type doing struct {
	breaks func(c *device.Command) string // why a command breaks it off, "" for not at all
	writes bool                           // work that the device must be armed for
	end    context.CancelCauseFunc
	outer  *doing // in the midst of which it is done
}

// brokenOff is why it was.
type brokenOff string

func (b brokenOff) Error() string { return string(b) }

// Is implements the interface of errors.Is.
func (brokenOff) Is(err error) bool { return err == device.ErrStopFirst }

// during returns a context for what is done now, which ends with ctx and with a command that
// breaks it off, and what is called when it is over.
func (w *wire) during(ctx context.Context, d doing) (context.Context, func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.begin(ctx, d)
}

// begin is during for a caller who holds mu.
func (w *wire) begin(ctx context.Context, d doing) (context.Context, func()) {
	ctx, d.end = context.WithCancelCause(ctx)
	d.outer, w.doing = w.doing, &d
	for i := range w.orders { // they came before this began
		d.breakOff(&w.orders[i].c)
	}
	return ctx, func() {
		w.mu.Lock()
		w.doing = d.outer
		w.mu.Unlock()
		d.end(nil)
	}
}

func (d *doing) breakOff(c *device.Command) {
	if why := d.breaks(c); why != "" {
		d.end(brokenOff(why))
	}
}

// breakOff ends what is being done and must not keep c waiting. The caller holds mu.
func (w *wire) breakOff(c *device.Command) {
	for d := w.doing; d != nil; d = d.outer {
		d.breakOff(c)
	}
}

// breaks is why a command breaks off work, "" for not at all.
func (x *Work) breaks(c *device.Command) string {
	switch {
	case c.Verb == device.EStop:
		return "the emergency stop came first"
	case c.Verb == device.Stop && x.Writes:
		return "a stop came first"
	}
	return ""
}

// stops hands over what brings the device to rest and waits while work is being done. It runs
// on the device's own goroutine.
func (w *wire) stops(ctx context.Context) {
	next := func() (o order, ok bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.orders) == 0 || w.orders[0].c.Verb != device.EStop && w.orders[0].c.Verb != device.Stop {
			return order{}, false
		}
		o = w.orders[0]
		w.orders = append(w.orders[:0], w.orders[1:]...)
		return o, true
	}
	for o, ok := next(); ok && ctx.Err() == nil; o, ok = next() {
		w.write(ctx, o)
	}
}

// dropWorks refuses what waits and writes, and breaks it off where it is being done. The
// caller holds mu.
func (w *wire) dropWorks(why string) {
	for d := w.doing; d != nil; d = d.outer {
		if d.writes {
			d.end(brokenOff(why))
		}
	}
	rest := w.works[:0]
	for _, x := range w.works {
		if x.Writes {
			x.answer <- fmt.Errorf("%s: %w: %s", x.Text, ErrNotArmed, why)
		} else {
			rest = append(rest, x)
		}
	}
	w.works = rest
}

// endWorks answers all that waits when nobody serves the device any more.
func (w *wire) endWorks() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	for _, x := range w.works {
		x.answer <- fmt.Errorf("%s: %w", x.Text, device.ErrOffline)
	}
	w.works = nil
}

// do does one piece of work and reports whether one waited.
func (w *wire) do(ctx context.Context) bool {
	x, during, over := w.nextWork(ctx)
	if x == nil {
		return false
	}
	defer over()
	if x.ctx.Err() != nil { // nobody waits for it any more
		return true
	}
	limit, cancel := context.WithTimeout(during, workWithin)
	defer cancel()
	defer context.AfterFunc(x.ctx, cancel)()
	err := x.Do(limit, &Held{w, x, ctx})
	if cause := context.Cause(during); err != nil && errors.Is(cause, device.ErrStopFirst) {
		err = fmt.Errorf("%s: %w: %w: %w", x.Text, ErrNotArmed, cause, err)
	}
	x.answer <- err
	if !x.Writes {
		return true
	}
	w.g.sched.Post("exchange", func(now time.Time) {
		if ctx.Err() != nil {
			return
		}
		text, sev := x.Text, device.Information
		if err != nil {
			text, sev = fmt.Sprintf("%s: %v", x.Text, err), device.Warning
		}
		w.g.Event(now, w.Slot, x.Kind, sev, w.g.name(w.Slot)+": "+text)
	})
	return true
}
