package api_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"yunchu/platform/api"
	"yunchu/platform/auth"
	"yunchu/platform/device"
	"yunchu/platform/store/series"
)

// brokenHistory fails, and panics for the second device.
type brokenHistory struct{}

func (brokenHistory) Query(_ context.Context, q api.Query) (api.Page, error) {
	if q.Slot == 1 {
		panic(errTest)
	}
	return api.Page{}, errTest
}

func (brokenHistory) Aggregate(context.Context, series.AggregateQuery) (series.AggregatePage, error) {
	return series.AggregatePage{}, errTest
}

// graphClient speaks graphql-transport-ws.
type graphClient struct {
	*websocket.Conn
	t testing.TB
}

type graphMessage struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// code is that of the message's first error, empty when there is none.
func (m graphMessage) code(t testing.TB) string {
	t.Helper()
	type fault struct{ Extensions struct{ Code string } }
	var list []fault
	if m.Type == "next" {
		var a struct{ Errors []fault }
		if err := json.Unmarshal(m.Payload, &a); err != nil {
			t.Fatal(err)
		}
		list = a.Errors
	} else if err := json.Unmarshal(m.Payload, &list); err != nil {
		t.Fatalf("%v: %s", err, m.Payload)
	}
	if len(list) == 0 {
		return ""
	}
	return list[0].Extensions.Code
}

// data reads what a message tells of the field x.
func (m graphMessage) data(t testing.TB, x any) {
	t.Helper()
	a := struct{ Data struct{ X any } }{}
	a.Data.X = x
	if err := json.Unmarshal(m.Payload, &a); err != nil || m.Type != "next" {
		t.Fatalf("%s %s: %v", m.Type, m.Payload, err)
	}
}

func (w *world) dialGraph(role string, protocols ...string) (*graphClient, *http.Response, error) {
	w.t.Helper()
	header := http.Header{}
	if token := cmp.Or(w.tokens[role], role); token != "" && len(protocols) == 0 {
		header.Set("Authorization", "Bearer "+token)
	}
	d := websocket.Dialer{Subprotocols: append([]string{"graphql-transport-ws"}, protocols...), HandshakeTimeout: hung}
	c, r, err := d.Dial("ws"+strings.TrimPrefix(w.http.URL, "http")+"/graphql", header)
	if err != nil {
		return nil, r, err
	}
	w.t.Cleanup(func() { c.Close() })
	g := &graphClient{c, w.t}
	g.send(graphMessage{Type: "connection_init"})
	if m := g.next(""); m.Type != "connection_ack" {
		w.t.Fatalf("the init is answered %+v", m)
	}
	return g, r, nil
}

func (w *world) openGraph(role string) *graphClient {
	w.t.Helper()
	if w.http == nil {
		w.listen()
	}
	c, _, err := w.dialGraph(role)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (c *graphClient) send(m graphMessage) {
	c.t.Helper()
	if err := c.WriteJSON(m); err != nil {
		c.t.Fatal(err)
	}
}

func (c *graphClient) subscribe(id, query string) {
	c.t.Helper()
	c.send(graphMessage{ID: id, Type: "subscribe", Payload: json.RawMessage(`{"query":` + quoted(query) + `}`)})
}

func (c *graphClient) complete(id string) {
	c.t.Helper()
	c.send(graphMessage{ID: id, Type: "complete"})
}

// next is the next message of an operation; others are passed over.
func (c *graphClient) next(id string) graphMessage {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(hung))
	for {
		var m graphMessage
		if err := c.ReadJSON(&m); err != nil {
			c.t.Fatalf("waiting for %q: %v", id, err)
		}
		if m.ID == id && m.Type != "ping" {
			return m
		}
	}
}

// listening waits until the server has n clients: sockets and subscriptions.
func (w *world) listening(n int) {
	w.t.Helper()
	for end := time.Now().Add(hung); ; time.Sleep(5 * time.Millisecond) {
		if text := w.do("GET", "/metrics", "viewer", "").Body.String(); strings.Contains(text, fmt.Sprintf("yunchu_ws_clients %d\n", n)) {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("there are not %d clients", n)
		}
	}
}

// TestGraphSubscriptions: each delivers what it is about, and no more.
func TestGraphSubscriptions(t *testing.T) {
	w := newWorld(t).listen()
	c := w.openGraph("viewer")
	c.subscribe("r", `subscription { x: readings(devices: "M*") { lag readings { deviceId timestamp power status quality } } }`)
	c.subscribe("e", `subscription { x: events { eventId deviceId eventType description } }`)
	c.subscribe("a", `subscription { x: acks { commandId deviceId status power } }`)
	c.subscribe("f", `subscription { x: fleet { lag state { powerKw socMean devices } } }`)
	w.listening(5)
	w.sync("FOREIGN", start)
	w.sync("MINE", start)
	w.event("MINE", "hello")
	w.do("POST", "/api/v1/device/control", "operator", `{"deviceId":"MINE","commandId":"g-1","command":"setPower","parameters":{"power":5}}`).want(200, "SUCCESS")

	got := map[string]graphMessage{}
	c.SetReadDeadline(time.Now().Add(hung))
	for len(got) < 4 {
		var m graphMessage
		if err := c.ReadJSON(&m); err != nil {
			t.Fatalf("have %v: %v", got, err)
		}
		if _, before := got[m.ID]; m.ID != "" && !before {
			got[m.ID] = m
		}
	}
	var batch struct {
		Lag      int
		Readings []struct {
			DeviceID        string
			Timestamp       int64
			Power           float64
			Status, Quality string
		}
	}
	got["r"].data(t, &batch)
	if len(batch.Readings) != 1 || batch.Lag != 0 || batch.Readings[0].DeviceID != "MINE" || batch.Readings[0].Timestamp != start || batch.Readings[0].Power != 48.1 {
		t.Errorf("readings: %s", got["r"].Payload)
	}
	for id, want := range map[string]string{
		"e": `{"data":{"x":{"eventId":"e-hello","deviceId":"MINE","eventType":"test","description":"hello"}}}`,
		"a": `{"data":{"x":{"commandId":"g-1","deviceId":"MINE","status":"done","power":5}}}`,
		"f": `{"data":{"x":{"lag":0,"state":{"powerKw":-12.5,"socMean":null,"devices":0}}}}`,
	} {
		if string(got[id].Payload) != want {
			t.Errorf("%s: %s, want %s", id, got[id].Payload, want)
		}
	}
	for _, id := range []string{"r", "e", "a", "f"} {
		c.complete(id)
	}
	w.listening(1)
	c.Close()
	w.listening(0)
}

// TestGraphSubscriptionsOfADevice: a device's token hears of its own device.
func TestGraphSubscriptionsOfADevice(t *testing.T) {
	w := newWorld(t).listen()
	c := w.openGraph("device")
	c.subscribe("r", `subscription { x: readings { readings { deviceId } } }`)
	c.subscribe("e", `subscription { x: events { description } }`)
	w.listening(3)
	w.sync("FOREIGN", start)
	w.event("FOREIGN", "of foreign")
	w.event("", "of the plant")
	w.sync("MINE", start)
	w.event("MINE", "mine")
	if m := c.next("r"); strings.Contains(string(m.Payload), "FOREIGN") {
		t.Errorf("it hears %s", m.Payload)
	}
	c.complete("r")
	c = w.openGraph("device")
	c.subscribe("e", `subscription { x: events { description } }`)
	w.listening(4)
	w.event("FOREIGN", "of foreign again")
	w.event("MINE", "mine again")
	for heard := ""; !strings.Contains(heard, "mine again"); { // what came just before may be on its way still
		if heard = string(c.next("e").Payload); strings.Contains(heard, "foreign") || strings.Contains(heard, "plant") {
			t.Fatalf("it hears %s", heard)
		}
	}
}

// TestGraphSubscriptionsOfASite: sites and kinds are filters of subscriptions too.
func TestGraphSubscriptionsOfASite(t *testing.T) {
	w := newWorld(t).listen()
	if _, err := w.Register(t.Context(), device.Info{ID: "MINE", Location: &device.Location{Name: "north"}}); err != nil {
		t.Fatal(err)
	}
	c := w.openGraph("viewer")
	c.subscribe("site", `subscription { x: readings(sites: ["north"], kinds: ["push"]) { readings { deviceId } } }`)
	c.subscribe("kind", `subscription { x: readings(kinds: ["sim"]) { readings { deviceId } } }`)
	c.subscribe("all", `subscription { x: readings { readings { deviceId } } }`)
	w.listening(4)
	w.sync("FOREIGN", start)
	w.sync("MINE", start)
	var got struct{ Readings []struct{ DeviceID string } }
	if c.next("site").data(t, &got); len(got.Readings) != 1 || got.Readings[0].DeviceID != "MINE" {
		t.Errorf("of the site north: %+v", got)
	}
	c.complete("all")
	c.complete("kind")
	if m := c.next("kind"); m.Type != "complete" {
		t.Errorf("of kind sim: %s %s", m.Type, m.Payload)
	}
}

// TestGraphLag: a subscriber that does not read loses the oldest readings, and is
// told how many; the plant is not kept waiting.
func TestGraphLag(t *testing.T) {
	w := newWorld(t).listen()
	c := w.openGraph("viewer")
	c.subscribe("r", `subscription { x: readings { lag readings { deviceId timestamp soc soh voltage current power temperature status quality flags } } }`)
	w.listening(2)
	ids := make([]string, 4000)
	for i := range ids {
		ids[i] = fmt.Sprintf("lag-%04d-%s", i, strings.Repeat("x", 40))
	}
	dropped := func() bool {
		return !strings.Contains(w.do("GET", "/metrics", "viewer", "").Body.String(), "yunchu_ws_dropped_readings_total 0\n")
	}
	var last int64
	for end := time.Now().Add(2 * hung); !dropped(); last++ {
		if time.Now().After(end) {
			t.Fatal("nothing was dropped for a client that does not read")
		}
		var b strings.Builder
		for i, id := range ids {
			b.WriteString(map[bool]string{true: "[", false: ","}[i == 0])
			b.WriteString(body(id, start-1_000_000+last))
		}
		w.do("POST", syncPath, "engineer", b.String()+"]").want(200, "SUCCESS")
	}
	for {
		var batch struct{ Lag int }
		c.next("r").data(t, &batch)
		if batch.Lag > 0 {
			break
		}
	}
}

// TestGraphTokenEnds: a socket with its subscriptions ends within a second of its
// token.
func TestGraphTokenEnds(t *testing.T) {
	w := newWorld(t).listen()
	issued, err := w.auth.Issue(t.Context(), time.Now(), "test", auth.Grant{Role: auth.Viewer})
	if err != nil {
		t.Fatal(err)
	}
	c := w.openGraph(issued.Secret)
	c.subscribe("f", `subscription { x: fleet { lag } }`)
	w.listening(2)
	if err := w.auth.Revoke(t.Context(), issued.ID, "test"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c.SetReadDeadline(time.Now().Add(hung))
	for {
		var m graphMessage
		err := c.ReadJSON(&m)
		if err == nil {
			continue
		}
		var closed *websocket.CloseError
		if !errors.As(err, &closed) || closed.Code != websocket.ClosePolicyViolation {
			t.Errorf("it ends with %v", err)
		}
		break
	}
	t.Logf("ended %v after it was revoked", time.Since(began).Round(time.Millisecond))
	if took := time.Since(began); took > time.Second && !testing.Short() {
		t.Errorf("it ended %v after it was revoked", took)
	}
	w.listening(0)
}

// TestGraphBrowserToken: a browser sends the token as a subprotocol.
func TestGraphBrowserToken(t *testing.T) {
	w := newWorld(t).listen()
	c, res, err := w.dialGraph("", "bearer."+w.tokens["viewer"])
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Header.Get("Sec-WebSocket-Protocol"); got != "graphql-transport-ws" {
		t.Errorf("the server chooses %q", got)
	}
	c.subscribe("q", `{ x: devices { next } }`)
	var page struct{ Next string }
	c.next("q").data(t, &page)
}

// TestGraphSocketBounds: operations on one socket are bounded, and what is wrong ends
// the operation, not the socket.
func TestGraphSocketBounds(t *testing.T) {
	w := newWorld(t).listen()
	c := w.openGraph("viewer")
	c.subscribe("bad", `{ nothing }`)
	if m := c.next("bad"); m.Type != "error" || m.code(t) != "INVALID_QUERY" {
		t.Errorf("a wrong query: %s %s", m.Type, m.Payload)
	}
	c.subscribe("deep", `{ devices(first: 1000) { items { history { items { soc } } } } }`)
	if m := c.next("deep"); m.code(t) != "QUERY_LIMIT" {
		t.Errorf("a dear query: %s %s", m.Type, m.Payload)
	}
	for i := range 40 {
		c.subscribe(fmt.Sprint(i), `subscription { x: events { eventId } }`)
	}
	w.listening(33)
	for refused := 0; refused < 8; {
		var m graphMessage
		if err := c.ReadJSON(&m); err != nil {
			t.Fatal(err)
		}
		if m.Type == "next" && m.code(t) == "OVERLOAD" {
			refused++
		}
	}
	for i := range 40 {
		c.complete(fmt.Sprint(i))
	}
	w.listening(1)
	c.subscribe("q", `{ x: devices { next } }`)
	if m := c.next("q"); m.Type != "next" || m.code(t) != "" {
		t.Errorf("after all have ended: %s %s", m.Type, m.Payload)
	}
}

// TestGraphSocketFaults: frames that are no protocol end the socket and nothing else.
func TestGraphSocketFaults(t *testing.T) {
	w := newWorld(t).listen()
	for _, text := range []string{`nonsense`, `{"type":"start","id":"1"}`, `{"type":"connection_init"}`, `{"type":"subscribe","id":"1","payload":7}`, `[]`, `{}`} {
		c := w.openGraph("viewer")
		if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	w.listening(0)
	w.ask("viewer", `{ devices { next } }`).ok()
}

// TestGraphServerStops: sockets end with the server.
func TestGraphServerStops(t *testing.T) {
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- w.server.Serve(ctx, l) }()
	header := http.Header{"Authorization": {"Bearer " + w.tokens["viewer"]}}
	d := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}, HandshakeTimeout: hung}
	conn, _, err := d.Dial("ws://"+l.Addr().String()+"/graphql", header)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &graphClient{conn, t}
	c.send(graphMessage{Type: "connection_init"})
	c.next("")
	c.subscribe("f", `subscription { x: fleet { lag } }`)
	w.listening(2)
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	c.SetReadDeadline(time.Now().Add(hung))
	for {
		var m graphMessage
		if err := c.ReadJSON(&m); err == nil {
			continue
		} else if !websocket.IsCloseError(err, websocket.CloseGoingAway) {
			t.Errorf("it ends with %v", err)
		}
		break
	}
}
