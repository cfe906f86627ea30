package bid

import (
	"math"

	"yunchu/platform/market/order"
	"yunchu/platform/market/risk"
)

// joint bids energy and capacity of a plan at any price, in whole lots. Capacity is rounded down;
// the energy of each delivery is the lot with which, of those nearest to the plan, the battery ends
// up nearest to what the plan has stored (target, by delivery and at the end, kWh): so that what
// rounding leaves, and what it makes regulation call less, does not add up. Neither goes beyond
// what the battery can do for the time that capacity must last.
func joint(plan []Interval, target []float64, b risk.Battery, r *order.Rules) (out []order.Order, err error) {
	step := plan[1].At.Sub(plan[0].At)
	lots := map[order.Product]float64{}
	for _, p := range []order.Product{order.Energy, order.RegUp, order.RegDown} {
		t, err := terms(r, p, step)
		if err != nil {
			return nil, err
		}
		lots[p] = float64(t.Lot())
	}
	hours, stored := step.Hours(), b.StoredKWh
	for k, p := range plan {
		best, kw, up, down, after := math.Inf(1), 0.0, 0.0, 0.0, stored
		lot := lots[order.Energy]
		for n := -2.0; n <= 2; n++ {
			q := (math.Round(p.KW/lot) + n) * lot
			if math.Abs(q) > b.PowerKW+tiny || q != 0 && math.Abs(q) < least(r.Terms(order.Energy)) {
				continue
			}
			u, d := capacity(p, q, stored, b, lots)
			ends := stored + hours*b.Stores(b.Moves(q, u, d))
			if ends < -slack || ends > b.EnergyKWh+slack {
				continue
			}
			if off := math.Abs(ends-target[k+1]) + hours*(p.Up-u+p.Down-d); off < best-tiny {
				best, kw, up, down, after = off, q, u, d, ends
			}
		}
		stored = after
		for _, o := range []struct {
			product order.Product
			side    order.Side
			kw      float64
		}{{order.Energy, order.Buy, kw}, {order.Energy, order.Sell, -kw}, {order.RegUp, order.Sell, up}, {order.RegDown, order.Sell, down}} {
			t := r.Terms(o.product)
			if o.kw <= 0 || o.kw < least(t) { // capacity that is not sold calls for nothing
				continue
			}
			for at := p.At; at.Before(p.At.Add(step)); at = at.Add(t.Interval) {
				out = append(out, order.Order{At: at, Product: o.product, Side: o.side, KW: order.KW(math.Round(o.kw)), Limit: order.Any(o.side)})
			}
		}
	}
	return out, nil
}

// capacity is what of the planned one can be held ready beside a power, in whole lots.
func capacity(p Interval, kw, stored float64, b risk.Battery, lots map[order.Product]float64) (up, down float64) {
	whole := func(q float64, p order.Product) float64 { return max(math.Floor(q/lots[p]+tiny)*lots[p], 0) }
	hold := b.Hold.Hours()
	up, down = whole(min(p.Up, b.PowerKW+kw), order.RegUp), whole(min(p.Down, b.PowerKW-kw), order.RegDown)
	for ; up > 0; up -= lots[order.RegUp] {
		if m := b.Moves(kw, up, 0); stored-hold*(b.Efficiency*m.UpIn+m.UpOut) >= -slack {
			break
		}
	}
	for ; down > 0; down -= lots[order.RegDown] {
		if m := b.Moves(kw, 0, down); stored+hold*(b.Efficiency*m.DownIn+m.DownOut) <= b.EnergyKWh+slack {
			break
		}
	}
	return max(up, 0), max(down, 0)
}
