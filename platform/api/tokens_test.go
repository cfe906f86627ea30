package api_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"yunchu/platform/auth"
	"yunchu/platform/auth/authtest"
)

// sessions opens one for a user of each role that users can have, whose tokens the world
// takes by the names of the roles with "user:" before them.
func (w *world) sessions() {
	w.t.Helper()
	for _, role := range auth.Roles {
		if role != auth.Device {
			w.tokens["user:"+role.String()] = w.login(role).Secret
		}
	}
}

func (w *world) login(role auth.Role) auth.Session {
	w.t.Helper()
	const password = "a long password"
	name := "the-" + role.String()
	if err := w.auth.PutUser(w.t.Context(), time.Now(), name, role, password, "test"); err != nil {
		w.t.Fatal(err)
	}
	s, err := w.auth.Login(w.t.Context(), time.Now(), "home", name, password)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// bad are tokens that were those of somebody with the role, or shall look like it.
func (w *world) bad(role auth.Role) map[string]string {
	w.t.Helper()
	issue := func(life time.Duration) auth.Issued {
		g := auth.Grant{Role: role, Life: life}
		if role == auth.Device {
			g.Device = "MINE"
		}
		got, err := w.auth.Issue(w.t.Context(), time.Now().Add(-time.Hour), "test", g)
		if err != nil {
			w.t.Fatal(err)
		}
		return got
	}
	revoked := issue(0)
	if err := w.auth.Revoke(w.t.Context(), revoked.ID, "test"); err != nil {
		w.t.Fatal(err)
	}
	list := map[string]string{"machine, expired": issue(time.Minute).Secret, "machine, revoked": revoked.Secret, "machine, cut": revoked.Secret[:20]}
	if role == auth.Device {
		return list
	}
	good := w.tokens["user:"+role.String()]
	maps.Copy(list, authtest.Forgeries(w.t, good, time.Now()))
	over := w.login(role)
	if err := w.auth.Logout(w.t.Context(), "home", over.Refresh); err != nil {
		w.t.Fatal(err)
	}
	list["logged out"] = over.Secret
	w.tokens["user:"+role.String()] = w.login(role).Secret // that of before has ended with the login's new password
	list["password changed"] = good
	return list
}

// TestTokenMatrix asks every route with every role, about its own and a foreign device,
// with tokens that are wrong in every way: what needs a token answers 401, as without
// one. A session's token is as good as a machine's of the same role.
func TestTokenMatrix(t *testing.T) {
	if testing.Short() {
		t.Skip("one client asks one thing after the other, as in TestMatrix")
	}
	w := newWorld(t, withAudit(t)).listen()
	for _, known := range []string{"MINE", "FOREIGN"} {
		w.do("POST", syncPath, "engineer", body(known, start-1)).want(200, "SUCCESS")
	}
	w.sessions()
	bad := map[auth.Role]map[string]string{}
	for _, role := range auth.Roles {
		bad[role] = w.bad(role)
	}
	asked := 0
	for _, route := range routes(t, w) {
		method, path, _ := strings.Cut(route, " ")
		if slices.Contains(forAnybody, path) {
			continue
		}
		probe := probes[route]
		devices := []string{"-"}
		if strings.Contains(probe.path+probe.body, "%s") {
			devices = []string{"MINE", "FOREIGN"}
		}
		for _, id := range devices {
			ask := func(token string) int {
				asked++
				return w.do(method, strings.ReplaceAll(probe.path, "%s", id), token, strings.ReplaceAll(probe.body, "%s", id)).Code
			}
			for _, role := range auth.Roles {
				for name, token := range bad[role] {
					if got := ask(token); got != http.StatusUnauthorized {
						t.Errorf("%s %s, %s, %s: %d, want 401", route, id, role, name, got)
					}
				}
				if role == auth.Device {
					continue
				}
				if got, want := ask("user:"+role.String()), ask(role.String()); got != want {
					t.Errorf("%s %s: a session of a %s is answered %d, a token %d", route, id, role, got, want)
				}
			}
		}
	}
	t.Logf("%d requests", asked)
	for name, query := range graphProbes {
		for _, role := range auth.Roles {
			for what, token := range bad[role] {
				if strings.HasPrefix(query, "subscription") {
					if what != "expired" && what != "no signature" && role != auth.Device {
						continue // the handshake is the same
					}
					if code := w.initClose(token); code != 4403 {
						t.Errorf("%s of a %s, %s, said at the init: %d, want 4403", name, role, what, code)
					}
					_, res, err := w.dialGraph(token)
					if err == nil || res == nil || res.StatusCode != http.StatusUnauthorized {
						t.Errorf("%s of a %s, %s: %v, want 401", name, role, what, err)
					}
					continue
				}
				if got := w.ask(token, strings.ReplaceAll(query, "%s", "MINE")).status; got != http.StatusUnauthorized {
					t.Errorf("%s of a %s, %s: %d, want 401", name, role, what, got)
				}
			}
		}
	}
}

// initClose opens a WebSocket of GraphQL that says its token at the init, and returns the
// code with which it is closed.
func (w *world) initClose(token string) int {
	w.t.Helper()
	d := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}, HandshakeTimeout: hung}
	c, res, err := d.Dial("ws"+strings.TrimPrefix(w.http.URL, "http")+"/graphql", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(hung))
	payload := "{}"
	if token != "" {
		payload = fmt.Sprintf(`{"Authorization":"Bearer %s"}`, token)
	}
	if err := c.WriteMessage(websocket.TextMessage, []byte(`{"type":"connection_init","payload":`+payload+`}`)); err != nil {
		w.t.Fatal(err)
	}
	for {
		_, m, err := c.ReadMessage()
		var closed *websocket.CloseError
		switch {
		case errors.As(err, &closed):
			return closed.Code
		case err != nil:
			w.t.Fatal(err)
		case strings.Contains(string(m), "connection_ack"):
			return 0
		}
	}
}

// TestSessionsOverEveryInterface: a session's token opens all of them, and what it has
// opened ends with it.
func TestSessionsOverEveryInterface(t *testing.T) {
	w := newWorld(t).listen()
	s := w.login(auth.Operator)
	w.do("GET", "/api/v1/devices", s.Secret, "").want(200, "")
	if got := w.ask(s.Secret, `{ x: devices { next } }`); got.status != http.StatusOK || got.code() != "" {
		t.Errorf("GraphQL answers %d %s", got.status, got.code())
	}
	live := w.open(s.Secret, "*", "state")
	live.next("state")
	if code := w.initClose(s.Secret); code != 0 {
		t.Errorf("said at the init it is closed with %d", code)
	}
	if code := w.initClose(""); code != 4403 {
		t.Errorf("without a token it is closed with %d", code)
	}
	graph := w.openGraph(s.Secret)
	graph.subscribe("f", `subscription { x: fleet { lag } }`)
	if err := w.auth.Logout(t.Context(), "home", s.Refresh); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*websocket.Conn{"WebSocket": live.Conn, "GraphQL": graph.Conn} {
		c.SetReadDeadline(time.Now().Add(hung))
		for {
			if _, _, err := c.ReadMessage(); err != nil {
				if !websocket.IsCloseError(err, websocket.ClosePolicyViolation) {
					t.Errorf("%s ends with %v", name, err)
				}
				break
			}
		}
	}
}
