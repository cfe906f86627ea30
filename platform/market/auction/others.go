package auction

import "yunchu/platform/market/order"

// Others are the orders of everybody else, where no more is known of them than the price that
// they came to and by how much it moves: they clear at that price by themselves, and for each MW
// that somebody sells besides, the price falls by slope, for each MW bought it rises. They trade
// in blocks, so that less than a block leaves the price as it was, up to a depth.
func Others(price, slope order.Price, block, depth order.KW) []order.Order {
	step := order.Price(int64(slope) * int64(block) / 1000)
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
