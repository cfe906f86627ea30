package can

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// socketcandBus is a bus behind a socketcand server.
type socketcandBus struct {
	*stream
	words chan string // what the server says while the bus is opened
}

// NewSocketcand opens a bus of the server that is reached by rw, which is closed with
// the bus.
func NewSocketcand(ctx context.Context, rw io.ReadWriteCloser, bus string) (Bus, error) {
	b := &socketcandBus{words: make(chan string, 8)}
	var messages brackets
	started := make(chan struct{})
	b.stream = startStream(rw, func(p []byte) {
		<-started
		messages.feed(p, b.message)
	})
	close(started)
	if err := b.open(ctx, bus); err != nil {
		_ = b.Close() // the reason is known already
		return nil, err
	}
	return b, nil
}

func (b *socketcandBus) open(ctx context.Context, bus string) error {
	for _, step := range []struct{ say, want string }{
		{"", "hi"}, {"< open " + bus + " >", "ok"}, {"< rawmode >", "ok"},
	} {
		if step.say != "" {
			if err := b.send(ctx, []byte(step.say)); err != nil {
				return err
			}
		}
		if err := b.expect(ctx, step.want); err != nil {
			return err
		}
	}
	return nil
}

// expect waits for a word of the server.
func (b *socketcandBus) expect(ctx context.Context, want string) error {
	for {
		select {
		case w := <-b.words:
			if w == want {
				return nil
			}
			if strings.HasPrefix(w, "error") {
				return fmt.Errorf("socketcand answers %q", w)
			}
		case <-b.wake: // frames do not come before rawmode, but the end may
			if _, _, err := b.take(time.Time{}); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// message takes what the server says: a frame, or a word of the opening.
func (b *socketcandBus) message(m []byte) {
	if f, err := ParseSocketcand(m); err == nil {
		b.arrived(f)
		return
	}
	if bytes.HasPrefix(m, []byte("frame")) {
		return
	}
	select {
	case b.words <- string(m):
	default: // long open: nobody asks any more
	}
}

// Send implements Bus.
func (b *socketcandBus) Send(ctx context.Context, f Frame) error {
	if err := f.Validate(); err != nil {
		return err
	}
	m, err := AppendSocketcand(nil, f)
	if err != nil {
		return err
	}
	return b.send(ctx, m)
}
