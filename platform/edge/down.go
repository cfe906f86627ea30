package edge

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"yunchu/platform/device"
)

// What a plant asks its sites.
const (
	askClock = 't' // → JSON number: ms on the site's clock
	askOrder = 'o' // JSON order → JSON outcome
)

const (
	// orderWithin is how long a command may be on its way. One that comes later, such as one
	// that lay in a link that was cut, is not carried out.
	orderWithin = 2 * time.Second
	// clockFor is for how long it is known what time it is at a site.
	clockFor = time.Second
	// Lease is how long a site's device keeps a setpoint of the plant that is not renewed: a
	// plant that is lost stops it.
	Lease = 15 * time.Second
	// maxAge is how old the newest reading of a device may be before it counts as offline.
	maxAge = 5 * time.Second
)

// order is a command on its way to a site.
type order struct {
	Device   device.ID `json:"device"`
	ID       string    `json:"id"`
	Verb     string    `json:"verb"`
	Mode     string    `json:"mode,omitempty"`
	Priority string    `json:"priority"`
	PowerKW  float64   `json:"power_kw,omitempty"`
	For      int64     `json:"for_ms,omitempty"`
	Source   string    `json:"source"`
	Reason   string    `json:"reason,omitempty"`
	// By is when it is too late, ms on the site's clock: that of the plant may be another.
	By int64 `json:"by"`
}

// outcome is what became of it.
type outcome struct {
	Status  device.AckStatus `json:"status"`
	Code    string           `json:"code,omitempty"`
	Reason  string           `json:"reason,omitempty"`
	PowerKW float64          `json:"power_kw"`
	Reduced bool             `json:"reduced,omitempty"`
}

// Downlink is the plant's way to the devices of one site.
type Downlink struct {
	line   Line
	joined func() bool
	log    *slog.Logger

	mu     sync.Mutex
	theirs int64     // ms on the site's clock
	at     time.Time // when it had said so, on ours
}

// NewDownlink returns it. joined reports whether the link stands.
func NewDownlink(l Line, joined func() bool, log *slog.Logger) *Downlink {
	return &Downlink{line: l, joined: joined, log: log}
}

// Joined reports whether the link stands.
func (d *Downlink) Joined() bool { return d.joined() }

// clock is the time at the site, ms: never later than it is there.
func (d *Downlink) clock(ctx context.Context) (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.at) > clockFor {
		if !d.joined() {
			return 0, fmt.Errorf("%w: %w", device.ErrOffline, ErrDown)
		}
		var theirs int64
		if err := askJSON(ctx, d.line, askClock, nil, &theirs); err != nil {
			return 0, fmt.Errorf("%w: %w", device.ErrOffline, err)
		}
		d.theirs, d.at = theirs, time.Now()
	}
	return d.theirs + time.Since(d.at).Milliseconds(), nil
}

// Driver is one device of the site. newest is the newest reading that has come of it.
func (d *Downlink) Driver(id device.ID, newest func() (device.Reading, bool)) device.Driver {
	return &remote{down: d, id: id, newest: newest, base: rand.Text()[:12]}
}

// remote is the driver of a device that a site serves. Its readings come by themselves.
type remote struct {
	down   *Downlink
	id     device.ID
	newest func() (device.Reading, bool)

	base string // of its commandIds
	seq  uint64

	live struct { // the setpoint that is renewed
		on    bool
		c     device.Command
		sent  time.Time
		until int64
	}
	owed *order // an emergency stop that the site has not answered yet
}

var _ device.Driver = (*remote)(nil)

// Read returns the newest reading that has come, and keeps the setpoint that holds.
func (r *remote) Read(ctx context.Context, now time.Time) (device.Reading, error) {
	ctx, cancel := context.WithTimeout(ctx, orderWithin)
	defer cancel()
	there, err := r.down.clock(ctx)
	if err != nil {
		return device.Reading{}, fmt.Errorf("%s: %w", r.id, err)
	}
	if r.owed != nil {
		if _, err := r.send(ctx, r.owed); err == nil {
			r.owed = nil
		}
	}
	last, ok := r.newest()
	// By the site's clock it may be old though it has just come: after a long outage.
	if age := max(now.UnixMilli()-last.Arrived, there-last.At); !ok || age > maxAge.Milliseconds() {
		return device.Reading{}, fmt.Errorf("%s: %w: nothing has come of it for %d ms", r.id, device.ErrOffline, age)
	}
	r.renew(ctx, now)
	return last, nil
}

// renew tells the site the setpoint again, before its lease there is over.
func (r *remote) renew(ctx context.Context, now time.Time) {
	s := &r.live
	switch {
	case !s.on:
		return
	case s.until <= now.UnixMilli(): // there it is over too
		s.on = false
		return
	case now.Sub(s.sent) < Lease/3:
		return
	}
	s.c.Until = s.until
	out, err := r.send(ctx, r.order(now, &s.c))
	if err != nil {
		r.down.log.Debug("setpoint not renewed", "device", r.id, "error", err)
		return
	}
	s.sent = now
	if out.Status != device.Done {
		s.on = false
		r.down.log.Warn("the site refuses its setpoint: it is given up", "device", r.id, "code", out.Code, "reason", out.Reason)
	}
}

// Write implements device.Driver: the command goes through the guard of the site.
func (r *remote) Write(ctx context.Context, now time.Time, c device.Command) (device.Ack, error) {
	switch c.Verb {
	case device.SetPower, device.SetMode, device.Stop, device.EStop, device.Reset:
	default:
		return c.Answer(device.Rejected, now.UnixMilli(), "UNSUPPORTED", c.Verb.String()+" is not for a device behind a site"), nil
	}
	r.live.on = false // whatever becomes of it: if nobody knows, the device falls back by itself
	o := r.order(now, &c)
	if c.Verb == device.EStop {
		r.owed = o
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, orderWithin)
	defer cancel()
	out, err := r.send(ctx, o)
	if err != nil {
		return device.Ack{}, fmt.Errorf("%v: %w", c.Verb, err)
	}
	if c.Verb == device.EStop || c.Verb == device.Reset {
		r.owed = nil
	}
	a := c.Answer(out.Status, now.Add(time.Since(begun)).UnixMilli(), out.Code, out.Reason)
	a.Power = out.PowerKW
	a.Reduced = a.Reduced || out.Reduced
	if c.Verb == device.SetPower && out.Status == device.Done && c.Until != 0 {
		r.live.on, r.live.c, r.live.until, r.live.sent = true, c, c.Until, now
	}
	return a, nil
}

// order is a command as the site is told it. Who of the plant's comes before whom its own
// guard has judged: to the site all of them are one, of normal priority. Else what the plant
// has said with a high one, such as the test of signs, would hold what it says next.
func (r *remote) order(now time.Time, c *device.Command) *order {
	r.seq++
	o := &order{
		Device: r.id, ID: fmt.Sprintf("%s-%d", r.base, r.seq), Verb: c.Verb.String(), Mode: c.Mode.String(), Priority: min(c.Priority, device.Normal).String(),
		PowerKW: c.Power, Source: c.Source, Reason: c.Reason,
	}
	if c.Verb == device.SetPower {
		o.For = Lease.Milliseconds()
		if c.Until != 0 {
			o.For = min(o.For, c.Until-now.UnixMilli())
		}
	}
	return o
}

// send asks the site to carry out an order, by a time on its own clock.
func (r *remote) send(ctx context.Context, o *order) (out outcome, err error) {
	there, err := r.down.clock(ctx)
	if err != nil {
		return out, err
	}
	o.By = there + orderWithin.Milliseconds()
	if err := askJSON(ctx, r.down.line, askOrder, o, &out); err != nil {
		return out, fmt.Errorf("%w: %w", device.ErrOffline, err)
	}
	return out, nil
}

// Close implements device.Driver. What the device was told last is over with its lease.
func (r *remote) Close() error { return nil }

// Commander is what a site's end needs of its own plant to carry out commands.
type Commander interface {
	// Slot finds a device, and says what is known of it.
	Slot(id device.ID) (device.Info, bool)
	// Command has the guard judge a command, and returns the answer to it, or ctx's error
	// when there is none yet.
	Command(ctx context.Context, c device.Command) (device.Ack, error)
}

// Orders is the site's end of what its plant asks for.
type Orders struct {
	site Commander
	now  func() time.Time
	log  *slog.Logger

	// Taken counts commands that were handed on, Late those that came too late.
	Taken, Late atomic.Uint64
}

// NewOrders returns the site's end. now is the site's clock.
func NewOrders(c Commander, now func() time.Time, log *slog.Logger) *Orders {
	return &Orders{site: c, now: now, log: log}
}

// Handle answers a request of the plant; it is the Handler of the link.
func (s *Orders) Handle(ctx context.Context, b []byte) []byte {
	kind, body, err := parse(b)
	if err != nil {
		return request(endRefused, []byte(err.Error()))
	}
	var answer any
	switch kind {
	case askClock:
		answer = s.now().UnixMilli()
	case askOrder:
		answer, err = s.carryOut(ctx, body)
	default:
		err = fmt.Errorf("%w: a request of kind %q", ErrMessage, kind)
	}
	switch {
	case errors.Is(err, ErrMessage):
		return request(endRefused, []byte(err.Error()))
	case err != nil:
		return request(endBusy, []byte(err.Error()))
	}
	out, err := json.Marshal(answer)
	if err != nil {
		return request(endRefused, []byte(err.Error()))
	}
	return request(endOK, out)
}

// carryOut hands a command to the site's own guard, if it is not too late.
func (s *Orders) carryOut(ctx context.Context, body []byte) (outcome, error) {
	c, id, by, err := parseOrder(body)
	if err != nil {
		return outcome{}, err
	}
	info, known := s.site.Slot(id)
	if !known {
		return outcome{Status: device.Rejected, Code: "UNKNOWN_DEVICE", Reason: "the site has no device " + string(id)}, nil
	}
	now := s.now()
	// One that is too early was meant for a clock that has been set back since.
	if left := by - now.UnixMilli(); left < 0 || left > 2*orderWithin.Milliseconds() {
		s.Late.Add(1)
		s.log.Warn("a command of the plant is too late and is not carried out", "device", id, "command", c.ID, "late_ms", -left)
		return outcome{Status: device.Expired, Code: "EXPIRED", Reason: fmt.Sprintf("it came to the site %d ms too late", -left)}, nil
	}
	s.Taken.Add(1)
	c.Slot, c.At = info.Slot, now.UnixMilli()
	ctx, cancel := context.WithDeadline(ctx, now.Add(orderWithin))
	defer cancel()
	a, err := s.site.Command(ctx, c)
	if errors.Is(err, device.ErrOffline) {
		return outcome{Status: device.Rejected, Code: "OFFLINE", Reason: err.Error()}, nil
	}
	if err != nil {
		return outcome{}, err
	}
	return outcome{Status: a.Status, Code: a.Code, Reason: a.Reason, PowerKW: a.Power, Reduced: a.Reduced}, nil
}

// parseOrder reads an order. Its slot and time are the caller's.
func parseOrder(body []byte) (c device.Command, id device.ID, by int64, err error) {
	var o order
	if err := json.Unmarshal(body, &o); err != nil {
		return c, "", 0, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	verb, okVerb := device.ParseVerb(o.Verb)
	priority, okPriority := device.ParsePriority(o.Priority)
	mode, okMode := device.ParseMode(o.Mode)
	switch {
	case !o.Device.Valid() || o.ID == "" || len(o.ID) > maxName || len(o.Source) > maxName || len(o.Reason) > 4*maxName:
		return c, "", 0, fmt.Errorf("%w: an order for %.70q with the id %.70q", ErrMessage, o.Device, o.ID)
	case !okVerb || !okPriority || !okMode && o.Verb == device.SetMode.String():
		return c, "", 0, fmt.Errorf("%w: an order to %.20q with the priority %.20q", ErrMessage, o.Verb, o.Priority)
	case verb == device.SetPower && (o.For <= 0 || o.For > Lease.Milliseconds()):
		return c, "", 0, fmt.Errorf("%w: a setpoint for %d ms, at most %d", ErrMessage, o.For, Lease.Milliseconds())
	}
	return device.Command{
		ID: o.ID, Verb: verb, Mode: mode, Priority: priority, Power: o.PowerKW, Duration: o.For,
		Source: "plant:" + o.Source, Reason: o.Reason,
	}, o.Device, o.By, nil
}
