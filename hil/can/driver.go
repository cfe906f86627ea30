package can

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"yunchu/platform/device"
)

// Options say what device stands on which bus.
type Options struct {
	Address string   // where the bus is reached
	Profile *Profile // what its frames mean
	// Dial opens the bus instead of Address: a bus in memory, or a recording.
	Dial func(ctx context.Context) (Bus, error)
	// CurrentSign overrides the profile's, for one device: charge or discharge.
	CurrentSign string
	// ListenOnly sends nothing but what stops the device in an emergency, for a bus on
	// which another controller does the talking.
	ListenOnly bool
	// Timeout is how long Read waits for what the device owes; default DefaultTimeout.
	Timeout time.Duration
	Tap     device.Tap
	Timed   device.Timed
}

// DefaultTimeout is more than the second after which the slowest devices report again.
const DefaultTimeout = 1500 * time.Millisecond

// Reconnecting waits from the first to the last of these, doubling. A bus that was silent
// for redial is opened anew: the adapter may have been unplugged and lost its settings.
const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second
	redial       = 10 * time.Second
)

// Driver is one battery management on a CAN bus.
type Driver struct {
	opt     Options
	profile *Profile
	sender  *sender
	link    *link
	backoff time.Duration
	again   time.Time // not before then
	failed  error     // why
	owes    bool      // the last answer did not come
	closed  bool

	mu    sync.Mutex
	state *state
	stats Stats
}

// Stats count what crossed the bus since the driver was made.
type Stats struct {
	Received uint64 // frames of the device
	Others   uint64 // frames that the profile has no use for
	Dropped  uint64 // frames that came faster than they were read
	Sent     uint64
	Dials    uint64 // times that the bus was opened
}

var (
	_ device.Driver    = (*Driver)(nil)
	_ device.Described = (*Driver)(nil)
	_ device.Framed    = (*Driver)(nil)
)

// New returns a driver. The device need not be there: the bus is opened by the first Read.
func New(o Options) (*Driver, error) {
	if o.Profile == nil || o.Profile.db == nil {
		return nil, errors.New("a CAN device needs a loaded profile")
	}
	p := *o.Profile
	switch o.CurrentSign {
	case "":
	case Charge, Discharge:
		p.CurrentSign = o.CurrentSign
	default:
		return nil, fmt.Errorf("sign of current %q, want %s or %s", o.CurrentSign, Charge, Discharge)
	}
	if o.Dial == nil {
		a, err := parseAddress(o.Address)
		if err != nil {
			return nil, err
		}
		o.Dial = func(ctx context.Context) (Bus, error) { return a.dial(ctx, p.BitRate) }
	}
	if o.Timeout < 0 {
		return nil, fmt.Errorf("timeout of %v", o.Timeout)
	}
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	return &Driver{opt: o, profile: &p, sender: newSender(&p), state: newState(&p)}, nil
}

// link is an open bus and, where it lives on the wall clock, the goroutine that receives
// from it.
type link struct {
	bus     Bus
	stepped Stepped // the bus, when it lives in its reader's time
	opened  time.Time
	done    chan struct{}
	end     context.CancelFunc
	news    chan struct{} // a frame was taken
	err     error         // after done
}

// connect opens the bus unless it is open or was tried a moment ago.
func (d *Driver) connect(ctx context.Context) error {
	if d.closed {
		return ErrClosed
	}
	if l := d.link; l != nil {
		select {
		case <-l.done:
			d.hangUp()
			d.wait(l.err)
			return l.err
		default:
		}
		if l.stepped == nil && time.Since(l.opened) > redial && time.Since(d.last()) > redial {
			d.hangUp()
		}
	}
	if d.link != nil {
		return nil
	}
	if left := time.Until(d.again); left > 0 {
		return fmt.Errorf("left alone for %v after: %w", left.Round(time.Millisecond), d.failed)
	}
	limit, cancel := context.WithTimeout(ctx, d.opt.Timeout)
	defer cancel()
	bus, err := d.opt.Dial(limit)
	if err != nil {
		if !brokenOff(ctx) {
			d.wait(err)
		}
		return err
	}
	d.listen(bus)
	return nil
}

// brokenOff reports whether whoever asked has something more urgent, such as a stop. That is
// no failure of the bus, and what comes next does not wait for it.
func brokenOff(ctx context.Context) bool { return errors.Is(ctx.Err(), context.Canceled) }

// wait doubles the time until the next attempt, after a failure.
func (d *Driver) wait(err error) {
	d.failed = err
	d.backoff = min(max(2*d.backoff, firstBackoff), lastBackoff)
	d.again = time.Now().Add(d.backoff)
}

// fail hangs up because of what was not sent, unless that was broken off.
func (d *Driver) fail(ctx context.Context, err error) {
	if !brokenOff(ctx) {
		d.hangUp()
		d.wait(err)
	}
}

func (d *Driver) last() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state.newest
}

func (d *Driver) listen(bus Bus) {
	l := &link{bus: bus, opened: time.Now(), done: make(chan struct{}), news: make(chan struct{}, 1)}
	d.link = l
	d.mu.Lock()
	d.stats.Dials++
	d.mu.Unlock()
	if s, ok := bus.(Stepped); ok {
		l.stepped, l.end = s, func() {}
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.end = cancel
	go func() {
		defer close(l.done)
		for {
			f, err := bus.Receive(ctx)
			if err != nil {
				l.err = err
				return
			}
			d.take(&f, time.Now())
			select {
			case l.news <- struct{}{}:
			default:
			}
		}
	}()
}

// hangUp closes the bus and waits for its goroutine.
func (d *Driver) hangUp() {
	l := d.link
	if l == nil {
		return
	}
	d.link = nil
	l.end()
	_ = l.bus.Close() // nothing more is asked of it
	d.mu.Lock()
	d.stats.Dropped += l.bus.Dropped()
	d.mu.Unlock()
	if l.stepped == nil {
		<-l.done
	}
}

// take hands a frame that came at the given time to whoever it concerns.
func (d *Driver) take(f *Frame, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.opt.Tap != nil {
		var b [frameBytes]byte
		d.opt.Tap(device.Crossing{At: at, Data: AppendFrame(b[:0], *f)})
	}
	if !d.state.take(f, at) {
		d.sender.heard(f, at)
	}
}

// poll takes what has arrived by now on a bus in its reader's time.
func (d *Driver) poll(now time.Time) {
	s := d.link.stepped
	if s == nil {
		return
	}
	s.SetNow(now)
	for {
		f, at, ok := s.Poll()
		if !ok {
			return
		}
		if at.IsZero() || at.After(now) {
			at = now
		}
		d.take(&f, at)
	}
}

// clock is the time that frames are stamped with: the caller's where the bus lives in it,
// else the wall clock's, whose monotonic part no step of the clock moves.
func (d *Driver) clock(now time.Time) time.Time {
	if d.link.stepped != nil {
		return now
	}
	return time.Now()
}

// send sends one message of the controller. ctx bounds how long a bus may take that takes
// no more.
func (d *Driver) send(ctx context.Context, now time.Time, i int) error {
	d.mu.Lock()
	pic, _ := d.state.at(d.clock(now))
	d.mu.Unlock()
	f := d.profile.Controller[i].frame(d.profile, pic.number)
	if err := d.link.bus.Send(ctx, f); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stats.Sent++
	if d.opt.Tap != nil {
		d.opt.Tap(device.Crossing{At: d.clock(now), Out: true, Data: AppendFrame(nil, f)})
	}
	return nil
}

// talk sends what is due. It returns the messages that the device has to answer.
func (d *Driver) talk(ctx context.Context, now time.Time) (asked map[string]bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, d.opt.Timeout)
	defer cancel()
	d.mu.Lock()
	due := d.sender.due(d.clock(now))
	d.mu.Unlock()
	asked = map[string]bool{}
	for _, i := range due {
		t := &d.profile.Controller[i]
		if d.opt.ListenOnly && t.When != OnEStop {
			continue
		}
		if err := d.send(ctx, now, i); err != nil {
			return asked, err
		}
		asked[t.Name] = true
	}
	return asked, nil
}

// Read implements device.Driver. It returns the newest of what the device has said; only
// for what it owes, its first report and the answers to what was just asked, it waits, and
// no longer than the timeout. What is due from the controller is sent from here, so that a
// controller that has stopped reading stops beating, too.
func (d *Driver) Read(ctx context.Context, now time.Time) (device.Reading, error) {
	if err := d.connect(ctx); err != nil {
		return device.Reading{}, fmt.Errorf("%w: %w", device.ErrOffline, err)
	}
	d.poll(now)
	began := d.clock(now)
	asked, err := d.talk(ctx, now)
	if err != nil {
		d.fail(ctx, err)
		return device.Reading{}, fmt.Errorf("%w: %w", device.ErrOffline, err)
	}
	d.poll(now)
	if l := d.link; l.stepped == nil {
		d.await(ctx, time.Until(l.opened.Add(d.opt.Timeout)), time.Time{}, func(m *MessageUse) bool { return !m.Optional })
	}
	d.answers(ctx, began, asked)
	return d.reading(now)
}

// shortPatience is how long answers are waited for after one that did not come: a device
// that owes one for ever shall not slow every Read down.
const shortPatience = 100 * time.Millisecond

// answers waits for what was asked, within the timeout of the Read that began then.
func (d *Driver) answers(ctx context.Context, began time.Time, asked map[string]bool) {
	if len(asked) == 0 {
		return
	}
	patience := d.opt.Timeout - d.clock(began).Sub(began)
	if d.owes {
		patience = min(patience, shortPatience)
	}
	d.owes = !d.await(ctx, patience, began, func(m *MessageUse) bool { return !m.Optional && asked[m.Answers] })
	if d.opt.Timed != nil && d.link.stepped == nil {
		var err error
		if d.owes {
			err = context.DeadlineExceeded
		}
		d.opt.Timed(time.Since(began), err)
	}
}

// await waits until each of the given messages has come since a time, or patience is over.
// On a bus in its reader's time it looks and does not wait.
func (d *Driver) await(ctx context.Context, patience time.Duration, since time.Time, of func(*MessageUse) bool) bool {
	complete := func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.state.complete(since, of)
	}
	if complete() {
		return true
	}
	if d.link.stepped != nil || patience <= 0 {
		return false
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	for {
		select {
		case <-d.link.news:
			if complete() {
				return true
			}
		case <-d.link.done:
			return false
		case <-t.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// reading is what the device has said. Measured is when its newest frame came.
func (d *Driver) reading(now time.Time) (device.Reading, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	clock := d.clock(now)
	pic, ok := d.state.at(clock)
	switch {
	case d.state.contested(clock):
		return device.Reading{}, fmt.Errorf("%w: two units speak as the device: its profile needs an id_mask that tells them apart", device.ErrOffline)
	case !ok:
		return device.Reading{}, fmt.Errorf("%w: no frame of the device", device.ErrOffline)
	}
	d.backoff = 0
	r := pic.reading()
	r.At = now.Add(-max(clock.Sub(pic.measured), 0)).UnixMilli()
	r.Arrived = max(now.UnixMilli(), r.At)
	return r, nil
}

// Stats tells what has crossed the bus.
func (d *Driver) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.stats
	s.Received, s.Others = d.state.frames, d.state.others
	return s
}

// Frames implements device.Framed. Now is of the clock by which frames were taken.
func (d *Driver) Frames(now time.Time) (came, lost int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.state.messages {
		c, l := d.state.messages[i].rhythm.counted(now)
		came, lost = came+c, lost+l
	}
	return came, lost
}

// Close implements device.Driver. Heartbeats end with it.
func (d *Driver) Close() error {
	d.hangUp()
	d.closed = true
	return nil
}
