package mqtt

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"yunchu/platform/device"
)

// Defaults of Config.
const (
	DefaultMaxAge  = 5 * time.Second
	DefaultTimeout = 800 * time.Millisecond
	DefaultDeadMan = 6 * time.Second
)

// Config is one device behind a broker.
type Config struct {
	ID      device.ID
	Access  Access
	MaxAge  time.Duration // how old its newest reading may be before it counts as offline
	Timeout time.Duration // how long its answer to a command may take
	DeadMan time.Duration // how long a setpoint holds unless it is renewed
	Tap     device.Tap
	Timed   device.Timed
}

// Counts are of what came and could not be used.
type Counts struct {
	Malformed, Foreign, Unasked, Dropped uint64
}

// Driver is one device.
type Driver struct {
	cfg    Config
	broker *broker
	ends   []func()
	seq    uint64
	closed bool

	mu     sync.Mutex
	newest device.Reading
	has    bool
	gone   bool // its last will says so
	open   map[string]chan Ack
	counts Counts

	live setpoint
	mode device.Mode
	// stopping: an emergency stop was not answered, and is told again until it is.
	stopping bool
	stopped  time.Time // when it was told last
	base string // of its commandIds
}

// setpoint is what the device is held at.
type setpoint struct {
	kw    float64
	until int64     // ms UTC; 0: none
	sent  time.Time // when it was told last
}

var _ device.Driver = (*Driver)(nil)

// New returns the driver of a device, and begins to look for its broker.
func New(cfg Config) (*Driver, error) {
	if !cfg.ID.Valid() {
		return nil, fmt.Errorf("%q may not name a device", cfg.ID)
	}
	cfg.MaxAge = cmp.Or(cfg.MaxAge, DefaultMaxAge)
	cfg.Timeout = cmp.Or(cfg.Timeout, DefaultTimeout)
	cfg.DeadMan = cmp.Or(cfg.DeadMan, DefaultDeadMan)
	b, err := join(cfg.Access)
	if err != nil {
		return nil, err
	}
	d := &Driver{cfg: cfg, broker: b, open: map[string]chan Ack{}, base: fmt.Sprintf("y%x", time.Now().UnixNano())}
	d.ends = []func(){
		b.listen(Topic(cfg.ID, "data"), d.data),
		b.listen(Topic(cfg.ID, "ack"), d.ack),
		b.listen(Topic(cfg.ID, "event"), d.event),
	}
	return d, nil
}

func (d *Driver) tap(out bool, topic string, body []byte) {
	if d.cfg.Tap != nil {
		d.cfg.Tap(device.Crossing{At: time.Now(), Out: out, Data: append(append([]byte(topic), 0), body...)})
	}
}

func (d *Driver) data(m paho.Message) {
	d.tap(false, m.Topic(), m.Payload())
	rows, err := ParseData(d.cfg.ID, m.Payload())
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.counts.Malformed++
		return
	}
	for _, r := range rows {
		r.Arrived = time.Now().UnixMilli()
		if !d.has || r.At >= d.newest.At {
			d.newest, d.has, d.gone = r, true, false
		}
	}
}

func (d *Driver) ack(m paho.Message) {
	d.tap(false, m.Topic(), m.Payload())
	a, err := ParseAck(d.cfg.ID, m.Payload())
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil || m.Retained() {
		d.counts.Malformed++
		return
	}
	ch, ok := d.open[a.CommandID]
	if !ok {
		d.counts.Unasked++
		return
	}
	delete(d.open, a.CommandID)
	ch <- a
}

func (d *Driver) event(m paho.Message) {
	d.tap(false, m.Topic(), m.Payload())
	var e Event
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(m.Payload()) > maxMessage || json.Unmarshal(m.Payload(), &e) != nil || e.DeviceID != d.cfg.ID {
		d.counts.Malformed++
		return
	}
	if e.EventType == "offline" && !m.Retained() {
		d.gone = true
	}
}

// Counts is what came and could not be used so far.
func (d *Driver) Counts() Counts {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counts
}

// ahead is how far in the future a device may claim to have measured.
const ahead = 5 * time.Minute

// Read returns the newest reading that has come, and renews the setpoint that holds.
func (d *Driver) Read(ctx context.Context, now time.Time) (device.Reading, error) {
	d.renew(ctx, now)
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.newest
	switch age := now.UnixMilli() - r.At; {
	case !d.broker.client.IsConnectionOpen():
		return device.Reading{}, fmt.Errorf("%s: %w: %w", d.cfg.ID, device.ErrOffline, errAway)
	case d.gone:
		return device.Reading{}, fmt.Errorf("%s has said that it goes: %w", d.cfg.ID, device.ErrOffline)
	case !d.has:
		return device.Reading{}, fmt.Errorf("%s has sent nothing yet: %w", d.cfg.ID, device.ErrOffline)
	case age > d.cfg.MaxAge.Milliseconds():
		return device.Reading{}, fmt.Errorf("the newest reading of %s is %.1f s old: %w", d.cfg.ID, float64(age)/1000, device.ErrOffline)
	case age < -ahead.Milliseconds():
		return device.Reading{}, fmt.Errorf("the newest reading of %s lies in the future: %w", d.cfg.ID, device.ErrOffline)
	}
	return r, nil
}

// renew tells the device its setpoint again before its dead-man time is over, and 0
// when the setpoint expires.
func (d *Driver) renew(ctx context.Context, now time.Time) {
	s := &d.live
	switch ms := now.UnixMilli(); {
	case d.stopping:
		if now.Sub(d.stopped) < d.cfg.DeadMan/3 || !d.broker.client.IsConnectionOpen() {
			return
		}
		d.stopped = now
		c := device.Command{Verb: device.EStop}
		_, err := d.tell(ctx, now, &c, 0)
		d.stopping = err != nil
	case s.until == 0:
	case s.until <= ms:
		*s = setpoint{}
		c := device.Command{Verb: device.Stop}
		_, _ = d.tell(ctx, now, &c, 0) // it expires there by itself too
	case now.Sub(s.sent) >= d.cfg.DeadMan/3:
		c := device.Command{Verb: device.SetPower, Power: s.kw}
		if d.say(ctx, now, &c, d.hold(now, s.until), d.name()) == nil {
			s.sent = now
		}
	}
}

// hold is how long the device is given for a setpoint that holds until a moment.
func (d *Driver) hold(now time.Time, until int64) time.Duration {
	return min(time.Duration(until-now.UnixMilli())*time.Millisecond, d.cfg.DeadMan)
}

// name is a commandId of the driver's own: renewals are new commands to the device.
func (d *Driver) name() string {
	d.seq++
	return fmt.Sprintf("%s-%d", d.base, d.seq)
}

func (d *Driver) say(ctx context.Context, now time.Time, c *device.Command, hold time.Duration, name string) error {
	body, err := json.Marshal(control(d.cfg.ID, name, c, hold, now))
	if err != nil {
		return fmt.Errorf("command for %s: %w", d.cfg.ID, err)
	}
	topic := Topic(d.cfg.ID, "control")
	d.tap(true, topic, body)
	return d.broker.publish(ctx, topic, body)
}

// tell sends a command and waits for the device's answer.
func (d *Driver) tell(ctx context.Context, now time.Time, c *device.Command, hold time.Duration) (Ack, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	name := d.name()
	ch := make(chan Ack, 1)
	d.mu.Lock()
	d.open[name] = ch
	d.mu.Unlock()
	begun := time.Now()
	a, err := func() (Ack, error) {
		if err := d.say(ctx, now, c, hold, name); err != nil {
			return Ack{}, err
		}
		select {
		case a := <-ch:
			return a, nil
		case <-ctx.Done():
			return Ack{}, fmt.Errorf("%s has not answered %s: %w", d.cfg.ID, c.Verb, device.ErrOffline)
		}
	}()
	if err != nil {
		d.mu.Lock()
		delete(d.open, name)
		d.mu.Unlock()
	}
	if d.cfg.Timed != nil {
		d.cfg.Timed(time.Since(begun), err)
	}
	return a, err
}

// Write implements device.Driver. The device has no register that could be read back:
// its answer is its word, and the power that it has taken is what it was asked for.
func (d *Driver) Write(ctx context.Context, now time.Time, c device.Command) (device.Ack, error) {
	ms := now.UnixMilli()
	var hold time.Duration
	switch c.Verb {
	case device.SetPower:
		if c.Until != 0 && c.Until <= ms {
			return c.Answer(device.Expired, ms, "EXPIRED", "the setpoint had expired before it was sent"), nil
		}
		if !device.Finite(c.Power) {
			return c.Answer(device.Rejected, ms, "REJECTED", fmt.Sprintf("%v kW is not a power", c.Power)), nil
		}
		if d.mode != device.Run {
			return c.Answer(device.Rejected, ms, "REJECTED", "the device is in mode "+d.mode.String()), nil
		}
		hold = d.hold(now, c.Until)
		if c.Until == 0 {
			hold = d.cfg.DeadMan
		}
	case device.Stop, device.Release, device.SetMode, device.EStop, device.Reset:
	default:
		return c.Answer(device.Rejected, ms, "UNSUPPORTED", fmt.Sprintf("%v: %v", c.Verb, device.ErrUnsupported)), nil
	}
	begun := time.Now()
	a, err := d.tell(ctx, now, &c, hold)
	if err != nil {
		if c.Verb != device.SetPower { // whatever it heard, it is not held any longer
			d.live = setpoint{}
		}
		if c.Verb == device.EStop {
			d.stopping, d.stopped = true, now
		}
		return device.Ack{}, err
	}
	status := statuses[a.Status]
	out := c.Answer(status, now.Add(time.Since(begun)).UnixMilli(), "", a.Reason)
	if status != device.Done {
		out.Code = map[device.AckStatus]string{device.Rejected: "REJECTED", device.Expired: "EXPIRED", device.Failure: "DEVICE_FAULT"}[status]
		return out, nil
	}
	switch c.Verb {
	case device.SetPower:
		d.live = setpoint{kw: c.Power, until: c.Until, sent: now}
	case device.SetMode:
		d.mode = c.Mode
		d.live = setpoint{}
	default:
		d.live = setpoint{}
		if c.Verb == device.EStop || c.Verb == device.Reset {
			d.stopping = false
		}
	}
	return out, nil
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
	d.broker.leave()
	return nil
}
