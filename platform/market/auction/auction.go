// Package auction clears what was bid for one product and delivery at once: at one price for
// all, or by the ranking of a regulation market.
package auction

import (
	"cmp"
	"math/bits"
	"slices"
	"time"

	"yunchu/platform/market/order"
)

// Rule is how an auction is cleared. Prices stay within Floor and Cap.
type Rule struct {
	Floor, Cap order.Price
	Tick       order.Price // a midpoint is rounded down to it, where such a price clears too
	Lot        order.KW    // in which pro rata is shared
	ByTime     bool        // at the margin first come first served, else pro rata by quantity
	Pricing    string      // of several prices that clear: midpoint, lowest or highest
}

// RuleOf is how a market clears a product.
func RuleOf(r *order.Rules, t *order.Terms) Rule {
	lo, hi := t.Bounds()
	return Rule{Floor: lo, Cap: hi, Tick: t.Ticks(), Lot: t.Lot(), ByTime: r.Margin == "time", Pricing: r.Pricing}
}

// Result is what an auction comes to.
type Result struct {
	Traded bool // where nothing is, there is no price, and Low and High are best bid and offer
	Price  order.Price
	Volume order.KW
	Fill   []order.KW // by order
	// Low and High bound the prices at which nobody is left who would rather trade more, or less.
	Low, High order.Price
	// Curtailed is what was asked for at the cap, or offered at the floor, and not traded.
	Curtailed order.KW
}

// Clear trades as much as buyers and sellers agree on, in the order of their limits, at one
// price. The orders are those of one product and delivery, in the order in which they came.
//
// It has the most welfare, sum of what buyers would pay less what sellers would take, and its
// price is the dual of the balance of the linear program for that.
func Clear(orders []order.Order, r Rule) *Result {
	out := &Result{Fill: make([]order.KW, len(orders))}
	limit := func(i int) order.Price { return min(max(orders[i].Limit, r.Floor), r.Cap) }
	var buys, sells []int
	for i := range orders {
		if orders[i].Side == order.Buy {
			buys = append(buys, i)
		} else {
			sells = append(sells, i)
		}
	}
	slices.SortStableFunc(buys, func(a, b int) int { return cmp.Compare(limit(b), limit(a)) })
	slices.SortStableFunc(sells, func(a, b int) int { return cmp.Compare(limit(a), limit(b)) })

	var b, s int              // the next that trade
	var restB, restS order.KW // of them
	lastB, lastS := r.Cap, r.Floor
	for {
		for ; restB == 0 && b < len(buys); b++ {
			restB = orders[buys[b]].KW
		}
		for ; restS == 0 && s < len(sells); s++ {
			restS = orders[sells[s]].KW
		}
		if restB == 0 || restS == 0 || limit(buys[b-1]) < limit(sells[s-1]) {
			break
		}
		q := min(restB, restS)
		lastB, lastS = limit(buys[b-1]), limit(sells[s-1])
		restB, restS = restB-q, restS-q
		out.Volume += q
	}
	out.Traded = out.Volume > 0
	share(orders, buys, limit, out, r)
	share(orders, sells, limit, out, r)

	// Whoever trades less than all of an order does not find the price better than its limit.
	low, high := lastS, lastB
	if !out.Traded {
		low, high = r.Floor, r.Cap
	}
	for i := range orders {
		switch {
		case out.Fill[i] == orders[i].KW:
			continue
		case orders[i].Side == order.Buy:
			low = max(low, limit(i))
			if limit(i) == r.Cap {
				out.Curtailed += orders[i].KW - out.Fill[i]
			}
		default:
			high = min(high, limit(i))
			if limit(i) == r.Floor {
				out.Curtailed += orders[i].KW - out.Fill[i]
			}
		}
	}
	out.Low, out.High = low, high
	if out.Traded {
		out.Price = r.price(low, high)
	}
	return out
}

// Award is what somebody has of it whose orders came to so much: net is bought less sold. Where
// nothing of it is traded there is one of 0 kW, at the price that the others came to, or at none.
func (r *Result) Award(t *order.Terms, at time.Time, net order.KW) order.Award {
	a := order.Award{At: at, Length: t.Interval, Product: t.Product, KW: net, Price: r.Price}
	if net < 0 {
		a.Side, a.KW = order.Sell, -net
	}
	if !r.Traded {
		a.Price = order.Any(a.Side)
	}
	return a
}

// price is one of those from low to high.
func (r *Rule) price(low, high order.Price) order.Price {
	switch r.Pricing {
	case "lowest":
		return low
	case "highest":
		return high
	}
	middle := low + (high-low)/2
	if r.Tick > 0 {
		whole := middle / r.Tick * r.Tick
		if whole > middle {
			whole -= r.Tick
		}
		if whole >= low {
			return whole
		}
	}
	return middle
}

// share fills one side, sorted by limit, up to the volume.
func share(orders []order.Order, side []int, limit func(int) order.Price, out *Result, r Rule) {
	left := out.Volume
	for from := 0; from < len(side) && left > 0; {
		to, sum := from, order.KW(0)
		for ; to < len(side) && limit(side[to]) == limit(side[from]); to++ {
			sum += orders[side[to]].KW
		}
		group := side[from:to]
		from = to
		if sum <= left || r.ByTime {
			for _, i := range group {
				out.Fill[i] = min(orders[i].KW, left)
				left -= out.Fill[i]
			}
			continue
		}
		proRata(orders, group, left, sum, max(r.Lot, 1), out.Fill)
		return
	}
}

// proRata shares less than the sum of a group by quantity, in whole lots; what is left goes, a
// lot each, to the largest remainders, of equal ones to who came first (Hamilton's method).
func proRata(orders []order.Order, group []int, amount, sum, lot order.KW, fill []order.KW) {
	type remainder struct {
		i     int
		whole order.KW // beyond the last lot
		part  uint64   // and of a kW, in parts of the sum
	}
	left := amount
	turn := make([]remainder, len(group))
	for k, i := range group {
		hi, lo := bits.Mul64(uint64(orders[i].KW), uint64(amount))
		exact, part := bits.Div64(hi, lo, uint64(sum)) // below the order's quantity, since amount < sum
		fill[i] = order.KW(exact) / lot * lot
		turn[k] = remainder{i, order.KW(exact) - fill[i], part}
		left -= fill[i]
	}
	slices.SortStableFunc(turn, func(a, b remainder) int {
		return cmp.Or(cmp.Compare(b.whole, a.whole), cmp.Compare(b.part, a.part))
	})
	for left > 0 {
		for _, t := range turn {
			more := min(lot, left, orders[t.i].KW-fill[t.i])
			fill[t.i] += more
			left -= more
		}
	}
}
