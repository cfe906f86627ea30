package api

import (
	"strconv"
	"sync"

	"github.com/gorilla/websocket"
)

// Bounds of what waits for one WebSocket.
const (
	queueFrames = 512
	queueBytes  = 4 << 20
)

// message is one frame on its way to many clients. It is encoded and framed
// once.
type message struct {
	raw      []byte
	prepared *websocket.PreparedMessage
	readings int  // rows that are lost when it is dropped
	old      bool // may be dropped for something newer: readings and states
	value    any  // what it tells, for who writes it another way; nobody changes it
}

func newMessage(raw []byte, readings int, old bool) *message {
	p, err := websocket.NewPreparedMessage(websocket.TextMessage, raw)
	if err != nil {
		panic(err) // a text message always has a frame
	}
	return &message{raw: raw, prepared: p, readings: readings, old: old}
}

// withLag is the frame with the count of readings that this client missed.
func (m *message) withLag(lag uint64) []byte {
	b := append(make([]byte, 0, len(m.raw)+32), `{"lag":`...)
	b = strconv.AppendUint(b, lag, 10)
	b = append(b, ',')
	return append(b, m.raw[1:]...)
}

// queue holds what waits for one client. When it is full the oldest readings go
// and are counted.
type queue struct {
	wake chan struct{} // one token when there is something to take

	mu    sync.Mutex
	list  []*message
	bytes int    // of messages that may be dropped
	held  bool   // nothing is taken until release
	lag   uint64 // readings dropped so far
	told  uint64 // of lag, what the client knows
	stale uint64 // states of the fleet dropped so far
}

func newQueue() queue { return queue{wake: make(chan struct{}, 1)} }

// push appends m. It returns how many readings went for it; ok is false when the
// queue is full of what may not be dropped.
func (q *queue) push(m *message) (dropped int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.list = append(q.list, m)
	if m.old {
		q.bytes += len(m.raw)
	}
	for len(q.list) > queueFrames || q.bytes > queueBytes {
		n, found := q.drop()
		if !found {
			return dropped, false
		}
		dropped += n
	}
	if !q.held {
		q.signal()
	}
	return dropped, true
}

func (q *queue) drop() (readings int, found bool) {
	for i, m := range q.list {
		if m.old {
			q.list = append(q.list[:i], q.list[i+1:]...)
			q.bytes -= len(m.raw)
			q.lag += uint64(m.readings)
			if m.readings == 0 {
				q.stale++
			}
			return m.readings, true
		}
	}
	return 0, false
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// hold keeps everything back until release, so that a snapshot can come first.
func (q *queue) hold() {
	q.mu.Lock()
	q.held = true
	q.mu.Unlock()
}

// release puts m in front and lets the rest follow.
func (q *queue) release(m *message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.list = append([]*message{m}, q.list...)
	q.held = false
	q.signal()
}

// take is the oldest message, and the lag where the client does not know it yet,
// else 0.
func (q *queue) take() (m *message, lag uint64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.held || len(q.list) == 0 {
		return nil, 0, false
	}
	m = q.list[0]
	q.list[0] = nil
	if q.list = q.list[1:]; len(q.list) == 0 {
		q.list = nil
	}
	if m.old {
		q.bytes -= len(m.raw)
	}
	if q.lag > q.told {
		q.told, lag = q.lag, q.lag
	}
	return m, lag, true
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.list)
}

// behind is how many readings and how many states were dropped so far.
func (q *queue) behind() (readings, states uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lag, q.stale
}

// missed counts readings that did not even reach the queue.
func (q *queue) missed(n uint64) {
	q.mu.Lock()
	q.lag += n
	q.mu.Unlock()
}
