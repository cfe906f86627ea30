package mqtt

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"yunchu/platform/device"
)

// Access is how a broker is reached.
type Access struct {
	Address        string // mqtt://host:port or mqtts://host:port
	User, Password string
	Cert, Key, CA  string // paths, PEM; for mqtts
}

// broker is one connection, shared by all devices with the same access.
type broker struct {
	access Access
	client paho.Client

	mu     sync.Mutex
	users  int
	topics map[string][]func(paho.Message) // by subscribed topic
}

var (
	brokersMu sync.Mutex
	brokers   = map[Access]*broker{}
)

// The library logs through package variables; what it has to say is told in errors.
func init() {
	silent := log.New(io.Discard, "", 0)
	paho.ERROR, paho.CRITICAL, paho.WARN = silent, silent, silent
}

// Options are paho's for an access: no session outlives the connection, so that
// nothing old is delivered, and nothing is stored for later.
func Options(a Access) (*paho.ClientOptions, error) {
	u, err := url.Parse(a.Address)
	if err != nil || u.Host == "" || u.Scheme != "mqtt" && u.Scheme != "mqtts" {
		return nil, fmt.Errorf("%q is not the address of a broker: write mqtt://host:port or mqtts://host:port", a.Address)
	}
	o := paho.NewClientOptions()
	scheme := "tcp://"
	if u.Scheme == "mqtts" {
		scheme = "ssl://"
		t, err := secure(a)
		if err != nil {
			return nil, err
		}
		o.SetTLSConfig(t)
	}
	id := make([]byte, 8)
	if _, err := rand.Read(id); err != nil {
		return nil, fmt.Errorf("draw a client id: %w", err)
	}
	o.AddBroker(scheme + u.Host).SetClientID("yunchu-" + hex.EncodeToString(id))
	o.SetUsername(a.User).SetPassword(a.Password)
	o.SetCleanSession(true).SetResumeSubs(false).SetStore(paho.NewMemoryStore())
	o.SetOrderMatters(true)
	o.SetKeepAlive(5 * time.Second).SetPingTimeout(2 * time.Second).SetConnectTimeout(2 * time.Second).SetWriteTimeout(time.Second)
	o.SetAutoReconnect(true).SetMaxReconnectInterval(5 * time.Second)
	o.SetConnectRetry(true).SetConnectRetryInterval(500 * time.Millisecond)
	return o, nil
}

func secure(a Access) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if a.CA != "" {
		pem, err := os.ReadFile(a.CA)
		if err != nil {
			return nil, fmt.Errorf("authority of %s: %w", a.Address, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("authority of %s: %s holds no certificate", a.Address, a.CA)
		}
	}
	if a.Cert != "" {
		pair, err := tls.LoadX509KeyPair(a.Cert, a.Key)
		if err != nil {
			return nil, fmt.Errorf("certificate for %s: %w", a.Address, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// join returns the connection of an access, which its last user closes with leave.
func join(a Access) (*broker, error) {
	brokersMu.Lock()
	defer brokersMu.Unlock()
	if b, ok := brokers[a]; ok {
		b.users++
		return b, nil
	}
	o, err := Options(a)
	if err != nil {
		return nil, err
	}
	b := &broker{access: a, users: 1, topics: map[string][]func(paho.Message){}}
	o.SetOnConnectHandler(func(c paho.Client) { b.resubscribe(c) })
	b.client = paho.NewClient(o)
	b.client.Connect() // goes on trying; what is asked meanwhile fails
	brokers[a] = b
	return b, nil
}

func (b *broker) leave() {
	brokersMu.Lock()
	defer brokersMu.Unlock()
	if b.users--; b.users == 0 {
		delete(brokers, b.access)
		b.client.Disconnect(100)
	}
}

// listen calls fn with each message on a topic, on the library's goroutine: it must
// not block. The returned function ends it.
func (b *broker) listen(topic string, fn func(paho.Message)) (end func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.topics[topic] = append(b.topics[topic], fn)
	n := len(b.topics[topic]) - 1
	if n == 0 && b.client.IsConnectionOpen() {
		b.client.Subscribe(topic, 1, b.deliver)
	}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.topics[topic][n] = nil
		for _, f := range b.topics[topic] {
			if f != nil {
				return
			}
		}
		delete(b.topics, topic)
		if b.client.IsConnectionOpen() {
			b.client.Unsubscribe(topic)
		}
	}
}

func (b *broker) resubscribe(c paho.Client) {
	b.mu.Lock()
	topics := map[string]byte{}
	for t := range b.topics {
		topics[t] = 1
	}
	b.mu.Unlock()
	if len(topics) > 0 {
		c.SubscribeMultiple(topics, b.deliver)
	}
}

func (b *broker) deliver(_ paho.Client, m paho.Message) {
	b.mu.Lock()
	list := append([]func(paho.Message){}, b.topics[m.Topic()]...)
	b.mu.Unlock()
	for _, fn := range list {
		if fn != nil {
			fn(m)
		}
	}
}

// errAway: there is no connection to the broker now.
var errAway = errors.New("the broker is away")

// publish sends a message now, or fails.
func (b *broker) publish(ctx context.Context, topic string, body []byte) error {
	if !b.client.IsConnectionOpen() {
		return fmt.Errorf("%w: %w", device.ErrOffline, errAway)
	}
	t := b.client.Publish(topic, 1, false, body)
	select {
	case <-t.Done():
		if err := t.Error(); err != nil {
			return fmt.Errorf("%w: %w", device.ErrOffline, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: the broker has not taken it: %w", device.ErrOffline, ctx.Err())
	}
}
