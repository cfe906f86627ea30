package api

import (
	"encoding/binary"
	"slices"
	"strconv"
	"sync"
)

// Bounds of what waits for one WebSocket.
const (
	queueFrames = 512
	queueBytes  = 4 << 20
	keptFrames  = 4 // the room of an empty queue
)

// message is one frame on its way to many clients. It is encoded and framed
// once.
type message struct {
	frame    []byte        // as it goes out
	raw      []byte        // of frame, the text; nil for a control frame
	readings int           // rows that are lost when it is dropped
	old      bool          // may be dropped for something newer: readings and states
	done     chan struct{} // of what one client has asked for and waits for: closed when it is written
	value    any           // what it tells, for who writes it another way; nobody changes it
}

func newMessage(raw []byte, readings int, old bool) *message {
	frame := frameOf(opText, raw)
	return &message{frame: frame, raw: frame[len(frame)-len(raw):], readings: readings, old: old}
}

// answerTo is what one client has asked for. It is read no further before that is out, so
// there is one of them.
func answerTo(raw []byte) *message {
	m := newMessage(raw, 0, false)
	m.done = make(chan struct{})
	return m
}

// weight is what counts of it against the bound of the bytes that wait: an answer may be
// longer than that by itself.
func (m *message) weight() int {
	if m.done != nil {
		return 0
	}
	return len(m.frame)
}

// Opcodes of frames (RFC 6455, section 5.2).
const (
	opText = 1
	opPing = 9
	opPong = 10
)

// frameOf is a whole frame of a server, which masks nothing.
func frameOf(op byte, payload []byte) []byte {
	b := append(make([]byte, 0, len(payload)+10), 1<<7|op) // the first is the last
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

// withLag is such a frame with the count of readings that this client missed.
func (m *message) withLag(lag uint64) []byte {
	b := append(make([]byte, 0, len(m.raw)+32), `{"lag":`...)
	b = strconv.AppendUint(b, lag, 10)
	b = append(b, ',')
	return frameOf(opText, append(b, m.raw[1:]...))
}

// out is the frame for a client that has missed lag readings of which it does not know.
func (m *message) out(lag uint64) []byte {
	if lag > 0 {
		return m.withLag(lag)
	}
	return m.frame
}

// queue holds what waits for one client. When it is full the oldest readings go
// and are counted.
type queue struct {
	notify func() // told that there is something to take, once until take has found nothing

	mu     sync.Mutex
	list   []*message
	next   int      // of list, what is taken next
	bytes  int      // the weights of what waits
	asked  *message // an answer that was taken and may not be written yet
	held   bool     // nothing is taken until release
	called bool     // notify was, and take has found something ever since
	lag    uint64   // readings dropped so far
	told   uint64   // of lag, what the client knows
	stale  uint64   // states of the fleet dropped so far
}

// push appends m. It returns how many readings went for it; ok is false when the
// queue is full of what may not be dropped.
func (q *queue) push(m *message) (dropped int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.next > 0 && len(q.list) == cap(q.list) { // room in front, before more is asked for
		n := copy(q.list, q.list[q.next:])
		clear(q.list[n:])
		q.list, q.next = q.list[:n], 0
	}
	q.list = append(q.list, m)
	q.bytes += m.weight()
	for len(q.list)-q.next > queueFrames || q.bytes > queueBytes {
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
	for i, m := range q.list[q.next:] {
		if m.old {
			q.list = slices.Delete(q.list, q.next+i, q.next+i+1)
			q.bytes -= m.weight()
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
	if !q.called {
		q.called = true
		q.notify()
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
	q.list = slices.Insert(q.list, q.next, m)
	q.held = false
	q.signal()
}

// take is the oldest message, and the lag where the client does not know it yet,
// else 0. What was taken before is written when it is called.
func (q *queue) take() (m *message, lag uint64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.asked != nil {
		close(q.asked.done)
		q.asked = nil
	}
	if q.held || q.next == len(q.list) {
		q.called = false
		return nil, 0, false
	}
	m, lag = q.pop()
	return m, lag, true
}

// more is like take for who goes on, if the frame has no more than room bytes; take shall
// find out that there is nothing left.
func (q *queue) more(room int) (m *message, lag uint64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.held || q.next == len(q.list) || len(q.list[q.next].frame) > room {
		return nil, 0, false
	}
	m, lag = q.pop()
	return m, lag, true
}

// pop takes the oldest message of some.
func (q *queue) pop() (m *message, lag uint64) {
	m = q.list[q.next]
	q.list[q.next] = nil
	switch q.next++; {
	case q.next < len(q.list):
	case cap(q.list) > keptFrames:
		q.list, q.next = nil, 0
	default:
		q.list, q.next = q.list[:0], 0
	}
	q.bytes -= m.weight()
	if m.done != nil {
		q.asked = m
	}
	if q.lag > q.told && m.raw != nil {
		q.told, lag = q.lag, q.lag
	}
	return m, lag
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.list) - q.next
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
