package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// grace is how long requests may take to end when the server stops.
const grace = 3 * time.Second

// Serve answers on l until ctx ends, lets what was begun end, and closes the
// WebSockets. The error is nil when ctx ended it. It is called once.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	conns := connections{most: s.maxConnections, shed: s.metrics.shed.connections, open: map[net.Conn]http.ConnState{}}
	// HTTP/2 may still send what a handler has written when it has returned, and answers are
	// made in memory that is used again then.
	var spoken http.Protocols
	spoken.SetHTTP1(true)
	web := &http.Server{
		Handler:           s,
		Protocols:         &spoken,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		ConnState:         conns.follow,
	}
	recording, enough := context.WithCancel(ctx)
	var recorded sync.WaitGroup
	recorded.Go(func() { s.record(recording) })
	defer recorded.Wait()
	defer enough()
	failed := make(chan error, 1)
	go func() {
		err := web.Serve(l)
		// Nobody is accepted any more, and what is read from now on is not answered.
		// Shutdown would still wait five seconds for a request on each of these.
		conns.closeUnused()
		failed <- err
	}()
	select {
	case err := <-failed:
		s.hub.close()
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	s.hub.close()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := web.Shutdown(stop)
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.WarnContext(ctx, "connections cut off", "after_s", grace.Seconds())
		err = web.Close()
	}
	if e := <-failed; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	if err != nil {
		return fmt.Errorf("stop serving %s: %w", l.Addr(), err)
	}
	return nil
}
