package edge

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"golang.org/x/crypto/bcrypt"

	busnats "yunchu/platform/bus/nats"
)

const (
	upSubject   = "up"   // from the site to the plant
	downSubject = "down" // from the plant to the site
	startWithin = 20 * time.Second
	maxMessage  = 4 << 20
	// handling bounds the requests of one site that are worked on at once. The site itself
	// has one under way.
	handling = 4
	// rejoin is how often a site tries to reach its plant.
	rejoin = time.Second
	// pings is how often both ends look whether the other one is still there; a link that is
	// cut without a word is noticed after three of them.
	pings = 5 * time.Second
)

// Member is a site that may join.
type Member struct {
	Name   string
	Secret string
}

// MinSecret is how long a secret must be, in characters.
const MinSecret = 16

// Hub is the plant's end of the links of all its sites.
type Hub struct {
	srv   *server.Server
	conns map[string]*nats.Conn // by site, in its account

	work sync.WaitGroup
	ctx  context.Context // of handlers
	end  context.CancelFunc
}

// Listen lets sites join at an address, host:port. secure may be nil on a loopback address
// only: the secrets of the sites cross the link.
func Listen(address string, secure *tls.Config, members []Member, log *slog.Logger) (*Hub, error) {
	host, port, err := hostPort(address)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); secure == nil && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("listen for sites on %s: without TLS only a loopback address is allowed", address)
	}
	o := options("yunchu-plant")
	o.LeafNode = server.LeafNodeOpts{
		Host: host, Port: port, NoAdvertise: true, AuthTimeout: 5, TLSConfig: secure, TLSTimeout: 10,
		Compression: server.CompressionOpts{Mode: server.CompressionS2Better},
	}
	inside := map[string]string{}
	for _, m := range members {
		switch {
		case m.Name == "" || inside[m.Name] != "":
			return nil, fmt.Errorf("two sites, or none, have the name %q", m.Name)
		case len(m.Secret) < MinSecret:
			return nil, fmt.Errorf("the secret of the site %s has %d characters, at least %d are needed", m.Name, len(m.Secret), MinSecret)
		}
		account := server.NewAccount(m.Name)
		inside[m.Name] = rand.Text()
		o.Accounts = append(o.Accounts, account)
		here, err := bcrypt.GenerateFromPassword([]byte(inside[m.Name]), bcrypt.MinCost) // long and random as it is
		if err != nil {
			return nil, err
		}
		// The hash lives beside the secret, in memory alone, so that a dear one protects nothing; and a site waits for two
		// seconds at most to be let in.
		there, err := bcrypt.GenerateFromPassword([]byte(m.Secret), bcrypt.MinCost)
		if err != nil {
			return nil, fmt.Errorf("the secret of the site %s: %w", m.Name, err)
		}
		o.Users = append(o.Users, &server.User{Username: m.Name, Password: string(here), Account: account})
		o.LeafNode.Users = append(o.LeafNode.Users, &server.User{Username: m.Name, Password: string(there), Account: account})
	}
	srv, err := start(o, log)
	if err != nil {
		return nil, fmt.Errorf("listen for sites on %s: %w", address, err)
	}
	h := &Hub{srv: srv, conns: map[string]*nats.Conn{}}
	h.ctx, h.end = context.WithCancel(context.Background())
	for _, m := range members {
		nc, err := nats.Connect("", nats.InProcessServer(srv), nats.UserInfo(m.Name, inside[m.Name]), nats.MaxReconnects(-1))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("account of the site %s: %w", m.Name, err), h.Close())
		}
		h.conns[m.Name] = nc
	}
	return h, nil
}

// Addr is where the hub listens.
func (h *Hub) Addr() string {
	o, _ := h.srv.Varz(nil)
	return net.JoinHostPort(o.LeafNode.Host, strconv.Itoa(o.LeafNode.Port))
}

// Serve answers the requests of a site with f until the hub is closed.
func (h *Hub) Serve(site string, f Handler) error {
	nc := h.conns[site]
	if nc == nil {
		return fmt.Errorf("no site has the name %q", site)
	}
	return serve(h.ctx, &h.work, nc, upSubject, f)
}

// Line asks a site.
func (h *Hub) Line(site string) Line { return line{h.conns[site], downSubject} }

// Joined reports whether the site's link stands.
func (h *Hub) Joined(site string) bool {
	l, err := h.srv.Leafz(&server.LeafzOptions{Account: site})
	return err == nil && l.NumLeafs > 0
}

// Close ends all links.
func (h *Hub) Close() error {
	h.end()
	for _, nc := range h.conns {
		nc.Close()
	}
	h.work.Wait()
	stop(h.srv)
	return nil
}

// Leaf is the site's end of its link.
type Leaf struct {
	srv  *server.Server
	nc   *nats.Conn
	work sync.WaitGroup
	ctx  context.Context
	end  context.CancelFunc
}

// Join joins the plant at tls://host:port, or nats://host:port on a loopback address, and
// does so again whenever the link is lost.
func Join(plant string, me Member, secure *tls.Config, log *slog.Logger) (*Leaf, error) {
	u, err := url.Parse(plant)
	if err != nil || u.Host == "" || u.Scheme != "tls" && u.Scheme != "nats" {
		return nil, fmt.Errorf("the plant's address is %q, and must be tls://host:port", plant)
	}
	if ip := net.ParseIP(u.Hostname()); u.Scheme != "tls" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("%s: without TLS only a loopback address is allowed", plant)
	}
	u.User = url.UserPassword(me.Name, me.Secret)
	o := options("yunchu-site-" + me.Name)
	remote := &server.RemoteLeafOpts{
		URLs: []*url.URL{u}, Compression: server.CompressionOpts{Mode: server.CompressionS2Better},
	}
	if u.Scheme == "tls" {
		remote.TLS, remote.TLSConfig, remote.TLSTimeout = true, secure, 10
	}
	o.LeafNode = server.LeafNodeOpts{ReconnectInterval: rejoin, Remotes: []*server.RemoteLeafOpts{remote}}
	srv, err := start(o, log)
	if err != nil {
		return nil, fmt.Errorf("join %s: %w", plant, err)
	}
	l := &Leaf{srv: srv}
	l.ctx, l.end = context.WithCancel(context.Background())
	if l.nc, err = nats.Connect("", nats.InProcessServer(srv), nats.MaxReconnects(-1)); err != nil {
		l.end()
		stop(srv)
		return nil, fmt.Errorf("join %s: %w", plant, err)
	}
	return l, nil
}

// Ask implements Line.
func (l *Leaf) Ask(ctx context.Context, request []byte) ([]byte, error) {
	return line{l.nc, upSubject}.Ask(ctx, request)
}

// Serve answers the plant's requests with f until the link is closed.
func (l *Leaf) Serve(f Handler) error { return serve(l.ctx, &l.work, l.nc, downSubject, f) }

// Close leaves the plant.
func (l *Leaf) Close() error {
	l.end()
	l.nc.Close()
	l.work.Wait()
	stop(l.srv)
	return nil
}

// line asks over a connection.
type line struct {
	nc      *nats.Conn
	subject string
}

func (l line) Ask(ctx context.Context, request []byte) ([]byte, error) {
	if l.nc == nil {
		return nil, ErrDown
	}
	m, err := l.nc.RequestWithContext(ctx, l.subject, request)
	switch {
	case err == nil:
		return m.Data, nil
	case errors.Is(err, context.Canceled):
		return nil, err
	case errors.Is(err, nats.ErrMaxPayload):
		return nil, fmt.Errorf("%w: %d bytes", err, len(request))
	}
	return nil, fmt.Errorf("%w: %w", ErrDown, err)
}

// serve answers requests on a subject, some at once.
func serve(ctx context.Context, work *sync.WaitGroup, nc *nats.Conn, subject string, f Handler) error {
	room := make(chan struct{}, handling)
	_, err := nc.Subscribe(subject, func(m *nats.Msg) {
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return
		}
		work.Go(func() {
			defer func() { <-room }()
			_ = m.Respond(f(ctx, m.Data)) // who does not get it asks again
		})
	})
	if err != nil {
		return fmt.Errorf("serve %s: %w", subject, err)
	}
	return nc.Flush()
}

// options are those of both ends: nothing is stored, nobody but the other end can connect.
func options(name string) *server.Options {
	return &server.Options{
		ServerName: name, DontListen: true, NoSigs: true, MaxPayload: maxMessage, PingInterval: pings, MaxPingsOut: 2,
	}
}

func start(o *server.Options, log *slog.Logger) (*server.Server, error) {
	srv, err := server.NewServer(o)
	if err != nil {
		return nil, err
	}
	srv.SetLoggerV2(busnats.Logger(log), false, false, false)
	go srv.Start()
	if !srv.ReadyForConnections(startWithin) {
		stop(srv)
		return nil, errors.New("the link's server did not start")
	}
	return srv, nil
}

func stop(srv *server.Server) {
	srv.Shutdown()
	srv.WaitForShutdown()
}

func hostPort(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err != nil {
		return "", 0, fmt.Errorf("listen for sites on %q: write host:port", address)
	}
	if port == 0 {
		port = -1 // a free one, as the server says it
	}
	return host, port, nil
}
