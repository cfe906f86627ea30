// Package emul is a battery management on a CAN bus: it sends the frames of a profile,
// filled from a served unit, and heeds those of its controller.
//
// A battery management takes no power; the unit gets that from another face. What comes
// in over this one is requests, which are answered; a heartbeat, after which the contactors
// open when it is missed for longer than the profile says, and close again when it is back;
// and a stop, which stops the unit like its emergency button.
//
// Of the faults of a wire, late-answer, not-implemented, frames-lost, bus-off, pause, link-down and reset
// (of connections to an adapter) act here, and all that are displayed; CAN has no exceptions,
// no scale factors at run time and no answers to take for another's. A frozen heartbeat
// shows where the protocol has a counter, which none that ships has.
package emul

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"yunchu/hil/can"
	"yunchu/hil/unit"
)

// Options say what is served, and where.
type Options struct {
	Unit    *unit.Unit
	Profile *can.Profile
	// Address is where it is served: an adapter at pty://./name or slcan://host:port, to
	// which others connect, or a node on the bus at any address of package can.
	Address string
	Bus     can.Bus // instead of Address: the emulator's node, closed with it
	Log     *slog.Logger
}

// Emulator is one battery management.
type Emulator struct {
	opt  Options
	log  *slog.Logger
	bus  can.Bus
	addr string

	messages []message
	late     []delayed
	n        int         // frames on their way so far
	heard    []time.Time // the controller's heartbeats; zero: never
	opened   bool        // the contactors, because a heartbeat is missed
}

// message is one that the emulator sends.
type message struct {
	use *can.MessageUse
	def *can.Message
	due time.Time // when it comes by itself
}

// delayed is a frame under way.
type delayed struct {
	at    time.Time
	frame can.Frame
}

// New opens the bus or begins to listen.
func New(o Options) (*Emulator, error) {
	if o.Unit == nil || o.Profile == nil || o.Profile.Database() == nil {
		return nil, errors.New("a CAN emulator needs a unit and a loaded profile")
	}
	e := &Emulator{opt: o, log: o.Log, bus: o.Bus, addr: o.Address, heard: make([]time.Time, len(o.Profile.Controller))}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	for i := range o.Profile.Messages {
		use := &o.Profile.Messages[i]
		e.messages = append(e.messages, message{use: use, def: o.Profile.Database().Message(use.Name)})
	}
	if e.bus == nil {
		var err error
		if e.bus, e.addr, err = open(o.Address, o.Profile.BitRate); err != nil {
			return nil, fmt.Errorf("serve CAN: %w", err)
		}
	}
	return e, nil
}

// Addr is where the emulator is reached, with the port that was free.
func (e *Emulator) Addr() string { return e.addr }

// tickEvery is how often Serve looks at what is due: a tenth of the shortest period.
const tickEvery = 10 * time.Millisecond

// Serve runs the emulator on the wall clock until ctx ends, and closes the bus.
func (e *Emulator) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	frames := make(chan can.Frame)
	ended := make(chan error, 1)
	go func() { ended <- receive(ctx, e.bus, frames) }()
	t := time.NewTicker(tickEvery)
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			e.step(ctx, now)
		case f := <-frames:
			e.take(ctx, time.Now(), &f)
		case err := <-ended:
			return errors.Join(err, e.bus.Close())
		case <-ctx.Done():
			return errors.Join(e.bus.Close(), <-ended)
		}
	}
}

// receive hands on what arrives. It ends without an error when it is told to.
func receive(ctx context.Context, bus can.Bus, into chan<- can.Frame) error {
	for {
		f, err := bus.Receive(ctx)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, can.ErrClosed) {
				return nil
			}
			return fmt.Errorf("receive: %w", err)
		}
		select {
		case into <- f:
		case <-ctx.Done():
			return nil
		}
	}
}

// Step runs the emulator up to now on a bus in simulated time.
func (e *Emulator) Step(ctx context.Context, now time.Time) error {
	s, ok := e.bus.(can.Stepped)
	if !ok {
		return errors.New("the bus does not live in simulated time")
	}
	s.SetNow(now)
	for {
		f, _, ok := s.Poll()
		if !ok {
			break
		}
		e.take(ctx, now, &f)
	}
	e.step(ctx, now)
	return nil
}

// Close lets go of the bus of an emulator that is stepped.
func (e *Emulator) Close() error { return e.bus.Close() }

// step watches the heartbeat and sends what is due.
func (e *Emulator) step(ctx context.Context, now time.Time) {
	v := e.opt.Unit.View(now)
	e.watch(now)
	if !e.present(&v) {
		return
	}
	for i := range e.messages {
		m := &e.messages[i]
		if m.use.Answers != "" || now.Before(m.due) {
			continue
		}
		if m.due = m.due.Add(m.use.Period); !m.due.After(now) {
			m.due = now.Add(m.use.Period)
		}
		e.send(ctx, now, &v, m)
	}
	e.deliver(ctx, now, &v)
}

// present applies the faults of the wire that silence the emulator.
func (e *Emulator) present(v *unit.View) bool {
	if w, ok := e.bus.(wire); ok {
		w.cut(v.Wire.Down, v.Wire.Reset)
	}
	if v.Wire.Paused || v.Wire.Down || v.Wire.BusOff {
		e.late = nil
		return false
	}
	return true
}

// wire is a bus whose connections can be cut.
type wire interface {
	// cut refuses connections while the link is down, and tears them down in the middle of
	// a line when reset.
	cut(down, reset bool)
}

// send puts a message on its way.
func (e *Emulator) send(ctx context.Context, now time.Time, v *unit.View, m *message) {
	f := e.fill(v, m)
	e.late = append(e.late, delayed{now.Add(v.Wire.Late), f})
	e.deliver(ctx, now, v)
}

// lostOf is of how many frames frames-lost loses one.
const lostOf = 5

// deliver sends what has been under way for long enough. Frames do not overtake each other.
func (e *Emulator) deliver(ctx context.Context, now time.Time, v *unit.View) {
	for len(e.late) > 0 && (v.Wire.Late == 0 || !e.late[0].at.After(now)) {
		f := e.late[0].frame
		e.late = e.late[1:]
		if e.n++; v.Wire.Lossy && e.n%lostOf == 0 {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		if err := e.bus.Send(ctx, f); err != nil {
			e.log.Debug("frame not sent", "frame", f.String(), "err", err)
		}
		cancel()
	}
}

// take heeds a frame of the controller.
func (e *Emulator) take(ctx context.Context, now time.Time, f *can.Frame) {
	v := e.opt.Unit.View(now)
	if !e.present(&v) {
		return
	}
	i := e.opt.Profile.Request(f)
	if i < 0 {
		return
	}
	t := &e.opt.Profile.Controller[i]
	e.heard[i] = now
	if t.When == can.OnEStop && !v.EStop {
		e.opt.Unit.EStop(now)
		e.log.Warn("stopped by the controller", "message", t.Name)
	}
	for j := range e.messages {
		if m := &e.messages[j]; m.use.Answers == t.Name {
			e.send(ctx, now, &v, m)
		}
	}
}

// watch opens the contactors when a heartbeat that was heard is missed, and closes those
// that it has opened when it is back.
func (e *Emulator) watch(now time.Time) {
	missed := false
	for i := range e.opt.Profile.Controller {
		t := &e.opt.Profile.Controller[i]
		missed = missed || t.Watched > 0 && !e.heard[i].IsZero() && now.Sub(e.heard[i]) > t.Watched
	}
	if missed == e.opened {
		return
	}
	if err := e.opt.Unit.Do(now, unit.Contactors(!missed)); err != nil {
		e.log.Debug("contactors stay", "missed", missed, "err", err)
		return
	}
	e.opened = missed
	e.log.Info("contactors follow the heartbeat", "closed", !missed)
}
