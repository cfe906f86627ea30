package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// ask sends a query of GraphQL that must be answered without errors.
func (c client) ask(t *testing.T, query string, into any) {
	t.Helper()
	var answer struct{ Errors []any }
	b := c.do(t, http.StatusOK, http.MethodPost, "/graphql", map[string]string{"query": query})
	if decode(t, b, &answer); len(answer.Errors) > 0 {
		t.Fatalf("%s is answered %s", query, b)
	}
	decode(t, b, &struct{ Data any }{into})
}

// subscribe opens a subscription of GraphQL, which the server takes in a moment later.
func (c client) subscribe(t *testing.T, query string) *websocket.Conn {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}, HandshakeTimeout: hung}
	conn, answer, err := dialer.Dial("ws"+strings.TrimPrefix(c.base, "http")+"/graphql", http.Header{"Authorization": {"Bearer " + c.token}})
	if err != nil {
		t.Fatalf("subscribe: %v", err)
	}
	answer.Body.Close()
	t.Cleanup(func() { conn.Close() })
	for _, m := range []any{
		map[string]string{"type": "connection_init"},
		map[string]any{"type": "subscribe", "id": "1", "payload": map[string]string{"query": query}},
	} {
		if err := conn.WriteJSON(m); err != nil {
			t.Fatal(err)
		}
	}
	return conn
}

// next reads messages of a subscription until one has data.
func next(t *testing.T, conn *websocket.Conn, into any) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(hung))
	for {
		var m struct {
			Type    string
			Payload struct {
				Data   any
				Errors []any
			}
		}
		m.Payload.Data = into
		if err := conn.ReadJSON(&m); err != nil || len(m.Payload.Errors) > 0 || m.Type == "error" {
			t.Fatalf("%+v, %v", m, err)
		}
		if m.Type == "next" {
			return
		}
	}
}

// TestServeGraphQL sends a reading to the production runtime and sees it through
// GraphQL at once, in its history, in sums and in a subscription.
func TestServeGraphQL(t *testing.T) {
	const token = "token-of-an-engineer"
	_, c := serving(t, fresh(t, "YUNCHU_TOKEN="+token))
	c.token = token
	c.ask(t, `mutation { registerDevice(id: "HT_ESS_001", input: {model: "m", ratedKw: 100, capacityKwh: 215}) { id } }`, &struct{}{})
	live := c.subscribe(t, `subscription { readings(devices: "HT_*") { lag readings { deviceId timestamp power } } }`)

	sent := reading{
		Device: "HT_ESS_001", Timestamp: time.Now().Add(-time.Second).UnixMilli(), // a history ends now
		Data: values{SoC: 75.5, Voltage: 382.4, Current: 125.6, Power: 48.1, Temperature: 25.3, Status: "charging"},
	}
	// Each that is acknowledged is there; and one of them comes to the subscriber, which
	// may not have been taken in yet when the first is sent.
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		var got struct {
			Readings struct {
				Lag      int
				Readings []struct {
					DeviceID string
					Power    float64
				}
			}
		}
		next(t, live, &got)
		if list := got.Readings.Readings; len(list) != 1 || list[0].DeviceID != "HT_ESS_001" || list[0].Power != 48.1 {
			t.Errorf("the subscriber hears %+v", got)
		}
	}()
	for n := 1; ; n++ {
		sent.Timestamp++
		c.do(t, http.StatusOK, http.MethodPost, "/api/v1/device/data/sync", sent)
		var got struct {
			Device struct {
				State  string
				Online bool
				Latest struct {
					Timestamp int64
					Soc       float64
				}
				History struct{ Items []struct{ Timestamp int64 } }
			}
			Aggregates []struct {
				Group           string
				Devices, Online int
				PowerKw         float64
			}
		}
		c.ask(t, `{
			device(id: "HT_ESS_001") { state online latest { timestamp soc } history { items { timestamp } } }
			aggregates(by: model) { group devices online powerKw }
		}`, &got)
		if d := got.Device; d.Latest.Timestamp != sent.Timestamp || d.Latest.Soc != 75.5 || !d.Online || d.State != "inactive" || len(d.History.Items) != n {
			t.Fatalf("after %d readings, the last at %d: %+v", n, sent.Timestamp, d)
		}
		if g := got.Aggregates; len(g) != 1 || g[0].Group != "m" || g[0].Online != 1 || g[0].PowerKw != 48.1 {
			t.Fatalf("aggregates: %+v", g)
		}
		select {
		case <-heard:
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}
