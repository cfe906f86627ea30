// Package bid makes orders from plans and from forecasts: what a battery asks for and offers at
// an auction of a whole day. A battery does not know what of it will be awarded, and has to
// deliver all of it.
package bid

import (
	"fmt"
	"math"
	"slices"
	"time"

	"yunchu/platform/market/order"
	"yunchu/platform/market/risk"
)

// Interval is one of a plan: a mean power into the battery, and capacity held ready, kW.
type Interval struct {
	At                time.Time
	KW                float64
	Up, Down, Reserve float64
}

// Taker bids a plan at any price: what is planned is traded, whatever it costs. Quantities are
// whole lots; what rounding leaves of one interval is made up for in the next one that trades the
// same way, and no sum of orders takes the battery below empty or above full. Capacity that a plan
// holds ready is sold as far as the energy traded beside it leaves the power and the energy for it,
// and the energy that is called of it on average is counted. The plan begins with so much planned
// in store, kWh; the battery may hold other than that. An interval of the plan may hold for several
// deliveries.
func Taker(plan []Interval, planned float64, b risk.Battery, r *order.Rules) ([]order.Order, error) {
	if len(plan) < 2 {
		return nil, fmt.Errorf("a plan of %d intervals does not say how long one is", len(plan))
	}
	step := plan[1].At.Sub(plan[0].At)
	for k := 1; k < len(plan); k++ {
		if d := plan[k].At.Sub(plan[k-1].At); d != step {
			return nil, fmt.Errorf("%s is %v after the interval before: intervals are equally long", plan[k].At.Format(time.RFC3339), d)
		}
	}
	if slices.ContainsFunc(plan, func(p Interval) bool { return p.Up > 0 || p.Down > 0 || p.Reserve > 0 }) {
		target := []float64{planned}
		for k, p := range plan {
			target = append(target, target[k]+step.Hours()*b.Stores(b.Moves(p.KW, p.Up, p.Down)))
		}
		return joint(plan, target, b, r)
	}
	energy, err := terms(r, order.Energy, step)
	if err != nil {
		return nil, err
	}
	var out []order.Order
	l := ledger{b: b, hours: energy.Interval.Hours(), stored: b.StoredKWh, planned: planned, lot: float64(energy.Lot()), least: least(energy)}
	for _, p := range plan {
		for at := p.At; at.Before(p.At.Add(step)); at = at.Add(energy.Interval) {
			kw := l.trade(p.KW)
			switch {
			case kw > 0:
				out = append(out, order.Order{At: at, Product: order.Energy, Side: order.Buy, KW: order.KW(kw), Limit: order.Any(order.Buy)})
			case kw < 0:
				out = append(out, order.Order{At: at, Product: order.Energy, Side: order.Sell, KW: order.KW(-kw), Limit: order.Any(order.Sell)})
			}
		}
	}
	return out, nil
}

// tiny is less than a lot by far, and more than what rounding leaves.
const tiny = 1e-9

func least(t *order.Terms) float64 { return t.LeastMW * 1000 }

// terms of a product whose deliveries divide an interval of the plan.
func terms(r *order.Rules, p order.Product, step time.Duration) (*order.Terms, error) {
	t := r.Terms(p)
	if t == nil {
		return nil, fmt.Errorf("%s has no product %q", r.Name, p)
	}
	if step%t.Interval != 0 {
		return nil, fmt.Errorf("the plan is by %v, where %s is traded by %v: plan by that", step, p, t.Interval)
	}
	return t, nil
}

// ledger rounds a plan to lots.
type ledger struct {
	b               risk.Battery
	hours           float64
	stored, planned float64 // kWh, as traded and as planned
	lot, least      float64 // kW
}

// trade is the quantity for a planned power, kW into the battery.
func (l *ledger) trade(kw float64) (q float64) {
	l.planned += l.hours * (max(kw, 0)*l.b.Efficiency - max(-kw, 0))
	missing := l.planned - l.stored
	switch {
	case kw > 0 && missing > 0:
		q = missing / l.hours / l.b.Efficiency
		q = min(math.Round(q/l.lot)*l.lot, l.whole(l.b.PowerKW), l.whole((l.b.EnergyKWh-l.stored)/l.hours/l.b.Efficiency))
		if q < l.least {
			return 0
		}
		l.stored += l.hours * q * l.b.Efficiency
	case kw < 0 && missing < 0:
		q = -missing / l.hours
		q = min(math.Round(q/l.lot)*l.lot, l.whole(l.b.PowerKW), l.whole(l.stored/l.hours))
		if q < l.least {
			return 0
		}
		l.stored -= l.hours * q
		q = -q
	}
	return q
}

func (l *ledger) whole(kw float64) float64 { return math.Floor(kw/l.lot+tiny) * l.lot }
