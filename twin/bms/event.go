package bms

import (
	"fmt"
	"time"
)

// Kind is what an event tells.
type Kind uint8

// The kinds of event.
const (
	WarningRaised Kind = iota
	WarningCleared
	TripRaised   // the rack tripped
	TripCleared  // the cause is gone; the rack stays tripped
	CloseRefused // a cause to trip is there, or the rack is not off
	PrechargeBegun
	Closed
	OpeningBegun
	Opened
	ResetRefused // a cause to trip is there, or nothing is to be reset
	WasReset
	WornOut // a contactor has come to the end of its life
)

func (k Kind) String() string {
	return [...]string{
		"warning", "warning-cleared", "trip", "trip-cleared", "close-refused", "precharge", "closed", "opening", "opened",
		"reset-refused", "reset", "worn",
	}[min(k, WornOut)]
}

// Event is something that happened to a rack.
type Event struct {
	At       time.Duration
	Kind     Kind
	Quantity Quantity // of a warning or a trip, else without meaning
	Level    int      // of a warning: 1 or 2
	Value    float64  // of the quantity: V, K, A or 0..1
}

// String is the event as a line: when, what and, of a warning or a trip, of which
// quantity at which value.
func (e Event) String() string {
	if e.Kind > TripCleared {
		return fmt.Sprintf("%v %v", e.At, e.Kind)
	}
	text := fmt.Sprintf("%v %v %v at %.4g", e.At, e.Kind, e.Quantity, e.Value)
	if e.Level > 0 {
		text += fmt.Sprintf(", level %d", e.Level)
	}
	return text
}

// log collects events in the room that is there.
type log struct {
	room []Event
	lost *int
}

func (l *log) add(e Event) {
	if len(l.room) == cap(l.room) {
		*l.lost++
		return
	}
	l.room = append(l.room, e)
}
