// Package nats is the durable bus: bus.Bus over NATS JetStream, on a server
// embedded in this process that listens nowhere, or on an external cluster.
//
// A frame is one JetStream message and a sequence is the message's. The embedded
// server syncs every message before it acknowledges it (SyncAlways); Open asks
// the running server whether it does and refuses to go on when it does not,
// because JetStream's default loses whole streams when the power fails. Of an
// external cluster that cannot be asked: set sync_interval: always in its
// configuration.
//
// # The way of a frame
//
// Publish encodes the frame and queues it; a committer per stream sends the queue
// to the server without waiting for answers; a settler per stream takes the
// answers in order, hands each frame to the subscribers and then calls done.
//
// An embedded server has no other publisher (it listens nowhere and its folder is
// locked), so the order of its acknowledgements is the order of the log, and
// subscribers are given the very frame that was published, without reading it
// back. A cluster has other publishers, so there the log itself is followed. In
// both cases a sequence that did not come by is read from the log before the next
// one is delivered, and one that cannot be read fails the bus: nothing is passed
// over.
package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"yunchu/platform/bus"
	"yunchu/platform/device"
)

// Bounds and timeouts.
const (
	// DefaultMaxInFlight is how many frames of one stream may wait for done.
	DefaultMaxInFlight = 1024
	// maxFlightBytes bounds the same in bytes of binary form.
	maxFlightBytes = 64 << 20
	// maxPayload is the most bytes of a frame. 4,096 readings take 0.4 MB.
	maxPayload = 4 << 20
	// minPayload is what an external server must accept: every frame of readings.
	minPayload = 1 << 19
	// answerTimeout is how long the server may take to answer. A disk that needs
	// longer for one sync has failed; many, one after the other, may take longer.
	answerTimeout = 20 * time.Second
)

// Errors that callers branch on.
var (
	// ErrTooLarge: the frame is larger than the server takes or has more rows than
	// a frame may have. Nothing was stored.
	ErrTooLarge = errors.New("frame too large")
	// ErrLocked: another process has the data folder open.
	ErrLocked = errors.New("in use by another process")
	// ErrMissing: the log has lost a sequence that lies between its bounds.
	ErrMissing = errors.New("missing from the log")
)

// Options say where the log is.
type Options struct {
	Dir string // folder of the embedded server, made when it is not there
	URL string // of an external cluster, instead of Dir

	Replicas    int          // of each stream on a cluster; 0 = 1
	MaxInFlight int          // frames of one stream that wait for done; 0 = DefaultMaxInFlight
	Log         *slog.Logger // nil discards
	// Reserve is how many bytes of the disk an embedded server keeps for commands when
	// others have taken the rest; 0 = none.
	Reserve int64
}

// Bus implements bus.Bus. It is safe for use by several goroutines. done and
// handlers are called on the stream's own goroutine, except that a publication
// refused at once (overload, closed, failed, too large) has done called before
// Publish returns. Neither may call Close or PublishWait.
type Bus struct {
	log     *slog.Logger
	srv     *embedded // nil on a cluster
	nc      *nats.Conn
	js      jetstream.JetStream
	payload int // bytes of the largest frame
	streams map[string]*stream

	closing   atomic.Bool
	closeOnce sync.Once
	closeErr  error
	workers   sync.WaitGroup

	space   *space // nil on a cluster
	damage  sync.Mutex
	damages []bus.Damage
	listed  int // of damages, how many the file has

	failOnce sync.Once
	failed   chan struct{}
	err      error // read only after failed is closed
}

var (
	_ bus.Bus     = (*Bus)(nil)
	_ bus.Checked = (*Bus)(nil)
)

// Open opens the log in o.Dir or on o.URL and makes streams that are not there.
// It refuses a folder that another process has open (ErrLocked), a server that
// does not sync every message, streams that are kept in another way than these,
// and a folder that has lost a stream. What else of the log is lost or is not what was
// written, Damages lists; it is passed over from then on.
func Open(o Options) (*Bus, error) {
	if (o.Dir == "") == (o.URL == "") {
		return nil, errors.New("open bus: exactly one of a folder and a URL is needed")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = DefaultMaxInFlight
	}
	b := &Bus{log: o.Log, streams: map[string]*stream{}, failed: make(chan struct{})}
	if err := b.open(o); err != nil {
		b.closing.Store(true)
		_ = b.stop()
		return nil, fmt.Errorf("open bus at %s: %w", o.Dir+o.URL, err)
	}
	return b, nil
}

func (b *Bus) open(o Options) (err error) {
	options := []nats.Option{
		nats.Name("yunchu"),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			b.log.Warn("nats connection", "error", err)
		}),
		nats.ClosedHandler(func(nc *nats.Conn) { b.lost(fmt.Errorf("connection closed: %w", orEOF(nc.LastError()))) }),
	}
	if o.URL == "" {
		if b.srv, err = startServer(serverOptions(o.Dir), b.log); err != nil {
			return err
		}
		options = append(options, nats.InProcessServer(b.srv.Server), nats.NoReconnect())
	} else {
		// Nothing is buffered while the cluster is away: a publication is then
		// refused instead of sent by surprise later.
		options = append(options, nats.MaxReconnects(-1), nats.ReconnectBufSize(-1))
	}
	if b.nc, err = nats.Connect(o.URL, options...); err != nil {
		return err
	}
	b.payload = int(min(b.nc.MaxPayload(), maxPayload))
	if b.payload < minPayload {
		return fmt.Errorf("the server takes messages of %d bytes, at least %d are needed: raise max_payload", b.payload, minPayload)
	}
	if b.js, err = jetstream.New(b.nc); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
	defer cancel()
	for _, name := range bus.Streams {
		s, err := b.openStream(ctx, name, o)
		if err != nil {
			return fmt.Errorf("stream %s: %w", name, err)
		}
		b.streams[name] = s
	}
	if b.srv != nil {
		if err := b.vouch(); err != nil {
			return err
		}
		b.space = newSpace(b, b.srv.dir, o.Reserve)
		b.space.look(false)
		b.workers.Go(b.watch)
		b.workers.Go(b.keepSpace)
		b.workers.Go(b.keepCheckpoints)
	}
	for _, name := range bus.Streams {
		if err := b.streams[name].start(); err != nil {
			return fmt.Errorf("stream %s: %w", name, err)
		}
	}
	return nil
}

// vouch compares all streams with their checkpoints.
func (b *Bus) vouch() error {
	if err := os.MkdirAll(filepath.Join(b.srv.dir, checkpointFolder), 0o700); err != nil {
		return err
	}
	if err := b.recall(); err != nil {
		return fmt.Errorf("read the list of damages: %w", err)
	}
	for _, d := range b.srv.mended {
		b.report(d)
	}
	for _, name := range bus.Streams {
		if err := b.streams[name].vouch(context.Background(), b.srv.remembers(checkpointsWord)); err != nil {
			return fmt.Errorf("verify %s: %w", name, err)
		}
	}
	if err := b.record(); err != nil {
		return fmt.Errorf("write the list of damages: %w", err)
	}
	return b.srv.remember(append(slices.Clone(bus.Streams), checkpointsWord))
}

// openStream finds or makes the stream and checks that it keeps what it is given.
func (b *Bus) openStream(ctx context.Context, name string, o Options) (*stream, error) {
	want := streamConfig(name, max(1, o.Replicas))
	js, err := b.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if b.srv != nil && b.srv.remembers(name) {
			return nil, fmt.Errorf("%w: the folder had this stream", ErrMissing)
		}
		js, err = b.js.CreateStream(ctx, want)
	}
	if err != nil {
		return nil, err
	}
	info := js.CachedInfo()
	if err := keeps(info.Config, want); err != nil {
		return nil, err
	}
	return newStream(b, name, js, info.State.LastSeq, o.MaxInFlight)
}

// streamConfig is how a stream is kept.
func streamConfig(name string, replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        streamName(name),
		Subjects:    []string{name},
		Storage:     jetstream.FileStorage,
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardNew,
		Replicas:    replicas,
		AllowDirect: true,
		DenyDelete:  true,
		DenyPurge:   name == bus.Meta,
	}
}

// keeps reports all ways in which a stream may forget, or answer before it has
// stored, what the bus gives it.
func keeps(c, want jetstream.StreamConfig) error {
	var errs []error
	refuse := func(bad bool, format string, a ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, a...))
		}
	}
	refuse(!slices.Equal(c.Subjects, want.Subjects), "has subjects %v, want %v", c.Subjects, want.Subjects)
	refuse(c.Storage != want.Storage, "is kept in %v, want %v", c.Storage, want.Storage)
	refuse(c.Retention != want.Retention, "has retention %v, want %v", c.Retention, want.Retention)
	refuse(c.MaxMsgs > 0 || c.MaxBytes > 0 || c.MaxAge > 0 || c.MaxMsgsPerSubject > 0, "forgets by a limit on messages, bytes or age")
	refuse(c.NoAck, "does not acknowledge")
	refuse(c.PersistMode != want.PersistMode, "is persisted in mode %v, want %v", c.PersistMode, want.PersistMode)
	refuse(!c.AllowDirect, "does not allow direct reads")
	return errors.Join(errs...)
}

// streamName is the JetStream name of a stream: it may not contain dots.
func streamName(name string) string { return strings.ReplaceAll(name, ".", "_") }

func orEOF(err error) error {
	if err == nil {
		return errors.New("end of connection")
	}
	return err
}

// lost fails the bus unless it is being closed.
func (b *Bus) lost(err error) {
	if !b.closing.Load() {
		b.fail(err)
	}
}

// fail ends all acknowledging: a store that could not write once is not trusted
// again until the log has been opened anew.
func (b *Bus) fail(err error) {
	b.failOnce.Do(func() {
		b.err = fmt.Errorf("bus failed: %w", err)
		close(b.failed)
		b.log.Error("bus failed", "error", err)
	})
}

// watch fails the bus as soon as the embedded server says that it cannot write.
func (b *Bus) watch() {
	for {
		select {
		case <-b.srv.log.trouble:
			if err := b.srv.health(); err != nil {
				b.lost(err)
			}
		case <-b.srv.stopped:
			return
		}
	}
}

// Failed is closed when the bus has failed: the disk refused a write or a sync,
// or the log has a hole. From then on nothing is acknowledged; open it anew.
func (b *Bus) Failed() <-chan struct{} { return b.failed }

// Err is why the bus has failed, nil while it has not.
func (b *Bus) Err() error {
	select {
	case <-b.failed:
		return b.err
	default:
		return nil
	}
}

func (b *Bus) stream(name string) (*stream, error) {
	s := b.streams[name]
	if s == nil {
		return nil, fmt.Errorf("unknown stream %q", name)
	}
	if b.closing.Load() {
		return nil, bus.ErrClosed
	}
	return s, nil
}

// Publish implements bus.Bus. It never waits for the disk.
func (b *Bus) Publish(name string, f device.Frame, done func(uint64, error)) {
	s, err := b.stream(name)
	if err == nil {
		err = s.publish(f, done)
	}
	if err != nil && done != nil {
		done(0, fmt.Errorf("publish on %s: %w", name, err))
	}
}

// Subscribe implements bus.Bus. What is stored is handed over on the caller's
// goroutine before Subscribe returns. A handler may subscribe and cancel.
func (b *Bus) Subscribe(name string, from uint64, h bus.Handler) (func(), error) {
	s, err := b.stream(name)
	if err == nil {
		var cancel func()
		if cancel, err = s.subscribe(from, h); err == nil {
			return cancel, nil
		}
	}
	return nil, fmt.Errorf("subscribe to %s: %w", name, err)
}

// Replay implements bus.Bus.
func (b *Bus) Replay(ctx context.Context, name string, from uint64, h bus.Handler) error {
	s, err := b.stream(name)
	if err == nil {
		err = s.replay(ctx, from, h)
	}
	if err != nil {
		return fmt.Errorf("replay %s: %w", name, err)
	}
	return nil
}

// Bounds implements bus.Bus. It asks the server: about 0.1 ms when embedded.
func (b *Bus) Bounds(name string) (first, last uint64, err error) {
	s, err := b.stream(name)
	if err == nil {
		first, last, err = s.bounds(context.Background())
	}
	if err != nil {
		return 0, 0, fmt.Errorf("bounds of %s: %w", name, err)
	}
	return first, last, nil
}

// Trim implements bus.Bus. The newest frame always stays: it is the witness of
// the last sequence. Meta is refused.
func (b *Bus) Trim(name string, before uint64) error {
	s, err := b.stream(name)
	if err == nil {
		err = s.trim(context.Background(), before)
	}
	if err != nil {
		return fmt.Errorf("trim %s before %d: %w", name, before, err)
	}
	return nil
}

// Close implements bus.Bus: what was published is settled, then the server
// stops.
func (b *Bus) Close() error {
	b.closeOnce.Do(func() {
		b.closing.Store(true)
		b.closeErr = b.stop()
	})
	return b.closeErr
}

// stop ends whatever open has begun.
func (b *Bus) stop() error {
	for _, s := range b.streams {
		s.close()
	}
	if b.nc != nil {
		b.nc.Close()
	}
	var errs []error
	if b.srv != nil {
		errs = append(errs, b.srv.stop())
	}
	b.workers.Wait()
	for _, s := range b.streams {
		if s.check != nil {
			errs = append(errs, s.check.close())
		}
	}
	return errors.Join(errs...)
}
