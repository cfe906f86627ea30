package can

import (
	"context"
	"fmt"
	"io"
	"time"
)

// slcanBus is a bus behind an adapter with the ASCII protocol.
type slcanBus struct {
	*stream
	answers chan bool // to commands: true for CR
}

// ackWait is how long an adapter may take to answer a command. Some never answer, which
// counts as yes.
const (
	ackWait    = 100 * time.Millisecond
	settleWait = 30 * time.Millisecond
)

// NewSLCAN opens the channel of an adapter that is reached by rw, which is closed with
// the bus.
func NewSLCAN(ctx context.Context, rw io.ReadWriteCloser, bitRate int) (Bus, error) {
	rate, err := BitRateCommand(bitRate)
	if err != nil {
		_ = rw.Close() // nothing was said yet
		return nil, err
	}
	b := &slcanBus{answers: make(chan bool, 8)}
	var lines Splitter
	started := make(chan struct{})
	b.stream = startStream(rw, func(p []byte) {
		<-started
		lines.Feed(p, b.line)
	})
	close(started)
	if err := b.open(ctx, rate); err != nil {
		_ = b.Close() // the reason is known already
		return nil, err
	}
	return b, nil
}

// open closes the channel first, because an open one refuses another bit rate; two empty
// lines end what a broken connection may have left half said. What the adapter answers to
// those says nothing, and is waited out so that it is taken for no other answer.
func (b *slcanBus) open(ctx context.Context, rate string) error {
	if err := b.send(ctx, []byte("\r\rC\r")); err != nil {
		return err
	}
	for answered := true; answered; {
		var err error
		if _, answered, err = b.answer(ctx, settleWait); err != nil {
			return err
		}
	}
	for _, command := range []string{rate, "O"} {
		if err := b.send(ctx, []byte(command+"\r")); err != nil {
			return err
		}
		yes, answered, err := b.answer(ctx, ackWait)
		if err != nil {
			return err
		}
		if answered && !yes {
			return fmt.Errorf("the adapter refuses the command %s", command)
		}
	}
	return nil
}

// answer waits for an answer to a command.
func (b *slcanBus) answer(ctx context.Context, patience time.Duration) (yes, answered bool, err error) {
	t := time.NewTimer(patience)
	defer t.Stop()
	for {
		select {
		case yes = <-b.answers:
			return yes, true, nil
		case <-b.wake:
			if _, _, err = b.take(time.Time{}); err != nil {
				return false, false, err
			}
		case <-t.C:
			return false, false, nil
		case <-ctx.Done():
			return false, false, ctx.Err()
		}
	}
}

// line takes one line from the adapter: a frame, an answer, or something that is neither,
// such as the version.
func (b *slcanBus) line(line []byte, end byte) {
	if end == '\a' || len(line) == 0 {
		select {
		case b.answers <- end == '\r':
		default:
		}
		return
	}
	if f, err := ParseSLCAN(line); err == nil {
		b.arrived(f)
	}
}

// Send implements Bus.
func (b *slcanBus) Send(ctx context.Context, f Frame) error {
	if err := f.Validate(); err != nil {
		return err
	}
	return b.send(ctx, AppendSLCAN(nil, f))
}

// Close closes the channel, so that the adapter does not fill its buffers for nobody.
func (b *slcanBus) Close() error {
	select {
	case b.out <- []byte("C\r"):
		b.flush()
	default:
	}
	return b.stream.Close()
}

// flush gives the writer a moment for what it has.
func (b *slcanBus) flush() {
	for range 20 {
		if _, _, err := b.take(time.Time{}); err != nil || len(b.out) == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}
