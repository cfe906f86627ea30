package api_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"yunchu/platform/api"
	"yunchu/platform/auth"
	"yunchu/platform/device"
)

// socket is a client of the tests.
type socket struct {
	*websocket.Conn
	t testing.TB
}

type frame struct {
	Type     string          `json:"type"`
	DeviceID string          `json:"deviceId"`
	Lag      int             `json:"lag"`
	Data     json.RawMessage `json:"data"`
}

func (w *world) dial(role string, header http.Header, protocols ...string) (*socket, *http.Response, error) {
	w.t.Helper()
	if header == nil {
		header = http.Header{}
	}
	if token := cmp.Or(w.tokens[role], role); token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	d := websocket.Dialer{Subprotocols: protocols, HandshakeTimeout: hung}
	c, r, err := d.Dial("ws"+strings.TrimPrefix(w.http.URL, "http")+"/api/v1/ws", header)
	if err != nil {
		return nil, r, err
	}
	w.t.Cleanup(func() { c.Close() })
	return &socket{c, w.t}, r, nil
}

// open dials and subscribes.
func (w *world) open(role, devices string, types ...string) *socket {
	w.t.Helper()
	s, _, err := w.dial(role, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	s.send(map[string]any{"subscribe": map[string]any{"devices": devices, "types": types}})
	return s
}

func (s *socket) send(v any) {
	s.t.Helper()
	if err := s.WriteJSON(v); err != nil {
		s.t.Fatal(err)
	}
}

// next is the next frame of one of the types; others are passed over.
func (s *socket) next(types ...string) frame {
	s.t.Helper()
	s.SetReadDeadline(time.Now().Add(hung))
	for {
		var f frame
		if err := s.ReadJSON(&f); err != nil {
			s.t.Fatalf("waiting for %v: %v", types, err)
		}
		if slices.Contains(types, f.Type) {
			return f
		}
	}
}

// none checks that no frame but a state comes for a while.
func (s *socket) none() {
	s.t.Helper()
	s.SetReadDeadline(time.Now().Add(400 * time.Millisecond))
	for {
		var f frame
		if err := s.ReadJSON(&f); err != nil {
			return
		} else if f.Type != "state" {
			s.t.Fatalf("an unwanted frame: %+v", f)
		}
	}
}

func (w *world) sync(id string, at int64) {
	w.t.Helper()
	w.do("POST", syncPath, "engineer", body(id, at)).want(200, "SUCCESS")
}

func TestWebSocketSnapshotAndFrames(t *testing.T) {
	w := newWorld(t).listen()
	w.sync("MINE", start)
	w.event("MINE", "before")
	w.mu.Lock()
	pass := true
	w.scores = []api.Score{{Metric: "speed", Stat: "last", Value: 2, Pass: &pass}}
	w.mu.Unlock()
	s := w.open("viewer", "*", "snapshot", "readings", "reading", "event", "ack", "state", "score")

	f := s.next("snapshot", "readings", "reading", "event", "ack", "state", "score")
	want := fmt.Sprintf(`{"time":%d,`+
		`"devices":[{"deviceId":"MINE","timestamp":%d,"data":%s,"quality":"good","flags":[]}],`+
		`"events":[{"eventId":"e-before","deviceId":"MINE","eventType":"test","severity":"warning","description":"before","timestamp":%d}],`+
		`"fleet":{"time":%d,"target_kw":null,"power_kw":-12.5,"available_charge_kw":0,"available_discharge_kw":0,"shortfall_kw":0,`+
		`"soc_mean_percent":null,"soc_min_percent":null,"soc_p5_percent":null,"soc_p95_percent":null,"soc_max_percent":null,`+
		`"temperature_max_c":null,"commands_per_s":0,"speed":1,"reason":null,"online":0,"devices":0,"interventions":0},`+
		`"dispatch":{"enabled":false,"strategy":"soc-balancing","target_kw":null},`+
		`"scores":[{"metric":"speed","stat":"last","value":2,"unit":"","limit":"","pass":true}]}`, start, start, dataJSON, start, start)
	if f.Type != "snapshot" || string(f.Data) != want {
		t.Fatalf("the first frame is a %s\n%s, want a snapshot\n%s", f.Type, f.Data, want)
	}

	w.sync("FOREIGN", start+5)
	for seen := 0; seen != 3; {
		switch f := s.next("reading", "readings"); f.Type {
		case "reading":
			seen |= 1
			if want := fmt.Sprintf(`{"timestamp":%d,"data":%s,"quality":"good","flags":[]}`, start+5, dataJSON); f.DeviceID != "FOREIGN" || string(f.Data) != want {
				t.Errorf("reading of %s: %s, want %s", f.DeviceID, f.Data, want)
			}
		case "readings":
			seen |= 2
			if want := fmt.Sprintf(`[{"deviceId":"FOREIGN","timestamp":%d,"data":%s,"quality":"good","flags":[]}]`, start+5, dataJSON); string(f.Data) != want {
				t.Errorf("readings: %s, want %s", f.Data, want)
			}
		}
	}
	w.do("POST", controlPath, "operator", `{"deviceId":"MINE","commandId":"C1","command":"setPower","parameters":{"power":500}}`).want(409, "OUT_OF_RANGE")
	f = s.next("ack")
	sender, err := w.auth.Check(w.tokens["operator"], time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf(`{"commandId":"C1","status":"rejected","code":"OUT_OF_RANGE","reason":"beyond the rating of 100 kW","command":"setPower","source":%q,"before":-1.5,"power":500,"timestamp":%d}`, sender.Name, start); f.DeviceID != "MINE" || string(f.Data) != want {
		t.Errorf("ack of %s: %s, want %s", f.DeviceID, f.Data, want)
	}
	w.event("", "storm")
	if f = s.next("event"); f.DeviceID != "" || !strings.Contains(string(f.Data), `"eventId":"e-storm","eventType"`) {
		t.Errorf("event of %q: %s", f.DeviceID, f.Data)
	}
	if f = s.next("state"); !strings.Contains(string(f.Data), `"power_kw":-12.5`) {
		t.Errorf("state: %s", f.Data)
	}
	if f = s.next("score"); !strings.HasPrefix(string(f.Data), `[{"metric":"speed"`) {
		t.Errorf("score: %s", f.Data)
	}
}

func TestWebSocketFilters(t *testing.T) {
	w := newWorld(t).listen()
	s := w.open("viewer", "FOR*", "snapshot", "readings", "event", "ack")
	s.next("snapshot")
	w.sync("MINE", start)
	w.event("MINE", "mine")
	w.sync("FOREIGN", start+1)
	if f := s.next("readings", "event"); f.Type != "readings" || strings.Contains(string(f.Data), "MINE") {
		t.Errorf("a %s frame: %s; want the reading of FOREIGN alone", f.Type, f.Data)
	}
	// Another subscription replaces the first.
	s.send(map[string]any{"subscribe": map[string]any{"devices": "M?NE", "types": []string{"reading"}}})
	s.send(map[string]any{"subscribe": map[string]any{"types": []string{"nonsense"}}})
	if f := s.next("error"); !strings.Contains(string(f.Data), `"code":"INVALID_TYPE"`) || !strings.Contains(string(f.Data), "nonsense") {
		t.Errorf("an unknown type is answered %s", f.Data)
	}
	w.sync("FOREIGN", start+2)
	w.sync("MINE", start+3)
	if f := s.next("readings", "reading"); f.Type != "reading" || f.DeviceID != "MINE" {
		t.Errorf("a %s frame of %s; want a reading of MINE", f.Type, f.DeviceID)
	}
}

func TestWebSocketOfADevice(t *testing.T) {
	w := newWorld(t).listen()
	w.sync("FOREIGN", start)
	w.sync("MINE", start)
	w.event("FOREIGN", "foreign")
	w.event("", "plant")
	s := w.open("device", "*", "snapshot", "readings", "reading", "event", "ack", "alarm", "state", "score")
	var snap map[string]json.RawMessage
	if err := json.Unmarshal(s.next("snapshot").Data, &snap); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"fleet", "dispatch", "scores"} {
		if string(snap[key]) != "null" {
			t.Errorf("a device is told %s: %s", key, snap[key])
		}
	}
	if d := string(snap["devices"]); !strings.Contains(d, "MINE") || strings.Contains(d, "FOREIGN") || string(snap["events"]) != "[]" {
		t.Errorf("the snapshot of a device: %s, %s", d, snap["events"])
	}
	w.sync("FOREIGN", start+1)
	w.event("FOREIGN", "again")
	w.event("", "again")
	w.do("POST", controlPath, "operator", `{"deviceId":"FOREIGN","commandId":"C","command":"stop"}`).want(200, "SUCCESS")
	s.SetReadDeadline(time.Now().Add(1300 * time.Millisecond)) // a state would have come
	if _, b, err := s.ReadMessage(); err == nil {
		t.Errorf("a device hears of what is not its own: %s", b)
	}
}

func TestWebSocketComplains(t *testing.T) {
	w := newWorld(t).listen()
	s, _, err := w.dial("viewer", nil)
	if err != nil {
		t.Fatal(err)
	}
	for text, code := range map[string]string{
		`{`: "MALFORMED_JSON", `{}`: "INVALID_REQUEST", `{"subscribe":{"devices":"["}}`: "INVALID_REQUEST",
		`{"subscribe":{"types":["reading","gossip"]}}`: "INVALID_TYPE", `{"subscribe":{"types":[1]}}`: "MALFORMED_JSON",
	} {
		if err := s.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if f := s.next("error"); !strings.Contains(string(f.Data), code) {
			t.Errorf("%s is answered %s, want %s", text, f.Data, code)
		}
	}
	s.send(map[string]any{"subscribe": map[string]any{}})
	s.next("snapshot")
	s.none()
}

func TestWebSocketHandshake(t *testing.T) {
	w := newWorld(t, func(o *api.Options) { o.MaxClients = 1 }).listen()
	viewer := w.tokens["viewer"]
	for name, tt := range map[string]struct {
		role      string
		header    http.Header
		protocols []string
		status    int
		chosen    string
	}{
		"header":                {role: "viewer", status: 101},
		"browser":               {protocols: []string{"yunchu.v1", "bearer." + viewer}, status: 101, chosen: "yunchu.v1"},
		"subprotocol alone":     {protocols: []string{"bearer." + viewer}, status: 101, chosen: "bearer." + viewer},
		"percent-encoded":       {protocols: []string{"bearer." + strings.ReplaceAll(viewer, "_", "%5F"), "yunchu.v1"}, status: 101, chosen: "yunchu.v1"},
		"header and protocol":   {role: "viewer", protocols: []string{"yunchu.v1"}, status: 101, chosen: "yunchu.v1"},
		"no token":              {status: 401},
		"wrong token":           {protocols: []string{"bearer.guess"}, status: 401},
		"own origin":            {role: "viewer", header: http.Header{"Origin": {w.http.URL}}, status: 101},
		"foreign origin":        {role: "viewer", header: http.Header{"Origin": {"https://evil.example"}}, status: 403},
		"origin that is no URL": {role: "viewer", header: http.Header{"Origin": {"%"}}, status: 403},
	} {
		s, r, err := w.dial(tt.role, tt.header, tt.protocols...)
		if r == nil {
			t.Fatalf("%s: %v", name, err)
		}
		if r.StatusCode != tt.status || r.Header.Get("Sec-Websocket-Protocol") != tt.chosen {
			t.Errorf("%s: status %d, protocol %q; want %d and %q", name, r.StatusCode, r.Header.Get("Sec-Websocket-Protocol"), tt.status, tt.chosen)
		}
		if tt.status != 101 && r.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: a refusal with Content-Type %q", name, r.Header.Get("Content-Type"))
		}
		if s != nil {
			s.Close()
			w.settled(0)
		}
	}
	w.open("viewer", "*", "state")
	w.settled(1)
	if _, r, err := w.dial("viewer", nil); err == nil || r.StatusCode != 429 {
		t.Errorf("one client too many: %v", err)
	}
}

// settled waits until so many WebSockets are open.
func (w *world) settled(n int) {
	w.t.Helper()
	want := fmt.Sprintf("\nyunchu_ws_clients %d\n", n)
	for end := time.Now().Add(hung); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if strings.Contains(w.do("GET", "/metrics", "viewer", "").Body.String(), want) {
			return
		}
	}
	w.t.Fatalf("there are not %d WebSockets after %v", n, hung)
}

func TestWebSocketEndsWithItsToken(t *testing.T) {
	w := newWorld(t).listen()
	ends := func(name string, s *socket) {
		t.Helper()
		s.SetReadDeadline(time.Now().Add(hung))
		for {
			_, _, err := s.ReadMessage()
			if err == nil {
				continue
			}
			if !websocket.IsCloseError(err, websocket.ClosePolicyViolation) {
				t.Errorf("%s: the connection ended with %v, want a policy violation", name, err)
			}
			return
		}
	}
	got, err := w.auth.Issue(t.Context(), time.Now(), "test", auth.Grant{Role: auth.Viewer})
	if err != nil {
		t.Fatal(err)
	}
	s := w.open(got.Secret, "*", "state")
	s.next("state")
	if err := w.auth.Revoke(t.Context(), got.ID, "test"); err != nil {
		t.Fatal(err)
	}
	ends("revoked", s)

	got, err = w.auth.Issue(t.Context(), time.Now(), "test", auth.Grant{Role: auth.Viewer, Life: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ends("expired", w.open(got.Secret, "*", "state"))
}

// A client that does not read loses readings, hears how many, and gets the rest
// in order.
func TestASlowClientHearsOfItsLag(t *testing.T) {
	w := newWorld(t).listen()
	s := w.open("viewer", "*", "reading")
	w.settled(1)
	time.Sleep(50 * time.Millisecond) // for the subscription
	const rows, rounds = 4000, 12
	at := int64(start)
	for range rounds {
		frame := make([]device.Reading, rows)
		for i := range frame {
			at++
			frame[i] = device.Reading{At: at, Status: device.OtherStatus, Word: strings.Repeat("x", 60)}
		}
		if err := w.Push(t.Context(), frame); err != nil {
			t.Fatal(err)
		}
		time.Sleep(120 * time.Millisecond)
	}
	got, lag, last := 0, 0, int64(0)
	for {
		f := s.next("reading")
		var d struct{ Timestamp int64 }
		if err := json.Unmarshal(f.Data, &d); err != nil {
			t.Fatal(err)
		}
		if d.Timestamp <= last {
			t.Fatalf("timestamp %d after %d", d.Timestamp, last)
		}
		got, lag, last = got+1, max(lag, f.Lag), d.Timestamp
		if last == at {
			break
		}
	}
	if lag == 0 || got+lag != rows*rounds {
		t.Errorf("%d readings came and %d were reported missing, of %d", got, lag, rows*rounds)
	}
}

func TestServeStops(t *testing.T) {
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := contextOf(t)
	served := make(chan error, 1)
	go func() { served <- w.server.Serve(ctx, l) }()
	w.http = &httptest.Server{URL: "http://" + l.Addr().String()}
	s := w.open("viewer", "*", "state", "snapshot")
	s.next("snapshot")
	silent, err := net.Dial("tcp", l.Addr().String()) // must not keep it from stopping
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	cancel()
	s.SetReadDeadline(time.Now().Add(hung))
	for err = nil; err == nil; {
		_, _, err = s.ReadMessage()
	}
	if !websocket.IsCloseError(err, websocket.CloseGoingAway) {
		t.Errorf("the WebSocket ended with %v, want going away", err)
	}
	select {
	case err := <-served:
		if err != nil {
			t.Errorf("Serve: %v", err)
		}
	case <-time.After(hung):
		t.Error("Serve has not returned")
	}
	if _, err := http.Get(w.http.URL + "/healthz"); err == nil {
		t.Error("the listener is still open")
	}
}

// TestWebSocketSitesAndKinds: only what the filter names is in the snapshot and in
// what follows, and a device that moves is heard of where it has come to.
func TestWebSocketSitesAndKinds(t *testing.T) {
	w := newWorld(t).listen()
	place := func(id, kind, site string) {
		if _, err := w.Register(t.Context(), device.Info{ID: device.ID(id), Kind: kind, Location: &device.Location{Name: site}}); err != nil {
			t.Fatal(err)
		}
	}
	at := map[string]int64{}
	report := func(ids ...string) { // past the check that nobody else may speak for a driver's device
		for _, id := range ids {
			at[id]++
			slot, _ := w.Slot(device.ID(id))
			r := device.Empty()
			r.Slot, r.At = slot, start+at[id]
			if err := w.Push(t.Context(), []device.Reading{r}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, d := range [][3]string{{"n1", "modbus", "north"}, {"n2", "sunspec", "north"}, {"s1", "modbus", "south"}} {
		place(d[0], d[1], d[2])
	}
	all := []string{"n1", "n2", "s1", "MINE"}
	report(all...)
	for _, c := range []struct {
		subscribe map[string]any
		want      string
	}{
		{map[string]any{"sites": []string{"north"}}, "n1 n2"},
		{map[string]any{"kinds": []string{"modbus"}}, "n1 s1"},
		{map[string]any{"kinds": []string{"modbus", "push", "modbus"}}, "MINE n1 s1"},
		{map[string]any{"sites": []string{"north", "south"}, "kinds": []string{"modbus"}}, "n1 s1"},
		{map[string]any{"sites": []string{"north"}, "devices": "*1"}, "n1"},
		{map[string]any{"sites": []string{""}}, "MINE"},
		{map[string]any{"sites": []string{"nor"}}, ""},
		{map[string]any{"sites": []string{}}, ""},
		{map[string]any{"sites": nil, "kinds": nil}, "MINE n1 n2 s1"},
	} {
		s, _, err := w.dial("viewer", nil)
		if err != nil {
			t.Fatal(err)
		}
		c.subscribe["types"] = []string{"snapshot", "readings", "ack"}
		s.send(map[string]any{"subscribe": c.subscribe})
		var snapshot struct{ Devices []struct{ DeviceID string } }
		if err := json.Unmarshal(s.next("snapshot").Data, &snapshot); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range snapshot.Devices {
			got = append(got, d.DeviceID)
		}
		if slices.Sort(got); strings.Join(got, " ") != c.want {
			t.Errorf("%v: a snapshot of %v, want %s", c.subscribe, got, c.want)
		}
		if got = nil; c.want != "" {
			report(all...)
			var rows []struct{ DeviceID string }
			for len(got) < len(strings.Fields(c.want)) {
				if err := json.Unmarshal(s.next("readings").Data, &rows); err != nil {
					t.Fatal(err)
				}
				for _, r := range rows {
					if !slices.Contains(got, r.DeviceID) {
						got = append(got, r.DeviceID)
					}
				}
			}
			if slices.Sort(got); strings.Join(got, " ") != c.want {
				t.Errorf("%v: readings of %v, want %s", c.subscribe, got, c.want)
			}
		}
		s.Close()
	}

	s := w.open("viewer", "*", "readings")
	s.send(map[string]any{"subscribe": map[string]any{"sites": []string{"north"}, "types": []string{"snapshot", "readings"}}})
	s.next("snapshot")
	place("s1", "modbus", "north")
	heard := func(id string) bool {
		report("n1", "s1")
		return strings.Contains(string(s.next("readings").Data), `"`+id+`"`)
	}
	for end := time.Now().Add(hung); !heard("s1"); {
		if time.Now().After(end) {
			t.Fatal("a device that has moved to the site is not heard of")
		}
	}

	// A device's token opens no other site.
	own := w.open("device", "*", "ack")
	own.send(map[string]any{"subscribe": map[string]any{"sites": []string{"north"}, "types": []string{"snapshot"}}})
	if text := string(own.next("snapshot").Data); strings.Contains(text, `"n1"`) {
		t.Errorf("a device's token sees %s", text)
	}
}
