package can

import (
	"context"
	"fmt"
	"sync"
	"time"

	"yunchu/platform/device"
)

// Replay is a bus on which a recording is played: the frames that had come in arrive
// again at the times they were recorded with. What is sent goes nowhere.
type Replay struct {
	mu     sync.Mutex
	now    time.Time
	frames []arrival
	closed bool
}

var _ Stepped = (*Replay)(nil)

// NewReplay plays the crossings of a tap.
func NewReplay(list []device.Crossing) (*Replay, error) {
	r := &Replay{}
	for i, c := range list {
		if c.Out {
			continue
		}
		f, err := ParseFrame(c.Data)
		if err != nil {
			return nil, fmt.Errorf("crossing %d: %w", i, err)
		}
		r.frames = append(r.frames, arrival{f, c.At})
	}
	return r, nil
}

// SetNow plays up to now.
func (r *Replay) SetNow(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = now
}

// Poll implements Stepped.
func (r *Replay) Poll() (Frame, time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || len(r.frames) == 0 || r.frames[0].at.After(r.now) {
		return Frame{}, time.Time{}, false
	}
	a := r.frames[0]
	r.frames = r.frames[1:]
	return a.frame, a.at, true
}

// Send implements Bus.
func (r *Replay) Send(context.Context, Frame) error { return nil }

// Receive returns what Poll does; ErrClosed when the recording has nothing by now.
func (r *Replay) Receive(context.Context) (Frame, error) {
	f, _, ok := r.Poll()
	if !ok {
		return Frame{}, ErrClosed
	}
	return f, nil
}

// Dropped implements Bus.
func (r *Replay) Dropped() uint64 { return 0 }

// Close implements Bus.
func (r *Replay) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	return nil
}
