package load

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// hook is what a broker in this program knows of its clients. After so many
// messages it refuses one in ten, or ends the connection.
type hook struct {
	mochi.HookBase
	t       *testing.T
	refuse  bool
	end     bool
	mu      sync.Mutex
	users   map[string]string // client by user
	seen    map[string][]int64
	pings   atomic.Int64
	n       atomic.Int64
	clients atomic.Int64
}

func (*hook) ID() string { return "test" }

func (*hook) Provides(b byte) bool {
	return bytes.Contains([]byte{mochi.OnConnectAuthenticate, mochi.OnACLCheck, mochi.OnPublish, mochi.OnPacketRead}, []byte{b})
}

func (*hook) OnACLCheck(*mochi.Client, string, bool) bool { return true }

func (h *hook) OnConnectAuthenticate(c *mochi.Client, p packets.Packet) bool {
	h.clients.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.users[c.ID] = string(p.Connect.Username)
	return string(p.Connect.Password) == "secret"
}

func (h *hook) OnPacketRead(_ *mochi.Client, p packets.Packet) (packets.Packet, error) {
	if p.FixedHeader.Type == packets.Pingreq {
		h.pings.Add(1)
	}
	return p, nil
}

func (h *hook) OnPublish(c *mochi.Client, p packets.Packet) (packets.Packet, error) {
	n := h.n.Add(1)
	var body struct {
		DeviceID  string
		Timestamp int64
	}
	if err := json.Unmarshal(p.Payload, &body); err != nil || p.TopicName != "device/"+body.DeviceID+"/data" || p.FixedHeader.Qos != 1 || p.FixedHeader.Retain {
		h.t.Errorf("%s: %s %s %v", c.ID, p.TopicName, p.Payload, err)
	}
	if n%10 == 0 && h.refuse {
		return p, packets.ErrQuotaExceeded
	}
	if n%10 == 0 && h.end {
		c.Stop(errors.New("enough"))
		return p, packets.ErrRejectPacket
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen[body.DeviceID] = append(h.seen[body.DeviceID], body.Timestamp)
	return p, nil
}

func broker(t *testing.T, h *hook) string {
	t.Helper()
	h.t, h.users, h.seen = t, map[string]string{}, map[string][]int64{}
	b := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := b.AddHook(h, nil); err != nil {
		t.Fatal(err)
	}
	l := listeners.NewTCP(listeners.Config{ID: "test", Address: "127.0.0.1:0"})
	if err := b.AddListener(l); err != nil {
		t.Fatal(err)
	}
	if err := b.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return l.Address()
}

func publishers(address string, users int) Spec {
	s := Spec{Name: "test", API: MQTT, Users: users, Profile: Steady(400, time.Second, 0), Seed: 1, Target: Target{Broker: address, Token: "secret"}}
	for i := range 2 * users {
		s.Senders = append(s.Senders, fmt.Sprintf("d%d", i))
	}
	return s
}

// TestPublish: each user has a connection and an identity of its own, and what was
// acknowledged is what the broker took.
func TestPublish(t *testing.T) {
	t.Parallel()
	var h hook
	s := publishers(broker(t, &h), 20)
	s.Password = func(device string) (string, error) { return "secret", nil }
	r, err := Run(t.Context(), s)
	if err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	if c := r.Load.Counts(); c.Sent != 400 || c.OK != 400 || c.Users != 20 || h.clients.Load() != 20 {
		t.Errorf("%+v over %d connections, want 400 of 20 users", c, h.clients.Load())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for client, user := range h.users {
		if client != user {
			t.Errorf("client %s logs in as %s", client, user)
		}
	}
	if len(r.Acked) != 40 {
		t.Errorf("%d devices, want 40", len(r.Acked))
	}
	for id, at := range r.Acked {
		if fmt.Sprint(at) != fmt.Sprint(h.seen[id]) {
			t.Errorf("%s: acknowledged %v, arrived %v", id, at, h.seen[id])
		}
	}
}

// TestPublishRefused: a PUBACK with a reason against the message is an error and no
// acknowledgement; so is a connection that ends, after which the user comes back.
func TestPublishRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, code string
		h          *hook
		clients    int64
	}{
		{"reason", "reason 0x97", &hook{refuse: true}, 5},
		{"end", "closed", &hook{end: true}, 5 + 39},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := tt.h
			r, err := Run(t.Context(), publishers(broker(t, h), 5))
			if err != nil {
				t.Fatal(err)
			}
			c := r.Load.Counts()
			if c.Sent != 400 || c.OK != 360 || c.Errors[tt.code]+c.Errors["reset"] != 40 {
				t.Errorf("%+v, want 40 of 400 to fail with %q", c, tt.code)
			}
			if n := h.clients.Load(); n < max(5, tt.clients-4) || n > tt.clients+2 {
				t.Errorf("%d connections, want about %d", n, tt.clients)
			}
			n := 0
			for _, at := range r.Acked {
				n += len(at)
			}
			if n != 360 || r.Err == nil {
				t.Errorf("%d acknowledged, want 360; word of it: %v", n, r.Err)
			}
		})
	}
	var h hook
	s := publishers(broker(t, &h), 3)
	s.Token = "wrong"
	r, err := Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if c := r.Load.Counts(); c.OK != 0 || c.Users != 0 || r.Err == nil {
		t.Errorf("with a wrong password: %+v, %v", c, r.Err)
	}
}

// TestKeepsAlive: a connection at rest says so to the broker.
func TestKeepsAlive(t *testing.T) {
	t.Parallel()
	var h hook
	s := publishers(broker(t, &h), 1)
	s.Dial = func(ctx context.Context, address string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}
	p := newPublisher(&s, newReadings(&s, 0, rand.New(rand.NewPCG(1, 1))))
	if err := p.connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer p.close()
	for range 3 {
		if err := p.rest(time.Now().Add(giveUp)); err != nil {
			t.Fatal(err)
		}
	}
	if _, code, err := p.exchange(time.Now(), time.Now().Add(giveUp)); code != "" || err != nil {
		t.Fatal(code, err)
	}
	if n := h.pings.Load(); n != 3 {
		t.Errorf("%d pings, want 3", n)
	}
}

// TestPeerMosquitto: a broker that others wrote takes it all, from a thousand users.
func TestPeerMosquitto(t *testing.T) {
	t.Parallel()
	program := ""
	for _, path := range []string{"mosquitto", "/usr/sbin/mosquitto"} {
		if found, err := exec.LookPath(path); err == nil {
			program = found
		}
	}
	if program == "" {
		if os.Getenv("CI") == "true" || os.Getenv("YUNCHU_PEERS") == "1" {
			t.Fatal("mosquitto is not installed")
		}
		t.Skip("mosquitto is not installed (Debian: mosquitto)")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(address)
	conf := filepath.Join(t.TempDir(), "mosquitto.conf")
	if err := os.WriteFile(conf, []byte("listener "+port+" 127.0.0.1\npersistence false\nallow_anonymous true\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(conf), 0o755); err != nil { // it gives up root's rights
		t.Fatal(err)
	}
	c := exec.Command(program, "-c", conf)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill() // ends, as a rule
		_ = c.Wait()
	})
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal("mosquitto does not listen")
		}
	}
	s := publishers(address, 1000)
	s.Profile = Steady(2000, time.Second, 0)
	r, err := Run(t.Context(), s)
	if err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	if c := r.Load.Counts(); c.Sent != 2000 || c.OK != 2000 || c.Users != 1000 {
		t.Errorf("%+v, want 2,000 of 1,000 users", c)
	}
}

// FuzzPackets: whatever a broker sends is an answer or an error.
func FuzzPackets(f *testing.F) {
	f.Add([]byte{mqttPubAck << 4, 2, 0, 1})
	f.Add([]byte{mqttPubAck << 4, 3, 0, 1, 0x97})
	f.Add([]byte{mqttBye << 4, 1, 0x8b})
	f.Add([]byte{mqttConnAck << 4, 3, 0, 0, 0, mqttPingResp << 4, 0})
	f.Add([]byte{mqttConnAck << 4, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, said []byte) {
		p := publisher{}
		p.in = bufio.NewReader(bytes.NewReader(said))
		for {
			kind, body, err := p.read()
			if err != nil {
				return
			}
			if kind > 15 || len(body) > maxPacket || len(body) > len(said) {
				t.Fatalf("a packet of type %d with %d bytes out of %d", kind, len(body), len(said))
			}
		}
	})
}

// FuzzAnswer: whatever a server sends is an answer or an error, and an answer is
// no longer than what came.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 429 Too Many\r\nContent-Length: 19\r\n\r\n{\"code\":\"OVERLOAD\"}"))
	f.Add([]byte("HTTP/1.1 204 No Content\r\n\r\n"))
	f.Fuzz(func(t *testing.T, said []byte) {
		status, body, err := readAnswer(bufio.NewReader(bytes.NewReader(said)), nil)
		if err == nil && (status < 0 || status > 999 || len(body) > len(said)) {
			t.Fatalf("status %d with %d bytes out of %d", status, len(body), len(said))
		}
		member(body, "code")
	})
}

// FuzzFrame: the short way through a frame and the long one agree on what is read.
func FuzzFrame(f *testing.F) {
	f.Add([]byte(`{"type":"reading","deviceId":"a","data":{"timestamp":1703123456789,"data":{"soc":75.5},"quality":"good","flags":[]}}`))
	f.Add([]byte(`{"type":"reading","deviceId":"a","data":{"timestamp":5},"lag":17}`))
	f.Add([]byte(`{"type":"readings","data":[{"deviceId":"a","timestamp":1703123456789,"data":{"soc":75.5}}]}`))
	f.Add([]byte(`{"type":"state","data":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parseFrame(b)
		if err != nil || !json.Valid(b) || got.kind != "reading" {
			return
		}
		var in struct {
			Type string
			Data struct{ Timestamp int64 }
		}
		// A name that is there twice, or in other letters, is for the long way; what the server writes has none.
		if err := json.Unmarshal(b, &in); err == nil && bytes.Count(bytes.ToLower(b), []byte("timestamp")) == 1 && bytes.Count(bytes.ToLower(b), []byte(`data`)) <= 2 && bytes.Count(b, []byte("\\")) == 0 && in.Data.Timestamp != got.at {
			t.Fatalf("%s: %d, read in full %d", b, got.at, in.Data.Timestamp)
		}
	})
}
