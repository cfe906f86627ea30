package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/guard"
)

// Codes of commands that a device on a wire was not given.
const (
	CodeSuperseded = "SUPERSEDED"
	CodeOverload   = "OVERLOAD"
)

// ordersBound is how many commands may wait for one device. Newer setpoints take the
// place of older ones, so that only changes of mode can fill it.
const ordersBound = 16

// wireAhead is how far, in ms, a reading may claim to have arrived after the loop's own
// now before it counts as one that is still on its way: two looks at one clock.
const wireAhead = 5

// frameLinger is how long readings of devices on wires wait for others, so that those
// which come together share a message of the log. The guard has seen them before.
const frameLinger = 10 * time.Millisecond

// Wire is how a device on a wire is served.
type Wire struct {
	Driver device.Driver
	Slot   device.Slot
	Period time.Duration
	// Phase is when in the period it is read, so that many devices share the time.
	Phase time.Duration
	// ArmItself: an emulator on this machine, which needs nobody to arm it.
	ArmItself bool
	// Twin, when set, is what its sign test is held against before it is armed; without one
	// it is its nameplate alone.
	Twin device.Comparison
	// Told, when set, is told of each command that the device is given, and ended when it has
	// answered or not.
	Told func(c device.Command) (ended func())
	// Pushed: the device sends its readings to us, and they come in through Push. What its
	// driver reads tells of its presence and of its panel, and is not stored again.
	Pushed bool
}

// wire reads and writes one device on a goroutine of its own: exchanges on a wire
// take as long as the device takes, and no device waits for another's.
type wire struct {
	Wire
	g      *Gateway
	misses int          // on the loop: readings in a row that did not come
	silent error        // on the loop: why, once they are enough to be offline; nil: it is not
	said   *device.Info // on the loop: its nameplate, once it is known
	misfit string       // on the loop: how that contradicts what is known

	// On its own goroutine: when it ran last, whether the device was told a power, and
	// which it has taken, in kW.
	awake  time.Time
	acting bool
	told   float64
	pace   time.Duration     // how long its readings take
	gave   bool              // its last reading gave way to a stop
	units  map[string]string // of the settings that it has listed

	mu     sync.Mutex
	orders []order
	works  []*work
	ended  bool   // nobody takes works any more
	doing  *doing // what is being done now, nil for nothing
	wake   chan struct{}
}

// order is a command on its way to the device.
type order struct {
	c       device.Command
	verb    device.Verb // as it was asked
	verdict guard.Verdict
	attempt int // of a correction; 0 for all others
}

// Attach serves a device on a wire until ctx ends, and then closes its driver; done,
// when set, is called after that. It is called on the wall clock, before Start or on the loop.
func (g *Gateway) Attach(ctx context.Context, w Wire, done func()) error {
	g.mu.Lock()
	known := g.known(w.Slot)
	if known && w.Pushed {
		g.attended[w.Slot] = true
	}
	g.mu.Unlock()
	if !known {
		return fmt.Errorf("attach a device with slot %d, which is not registered", w.Slot)
	}
	for int(w.Slot) >= len(g.served) {
		g.served = append(g.served, place{})
	}
	x := &wire{Wire: w, g: g, wake: make(chan struct{}, 1)}
	g.served[w.Slot] = place{wire: x}
	if w.Twin != nil {
		g.onLoop(func(time.Time) {
			g.guard.Compare(w.Slot, func(window []device.Tried) (evidence, differs string) { return w.Twin(x.said, window) })
		})
	}
	if w.ArmItself {
		g.onLoop(func(time.Time) { g.guard.ArmItself(w.Slot) })
	}
	go func() {
		x.run(ctx)
		if err := w.Driver.Close(); err != nil {
			g.log.Warn("driver not closed", "device", g.name(w.Slot), "error", err)
		}
		if done != nil {
			done()
		}
	}()
	return nil
}

// run serves the device: commands first, then the reading that is due on the grid of its
// period, then one piece of work, so that neither waits for more than one of those.
func (w *wire) run(ctx context.Context) {
	defer w.endWorks()
	next := time.Now().Add(w.Phase)
	t := time.NewTimer(time.Until(next))
	defer t.Stop()
	described := false
	var ask time.Time // for its nameplate, not before
	var pause time.Duration
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-t.C:
		}
		w.resume(ctx)
		w.commands(ctx)
		if time.Until(next) <= 0 { // whatever woke it: work that waits must not put readings off
			ok := w.read(ctx)
			if w.gave { // it is read once more at once, behind what came
				w.awake = w.g.sched.Now()
				w.rouse()
				continue
			}
			if ok && !described && !w.waiting() && !time.Now().Before(ask) {
				described = w.describe(ctx)
				pause = min(max(2*pause, time.Second), 30*time.Second)
				ask = time.Now().Add(pause)
			}
			if next = next.Add(w.Period); time.Until(next) < 0 { // late: what was missed is not made up for
				w.g.Stats.Overruns.Add(1)
				late := time.Since(next)
				next = next.Add(late.Truncate(w.Period) + w.Period)
			}
			t.Reset(time.Until(next))
			w.commands(ctx)
		}
		if w.do(ctx) {
			w.rouse()
		}
		w.awake = w.g.sched.Now()
	}
}

// standstill is how long this goroutine may not have run before its setpoint is of the
// past: what the guard makes of a device that was not heard of for so long.
func (w *wire) standstill() time.Duration { return max(2*time.Second, 3*w.Period) }

// resume finds out whether this process has stood still: stopped, or asleep with its
// machine. Then the driver must not renew a setpoint that the device has let go of
// meanwhile, and what waits is not meant any more.
func (w *wire) resume(ctx context.Context) {
	now := w.g.sched.Now()
	if w.awake.IsZero() || now.Sub(w.awake) <= w.standstill() || !w.acting {
		return
	}
	w.mu.Lock()
	orders := w.orders
	w.orders = nil
	w.mu.Unlock()
	for _, o := range orders {
		if o.c.Verb != device.SetPower {
			w.mu.Lock()
			w.orders = append(w.orders, o)
			w.mu.Unlock()
			continue
		}
		a := o.c.Answer(device.Expired, now.UnixMilli(), CodeExpired, "this process stood still meanwhile")
		w.g.sched.Post("wire", func(now time.Time) {
			if ctx.Err() == nil {
				w.g.wrote(ctx, now, w, o, a, nil)
			}
		})
	}
	const why = "this process stood still"
	w.write(ctx, order{verb: device.Stop, verdict: guard.Verdict{Before: w.told, Reason: why}, c: device.Command{
		Slot: w.Slot, Verb: device.Stop, Priority: device.Safety, At: now.UnixMilli(), Source: guard.Source, Reason: why,
	}})
}

// commands hands over what waits, and not what comes meanwhile: somebody who asks more often than
// a slow device answers does not keep it from being read.
func (w *wire) commands(ctx context.Context) {
	w.mu.Lock()
	n := len(w.orders)
	w.mu.Unlock()
	for ; n > 0 && ctx.Err() == nil; n-- {
		if o, ok := w.next(); ok {
			w.write(ctx, o)
		}
	}
	if w.waiting() {
		w.rouse()
	}
}

// waiting reports whether a command waits.
func (w *wire) waiting() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.orders) > 0
}

func (w *wire) next() (o order, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.orders) == 0 {
		return order{}, false
	}
	o = w.orders[0]
	w.orders = append(w.orders[:0], w.orders[1:]...)
	return o, true
}

// put queues an order. Setpoints that wait are overtaken by any newer word about the
// power, and are returned; an emergency stop goes before all others, then a stop, and what would start
// the device again after it is overtaken too. full: o was not taken.
func (w *wire) put(o order) (overtaken []order, full bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	rest := w.orders[:0]
	for _, old := range w.orders {
		if overtakes(&o.c, &old.c) {
			overtaken = append(overtaken, old)
		} else {
			rest = append(rest, old)
		}
	}
	w.orders = rest
	switch {
	case o.c.Verb == device.EStop:
		w.orders = append([]order{o}, w.orders...)
		w.dropWorks("the emergency stop came first")
	case o.c.Verb == device.Stop: // behind an emergency stop, before all that waits else
		at := 0
		for at < len(w.orders) && w.orders[at].c.Verb == device.EStop {
			at++
		}
		w.orders = slices.Insert(w.orders, at, o)
	case len(w.orders) >= ordersBound:
		return overtaken, true
	default:
		w.orders = append(w.orders, o)
	}
	w.breakOff(&o.c)
	w.rouse()
	return overtaken, false
}

// overtakes reports whether a command that waits is not to be sent any more because of a
// newer one.
func overtakes(c, old *device.Command) bool {
	switch old.Verb {
	case device.SetPower, device.Stop, device.Release:
		return true
	case device.Reset:
		return c.Verb == device.EStop
	case device.SetMode: // the guard's own is a step of arming, which anything newer has ended
		return old.Mode == device.Run && (c.Verb == device.EStop || old.Source == guard.Source)
	}
	return false
}

// rouse lets the device's goroutine look for what waits.
func (w *wire) rouse() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// How long a device may take, from how long its readings have taken, but no longer than
// slowest: one of registers asks up to ten times for what it is told, and a reading may come
// with the renewal of what it was told before. That is 0.1 s each on a line of 1200 bit/s.
const (
	readingPaces = 4
	commandPaces = 10
	slowest      = 5 * time.Second
)

// within is how long what takes so many readings' time may take.
func (w *wire) within(paces time.Duration) time.Duration {
	return max(answerWithin, min(paces*w.pace, slowest))
}

// paced takes note of how long a reading has taken: a slower one at once, faster ones by and
// by.
func (w *wire) paced(took time.Duration) { w.pace = max(took, w.pace-w.pace/8) }

// givesWay is why a command breaks off a reading, "" for not at all: a stop, but not two
// readings in a row, so that a device is read however often it is stopped.
func (w *wire) givesWay() func(c *device.Command) string {
	gave := w.gave
	return func(c *device.Command) string {
		if c.Verb == device.EStop || c.Verb == device.Stop && !gave {
			return "a stop came first"
		}
		return ""
	}
}

// yields is why a command breaks off one that is being sent, "" for not at all.
func yields(old *device.Command) func(c *device.Command) string {
	verb := old.Verb
	return func(c *device.Command) string {
		switch {
		case c.Verb == device.EStop && verb != device.EStop:
			return "the emergency stop came while it was being sent"
		case c.Verb == device.Stop && verb == device.SetPower:
			return "a stop came while it was being sent"
		}
		return ""
	}
}

// read asks for a reading and reports whether there was one. One that has given way to a stop
// is no miss.
func (w *wire) read(ctx context.Context) bool {
	most := max(w.Period, w.within(readingPaces))
	limit, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	during, over := w.during(limit, doing{breaks: w.givesWay()})
	began := time.Now()
	r, err := w.Driver.Read(during, w.g.sched.Now())
	took := time.Since(began)
	w.gave = err != nil && errors.Is(context.Cause(during), device.ErrStopFirst)
	over()
	if ctx.Err() != nil || w.gave {
		return false
	}
	switch {
	case err == nil:
		w.paced(took)
	case limit.Err() != nil:
		err = fmt.Errorf("no reading within %v, the most that its period of %v leaves for one: %w; one that is only slow needs a longer period (poll in its entry, or --poll)", most, w.Period, err)
	}
	r.Slot = w.Slot
	part := ""
	if d, ok := w.Driver.(device.Parted); ok && err == nil && r.Flags&device.FlagEStop != 0 {
		part = d.Pressed()
	}
	w.g.inbox.put(w.g, ctx, arrival{w, r, took, err, part})
	w.remarks(ctx)
	return err == nil
}

func (w *wire) write(ctx context.Context, o order) {
	most := w.within(commandPaces)
	limit, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	ended := func() {}
	if w.Told != nil {
		ended = w.Told(o.c)
	}
	during, over := w.during(device.WithHeard(limit, w.heard(ctx)), doing{breaks: yields(&o.c)})
	a, err := w.Driver.Write(during, w.g.sched.Now(), o.c)
	if why := context.Cause(during); err != nil && errors.Is(why, device.ErrStopFirst) {
		a, err = o.c.Answer(device.Failure, w.g.sched.Now().UnixMilli(), CodeSuperseded, why.Error()), nil
	}
	over()
	ended()
	if err != nil && ctx.Err() == nil && limit.Err() != nil {
		err = fmt.Errorf("it has not taken it within %v, where a reading of it takes %v: %w", most, w.pace.Round(time.Millisecond), err)
	}
	if err == nil && a.Status == device.Done {
		w.told = a.Power
	}
	switch {
	case o.c.Verb == device.SetPower && o.c.Power != 0:
		w.acting = true
	case err == nil && a.Status == device.Done && o.c.Verb != device.SetMode:
		w.acting = false
	}
	w.g.sched.Post("wire", func(now time.Time) {
		if ctx.Err() == nil {
			w.g.wrote(ctx, now, w, o, a, err)
		}
	})
}

// heardEvery is how often the guard is told that a device answers a command.
const heardEvery = 100 * time.Millisecond

// heard returns what tells the guard that the device answers a command, as long as that is
// open. Parts of one device are told side by side.
func (w *wire) heard(ctx context.Context) func() {
	var last atomic.Int64 // ms
	last.Store(w.g.sched.Now().UnixMilli())
	return func() {
		at := w.g.sched.Now()
		if was := last.Load(); at.UnixMilli()-was < heardEvery.Milliseconds() || !last.CompareAndSwap(was, at.UnixMilli()) {
			return
		}
		w.g.sched.Post("wire", func(time.Time) {
			if ctx.Err() == nil {
				w.g.guard.Heard(w.Slot, at)
			}
		})
	}
}

// remarks makes events of what the driver has found out.
func (w *wire) remarks(ctx context.Context) {
	d, ok := w.Driver.(device.Remarking)
	if !ok {
		return
	}
	list := d.Remarks()
	if len(list) == 0 {
		return
	}
	w.g.sched.Post("wire", func(now time.Time) {
		if ctx.Err() != nil {
			return
		}
		for _, r := range list {
			w.g.Event(now, w.Slot, r.Type, r.Severity, w.g.name(w.Slot)+": "+r.Text)
		}
	})
}

// wrote takes note of what became of an order.
func (g *Gateway) wrote(ctx context.Context, now time.Time, w *wire, o order, a device.Ack, err error) {
	if err != nil {
		a = unanswered(now, &o.c, err)
	}
	a.Slot, a.Verb = w.Slot, o.verb
	if a.Reason == "" {
		a.Reason = o.verdict.Reason
	}
	g.guard.Settle(now, &a)
	g.audit(&a, &o.verdict)
	switch {
	case o.attempt > 1 && a.Status != device.Done: // says nothing new
	case o.attempt > 1:
		g.answer(ctx, now, []device.Ack{a})
		g.corrected(now, []device.Command{o.c}, " at last")
	default:
		g.answer(ctx, now, []device.Ack{a})
	}
	g.tell(ctx, now)
}

// toWire hands a judged command to its device, and appends the answers of those that
// have one already.
func (g *Gateway) toWire(now time.Time, w *wire, c *device.Command, v guard.Verdict, acks []device.Ack) []device.Ack {
	o := order{c: *c, verb: c.Verb, verdict: v}
	if fix := g.fixing[c.Slot]; fix != nil {
		o.attempt = fix.Attempt
		if c.Verb == device.SetPower && c.Power == 0 && !fix.Routine {
			// A setpoint may be too late, or not arrive, and then the driver goes on with
			// the one before it. A stop is never late, and ends that either way.
			o.c.Verb = device.Stop
		}
	}
	switch c.Verb {
	case device.Arm: // the guard is testing its signs; the answer comes with the outcome
		return acks
	case device.Disarm:
		o.c.Verb = device.Stop
		w.mu.Lock()
		w.dropWorks("it was disarmed first")
		w.mu.Unlock()
	}
	overtaken, full := w.put(o)
	ms := now.UnixMilli()
	for _, old := range overtaken {
		if old.attempt > 1 {
			continue
		}
		a := old.c.Answer(device.Expired, ms, CodeSuperseded, "overtaken by a newer command before it was sent")
		a.Verb = old.verb
		g.guard.Settle(now, &a)
		g.audit(&a, &old.verdict)
		acks = append(acks, a)
	}
	if full {
		a := c.Answer(device.Rejected, ms, CodeOverload, fmt.Sprintf("%d commands wait for the device already", ordersBound))
		g.guard.Settle(now, &a)
		g.audit(&a, &v)
		acks = append(acks, a)
	}
	return acks
}

// describe asks the device for its nameplate, once it answers, and compares it with
// what is known. It reports whether the device has said all that it will.
func (w *wire) describe(ctx context.Context) bool {
	d, ok := w.Driver.(device.Described)
	if !ok {
		return true
	}
	limit, cancel := context.WithTimeout(ctx, w.within(readingPaces))
	defer cancel()
	during, over := w.during(limit, doing{breaks: w.givesWay()})
	said, err := d.Describe(during, w.g.sched.Now())
	over()
	if err != nil {
		return false
	}
	w.g.sched.Post("wire", func(now time.Time) {
		if ctx.Err() == nil {
			w.g.described(now, w, said)
		}
	})
	return true
}

// nameplateMargin is how far a nameplate may be from the configuration: makers round.
const nameplateMargin = 0.1

func (g *Gateway) described(now time.Time, w *wire, said device.Info) {
	w.said = &said
	g.fits(now, w)
	if g.onNameplate != nil {
		g.onNameplate(w.Slot, said)
	}
}

// fits compares what is known of a device with its nameplate, whichever has changed.
func (g *Gateway) fits(now time.Time, w *wire) {
	if w.said == nil {
		return
	}
	g.mu.Lock()
	info := g.infos[w.Slot]
	g.mu.Unlock()
	said, found := w.said, ""
	g.guard.Plate(w.Slot, said.RatedKW)
	for _, q := range []struct {
		what        string
		known, said float64
	}{{"kW", info.RatedKW, said.RatedKW}, {"kWh", info.CapacityKWh, said.CapacityKWh}} {
		if q.known > 0 && q.said > 0 && math.Abs(q.said-q.known) > nameplateMargin*q.known {
			why := fmt.Sprintf("its nameplate says %.6g %s, the configuration %.6g %s", q.said, q.what, q.known, q.what)
			found = cmp.Or(found, why)
		}
	}
	if found == w.misfit {
		return
	}
	w.misfit = found
	g.guard.Misfit(w.Slot, found)
	if found != "" {
		g.Event(now, w.Slot, "misfit", device.Critical, g.name(w.Slot)+": "+found)
	}
}

// held says of a device that is armed without a twin what it was held against.
func (g *Gateway) held(s device.Slot) string {
	if int(s) >= len(g.served) {
		return ""
	}
	switch w := g.served[s].wire; {
	case w == nil || w.Twin != nil: // what it says is told already
		return ""
	case w.said == nil || w.said.RatedKW == 0 && w.said.CapacityKWh == 0:
		return "; held against nothing: it tells no nameplate, and no model of it is named"
	default:
		var list []string
		for _, q := range []struct {
			value float64
			unit  string
		}{{w.said.RatedKW, "kW"}, {w.said.CapacityKWh, "kWh"}} {
			if q.value > 0 {
				list = append(list, fmt.Sprintf("%.6g %s", q.value, q.unit))
			}
		}
		return "; held against its nameplate alone, " + strings.Join(list, ", ") + ": no model of it is named"
	}
}

// tell passes on what has changed in the lives of devices: to people, to the
// registry, and to whoever asked for it.
func (g *Gateway) tell(ctx context.Context, now time.Time) {
	g.bounds(now)
	for _, n := range g.guard.Notices() {
		sev := device.Information
		switch n.Kind {
		case "disarmed", "arm-failed":
			sev = device.Warning
		case "e-stop":
			sev = device.Critical
		}
		if n.State != device.Active && int(n.Slot) < len(g.served) && g.served[n.Slot].wire != nil {
			w := g.served[n.Slot].wire
			w.mu.Lock()
			w.dropWorks(n.Text)
			w.mu.Unlock()
		}
		if n.Kind == "armed" && n.By.Verb == device.Arm {
			n.Text += g.held(n.Slot)
		}
		g.Event(now, n.Slot, n.Kind, sev, g.name(n.Slot)+": "+n.Text)
		if g.onLife != nil {
			g.onLife(n.Slot, n.State)
		}
		if n.By.Verb == 0 {
			continue
		}
		a := n.By.Answer(device.Done, now.UnixMilli(), "", n.Text)
		a.Was, a.Is = n.Was, g.guard.Standing(n.Slot)
		if n.By.Verb == device.Arm && n.Kind != "armed" {
			a.Status, a.Code = device.Rejected, n.Code
		}
		g.answer(ctx, now, []device.Ack{a})
	}
}
