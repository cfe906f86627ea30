// Package delivery turns awards into what dispatch is to follow and what a bill is made from.
package delivery

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"yunchu/platform/market/order"
)

// Step is one of a schedule: from At on so much, kW into the device.
type Step struct {
	At       time.Time
	TargetKW float64
}

// Schedule is what the awards of energy come to: from the begin of each delivery on the sum of
// what was bought less what was sold, 0 where nothing was, and after the last. Awards of
// capacity leave it as it is.
func Schedule(awards []order.Award) []Step {
	type edge struct {
		at time.Time
		kw order.KW
	}
	var edges []edge
	for _, a := range awards {
		if a.Product != order.Energy {
			continue
		}
		kw := a.KW
		if a.Side == order.Sell {
			kw = -kw
		}
		edges = append(edges, edge{a.At, kw}, edge{a.At.Add(a.Length), -kw})
	}
	slices.SortStableFunc(edges, func(a, b edge) int { return a.at.Compare(b.at) })
	var out []Step
	sum := order.KW(0)
	for i, e := range edges {
		sum += e.kw
		if i+1 < len(edges) && edges[i+1].at.Equal(e.at) {
			continue
		}
		out = append(out, Step{e.at, float64(sum)})
	}
	return out
}

// Ramp replaces each jump by a ramp of so long, half of it before and half after, in steps of
// every: ramp is a multiple of twice it, and at most the shortest interval. A delivery then has
// an eighth of the ramp times the jump less or more, at each of its ends.
func Ramp(steps []Step, ramp, every time.Duration) []Step {
	if ramp <= 0 || len(steps) == 0 {
		return steps
	}
	var out []Step
	before := 0.0
	for _, s := range steps {
		n := int(ramp / every)
		if s.TargetKW == before {
			n = 0
			out = append(out, s)
		}
		for k := range n {
			part := (float64(k) + 0.5) / float64(n)
			out = append(out, Step{s.At.Add(-ramp/2 + time.Duration(k)*every), before + part*(s.TargetKW-before)})
		}
		if n > 0 {
			out = append(out, Step{s.At.Add(ramp / 2), s.TargetKW})
		}
		before = s.TargetKW
	}
	slices.SortStableFunc(out, func(a, b Step) int { return a.At.Compare(b.At) })
	return slices.CompactFunc(out, func(a, b Step) bool { return a.At.Equal(b.At) })
}

// Sold is an interval of what a bill needs: what was sold the day before, net, kWh (of capacity kW
// times hours), and its price per MWh, or per MW and hour.
type Sold struct {
	At     time.Time
	Length time.Duration
	KWh    float64
	Price  order.Price
}

// ErrPrices says that awards of one delivery have several prices: an auction has one.
var ErrPrices = errors.New("one delivery has several prices")

// Net is what the awards of a product sold net in each delivery, in the order of time. It is
// ErrPrices where they are not those of an auction.
func Net(awards []order.Award, product order.Product) (out []Sold, err error) {
	for _, a := range awards {
		if a.Product != product {
			continue
		}
		kw := a.KW
		if a.Side == order.Buy {
			kw = -kw
		}
		kwh := float64(kw) * a.Length.Hours()
		if i := slices.IndexFunc(out, func(s Sold) bool { return s.At.Equal(a.At) }); i >= 0 {
			if out[i].Price != a.Price {
				return nil, fmt.Errorf("%s: %w, %s and %s", a.At.Format(time.RFC3339), ErrPrices, out[i].Price, a.Price)
			}
			out[i].KWh += kwh
			continue
		}
		out = append(out, Sold{a.At, a.Length, kwh, a.Price})
	}
	slices.SortStableFunc(out, func(a, b Sold) int { return cmp.Compare(a.At.Unix(), b.At.Unix()) })
	return out, nil
}
