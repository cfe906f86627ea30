package mqtt

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/prometheus/client_golang/prometheus"

	"yunchu/platform/api"
	"yunchu/platform/auth"
	"yunchu/platform/bus"
	"yunchu/platform/device"
)

// BridgeOptions assemble a Bridge. API, Registry, Bus, Address and Client are required.
type BridgeOptions struct {
	API      *api.Server
	Registry api.Registry
	Bus      bus.Bus
	Drivers  Drivers
	Log      *slog.Logger     // nil: none
	Now      func() time.Time // the plant's clock; nil: the wall's
	Metrics  *prometheus.Registry

	Address        string      // mqtt://host:port or tls://host:port
	TLS            *tls.Config // of tls://; nil: the system's authorities
	User, Password string
	// Client is what the broker files the session under. No two plants may have the same.
	Client string
	// Register takes in devices that are not known yet; else what they send is refused.
	Register bool
	// Silence is for how long a device that has sent a reading counts as listening.
	Silence time.Duration
}

// Bridge is a client of somebody else's broker, whose devices are this plant's. It has a
// persistent session there: what was not acknowledged when a connection ended comes again.
type Bridge struct {
	teller
	o       BridgeOptions
	address *url.URL
	station *station
	by      *auth.Principal               // for all devices
	only    map[device.ID]*auth.Principal // for one, where nobody new is taken in; the worker's

	inbox  chan received
	client atomic.Pointer[paho.Client] // nil while the broker is away

	life context.Context // of what is under way
	stop context.CancelFunc

	complained time.Time // of what cannot be used; the worker's
	unusable   int       // since

	connects, readings, happened, refused prometheus.Counter
}

// received is a message that waits for the log.
type received struct {
	id   device.ID
	what string
	body []byte
	ack  func()
}

// Bounds and times of a bridge.
const (
	// inboxRoom is how many messages wait for the log. While there are as many nothing is
	// read, and if that lasts the connection ends by its pings.
	inboxRoom = 4096
	// together is how many are committed at once.
	together      = 512
	answerWithin  = 5 * time.Second // for the broker
	commandWithin = time.Second     // until it has a command
	bridgePings   = 15 * time.Second
	firstPause    = 100 * time.Millisecond // before the next attempt; it doubles
	lastPause     = 5 * time.Second
	goodbye       = 100 // ms
)

// filters are what a bridge subscribes to.
var filters = map[string]byte{root + "+/" + data: 1, root + "+/" + ack: 1, root + "+/" + event: 1, root + "+/" + control: 1}

// NewBridge checks the address; the broker need not be there.
func NewBridge(o BridgeOptions) (*Bridge, error) {
	if o.API == nil || o.Registry == nil || o.Bus == nil || o.Client == "" {
		return nil, errors.New("mqtt: API, Registry, Bus and Client are required")
	}
	u, err := url.Parse(o.Address)
	if err != nil || u.Hostname() == "" || u.Scheme != "mqtt" && u.Scheme != "tls" || u.User != nil || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("%q is not the address of a broker: write mqtt://host:1883 or tls://host:8883", o.Address)
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), map[string]string{"mqtt": "1883", "tls": "8883"}[u.Scheme])
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	o.Silence = cmp.Or(o.Silence, 5*time.Second)
	b := &Bridge{
		teller: teller{registry: o.Registry, bus: o.Bus, log: o.Log.With("broker", u.Host), now: o.Now},
		o:      o, address: u, inbox: make(chan received, inboxRoom),
		by: o.API.Spokesman("broker:"+u.Host, ""), only: map[device.ID]*auth.Principal{},
	}
	b.life, b.stop = context.WithCancel(context.Background())
	b.station = newStation(o.Registry, o.Drivers, b.log, b.send)
	return b, b.measure(o.Metrics)
}

func (b *Bridge) measure(reg *prometheus.Registry) error {
	var faults []error
	add := func(c prometheus.Collector) { faults = append(faults, reg.Register(c)) }
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		add(c)
		return c
	}
	b.connects = counter("yunchu_mqtt_bridge_connects_total", "Connections to the external broker.")
	b.readings = counter("yunchu_mqtt_bridge_readings_total", "Messages of readings of the external broker that are in the log.")
	b.happened = counter("yunchu_mqtt_bridge_events_total", "Events of the external broker that are in the log.")
	b.refused = counter("yunchu_mqtt_bridge_refused_total", "Messages of the external broker that cannot be used.")
	add(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "yunchu_mqtt_bridge_connected", Help: "Whether the external broker is there."}, func() float64 {
		if b.client.Load() != nil {
			return 1
		}
		return 0
	}))
	return errors.Join(faults...)
}

// Run connects again and again until ctx ends. It is called once.
func (b *Bridge) Run(ctx context.Context) error {
	var worker sync.WaitGroup
	worker.Go(b.work)
	defer worker.Wait()
	defer b.stop()
	pause, last := firstPause, ""
	for ctx.Err() == nil {
		begun := time.Now()
		err := b.session(ctx)
		if ctx.Err() != nil {
			break
		}
		if time.Since(begun) > lastPause {
			pause = firstPause
		}
		if text := err.Error(); text != last {
			b.log.Warn("external broker away", "error", err)
			last = text
		}
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
		case <-ctx.Done():
		}
		pause = min(2*pause, lastPause)
	}
	return nil
}

// session is one connection, from dialling to its end. Each is a new client of the library:
// it would send commands again that were on their way when a connection ended, and nobody
// means them any more. The session at the broker outlives it.
func (b *Bridge) session(ctx context.Context) error {
	over := make(chan error, 1)
	end := func(err error) {
		select {
		case over <- cmp.Or(err, io.EOF):
		default: // one reason is enough
		}
	}
	scheme := map[string]string{"mqtt": "tcp", "tls": "ssl"}[b.address.Scheme]
	o := paho.NewClientOptions().AddBroker(scheme + "://" + b.address.Host)
	o.SetClientID(b.o.Client).SetUsername(b.o.User).SetPassword(b.o.Password).SetTLSConfig(b.o.TLS)
	o.SetProtocolVersion(4).SetCleanSession(false).SetAutoReconnect(false).SetConnectRetry(false)
	o.SetOrderMatters(true).SetAutoAckDisabled(true)
	o.SetKeepAlive(bridgePings).SetPingTimeout(bridgePings / 2).SetConnectTimeout(answerWithin).SetWriteTimeout(answerWithin)
	o.SetConnectionLostHandler(func(_ paho.Client, err error) { end(err) })
	alive, ended := context.WithCancel(ctx)
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { b.take(alive, m) })
	client := paho.NewClient(o)
	defer client.Disconnect(goodbye)
	defer ended() // who waits for room lets go
	if err := b.await(ctx, client.Connect()); err != nil {
		return err
	}
	granted, _ := client.SubscribeMultiple(filters, nil).(*paho.SubscribeToken)
	if err := b.await(ctx, granted); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	for filter, code := range granted.Result() {
		if code >= 0x80 {
			return fmt.Errorf("the broker refuses the subscription to %s", filter)
		}
	}
	b.client.Store(&client)
	defer b.client.Store(nil)
	b.connects.Inc()
	b.log.Info("external broker there")
	select {
	case err := <-over:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *Bridge) await(ctx context.Context, t paho.Token) error {
	ctx, cancel := context.WithTimeout(ctx, 2*answerWithin)
	defer cancel()
	select {
	case <-t.Done():
		return t.Error()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take is called by the library with each message, in their order.
func (b *Bridge) take(ctx context.Context, m paho.Message) {
	id, what, ok := parseTopic(m.Topic())
	switch {
	case !ok: // the filters let nothing else through but ids that are none
		m.Ack()
		b.refused.Inc()
	case what == ack, what == control: // of commands: ours come back, and others' show a second master
		if !m.Retained() {
			b.station.tell(id, what, m.Payload())
		}
		m.Ack()
	case what == event && m.Retained(): // of the past, and told then
		m.Ack()
	default:
		select {
		case b.inbox <- received{id, what, m.Payload(), m.Ack}:
		case <-ctx.Done(): // it comes again
		}
	}
}

// work commits what has come, many at once, and acknowledges it then.
func (b *Bridge) work() {
	var list []received
	for {
		list = list[:0]
		select {
		case x := <-b.inbox:
			list = append(list, x)
		case <-b.life.Done():
			return
		}
	more:
		for len(list) < together {
			select {
			case x := <-b.inbox:
				list = append(list, x)
			default:
				break more
			}
		}
		if !b.commit(list) {
			return
		}
		for _, x := range list {
			x.ack()
		}
	}
}

// commit returns when all of a list is in the log, or will never be. It is false when the
// bridge ends before: what is not acknowledged comes again.
func (b *Bridge) commit(list []received) bool {
	var (
		items  []received
		bodies []*api.Delivery
		events []device.Event
	)
	for _, x := range list {
		if _, known := b.registry.Slot(x.id); !known && !b.o.Register {
			b.unused(x, "there is no device "+string(x.id))
			continue
		}
		if x.what == data {
			items, bodies = append(items, x), append(bodies, &api.Delivery{By: b.speaker(x.id), Device: x.id, Body: x.body})
			continue
		}
		if e, ok := b.event(x); ok {
			events = append(events, e)
		}
	}
	for pause := firstPause / 10; len(bodies) > 0 || len(events) > 0; pause = min(2*pause, time.Second) {
		b.o.API.Deliver(b.life, bodies)
		items, bodies = b.delivered(items, bodies)
		if len(events) > 0 {
			stored := make(chan error, 1)
			bus.Events.Publish(b.bus, &device.Events{List: events}, func(_ uint64, err error) { stored <- err })
			if err := <-stored; err == nil {
				b.happened.Add(float64(len(events)))
				events = nil
			}
		}
		if len(bodies) == 0 && len(events) == 0 {
			break
		}
		if pause >= time.Second {
			b.log.Warn("what the external broker has sent is not stored yet", "messages", len(bodies)+len(events))
		}
		select {
		case <-time.After(pause):
		case <-b.life.Done():
			return false
		}
	}
	return true
}

// speaker is for whom a message speaks: for the device of its topic alone, where nobody
// new is taken in.
func (b *Bridge) speaker(id device.ID) *auth.Principal {
	if b.o.Register {
		return b.by
	}
	p := b.only[id]
	if p == nil { // as many as there are registered devices
		p = b.o.API.Spokesman(b.by.Name, id)
		b.only[id] = p
	}
	return p
}

// delivered notes what has become of bodies of readings, and returns those that are to be
// tried again.
func (b *Bridge) delivered(items []received, bodies []*api.Delivery) (late []received, again []*api.Delivery) {
	for i, d := range bodies {
		x := items[i]
		switch p := d.Problem; {
		case p == nil:
			b.readings.Inc()
			b.heard(x)
			if len(d.Rejected) > 0 {
				r := d.Rejected[0]
				b.unused(x, fmt.Sprintf("%d of %d readings refused, the first: %s: %s", len(d.Rejected), len(d.Rejected)+d.Accepted, r.Code, r.Detail))
			}
		case p.Code == api.CodeOverload || p.Status >= 500:
			d.Problem = nil
			late, again = append(late, x), append(again, d)
		default:
			b.unused(x, p.Error())
		}
	}
	return late, again
}

// heard tells the driver of a device what it has sent. The first reading makes the driver.
func (b *Bridge) heard(x received) {
	p := b.station.find(x.id)
	if p == nil && b.o.Drivers.Open != nil {
		var err error
		p, err = b.station.take(b.life, x.id, func(p *post) bool {
			return b.client.Load() != nil && time.Since(time.UnixMilli(p.spoke.Load())) <= b.o.Silence
		})
		if err != nil {
			b.log.Warn("device not commanded over the external broker", "device", x.id, "error", err)
		}
	}
	if p != nil {
		p.spoke.Store(time.Now().UnixMilli())
	}
	b.station.tell(x.id, data, x.body)
}

// event is what a message of an event says.
func (b *Bridge) event(x received) (device.Event, bool) {
	e, err := parseEvent(x.id, x.body)
	if err != nil {
		b.unused(x, err.Error())
		return e, false
	}
	slot, known := b.registry.Slot(x.id)
	if !known {
		b.refused.Inc()
		return e, false
	}
	b.station.tell(x.id, event, x.body)
	e.Slot = slot
	e.At = cmp.Or(e.At, b.now().UnixMilli())
	e.ID = cmp.Or(e.ID, fmt.Sprintf("%s-%d-%d", e.Type, e.At, b.events.Add(1)))
	return e, true
}

// unused counts a message that cannot be used, and tells of such in an event now and then.
func (b *Bridge) unused(x received, why string) {
	b.refused.Inc()
	b.unusable++
	if time.Since(b.complained) >= complainEvery {
		b.complain(x.id, b.by, x.what, why, b.unusable)
		b.complained, b.unusable = time.Now(), 0
	}
}

// send publishes a command now or fails. Nothing is kept for a broker that is away.
func (b *Bridge) send(topic string, body []byte) error {
	client := b.client.Load()
	if client == nil {
		return fmt.Errorf("%w: the external broker is away", device.ErrOffline)
	}
	t := (*client).Publish(topic, 1, false, body)
	if !t.WaitTimeout(commandWithin) {
		return fmt.Errorf("%w: the external broker has not taken it", device.ErrOffline)
	}
	if err := t.Error(); err != nil {
		return fmt.Errorf("%w: %w", device.ErrOffline, err)
	}
	return nil
}
