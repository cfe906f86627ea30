package gateway

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"yunchu/platform/bus"
	"yunchu/platform/device"
)

// Held is a device on a wire in the hands of a Work, valid until its Do returns. It has no
// way to write that the audit does not tell of.
type Held struct {
	wire *wire
	work *work
	run  context.Context //nolint:containedctx // of the wire: what comes before this work ends with that
}

// first hands over the stops that wait: they do not wait for more than one exchange.
func (h *Held) first() { h.wire.stops(h.run) }

var (
	_ device.Adjustable = (*Held)(nil)
	_ device.Described  = (*Held)(nil)
	_ device.Probed     = (*Held)(nil)
)

// What a write was.
const (
	actAdjusted = "adjusted"
	actProbed   = "probed"
	actRestored = device.Restored
)

var errReads = errors.New("this work was not announced as one that writes")

// Describe implements device.Described; nothing where the device cannot be asked.
func (h *Held) Describe(ctx context.Context, now time.Time) (device.Info, error) {
	if d, ok := h.wire.Driver.(device.Described); ok {
		return d.Describe(ctx, now)
	}
	return device.Info{}, nil
}

// Settings implements device.Adjustable. ErrUnsupported where the device has none.
func (h *Held) Settings(ctx context.Context) ([]device.Setting, error) {
	a, ok := h.wire.Driver.(device.Adjustable)
	if !ok {
		return nil, fmt.Errorf("list of settings: %w", device.ErrUnsupported)
	}
	list, err := a.Settings(ctx)
	for _, s := range list {
		if h.wire.units == nil {
			h.wire.units = map[string]string{}
		}
		h.wire.units[s.Name] = s.Unit
	}
	return list, err
}

// Setting implements device.Adjustable.
func (h *Held) Setting(ctx context.Context, name string) (float64, error) {
	a, ok := h.wire.Driver.(device.Adjustable)
	if !ok {
		return math.NaN(), fmt.Errorf("setting %s: %w", name, device.ErrUnsupported)
	}
	return a.Setting(ctx, name)
}

// Adjust implements device.Adjustable: what it was is read before it is written, and what
// it is after a refusal as well.
func (h *Held) Adjust(ctx context.Context, name string, value float64) (float64, error) {
	return h.adjust(ctx, actAdjusted, name, value)
}

// Restore is Adjust of what the Work, or one before it, has changed. It is done even when
// ctx has ended: a device is not left with the value of a trial, not by an emergency stop
// either, which goes first.
func (h *Held) Restore(ctx context.Context, name string, value float64) (float64, error) {
	h.first() // before its own time begins
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.wire.within(commandPaces))
	defer cancel()
	return h.adjust(ctx, actRestored, name, value)
}

func (h *Held) adjust(ctx context.Context, act, name string, value float64) (float64, error) {
	a, ok := h.wire.Driver.(device.Adjustable)
	switch {
	case !ok:
		return math.NaN(), fmt.Errorf("setting %s: %w", name, device.ErrUnsupported)
	case !h.work.Writes:
		return math.NaN(), fmt.Errorf("setting %s: %w", name, errReads)
	}
	h.first()
	before, err := a.Setting(ctx, name)
	if err != nil && !errors.Is(err, device.ErrUnsupported) { // some hold nothing until they are written
		return math.NaN(), fmt.Errorf("setting %s, before it is written: %w", name, err)
	}
	h.first()
	if act != actRestored && ctx.Err() != nil {
		return math.NaN(), fmt.Errorf("setting %s: %w", name, ctx.Err())
	}
	held, err := a.Adjust(ctx, name, value)
	w := device.Write{Act: act, What: name, Unit: h.wire.units[name], Asked: value, Before: before, After: held, Status: ended(err)}
	if err != nil {
		w.Text = err.Error()
		if !errors.Is(err, device.ErrReadBack) {
			w.After = math.NaN()
			if is, err := a.Setting(ctx, name); err == nil {
				w.After = is
			}
		}
	}
	h.tell(w)
	return held, err
}

// ended is how a write has ended.
func ended(err error) device.AckStatus {
	switch {
	case err == nil:
		return device.Done
	case errors.Is(err, device.ErrRejected), errors.Is(err, device.ErrUnsupported):
		return device.Rejected
	}
	return device.Failure
}

// Probe implements device.Probed. ErrUnsupported where the driver has no trials.
func (h *Held) Probe(ctx context.Context) ([]device.Trial, error) {
	p, ok := h.wire.Driver.(device.Probed)
	switch {
	case !ok:
		return nil, fmt.Errorf("trials: %w", device.ErrUnsupported)
	case !h.work.Writes:
		return nil, fmt.Errorf("trials: %w", errReads)
	}
	trials, err := p.Probe(device.WithWay(ctx, h.first))
	for i := range trials {
		for _, w := range trials[i].Writes {
			if w.Act == "" {
				w.Act = actProbed
			}
			h.tell(w)
		}
	}
	return trials, err
}

// Probes reports whether there are trials.
func (h *Held) Probes() bool {
	_, ok := h.wire.Driver.(device.Probed)
	return ok
}

// tell puts a write into the log.
func (h *Held) tell(w device.Write) {
	w.Slot, w.At, w.Source, w.Reason = h.wire.Slot, h.wire.g.sched.Now().UnixMilli(), h.work.Source, h.work.Reason
	h.wire.g.sched.Post("exchange", func(time.Time) { h.wire.g.logWrite(w, nil) })
}

// announce puts work that writes into the log, before anything is written, and calls done
// once it is stored there.
func (g *Gateway) announce(now time.Time, slot device.Slot, x *Work, done func(error)) {
	g.logWrite(device.Write{
		Slot: slot, At: now.UnixMilli(), Act: x.Kind, Asked: math.NaN(), Before: math.NaN(), After: math.NaN(),
		Source: x.Source, Reason: x.Reason, Text: x.Text,
	}, done)
}

func (g *Gateway) logWrite(w device.Write, done func(error)) {
	bus.Writes.Publish(g.bus, &device.Writes{List: []device.Write{w}}, func(_ uint64, err error) {
		if err != nil {
			g.log.Error("write lost before the log", "device", g.name(w.Slot), "what", w.What, "error", err)
		}
		if done != nil {
			done(err)
		}
	})
}
