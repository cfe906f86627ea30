package auction_test

import (
	"testing"

	"pgregory.net/rapid"

	"yunchu/platform/market/auction"
	"yunchu/platform/market/order"
)

// TestOthersMoveAgainstUs: who adds next to nothing finds the price exactly; the more one sells
// the lower it is, the more one buys the higher, by the slope.
func TestOthersMoveAgainstUs(t *testing.T) {
	t.Parallel()
	r := rule(false, "midpoint")
	rapid.Check(t, func(t *rapid.T) {
		price := order.Price(rapid.Int64Range(-400*unit, 3000*unit).Draw(t, "price"))
		slope := order.Price(rapid.Int64Range(0, unit).Draw(t, "slope"))
		others := auction.Others(price, slope, 100, 50_000)
		at := func(side order.Side, kw order.KW) order.Price {
			ours := order.Order{Side: side, KW: kw, Limit: order.Any(side)}
			got := auction.Clear(append([]order.Order{ours}, others...), r)
			if got.Fill[0] != kw {
				t.Fatalf("%v of %v MW", got.Fill[0], kw)
			}
			return got.Price
		}
		for _, side := range []order.Side{order.Buy, order.Sell} {
			if p := at(side, 1); p != price {
				t.Fatalf("1 kW on side %v: %v, not %v", side, p, price)
			}
			last := price
			for kw := order.KW(500); kw <= 20_000; kw += 1500 {
				p := at(side, kw)
				if side == order.Buy && p < last || side == order.Sell && p > last {
					t.Fatalf("%v of %v: %v after %v", side, kw, p, last)
				}
				most := order.Price(int64(slope) * int64(kw) / 1000)
				if d := max(p-price, price-p); d > most || d < most-slope/5-1000 {
					t.Fatalf("%v of %v MW moves the price by %v, the slope says %v", side, kw, d, most)
				}
				last = p
			}
		}
	})
}
