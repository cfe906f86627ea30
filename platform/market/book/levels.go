package book

import (
	"slices"
	"sort"

	"yunchu/platform/market/order"
)

// place is where the level of a price is, or would be.
func (b *Book) place(s order.Side, price order.Price) (i int, there bool) {
	levels := b.sides[s]
	i = sort.Search(len(levels), func(i int) bool {
		if s == order.Buy {
			return levels[i].price >= price
		}
		return levels[i].price <= price
	})
	return i, i < len(levels) && levels[i].price == price
}

func (b *Book) level(s order.Side, price order.Price) *level {
	i, _ := b.place(s, price)
	return &b.sides[s][i]
}

// rest puts an order behind those that wait at its limit.
func (b *Book) rest(o *Order) {
	l, there := b.place(o.Side, o.Limit)
	if !there {
		b.sides[o.Side] = slices.Insert(b.sides[o.Side], l, level{price: o.Limit, first: none, last: none})
	}
	at := &b.sides[o.Side][l]
	i := b.free
	if i == none {
		i = int32(len(b.slab))
		b.slab = append(b.slab, resting{})
	} else {
		b.free = b.slab[i].next
	}
	b.slab[i] = resting{id: o.ID, kw: o.KW, limit: o.Limit, prev: at.last, next: none, party: o.Party, side: o.Side}
	if at.last == none {
		at.first = i
	} else {
		b.slab[at.last].next = i
	}
	at.last = i
	at.sum += o.KW
	b.byID[o.ID] = i
}

// take takes a quantity from an order that waits, and the order out if that is all of it.
func (b *Book) take(i int32, kw order.KW) {
	r := &b.slab[i]
	if r.kw == kw {
		b.remove(i)
		return
	}
	b.level(r.side, r.limit).sum -= kw
	r.kw -= kw
}

// remove takes an order out.
func (b *Book) remove(i int32) {
	r := b.slab[i]
	l, _ := b.place(r.side, r.limit)
	at := &b.sides[r.side][l]
	if r.prev == none {
		at.first = r.next
	} else {
		b.slab[r.prev].next = r.next
	}
	if r.next == none {
		at.last = r.prev
	} else {
		b.slab[r.next].prev = r.prev
	}
	at.sum -= r.kw
	if at.first == none {
		b.sides[r.side] = slices.Delete(b.sides[r.side], l, l+1)
	}
	delete(b.byID, r.id)
	b.slab[i] = resting{next: b.free}
	b.free = i
}
