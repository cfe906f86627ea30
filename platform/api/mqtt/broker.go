package mqtt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/prometheus/client_golang/prometheus"

	"yunchu/platform/api"
	"yunchu/platform/bus"
)

// Options assemble a Broker. API, Registry and Bus are required.
type Options struct {
	API      *api.Server
	Registry api.Registry
	Bus      bus.Bus
	// Drivers give devices that listen to their commands to the plant; without them
	// nobody is commanded over MQTT.
	Drivers Drivers
	Log     *slog.Logger     // nil: none
	Now     func() time.Time // the plant's clock; nil: the wall's
	// MaxClients bounds the connections; 0 = 20,000.
	MaxClients int
	// MaxBody bounds a message in bytes; 0 = 1 MB.
	MaxBody int
	// Metrics, when set, is where the figures are registered.
	Metrics *prometheus.Registry
}

// Broker answers MQTT. Serve runs it on a listener.
type Broker struct {
	teller
	api  *api.Server
	most int

	mochi   *mochi.Server
	station *station
	fan     fan
	metrics metrics

	life  context.Context // of what is under way; it ends with the broker
	stop  context.CancelFunc
	works sync.WaitGroup // what is under way
	turns chan struct{}  // of large messages that are decoded and stored

	mu       sync.Mutex
	sessions map[string]*session // by name
}

// retention of what waits for a client that does not take it.
const expiry = 60 // s

// watchEvery is how often it is looked whether tokens still hold.
const watchEvery = 250 * time.Millisecond

var errNoDrivers = errors.New("this plant commands nobody over MQTT")

// New returns a broker and subscribes it to what comes on the bus from now on.
func New(o Options) (*Broker, error) {
	if o.API == nil || o.Registry == nil || o.Bus == nil {
		return nil, errors.New("mqtt: API, Registry and Bus are required")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxClients <= 0 {
		o.MaxClients = 20_000
	}
	if o.MaxBody <= 0 {
		o.MaxBody = 1 << 20
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	can := mochi.NewDefaultServerCapabilities()
	can.MaximumClientWritesPending = 256
	can.MaximumPacketSize = uint32(o.MaxBody + 1024) // with its topic and properties
	can.MaximumSessionExpiryInterval = 0
	can.MaximumMessageExpiryInterval = expiry
	can.MaximumInflight = 256
	can.ReceiveMaximum = window
	can.TopicAliasMaximum = 0 // the library asks for permission before it knows the topic
	can.SharedSubAvailable = 0
	can.MinimumProtocolVersion = 4
	can.MaximumQos = 1
	can.Compatibilities.NoInheritedPropertiesOnAck = true
	b := &Broker{
		teller: teller{registry: o.Registry, bus: o.Bus, log: o.Log, now: o.Now},
		api:    o.API, most: o.MaxClients, sessions: map[string]*session{}, turns: make(chan struct{}, largeTurns),
		mochi: mochi.New(&mochi.Options{
			Capabilities: can, InlineClient: true, SysTopicResendInterval: 1 << 31, // nobody may read them
			// Strangers fill no log: what matters is told by the hook.
			Logger: slog.New(slog.DiscardHandler),
		}),
	}
	b.life, b.stop = context.WithCancel(context.Background())
	b.station = newStation(o.Registry, o.Drivers, o.Log, func(topic string, body []byte) error {
		return b.mochi.Publish(topic, body, false, 1)
	})
	if err := b.mochi.AddHook(&hook{b: b}, nil); err != nil {
		return nil, fmt.Errorf("mqtt: %w", err)
	}
	b.metrics.init()
	for _, c := range b.metrics.all {
		if err := o.Metrics.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	b.fan.broker, b.fan.wake = b, make(chan struct{}, 1)
	return b, b.fan.subscribe(o.Bus)
}

// Serve answers on l until ctx ends, and then ends all connections. It is called once.
func (b *Broker) Serve(ctx context.Context, l net.Listener) error {
	in := newListener(l, b.most)
	b.metrics.listener.Store(in)
	if err := b.mochi.AddListener(in); err != nil {
		return fmt.Errorf("serve MQTT on %s: %w", l.Addr(), err)
	}
	if err := b.mochi.Serve(); err != nil {
		return fmt.Errorf("serve MQTT on %s: %w", l.Addr(), err)
	}
	b.works.Go(b.fan.run)
	watch := time.NewTicker(watchEvery)
	defer watch.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-watch.C:
			b.checkTokens()
		}
	}
	// What is on its way to the log is answered before the connections end.
	stopped := make(chan error, 1)
	go func() { stopped <- b.mochi.Close() }()
	select {
	case err := <-stopped:
		b.stop()
		b.works.Wait()
		return err
	case <-time.After(grace):
	}
	b.stop() // somebody waits for the log
	err := <-stopped
	b.works.Wait()
	return err
}

// grace is how long messages may be on their way when the broker stops.
const grace = 2 * time.Second

// checkTokens ends the connections whose token does not hold any more.
func (b *Broker) checkTokens() {
	now := time.Now().UnixMilli()
	var over []*session
	b.mu.Lock()
	for _, s := range b.sessions {
		revoked := s.by.Expires != 0 && s.by.Expires <= now
		select {
		case <-s.by.Revoked():
			revoked = true
		default:
		}
		if revoked {
			over = append(over, s)
		}
	}
	b.mu.Unlock()
	for _, s := range over {
		b.dismiss(s, endRevoked)
	}
}

// enter makes a session the one of its name; the one before it ends.
func (b *Broker) enter(s *session) {
	b.mu.Lock()
	old := b.sessions[s.name]
	b.sessions[s.name] = s
	b.mu.Unlock()
	if old != nil {
		b.dismiss(old, endTakenOver)
	}
}

func (b *Broker) leave(s *session) {
	b.mu.Lock()
	if b.sessions[s.name] == s {
		delete(b.sessions, s.name)
	}
	b.mu.Unlock()
	s.gone()
}
