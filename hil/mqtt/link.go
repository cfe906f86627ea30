package mqtt

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	jitter "math/rand/v2"
	"net"
	"net/url"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"yunchu/platform/device"
)

// Times of a connection.
const (
	connectTimeout = 2 * time.Second // to connect, and for each answer to a subscription
	writeTimeout   = time.Second     // until a message is on its way
	keepAlive      = 5 * time.Second
	firstPause     = 100 * time.Millisecond // before the next attempt; it doubles
	longestPause   = 5 * time.Second
	steady         = 5 * time.Second // a connection that lasted so long begins with the first pause again
	goodbye        = 100             // ms
)

// Message is one that came.
type Message struct {
	Topic    string
	Body     []byte
	Retained bool          // it lay at the broker and is of any age
	At       time.Time     // when it came
	Shift    time.Duration // of a recording: what its own timestamps are moved by
}

// Link is a connection to a broker, which is made again whenever it is lost: by an own
// loop, because the library's reconnecting sends what was not acknowledged once more,
// and a command must not be carried out when nobody means it any more. Each connection
// is a new client without a session: what was on its way when it ended has failed.
type Link struct {
	access Access
	dialer *dialer
	will   func() Outgoing
	log    *slog.Logger
	stop   context.CancelFunc
	over   chan struct{}
	kick   chan struct{} // ends a pause

	asking sync.Mutex // held while topics and what the broker is asked for change together

	mu       sync.Mutex
	client   paho.Client // nil while the broker is away
	snap     func()      // ends the connection without a goodbye
	why      error       // why it is away
	cut      bool
	sessions int
	topics   map[string]*subscription
	opening  bool      // messages wait until what they give rise to can be sent
	early    []Message // those
}

// Outgoing is a message to be sent.
type Outgoing struct {
	Topic    string
	Body     []byte
	Retained bool
}

// LinkOptions are optional parts of a link.
type LinkOptions struct {
	Will func() Outgoing // what the broker publishes when the connection is lost
	Log  *slog.Logger
}

// Connect begins to look for the broker of an access. An error is about the access; a
// broker need not be there.
func Connect(a Access, o LinkOptions) (*Link, error) {
	d, err := a.dialer()
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &Link{
		access: a, dialer: d, will: o.Will, log: o.Log.With("broker", a.Address), stop: stop,
		over: make(chan struct{}), kick: make(chan struct{}, 1), topics: map[string]*subscription{}, why: errEarly,
	}
	go l.run(ctx)
	return l, nil
}

var (
	errEarly = errors.New("not connected yet")
	errCut   = errors.New("the link is cut")
)

// Close says goodbye and waits until all has ended.
func (l *Link) Close() {
	l.stop()
	<-l.over
}

// run connects again and again.
func (l *Link) run(ctx context.Context) {
	defer close(l.over)
	pause := firstPause
	for ctx.Err() == nil {
		begun := time.Now()
		err := l.session(ctx)
		if time.Since(begun) >= steady {
			pause = firstPause
		}
		l.away(ctx, err)
		t := time.NewTimer(pause/2 + jitter.N(pause/2)) // a broker that starts anew does not meet all at once
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-l.kick:
			pause = firstPause
		}
		t.Stop()
		pause = min(2*pause, longestPause)
	}
}

// away notes why there is no connection, and logs it when it is another reason.
func (l *Link) away(ctx context.Context, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.why
	l.client, l.snap, l.why = nil, nil, err
	if ctx.Err() == nil && (was == nil || was.Error() != err.Error()) {
		l.log.Warn("broker away", "error", err)
	}
}

// session is one connection, from dialling to its end.
func (l *Link) session(ctx context.Context) error {
	dialling, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := l.dialer.dial(dialling)
	if err != nil {
		return err
	}
	drop := func() { _ = conn.Close() } // the library may have closed it
	defer drop()
	over := make(chan error, 1)
	lost := func(err error) {
		select {
		case over <- cmp.Or(err, io.EOF):
		default: // one reason is enough
		}
	}
	l.mu.Lock()
	cut := l.cut
	l.opening, l.early = true, nil
	l.snap = func() { drop(); lost(errCut) } // the library says nothing of a connection that was closed here
	l.mu.Unlock()
	if cut {
		return errCut
	}
	client := paho.NewClient(l.options(conn, lost))
	unhook := context.AfterFunc(ctx, drop) // while nobody answers yet
	t := client.Connect()
	<-t.Done() // the library gives up after connectTimeout
	if err := t.Error(); err != nil || !unhook() {
		return errors.Join(err, ctx.Err())
	}
	defer client.Disconnect(goodbye)
	if err := l.subscribe(ctx, client); err != nil {
		return err
	}
	l.log.Info("broker there")
	select {
	case err := <-over:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// options are the library's for one connection.
func (l *Link) options(conn net.Conn, lost func(error)) *paho.ClientOptions {
	o := paho.NewClientOptions()
	o.AddBroker("tcp://" + l.dialer.address).SetClientID("yunchu-" + rand.Text()[:16])
	o.SetUsername(l.access.User).SetPassword(l.access.Password)
	o.SetProtocolVersion(4).SetCleanSession(true).SetAutoReconnect(false).SetConnectRetry(false).SetOrderMatters(true)
	o.SetKeepAlive(keepAlive).SetPingTimeout(2 * time.Second).SetConnectTimeout(connectTimeout).SetWriteTimeout(writeTimeout)
	o.SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) { return conn, nil })
	o.SetConnectionLostHandler(func(_ paho.Client, err error) { lost(err) })
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { l.deliver(m) })
	if l.will != nil {
		w := l.will()
		o.SetBinaryWill(w.Topic, w.Body, 1, w.Retained)
	}
	return o
}

// Away is why there is no connection to the broker now; nil when there is one.
func (l *Link) Away() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why
}

// Sessions is how many connections there have been so far.
func (l *Link) Sessions() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sessions
}

// Send hands a message over without waiting until the broker has it.
func (l *Link) Send(m Outgoing) (paho.Token, error) {
	l.mu.Lock()
	client, why := l.client, l.why
	l.mu.Unlock()
	if client == nil {
		return nil, fmt.Errorf("%w: the broker is away: %w", device.ErrOffline, why)
	}
	return client.Publish(m.Topic, 1, m.Retained, m.Body), nil
}

// Publish sends a message now and waits until the broker has it, or fails: nothing is
// kept for a broker that is away.
func (l *Link) Publish(ctx context.Context, m Outgoing) error {
	t, err := l.Send(m)
	if err != nil {
		return err
	}
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

// Cut drops the connection without a goodbye, as a pulled cable does, and keeps it down
// until it is called with false.
func (l *Link) Cut(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if down && l.snap != nil {
		l.snap()
	}
	if l.cut && !down {
		select {
		case l.kick <- struct{}{}:
		default:
		}
	}
	l.cut = down
}
