package api_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"yunchu/platform/device"
)

// TestASlowClientKeepsNobodyWaiting: clients share writers, and one who takes nothing
// takes nothing from those beside it.
func TestASlowClientKeepsNobodyWaiting(t *testing.T) {
	w := newWorld(t).listen()
	slow := w.open("viewer", "*", "reading")
	var others []*socket
	for range 2 * runtime.GOMAXPROCS(0) { // all writers have some
		others = append(others, w.open("viewer", "*", "event"))
	}
	w.settled(1 + len(others))
	time.Sleep(50 * time.Millisecond) // for the subscriptions
	at := int64(start)
	for range 12 { // 10 MB, more than the system takes for somebody who does not read
		frame := make([]device.Reading, 4000)
		for i := range frame {
			at++
			frame[i] = device.Reading{At: at, Status: device.OtherStatus, Word: strings.Repeat("x", 60)}
		}
		if err := w.Push(t.Context(), frame); err != nil {
			t.Fatal(err)
		}
		time.Sleep(120 * time.Millisecond)
	}
	for round := range 3 {
		w.event("MINE", strings.Repeat("n", round+1))
		for _, s := range others {
			s.next("event")
		}
	}
	slow.next("reading") // it was not ended meanwhile
}

// TestWebSocketAnswersPings: what the client says on the way comes back between frames.
func TestWebSocketAnswersPings(t *testing.T) {
	w := newWorld(t).listen()
	s := w.open("viewer", "*", "snapshot", "event")
	s.next("snapshot")
	answered := make(chan string, 1)
	s.SetPongHandler(func(text string) error {
		answered <- text
		return nil
	})
	if err := s.WriteControl(websocket.PingMessage, []byte("there?"), time.Now().Add(hung)); err != nil {
		t.Fatal(err)
	}
	for got := ""; got == ""; {
		w.event("MINE", "beside")
		s.next("event")
		select {
		case got = <-answered:
			if got != "there?" {
				t.Errorf("the answer is %q", got)
			}
		default: // not yet
		}
	}
	if err := s.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseServiceRestart, ""), time.Now().Add(hung)); err != nil {
		t.Fatal(err)
	}
	s.SetReadDeadline(time.Now().Add(hung))
	if _, _, err := s.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseServiceRestart) {
		t.Errorf("the close is answered with %v", err)
	}
}

// TestWebSocketOverTLS: where a frame cannot be handed to the system directly, all of
// them come too.
func TestWebSocketOverTLS(t *testing.T) {
	w := newWorld(t)
	front := httptest.NewTLSServer(w.server)
	t.Cleanup(front.Close)
	d := websocket.Dialer{TLSClientConfig: front.Client().Transport.(*http.Transport).TLSClientConfig, HandshakeTimeout: hung}
	d.TLSClientConfig.NextProtos, d.TLSClientConfig.MinVersion = nil, tls.VersionTLS13
	conn, _, err := d.Dial("wss"+strings.TrimPrefix(front.URL, "https")+"/api/v1/ws", http.Header{"Authorization": {"Bearer " + w.tokens["viewer"]}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s := &socket{conn, t}
	s.send(map[string]any{"subscribe": map[string]any{"types": []string{"snapshot", "event"}}})
	s.next("snapshot")
	for _, text := range []string{"one", "two", "three"} {
		w.event("MINE", text)
		if f := s.next("event"); !strings.Contains(string(f.Data), `"description":"`+text+`"`) {
			t.Errorf("%s, want event %s", f.Data, text)
		}
	}
}
