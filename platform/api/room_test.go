package api_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"yunchu/platform/api"
)

// TestCommandsPassWhereReadingsDoNot: each kind of request has a room of its own, so what
// fills one turns away its own kind alone, tells when to come again, and is counted.
func TestCommandsPassWhereReadingsDoNot(t *testing.T) {
	w := newWorld(t, func(o *api.Options) { o.MaxInFlight = 1 })
	command := func(device, id string) answer {
		return w.do("POST", controlPath, "operator", fmt.Sprintf(`{"deviceId":%q,"commandId":%q,"command":"setPower","parameters":{"power":5}}`, device, id))
	}
	text, more := io.Pipe()
	stored := make(chan answer)
	go func() { stored <- serve(w, newRequest("POST", syncPath, text, w.tokens["device"])) }()
	if _, err := more.Write([]byte("{")); err != nil { // it is inside
		t.Fatal(err)
	}
	for range 3 {
		if a := w.do("POST", syncPath, "device", body("MINE", start)).want(429, "OVERLOAD"); a.Header().Get("Retry-After") != "1" {
			t.Errorf("Retry-After is %q", a.Header().Get("Retry-After"))
		}
	}
	command("MINE", "one").want(200, "SUCCESS")
	figures := w.do("GET", "/metrics", "viewer", "").want(200, "").Body.String()
	for _, want := range []string{`yunchu_http_shed_total{full="readings"} 3`, `yunchu_http_shed_total{full="commands"} 0`, `yunchu_http_in_flight 2`} {
		if !strings.Contains(figures, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if _, err := io.WriteString(more, body("MINE", start)[1:]); err != nil {
		t.Fatal(err)
	}
	more.Close()
	(<-stored).want(200, "SUCCESS")

	// The other way round, with a command that its device does not answer.
	waits := make(chan answer)
	go func() {
		for { // until it is the one that is let in
			if a := command("SLOW", "slow"); a.Code != http.StatusTooManyRequests {
				waits <- a
				return
			}
		}
	}()
	for i := 0; ; i++ {
		a := command("MINE", fmt.Sprint("beside-", i))
		if a.Code == http.StatusTooManyRequests {
			a.want(429, "OVERLOAD")
			break
		}
		a.want(200, "SUCCESS")
	}
	w.do("POST", syncPath, "device", body("MINE", start+1)).want(200, "SUCCESS")
	w.do("GET", "/api/v1/devices", "viewer", "").want(200, "")
	w.do("GET", "/healthz", "", "").want(200, "")
	(<-waits).want(202, "ACCEPTED")
	command("MINE", "after").want(200, "SUCCESS")
}

// TestGraphCommandsPassWhereQuestionsDoNot: a mutation takes the place of a command.
func TestGraphCommandsPassWhereQuestionsDoNot(t *testing.T) {
	w := newWorld(t, func(o *api.Options) { o.MaxInFlight = 1 })
	text, more := io.Pipe()
	left := make(chan answer)
	go func() { left <- serve(w, newRequest("POST", "/api/v1/login", text, "")) }()
	if _, err := more.Write([]byte("{")); err != nil { // it is inside
		t.Fatal(err)
	}
	ask := func(query string) answer {
		return w.do("POST", "/graphql", "operator", fmt.Sprintf(`{"query":%q}`, query))
	}
	ask(`{ devices { items { id } } }`).want(429, "OVERLOAD")
	a := ask(`mutation { control(input: {deviceId: "MINE", commandId: "one", command: setPower, parameters: {power: 5}}) { __typename } }`)
	if a.Code != 200 || !strings.Contains(a.Body.String(), `"CommandDone"`) {
		t.Errorf("the command is answered %d %s", a.Code, a.Body)
	}
	more.Close()
	<-left
	if a := ask(`{ devices { items { id } } }`); a.Code != 200 {
		t.Errorf("after that the question is answered %d %s", a.Code, a.Body)
	}
}

// TestCreepingRequests: connections on which heads and bodies creep in are bounded, and
// gone within five seconds; then others are served as before.
func TestCreepingRequests(t *testing.T) {
	const most = 8
	w := newWorld(t, func(o *api.Options) { o.MaxConnections, o.MaxInFlight = most, most })
	half := func(path, token string) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 300\r\n\r\n{", path, token)
	}
	for name, sent := range map[string]string{
		"nothing": "", "half a head": "POST /api/v1/device/control HTTP/1.1\r\nHost:",
		"half a reading": half(syncPath, w.tokens["device"]), "half a command": half(controlPath, w.tokens["operator"]),
		"half a query": strings.Replace(half("/graphql", w.tokens["viewer"]), "Host: x", "Host: x\r\nContent-Type: application/json", 1),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := contextOf(t)
				l := newPipes()
				served := make(chan error, 1)
				go func() { served <- w.server.Serve(ctx, l) }()
				began := time.Now()
				conns := make([]net.Conn, most)
				for i := range conns {
					conns[i] = l.dial()
					if _, err := io.WriteString(conns[i], sent); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				late := l.dial()
				if _, err := late.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
					t.Errorf("one more than %d connections ends with %v", most, err)
				}
				for _, c := range conns { // they are told, or not, and ended
					if _, err := io.Copy(io.Discard, c); err != nil {
						t.Errorf("a connection ends with %v", err)
					}
					c.Close()
				}
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("they hold on for %v", took)
				}
				synctest.Wait()
				c := l.dial()
				if _, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
					syncPath, w.tokens["device"], len(body("MINE", start)), body("MINE", start)); err != nil {
					t.Fatal(err)
				}
				if r, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || r.StatusCode != http.StatusOK {
					t.Errorf("afterwards a reading is answered %v, %v", r, err)
				}
				c.Close()
				late.Close()
				stop()
				if err := <-served; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestStormOfWebSockets: when all come back at once, as many are taken in as there is room
// for, the others are told to come again, and nobody else notices.
func TestStormOfWebSockets(t *testing.T) {
	const most, all = 20, 100
	w := newWorld(t, func(o *api.Options) { o.MaxClients = most }).listen()
	for range 2 {
		var (
			wg       sync.WaitGroup
			in, told atomic.Int64
			mu       sync.Mutex
			open     []*socket
		)
		for range all {
			wg.Go(func() {
				s, r, err := w.dial("viewer", nil)
				switch {
				case err == nil:
					mu.Lock()
					open = append(open, s)
					mu.Unlock()
					if s.WriteJSON(map[string]any{"subscribe": map[string]any{}}) != nil {
						return
					}
					if err := s.SetReadDeadline(time.Now().Add(hung)); err != nil {
						return
					}
					if _, _, err := s.ReadMessage(); err == nil { // its snapshot; or that there is no room
						in.Add(1)
					}
				case r != nil && r.StatusCode == http.StatusTooManyRequests && r.Header.Get("Retry-After") != "":
					told.Add(1)
				}
			})
		}
		for i := range 20 {
			w.do("POST", controlPath, "operator", fmt.Sprintf(`{"deviceId":"MINE","commandId":"storm-%d","command":"stop"}`, i)).want(200, "SUCCESS")
		}
		wg.Wait()
		if in.Load() != most || told.Load() == 0 {
			t.Errorf("of %d that came at once %d were let in and %d told to come again; want %d", all, in.Load(), told.Load(), most)
		}
		w.settled(most)
		for _, s := range open {
			s.Close()
		}
		w.settled(0)
	}
}
