package exchange

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"yunchu/platform/market/auction"
	"yunchu/platform/market/order"
)

// Simulator is a market in memory: a gateway whose batches meet each other and the orders of
// others when it is cleared. Each batch is a party of its own.
type Simulator struct {
	Rules *order.Rules
	// Others are the orders of everybody else for a delivery. sum is what the batches ask for
	// together.
	Others func(t *order.Terms, at time.Time, sum order.KW) []order.Order

	mu      sync.Mutex
	batches []*batch // in the order in which they came
}

type batch struct {
	Batch
	text    string
	cleared bool
	awards  []order.Award
}

func (s *Simulator) find(id string) *batch {
	if i := slices.IndexFunc(s.batches, func(b *batch) bool { return b.ID == id }); i >= 0 {
		return s.batches[i]
	}
	return nil
}

// Submit implements [Gateway].
func (s *Simulator) Submit(_ context.Context, b Batch) error {
	if err := b.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	text := b.text()
	if have := s.find(b.ID); have != nil {
		if have.text != text {
			return fmt.Errorf("%s: %w", b.ID, ErrConflict)
		}
		return nil
	}
	curves := map[delivery][]order.Order{}
	for i := range b.Orders {
		o := b.Orders[i]
		o.Party = b.ID
		at := delivery{o.Product, o.At.Unix()}
		curves[at] = append(curves[at], o)
		breach := s.Rules.Admit(&o, time.Time{})
		if breach == nil {
			breach = s.Rules.AdmitCurve(curves[at])
		}
		if breach != nil {
			return fmt.Errorf("%w: order %d: %w", ErrRefused, i, breach)
		}
	}
	b.Orders = slices.Clone(b.Orders)
	s.batches = append(s.batches, &batch{Batch: b, text: text})
	return nil
}

// delivery is one of a product.
type delivery struct {
	product order.Product
	at      int64
}

// Awards implements [Gateway].
func (s *Simulator) Awards(_ context.Context, id string) ([]order.Award, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.find(id)
	switch {
	case b == nil:
		return nil, fmt.Errorf("%s: %w", id, ErrUnknown)
	case !b.cleared:
		return nil, fmt.Errorf("%s: %w", id, ErrOpen)
	}
	return slices.Clone(b.awards), nil
}

// Clear clears what is in and has not been cleared: each product that a batch trades, for all
// deliveries of its days. Each in which somebody has an order has an award, of 0 kW and at no price
// where nobody traded. It returns how many batches it has cleared.
func (s *Simulator) Clear() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	var open []*batch
	days := map[order.Product]map[int64]bool{}
	for _, b := range s.batches {
		if b.cleared {
			continue
		}
		open = append(open, b)
		for i := range b.Orders {
			from, _ := s.Rules.Begin(b.Orders[i].At)
			if days[b.Orders[i].Product] == nil {
				days[b.Orders[i].Product] = map[int64]bool{}
			}
			days[b.Orders[i].Product][from.Unix()] = true
		}
	}
	for i := range s.Rules.Products {
		t := &s.Rules.Products[i]
		var begins []int64
		for day := range days[t.Product] {
			begins = append(begins, day)
		}
		slices.Sort(begins)
		for _, day := range begins {
			from, to := s.Rules.Begin(time.Unix(day, 0))
			for at := from; at.Before(to); at = at.Add(t.Interval) {
				s.clear(t, at, open)
			}
		}
	}
	for _, b := range open {
		b.cleared = true
	}
	return len(open)
}

// clear clears one delivery of a product.
func (s *Simulator) clear(t *order.Terms, at time.Time, open []*batch) {
	var orders []order.Order
	var owner []int
	sum := order.KW(0)
	for n, b := range open {
		for _, o := range b.Orders {
			if o.Product == t.Product && o.At.Equal(at) {
				orders, owner, sum = append(orders, o), append(owner, n), sum+o.KW
			}
		}
	}
	all := append(orders, s.Others(t, at, sum)...)
	if len(all) == 0 {
		return
	}
	r := auction.Clear(all, auction.RuleOf(s.Rules, t))
	net := make([]order.KW, len(open))
	for i, n := range owner {
		if orders[i].Side == order.Buy {
			net[n] += r.Fill[i]
		} else {
			net[n] -= r.Fill[i]
		}
	}
	for n, b := range open {
		if !slices.ContainsFunc(b.Orders, func(o order.Order) bool { return o.Product == t.Product }) {
			continue
		}
		b.awards = append(b.awards, r.Award(t, at, net[n]))
	}
}
