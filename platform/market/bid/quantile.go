package bid

import (
	"fmt"
	"math"
	"slices"
	"time"

	"yunchu/platform/market"
	"yunchu/platform/market/order"
	"yunchu/platform/market/risk"
)

// Forecast is what is thought of the prices of consecutive deliveries, per MWh.
type Forecast struct {
	At     []time.Time
	Length time.Duration
	Price  []float64 // the middle
	// Levels are 0..1 and rise; Quantile has by delivery one price for each. Both may be nil.
	Levels   []float64
	Quantile [][]float64
}

// Quantiles bids for a day what pays by the worth of stored energy, so that whatever is awarded
// can be delivered.
//
// The plan that is best at the middle of the forecast says what is bought and sold when. What is
// left at the end is worth w, the cheapest price of the day, at which it can be bought again: nothing
// is sold below w + v, with v the variable cost. What is bought is worth what the cheapest of the
// sales brings that it is planned for: its limit is that, less v, times η.
//
// Any part of orders with a limit may be awarded, and no subset may ask for more than is stored
// or for more room than there is. So a sale is covered by what is stored and by buys for sure, a
// buy by room that is there or that sales for sure make: those that are needed for it take any
// price, the last ones first; what cannot be covered is not offered. The energy and the room that
// are then left over are offered in further deliveries, at λ, wherever a twentieth of the
// quantiles says that it may pay.
func Quantiles(f *Forecast, b risk.Battery, variableCost float64, r *order.Rules) ([]order.Order, error) {
	n := len(f.Price)
	if n == 0 || len(f.At) != n {
		return nil, fmt.Errorf("%d prices for %d deliveries", n, len(f.At))
	}
	t, err := terms(r, order.Energy, f.Length)
	if err != nil {
		return nil, err
	}
	f = f.By(t.Interval)
	n = len(f.Price)
	d := desk{f: f, b: b, t: t, hours: f.Length.Hours(), cost: variableCost, lot: float64(t.Lot())}
	d.left = d.replacement()
	stored := d.plan()
	d.worth(stored)
	for k := range n {
		if move := stored[k+1] - stored[k]; move > 0 {
			d.buy(k, move/b.Efficiency/d.hours)
		} else if move < 0 {
			d.sell(k, -move/d.hours)
		}
	}
	d.spare()
	return d.orders(), nil
}

// offer is what is bid in one delivery, kW into the battery: below 0 it is sold.
type offer struct {
	kw   float64
	sure bool
}

// desk makes the bids of a day. Energies are in kWh, prices per MWh.
type desk struct {
	f     *Forecast
	b     risk.Battery
	t     *order.Terms
	hours float64
	cost  float64
	lot   float64
	left  float64   // what stored energy is worth at the end
	value []float64 // and what is bought in each delivery
	bids  []offer   // by delivery
}

// replacement is what a MWh costs at the cheapest price. What charging loses is left out: what is
// stored saves it only on a day that would have charged.
func (d *desk) replacement() float64 { return max(slices.Min(d.f.Price), 0) }

// plan is what is stored at the begin of each delivery and at the end, at the middle of the
// forecast.
func (d *desk) plan() []float64 {
	n := len(d.f.Price)
	// What the day can neither fill nor empty needs no bounds.
	day := 2 * float64(n) * d.hours * d.b.PowerKW
	begin := min(d.b.StoredKWh, day)
	energy := begin + min(d.b.EnergyKWh-d.b.StoredKWh, day)
	b := market.Battery{PowerMW: d.b.PowerKW / 1000, EnergyMWh: energy / 1000, Efficiency: d.b.Efficiency, VariableCost: d.cost}
	lowest := math.Inf(-1) // below which wasting energy would pay, which no bid asks for
	if b.Efficiency < 1 {
		lowest = -d.cost / (1/b.Efficiency - 1) * (1 - tiny)
	}
	after := int(math.Ceil(energy / d.b.PowerKW / d.hours)) // in which all that is left is sold for its worth
	prices := make([]float64, 0, n+after)
	for _, p := range d.f.Price {
		prices = append(prices, max(p, lowest))
	}
	for range after {
		prices = append(prices, d.left+d.cost)
	}
	stored := make([]float64, len(prices)+1)
	var a market.Arbitrage
	if _, ok := a.From(begin/1000, b, d.hours, prices, stored); !ok {
		panic("bid: prices that waste energy")
	}
	for k := range stored {
		stored[k] *= 1000
	}
	d.bids = make([]offer, n)
	return stored[:n+1]
}

// worth sets what a MWh that is bought in a delivery is worth: what the cheapest of the sales that
// are planned before the battery is next empty brings, less the variable cost, or what is left is
// worth where it is kept.
func (d *desk) worth(stored []float64) {
	n := len(d.f.Price)
	d.value = make([]float64, n)
	least := math.Inf(1)
	if stored[n] > touch {
		least = d.left
	}
	for k := n - 1; k >= 0; k-- {
		if stored[k+1] <= touch {
			least = math.Inf(1)
		}
		if stored[k+1] < stored[k]-touch {
			least = min(least, d.f.Price[k]-d.cost)
		}
		d.value[k] = least
		if stored[k+1] <= stored[k]+touch {
			d.value[k] = d.left // nothing is planned to be bought: it would be kept
		}
	}
}

// touch is next to nothing, kWh.
const touch = 1e-6

// envelope is between what bounds the battery ends up after delivery k, whatever is awarded.
func (d *desk) envelope(k int) (low, high float64) {
	low, high = d.b.StoredKWh, d.b.StoredKWh
	for i := range k + 1 {
		low, high = d.after(i, low, high)
	}
	return low, high
}

// after is the envelope after delivery i, from that before.
func (d *desk) after(i int, low, high float64) (float64, float64) {
	o := d.bids[i]
	if e := d.hours * o.kw; o.kw > 0 {
		e *= d.b.Efficiency
		high += e
		if o.sure {
			low += e
		}
	} else {
		low += e
		if o.sure {
			high += e
		}
	}
	return low, high
}

func (d *desk) whole(kw float64) float64 {
	q := math.Floor(kw/d.lot+tiny) * d.lot
	if q < least(d.t) {
		return 0
	}
	return q
}

// buy bids for so much in delivery k, with room for all of it.
func (d *desk) buy(k int, kw float64) {
	d.cover(k, func(high float64) bool { return high+kw*d.hours*d.b.Efficiency > d.b.EnergyKWh+tiny }, -1)
	_, high := d.envelope(k)
	d.bids[k].kw = d.whole(min(math.Round(kw/d.lot)*d.lot, d.b.PowerKW, (d.b.EnergyKWh-high)/d.hours/d.b.Efficiency))
}

// sell offers so much in delivery k, with energy for all of it.
func (d *desk) sell(k int, kw float64) {
	d.cover(k, func(low float64) bool { return low-kw*d.hours < -tiny }, 1)
	low, _ := d.envelope(k)
	d.bids[k].kw = -d.whole(min(math.Round(kw/d.lot)*d.lot, d.b.PowerKW, low/d.hours))
}

// cover makes orders before delivery k sure, the last ones first, until the end of the envelope
// that matters there is good: those that go the way of sign.
func (d *desk) cover(k int, bad func(end float64) bool, sign float64) {
	for i := k - 1; i >= 0; i-- {
		low, high := d.envelope(k)
		end := high
		if sign > 0 {
			end = low
		}
		if !bad(end) {
			return
		}
		if d.bids[i].kw*sign > 0 {
			d.bids[i].sure = true
		}
	}
}

// spare offers what is left over of energy and room in deliveries that have no order yet, those
// first that may pay most.
func (d *desk) spare() {
	if d.f.Levels == nil {
		return
	}
	type chance struct {
		k    int
		sell bool
		gain float64 // mean over the quantiles, per MWh
	}
	var list []chance
	for k := range d.bids {
		if d.bids[k].kw != 0 {
			continue
		}
		up, down := 0.0, 0.0
		for _, q := range d.f.Quantile[k] {
			up += max(q-d.sellLimit(), 0)
			down += max(d.buyLimit(k)-q, 0)
		}
		if up > 0 {
			list = append(list, chance{k, true, up})
		}
		if down > 0 {
			list = append(list, chance{k, false, down})
		}
	}
	slices.SortStableFunc(list, func(a, b chance) int {
		switch {
		case a.gain > b.gain:
			return -1
		case a.gain < b.gain:
			return 1
		}
		return 0
	})
	for _, c := range list {
		if d.bids[c.k].kw != 0 {
			continue
		}
		room := math.Inf(1) // from the delivery on, kWh
		low, high := d.b.StoredKWh, d.b.StoredKWh
		for i := range d.bids {
			low, high = d.after(i, low, high)
			if i < c.k {
				continue
			}
			if c.sell {
				room = min(room, low)
			} else {
				room = min(room, d.b.EnergyKWh-high)
			}
		}
		if c.sell {
			d.bids[c.k].kw = -d.whole(min(room/d.hours, d.b.PowerKW))
		} else {
			d.bids[c.k].kw = d.whole(min(room/d.hours/d.b.Efficiency, d.b.PowerKW))
		}
	}
}

func (d *desk) buyLimit(k int) float64 { return d.value[k] * d.b.Efficiency }
func (d *desk) sellLimit() float64     { return d.left + d.cost }

// orders are the bids; limits are rounded to ticks, a buyer's down, a seller's up.
func (d *desk) orders() (out []order.Order) {
	lo, hi := d.t.Bounds()
	tick := d.t.Ticks()
	for k, o := range d.bids {
		side, limit := order.Buy, math.Floor(d.buyLimit(k)/d.t.Tick+tiny)
		if o.kw < 0 {
			side, limit = order.Sell, math.Ceil(d.sellLimit()/d.t.Tick-tiny)
		}
		if o.kw == 0 {
			continue
		}
		p := min(max(order.Price(limit)*tick, lo), hi)
		if o.sure {
			p = order.Any(side)
		}
		out = append(out, order.Order{At: d.f.At[k], Product: order.Energy, Side: side, KW: order.KW(math.Abs(o.kw)), Limit: p})
	}
	return out
}
