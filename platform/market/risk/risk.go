// Package risk says what a portfolio of orders may come to at worst, and refuses those that
// break a limit, by its name and its number.
package risk

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"yunchu/platform/market/order"
)

// Gate is a stage of trading.
type Gate int

// The gates, in their order.
const (
	DayAhead Gate = iota
	Intraday
	Delivered
)

// Line is what is held of a product in a delivery: kW, above 0 is bought, or delivered into the
// device.
type Line struct {
	At      time.Time
	Product order.Product
	By      [3]order.KW // by gate
}

// Net is what was traded, Open what of it was not delivered.
func (l *Line) Net() order.KW  { return l.By[DayAhead] + l.By[Intraday] }
func (l *Line) Open() order.KW { return l.Net() - l.By[Delivered] }

// Position is what is held, by delivery and product. The zero value holds nothing.
type Position struct{ lines []Line } // sorted

func (p *Position) find(at time.Time, product order.Product) (int, bool) {
	return slices.BinarySearchFunc(p.lines, Line{At: at, Product: product}, func(a, b Line) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Product, b.Product))
	})
}

// Add takes in what was traded at a gate, or delivered.
func (p *Position) Add(g Gate, at time.Time, product order.Product, side order.Side, kw order.KW) {
	i, there := p.find(at, product)
	if !there {
		p.lines = slices.Insert(p.lines, i, Line{At: at, Product: product})
	}
	if side == order.Sell {
		kw = -kw
	}
	p.lines[i].By[g] += kw
}

// Net is what is held of a product in a delivery.
func (p *Position) Net(at time.Time, product order.Product) order.KW {
	if i, there := p.find(at, product); there {
		return p.lines[i].Net()
	}
	return 0
}

// Lines are all that is held, by time and product. They stay the position's.
func (p *Position) Lines() []Line { return p.lines }

// ErrNoScenarios says that there is nothing to take a risk from.
var ErrNoScenarios = errors.New("no scenarios")

// Tail is the value at risk and the conditional value at risk of equally likely losses: at the
// confidence α
//
//	VaR = min { z : P(loss <= z) >= α }
//	CVaR = VaR + sum of max(loss − VaR, 0) / (n·(1 − α))
//
// the mean of the worst 1 − α, with a part of the loss that lies on the border (R. T. Rockafellar
// and S. Uryasev, J. Risk 2(3), 2000; for distributions with jumps J. Banking & Finance 26, 2002).
func Tail(losses []float64, confidence float64) (valueAtRisk, conditional float64, err error) {
	n := len(losses)
	switch {
	case n == 0:
		return 0, 0, ErrNoScenarios
	case !(confidence >= 0 && confidence < 1):
		return 0, 0, fmt.Errorf("a confidence of %v: it is from 0 to below 1", confidence)
	}
	sorted := slices.Sorted(slices.Values(losses))
	k := int(math.Ceil(confidence*float64(n)-1e-9)) - 1
	valueAtRisk = sorted[max(k, 0)]
	for _, l := range sorted[max(k, 0):] {
		conditional += l - valueAtRisk
	}
	return valueAtRisk, valueAtRisk + conditional/(float64(n)*(1-confidence)), nil
}

// Earned is what orders bring at known prices, to somebody whose orders move none: each order
// of energy that the price is as good as its limit for trades all of its quantity; hours is the
// length of a delivery. It is not ok where one of the prices is not known.
func Earned(orders []order.Order, hours func(order.Product) float64, price func(order.Product, time.Time) (order.Price, bool)) (sum float64, ok bool) {
	for i := range orders {
		o := &orders[i]
		p, known := price(o.Product, o.At)
		if !known {
			return 0, false
		}
		switch {
		case o.Side == order.Buy && p <= o.Limit:
			sum -= p.Float() * o.KW.MW() * hours(o.Product)
		case o.Side == order.Sell && p >= o.Limit:
			sum += p.Float() * o.KW.MW() * hours(o.Product)
		}
	}
	return sum, true
}
