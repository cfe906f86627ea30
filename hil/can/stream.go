package can

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// stream is what the buses on a byte stream share: one goroutine that reads and one that
// writes, so that neither a slow adapter nor a silent one holds up its user.
type stream struct {
	*queue
	rw   io.ReadWriteCloser
	out  chan []byte
	stop chan struct{}
	once sync.Once
	wg   sync.WaitGroup
}

// outLength bounds what waits to be written; Send waits when it is full.
const outLength = 64

// startStream begins to read. got is called with what comes in, from one goroutine.
func startStream(rw io.ReadWriteCloser, got func(p []byte)) *stream {
	s := &stream{queue: newQueue(), rw: rw, out: make(chan []byte, outLength), stop: make(chan struct{})}
	s.wg.Go(func() { s.read(got) })
	s.wg.Go(s.write)
	return s
}

func (s *stream) read(got func(p []byte)) {
	buf := make([]byte, 4096)
	for {
		n, err := s.rw.Read(buf)
		got(buf[:n])
		if err != nil {
			s.end(fmt.Errorf("read: %w", err))
			return
		}
	}
}

func (s *stream) write() {
	for {
		select {
		case b := <-s.out:
			select {
			case <-s.stop: // the descriptor may be another's by now
				return
			default:
			}
			if _, err := s.rw.Write(b); err != nil {
				s.end(fmt.Errorf("write: %w", err))
				return
			}
		case <-s.stop:
			return
		}
	}
}

// arrived puts a frame that came in into the queue.
func (s *stream) arrived(f Frame) { s.put(f, time.Now()) }

// send hands bytes to the writer.
func (s *stream) send(ctx context.Context, b []byte) error {
	if _, _, err := s.take(time.Time{}); err != nil {
		return err
	}
	select {
	case s.out <- b:
		return nil
	case <-s.stop:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Receive implements Bus.
func (s *stream) Receive(ctx context.Context) (Frame, error) { return s.receive(ctx) }

// Close implements Bus.
func (s *stream) Close() error {
	var err error
	s.once.Do(func() {
		s.end(ErrClosed)
		close(s.stop)
		err = s.rw.Close()
		s.wg.Wait()
	})
	return err
}
