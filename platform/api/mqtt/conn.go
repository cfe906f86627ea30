package mqtt

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/listeners"
)

const (
	// connectWithin is how long a stranger may take to say who it is.
	connectWithin = 5 * time.Second
	// maxConnect bounds the first packet, which comes from a stranger: the library makes
	// room for as much as a packet claims to have.
	maxConnect = 64 << 10
)

var (
	errFirstPacket = errors.New("the first packet is larger than a CONNECT may be")
	errFull        = errors.New("too many connections")
)

// conn is a connection and who speaks on it.
type conn struct {
	net.Conn
	session *session // nil until it has said who it is; set and read by the library's reader

	header int // bytes of the first fixed header that were seen; -1: all
	claims int // what it says of the length
}

// Read bounds the first packet.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	for i := 0; i < n && c.header >= 0; i++ {
		if c.header > 0 {
			c.claims |= int(p[i]&0x7f) << (7 * (c.header - 1))
			if c.claims > maxConnect || c.header > 4 {
				return 0, errFirstPacket
			}
			if p[i] < 0x80 {
				c.header = -1
				break
			}
		}
		c.header++
	}
	return n, err
}

// certificate is the one that the peer has proven to hold, nil without.
func (c *conn) certificate() *x509.Certificate {
	t, secure := c.Conn.(*tls.Conn)
	if !secure {
		return nil
	}
	chains := t.ConnectionState().VerifiedChains
	if len(chains) == 0 || len(chains[0]) == 0 {
		return nil
	}
	return chains[0][0]
}

// listener accepts for the library. Other than the library's own it bounds how many there
// are, gives strangers little time, and ends all of them.
type listener struct {
	net.Listener
	max int

	mu     sync.Mutex
	open   map[*conn]struct{}
	closed bool
	full   uint64 // connections that were turned away
}

var _ listeners.Listener = (*listener)(nil)

func newListener(l net.Listener, most int) *listener {
	return &listener{Listener: l, max: most, open: map[*conn]struct{}{}}
}

// Init implements listeners.Listener.
func (*listener) Init(*slog.Logger) error { return nil }

// ID implements listeners.Listener.
func (*listener) ID() string { return "mqtt" }

// Address implements listeners.Listener.
func (l *listener) Address() string { return l.Addr().String() }

// Protocol implements listeners.Listener.
func (*listener) Protocol() string { return "tcp" }

// Serve implements listeners.Listener.
func (l *listener) Serve(establish listeners.EstablishFn) {
	var pause time.Duration
	for {
		raw, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second) // no descriptors are left
			time.Sleep(pause)
			continue
		}
		pause = 0
		c := &conn{Conn: raw}
		if err := l.add(c); err != nil {
			_ = raw.Close() // it is told by the end
			continue
		}
		_ = raw.SetDeadline(time.Now().Add(connectWithin)) // the library sets later ones
		go func() {
			defer l.remove(c)
			_ = establish(l.ID(), c) // the session has noted why
			if c.session != nil {
				c.session.broker.leave(c.session)
			}
		}()
	}
}

func (l *listener) add(c *conn) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return net.ErrClosed
	case len(l.open) >= l.max:
		l.full++
		return errFull
	}
	l.open[c] = struct{}{}
	return nil
}

func (l *listener) remove(c *conn) {
	_ = c.Close() // the library may have done it
	l.mu.Lock()
	delete(l.open, c)
	l.mu.Unlock()
}

// Close implements listeners.Listener: the library says goodbye to its clients, and those
// that have not said who they are end too.
func (l *listener) Close(goodbye listeners.CloseFn) {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	_ = l.Listener.Close() // nothing is left to be done about it
	goodbye(l.ID())
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		_ = c.Close()
	}
}

func (l *listener) counts() (open int, turnedAway uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open), l.full
}
