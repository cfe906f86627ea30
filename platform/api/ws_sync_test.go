package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"yunchu/platform/api"
	"yunchu/platform/auth"
	"yunchu/platform/bus"
)

// synced sends a message and returns the answer to it.
func (s *socket) synced(message string) string {
	s.t.Helper()
	if err := s.WriteMessage(1, []byte(message)); err != nil {
		s.t.Fatal(err)
	}
	s.SetReadDeadline(time.Now().Add(hung))
	for {
		_, b, err := s.ReadMessage()
		if err != nil {
			s.t.Fatalf("waiting for the answer to %.100s: %v", message, err)
		}
		if text := string(b); strings.HasPrefix(text, `{"type":"sync"`) || strings.HasPrefix(text, `{"type":"error"`) {
			return text
		}
	}
}

// TestWebSocketTakesReadings: what a sync answers over HTTP it answers over the WebSocket, to
// one reading and to an array, and what it has taken is served and told to who listens.
func TestWebSocketTakesReadings(t *testing.T) {
	w := newWorld(t).listen()
	listener := w.open("viewer", "MINE", "reading")
	device, _, err := w.dial("device", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := device.synced(`{"sync":`+body("MINE", start)+`,"id":7}`), `{"type":"sync","id":7,"data":{"code":"SUCCESS"}}`; got != want {
		t.Errorf("one reading: %s, want %s", got, want)
	}
	if f := listener.next("reading"); f.DeviceID != "MINE" {
		t.Errorf("told of %+v", f)
	}
	if got := w.do("GET", "/api/v1/devices/MINE/latest", "viewer", "").Body.String(); !strings.Contains(got, fmt.Sprint(start)) {
		t.Errorf("latest is %s", got)
	}
	many := fmt.Sprintf(`{"id":"a\"b","sync": [%s,%s,%s]}`, body("MINE", start+1), body("FOREIGN", start), body("MINE", start+int64(time.Hour/time.Millisecond)))
	var answer struct {
		ID   string
		Data struct {
			Code     string
			Accepted int
			Rejected []struct {
				Index int
				Code  string
			}
		}
	}
	if err := json.Unmarshal([]byte(device.synced(many)), &answer); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(answer), `{a"b {PARTIAL 1 [{1 FORBIDDEN_DEVICE} {2 FUTURE_TIMESTAMP}]}}`; got != want {
		t.Errorf("an array: %s, want %s", got, want)
	}
	engineer, _, err := w.dial("engineer", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := engineer.synced(`{"sync":` + body("NEW", start) + `}`); got != `{"type":"sync","data":{"code":"SUCCESS"}}` {
		t.Errorf("an unknown device of an engineer: %s", got)
	}
	if got := w.do("GET", "/api/v1/devices/NEW/latest", "viewer", "").Body.String(); !strings.Contains(got, fmt.Sprint(start)) {
		t.Errorf("latest is %s", got)
	}
}

// TestWebSocketRefusesReadings: each is refused with the code of the sync, and the socket goes on.
func TestWebSocketRefusesReadings(t *testing.T) {
	w := newWorld(t, func(o *api.Options) { o.Limits.Telemetry.PerSecond, o.Limits.Telemetry.Burst = 1e-3, 8 }).listen()
	device, _, err := w.dial("device", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ message, want string }{
		{`{"sync":` + body("FOREIGN", start) + `,"id":1}`, "FORBIDDEN_DEVICE"},
		{`{"sync":[` + body("FOREIGN", start) + `],"id":1}`, "ALL_REJECTED"},
		{`{"sync":{"deviceId":"MINE"},"id":1}`, "MISSING_FIELD"},
		{`{"sync":null,"id":1}`, "INVALID_TYPE"},
		{`{"sync":"x","id":1}`, "INVALID_TYPE"},
	} {
		if got := device.synced(c.message); !strings.HasPrefix(got, `{"type":"sync","id":1,"data":{`) || !strings.Contains(got, `"code":"`+c.want+`"`) {
			t.Errorf("%s is answered %s, want %s", c.message, got, c.want)
		}
	}
	for _, message := range []string{
		`{"sync":` + body("MINE", start) + `,"id":{}}`,
		`{"sync":` + body("MINE", start) + `,"id":"` + strings.Repeat("x", 64) + `"}`,
		`{"sync":` + body("MINE", start) + `,"subscribe":{}}`,
		`{"sync":` + strings.Replace(body("MINE", start), "charging", "\xff", 1) + `}`,
		`{"id":1}`,
	} {
		if got := device.synced(message); !strings.HasPrefix(got, `{"type":"error"`) {
			t.Errorf("%s is answered %s", message, got)
		}
	}
	for err, want := range map[error]string{bus.ErrOverload: "OVERLOAD", bus.ErrNoSpace: "INSUFFICIENT_STORAGE"} {
		w.pushErr.Store(&err)
		if got := device.synced(`{"sync":` + body("MINE", start) + `,"id":1}`); !strings.Contains(got, `"code":"`+want+`"`) || !strings.Contains(got, `"retryAfter":`) {
			t.Errorf("%v is answered %s", err, got)
		}
		w.pushErr.Store(nil)
	}
	if got := device.synced(`{"sync":` + body("MINE", start) + `,"id":1}`); !strings.Contains(got, `"SUCCESS"`) {
		t.Errorf("after all refusals: %s", got)
	}
	if got := device.synced(`{"sync":` + body("MINE", start+1) + `,"id":1}`); !strings.Contains(got, `"RATE_LIMITED"`) || !strings.Contains(got, `"retryAfter":`) {
		t.Errorf("beyond the bound: %s", got)
	}
	for _, role := range auth.Roles {
		if role == auth.Device || role == auth.Engineer || role == auth.Admin {
			continue
		}
		s, _, err := w.dial(role.String(), nil)
		if err != nil {
			continue // it may not even read
		}
		if got := s.synced(`{"sync":` + body("MINE", start+2) + `,"id":1}`); !strings.Contains(got, `"code":"FORBIDDEN"`) {
			t.Errorf("%s: %s", role, got)
		}
	}
}
