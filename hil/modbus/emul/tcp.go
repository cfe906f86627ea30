package emul

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"yunchu/hil/modbus"
)

// pausedEvery is how often a unit that stands still looks whether it goes on.
const pausedEvery = 10 * time.Millisecond

func (s *Server) serveTCP(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := s.listener.Accept()
		if err != nil {
			if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
				continue
			}
			return err
		}
		if !s.admit(ctx, c) {
			_ = c.Close() // one too many, or the link is cut
			continue
		}
		wg.Go(func() {
			err := s.serveConn(ctx, c)
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
			_ = c.Close() // whoever asked has gone, or is to go
			s.log.Debug("connection ended", "client", c.RemoteAddr().String(), "error", err)
		})
	}
}

// admit takes a connection in. When the links of all units are cut nobody gets through.
func (s *Server) admit(ctx context.Context, c net.Conn) bool {
	cut := len(s.units) > 0
	for _, t := range s.units {
		cut = cut && t.wire().Down
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if cut || ctx.Err() != nil || len(s.conns) >= s.opt.MaxConns {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

// readBuffer holds a few requests that a client sends in one go.
const readBuffer = 1024

func (s *Server) serveConn(ctx context.Context, c net.Conn) error {
	in := bufio.NewReaderSize(c, readBuffer)
	request, frame, pdu := make([]byte, modbus.MaxPDU), make([]byte, 0, 512), make([]byte, 0, 512)
	for {
		if err := c.SetReadDeadline(time.Now().Add(s.opt.Idle)); err != nil {
			return err
		}
		transaction, unit, req, err := modbus.ReadTCP(in, request)
		if err != nil {
			return err
		}
		t, ok := s.units[unit]
		if !ok {
			f := modbus.Function(req[0])
			frame = modbus.AppendTCP(frame[:0], transaction, unit, modbus.AppendException(pdu[:0], f, modbus.GatewayNoResponse))
			if _, err := c.Write(frame); err != nil {
				return err
			}
			continue
		}
		w := t.wire()
		for w.Paused && !w.Down {
			if !wait(ctx, pausedEvery) {
				return ctx.Err()
			}
			w = t.wire()
		}
		if w.Down {
			return errCut
		}
		frame = modbus.AppendTCP(frame[:0], transaction, unit, t.answer(pdu[:0], req, &w))
		if w.Late > 0 && !wait(ctx, w.Late) {
			return ctx.Err()
		}
		if w.Reset {
			_, _ = c.Write(frame[:len(frame)/2]) // torn down in the middle
			reset(c)
			return errReset
		}
		if _, err := c.Write(frame); err != nil {
			return err
		}
	}
}

var (
	errCut   = errors.New("the link is cut")
	errReset = errors.New("the connection is reset")
)

// reset lets Close send a reset instead of an orderly end.
func reset(c net.Conn) {
	if inner, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
		c = inner.NetConn()
	}
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // without it, it is an orderly end: as good
	}
}
