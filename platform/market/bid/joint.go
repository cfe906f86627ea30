package bid

import (
	"math"
	"time"

	"yunchu/platform/market/order"
	"yunchu/platform/market/risk"
)

// joint bids energy and capacity of a plan at any price, in whole lots. Capacity is rounded down;
// the energy of each interval is the lot with which, of those nearest to the plan, the battery ends
// up nearest to what the plan has stored (target, by interval and at the end, kWh): so that what
// rounding leaves, and what it makes regulation call less, does not add up. Neither goes beyond
// what the battery can do for the time that capacity must last, at the begin of any delivery.
func joint(plan []Interval, target []float64, b risk.Battery, r *order.Rules) (out []order.Order, err error) {
	step := plan[1].At.Sub(plan[0].At)
	energy, err := terms(r, order.Energy, step)
	if err != nil {
		return nil, err
	}
	h := holder{b: b, last: step - energy.Interval}
	for _, c := range []struct {
		product order.Product
		planned func(Interval) float64
		into    *quantity
	}{
		{order.RegUp, func(p Interval) float64 { return p.Up }, &h.up},
		{order.RegDown, func(p Interval) float64 { return p.Down }, &h.down},
		{order.Reserve, func(p Interval) float64 { return p.Reserve }, &h.reserve},
	} {
		for _, p := range plan {
			if c.planned(p) <= 0 || c.into.lot > 0 {
				continue
			}
			t, err := terms(r, c.product, step)
			if err != nil {
				return nil, err
			}
			*c.into = quantity{float64(t.Lot()), least(t)}
		}
	}
	hours, stored, lot := step.Hours(), b.StoredKWh, float64(energy.Lot())
	for k, p := range plan {
		best, kw, after := math.Inf(1), 0.0, stored
		var held ready
		for n := -2.0; n <= 2; n++ {
			q := (math.Round(p.KW/lot) + n) * lot
			if math.Abs(q) > b.PowerKW+tiny || q != 0 && math.Abs(q) < least(energy) {
				continue
			}
			x := h.capacity(p, q, stored)
			ends := stored + hours*b.Stores(b.Moves(q, x.up, x.down))
			if ends < -slack || ends > b.EnergyKWh+slack {
				continue
			}
			if off := math.Abs(ends-target[k+1]) + hours*(p.Up-x.up+p.Down-x.down+p.Reserve-x.reserve); off < best-tiny {
				best, kw, held, after = off, q, x, ends
			}
		}
		stored = after
		for _, o := range []struct {
			product order.Product
			side    order.Side
			kw      float64
		}{
			{order.Energy, order.Buy, kw},
			{order.Energy, order.Sell, -kw},
			{order.RegUp, order.Sell, held.up},
			{order.RegDown, order.Sell, held.down},
			{order.Reserve, order.Sell, held.reserve},
		} {
			if o.kw <= 0 {
				continue
			}
			for at := p.At; at.Before(p.At.Add(step)); at = at.Add(r.Terms(o.product).Interval) {
				out = append(out, order.Order{At: at, Product: o.product, Side: o.side, KW: order.KW(math.Round(o.kw)), Limit: order.Any(o.side)})
			}
		}
	}
	return out, nil
}

// quantity is how a product is traded, kW. The zero value is not traded at all.
type quantity struct{ lot, least float64 }

// whole is as much of a power as can be offered.
func (q quantity) whole(kw float64) float64 {
	if q.lot == 0 {
		return 0
	}
	if kw = math.Floor(kw/q.lot+tiny) * q.lot; kw < q.least {
		return 0 // capacity that is not sold calls for nothing
	}
	return max(kw, 0)
}

// less is a lot less of it.
func (q quantity) less(kw float64) float64 { return q.whole(kw - q.lot) }

// ready is capacity that is held ready, kW.
type ready struct{ up, down, reserve float64 }

// holder says what capacity a battery can hold ready.
type holder struct {
	b                 risk.Battery
	last              time.Duration // from the begin of an interval to that of its last delivery
	up, down, reserve quantity
}

// capacity is what of the planned one can be held ready beside a power, in whole lots. What is
// stored goes straight from one end of an interval to the other, so that the first and the last
// delivery are the ones to look at.
func (h *holder) capacity(p Interval, kw, stored float64) ready {
	b, hold := &h.b, h.b.Hold.Hours()
	x := ready{up: h.up.whole(min(p.Up, b.PowerKW+kw)), down: h.down.whole(min(p.Down, b.PowerKW-kw))}
	x.reserve = h.reserve.whole(min(p.Reserve, b.PowerKW+kw-x.up))
	for {
		drift := h.last.Hours() * b.Stores(b.Moves(kw, x.up, x.down))
		m := b.Moves(kw, x.up+x.reserve, x.down)
		short := x.up+x.reserve > 0 && stored+min(drift, 0) < hold*(b.Efficiency*m.UpIn+m.UpOut)-slack
		full := x.down > 0 && stored+max(drift, 0) > b.EnergyKWh-hold*(b.Efficiency*m.DownIn+m.DownOut)+slack
		switch {
		case short && x.reserve > 0:
			x.reserve = h.reserve.less(x.reserve)
		case short:
			x.up = h.up.less(x.up)
		case full:
			x.down = h.down.less(x.down)
		default:
			return x
		}
	}
}
