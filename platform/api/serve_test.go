package api_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"yunchu/platform/api"
)

// grace is how long requests may take to end when the server stops.
const grace = 3 * time.Second

// pipes is a listener without a network, whose time a test can keep.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial() net.Conn {
	here, there := net.Pipe()
	p.conns <- there
	return here
}

// TestStopWaitsForWhatWasBegun: a stop answers the requests that were begun and
// waits for nothing else, such as connections that a client has dialled ahead.
func TestStopWaitsForWhatWasBegun(t *testing.T) {
	var log strings.Builder
	w := newWorld(t, func(o *api.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	const command = `{"deviceId":"SLOW","commandId":"s","command":"stop"}` // is answered after a second
	begun := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
		controlPath, w.tokens["operator"], len(command), command)
	for _, tt := range []struct {
		name, sent string
		status     int // of the answer, 0 for none
		took       time.Duration
	}{
		{"a request is begun", begun, http.StatusAccepted, time.Second},
		{"nothing is sent", "", 0, 0},
		{"half a head is sent", begun[:20], 0, 0},
		{"half a body is sent", begun[:len(begun)-20], 0, grace},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // where a second is exactly a second
				log.Reset()
				ctx, stop := contextOf(t)
				l := newPipes()
				served := make(chan error, 1)
				go func() { served <- w.server.Serve(ctx, l) }()
				c, spare := l.dial(), l.dial()
				if _, err := io.WriteString(c, tt.sent); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				began := time.Now()
				stop()
				status := 0
				if r, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
					r.Body.Close()
					status = r.StatusCode
				}
				answered := time.Since(began)
				if _, err := spare.Read(make([]byte, 1)); err == nil {
					t.Errorf("something comes over a connection on which nothing was asked")
				}
				if err := <-served; err != nil {
					t.Errorf("Serve: %v", err)
				}
				if status != tt.status || answered != tt.took {
					t.Errorf("status %d after %v, want %d after %v", status, answered, tt.status, tt.took)
				}
				// Shutdown looks again after at most half a second.
				if took := time.Since(began); took > tt.took+600*time.Millisecond {
					t.Errorf("stopped after %v", took)
				}
				if cut := strings.Contains(log.String(), "cut off"); cut != (tt.took == grace) {
					t.Errorf("it logs %q", log.String())
				}
				c.Close()
				spare.Close()
			})
		})
	}
}

// TestNoHTTP2: what a handler has written may still be on its way over HTTP/2 when it has
// returned, and pages of the history are made in memory that is used again then. So HTTP/2
// is not spoken, not even where a listener offers it, or a client begins with it.
func TestNoHTTP2(t *testing.T) {
	w := newWorld(t)
	lender := httptest.NewTLSServer(nil) // of a certificate
	defer lender.Close()
	trust := lender.Client().Transport.(*http.Transport).TLSClientConfig
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	only := func(set func(*http.Protocols, bool)) *http.Protocols {
		p := &http.Protocols{}
		set(p, true)
		return p
	}
	for _, tt := range []struct {
		name   string
		secure bool
		offers []string // of the listener
		client *http.Protocols
		works  bool
	}{
		{"an offer", true, []string{"h2", "http/1.1"}, only((*http.Protocols).SetHTTP2), false},
		{"no offer", true, nil, only((*http.Protocols).SetHTTP2), true}, // and it makes do with the other
		{"HTTP/1.1", true, []string{"h2", "http/1.1"}, only((*http.Protocols).SetHTTP1), true},
		{"knowledge", false, nil, only((*http.Protocols).SetUnencryptedHTTP2), false},
		{"HTTP/1.1 in the clear", false, nil, only((*http.Protocols).SetHTTP1), true},
	} {
		ctx, stop := contextOf(t)
		l, scheme := listen(), "http"
		address := l.Addr().String()
		if tt.secure {
			l, scheme = tls.NewListener(l, &tls.Config{Certificates: lender.TLS.Certificates, NextProtos: tt.offers}), "https"
		}
		served := make(chan error, 1)
		go func() { served <- w.server.Serve(ctx, l) }()
		transport := &http.Transport{TLSClientConfig: trust.Clone(), Protocols: tt.client}
		transport.TLSClientConfig.NextProtos = nil
		r, err := (&http.Client{Transport: transport, Timeout: hung}).Get(scheme + "://" + address + "/healthz")
		if err == nil {
			r.Body.Close()
		}
		if (err == nil) != tt.works || err == nil && r.ProtoMajor != 1 {
			t.Errorf("%s: %+v, %v", tt.name, r, err)
		}
		transport.CloseIdleConnections()
		stop()
		if err := <-served; err != nil {
			t.Errorf("%s: Serve: %v", tt.name, err)
		}
	}
}
