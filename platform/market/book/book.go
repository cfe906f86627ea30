// Package book is the order book of one product and delivery on a continuous market: orders
// match by price and then by time. It is deterministic and has no clock; what happens is told as
// events, from which the book can be made again.
package book

import (
	"errors"
	"fmt"
	"slices"

	"yunchu/platform/market/order"
)

// Life is how long an order waits.
type Life uint8

// The lives of an order.
const (
	Rest Life = iota // what is not traded waits in the book
	IOC              // immediate or cancel
	FOK              // fill or kill: all of it at once, or nothing
)

// Order is one that comes in. Its ID is of its own, for ever.
type Order struct {
	ID    uint64
	Party uint32
	Side  order.Side
	Life  Life
	KW    order.KW
	Limit order.Price
}

// Kind is what an event says.
type Kind uint8

// The kinds of events.
const (
	Rested    Kind = iota // KW of an order wait at Limit, behind all that wait there
	Traded                // ID, which came in, traded KW with Against, which waited, at Limit
	Cancelled             // what was left of an order, KW, is gone
	Reduced               // an order that waits is only KW any more, and keeps its place
	Refused               // an order or a change was not taken
)

// Why says more about an event.
type Why uint8

// Reasons.
const (
	None     Why = iota
	Asked        // its owner wanted it
	Unfilled     // immediate or cancel, fill or kill
	Self         // it would have traded with an order of its own party
	Known        // an order of that ID waits
	Unknown      // no order of that ID waits
	Quantity     // it has none
)

// Event is one thing that happened. Seq counts from 1.
type Event struct {
	Seq     uint64
	ID      uint64
	Against uint64
	KW      order.KW
	Limit   order.Price
	Party   uint32
	Kind    Kind
	Why     Why
	Side    order.Side
}

// Prevention is what gives way where a party would trade with itself.
type Prevention uint8

// The ways to prevent it.
const (
	CancelNewest Prevention = iota // what is left of the order that comes in
	CancelOldest                   // the order that waits
)

// Book is the orders that wait. It is made by [New].
type Book struct {
	self  Prevention
	seq   uint64
	sides [2][]level // the best one last
	slab  []resting
	free  int32 // the first of those in slab that are free, -1 for none
	byID  map[uint64]int32
}

// level are the orders at a price, first to last.
type level struct {
	price       order.Price
	sum         order.KW
	first, last int32
}

type resting struct {
	id         uint64
	kw         order.KW
	limit      order.Price
	prev, next int32 // at the price; next of a free one is the next free one
	party      uint32
	side       order.Side
}

const none = int32(-1)

// New is an empty book.
func New(self Prevention) *Book {
	return &Book{self: self, free: none, byID: map[uint64]int32{}}
}

// Submit takes in an order, and appends what happens to events.
func (b *Book) Submit(o Order, events []Event) []Event {
	if _, known := b.byID[o.ID]; known {
		return b.tell(events, Event{Kind: Refused, Why: Known, ID: o.ID, Party: o.Party, Side: o.Side, KW: o.KW, Limit: o.Limit})
	}
	if o.KW <= 0 {
		return b.tell(events, Event{Kind: Refused, Why: Quantity, ID: o.ID, Party: o.Party, Side: o.Side, KW: o.KW, Limit: o.Limit})
	}
	if o.Life == FOK && !b.fills(&o) {
		return b.tell(events, Event{Kind: Cancelled, Why: Unfilled, ID: o.ID, Party: o.Party, Side: o.Side, KW: o.KW, Limit: o.Limit})
	}
	return b.match(o, events)
}

// match trades an order with those that wait, and lets the rest wait.
func (b *Book) match(o Order, events []Event) []Event {
	against := &b.sides[o.Side.Other()]
	for o.KW > 0 && len(*against) > 0 {
		best := &(*against)[len(*against)-1]
		if !reaches(o.Side, o.Limit, best.price) {
			break
		}
		i := best.first
		r := &b.slab[i]
		if r.party == o.Party {
			if b.self == CancelNewest {
				return b.tell(events, Event{Kind: Cancelled, Why: Self, ID: o.ID, Party: o.Party, Side: o.Side, KW: o.KW, Limit: o.Limit})
			}
			events = b.tell(events, Event{Kind: Cancelled, Why: Self, ID: r.id, Party: r.party, Side: r.side, KW: r.kw, Limit: r.limit})
			b.remove(i)
			continue
		}
		q := min(o.KW, r.kw)
		events = b.tell(events, Event{Kind: Traded, ID: o.ID, Against: r.id, Party: o.Party, Side: o.Side, KW: q, Limit: best.price})
		o.KW -= q
		b.take(i, q)
	}
	switch {
	case o.KW == 0:
		return events
	case o.Life != Rest:
		return b.tell(events, Event{Kind: Cancelled, Why: Unfilled, ID: o.ID, Party: o.Party, Side: o.Side, KW: o.KW, Limit: o.Limit})
	}
	b.rest(&o)
	return b.tell(events, Event{Kind: Rested, ID: o.ID, Party: o.Party, Side: o.Side, KW: o.KW, Limit: o.Limit})
}

// fills tells whether all of an order can trade at once.
func (b *Book) fills(o *Order) bool {
	left := o.KW
	side := b.sides[o.Side.Other()]
	for l := len(side) - 1; l >= 0 && reaches(o.Side, o.Limit, side[l].price); l-- {
		for i := side[l].first; i != none; i = b.slab[i].next {
			switch r := &b.slab[i]; {
			case r.party != o.Party:
				left -= r.kw
			case b.self == CancelNewest:
				return false
			}
			if left <= 0 {
				return true
			}
		}
	}
	return false
}

// Cancel takes an order out.
func (b *Book) Cancel(id uint64, events []Event) []Event {
	i, known := b.byID[id]
	if !known {
		return b.tell(events, Event{Kind: Refused, Why: Unknown, ID: id})
	}
	r := &b.slab[i]
	events = b.tell(events, Event{Kind: Cancelled, Why: Asked, ID: id, Party: r.party, Side: r.side, KW: r.kw, Limit: r.limit})
	b.remove(i)
	return events
}

// Replace makes of an order that waits one of another quantity or limit. One that only becomes
// smaller keeps its place; any other comes in anew.
func (b *Book) Replace(id uint64, kw order.KW, limit order.Price, events []Event) []Event {
	i, known := b.byID[id]
	switch {
	case !known:
		return b.tell(events, Event{Kind: Refused, Why: Unknown, ID: id, KW: kw, Limit: limit})
	case kw <= 0:
		return b.tell(events, Event{Kind: Refused, Why: Quantity, ID: id, KW: kw, Limit: limit})
	}
	r := b.slab[i]
	if limit == r.limit && kw <= r.kw {
		b.level(r.side, r.limit).sum -= r.kw - kw
		b.slab[i].kw = kw
		return b.tell(events, Event{Kind: Reduced, ID: id, Party: r.party, Side: r.side, KW: kw, Limit: limit})
	}
	events = b.Cancel(id, events)
	return b.match(Order{ID: id, Party: r.party, Side: r.side, KW: kw, Limit: limit}, events)
}

// reaches tells whether a limit is as good as a price of the other side.
func reaches(s order.Side, limit, price order.Price) bool {
	if s == order.Buy {
		return limit >= price
	}
	return limit <= price
}

func (b *Book) tell(events []Event, e Event) []Event {
	b.seq++
	e.Seq = b.seq
	return append(events, e)
}

// Best is the best price of a side and what waits there; not ok where nothing does.
func (b *Book) Best(s order.Side) (price order.Price, kw order.KW, ok bool) {
	levels := b.sides[s]
	if len(levels) == 0 {
		return 0, 0, false
	}
	l := levels[len(levels)-1]
	return l.price, l.sum, true
}

// Waiting yields the orders of a side that wait, in the order in which they will trade.
func (b *Book) Waiting(s order.Side) func(yield func(Order) bool) {
	return func(yield func(Order) bool) {
		for _, l := range slices.Backward(b.sides[s]) {
			for i := l.first; i != none; i = b.slab[i].next {
				r := &b.slab[i]
				if !yield(Order{ID: r.id, Party: r.party, Side: r.side, KW: r.kw, Limit: r.limit}) {
					return
				}
			}
		}
	}
}

// Len is how many orders wait.
func (b *Book) Len() int { return len(b.byID) }

// ErrLog says that events are not those of a book from its begin on.
var ErrLog = errors.New("these events are no book's")

// Rebuild is the book that events have led to, all of them from the first on.
func Rebuild(self Prevention, events []Event) (*Book, error) {
	b := New(self)
	for _, e := range events {
		if e.Seq != b.seq+1 {
			return nil, fmt.Errorf("%w: %d comes after %d", ErrLog, e.Seq, b.seq)
		}
		b.seq = e.Seq
		id := e.ID
		if e.Kind == Traded {
			id = e.Against
		}
		i, known := b.byID[id]
		switch e.Kind {
		case Rested:
			if known {
				return nil, fmt.Errorf("%w: at %d order %d waits already", ErrLog, e.Seq, id)
			}
			b.rest(&Order{ID: id, Party: e.Party, Side: e.Side, KW: e.KW, Limit: e.Limit})
		case Traded, Reduced:
			if !known || b.slab[i].kw < e.KW {
				return nil, fmt.Errorf("%w: at %d order %d does not have that much", ErrLog, e.Seq, id)
			}
			if e.Kind == Reduced {
				e.KW = b.slab[i].kw - e.KW
			}
			b.take(i, e.KW)
		case Cancelled:
			if known {
				b.remove(i)
			}
		}
	}
	return b, nil
}
