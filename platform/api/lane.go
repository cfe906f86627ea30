package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	headWithin = 5 * time.Second // of the first request of a connection
	idleWithin = 2 * time.Minute // until the next one
	sentWithin = 60 * time.Second
	// laneRoom is what a connection has for a request. Larger ones get more once it is
	// known who sends them, up to laneLimit; what is larger still is net/http's.
	laneRoom  = 2 << 10
	laneLimit = smallBody
)

// lane serves what devices send again and again, single POSTs of readings on connections
// without TLS, and spares them what net/http does for requests of every kind: most of what
// such a request costs. It takes a request only in its usual form: the head in one piece,
// one length, one token. A connection on which anything else comes is handed to net/http
// with all that was read, and stays there; so nothing is understood in another way than
// net/http understands it.
type lane struct {
	net.Listener // from which net/http takes what is handed over

	server *Server
	conns  *connections
	handed chan net.Conn
	failed chan struct{} // closed when nobody is accepted any more
	err    error

	mu      sync.Mutex
	open    map[*laneConn]struct{}
	closing atomic.Bool
	ended   sync.WaitGroup
}

func newLane(s *Server, l net.Listener, conns *connections) *lane {
	return &lane{
		Listener: l, server: s, conns: conns, handed: make(chan net.Conn), failed: make(chan struct{}), open: map[*laneConn]struct{}{},
	}
}

// run accepts until the listener is closed.
func (x *lane) run(ctx context.Context) {
	defer close(x.failed)
	for {
		c, err := x.Listener.Accept()
		if err != nil {
			if e, ok := errors.AsType[net.Error](err); ok && e.Temporary() && !errors.Is(err, net.ErrClosed) { //nolint:staticcheck // as net/http asks: no descriptors are left
				time.Sleep(5 * time.Millisecond)
				continue
			}
			x.err = err
			return
		}
		if _, secure := c.(*tls.Conn); secure {
			x.give(c)
			continue
		}
		x.conns.follow(c, http.StateNew)
		l := &laneConn{lane: x, conn: c}
		x.mu.Lock()
		x.open[l] = struct{}{}
		x.ended.Go(func() { l.serve(ctx) })
		x.mu.Unlock()
	}
}

// give has net/http serve a connection.
func (x *lane) give(c net.Conn) {
	select {
	case x.handed <- c:
	case <-x.failed:
		_ = c.Close() // it would not be served any more
	}
}

// Accept implements net.Listener for net/http.
func (x *lane) Accept() (net.Conn, error) {
	select {
	case c := <-x.handed:
		return c, nil
	case <-x.failed:
		return nil, x.err
	}
}

// stop lets the requests that have come be answered, until ctx ends, and closes the
// connections. It is ctx's error when some were cut off.
func (x *lane) stop(ctx context.Context) error {
	x.closing.Store(true)
	each := func(do func(*laneConn)) {
		x.mu.Lock()
		defer x.mu.Unlock()
		for l := range x.open {
			do(l)
		}
	}
	each(func(l *laneConn) {
		if l.idle.Load() {
			_ = l.conn.SetReadDeadline(time.Unix(1, 0)) // it reads, and nothing is to come
		}
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		x.ended.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		each(func(l *laneConn) { _ = l.conn.Close() })
		<-done
		return ctx.Err()
	}
}

// laneConn is one connection. It is the http.ResponseWriter and the body of its requests,
// of which there is one at a time.
type laneConn struct {
	lane *lane
	conn net.Conn
	idle atomic.Bool // it waits for a request

	in       []byte // what was read and is not served yet
	readBy   time.Time
	writeBy  time.Time
	request  *http.Request
	token    []byte // of request, as it came
	header   http.Header
	status   int
	body     []byte // of the request, what is left of it
	whole    bool   // body came whole
	answer   []byte // its body
	out      []byte
	handover bool
}

// handed is a connection with what was read from it.
type handed struct {
	net.Conn
	read []byte
}

// Read implements net.Conn.
func (h *handed) Read(b []byte) (int, error) {
	if len(h.read) > 0 {
		n := copy(b, h.read)
		if h.read = h.read[n:]; len(h.read) == 0 {
			h.read = nil // the connection may stay for long
		}
		return n, nil
	}
	return h.Conn.Read(b)
}

func (l *laneConn) serve(ctx context.Context) {
	defer func() {
		l.lane.mu.Lock()
		delete(l.lane.open, l)
		l.lane.mu.Unlock()
		if l.handover && !l.lane.closing.Load() {
			_ = l.conn.SetDeadline(time.Time{}) // net/http has its own
			l.lane.give(&handed{l.conn, l.in})
			return
		}
		_ = l.conn.Close() // nothing is on its way
		l.lane.conns.follow(l.conn, http.StateClosed)
	}()
	l.request = (&http.Request{
		Method: http.MethodPost, URL: &url.URL{Path: syncPath}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: l, RemoteAddr: l.conn.RemoteAddr().String(), RequestURI: syncPath,
	}).WithContext(ctx)
	l.header = http.Header{}
	l.in = make([]byte, 0, laneRoom)
	if l.conn.SetReadDeadline(time.Now().Add(headWithin)) != nil {
		return
	}
	for first := true; !l.lane.closing.Load(); first = false {
		if len(l.in) == 0 && !l.next(first) {
			return
		}
		h, ok := parseHead(l.in)
		if ok && first {
			l.lane.conns.follow(l.conn, http.StateActive)
		}
		if !ok || !l.take(&h) {
			l.handover = true
			return
		}
		l.lane.server.ServeHTTP(l, l.request)
		end := h.size + h.length
		if !l.respond() || !l.whole {
			return
		}
		l.rest(end)
	}
}

// next waits for the first bytes of a request.
func (l *laneConn) next(first bool) bool {
	// A deadline is a timer that is moved: that is done seldom.
	if now := time.Now(); !first && l.readBy.Sub(now) < idleWithin {
		l.readBy = now.Add(idleWithin + idleWithin/4)
		if l.conn.SetReadDeadline(l.readBy) != nil {
			return false
		}
	}
	l.idle.Store(true)
	defer l.idle.Store(false)
	if l.lane.closing.Load() {
		return false
	}
	n, err := l.conn.Read(l.in[:cap(l.in)])
	l.in = l.in[:n]
	return err == nil
}

// take makes the request from its head and reads what is missing of its body. It is false
// where that is better left to net/http.
func (l *laneConn) take(h *head) bool {
	if !bytes.Equal(h.token, l.token) {
		l.token = bytes.Clone(h.token)
		l.request.Header["Authorization"] = []string{string(h.token)}
	}
	delete(l.request.Header, requestIDHeader)
	if len(h.id) > 0 {
		l.request.Header[requestIDHeader] = []string{string(h.id)}
	}
	l.request.Host, l.request.ContentLength = string(h.host), int64(h.length)
	size := h.size + h.length
	if size > cap(l.in) {
		s := l.lane.server
		if size > laneLimit {
			return false
		}
		if _, err := s.auth.Check(bearer(l.request), s.wall()); err != nil {
			return false
		}
		l.in = append(rooms.Get().([]byte), l.in...)
	}
	if l.whole = true; len(l.in) < size {
		if l.conn.SetReadDeadline(time.Now().Add(smallWithin)) != nil {
			return false
		}
		l.readBy = time.Time{}
		n, err := io.ReadAtLeast(l.conn, l.in[len(l.in):cap(l.in)], size-len(l.in))
		l.in = l.in[:len(l.in)+n]
		l.whole = err == nil
	}
	l.body = l.in[h.size:min(size, len(l.in))]
	clear(l.header)
	l.status, l.answer = 0, l.answer[:0]
	return true
}

// rooms are large buffers, which connections have while they need them.
var rooms = sync.Pool{New: func() any { return make([]byte, 0, laneLimit) }}

// rest keeps what came behind the request that is served.
func (l *laneConn) rest(end int) {
	left := l.in[end:]
	if cap(l.in) > laneRoom && len(left) <= laneRoom {
		large := l.in
		l.in = append(make([]byte, 0, laneRoom), left...)
		rooms.Put(large[:0]) //nolint:staticcheck // a slice's head is a small price for 64 kB
		return
	}
	l.in = l.in[:copy(l.in, left)]
}

// respond writes the answer.
func (l *laneConn) respond() bool {
	now := time.Now()
	b := append(l.out[:0], "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(l.status), 10)
	b = append(append(b, ' '), http.StatusText(l.status)...)
	b = append(b, "\r\nDate: "...)
	b = append(b, dateOf(now)...)
	for name, values := range l.header {
		for _, v := range values {
			b = append(append(append(append(b, "\r\n"...), name...), ": "...), v...)
		}
	}
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(l.answer)), 10)
	if l.lane.closing.Load() || !l.whole {
		b = append(b, "\r\nConnection: close"...)
	}
	b = append(b, "\r\n\r\n"...)
	l.out = append(b, l.answer...)
	if l.writeBy.Sub(now) < sentWithin {
		l.writeBy = now.Add(2 * sentWithin)
		if l.conn.SetWriteDeadline(l.writeBy) != nil {
			return false
		}
	}
	_, err := l.conn.Write(l.out)
	if cap(l.out) > laneRoom {
		l.out, l.answer = nil, nil
	}
	return err == nil
}

// date is the header of a second.
type date struct {
	second int64
	text   string
}

var lastDate atomic.Pointer[date]

func dateOf(now time.Time) string {
	d := lastDate.Load()
	if d == nil || d.second != now.Unix() {
		d = &date{now.Unix(), now.UTC().Format(http.TimeFormat)}
		lastDate.Store(d)
	}
	return d.text
}

// Header implements http.ResponseWriter.
func (l *laneConn) Header() http.Header { return l.header }

// WriteHeader implements http.ResponseWriter.
func (l *laneConn) WriteHeader(status int) {
	if l.status == 0 {
		l.status = status
	}
}

// Write implements http.ResponseWriter.
func (l *laneConn) Write(b []byte) (int, error) {
	l.WriteHeader(http.StatusOK)
	l.answer = append(l.answer, b...)
	return len(b), nil
}

// SetReadDeadline is for http.ResponseController: the body is there.
func (l *laneConn) SetReadDeadline(time.Time) error { return nil }

// Read implements io.Reader: it is the body of the request.
func (l *laneConn) Read(b []byte) (int, error) {
	switch {
	case len(l.body) > 0:
		n := copy(b, l.body)
		l.body = l.body[n:]
		return n, nil
	case !l.whole:
		return 0, io.ErrUnexpectedEOF
	}
	return 0, io.EOF
}

// Close implements io.Closer, for the body.
func (l *laneConn) Close() error { return nil }
