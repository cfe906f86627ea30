package emul

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"sync"
	"time"

	"yunchu/hil/can"
	"yunchu/hil/pty"
)

// adapter is an adapter with Lawicel's ASCII protocol, or as many of them on one bus as
// there are connections to its port: what one of them sends, the emulator and all others
// receive.
type adapter struct {
	rate     string // the S command of the bus
	listener net.Listener
	frames   chan can.Frame
	done     chan struct{}
	once     sync.Once
	wg       sync.WaitGroup

	mu      sync.Mutex
	conns   []*client
	down    bool
	closed  bool
	dropped uint64
}

// client is one connection to an adapter.
type client struct {
	rw    io.ReadWriteCloser
	out   chan []byte
	gone  chan struct{}
	once  sync.Once
	open  bool // the channel is
	deaf  bool // its bit rate is not the bus's
	lines can.Splitter
}

// framesLength and linesLength bound what waits for the emulator and for a client.
const (
	framesLength = 256
	linesLength  = 256
)

func newAdapter(bitRate int) (*adapter, error) {
	rate, err := can.BitRateCommand(bitRate)
	if err != nil {
		return nil, err
	}
	return &adapter{rate: rate, frames: make(chan can.Frame, framesLength), done: make(chan struct{})}, nil
}

// open is the bus at an address, and the address with the port that was free.
func open(address string, bitRate int) (can.Bus, string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, "", fmt.Errorf("address %q: %w", address, err)
	}
	switch {
	case u.Scheme == "pty":
		a, err := newAdapter(bitRate)
		if err != nil {
			return nil, "", err
		}
		rw, err := pty.Open(u.Host + u.Path)
		if err != nil {
			return nil, "", err
		}
		a.attach(rw)
		return a, address, nil
	case u.Scheme == "slcan" && u.Port() != "":
		a, err := newAdapter(bitRate)
		if err != nil {
			return nil, "", err
		}
		if a.listener, err = net.Listen("tcp", u.Host); err != nil {
			return nil, "", err
		}
		a.wg.Go(a.accept)
		return a, "slcan://" + a.listener.Addr().String(), nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	bus, err := can.Dial(ctx, address, bitRate)
	return bus, address, err
}

// dialTimeout is for a bus that is somebody else's.
const dialTimeout = 5 * time.Second

func (a *adapter) accept() {
	for {
		conn, err := a.listener.Accept()
		if err != nil {
			return // it was closed
		}
		a.attach(conn)
	}
}

// maxClients bounds the connections; the one too many is refused.
const maxClients = 16

// attach serves one connection, or refuses it.
func (a *adapter) attach(rw io.ReadWriteCloser) {
	c := &client{rw: rw, out: make(chan []byte, linesLength), gone: make(chan struct{})}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || a.down || len(a.conns) == maxClients {
		_ = rw.Close() // nothing was said
		return
	}
	a.conns = append(a.conns, c)
	a.wg.Go(func() { a.read(c) })
	a.wg.Go(c.write)
}

func (a *adapter) read(c *client) {
	buf := make([]byte, 4096)
	for {
		n, err := c.rw.Read(buf)
		c.lines.Feed(buf[:n], func(line []byte, _ byte) { a.command(c, line) })
		if err != nil {
			c.leave()
			a.mu.Lock()
			a.conns = slices.DeleteFunc(a.conns, func(o *client) bool { return o == c })
			a.mu.Unlock()
			return
		}
	}
}

func (c *client) write() {
	for {
		select {
		case b := <-c.out:
			if _, err := c.rw.Write(b); err != nil {
				c.leave()
				return
			}
		case <-c.gone:
			return
		}
	}
}

// leave ends the connection.
func (c *client) leave() {
	c.once.Do(func() {
		close(c.gone)
		_ = c.rw.Close() // it may be closed already
	})
}

// say queues a line for a client; one that does not read loses it, as on a real adapter.
func (a *adapter) say(c *client, line []byte) {
	select {
	case c.out <- line:
	default:
		a.dropped++
	}
}

// command takes a line from a client.
func (a *adapter) command(c *client, line []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.down {
		return
	}
	a.say(c, a.answer(c, line))
}

var (
	yes = []byte{'\r'}
	no  = []byte{'\a'}
)

func (a *adapter) answer(c *client, line []byte) []byte {
	if f, err := can.ParseSLCAN(line); err == nil {
		if !c.open {
			return no
		}
		a.deliver(c, f)
		if f.IsExtended {
			return []byte("Z\r")
		}
		return []byte("z\r")
	}
	text := string(line)
	switch {
	case len(text) == 2 && text[0] == 'S' && '0' <= text[1] && text[1] <= '8' && !c.open:
		c.deaf = text != a.rate
		return yes
	case text == "O" && !c.open, text == "C" && c.open:
		c.open = text == "O"
		return yes
	case text == "V":
		return []byte("V1013\r")
	case text == "N":
		return []byte("NY001\r")
	case text == "F":
		return []byte("F00\r")
	}
	return no
}

// deliver gives a client's frame to the emulator and to the other clients.
func (a *adapter) deliver(from *client, f can.Frame) {
	if from.deaf {
		return
	}
	select {
	case a.frames <- f:
	default:
		a.dropped++
	}
	a.tell(f, from)
}

// tell gives a frame to all clients that hear it.
func (a *adapter) tell(f can.Frame, from *client) {
	line := can.AppendSLCAN(nil, f)
	for _, c := range a.conns {
		if c != from && c.open && !c.deaf {
			a.say(c, line)
		}
	}
}

// Send implements can.Bus.
func (a *adapter) Send(_ context.Context, f can.Frame) error {
	if err := f.Validate(); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tell(f, nil)
	return nil
}

// Receive implements can.Bus.
func (a *adapter) Receive(ctx context.Context) (can.Frame, error) {
	select {
	case f := <-a.frames:
		return f, nil
	case <-a.done:
		return can.Frame{}, can.ErrClosed
	case <-ctx.Done():
		return can.Frame{}, ctx.Err()
	}
}

// Dropped implements can.Bus.
func (a *adapter) Dropped() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.dropped
}

// cut implements wire. A pseudo-terminal cannot be torn down: it falls silent.
func (a *adapter) cut(down, reset bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down = down
	if a.listener == nil || !down && !reset {
		return
	}
	for _, c := range a.conns {
		if t, ok := c.rw.(*net.TCPConn); ok && reset && c.open {
			_, _ = t.Write([]byte("t35")) // in the middle of a line
			_ = t.SetLinger(0)            // with a reset
		} else if !down {
			continue
		}
		c.leave()
	}
}

// Close implements can.Bus.
func (a *adapter) Close() error {
	var err error
	a.once.Do(func() {
		close(a.done)
		if a.listener != nil {
			err = a.listener.Close()
		}
		a.mu.Lock()
		a.closed = true
		for _, c := range a.conns {
			c.leave()
		}
		a.mu.Unlock()
		a.wg.Wait()
		if errors.Is(err, net.ErrClosed) {
			err = nil
		}
	})
	return err
}
