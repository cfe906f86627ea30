package auction

import (
	"math"

	"yunchu/platform/market/order"
)

// Others are the orders of everybody else, where no more is known of them than the price that
// they came to and by how much it moves: they clear at that price by themselves, and for each MW
// that somebody sells besides, the price falls by slope, for each MW bought it rises. They trade
// in blocks, so that less than a block leaves the price as it was, up to a depth: of 10,000 blocks
// at most, which are larger where that is not enough.
func Others(price, slope order.Price, block, depth order.KW) []order.Order {
	const most = 10_000
	block *= (depth-1)/(block*most) + 1
	step := order.Price(math.Trunc(float64(slope) * float64(block) / 1000))
	if step == 0 {
		block = depth
	}
	var out []order.Order
	for n := order.KW(0); n*block < depth; n++ {
		away := step * order.Price(n)
		q := min(block, depth-n*block)
		out = append(out,
			order.Order{Product: order.Energy, Party: "others", Side: order.Buy, KW: q, Limit: price - away},
			order.Order{Product: order.Energy, Party: "others", Side: order.Sell, KW: q, Limit: price + away})
	}
	return out
}
