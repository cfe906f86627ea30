package load

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// reading is a frame of a server with a reading of some age.
func reading(id string, age time.Duration, more string) []byte {
	return fmt.Appendf(nil, `{"type":"reading","deviceId":%q,"data":{"timestamp":%d,"data":{"soc":50},"quality":"good","flags":[]}%s}`,
		id, time.Now().Add(-age).UnixMilli(), more)
}

// TestSubscribers: the age of readings counts from their own time, what a server
// says was missed is an error each, and a connection that ends is made again.
func TestSubscribers(t *testing.T) {
	t.Parallel()
	var connections atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" || r.URL.Path != "/api/v1/ws" {
			t.Errorf("%s with %q", r.URL, r.Header)
		}
		var u websocket.Upgrader
		c, err := u.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		var ask struct {
			Subscribe struct {
				Devices string
				Types   []string
			}
		}
		if err := c.ReadJSON(&ask); err != nil || ask.Subscribe.Devices == "" || fmt.Sprint(ask.Subscribe.Types) != "[reading]" {
			t.Errorf("%+v, %v", ask, err)
		}
		first := connections.Add(1) <= 3
		if first { // what comes before the load begins, which is soon after the last has connected, is none of it
			if err := c.WriteMessage(websocket.TextMessage, reading(ask.Subscribe.Devices, time.Minute, "")); err != nil {
				t.Error(err)
			}
			for connections.Load() < 3 {
				time.Sleep(time.Millisecond)
			}
			time.Sleep(time.Second)
		}
		for i := range 10 {
			lag := ""
			if i == 5 && first {
				lag = `,"lag":3`
			}
			if c.WriteMessage(websocket.TextMessage, reading(ask.Subscribe.Devices, 200*time.Millisecond, lag)) != nil {
				return
			}
		}
		if first && ask.Subscribe.Devices == "a" {
			return // breaks off
		}
		_, _, _ = c.ReadMessage() // until the client goes
	}))
	t.Cleanup(server.Close)
	s := Spec{
		Name: "test", API: WS, Users: 3, Asked: []string{"a", "b"}, Profile: Steady(1, 4*time.Second, 0),
		Target: Target{Address: strings.TrimPrefix(server.URL, "http://"), Token: "secret"},
	}
	r, err := Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	c := r.Load.Counts()
	// Users 1 and 3 hear a, are cut off and come again after a second.
	if connections.Load() != 5 || c.Users != 3 || c.OK != 50 || c.Errors["missed"] != 9 || c.Errors["closed"] != 2 {
		t.Errorf("%d connections, %+v; want 5, and of 3 users 50 readings, 9 missed, 2 closed", connections.Load(), c)
	}
	if q := r.Load.Latency().Quantile(0.5); q < 190 || q > 2000 {
		t.Errorf("age %v ms, want 200 or a little more", q)
	}
	if r.Err == nil {
		t.Error("no word about connections that ended")
	}
}

// TestComplaintBeforeTheLoad: a server that complains before the load has begun is heard, and
// nobody asks when that was.
func TestComplaintBeforeTheLoad(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var u websocket.Upgrader
		c, err := u.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_ = c.WriteMessage(websocket.TextMessage, []byte(`{"type":"error","data":{"code":"OVERLOAD","detail":"no"}}`))
		_, _, _ = c.ReadMessage() // until the client goes
	}))
	t.Cleanup(server.Close)
	r, err := Run(t.Context(), Spec{
		Name: "test", API: WS, Users: 20, Asked: []string{"a"}, Profile: Steady(1, time.Second, 0),
		Target: Target{Address: strings.TrimPrefix(server.URL, "http://"), Token: "secret"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Err == nil || !strings.Contains(r.Err.Error(), "OVERLOAD") {
		t.Errorf("the complaint is told as %v", r.Err)
	}
}

// TestFrames: the first reading of a frame of many says how old it is, with a lag too.
func TestFrames(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]frame{
		`{"type":"readings","data":[{"deviceId":"a","timestamp":17,"data":{}},{"deviceId":"b","timestamp":18,"data":{}}]}`: {kind: "readings", at: 17},
		`{"lag":3,"type":"readings","data":[{"deviceId":"a","timestamp":17,"data":{}}]}`:                                   {kind: "readings", at: 17, lag: 3},
		`{"type":"reading","deviceId":"a","data":{"timestamp":17,"data":{}}}`:                                              {kind: "reading", at: 17},
	} {
		if got, err := parseFrame([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{`{"type":"readings","data":[]}`, `{"type":"readings","data":{}}`, `{"type":"readings","data":[{}]}`, `{"type":"reading"}`, `[`} {
		if got, err := parseFrame([]byte(text)); err == nil {
			t.Errorf("%s is taken as %+v", text, got)
		}
	}
}
