package modbus

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"yunchu/platform/device"
)

// Replay is a unit that answers from a recording. A read is answered with what the same
// request was answered with last before now; one that was not answered then is not answered
// now. A write is answered as it was; one that was never made is taken, and counted. Within
// an exchange the same request is answered in the order of then, however long that took: what
// was read before a write is read before it, and what was read back after it.
type Replay struct {
	now      time.Time
	from     time.Time            // of an exchange, which lasts until now; zero: there is none
	asked    map[string]int       // in the exchange
	by       map[string][]outcome // what became of a request, in order of time
	diverged int
	closed   bool
}

// outcome is how a request ended: without an answer at the time when it was sent.
type outcome struct {
	at     time.Time
	answer []byte
}

var (
	_ Conn   = (*Replay)(nil)
	_ Single = (*Replay)(nil)
)

// NewReplay plays the crossings of a tap, which are in order of time.
func NewReplay(list []device.Crossing) *Replay {
	r := &Replay{by: map[string][]outcome{}}
	for i, c := range list {
		if !c.Out {
			continue
		}
		o := outcome{at: c.At}
		if next := i + 1; next < len(list) && !list[next].Out {
			o = outcome{at: list[next].At, answer: list[next].Data}
		}
		r.by[string(c.Data)] = append(r.by[string(c.Data)], o)
	}
	return r
}

// SetNow says what time it is in the recording.
func (r *Replay) SetNow(now time.Time) { r.now, r.from = now, time.Time{} }

// Exchange lets what follows, until the next SetNow, be what the recording has between two
// instants.
func (r *Replay) Exchange(from, to time.Time) {
	r.now, r.from, r.asked = to, from, map[string]int{}
}

// Diverged is how many writes were taken that nobody made when it was recorded.
func (r *Replay) Diverged() int { return r.diverged }

// Read implements Conn.
func (r *Replay) Read(ctx context.Context, t Table, addr, n uint16) ([]uint16, error) {
	q := Request{Function: readFunction(t), Addr: addr, Count: n}
	values, err := r.exchange(ctx, &q)
	if err != nil {
		return nil, fmt.Errorf("read %d of table %v from %d on: %w", n, t, addr, err)
	}
	return values, nil
}

// Write implements Conn.
func (r *Replay) Write(ctx context.Context, addr uint16, values []uint16) error {
	return r.write(ctx, Request{Function: WriteRegisters, Addr: addr, Count: uint16(len(values)), Values: values})
}

// WriteOne implements Single.
func (r *Replay) WriteOne(ctx context.Context, addr, value uint16) error {
	return r.write(ctx, Request{Function: WriteRegister, Addr: addr, Count: 1, Values: []uint16{value}})
}

// WriteCoil implements Conn.
func (r *Replay) WriteCoil(ctx context.Context, addr uint16, on bool) error {
	return r.write(ctx, Request{Function: WriteCoil, Addr: addr, Count: 1, Values: words([]bool{on})})
}

func (r *Replay) write(ctx context.Context, q Request) error {
	if _, err := r.exchange(ctx, &q); err != nil {
		return fmt.Errorf("write %d from %d on: %w", q.Count, q.Addr, err)
	}
	return nil
}

func (r *Replay) exchange(ctx context.Context, q *Request) ([]uint16, error) {
	pdu := AppendRequest(nil, q)
	if _, err := ParseRequest(pdu); err != nil {
		return nil, fmt.Errorf("a request that no device takes: %w: %w", ErrMalformed, err)
	}
	switch {
	case r.closed:
		return nil, fmt.Errorf("%w: %w", device.ErrOffline, net.ErrClosed)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w: %w", device.ErrOffline, ctx.Err())
	}
	list := r.by[string(pdu)]
	after := before(list, r.now)
	if !r.from.IsZero() {
		after = min(before(list, r.from.Add(-1))+r.asked[string(pdu)]+1, after)
		r.asked[string(pdu)]++
	}
	switch {
	case after > 0:
		return list[after-1].to(q)
	case q.Reads():
		return nil, fmt.Errorf("%w: nothing recorded", device.ErrOffline)
	case len(list) > 0: // a replay is not as punctual as what was recorded
		return list[0].to(q)
	}
	r.diverged++
	return nil, nil
}

// before counts the outcomes up to now.
func before(list []outcome, now time.Time) int {
	n, _ := slices.BinarySearchFunc(list, now, func(o outcome, now time.Time) int {
		if o.at.After(now) {
			return 1
		}
		return -1
	})
	return n
}

// to is what became of a request.
func (o outcome) to(q *Request) ([]uint16, error) {
	if o.answer == nil {
		return nil, fmt.Errorf("%w: not answered when it was recorded", device.ErrOffline)
	}
	values, err := ParseAnswer(o.answer, q)
	if _, refused := err.(Exception); err != nil && !refused { //nolint:errorlint // as ParseAnswer returns it
		return nil, fmt.Errorf("%w: the recorded answer: %w", device.ErrOffline, err)
	}
	return values, err
}

// Close implements Conn.
func (r *Replay) Close() error {
	r.closed = true
	return nil
}
