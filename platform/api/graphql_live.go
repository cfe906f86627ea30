package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/gorilla/websocket"

	"yunchu/platform/api/graph"
	"yunchu/platform/auth"
	"yunchu/platform/device"
)

const (
	graphProtocol    = "graphql-transport-ws"
	socketOperations = 32 // at once on one WebSocket
	initWithin       = 10 * time.Second
	maxStrangers     = 256 // WebSockets that have not said yet who they are
	closeForbidden   = 4403
)

// graphSocket is a WebSocket of GraphQL, as gqlgen wants one. It is a client of the
// hub, which ends it with its token and with the plant.
type graphSocket struct {
	client
	open atomic.Int32 // operations
}

type socketKey struct{}

func (g *graphSocket) begin() bool {
	if g.open.Add(1) > socketOperations {
		g.open.Add(-1)
		return false
	}
	return true
}

func (g *graphSocket) end() { g.open.Add(-1) }

// graphWebsocket answers GET /graphql with an upgrade.
func (s *Server) graphWebsocket(w http.ResponseWriter, r *http.Request) {
	p, conn := s.upgrade(w, r, []string{graphProtocol})
	if conn == nil {
		return
	}
	g := &graphSocket{client: client{
		hub: s.hub, conn: conn, principal: p, wall: s.wall, ending: make(chan struct{}), left: make(chan struct{}),
	}}
	if !s.hub.add(&g.client) {
		g.client.end(closeTooSlow, "too many clients")
		<-g.left
		return
	}
	defer s.hub.remove(&g.client)
	unknown := func() {}
	if p == nil {
		s.strangers.Add(1)
		unknown = sync.OnceFunc(func() { s.strangers.Add(-1) })
	}
	defer unknown()
	ctx, cancel := context.WithCancel(context.WithValue(r.Context(), socketKey{}, g))
	over := make(chan struct{})
	go func() {
		defer close(over)
		<-g.left
		cancel()
	}()
	limit := int64(maxGraph)
	transport.Websocket{
		Implementation: g, InitTimeout: initWithin, PingPongInterval: pingEvery, PayloadReadLimit: &limit,
		InitFunc: func(ctx context.Context, in transport.InitPayload) (context.Context, *transport.InitPayload, error) {
			if p == nil {
				var refused *Problem
				if p, refused = s.who(r, bearerOf(in.Authorization()), auth.Read); refused != nil {
					g.client.end(closeForbidden, "Forbidden")
					return ctx, nil, refused
				}
				s.hub.identify(&g.client, p)
			}
			unknown()
			return context.WithValue(device.WithSource(ctx, p.Name), callerKey{}, callerFrom(r, p)), nil, nil
		},
	}.Do(w, r.WithContext(ctx), s.graph)
	g.client.end(websocket.CloseNormalClosure, "")
	<-over
}

// Accept implements transport.WebsocketImplementation: the connection is there.
func (g *graphSocket) Accept(http.ResponseWriter, *http.Request, transport.WebsocketAcceptOptions) (transport.WebsocketConn, error) {
	return g, nil
}

// Subprotocol implements transport.WebsocketConn.
func (g *graphSocket) Subprotocol() string { return graphProtocol }

// NextReader implements transport.WebsocketConn.
func (g *graphSocket) NextReader() (int, io.Reader, error) {
	kind, r, err := g.conn.NextReader()
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", transport.ErrWebsocketClosed, err)
	}
	return kind, r, nil
}

// WriteJSON implements transport.WebsocketConn. A client that takes nothing is cut
// off.
func (g *graphSocket) WriteJSON(v any) error {
	err := g.conn.SetWriteDeadline(time.Now().Add(writeTime))
	if err == nil {
		err = g.conn.WriteJSON(v)
	}
	if err != nil {
		g.conn.Close()
	}
	return err
}

// WriteClose implements transport.WebsocketConn. What ended the client first is what
// is said.
func (g *graphSocket) WriteClose(code int, message string) error {
	g.client.end(code, message)
	return nil
}

// Close implements transport.WebsocketConn: bye closes.
func (g *graphSocket) Close() error { return nil }

// SetReadLimit implements transport.WebsocketReadLimiter.
func (g *graphSocket) SetReadLimit(limit int64) { g.conn.SetReadLimit(limit) }

// SetReadDeadline implements transport.WebsocketReadDeadliner.
func (g *graphSocket) SetReadDeadline(t time.Time) error { return g.conn.SetReadDeadline(t) }

// devicesOf are the arguments that say which devices a subscription is about.
type devicesOf struct {
	glob         string
	sites, kinds []string
}

// listen has the hub's messages of one kind sent until the subscription ends. value
// is what a message is to the subscriber.
func listen[T any](ctx context.Context, s *Server, k kinds, of devicesOf, value func(*client, *message) *T) (<-chan *T, error) {
	key, refused := keyOf(callerOf(ctx).Principal, of.glob, of.sites, of.kinds)
	if refused != nil {
		return nil, refused
	}
	c := &client{hub: s.hub, principal: callerOf(ctx).Principal, wall: s.wall, values: true, ending: make(chan struct{})}
	wake := make(chan struct{}, 1) // notify does not come again until the queue was empty
	c.queue.notify = func() { wake <- struct{}{} }
	if !s.hub.add(c) {
		return nil, s.hub.full()
	}
	s.hub.listen(c, key, k)
	socket := ctx.Value(socketKey{}).(*graphSocket)
	ended := func() {
		if !socket.ended() { // where the whole WebSocket ends, its last word says why
			transport.AddSubscriptionError(ctx, s.present(ctx, c.problem()))
		}
	}
	out := make(chan *T)
	go func() {
		defer close(out)
		defer s.hub.remove(c)
		for {
			select {
			case <-ctx.Done():
				return
			case <-c.ending:
				ended()
				return
			case <-wake:
			}
			for m, _, ok := c.queue.take(); ok; m, _, ok = c.queue.take() {
				select {
				case out <- value(c, m):
				case <-ctx.Done():
					return
				case <-c.ending:
					ended()
					return
				}
			}
		}
	}()
	return out, nil
}

// problem is why a subscription was ended.
func (c *client) problem() *Problem {
	switch c.code {
	case closeTooSlow:
		return refuse(CodeOverload, c.text)
	case closeRevoked:
		return refuse(CodeUnauthorized, c.text)
	}
	return refuse(CodeClosing, c.text)
}

func (r subscriptions) Readings(ctx context.Context, devices string, sites, kinds []string) (<-chan *graph.ReadingBatch, error) {
	return listen(ctx, r.s, kindReadings, devicesOf{devices, sites, kinds}, func(c *client, m *message) *graph.ReadingBatch {
		lag, _ := c.queue.behind()
		return &graph.ReadingBatch{Lag: int(lag), Readings: m.value.([]graph.Reading)}
	})
}

func (r subscriptions) Events(ctx context.Context, devices string, sites, kinds []string) (<-chan *graph.Event, error) {
	return listen(ctx, r.s, kindEvent, devicesOf{devices, sites, kinds}, func(_ *client, m *message) *graph.Event { return m.value.(*graph.Event) })
}

func (r subscriptions) Acks(ctx context.Context, devices string, sites, kinds []string) (<-chan *graph.Ack, error) {
	return listen(ctx, r.s, kindAck, devicesOf{devices, sites, kinds}, func(_ *client, m *message) *graph.Ack { return m.value.(*graph.Ack) })
}

func (r subscriptions) Fleet(ctx context.Context) (<-chan *graph.FleetUpdate, error) {
	return listen(ctx, r.s, kindState, devicesOf{glob: "*"}, func(c *client, m *message) *graph.FleetUpdate {
		_, states := c.queue.behind()
		return &graph.FleetUpdate{Lag: int(states), State: m.value.(*graph.FleetState)}
	})
}
