package modbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"yunchu/platform/device"
)

// Replay is a Conn that answers from what crossed a link before. A read gets the answer
// that the same request had when it was made last, as seen from now; a write that was
// made then is answered as it was, and any other is taken and counted.
type Replay struct {
	asked    map[string][]recorded // answers by request
	now      time.Time
	diverged int
	closed   bool
}

type recorded struct {
	at     time.Time
	answer []byte
}

var (
	_ Conn   = (*Replay)(nil)
	_ Single = (*Replay)(nil)
)

// NewReplay returns the replay of a recording, whose messages are protocol data units as
// Options.Tap gives them: a request, and then its answer unless none came.
func NewReplay(crossings []device.Crossing) *Replay {
	r := &Replay{asked: map[string][]recorded{}}
	for i, c := range crossings {
		if c.Out && i+1 < len(crossings) && !crossings[i+1].Out {
			key := string(c.Data)
			r.asked[key] = append(r.asked[key], recorded{crossings[i+1].At, slices.Clone(crossings[i+1].Data)})
		}
	}
	return r
}

// SetNow moves the replay to an instant of the recording.
func (r *Replay) SetNow(now time.Time) { r.now = now }

// Diverged counts the writes that were not recorded: what comes after them is what a
// device did that was told something else.
func (r *Replay) Diverged() int { return r.diverged }

// newest is the last answer to a request by now.
func (r *Replay) newest(pdu []byte) ([]byte, bool) {
	list := r.asked[string(pdu)]
	n, _ := slices.BinarySearchFunc(list, r.now, func(x recorded, now time.Time) int {
		if x.at.After(now) {
			return 1
		}
		return -1
	})
	if n == 0 {
		return nil, false
	}
	return list[n-1].answer, true
}

var errNotRecorded = errors.New("nothing is recorded by then")

func (r *Replay) ask(ctx context.Context, q *Request) ([]uint16, error) {
	if err := ctx.Err(); err != nil || r.closed {
		return nil, errors.Join(device.ErrOffline, err)
	}
	pdu, ok := r.newest(AppendRequest(nil, q))
	switch {
	case ok:
	case q.Reads():
		return nil, fmt.Errorf("%w: %w", device.ErrOffline, errNotRecorded)
	default:
		r.diverged++
		return nil, nil
	}
	values, err := ParseAnswer(pdu, q)
	if errors.Is(err, ErrMalformed) {
		return nil, fmt.Errorf("%w: recorded: %w", device.ErrOffline, err)
	}
	return values, err
}

// Read implements Conn.
func (r *Replay) Read(ctx context.Context, t Table, addr, n uint16) ([]uint16, error) {
	return r.ask(ctx, &Request{Function: readFunction(t), Addr: addr, Count: n})
}

// Write implements Conn.
func (r *Replay) Write(ctx context.Context, addr uint16, values []uint16) error {
	_, err := r.ask(ctx, &Request{Function: WriteRegisters, Addr: addr, Count: uint16(len(values)), Values: values})
	return err
}

// WriteOne implements Single.
func (r *Replay) WriteOne(ctx context.Context, addr, value uint16) error {
	_, err := r.ask(ctx, &Request{Function: WriteRegister, Addr: addr, Count: 1, Values: []uint16{value}})
	return err
}

// WriteCoil implements Conn.
func (r *Replay) WriteCoil(ctx context.Context, addr uint16, on bool) error {
	_, err := r.ask(ctx, &Request{Function: WriteCoil, Addr: addr, Count: 1, Values: words([]bool{on})})
	return err
}

// Close implements Conn.
func (r *Replay) Close() error {
	r.closed = true
	return nil
}
