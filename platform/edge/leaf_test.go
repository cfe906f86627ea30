package edge_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"yunchu/platform/edge"
)

// certificate is one for 127.0.0.1, and who trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, public, private)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, pool
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// cable is a link between two sockets that can be cut.
type cable struct {
	l    net.Listener
	to   string
	down atomic.Bool
	mu   sync.Mutex
	open []net.Conn
	// crossed counts the bytes towards the plant.
	crossed atomic.Int64
}

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{l: l, to: to}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() { c.carry(in) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		c.cut(true)
		work.Wait()
	})
	return c
}

func (c *cable) carry(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer out.Close()
	c.mu.Lock()
	if c.down.Load() {
		c.mu.Unlock()
		return
	}
	c.open = append(c.open, in, out)
	c.mu.Unlock()
	go func() {
		_, _ = io.Copy(in, out)
		in.Close()
	}()
	n, _ := io.Copy(out, in)
	c.crossed.Add(n)
}

func (c *cable) cut(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down.Store(down)
	for _, x := range c.open {
		x.Close()
	}
	c.open = nil
}

const northSecret, southSecret = "secret-of-the-north", "secret-of-the-south"

func TestLeafNode(t *testing.T) {
	pair, trusted := certificate(t)
	addr := freePort(t)
	hub, err := edge.Listen(addr, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13},
		[]edge.Member{{Name: "north", Secret: northSecret}, {Name: "south", Secret: southSecret}}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer hub.Close()
	plant := newStore()
	for _, name := range []string{"north", "south"} {
		site := edge.NewSite(name, plant, quiet())
		if err := hub.Serve(name, site.Handle); err != nil {
			t.Fatal(err)
		}
	}
	secure := &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS13}
	wire := newCable(t, addr)
	join := func(name, secret string, secure *tls.Config) *edge.Leaf {
		t.Helper()
		l, err := edge.Join("tls://"+wire.l.Addr().String(), edge.Member{Name: name, Secret: secret}, secure, quiet())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}

	t.Run("strangers stay outside", func(t *testing.T) {
		for name, l := range map[string]*edge.Leaf{
			"wrong secret":      join("north", southSecret, secure),
			"unknown name":      join("west", northSecret, secure),
			"wrong authority":   join("south", southSecret, &tls.Config{MinVersion: tls.VersionTLS13}),
			"a name, no secret": join("north", "", secure),
		} {
			for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
				if _, err := l.Ask(t.Context(), []byte("\x01h{}")); !errors.Is(err, edge.ErrDown) {
					t.Fatalf("%s: %v", name, err)
				}
			}
			l.Close()
		}
		if hub.Joined("north") || hub.Joined("south") {
			t.Error("somebody has joined")
		}
	})

	north := join("north", northSecret, secure)
	s := newSite(t)
	u, _ := s.uplink(north)
	t.Run("it is joined, and catches up after every cut", func(t *testing.T) {
		for range 3 {
			s.reads(40)
			eventually(t, "all is sent", func() bool { return u.State().Behind == 0 && u.State().Up })
			if !hub.Joined("north") {
				t.Error("the plant does not know that it is joined")
			}
			wire.cut(true)
			s.reads(40)
			eventually(t, "the cut is told", func() bool { return !u.State().Up })
			wire.cut(false)
		}
		eventually(t, "all is sent", func() bool { return u.State().Behind == 0 && u.State().Up })
		same(t, s.own, plant)
	})
	t.Run("neighbours do not hear each other", func(t *testing.T) {
		heard := make(chan struct{}, 1)
		if err := north.Serve(func(context.Context, []byte) []byte { heard <- struct{}{}; return []byte("north") }); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the plant reaches the site", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			b, err := hub.Line("north").Ask(ctx, []byte("hello"))
			return err == nil && string(b) == "north"
		})
		<-heard
		south := join("south", southSecret, secure)
		eventually(t, "the other one joins", func() bool { return hub.Joined("south") })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if b, err := hub.Line("south").Ask(ctx, []byte("hello")); err == nil {
			t.Errorf("the south answers %q, and nobody is there", b)
		}
		_ = south
		if len(heard) > 0 {
			t.Error("the north heard what was meant for the south")
		}
	})
	t.Run("what crosses the link is compressed", func(t *testing.T) {
		before := wire.crossed.Load()
		s.reads(2000)
		eventually(t, "all is sent", func() bool { return u.State().Behind == 0 })
		wire.cut(true) // its bytes are counted then
		eventually(t, "the bytes are counted", func() bool { return wire.crossed.Load() > before })
		bytes := float64(wire.crossed.Load() - before)
		if per := bytes / 4000; per > 90 { // a reading takes 110 bytes in memory, and 66 of them differ here
			t.Errorf("%.0f bytes a reading", per)
		}
		t.Logf("%.1f bytes a reading", bytes/4000)
	})
}

func TestListenRefuses(t *testing.T) {
	one := []edge.Member{{Name: "north", Secret: northSecret}}
	for want, listen := range map[string]func() (*edge.Hub, error){
		"without TLS":     func() (*edge.Hub, error) { return edge.Listen("0.0.0.0:0", nil, one, quiet()) },
		"write host:port": func() (*edge.Hub, error) { return edge.Listen("nowhere", nil, one, quiet()) },
		"at least 16": func() (*edge.Hub, error) {
			return edge.Listen("127.0.0.1:0", nil, []edge.Member{{Name: "a", Secret: "short"}}, quiet())
		},
		"have the name": func() (*edge.Hub, error) { return edge.Listen("127.0.0.1:0", nil, append(one, one...), quiet()) },
	} {
		if h, err := listen(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
			if err == nil {
				h.Close()
			}
		}
	}
	if _, err := edge.Join("nats://10.0.0.1:7422", one[0], nil, quiet()); err == nil || !strings.Contains(err.Error(), "without TLS") {
		t.Errorf("join without TLS: %v", err)
	}
}
