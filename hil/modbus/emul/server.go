package emul

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/pty"
	"yunchu/hil/unit"
)

// Served is one unit behind a server.
type Served struct {
	Bank Bank
	Wire func() unit.Wire // what is broken about its wire; nil: nothing ever
}

// Options say what is served, and where.
type Options struct {
	// Address is tcp://host:port, tls://host:port, rtu:///dev/ttyUSB0?baud=9600 or
	// pty://./name, which makes a pseudo-terminal linked there. One passes bytes at once; with
	// pty://./name?baud=1200 answers take as long as on such a line.
	Address string
	Units   map[byte]Served

	Cert, Key, CA string // paths of PEM files, for tls://

	MaxConns int           // connections at a time; 0: DefaultMaxConns. One more is closed at once.
	Idle     time.Duration // a connection that asks nothing for so long is closed; 0: DefaultIdle
	Log      *slog.Logger
}

// Bounds of what clients may take.
const (
	DefaultMaxConns = 128
	DefaultIdle     = 2 * time.Minute
)

// Server answers for units over TCP, TLS or on a serial line.
type Server struct {
	opt   Options
	log   *slog.Logger
	units map[byte]*station
	addr  string

	listener net.Listener // or:
	line     serialLine
	baud     int // of the line that a pseudo-terminal stands for; 0: its bytes take no time

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// Listen opens what Serve serves on, so that its address is known.
func Listen(o Options) (*Server, error) {
	o.MaxConns = cmp.Or(o.MaxConns, DefaultMaxConns)
	o.Idle = cmp.Or(o.Idle, DefaultIdle)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{opt: o, log: o.Log, units: map[byte]*station{}, conns: map[net.Conn]struct{}{}}
	for n, u := range o.Units {
		if u.Bank == nil {
			return nil, fmt.Errorf("serve %s: unit %d has no registers", o.Address, n)
		}
		if u.Wire == nil {
			u.Wire = func() unit.Wire { return unit.Wire{} }
		}
		s.units[n] = &station{bank: u.Bank, wire: u.Wire}
	}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("serve %s: %w", o.Address, err)
	}
	return s, nil
}

func (s *Server) open() error {
	u, err := url.Parse(s.opt.Address)
	if err != nil {
		return err
	}
	switch u.Scheme {
	case "tcp", "tls":
		l, err := net.Listen("tcp", u.Host)
		if err != nil {
			return err
		}
		s.addr = u.Scheme + "://" + l.Addr().String()
		if u.Scheme == "tls" {
			config, err := s.opt.tls()
			if err != nil {
				return errors.Join(err, l.Close())
			}
			l = tls.NewListener(l, config)
		}
		s.listener = l
	case "rtu":
		p, err := modbus.OpenSerial(s.opt.Address)
		if err != nil {
			return err
		}
		s.addr, s.line = s.opt.Address, realLine{p}
	case "pty":
		link, err := filepath.Abs(u.Host + u.Path)
		if err != nil {
			return err
		}
		if s.baud, err = modbus.Baud("rtu://" + link + "?" + u.RawQuery); err != nil {
			return err
		}
		if !u.Query().Has("baud") {
			s.baud = 0
		}
		t, err := pty.Open(link)
		if err != nil {
			return err
		}
		s.addr, s.line = "rtu://"+link, pseudoLine{t}
		if u.RawQuery != "" {
			s.addr += "?" + u.RawQuery
		}
	default:
		return errors.New("want tcp://host:port, tls://host:port, rtu:///dev/ttyUSB0?baud=9600 or pty://./name")
	}
	return nil
}

// tls asks every client for a certificate of the same authority, as Modbus/TCP Security
// does.
func (o *Options) tls() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(o.Cert, o.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	pem, err := os.ReadFile(o.CA)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("authority: %s holds no certificate", o.CA)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
	}, nil
}

// Addr is where a client reaches the server: with the port that was free, or the path of
// the pseudo-terminal.
func (s *Server) Addr() string { return s.addr }

// Close gives up a server that is not to be served.
func (s *Server) Close() error {
	if s.line != nil {
		return s.line.Close()
	}
	return s.listener.Close()
}

// Serve answers until ctx ends. Everything is closed when it returns.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		_ = s.Close() // ends what waits on it
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			_ = c.Close() // its goroutine ends
		}
	})
	defer stop()
	var err error
	if s.line != nil {
		err = s.serveLine(ctx)
	} else {
		err = s.serveTCP(ctx)
	}
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(fmt.Errorf("serve %s: %w", s.addr, err), s.Close())
}

// station is one unit with what its wire remembers.
type station struct {
	wire func() unit.Wire

	mu       sync.Mutex // a Bank is asked by one goroutine at a time
	bank     Bank
	previous []byte // the answer before
}

// answer appends the answer to a request as the station's wire lets it out.
func (t *station) answer(dst, pdu []byte, w *unit.Wire) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	from := len(dst)
	dst = t.take(dst, pdu, w)
	if !w.Previous {
		t.previous = nil
		return dst
	}
	before := t.previous
	t.previous = append([]byte(nil), dst[from:]...)
	if before == nil {
		return dst
	}
	return append(dst[:from], before...)
}

func (t *station) take(dst, pdu []byte, w *unit.Wire) []byte {
	r, err := modbus.ParseRequest(pdu)
	if err == nil && w.Exception != 0 {
		err = modbus.Exception(w.Exception)
	}
	var values []uint16
	if err == nil {
		values, err = t.do(&r)
	}
	if err == nil {
		return modbus.AppendAnswer(dst, &r, values)
	}
	e, ok := errors.AsType[modbus.Exception](err)
	switch {
	case ok:
	case errors.Is(err, modbus.ErrMalformed):
		e = modbus.IllegalValue
	default:
		e = modbus.DeviceFailure
	}
	return modbus.AppendException(dst, r.Function, e)
}

func (t *station) do(r *modbus.Request) ([]uint16, error) {
	switch r.Function {
	case modbus.WriteCoil, modbus.WriteCoils:
		on := make([]bool, len(r.Values))
		for i, v := range r.Values {
			on[i] = v != 0
		}
		return nil, t.bank.WriteCoils(r.Addr, on)
	case modbus.WriteRegister, modbus.WriteRegisters:
		return nil, t.bank.Write(r.Addr, r.Values)
	}
	values, err := t.bank.Read(r.Table(), r.Addr, r.Count)
	if err == nil && len(values) != int(r.Count) {
		err = modbus.DeviceFailure
	}
	return values, err
}

// wait lets d pass, unless ctx ends before.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
