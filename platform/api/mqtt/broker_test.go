package mqtt_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/mochi-mqtt/server/v2/packets"
	"go.uber.org/goleak"

	"yunchu/platform"
	"yunchu/platform/api"
	"yunchu/platform/api/mqtt"
	"yunchu/platform/auth"
	"yunchu/platform/auth/authtest"
	"yunchu/platform/bus"
	"yunchu/platform/bus/nats"
	"yunchu/platform/device"
	"yunchu/platform/sched"
)

func TestMain(m *testing.M) {
	// The state view's library looks once a second whether it was closed.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/tidwall/buntdb.(*DB).backgroundManager"))
}

const engineer = "token-of-an-engineer"

// held is an intake that lets nothing be durable while it is closed, and that has no room
// while it is full.
type held struct {
	api.Intake
	mu   sync.Mutex
	gate chan struct{} // nil: open
	full bool

	pushed atomic.Int64
}

func (h *held) Push(ctx context.Context, rows []device.Reading) error {
	h.pushed.Add(1)
	h.mu.Lock()
	gate, full := h.gate, h.full
	h.mu.Unlock()
	if full {
		return bus.ErrOverload
	}
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done(): // a test that has failed lets go too
			return ctx.Err()
		}
	}
	return h.Intake.Push(ctx, rows)
}

func (h *held) hold() (release func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	gate := make(chan struct{})
	h.gate = gate
	return func() {
		h.mu.Lock()
		h.gate = nil
		h.mu.Unlock()
		close(gate)
	}
}

func (h *held) fill(full bool) { h.mu.Lock(); h.full = full; h.mu.Unlock() }

// world is a plant with a broker, on the durable bus.
type world struct {
	testing.TB
	plant   *platform.Plant
	auth    *auth.Authority
	intake  *held
	address string

	mu     sync.Mutex
	events []device.Event
}

func open(t testing.TB, change ...func(*mqtt.Options)) *world {
	t.Helper()
	b, err := nats.Open(nats.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s := sched.New(sched.NewWall())
	p, err := platform.New(platform.Config{Bus: b, Sched: s, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	a, err := auth.New(p.Records(), time.Now(), auth.Options{Static: engineer, Keys: authtest.Keys(t, time.Now())})
	if err != nil {
		t.Fatal(err)
	}
	face := p.Face(platform.AboutThis("test", "", nil, false, time.Now()), nil)
	w := &world{TB: t, plant: p, auth: a, intake: &held{Intake: face.Intake}}
	face.Intake = w.intake
	server, err := api.New(api.Options{Plant: face, Auth: a, Bus: b})
	if err != nil {
		t.Fatal(err)
	}
	o := mqtt.Options{API: server, Registry: face.Registry, Bus: b}
	for _, f := range change {
		f(&o)
	}
	broker, err := mqtt.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bus.Events.Subscribe(b, 1, func(_ uint64, f *device.Events) {
		w.mu.Lock()
		w.events = append(w.events, f.List...)
		w.mu.Unlock()
	}); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(context.Background(), s.Now()); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.address = l.Addr().String()
	front, stopFront := context.WithCancel(context.Background())
	behind, stop := context.WithCancel(context.Background())
	var listening, running sync.WaitGroup
	listening.Go(func() {
		if err := broker.Serve(front, l); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	running.Go(func() { _ = s.Run(behind, time.Time{}) })
	running.Go(func() { _ = p.Run(behind) })
	t.Cleanup(func() {
		stopFront()
		listening.Wait()
		stop()
		running.Wait()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// device makes a device known and returns a token of it.
func (w *world) device(id device.ID) (token, name string) {
	w.Helper()
	if _, known := w.plant.Fleet.Slot(id); !known {
		face := w.plant.Face(api.About{}, nil)
		if _, err := face.Registry.Register(w.Context(), device.Info{ID: id, RatedKW: 100}); err != nil {
			w.Fatal(err)
		}
	}
	i, err := w.auth.Issue(w.Context(), time.Now(), "test", auth.Grant{Role: auth.Device, Device: id})
	if err != nil {
		w.Fatal(err)
	}
	return i.Secret, i.ID
}

func (w *world) stored(id device.ID, at int64) bool {
	s, ok := w.plant.Fleet.Slot(id)
	if !ok {
		return false
	}
	d, _ := w.plant.Fleet.Device(s)
	return d.Last.At == at
}

func (w *world) told(kind string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Type == kind {
			n++
		}
	}
	return n
}

func reading(id string, at int64) string {
	return fmt.Sprintf(`{"deviceId":%q,"timestamp":%d,"data":{"soc":75.5,"voltage":382.4,"current":125.6,"power":48.1,"temperature":25.3,"status":"charging"}}`, id, at)
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in 30 s not: %s", what)
		}
	}
}

// raw is a client that sends and receives packets, and nothing by itself.
type raw struct {
	testing.TB
	net.Conn
	version byte
}

func (w *world) dial(version byte, user, password, id string, change ...func(*packets.Packet)) (*raw, packets.Packet) {
	w.Helper()
	c, err := net.Dial("tcp", w.address)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	r := &raw{w, c, version}
	pk := packets.Packet{
		ProtocolVersion: version, FixedHeader: packets.FixedHeader{Type: packets.Connect},
		Connect: packets.ConnectParams{
			ProtocolName: []byte("MQTT"), ClientIdentifier: id, Keepalive: 30, Clean: true,
			UsernameFlag: true, PasswordFlag: true, Username: []byte(user), Password: []byte(password),
		},
	}
	for _, f := range change {
		f(&pk)
	}
	r.send(pk)
	return r, r.receive()
}

func (r *raw) send(pk packets.Packet) {
	r.Helper()
	if err := r.write(pk); err != nil {
		r.Fatal(err)
	}
}

func (r *raw) publish(id uint16, topic, body string) {
	r.Helper()
	r.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1}, TopicName: topic, PacketID: id, Payload: []byte(body)})
}

func (r *raw) subscribe(topic string) packets.Packet {
	r.Helper()
	r.send(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 999,
		Filters: packets.Subscriptions{{Filter: topic, Qos: 1}},
	})
	for { // what is subscribed to may come before the answer
		if pk := r.receive(); pk.FixedHeader.Type != packets.Publish {
			return pk
		}
	}
}

func (r *raw) receive() packets.Packet {
	r.Helper()
	pk, err := r.read()
	if err != nil {
		r.Fatal(err)
	}
	return pk
}

// silent reports whether nothing comes for a while.
func (r *raw) silent(d time.Duration) bool {
	_ = r.SetReadDeadline(time.Now().Add(d))
	var b [1]byte
	_, err := r.Read(b[:])
	_ = r.SetReadDeadline(time.Now().Add(30 * time.Second))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// ends reports whether the other side closes without a PUBACK.
func (r *raw) ends() bool {
	for {
		pk, err := r.read()
		if err != nil {
			return true
		}
		if pk.FixedHeader.Type == packets.Puback {
			return false
		}
	}
}

func TestPubackIsTheCommit(t *testing.T) {
	for _, version := range []byte{4, 5} {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			w := open(t)
			token, _ := w.device("d")
			c, ack := w.dial(version, "d", token, "x")
			if ack.ReasonCode != 0 {
				t.Fatalf("CONNACK %#x", ack.ReasonCode)
			}
			release := w.intake.hold()
			at := time.Now().UnixMilli()
			c.publish(7, "device/d/data", reading("d", at))
			if !c.silent(300 * time.Millisecond) {
				t.Error("answered before the commit")
			}
			// A ping and what is no reading are not held up.
			c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingreq}})
			if pk := c.receive(); pk.FixedHeader.Type != packets.Pingresp {
				t.Errorf("a ping behind a reading that waits: packet %d", pk.FixedHeader.Type)
			}
			c.publish(8, "device/d/event", `{"deviceId":"d","eventType":"door","severity":"warning","timestamp":1}`)
			eventually(t, "the event overtakes the reading", func() bool { return w.told("door") == 1 })
			if w.stored("d", at) {
				t.Error("stored although it is held")
			}
			release()
			for _, want := range []uint16{7, 8} {
				if pk := c.receive(); pk.FixedHeader.Type != packets.Puback || pk.PacketID != want || pk.ReasonCode != 0 {
					t.Errorf("packet %d of %d, reason %#x; want PUBACK %d", pk.FixedHeader.Type, pk.PacketID, pk.ReasonCode, want)
				}
			}
			if !w.stored("d", at) {
				t.Error("PUBACK without the reading")
			}
		})
	}
}

func TestWhoMayConnect(t *testing.T) {
	w := open(t)
	token, _ := w.device("d")
	other, _ := w.device("other")
	for _, tt := range []struct{ user, password string }{
		{"d", ""}, {"", ""}, {"d", "wrong"}, {"d", other}, {"other", token}, {"token", token}, {"d", engineer},
	} {
		want := packets.ErrBadUsernameOrPassword.Code
		if tt.password == "" {
			want = packets.ErrProtocolViolation.Code // the flag says that there is one
		}
		if _, pk := w.dial(5, tt.user, tt.password, "x"); pk.ReasonCode != want {
			t.Errorf("%q with %q: CONNACK %#x", tt.user, tt.password, pk.ReasonCode)
		}
		if _, pk := w.dial(4, tt.user, tt.password, "x"); pk.ReasonCode == 0 {
			t.Errorf("%q with %q: taken in 3.1.1", tt.user, tt.password)
		}
	}
	will := func(pk *packets.Packet) {
		pk.Connect.WillFlag, pk.Connect.WillTopic, pk.Connect.WillPayload = true, "device/other/data", []byte("x")
	}
	if _, pk := w.dial(5, "d", token, "x", will); pk.ReasonCode != packets.ErrNotAuthorized.Code {
		t.Errorf("a will of another device: CONNACK %#x", pk.ReasonCode)
	}
	if _, pk := w.dial(5, "token", engineer, "x"); pk.ReasonCode != 0 {
		t.Errorf("an engineer: CONNACK %#x", pk.ReasonCode)
	}
}

func TestWhoMaySayAndHearWhat(t *testing.T) {
	w := open(t)
	token, _ := w.device("d")
	w.device("other")
	viewer, err := w.auth.Issue(t.Context(), time.Now(), "test", auth.Grant{Role: auth.Viewer})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().UnixMilli()
	refused := packets.ErrNotAuthorized.Code
	for _, tt := range []struct {
		user, token, topic, body string
		want                     byte
	}{
		{"d", token, "device/d/data", reading("d", at), 0},
		{"d", token, "device/d/data", reading("other", at), refused},
		{"d", token, "device/other/data", reading("other", at), refused},
		{"d", token, "device/other/ack", "{}", refused},
		{"d", token, "device/d/control", "{}", refused},
		{"d", token, "something/else", "{}", refused},
		{"token", viewer.Secret, "device/d/data", reading("d", at), refused},
		{"token", viewer.Secret, "device/d/control", "{}", refused},
		{"token", engineer, "device/other/data", reading("other", at), 0},
		{"token", engineer, "device/other/data", reading("d", at), refused},
		{"token", engineer, "device/d/control", `{"deviceId":"other","commandId":"c","command":"stop"}`, refused},
		{"d", token, "device/d/data", "{", packets.ErrPayloadFormatInvalid.Code},
		{"d", token, "device/d/data", "\xff", packets.ErrPayloadFormatInvalid.Code},
		{"d", token, "device/d/data", "[" + reading("d", at+3_600_000) + "]", packets.ErrPayloadFormatInvalid.Code},
		{"d", token, "device/d/event", `{"deviceId":"d"}`, packets.ErrPayloadFormatInvalid.Code},
	} {
		c, _ := w.dial(5, tt.user, tt.token, "x")
		c.publish(1, tt.topic, tt.body)
		if pk := c.receive(); pk.FixedHeader.Type != packets.Puback || pk.ReasonCode != tt.want {
			t.Errorf("%s to %s %.40q: packet %d, reason %#x, want PUBACK %#x", tt.user, tt.topic, tt.body, pk.FixedHeader.Type, pk.ReasonCode, tt.want)
		}
		_ = c.Close()
	}
	for _, tt := range []struct {
		user, token, filter string
		want                bool
	}{
		{"d", token, "device/d/control", true},
		{"d", token, "device/other/control", false},
		{"d", token, "device/+/control", false},
		{"d", token, "#", false},
		{"d", token, "$SYS/#", false},
		{"d", token, "$share/g/device/d/control", false},
		{"token", viewer.Secret, "device/+/data", true},
		{"token", viewer.Secret, "#", true},
		{"token", viewer.Secret, "$SYS/#", false},
	} {
		c, _ := w.dial(5, tt.user, tt.token, "x")
		if pk := c.subscribe(tt.filter); len(pk.ReasonCodes) != 1 || pk.ReasonCodes[0] < 0x80 != tt.want {
			t.Errorf("%s subscribes to %s: %v, want %v", tt.user, tt.filter, pk.ReasonCodes, tt.want)
		}
		_ = c.Close()
	}
}

// TestPoisonIsAnsweredOnce: what will never be accepted must not come again for ever, and
// somebody hears of it, but not of each.
func TestPoisonIsAnsweredOnce(t *testing.T) {
	w := open(t)
	token, _ := w.device("d")
	c, _ := w.dial(4, "d", token, "x")
	for i := range uint16(50) {
		c.publish(i+1, "device/d/data", "{")
		if pk := c.receive(); pk.FixedHeader.Type != packets.Puback || pk.PacketID != i+1 {
			t.Fatalf("packet %d of %d instead of PUBACK %d", pk.FixedHeader.Type, pk.PacketID, i+1)
		}
	}
	eventually(t, "it is told", func() bool { return w.told("mqtt-refused") > 0 })
	if n := w.told("mqtt-refused"); n > 3 {
		t.Errorf("%d events of 50 messages", n)
	}
}

func TestRetainedCommandIsRefusedAndNothingIsKept(t *testing.T) {
	w := open(t)
	token, _ := w.device("d")
	c, _ := w.dial(5, "token", engineer, "x")
	retained := func(topic, body string) packets.Packet {
		c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1, Retain: true}, TopicName: topic, PacketID: 3, Payload: []byte(body)})
		return c.receive()
	}
	if pk := retained("device/d/control", `{"deviceId":"d","commandId":"c","command":"stop"}`); pk.ReasonCode != packets.ErrRetainNotSupported.Code {
		t.Errorf("a retained command: reason %#x", pk.ReasonCode)
	}
	if pk := retained("device/d/data", reading("d", time.Now().UnixMilli())); pk.ReasonCode != 0 {
		t.Errorf("a retained reading: reason %#x", pk.ReasonCode)
	}
	d, _ := w.dial(5, "d", token, "y")
	d.subscribe("device/d/control")
	e, _ := w.dial(5, "token", engineer, "z")
	e.subscribe("device/d/data")
	if !d.silent(200*time.Millisecond) || !e.silent(200*time.Millisecond) {
		t.Error("something was kept for a subscriber that came later")
	}
}

func TestOverloadIsToldAndNotAnswered(t *testing.T) {
	w := open(t)
	token, _ := w.device("d")
	at := time.Now().UnixMilli()
	five, _ := w.dial(5, "d", token, "five")
	three, _ := w.dial(4, "d", token, "three")
	w.intake.fill(true)
	five.publish(1, "device/d/data", reading("d", at))
	three.publish(1, "device/d/data", reading("d", at))
	if pk := five.receive(); pk.FixedHeader.Type != packets.Puback || pk.ReasonCode != packets.ErrQuotaExceeded.Code {
		t.Errorf("MQTT 5 is answered packet %d, reason %#x", pk.FixedHeader.Type, pk.ReasonCode)
	}
	if !three.ends() {
		t.Error("MQTT 3.1.1 got a PUBACK for what was not stored")
	}
	w.intake.fill(false)
	five.publish(2, "device/d/data", reading("d", at))
	if pk := five.receive(); pk.ReasonCode != 0 || !w.stored("d", at) {
		t.Errorf("afterwards: reason %#x, stored %v", pk.ReasonCode, w.stored("d", at))
	}
}

// TestLargeMessagesTakeTurns: of many large messages that come at once a few are worked on;
// the others are told before anybody has decoded them, and small ones pass.
func TestLargeMessagesTakeTurns(t *testing.T) {
	const clients, turns = 10, 4
	w := open(t)
	token, _ := w.device("d")
	at := time.Now().UnixMilli()
	list := make([]string, 600)
	for i := range list {
		list[i] = reading("d", at-int64(i))
	}
	large := "[" + strings.Join(list, ",") + "]"
	release := w.intake.hold()
	codes := make(chan byte)
	for i := range clients {
		c, _ := w.dial(5, "d", token, fmt.Sprint("large-", i))
		c.publish(1, "device/d/data", large)
		go func() {
			pk, err := c.read()
			if err != nil {
				t.Error(err)
			}
			codes <- pk.ReasonCode
		}()
	}
	for range clients - turns {
		if code := <-codes; code != packets.ErrQuotaExceeded.Code {
			t.Errorf("without a turn: reason %#x", code)
		}
	}
	if n := w.intake.pushed.Load(); n != turns {
		t.Errorf("%d large messages were decoded at once, want %d", n, turns)
	}
	small, _ := w.dial(5, "d", token, "small")
	small.publish(1, "device/d/data", reading("d", at+1))
	eventually(t, "a small message needs no turn", func() bool { return w.intake.pushed.Load() == turns+1 })
	release()
	for range turns {
		if code := <-codes; code != packets.CodeSuccess.Code {
			t.Errorf("with a turn: reason %#x", code)
		}
	}
	if pk := small.receive(); pk.ReasonCode != 0 {
		t.Errorf("a small message: reason %#x", pk.ReasonCode)
	}
}

func TestConnectionsEnd(t *testing.T) {
	w := open(t, func(o *mqtt.Options) { o.MaxBody = 10_000 })
	token, name := w.device("d")
	first, _ := w.dial(5, "d", token, "same")
	second, pk := w.dial(5, "d", token, "same")
	if pk.ReasonCode != 0 {
		t.Fatalf("CONNACK %#x", pk.ReasonCode)
	}
	if pk := first.receive(); pk.FixedHeader.Type != packets.Disconnect || pk.ReasonCode != packets.ErrSessionTakenOver.Code {
		t.Errorf("taken over: packet %d, reason %#x", pk.FixedHeader.Type, pk.ReasonCode)
	}
	// Another device may call itself the same.
	other, _ := w.device("other")
	if _, pk := w.dial(5, "other", other, "same"); pk.ReasonCode != 0 {
		t.Errorf("another device of the same client id: CONNACK %#x", pk.ReasonCode)
	}
	second.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingreq}})
	if pk := second.receive(); pk.FixedHeader.Type != packets.Pingresp {
		t.Errorf("after that: packet %d", pk.FixedHeader.Type)
	}
	large, _ := w.dial(4, "d", token, "large")
	if _ = large.write(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1}, TopicName: "device/d/data", PacketID: 1, Payload: make([]byte, 20_000),
	}); !large.ends() {
		t.Error("a message that is too large was answered")
	}
	twice, _ := w.dial(4, "d", token, "twice")
	twice.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 2}, TopicName: "device/d/data", PacketID: 1})
	if !twice.ends() {
		t.Error("QoS 2 was answered as QoS 1")
	}
	stranger, err := net.Dial("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	_, _ = stranger.Write([]byte{packets.Connect << 4, 0xff, 0xff, 0xff, 0x7f}) // a CONNECT of 256 MB
	_ = stranger.SetReadDeadline(time.Now().Add(4 * time.Second))               // before the time for a CONNECT is over
	if _, err := stranger.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("a huge CONNECT: %v", err)
	}
	begun := time.Now()
	if err := w.auth.Revoke(t.Context(), name, "test"); err != nil {
		t.Fatal(err)
	}
	if pk := second.receive(); pk.FixedHeader.Type != packets.Disconnect || time.Since(begun) > 5*time.Second {
		t.Errorf("after its token: packet %d in %v", pk.FixedHeader.Type, time.Since(begun))
	}
}

// TestSubscribersHearOfTheLog: what comes in by any way is told to subscribers, once.
func TestSubscribersHearOfTheLog(t *testing.T) {
	w := open(t)
	token, _ := w.device("d")
	o := paho.NewClientOptions().AddBroker("tcp://" + w.address).SetClientID("p").SetUsername("token").SetPassword(engineer)
	heard := make(chan paho.Message, 10)
	c := paho.NewClient(o)
	if t1 := c.Connect(); t1.Wait() && t1.Error() != nil {
		t.Fatal(t1.Error())
	}
	defer c.Disconnect(100)
	if t1 := c.Subscribe("device/+/data", 1, func(_ paho.Client, m paho.Message) { heard <- m }); t1.Wait() && t1.Error() != nil {
		t.Fatal(t1.Error())
	}
	d, _ := w.dial(4, "d", token, "x")
	at := time.Now().UnixMilli()
	d.publish(1, "device/d/data", reading("d", at))
	d.receive()
	select {
	case m := <-heard:
		var r struct {
			DeviceID  string
			Timestamp int64
			Quality   string
		}
		if err := json.Unmarshal(m.Payload(), &r); err != nil || m.Topic() != "device/d/data" || r.DeviceID != "d" || r.Timestamp != at || r.Quality != "good" {
			t.Errorf("heard %s %s: %v", m.Topic(), m.Payload(), err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("nothing heard")
	}
	select {
	case m := <-heard:
		t.Errorf("heard again: %s", m.Payload())
	case <-time.After(200 * time.Millisecond):
	}
}
