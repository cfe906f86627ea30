package book_test

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"yunchu/platform/market/book"
	"yunchu/platform/market/order"
)

// naive is a book as one would write it first: a list of orders, looked through for the best one
// each time.
type naive struct {
	self   book.Prevention
	orders []book.Order // in the order in which they came
	events []book.Event
}

func (n *naive) tell(e book.Event) {
	e.Seq = uint64(len(n.events) + 1)
	n.events = append(n.events, e)
}

func (n *naive) find(id uint64) int {
	return slices.IndexFunc(n.orders, func(o book.Order) bool { return o.ID == id })
}

// best is the order that o trades with next, -1 for none.
func (n *naive) best(o *book.Order, skip func(book.Order) bool) int {
	best := -1
	for i, r := range n.orders {
		if r.Side == o.Side || skip(r) || o.Side == order.Buy && r.Limit > o.Limit || o.Side == order.Sell && r.Limit < o.Limit {
			continue
		}
		if best < 0 || o.Side == order.Buy && r.Limit < n.orders[best].Limit || o.Side == order.Sell && r.Limit > n.orders[best].Limit {
			best = i
		}
	}
	return best
}

func event(k book.Kind, w book.Why, o book.Order) book.Event {
	return book.Event{Kind: k, Why: w, ID: o.ID, Party: o.Party, Side: o.Side, KW: o.KW, Limit: o.Limit}
}

func (n *naive) submit(o book.Order) {
	switch {
	case n.find(o.ID) >= 0:
		n.tell(event(book.Refused, book.Known, o))
		return
	case o.KW <= 0:
		n.tell(event(book.Refused, book.Quantity, o))
		return
	}
	if o.Life == book.FOK {
		left := o.KW
		var seen []uint64
		for left > 0 {
			i := n.best(&o, func(r book.Order) bool { return slices.Contains(seen, r.ID) })
			if i < 0 || n.orders[i].Party == o.Party && n.self == book.CancelNewest {
				n.tell(event(book.Cancelled, book.Unfilled, o))
				return
			}
			seen = append(seen, n.orders[i].ID)
			if n.orders[i].Party != o.Party {
				left -= n.orders[i].KW
			}
		}
	}
	n.match(o)
}

func (n *naive) match(o book.Order) {
	for o.KW > 0 {
		i := n.best(&o, func(book.Order) bool { return false })
		if i < 0 {
			break
		}
		r := n.orders[i]
		if r.Party == o.Party {
			if n.self == book.CancelNewest {
				n.tell(event(book.Cancelled, book.Self, o))
				return
			}
			n.tell(event(book.Cancelled, book.Self, r))
			n.orders = slices.Delete(n.orders, i, i+1)
			continue
		}
		q := min(o.KW, r.KW)
		n.tell(book.Event{Kind: book.Traded, ID: o.ID, Against: r.ID, Party: o.Party, Side: o.Side, KW: q, Limit: r.Limit})
		o.KW -= q
		if n.orders[i].KW -= q; n.orders[i].KW == 0 {
			n.orders = slices.Delete(n.orders, i, i+1)
		}
	}
	switch {
	case o.KW == 0:
	case o.Life != book.Rest:
		n.tell(event(book.Cancelled, book.Unfilled, o))
	default:
		n.orders = append(n.orders, o)
		n.tell(event(book.Rested, book.None, o))
	}
}

func (n *naive) cancel(id uint64) {
	i := n.find(id)
	if i < 0 {
		n.tell(book.Event{Kind: book.Refused, Why: book.Unknown, ID: id})
		return
	}
	n.tell(event(book.Cancelled, book.Asked, n.orders[i]))
	n.orders = slices.Delete(n.orders, i, i+1)
}

func (n *naive) replace(id uint64, kw order.KW, limit order.Price) {
	i := n.find(id)
	switch {
	case i < 0:
		n.tell(book.Event{Kind: book.Refused, Why: book.Unknown, ID: id, KW: kw, Limit: limit})
		return
	case kw <= 0:
		n.tell(book.Event{Kind: book.Refused, Why: book.Quantity, ID: id, KW: kw, Limit: limit})
		return
	}
	if r := &n.orders[i]; r.Limit == limit && kw <= r.KW {
		r.KW = kw
		n.tell(event(book.Reduced, book.None, *r))
		return
	}
	o := n.orders[i]
	n.cancel(id)
	o.KW, o.Limit, o.Life = kw, limit, book.Rest
	n.match(o)
}

// waiting are the orders of a book, as they will trade.
func waiting(b *book.Book) (out []book.Order) {
	for _, s := range []order.Side{order.Buy, order.Sell} {
		for o := range b.Waiting(s) {
			out = append(out, o)
		}
	}
	return out
}

// TestBookIsTheNaiveOne: whatever comes in, the same happens as in a book that looks through all
// orders; what waits never crosses, and the events alone lead to the same book, which goes on alike.
func TestBookIsTheNaiveOne(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		self := book.Prevention(rapid.IntRange(0, 1).Draw(t, "self"))
		b, n := book.New(self), &naive{self: self}
		var events []book.Event
		for range rapid.IntRange(1, 60).Draw(t, "commands") {
			id := uint64(rapid.IntRange(1, 40).Draw(t, "id"))
			kw, limit := order.KW(rapid.IntRange(0, 9).Draw(t, "kw")), order.Price(rapid.IntRange(1, 8).Draw(t, "limit"))
			switch rapid.IntRange(0, 7).Draw(t, "what") {
			case 0:
				events = b.Cancel(id, events)
				n.cancel(id)
			case 1:
				events = b.Replace(id, kw, limit, events)
				n.replace(id, kw, limit)
			default:
				o := book.Order{
					ID: id, Party: uint32(rapid.IntRange(1, 4).Draw(t, "party")), Side: order.Side(rapid.IntRange(0, 1).Draw(t, "side")),
					Life: book.Life(rapid.IntRange(0, 2).Draw(t, "life")), KW: kw, Limit: limit,
				}
				events = b.Submit(o, events)
				n.submit(o)
			}
			bid, _, bids := b.Best(order.Buy)
			ask, _, asks := b.Best(order.Sell)
			if bids && asks && bid >= ask {
				t.Fatalf("%v is bid and %v asked", bid, ask)
			}
		}
		if !reflect.DeepEqual(events, n.events) {
			for i := range events {
				if i >= len(n.events) || events[i] != n.events[i] {
					t.Fatalf("event %d: %+v\nof %d; the naive book has %d: %+v", i, events[i], len(events), len(n.events), n.events[min(i, len(n.events)-1)])
				}
			}
			t.Fatalf("%d events, the naive book has %d", len(events), len(n.events))
		}
		left := map[uint64]order.KW{}
		for _, o := range waiting(b) {
			left[o.ID] += o.KW
			if o.KW <= 0 {
				t.Fatalf("%+v waits", o)
			}
		}
		for _, o := range n.orders {
			if left[o.ID] != o.KW {
				t.Fatalf("%v of order %d wait, of the naive one %v", left[o.ID], o.ID, o.KW)
			}
		}
		if b.Len() != len(n.orders) {
			t.Fatalf("%d orders wait, and %d", b.Len(), len(n.orders))
		}
		again, err := book.Rebuild(self, events)
		if err != nil || !reflect.DeepEqual(waiting(again), waiting(b)) {
			t.Fatalf("rebuilt: %v, %v; was %v", waiting(again), err, waiting(b))
		}
		o := book.Order{ID: 99, Party: 9, Side: order.Sell, Life: book.IOC, KW: 1000, Limit: 1}
		if a, c := b.Submit(o, nil), again.Submit(o, nil); !reflect.DeepEqual(a, c) {
			t.Fatalf("the book goes on with %v, the rebuilt one with %v", a, c)
		}
	})
}

// TestConservation: without changes every order's quantity is traded, waits or is cancelled, and
// each kW that one side trades the other does.
func TestConservation(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(11, 12))
	b := book.New(book.CancelOldest)
	var events []book.Event
	in := map[uint64]order.KW{}
	for id := uint64(1); id <= 5000; id++ {
		o := random(rng, id)
		in[id] = o.KW
		events = b.Submit(o, events)
	}
	traded := 0
	for _, e := range events {
		switch e.Kind {
		case book.Traded:
			in[e.ID] -= e.KW
			in[e.Against] -= e.KW
			traded++
		case book.Cancelled:
			in[e.ID] -= e.KW
		}
	}
	for _, o := range waiting(b) {
		in[o.ID] -= o.KW
	}
	for id, kw := range in {
		if kw != 0 {
			t.Fatalf("%v kW of order %d are not accounted for", kw, id)
		}
	}
	if traded < 1000 || b.Len() < 100 {
		t.Errorf("%d trades, %d orders wait: too few to tell", traded, b.Len())
	}
	if _, err := book.Rebuild(book.CancelOldest, events[1:]); err == nil {
		t.Error("a log without its first event is taken")
	}
}

// random is an order near 50.
func random(rng *rand.Rand, id uint64) book.Order {
	o := book.Order{ID: id, Party: uint32(rng.IntN(20)), Side: order.Side(rng.IntN(2)), KW: order.KW(1 + rng.IntN(50)), Life: book.Life(max(0, rng.IntN(12)-9))}
	o.Limit = order.Price(5000 + 100*rng.NormFloat64())
	if o.Side == order.Buy {
		o.Limit -= 100
	} else {
		o.Limit += 100
	}
	return o
}

// BenchmarkBook is an order, and the end of one that has waited for 5,000 others if it still does.
func BenchmarkBook(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	orders := make([]book.Order, 1<<16)
	for i := range orders {
		orders[i] = random(rng, 0)
	}
	k := book.New(book.CancelNewest)
	events := make([]book.Event, 0, 1<<12)
	id := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		o := orders[id%uint64(len(orders))]
		id++
		o.ID = id
		events = k.Submit(o, events[:0])
		if id > 5000 {
			events = k.Cancel(id-5000, events)
		}
	}
	b.ReportMetric(float64(k.Len()), "waiting")
}
