package mqtt

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"time"

	"yunchu/platform/device"
)

// Defaults of Options.
const (
	DefaultMaxAge  = 5 * time.Second
	DefaultTimeout = time.Second
	DefaultDeadMan = 6 * time.Second
)

// Options are one device behind a broker.
type Options struct {
	ID      device.ID
	Access  Access
	MaxAge  time.Duration // how old its newest reading may be before it counts as offline
	Timeout time.Duration // how long its answer to a command may take
	DeadMan time.Duration // how long a setpoint holds unless it is renewed
	Replay  *Replay       // a recording instead of a broker; Access is ignored then
	Carrier Carrier       // another way to the device than a broker's client; Access is ignored then
	Log     *slog.Logger
	// Tap is told of what crosses the link, other masters' commands too: the topic, a byte
	// that is 1 of what the broker had retained and else 0, the body.
	Tap   device.Tap
	Timed device.Timed
}

// Carrier is what a driver needs of a connection to its device.
type Carrier interface {
	// Listen calls fn, which must not block, with each message on a topic.
	Listen(topic string, fn func(Message)) (end func())
	// Publish sends a message now or fails: nothing is kept for a device that is away.
	Publish(ctx context.Context, m Outgoing) error
	// Away is why there is no connection now; nil when there is one.
	Away() error
	// Refused reports whether the other end refuses to tell of a topic.
	Refused(topic string) bool
	Close()
}

// Driver is one device.
type Driver struct {
	opt    Options
	log    *slog.Logger
	link   Carrier
	in     inbox
	ends   []func()
	closed bool

	base string // of its commandIds
	seq  uint64
	live setpoint
	mode device.Mode
	stop emergency
}

// setpoint is what the device is held at.
type setpoint struct {
	on       bool
	kw       float64
	priority device.Priority
	until    int64     // ms UTC
	sent     time.Time // when it was told last
	renewal  *question // of the newest renewal
}

// emergency is the state of an emergency stop of ours.
type emergency struct {
	on   bool
	bare bool // the device has no word for it, and was only stopped
	// owed is the word that the device has not answered yet, 0 for none: EStop, or Stop
	// where it has refused that. It is told again under one commandId, so that an answer
	// which comes late is one all the same, and that it takes effect once.
	owed  device.Verb
	again *question
	sent  time.Time
}

var _ device.Driver = (*Driver)(nil)

// New returns the driver of a device, and begins to look for its broker.
func New(o Options) (*Driver, error) {
	if !o.ID.Valid() {
		return nil, fmt.Errorf("%q may not name a device", o.ID)
	}
	if o.MaxAge < 0 || o.Timeout < 0 || o.DeadMan < 0 {
		return nil, fmt.Errorf("device %s: a time below 0", o.ID)
	}
	o.MaxAge = cmp.Or(o.MaxAge, DefaultMaxAge)
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	o.DeadMan = cmp.Or(o.DeadMan, DefaultDeadMan)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d := &Driver{opt: o, log: o.Log.With("device", o.ID), base: rand.Text()[:12]}
	d.in = inbox{id: o.ID, base: d.base, maxAge: o.MaxAge, open: map[string]*question{}}
	switch {
	case o.Replay != nil:
		d.link = o.Replay
	case o.Carrier != nil:
		d.link = o.Carrier
	default:
		l, err := join(o.Access, o.Log)
		if err != nil {
			return nil, fmt.Errorf("device %s: %w", o.ID, err)
		}
		d.link = l
	}
	for what, fn := range map[string]func(Message){"data": d.in.data, "ack": d.in.ack, "event": d.in.event, "control": d.in.control} {
		d.ends = append(d.ends, d.link.Listen(Topic(o.ID, what), func(m Message) {
			if what != "control" || !bytes.Contains(m.Body, []byte(d.base)) { // the tap has seen what is ours
				d.tap(false, &m)
			}
			fn(m)
		}))
	}
	return d, nil
}

func (d *Driver) tap(out bool, m *Message) {
	if d.opt.Tap != nil {
		d.opt.Tap(device.Crossing{At: m.At, Out: out, Data: m.pack()})
	}
}

// Counts is what came and could not be used so far.
func (d *Driver) Counts() Counts { return d.in.counted() }

// Read returns the newest reading that has come, and keeps the setpoint that holds.
func (d *Driver) Read(ctx context.Context, now time.Time) (device.Reading, error) {
	r, err := d.newest(now)
	d.insist(ctx, now)
	d.keep(ctx, now, r.Flags, err == nil)
	if err != nil {
		return device.Reading{}, fmt.Errorf("%s: %w: %w", d.opt.ID, device.ErrOffline, err)
	}
	return r, nil
}

func (d *Driver) newest(now time.Time) (device.Reading, error) {
	if err := d.link.Away(); err != nil {
		return device.Reading{}, fmt.Errorf("the broker is away: %w", err)
	}
	r, err := d.in.newest(now)
	if topic := Topic(d.opt.ID, "data"); err != nil && d.link.Refused(topic) {
		err = fmt.Errorf("the broker refuses to tell of %s", topic)
	}
	return r, err
}

// keep does what is due to the setpoint in force. A device that is not seen is not held to
// it any longer.
func (d *Driver) keep(ctx context.Context, now time.Time, f device.Flags, seen bool) {
	s := &d.live
	if !s.on {
		return
	}
	if a, ok := s.renewal.answered(); ok && statuses[a.Status] != device.Done {
		d.log.Warn("the device refuses its setpoint: it is given up", "status", a.Status, "reason", a.Reason)
		d.hold(setpoint{})
		return
	}
	switch ms := now.UnixMilli(); {
	case f&device.FlagMaster != 0:
		d.log.Warn("second master: the setpoint was changed by somebody else, it is given up", "setpoint_kw", s.kw)
		d.hold(setpoint{})
	case f&(device.FlagLocal|device.FlagEStop) != 0:
		d.hold(setpoint{}) // it does not come back by itself
	case s.until <= ms:
		d.hold(setpoint{})
		c := device.Command{Verb: device.Stop}
		if _, err := d.ask(ctx, now, &c, 0); err != nil { // there it expires by itself
			d.log.Debug("not told that its setpoint is over", "error", err)
		}
	case seen && now.Sub(s.sent) >= d.opt.DeadMan/3:
		d.renew(ctx, now)
	}
}

// insistEvery is how often an emergency stop is told that the device has not answered.
const insistEvery = time.Second

// insist tells the device its emergency stop until it has answered.
func (d *Driver) insist(ctx context.Context, now time.Time) {
	s := &d.stop
	if a, ok := s.again.answered(); ok {
		done := statuses[a.Status] == device.Done
		was := s.owed
		s.owed, s.again, s.sent = 0, nil, time.Time{}
		switch {
		case was == device.EStop && !done:
			s.owed = device.Stop // the most that can be had of it
		case !done:
			d.log.Warn("the device refuses its emergency stop", "status", a.Status, "reason", a.Reason)
		default:
			s.bare = was == device.Stop
		}
	}
	if s.owed == 0 || d.link.Away() != nil || d.in.isLocal() || now.Sub(s.sent) < insistEvery {
		return
	}
	if s.again == nil {
		s.again = d.in.expect(d.name(""))
	}
	ctx, cancel := context.WithTimeout(ctx, d.opt.Timeout)
	defer cancel()
	c := device.Command{Verb: s.owed, Priority: device.Safety}
	if err := d.say(ctx, now, &c, 0, s.again.name); err != nil {
		d.log.Debug("emergency stop not told", "error", err)
		return
	}
	s.sent = now
}

// hold is the setpoint that is kept from now on, the zero value none.
func (d *Driver) hold(s setpoint) {
	d.in.forget(d.live.renewal)
	d.live = s
	d.in.hold(s.on)
}

// renew tells the device its setpoint again, before its dead-man time is over. The
// answer is looked at the next time.
func (d *Driver) renew(ctx context.Context, now time.Time) {
	s := &d.live
	ctx, cancel := context.WithTimeout(ctx, d.opt.Timeout)
	defer cancel()
	d.in.forget(s.renewal)
	c := device.Command{Verb: device.SetPower, Power: s.kw, Priority: s.priority}
	s.renewal = d.in.expect(d.name(""))
	if err := d.say(ctx, now, &c, d.given(now, s.until), s.renewal.name); err != nil {
		d.log.Debug("setpoint not renewed", "error", err)
		return
	}
	s.sent = now
}

// given is how long the device is given for a setpoint that holds until a moment.
func (d *Driver) given(now time.Time, until int64) time.Duration {
	return min(time.Duration(until-now.UnixMilli())*time.Millisecond, d.opt.DeadMan)
}

// Close lets go of the device, which falls back by itself.
func (d *Driver) Close() error {
	if d.closed {
		return nil
	}
	d.closed = true
	for _, end := range d.ends {
		end()
	}
	d.link.Close()
	return nil
}
