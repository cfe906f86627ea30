package modbus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	lib "github.com/simonvetter/modbus"

	"yunchu/platform/device"
)

// Options say how a unit is reached, and for New, what its registers mean.
type Options struct {
	// Address is tcp://host:port, tls://host:port or
	// rtu:///dev/ttyUSB0?baud=9600&parity=none|even|odd&stop=1|2&data=7|8.
	Address string
	Unit    byte
	Timeout time.Duration // of one exchange; 0: DefaultTimeout, and more on a slow serial line

	Cert, Key, CA string // paths of PEM files, for tls://

	// Profile is the name of a shipped profile, or the path of one.
	Profile string
	// DeadMan is after how long the device takes a setpoint back that is not renewed;
	// 0: DefaultDeadMan.
	DeadMan time.Duration
	// Conn takes the place of Address: a device in memory, or a recording.
	Conn Conn
	// Mute leaves heartbeats alone, ours and those of somebody who commands the device
	// too: those of a recording were made then.
	Mute bool

	Log   *slog.Logger
	Tap   device.Tap // told of protocol data units: function and data, without unit and check sum
	Timed device.Timed
}

// DefaultTimeout is how long a unit has for an answer: what acceptance procedures of
// containers ask of a poll. On a serial line below slowBaud the frames alone may take as long:
// there it is longer by what the largest ones take.
const (
	DefaultTimeout = 500 * time.Millisecond
	slowBaud       = 9600
)

// usualTimeout is that of a unit of which nobody has said one.
func (t *target) usualTimeout() time.Duration {
	if t.device == "" || t.baud >= slowBaud {
		return DefaultTimeout
	}
	return DefaultTimeout + FrameTime(int(t.baud), MaxRTU)
}

// A unit that does not answer is read again after firstBackoff, and then after twice as
// long each time, up to lastBackoff. On a serial line each attempt takes the line from its
// neighbours for twice the timeout: until it is over, and until nothing can come any more.
// There the unit is left alone for as long from the second failure on, and up to lineBackoff.
// What it is told is tried at once, and one that has yet to hear a stop each second, or as often
// as leaves most of the line to its neighbours: see Insistent.
const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second
	lineBackoff  = 30 * time.Second
)

// longer is how long the unit is left alone after one more failure.
func (c *conn) longer() time.Duration {
	if c.link.to.device == "" || c.wait == 0 {
		return min(max(2*c.wait, firstBackoff), lastBackoff)
	}
	return min(max(2*c.wait, cost(c.opt.Timeout)), c.longest())
}

// longest is the most that longer comes to on a serial line.
func (c *conn) longest() time.Duration { return max(lineBackoff, 10*cost(c.opt.Timeout)) }

// Insistent is a Conn whose next request is sent even while its unit is left alone after a
// failure that was at least within ago.
type Insistent interface{ Insist(within time.Duration) }

// Insist implements Insistent. On a serial line the units that are tried again and again have a
// part of it, in turn, from their second failure on: see turns.
func (c *conn) Insist(within time.Duration) {
	if c.link.to.device != "" {
		if c.shares = within > 0 && c.wait > firstBackoff; c.shares {
			c.link.shared(func(t *turns) { t.join(c, c.failed, c.opt.Timeout) })
			return
		}
		c.link.shared(func(t *turns) { t.leave(c) })
	}
	if at := c.failed.Add(within); at.Before(c.again) {
		c.again = at
	}
}

// Insist has the next request of c sent if it is Insistent: what a device is told does not
// wait until it would be read again.
func Insist(c Conn) {
	if x, ok := c.(Insistent); ok {
		x.Insist(0)
	}
}

// owedWithin is how long a unit is left alone that has yet to hear a stop.
const owedWithin = time.Second

// InsistOwed has the next request of c sent if it is Insistent and its last failure is a second
// old: a unit that has yet to hear a stop is tried as often, or as its line has room for.
func InsistOwed(c Conn) {
	if x, ok := c.(Insistent); ok {
		x.Insist(owedWithin)
	}
}

// conn is one unit on a link.
type conn struct {
	opt    Options
	link   *link
	closed bool

	wait   time.Duration // before the next attempt, after a failed one
	failed time.Time
	again  time.Time
	why    error // it failed
	shares bool  // until it answers, its requests are some of those that have a part of the line
}

var (
	_ Conn   = (*conn)(nil)
	_ Single = (*conn)(nil)
	_ Raw    = (*conn)(nil)

	_ Insistent = (*conn)(nil)
)

// Dial returns a Conn to a unit. It connects with the first request, so that the device
// need not be there; an error means that the options are wrong. Over TCP each Conn has a
// connection of its own, on a serial line all share the line and take turns.
func Dial(o Options) (Conn, error) {
	to, err := parseAddress(o.Address)
	if err != nil {
		return nil, err
	}
	if err := to.secrets(o.Cert, o.Key, o.CA); err != nil {
		return nil, fmt.Errorf("address %q: %w", o.Address, err)
	}
	if o.Timeout < 0 {
		return nil, fmt.Errorf("timeout of %v", o.Timeout)
	}
	o.Timeout = cmp.Or(o.Timeout, to.usualTimeout())
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	k, err := join(to, o.Timeout, o.Log)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", o.Address, err)
	}
	return &conn{opt: o, link: k}, nil
}

// Read implements Conn.
func (c *conn) Read(ctx context.Context, t Table, addr, n uint16) ([]uint16, error) {
	r := Request{Function: readFunction(t), Addr: addr, Count: n}
	values, err := c.exchange(ctx, &r)
	if err != nil {
		return nil, fmt.Errorf("read %d of table %v from %d on: %w", n, t, addr, err)
	}
	return values, nil
}

// Write implements Conn.
func (c *conn) Write(ctx context.Context, addr uint16, values []uint16) error {
	r := Request{Function: WriteRegisters, Addr: addr, Count: uint16(len(values)), Values: values}
	if _, err := c.exchange(ctx, &r); err != nil {
		return fmt.Errorf("write %d registers from %d on: %w", len(values), addr, err)
	}
	return nil
}

// WriteOne implements Single.
func (c *conn) WriteOne(ctx context.Context, addr, value uint16) error {
	r := Request{Function: WriteRegister, Addr: addr, Count: 1, Values: []uint16{value}}
	if _, err := c.exchange(ctx, &r); err != nil {
		return fmt.Errorf("write register %d: %w", addr, err)
	}
	return nil
}

// WriteCoil implements Conn.
func (c *conn) WriteCoil(ctx context.Context, addr uint16, on bool) error {
	r := Request{Function: WriteCoil, Addr: addr, Count: 1, Values: words([]bool{on})}
	if _, err := c.exchange(ctx, &r); err != nil {
		return fmt.Errorf("write coil %d: %w", addr, err)
	}
	return nil
}

// exchange asks the unit unless it is being left alone after a failure.
func (c *conn) exchange(ctx context.Context, r *Request) ([]uint16, error) {
	if _, err := ParseRequest(AppendRequest(nil, r)); err != nil {
		return nil, fmt.Errorf("a request that no device takes: %w: %w", ErrMalformed, err)
	}
	if err := c.may(ctx); err != nil {
		return nil, err
	}
	began := time.Now()
	values, err := c.link.exchange(ctx, c.opt.Unit, func(m *lib.ModbusClient) ([]uint16, error) { return ask(m, r) }, func() { c.tapRequest(r) })
	c.tapAnswer(r, values, err)
	return values, c.ended(ctx, began, err)
}

// ask has the library put a request.
func ask(m *lib.ModbusClient, r *Request) ([]uint16, error) {
	switch r.Function {
	case ReadCoils:
		bits, err := m.ReadCoils(r.Addr, r.Count)
		return words(bits), err
	case ReadDiscrete:
		bits, err := m.ReadDiscreteInputs(r.Addr, r.Count)
		return words(bits), err
	case ReadInput:
		return m.ReadRegisters(r.Addr, r.Count, lib.INPUT_REGISTER)
	case ReadHolding:
		return m.ReadRegisters(r.Addr, r.Count, lib.HOLDING_REGISTER)
	case WriteCoil:
		return nil, m.WriteCoil(r.Addr, r.Values[0] != 0)
	case WriteRegister:
		return nil, m.WriteRegister(r.Addr, r.Values[0])
	default:
		return nil, m.WriteRegisters(r.Addr, r.Values)
	}
}

// may tells whether the unit can be asked now.
func (c *conn) may(ctx context.Context) error {
	switch {
	case c.closed:
		return fmt.Errorf("%w: %w", device.ErrOffline, net.ErrClosed)
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", device.ErrOffline, context.Cause(ctx))
	case c.shares:
		if !c.myTurn() {
			return fmt.Errorf("%w: left alone for the others on its line after: %w", device.ErrOffline, c.why)
		}
	case time.Now().Before(c.again):
		return fmt.Errorf("%w: left alone for %v after: %w", device.ErrOffline, time.Until(c.again).Round(time.Millisecond), c.why)
	}
	return nil
}

// myTurn takes the turn of a unit that has a part of its line, if there is one.
func (c *conn) myTurn() (mine bool) {
	c.link.shared(func(t *turns) { mine = t.take(c, time.Now(), owedWithin, c.longest(), c.opt.Timeout) })
	return mine
}

// ended takes note of how an exchange ended.
func (c *conn) ended(ctx context.Context, began time.Time, err error) error {
	if _, answered := errors.AsType[Exception](err); err == nil || answered {
		if c.shares { // what else its reader has to ask or to tell follows at once
			c.shares = false
			c.link.shared(func(t *turns) { t.leave(c) })
		}
		c.wait = 0
		device.Heard(ctx)
	} else if errors.Is(err, device.ErrStopFirst) { // before it was sent: that says nothing of the unit
		err = fmt.Errorf("%w: %w", device.ErrOffline, err)
	} else {
		c.wait = c.longer()
		c.failed, c.why = time.Now(), err
		c.again = c.failed.Add(c.wait)
		if c.shares {
			c.link.shared(func(t *turns) { t.failed(c, c.failed, c.opt.Timeout) })
		}
		err = fmt.Errorf("%w: %w", device.ErrOffline, err)
	}
	if c.opt.Timed != nil {
		c.opt.Timed(time.Since(began), err)
	}
	return err
}

func (c *conn) tapRequest(r *Request) {
	if c.opt.Tap != nil {
		c.opt.Tap(device.Crossing{At: time.Now(), Out: true, Data: AppendRequest(nil, r)})
	}
}

func (c *conn) tapAnswer(r *Request, values []uint16, err error) {
	if c.opt.Tap == nil {
		return
	}
	pdu := AppendAnswer(nil, r, values)
	if err != nil {
		e, refused := errors.AsType[Exception](err)
		if !refused {
			return
		}
		pdu = AppendException(nil, r.Function, e)
	}
	c.opt.Tap(device.Crossing{At: time.Now(), Data: pdu})
}

// Close implements Conn.
func (c *conn) Close() error {
	if c.closed {
		return nil
	}
	c.closed = true
	c.link.shared(func(t *turns) { t.leave(c) })
	return c.link.leave()
}

func readFunction(t Table) Function {
	return [...]Function{Holding: ReadHolding, Input: ReadInput, Coils: ReadCoils, Discrete: ReadDiscrete}[t]
}

func words(bits []bool) []uint16 {
	out := make([]uint16, len(bits))
	for i, b := range bits {
		if b {
			out[i] = 1
		}
	}
	return out
}

// exceptions are those of the protocol in the library's words.
var exceptions = map[lib.Error]Exception{
	lib.ErrIllegalFunction: IllegalFunction, lib.ErrIllegalDataAddress: IllegalAddress, lib.ErrIllegalDataValue: IllegalValue,
	lib.ErrServerDeviceFailure: DeviceFailure, lib.ErrAcknowledge: Acknowledge, lib.ErrServerDeviceBusy: DeviceBusy,
	lib.ErrMemoryParityError: MemoryParity, lib.ErrGWPathUnavailable: GatewayNoPath, lib.ErrGWTargetFailedToRespond: GatewayNoResponse,
}

// exception tells what a device refused with. Codes that the protocol does not know, which
// some makers have, the library has no value for, only words.
func exception(err error) (Exception, bool) {
	if e, ok := errors.AsType[lib.Error](err); ok {
		x, ok := exceptions[e]
		return x, ok
	}
	var code Exception
	if _, scan := fmt.Sscanf(err.Error(), "unknown exception code (%d)", &code); scan != nil {
		return 0, false
	}
	return code, true
}
