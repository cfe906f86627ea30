package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/nats-io/nats-server/v2/server"

	"yunchu/platform/bus"
	"yunchu/platform/durable"
)

// Files of the data folder beside the server's own.
const (
	lockFile    = "LOCK"
	streamsFile = "STREAMS" // the streams that the folder has had, one a line
)

// embedded is a JetStream server inside this process that listens nowhere.
type embedded struct {
	*server.Server
	dir     string
	lock    *os.File
	log     *serverLog
	mended  []bus.Damage
	stopped chan struct{} // closed by stop
}

// serverOptions are all that the embedded server differs from the default in.
func serverOptions(dir string) *server.Options {
	return &server.Options{
		ServerName:             "yunchu",
		DontListen:             true,
		JetStream:              true,
		StoreDir:               dir,
		SyncAlways:             true,
		JetStreamMaxStore:      unlimited,
		MaxPayload:             maxPayload,
		NoSigs:                 true,
		DisableJetStreamBanner: true,
	}
}

// startServer starts a server and refuses one that runs in another way than it
// must.
func startServer(o *server.Options, log *slog.Logger) (*embedded, error) {
	e, err := launch(o, log)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(syncs(e.JetStreamConfig()), e.health()); err != nil {
		return nil, errors.Join(err, e.log.lastError(), e.stop())
	}
	return e, nil
}

// launch locks the folder and starts a server on it.
func launch(o *server.Options, log *slog.Logger) (_ *embedded, err error) {
	if err := os.MkdirAll(o.StoreDir, 0o750); err != nil {
		return nil, err
	}
	if err := errors.Join(durable.SyncDir(o.StoreDir), durable.SyncDir(filepath.Dir(filepath.Clean(o.StoreDir)))); err != nil {
		return nil, err
	}
	e := &embedded{dir: o.StoreDir, log: &serverLog{log: log, trouble: make(chan struct{}, 1)}, stopped: make(chan struct{})}
	if e.lock, err = lockDir(filepath.Join(o.StoreDir, lockFile)); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.stop())
		}
	}()
	if e.mended, err = mend(o.StoreDir, true); err != nil {
		return nil, err
	}
	if e.Server, err = server.NewServer(o); err != nil {
		return nil, err
	}
	e.SetLoggerV2(e.log, false, false, false)
	go e.Start()
	if !e.ReadyForConnections(answerTimeout) {
		return nil, errors.Join(errors.New("the server did not start"), e.log.lastError())
	}
	return e, nil
}

// syncs is what must hold of the running server, whatever it was asked for.
func syncs(c *server.JetStreamConfig) error {
	switch {
	case c == nil:
		return errors.New("the server runs without JetStream")
	case !c.SyncAlways:
		return errors.New("the server does not sync before it acknowledges: a power cut would lose the log")
	}
	return nil
}

// health is the server's own judgement of its streams and their files.
func (e *embedded) health() error {
	return judgement(func() *server.HealthStatus { return e.Healthz(nil) })
}

// judgement asks again when the answer is that the server takes no connections.
// launch has waited until it does; Healthz gives itself a millisecond to find
// out, which a busy machine may spend on somebody else.
func judgement(ask func() *server.HealthStatus) error {
	var h *server.HealthStatus
	for range 100 {
		if h = ask(); h.StatusCode != http.StatusInternalServerError {
			break
		}
	}
	if h.Error != "" {
		return errors.New(h.Error)
	}
	return nil
}

func (e *embedded) stop() error {
	if e.Server != nil {
		e.Shutdown()
		e.WaitForShutdown()
	}
	close(e.stopped)
	return e.lock.Close()
}

// remembers reports whether the folder has had the stream.
func (e *embedded) remembers(name string) bool {
	b, _ := os.ReadFile(filepath.Join(e.dir, streamsFile))
	return slices.Contains(strings.Fields(string(b)), name)
}

// remember writes down which streams the folder has, so that one that is gone is
// not taken for one that never was.
func (e *embedded) remember(names []string) error {
	path := filepath.Join(e.dir, streamsFile)
	text := strings.Join(names, "\n") + "\n"
	if b, err := os.ReadFile(path); err == nil && string(b) == text {
		return nil
	}
	return durable.WriteFile(path, []byte(text), 0o600)
}

// serverLog passes what the server has to say on to slog, its notices as debug:
// they are about the server's own life.
type serverLog struct {
	log     *slog.Logger
	trouble chan struct{} // signalled by an error
	last    atomic.Pointer[string]
}

var _ server.Logger = (*serverLog)(nil)

// Logger passes what any server has to say on to slog.
func Logger(log *slog.Logger) server.Logger {
	return &serverLog{log: log, trouble: make(chan struct{}, 1)}
}

// Noticef and its siblings implement server.Logger.
func (l *serverLog) Noticef(format string, a ...any) { l.put(slog.LevelDebug, format, a) }

// Warnf logs a warning.
func (l *serverLog) Warnf(format string, a ...any) { l.put(slog.LevelWarn, format, a) }

// Debugf logs for debugging.
func (l *serverLog) Debugf(format string, a ...any) { l.put(slog.LevelDebug, format, a) }

// Tracef logs for debugging.
func (l *serverLog) Tracef(format string, a ...any) { l.put(slog.LevelDebug, format, a) }

// Errorf logs an error and signals trouble.
func (l *serverLog) Errorf(format string, a ...any) { l.bad(format, a) }

// Fatalf does the same; the server goes on by itself or stops.
func (l *serverLog) Fatalf(format string, a ...any) { l.bad(format, a) }

func (l *serverLog) put(level slog.Level, format string, a []any) {
	if ctx := context.Background(); l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, "nats server", "text", fmt.Sprintf(format, a...))
	}
}

func (l *serverLog) bad(format string, a []any) {
	text := fmt.Sprintf(format, a...)
	l.last.Store(&text)
	l.log.Error("nats server", "text", text)
	select {
	case l.trouble <- struct{}{}:
	default:
	}
}

// lastError is the last error that the server has logged, nil when there is none.
func (l *serverLog) lastError() error {
	if text := l.last.Load(); text != nil {
		return errors.New(*text)
	}
	return nil
}
