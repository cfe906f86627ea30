package api

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"yunchu/platform/auth"
	"yunchu/platform/device"
)

const (
	pingEvery  = 30 * time.Second
	pongWithin = 75 * time.Second // since the last sign of life
	writeTime  = 10 * time.Second // for one frame
	lastWord   = 500 * time.Millisecond
	maxRequest = smallBody // bytes of a message of a client

	protocol       = "yunchu.v1"
	bearerProtocol = "bearer."

	closeGoingAway = websocket.CloseGoingAway
	closeRevoked   = websocket.ClosePolicyViolation
	closeTooSlow   = websocket.CloseTryAgainLater
)

// client is one WebSocket, whose reader is a goroutine and which shares its writer
// with others; or a WebSocket of GraphQL, or one of its subscriptions.
type client struct {
	hub       *hub
	conn      *websocket.Conn // nil for a subscription
	line      *line           // where frames go out; nil for those of GraphQL
	principal *auth.Principal // nil until it has said who it is, which may be later in GraphQL
	wall      func() time.Time
	queue     queue
	values    bool // it takes the values of messages, not their frames

	// Under hub.mu.
	policies *auth.Policies // those that its filter was made with
	filter   *filter        // nil until it subscribes
	kinds    kinds
	pingAt   int64 // when the next ping is due, ms

	once   sync.Once
	ending chan struct{} // closed by end
	left   chan struct{} // closed when the connection is, after end
	code   int
	text   string
}

// websocket answers GET /api/v1/ws. What net/http holds of the request is let go: a client
// stays for long.
func (s *Server) websocket(w http.ResponseWriter, r *http.Request) {
	p, conn := s.upgrade(w, r, nil)
	if conn == nil {
		return
	}
	c := &client{hub: s.hub, conn: conn, principal: p, wall: s.wall, ending: make(chan struct{}), left: make(chan struct{})}
	c.line = newLine(c)
	c.queue.notify = c.line.ready
	c.pingAt = device.Millis(time.Now()) + rand.Int64N(pingEvery.Milliseconds()) // they do not come all at once
	if !s.hub.add(c) {
		c.end(closeTooSlow, "too many clients")
		<-c.left
		return
	}
	go s.hear(c)
}

// hear follows a client until it goes.
func (s *Server) hear(c *client) {
	defer s.hub.remove(c)
	defer func() {
		if fault := recover(); fault != nil {
			s.log.Error("WebSocket panicked", "fault", fmt.Sprint(fault), "stack", string(debug.Stack()))
			c.end(websocket.CloseInternalServerErr, "")
		}
		c.end(websocket.CloseNormalClosure, "")
		<-c.left
	}()
	c.read(s)
}

// upgrade makes a WebSocket of a request whose token allows to read. Of protocols,
// if there are any, the client must offer one; they are such that the token may come
// later, and the principal is nil then. The connection is nil when the request was
// refused, and answered.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request, protocols []string) (*auth.Principal, *websocket.Conn) {
	start := time.Now()
	done := func(status int) { s.metrics.ws.done(status, time.Since(start)) }
	secure(w.Header())
	token, chosen := wsToken(r)
	if len(protocols) > 0 {
		chosen = ""
		for _, offered := range websocket.Subprotocols(r) {
			if slices.Contains(protocols, offered) {
				chosen = offered
				break
			}
		}
	}
	p, refused := s.who(r, token, auth.Read)
	if refused != nil && token == "" && len(protocols) > 0 && refused.Code == CodeUnauthorized {
		if refused = nil; s.strangers.Load() >= maxStrangers {
			refused = s.hub.full()
		}
	}
	switch {
	case refused != nil:
	case !s.isReady():
		refused = refuse(CodeNotReady, "")
	case s.hub.count.Load() >= int64(s.hub.max):
		refused = s.hub.full()
	case len(protocols) > 0 && chosen == "":
		refused = refuse(CodeInvalidRequest, "offer the subprotocol "+strings.Join(protocols, " or "))
	}
	if refused != nil {
		done(refused.write(w, r))
		return nil, nil
	}
	upgrader := websocket.Upgrader{
		HandshakeTimeout: 5 * time.Second, ReadBufferSize: 1024, WriteBufferSize: 4096, WriteBufferPool: &writeBuffers,
		Error: func(w http.ResponseWriter, r *http.Request, code int, reason error) {
			p := refuse(CodeInvalidRequest, reason.Error())
			if code == http.StatusForbidden {
				p = refuse(CodeCrossOrigin, reason.Error())
			}
			done(p.write(w, r))
		},
	}
	header := http.Header{requestIDHeader: {requestID(w.Header(), r)}}
	if chosen != "" {
		header.Set("Sec-WebSocket-Protocol", chosen)
	}
	conn, err := upgrader.Upgrade(w, r, header)
	if err != nil {
		return nil, nil // answered by Error
	}
	done(http.StatusSwitchingProtocols) // what follows is not the handshake's time
	return p, conn
}

var writeBuffers sync.Pool

// wsToken is the token of a handshake, and the subprotocol to answer with. A
// browser cannot set headers, so it sends the token as a subprotocol, with the
// characters that may not stand there percent-encoded.
func wsToken(r *http.Request) (token, chosen string) {
	token = bearer(r)
	for _, p := range websocket.Subprotocols(r) {
		if p == protocol {
			chosen = p
		}
		secret, found := strings.CutPrefix(p, bearerProtocol)
		if !found {
			continue
		}
		if chosen == "" {
			chosen = p
		}
		if token == "" {
			token = secret
			if plain, err := url.PathUnescape(secret); err == nil {
				token = plain
			}
		}
	}
	return token, chosen
}

// read follows what the client asks for until the connection ends.
func (c *client) read(s *Server) {
	c.conn.SetReadLimit(maxRequest)
	within := false // a message, which must be whole in time whatever comes between its frames
	alive := func() error {
		if within {
			return nil
		}
		return c.conn.SetReadDeadline(time.Now().Add(pongWithin))
	}
	c.conn.SetPongHandler(func(string) error { return alive() })
	// Nobody but the writer may put in a word, and bye the last one.
	c.conn.SetPingHandler(func(text string) error {
		c.hub.push(c, &message{frame: frameOf(opPong, []byte(text))})
		return nil
	})
	c.conn.SetCloseHandler(func(code int, _ string) error {
		c.end(code, "")
		return nil
	})
	for alive() == nil {
		kind, r, err := c.conn.NextReader()
		if err != nil || c.conn.SetReadDeadline(time.Now().Add(smallWithin)) != nil {
			return
		}
		within = true
		b, err := io.ReadAll(r)
		if within = false; err != nil {
			return
		}
		if kind != websocket.TextMessage || !utf8.Valid(b) {
			c.complain(CodeInvalidType, "a message must be text in UTF-8")
			continue
		}
		c.request(s, b)
	}
}

// request takes one message of the client.
func (c *client) request(s *Server, b []byte) {
	var in struct {
		Subscribe *struct {
			Devices *string  `json:"devices"`
			Sites   []string `json:"sites"`
			Kinds   []string `json:"kinds"`
			Types   []string `json:"types"`
		} `json:"subscribe"`
		Sync json.RawMessage `json:"sync"`
		ID   json.RawMessage `json:"id"`
	}
	if err := json.Unmarshal(b, &in); err != nil {
		c.complain(CodeMalformedJSON, err.Error())
		return
	}
	switch {
	case in.Sync != nil && in.Subscribe == nil:
		s.take(c, in.ID, in.Sync)
		return
	case in.Sync != nil || in.Subscribe == nil:
		c.complain(CodeInvalidRequest, `expected {"subscribe":{"devices":GLOB,"sites":[…],"kinds":[…],"types":[…]}} or {"sync":READINGS,"id":…}`)
		return
	}
	glob := "*"
	if in.Subscribe.Devices != nil {
		glob = *in.Subscribe.Devices
	}
	key, refused := keyOf(c.principal, glob, in.Subscribe.Sites, in.Subscribe.Kinds)
	if refused != nil {
		c.complain(refused.Code, refused.Detail)
		return
	}
	k := defaultKinds
	if in.Subscribe.Types != nil {
		k = 0
		for _, name := range in.Subscribe.Types {
			bit, known := kindNames[name]
			if !known {
				c.complain(CodeInvalidType, "there are no frames of type "+quote(name))
				return
			}
			k |= bit
		}
	}
	c.hub.listen(c, key, k)
}

// keyOf is what a glob of device ids, names of sites and kinds of devices let through
// for somebody; nil lets any through.
func keyOf(p *auth.Principal, glob string, sites, kinds []string) (filterKey, *Problem) {
	if _, err := path.Match(glob, ""); err != nil {
		return filterKey{}, refuse(CodeInvalidRequest, "devices "+quote(glob)+" is not a glob")
	}
	k := filterKey{glob: glob, sites: joined(sites), kinds: joined(kinds), only: p.Device, fleet: p.MayWhole(auth.Read)}
	if !p.MayOnAll(auth.Read) {
		k.by = p
	}
	return k, nil
}

// complain tells the client what is wrong with its message. The subscription
// stays as it was.
func (c *client) complain(code Code, detail string) {
	b := append(textOf("error", ""), `{"code":"`...)
	b = append(b, code...)
	b = append(b, `","detail":`...)
	b = appendString(b, detail)
	c.answer(append(b, "}}"...))
}

// answer tells the client what it has asked for. It returns when that is written, or the
// client ended: who asks without taking the answers is not listened to meanwhile.
func (c *client) answer(raw []byte) {
	m := answerTo(raw)
	c.hub.push(c, m)
	c.await(m)
}

func (c *client) await(m *message) {
	select {
	case <-m.done:
	case <-c.ending:
	}
}

// end has somebody say why the client is ended, and end it; a writer that hangs in a
// frame is cut off. The first call counts.
func (c *client) end(code int, text string) {
	c.once.Do(func() {
		c.code, c.text = code, text
		close(c.ending)
		if c.conn != nil {
			time.AfterFunc(lastWord, func() { c.conn.Close() })
			go c.bye()
		}
	})
}

// bye says why the connection ends, and ends it, which also ends the reader.
func (c *client) bye() {
	defer close(c.left)
	if c.line != nil {
		c.line.mu.Lock() // not within a frame
		defer c.line.mu.Unlock()
	}
	c.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(c.code, c.text), time.Now().Add(lastWord/2))
	c.conn.Close()
}

// ended reports whether end was called.
func (c *client) ended() bool {
	select {
	case <-c.ending:
		return true
	default:
		return false
	}
}

// checkToken ends a client whose token does not hold any more, or may be for something
// else now. The caller holds hub.mu.
func (c *client) checkToken() {
	if c.principal == nil {
		return
	}
	select {
	case <-c.principal.Revoked():
		c.end(closeRevoked, "the token was revoked")
		return
	default:
	}
	if c.policies != c.principal.Policies() {
		c.end(closeGoingAway, "the policies have changed: connect again")
	}
	if e := c.principal.Expires; e != 0 && device.Millis(c.wall()) >= e {
		c.end(closeRevoked, "the token has expired")
	}
}
