package can

import (
	"context"
	"sync"
	"time"
)

// queueLength bounds what a bus keeps for a receiver that does not keep up: a quarter of
// a second of a full bus of 500 kbit/s.
const queueLength = 1024

// queue is the receive queue of a bus. It drops the oldest frame when it is full, because
// of two reports of one battery the newer one counts.
type queue struct {
	mu      sync.Mutex
	ring    [queueLength]arrival
	first   int
	n       int
	dropped uint64
	err     error         // why no more will come
	wake    chan struct{} // of the one receiver
}

type arrival struct {
	frame Frame
	at    time.Time
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

func (q *queue) put(f Frame, at time.Time) {
	q.mu.Lock()
	if q.n == queueLength {
		q.first = (q.first + 1) % queueLength
		q.n--
		q.dropped++
	}
	q.ring[(q.first+q.n)%queueLength] = arrival{f, at}
	q.n++
	q.mu.Unlock()
	q.signal()
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// end lets no more come, because of err. The first reason stays.
func (q *queue) end(err error) {
	q.mu.Lock()
	if q.err == nil {
		q.err = err
	}
	q.mu.Unlock()
	q.signal()
}

// take returns the oldest frame; ok is false when there is none that arrived by the
// given time. err is why no more will come.
func (q *queue) take(by time.Time) (a arrival, ok bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.n == 0 || q.ring[q.first].at.After(by) {
		return arrival{}, false, q.err
	}
	a = q.ring[q.first]
	q.first = (q.first + 1) % queueLength
	q.n--
	return a, true, nil
}

// endOfTime is later than any arrival.
var endOfTime = time.Unix(1<<40, 0)

// receive is Receive of a Bus.
func (q *queue) receive(ctx context.Context) (Frame, error) {
	for {
		a, ok, err := q.take(endOfTime)
		switch {
		case ok:
			return a.frame, nil
		case err != nil:
			return Frame{}, err
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
			return Frame{}, ctx.Err()
		}
	}
}

// Dropped implements Bus.
func (q *queue) Dropped() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dropped
}
