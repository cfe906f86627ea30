package gateway

import (
	"context"
	"errors"
	"sort"
	"time"

	"yunchu/platform/bus"
	"yunchu/platform/device"
	"yunchu/platform/guard"
	"yunchu/platform/sched"
)

// request is a commandId and whom it is for: senders choose their ids, and what
// they choose for one device says nothing about another.
type request struct {
	slot device.Slot
	id   string
}

// scratch is memory that is used again. Whoever works with it takes it first:
// what is published may bring more work before it is put back.
type scratch struct {
	cmds     []device.Command
	verdicts []guard.Verdict
	acks     []device.Ack
}

func (g *Gateway) take() scratch {
	s := g.scratch
	g.scratch = scratch{}
	return scratch{s.cmds[:0], s.verdicts, s.acks[:0]}
}

// Stop does an emergency stop at once, before it is in the log: a disk that is slow, or
// refuses, delays nobody's stop. c is published all the same, and the gateway knows it when
// it comes from the log. On a virtual clock, whose log is at once, it does nothing. Safe from
// any goroutine.
func (g *Gateway) Stop(ctx context.Context, c device.Command) {
	if !g.sched.Virtual() {
		g.sched.Post("stop", func(now time.Time) { g.arrive(ctx, now, []device.Command{c}) })
	}
}

// commands judges commands that arrived together and hands on what is allowed.
func (g *Gateway) commands(ctx context.Context, now time.Time, list []device.Command) {
	if ctx.Err() != nil {
		return
	}
	m := g.take()
	for i := range list {
		c := list[i]
		if c.ID != "" {
			g.claims.claim(&c)
			if a, known := g.seen[request{c.Slot, c.ID}]; known && (c.Verb != device.EStop || a.Verb == device.EStop && g.guard.Stopped(c.Slot)) {
				if a.Status != 0 { // answered before: the same answer, no second effect
					a.Repeat = true
					m.acks = append(m.acks, a)
				}
				continue
			}
			g.remember(device.Ack{Slot: c.Slot, ID: c.ID, Verb: c.Verb})
		}
		m.cmds = append(m.cmds, c)
	}
	if cap(m.verdicts) < len(m.cmds) {
		m.verdicts = make([]guard.Verdict, len(m.cmds)*2)
	}
	verdicts := m.verdicts[:len(m.cmds)]
	g.guard.Check(now, m.cmds, verdicts)
	g.Stats.Commands.Add(uint64(len(m.cmds)))
	m.acks = g.write(ctx, now, m.cmds, verdicts, m.acks)
	g.answer(ctx, now, m.acks)
	g.scratch = m
	g.tell(ctx, now)
}

// write hands judged commands to their drivers and appends the answers, those of
// refused commands among them. verdicts is nil for the guard's own corrections.
func (g *Gateway) write(ctx context.Context, now time.Time, cmds []device.Command, verdicts []guard.Verdict, acks []device.Ack) []device.Ack {
	ms := now.UnixMilli()
	for i := range cmds {
		c := &cmds[i]
		var v guard.Verdict
		if fix := g.fixing[c.Slot]; fix != nil { // which nobody has judged
			v.Before, v.Was, v.Reason = fix.Before, fix.Was, fix.Reason
		}
		if verdicts != nil {
			v = verdicts[i]
			if v.Code != "" {
				g.Stats.Rejected.Add(1)
				a := c.Answer(device.Rejected, ms, v.Code, v.Reason)
				g.audit(&a, &v)
				acks = append(acks, a)
				continue
			}
			c.Power, c.Until = v.Power, v.Until
		}
		if int(c.Slot) < len(g.served) && g.served[c.Slot].wire != nil {
			acks = g.toWire(now, g.served[c.Slot].wire, c, v, acks)
			continue
		}
		if int(c.Slot) >= len(g.served) || g.served[c.Slot].link == nil {
			a := c.Answer(device.Rejected, ms, CodeOffline, "nobody is listening for this device")
			g.guard.Settle(now, &a)
			g.audit(&a, &v)
			acks = append(acks, a)
			continue
		}
		p := g.served[c.Slot]
		p.link.cmds = append(p.link.cmds, *c)
		p.link.cmds[len(p.link.cmds)-1].Slot = device.Slot(p.index)
		p.link.reduce = append(p.link.reduce, v)
	}
	for _, l := range g.links {
		if len(l.cmds) > 0 {
			acks = g.writeLink(ctx, now, l, acks)
			l.cmds, l.reduce = l.cmds[:0], l.reduce[:0]
		}
	}
	return acks
}

func (g *Gateway) writeLink(ctx context.Context, now time.Time, l *link, acks []device.Ack) []device.Ack {
	answers, err := l.fleet.WriteAll(ctx, now, l.cmds, l.answers[:0])
	l.answers = answers
	if err != nil {
		g.log.Warn("write failed", "device", g.name(l.slots[0]), "commands", len(l.cmds), "error", err)
	}
	// Answers come in the order of the commands; a command that is passed over
	// was not answered.
	for i := range l.cmds {
		c := &l.cmds[i]
		var a device.Ack
		if len(answers) > 0 && answers[0].Slot == c.Slot && answers[0].Seq == c.Seq && answers[0].ID == c.ID {
			a, answers = answers[0], answers[1:]
		} else {
			a = unanswered(now, c, err)
		}
		a.Slot = l.slots[c.Slot]
		v := &l.reduce[i]
		if a.Reason == "" {
			a.Reason = v.Reason
		}
		g.guard.Settle(now, &a)
		g.audit(&a, v)
		acks = append(acks, a)
	}
	if len(answers) > 0 {
		g.log.Error("answers that fit no command", "device", g.name(l.slots[0]), "count", len(answers), "first", answers[0].ID)
	}
	return acks
}

// audit adds to the answer to a command, once the guard has settled it, what was in force
// before. Setpoints change a power alone.
func (g *Gateway) audit(a *device.Ack, v *guard.Verdict) {
	a.Before, a.Reduced = v.Before, v.Reduced
	if a.Verb != device.SetPower && v.Was.Known() {
		a.Was, a.Is = v.Was, g.guard.Standing(a.Slot)
	}
}

// unanswered is what becomes of a command that the device has not answered: at
// once where err says why, else when the time for an answer is over.
func unanswered(now time.Time, c *device.Command, err error) device.Ack {
	switch {
	case err == nil:
		return c.Answer(device.Failure, now.Add(answerWithin).UnixMilli(), CodeNoAnswer, "the device did not answer")
	case errors.Is(err, device.ErrOffline):
		return c.Answer(device.Failure, now.UnixMilli(), CodeOffline, err.Error())
	}
	return c.Answer(device.Failure, now.UnixMilli(), CodeNoAnswer, err.Error())
}

// answer publishes acknowledgements at the moments at which the devices give
// them, those of one moment in one frame. What the gateway does not live to hear is
// not acknowledged.
func (g *Gateway) answer(ctx context.Context, now time.Time, acks []device.Ack) {
	sort.SliceStable(acks, func(i, j int) bool { return acks[i].At < acks[j].At })
	ms := now.UnixMilli()
	for len(acks) > 0 {
		n := 1
		for n < len(acks) && n < device.MaxRows && (acks[n].At == acks[0].At || acks[n].At <= ms) {
			n++
		}
		f := &device.Acks{List: append([]device.Ack(nil), acks[:n]...)}
		if wait := acks[n-1].At - ms; wait <= 0 {
			g.acknowledge(f)
		} else {
			g.sched.At(later(now, wait), sched.Arrival, func(time.Time) {
				if ctx.Err() == nil {
					g.acknowledge(f)
				}
			})
		}
		acks = acks[n:]
	}
}

// later is the instant that begins the millisecond which is wait ms after now's.
func later(now time.Time, wait int64) time.Time {
	return now.Truncate(time.Millisecond).Add(time.Duration(wait) * time.Millisecond)
}

func (g *Gateway) acknowledge(f *device.Acks) {
	for i := range f.List {
		if a := &f.List[i]; a.ID != "" {
			g.remember(*a)
		}
	}
	bus.Acks.Publish(g.bus, f, func(_ uint64, err error) {
		if err != nil {
			g.log.Error("acknowledgements lost before the log", "count", len(f.List), "error", err)
		}
	})
}

func (g *Gateway) remember(a device.Ack) {
	key := request{a.Slot, a.ID}
	if _, known := g.seen[key]; !known {
		if len(g.order) >= outcomes {
			delete(g.seen, g.order[0])
			g.order = g.order[1:]
		}
		g.order = append(g.order, key)
	}
	g.seen[key] = a
}
