package can

import (
	"context"
	"net"
	"sync"
	"time"

	"go.einride.tech/can/pkg/socketcan"
)

// socketcanBus is an interface of the Linux kernel.
type socketcanBus struct {
	*queue
	conn net.Conn
	once sync.Once
	wg   sync.WaitGroup
}

// NewSocketCAN receives and sends the kernel's frames over conn, which is closed with the
// bus.
func NewSocketCAN(conn net.Conn) Bus {
	b := &socketcanBus{queue: newQueue(), conn: conn}
	b.wg.Go(b.read)
	return b
}

func (b *socketcanBus) read() {
	r := socketcan.NewReceiver(b.conn)
	for r.Receive() {
		if r.HasErrorFrame() {
			if r.ErrorFrame().ErrorClass&socketcan.ErrorClassBusOff != 0 {
				b.end(ErrBusOff)
				return
			}
			continue
		}
		if f := r.Frame(); f.Validate() == nil {
			b.put(f, time.Now())
		}
	}
	if err := r.Err(); err != nil {
		b.end(err)
	}
	b.end(ErrClosed)
}

// Send implements Bus.
func (b *socketcanBus) Send(ctx context.Context, f Frame) error {
	if err := f.Validate(); err != nil {
		return err
	}
	deadline, _ := ctx.Deadline() // none lifts that of the frame before
	if err := b.conn.SetWriteDeadline(deadline); err != nil {
		return err
	}
	return socketcan.NewTransmitter(b.conn).TransmitFrame(ctx, f)
}

// Receive implements Bus.
func (b *socketcanBus) Receive(ctx context.Context) (Frame, error) { return b.receive(ctx) }

// Close implements Bus.
func (b *socketcanBus) Close() error {
	var err error
	b.once.Do(func() {
		b.end(ErrClosed)
		err = b.conn.Close()
		b.wg.Wait()
	})
	return err
}
