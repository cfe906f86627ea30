package modbus

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"sync"
	"time"

	lib "github.com/simonvetter/modbus"

	"yunchu/platform/device"
)

// link is one connection, or one serial line with all of its units. Between the library's
// client and its users it keeps three promises that the client does not: a caller waits
// no longer than its deadline and the timeout, and when it is cancelled without a deadline,
// or for a stop (device.ErrStopFirst), no longer than the timeout; one exchange is under way at a time; and after an exchange
// that did not end with an answer, nothing that comes late is taken for the answer to
// another.
type link struct {
	to      target
	timeout time.Duration
	log     *log.Logger
	turn    chan struct{} // holds one token, which its user takes

	// With the token:
	client  *lib.ModbusClient
	opening chan opened   // an attempt to open that is under way; room for its result
	ending  chan struct{} // an exchange that its caller has left; closed when it has ended
	quiet   time.Time     // a serial line must be listened to until then before it is used
	heard   time.Time     // when the last exchange ended

	// Of a serial line, guarded by lines.mu:
	users int
	turns turns // of those that have yet to hear a stop
}

type opened struct {
	client *lib.ModbusClient
	err    error
}

func newLink(to target, timeout time.Duration, l *slog.Logger) *link {
	k := &link{to: to, timeout: timeout, turn: make(chan struct{}, 1), log: slog.NewLogLogger(l.Handler(), slog.LevelDebug)}
	k.turn <- struct{}{}
	return k
}

// lines are the serial lines in use, by path: the units on one take turns.
var lines = struct {
	mu sync.Mutex
	by map[string]*link
}{by: map[string]*link{}}

var errOtherSettings = errors.New("the line is in use with another speed, form of characters or timeout")

// join returns the link to a target, which a serial line shares.
func join(to target, timeout time.Duration, l *slog.Logger) (*link, error) {
	if to.device == "" {
		return newLink(to, timeout, l), nil
	}
	lines.mu.Lock()
	defer lines.mu.Unlock()
	k := lines.by[to.device]
	if k == nil {
		k = newLink(to, timeout, l)
		lines.by[to.device] = k
	}
	if k.to != to || k.timeout != timeout {
		return nil, errOtherSettings
	}
	k.users++
	return k, nil
}

// leave closes the link when nobody uses it any more.
func (k *link) leave() error {
	if k.to.device != "" {
		lines.mu.Lock()
		defer lines.mu.Unlock()
		if k.users--; k.users > 0 {
			return nil
		}
		delete(lines.by, k.to.device)
	}
	<-k.turn // nobody comes after
	return k.hangUp()
}

func (k *link) hangUp() error {
	if o := k.opening; o != nil {
		k.opening = nil
		go func() { // the library's attempt cannot be interrupted; it ends after 5 s, with TLS 15 s
			if got := <-o; got.err == nil {
				_ = got.client.Close() // nothing was sent
			}
		}()
	}
	if k.client == nil {
		return nil
	}
	c := k.client
	k.client = nil
	return c.Close()
}

// patience bounds the wait for a turn: on a serial line all others may be before.
func (k *link) patience() time.Duration {
	if k.to.device == "" {
		return k.timeout
	}
	lines.mu.Lock()
	defer lines.mu.Unlock()
	return 2 * k.timeout * time.Duration(k.users)
}

// take waits for the turn.
func (k *link) take(ctx context.Context) error {
	select {
	case <-k.turn:
		return nil
	default:
	}
	ctx, cancel := context.WithTimeoutCause(ctx, k.patience(), errors.New("the line was busy"))
	defer cancel()
	select {
	case <-k.turn:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// shared has something done with the turns of a serial line.
func (k *link) shared(do func(*turns)) {
	lines.mu.Lock()
	defer lines.mu.Unlock()
	do(&k.turns)
}

func (k *link) give() { k.turn <- struct{}{} }

var (
	errOpening = errors.New("no connection in time")
	errUnfit   = errors.New("the answer does not fit the request: it may be that of another one")
	errBusy    = errors.New("an exchange that was given up is still under way")
)

// ready waits until the link is open.
func (k *link) ready(ctx context.Context) error {
	if k.ending == nil && k.client != nil {
		return nil
	}
	wait := k.timeout + max(time.Until(k.quiet), 0)
	t := time.NewTimer(wait)
	defer t.Stop()
	if k.ending != nil {
		select {
		case <-k.ending:
			k.ending = nil
		case <-t.C:
			return errBusy
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if k.opening == nil {
		k.opening = make(chan opened, 1)
		go k.open(k.opening, k.quiet)
	}
	select {
	case o := <-k.opening:
		k.opening, k.client = nil, o.client
		return o.err
	case <-t.C:
		return errOpening // a later request takes it up
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// clear throws away what a serial line has brought since the last exchange, and while the
// silence lasted that is due between frames. It may be a frame that nobody asked for, sent
// twice or meant for another master, and would pass for the answer to the next request.
func (k *link) clear(ctx context.Context) error {
	if k.to.device == "" {
		return nil
	}
	if due := time.Until(k.heard.Add(k.to.silence())); due > 0 {
		t := time.NewTimer(due)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	err := flush(k.to.device)
	if err == nil {
		return nil
	}
	_ = k.hangUp() // the line is to be opened anew, whatever this one says
	if errors.Is(err, errors.ErrUnsupported) {
		return k.ready(ctx) // it listens before
	}
	return err
}

// open makes a client. Its context-free dial is why this is done on the side.
func (k *link) open(to chan<- opened, quiet time.Time) {
	if k.to.device != "" {
		if err := drain(&k.to, quiet); err != nil {
			to <- opened{err: err}
			return
		}
	}
	c, err := lib.NewClient(&lib.ClientConfiguration{
		URL: k.to.url(), Timeout: k.timeout, Logger: k.log,
		Speed: k.to.baud, DataBits: k.to.data, Parity: k.to.parity, StopBits: k.to.stop,
		TLSClientCert: k.to.cert, TLSRootCAs: k.to.roots,
	})
	if err == nil {
		err = c.Open()
	}
	if err != nil {
		c = nil
	}
	to <- opened{c, err}
}

// exchange has one unit asked; sent is called when the request leaves. An error that is
// no Exception has closed the link.
func (k *link) exchange(ctx context.Context, unit byte, ask func(*lib.ModbusClient) ([]uint16, error), sent func()) ([]uint16, error) {
	if err := k.take(ctx); err != nil {
		return nil, err
	}
	defer k.give()
	if err := k.ready(ctx); err != nil {
		return nil, err
	}
	if err := k.clear(ctx); err != nil {
		return nil, err
	}
	c := k.client
	if err := c.SetUnitId(unit); err != nil {
		return nil, err
	}
	sent()
	if k.to.device != "" { // the library sleeps on after noise, for as long as a frame takes
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, k.timeout+Pause, lib.ErrRequestTimedOut)
		defer cancel()
	}
	if until, ok := ctx.Deadline(); k.to.device == "" && (!ok || time.Until(until) > k.timeout) {
		values, err := ask(c) // over by then, and cheaper than on the side
		return values, k.settle(err)
	}
	type result struct {
		values []uint16
		err    error
	}
	done := make(chan result, 1)
	go func() {
		values, err := ask(c)
		done <- result{values, err}
	}()
	select {
	case r := <-done:
		return r.values, k.settle(r.err)
	case <-ctx.Done():
	}
	if errors.Is(context.Cause(ctx), device.ErrStopFirst) { // which needs the line: it is free sooner when this ends
		t := time.NewTimer(k.timeout + Pause)
		defer t.Stop()
		select {
		case r := <-done:
			return r.values, k.settle(r.err)
		case <-t.C:
		}
	}
	// Its caller has left. What comes of it is of no use any more.
	k.silence(2 * k.timeout)
	ended := make(chan struct{})
	k.client, k.ending = nil, ended
	go func() {
		<-done
		_ = c.Close() // its exchange has failed in the eyes of its caller
		close(ended)
	}()
	return nil, context.Cause(ctx)
}

// settle closes the link after an exchange that ended without an answer.
func (k *link) settle(err error) error {
	k.heard = time.Now()
	if err == nil {
		return nil
	}
	if e, ok := exception(err); ok {
		return e
	}
	k.silence(k.timeout)
	_ = k.hangUp() // it has failed already
	if errors.Is(err, lib.ErrProtocolError) {
		return errUnfit
	}
	return err
}

// silence makes a serial line be listened to for as long as an answer may still come.
func (k *link) silence(d time.Duration) {
	if k.to.device != "" {
		k.quiet = time.Now().Add(d)
	}
}
