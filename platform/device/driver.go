package device

import (
	"context"
	"time"
)

// Driver is one device as the rest of the house sees it. Implementations are
// called by one goroutine at a time.
//
// Time is a parameter, so that the same driver runs in simulated time. Where a
// device or an injected fault takes time that nobody has waited for yet, the
// answer says so: a Reading whose Arrived, or an Ack whose At, lies after now is
// delivered then.
type Driver interface {
	// Read returns the newest reading. ErrOffline when the device does not
	// answer; a reading in hand is never thrown away for a later error.
	Read(ctx context.Context, now time.Time) (Reading, error)
	// Write hands a command to the device and returns its answer. A refusal by
	// the device is an Ack with Status Rejected, not an error; an error means
	// that nobody knows whether the device took it.
	Write(ctx context.Context, now time.Time, c Command) (Ack, error)
	// Close lets go of the device. A device that was acting falls back by
	// itself when its setpoint expires.
	Close() error
}

// Fleet reads and writes many devices in one call. Rows and commands carry the
// device's index in the fleet (0 … Size()-1) in their Slot.
type Fleet interface {
	Size() int
	// ReadAll appends a row for every device that answers. A device that does
	// not answer has no row.
	ReadAll(ctx context.Context, now time.Time, into *Readings) error
	// WriteAll hands over commands and appends one Ack for each that was
	// answered.
	WriteAll(ctx context.Context, now time.Time, cmds []Command, acks []Ack) ([]Ack, error)
}

// Member is the optional capability of a Driver whose device can be read with
// its whole fleet.
type Member interface {
	Fleet() (f Fleet, index int)
}

// Solo is one device as a fleet of its own.
func Solo(d Driver) Fleet { return solo{d} }

type solo struct{ Driver }

func (s solo) Size() int { return 1 }

func (s solo) ReadAll(ctx context.Context, now time.Time, into *Readings) error {
	r, err := s.Read(ctx, now)
	if err != nil {
		return err
	}
	r.Slot = 0
	into.Append(&r)
	return nil
}

func (s solo) WriteAll(ctx context.Context, now time.Time, cmds []Command, acks []Ack) ([]Ack, error) {
	for i := range cmds {
		a, err := s.Write(ctx, now, cmds[i])
		if err != nil {
			return acks, err
		}
		acks = append(acks, a)
	}
	return acks, nil
}
