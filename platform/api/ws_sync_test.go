package api_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
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
	listener := w.open("viewer", "MINE", "snapshot", "reading")
	listener.next("snapshot") // it listens
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

var mostFrames = regexp.MustCompile(`(?m)^yunchu_ws_queue_frames_max (\d+)$`)

// framesWait checks that no more than some frames wait for any WebSocket.
func (w *world) framesWait(most int) {
	w.t.Helper()
	figures := w.do("GET", "/metrics", "viewer", "").want(200, "").Body.String()
	if n, err := strconv.Atoi(mostFrames.FindStringSubmatch(figures)[1]); err != nil || n > most {
		w.t.Fatalf("%d frames wait, %v, want %d at most", n, err, most)
	}
}

// TestWebSocketIsReadNoFasterThanItIsAnswered: however much a client asks without taking the
// answers, one of them waits for it, and tells of no more than 512 readings that were refused.
func TestWebSocketIsReadNoFasterThanItIsAnswered(t *testing.T) {
	w := newWorld(t).listen()
	device, _, err := w.dial("device", nil)
	if err != nil {
		t.Fatal(err)
	}
	const messages, elements = 200, 10_000
	sent := make(chan error, 1)
	go func() {
		for i := range messages {
			m := fmt.Sprintf(`{"id":%d,"sync":[0%s]}`, i, strings.Repeat(",0", elements-1))
			if err := device.WriteMessage(1, []byte(m)); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for range 20 { // for a server that goes on reading
		w.framesWait(2) // one may be a ping
		time.Sleep(20 * time.Millisecond)
	}
	for i := range messages {
		device.SetReadDeadline(time.Now().Add(hung))
		_, b, err := device.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		var answer struct {
			ID   int
			Data struct {
				Code     string
				Rejected []struct{ Index int }
				More     int
			}
		}
		if err := json.Unmarshal(b, &answer); err != nil {
			t.Fatal(err)
		}
		d := answer.Data
		if answer.ID != i || d.Code != "ALL_REJECTED" || len(d.Rejected) != 512 || d.Rejected[511].Index != 511 || d.More != elements-512 {
			t.Fatalf("answer %d is %d: %s with %d rejected and %d more", i, answer.ID, d.Code, len(d.Rejected), d.More)
		}
		if i%20 == 0 {
			w.framesWait(2)
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	text := device.synced(`{"sync":[` + body("MINE", start) + strings.Repeat(",0", 600) + `]}`)
	if !strings.Contains(text, `"code":"PARTIAL","accepted":1,`) || !strings.HasSuffix(text, `],"more":88}}`) {
		t.Errorf("partly refused: %.60s … %s", text, text[len(text)-60:])
	}
}

// TestSnapshotsWaitForWhoTakesThem: of a client that subscribes over and over one snapshot waits.
func TestSnapshotsWaitForWhoTakesThem(t *testing.T) {
	w := newWorld(t).listen()
	for i := range 100 {
		w.event("MINE", strings.Repeat("x", 8<<10)+strconv.Itoa(i))
	}
	s, _, err := w.dial("viewer", nil)
	if err != nil {
		t.Fatal(err)
	}
	const subscriptions = 50 // 40 MB, more than the system takes for somebody who does not read
	for range subscriptions {
		s.send(map[string]any{"subscribe": map[string]any{"types": []string{"snapshot"}}})
	}
	for range 20 {
		w.framesWait(2) // one may be a ping
		time.Sleep(20 * time.Millisecond)
	}
	for range subscriptions {
		s.next("snapshot")
	}
}

// TestMessageThatCreepsInEndsTheWebSocket: a message is whole in time, whatever comes between
// its fragments.
func TestMessageThatCreepsInEndsTheWebSocket(t *testing.T) {
	w := newWorld(t).listen()
	s, _, err := w.dial("viewer", nil)
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		for {
			if _, _, err := s.ReadMessage(); err != nil {
				return
			}
		}
	}()
	// Frames of a client are masked, here with nothing: the first of several, and pongs.
	raw := s.NetConn()
	if _, err := raw.Write([]byte{0x01, 0x81, 0, 0, 0, 0, '{'}); err != nil {
		t.Fatal(err)
	}
	pong := time.NewTicker(200 * time.Millisecond)
	defer pong.Stop()
	late := time.After(hung)
	for {
		select {
		case <-over:
			return
		case <-late:
			t.Fatal("the message is still waited for")
		case <-pong.C:
			_, _ = raw.Write([]byte{0x8a, 0x80, 0, 0, 0, 0}) // it may be over
		}
	}
}
