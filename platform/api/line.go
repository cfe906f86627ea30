package api

import (
	"bytes"
	"net"
	"sync"
	"syscall"
	"time"
)

// together is how many bytes of small frames go out in one call of the system.
const together = 16 << 10

// ping is what a client must answer, so that one who has gone is noticed.
var ping = &message{frame: frameOf(opPing, nil)}

// line is where the frames of one WebSocket go out. Its writer, which serves many, hands
// a frame to the system and goes on to the next client. Where the system does not take
// all of it, because the client takes nothing or TLS is spoken, the line has a goroutine
// of its own until the queue is empty, and only this client waits.
type line struct {
	client *client
	writer *writer
	mu     sync.Mutex // held while a frame is not out whole

	raw syscall.RawConn // nil where frames have to be written another way
	// Of an attempt to write, which is made so often that it shall take no memory.
	attempt func(fd uintptr) bool
	frame   []byte
	n       int
	err     error
}

func newLine(c *client) *line {
	l := &line{client: c}
	l.writer = &c.hub.writers[c.hub.placed.Add(1)%uint64(len(c.hub.writers))]
	if tcp, ok := c.conn.NetConn().(*net.TCPConn); ok && canAttempt {
		if raw, err := tcp.SyscallConn(); err == nil {
			l.raw = raw
			l.attempt = func(fd uintptr) bool {
				l.n, l.err = attempt(fd, l.frame)
				return true // do not wait
			}
		}
	}
	return l
}

// ready has the writer look after the client.
func (l *line) ready() { l.writer.take(l) }

// serve sends what waits, as far as that goes without waiting.
func (l *line) serve() {
	l.mu.Lock()
	for !l.client.ended() {
		frame, shared := l.several()
		if frame == nil {
			break
		}
		if frame = l.try(frame); frame != nil {
			if shared {
				frame = bytes.Clone(frame)
			}
			l.writer.ended.Go(func() { l.finish(frame) })
			return // the lock goes with it
		}
	}
	l.mu.Unlock()
}

// next is the frame that is due, nil when none is.
func (l *line) next() []byte {
	m, lag, ok := l.client.queue.take()
	if !ok {
		return nil
	}
	return m.out(lag)
}

// several are the frames that are due, as far as they are small: a call of the system
// costs more than a copy. What is shared is good until the writer goes on.
func (l *line) several() (frames []byte, shared bool) {
	first := l.next()
	if l.raw == nil || first == nil || len(first) > together/2 {
		return first, false
	}
	b := l.writer.room[:0]
	for {
		m, lag, ok := l.client.queue.more(together - max(len(b), len(first)))
		if !ok {
			break
		}
		if len(b) == 0 {
			b = append(b, first...)
		}
		b = append(b, m.out(lag)...)
	}
	if len(b) == 0 {
		return first, false
	}
	l.writer.room = b
	return b, true
}

// try writes what the system takes at once, and returns the rest.
func (l *line) try(frame []byte) []byte {
	if l.raw == nil {
		return frame
	}
	l.frame = frame
	err := l.raw.Write(l.attempt)
	l.frame = nil
	if err != nil || l.err != nil {
		return frame // finish finds out
	}
	if l.n == len(frame) {
		return nil
	}
	return frame[l.n:]
}

// finish writes the rest of a frame and whatever waits, and unlocks.
func (l *line) finish(frame []byte) {
	defer l.mu.Unlock()
	conn := l.client.conn.NetConn()
	for ; frame != nil && !l.client.ended(); frame = l.next() {
		err := conn.SetWriteDeadline(time.Now().Add(writeTime))
		if err == nil {
			_, err = conn.Write(frame)
		}
		if err != nil {
			_ = conn.Close()               // which ends the reader,
			l.client.end(closeTooSlow, "") // also one that waits for its answer to be out
			return
		}
	}
	_ = conn.SetWriteDeadline(time.Time{}) // it may be closed, which the reader sees
}

// writer serves the lines that have something to send, one after the other. It is a
// goroutine while there are any.
type writer struct {
	ended *sync.WaitGroup

	mu      sync.Mutex
	lines   []*line
	spare   []*line
	running bool

	room []byte // of run, for frames that go out together
}

// take is called while the hub has the line's client.
func (w *writer) take(l *line) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, l)
	if !w.running {
		w.running = true
		w.ended.Go(w.run)
	}
}

func (w *writer) run() {
	for {
		w.mu.Lock()
		lines := w.lines
		w.lines, w.spare = w.spare, nil
		w.running = len(lines) > 0
		w.mu.Unlock()
		if len(lines) == 0 {
			return
		}
		for i, l := range lines {
			l.serve()
			lines[i] = nil
		}
		w.mu.Lock()
		w.spare = lines[:0]
		w.mu.Unlock()
	}
}
