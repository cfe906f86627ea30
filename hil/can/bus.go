package can

import (
	"context"
	"errors"
	"time"
)

// Bus is one node's access to a CAN bus. Send may be called beside Receive; each of
// them is called by one goroutine at a time.
type Bus interface {
	// Send hands a frame to the bus. It does not wait for another node's acknowledge.
	Send(ctx context.Context, f Frame) error
	// Receive waits for the next frame of another node. After an error the bus is dead
	// and only good for Close.
	Receive(ctx context.Context) (Frame, error)
	// Dropped counts frames that came faster than they were received: the oldest go first.
	Dropped() uint64
	// Close ends the access; a waiting Receive returns ErrClosed.
	Close() error
}

// Stepped is a Bus that lives in the time of whoever reads it, so that a simulation can
// run it: nothing is waited for.
type Stepped interface {
	Bus
	// SetNow says what time it is.
	SetNow(now time.Time)
	// Poll returns the next frame that has arrived by now, and when it did.
	Poll() (f Frame, at time.Time, ok bool)
}

// Errors of a Bus.
var (
	ErrClosed = errors.New("CAN bus closed")
	// ErrBusOff: the controller has taken itself off the bus after too many errors.
	ErrBusOff = errors.New("CAN controller is bus-off")
)
