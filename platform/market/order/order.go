// Package order is the vocabulary of a market: products and delivery periods, prices and
// quantities as whole numbers, orders, awards, and the rules that a market has for them.
//
// Money is exact: a price is a whole number of millionths, a quantity one of kW, and what they
// come to is a fraction until somebody rounds it.
package order

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// Price is in millionths of the currency, per MWh of energy, or per MW and hour of capacity.
type Price int64

// KW is a quantity, at least 0: the side says which way it goes.
type KW int64

// Side is who gives and who takes.
type Side int8

// The sides. Who buys takes energy in: the device charges.
const (
	Buy Side = iota
	Sell
)

// String is how a file has it.
func (s Side) String() string {
	if s == Sell {
		return "sell"
	}
	return "buy"
}

// Other is the side that s trades with.
func (s Side) Other() Side { return 1 - s }

// Product is what is traded.
type Product string

// The products. Capacity is sold only; it is paid by the hour that it is held ready.
const (
	Energy  Product = "energy"
	RegUp   Product = "regup"
	RegDown Product = "regdown"
	Reserve Product = "reserve"
)

// Products are all there are.
var Products = []Product{Energy, RegUp, RegDown, Reserve}

// Order is a step of a curve, or an order of its own: so much at its limit or better.
type Order struct {
	At      time.Time // begin of delivery
	Product Product
	Party   string // whose it is; empty: ours
	Side    Side
	KW      KW
	Limit   Price // Any: whatever the price
}

// Any is the limit of an order that takes every price.
func Any(s Side) Price {
	if s == Sell {
		return -anything
	}
	return anything
}

// anything is beyond all prices, and sums of a few such still fit.
const anything Price = math.MaxInt64 / 8

// IsAny tells whether a limit is none.
func (p Price) IsAny() bool { return p <= -anything || p >= anything }

// Award is what was traded of a product in a delivery period.
type Award struct {
	At      time.Time
	Length  time.Duration
	Product Product
	Side    Side
	KW      KW     // 0: nothing; the price is known all the same
	Price   Price  // that of [Any] where nobody traded, so that there is none
	Trade   string // of a continuous market: what tells its trades of a delivery apart; "" in an auction
}

// Part is what no other award of an auction, and no other trade, has in common with it: one delivery of a
// product on a side at a price. Its KW is 0.
func (a *Award) Part() Award {
	part := *a
	part.At, part.KW = a.At.UTC(), 0
	return part
}

// Earns is what an award brings, exactly: above 0 is earned.
func (a *Award) Earns() *big.Rat {
	m := Amount(a.Price, a.KW, a.Length)
	if a.Side == Buy {
		m.Neg(m)
	}
	return m
}

// Amount is what so much costs over a time, exactly, in the currency.
func Amount(p Price, q KW, d time.Duration) *big.Rat {
	n := new(big.Int).Mul(big.NewInt(int64(p)), big.NewInt(int64(q)))
	n.Mul(n, big.NewInt(int64(d)))
	return new(big.Rat).SetFrac(n, amountUnit)
}

// amountUnit is millionths · kW per MW · ns per hour.
var amountUnit = new(big.Int).Mul(big.NewInt(priceUnit*kWPerMW), big.NewInt(int64(time.Hour)))

const (
	priceUnit   = 1_000_000
	priceDigits = 6
	kWPerMW     = 1_000
	mwDigits    = 3
)

// Of is a price as it was written, and whether it is one: it has at most six digits after the
// point.
func Of(x float64) (Price, bool) {
	n, ok := whole(x, priceDigits)
	return Price(n), ok
}

// Near is the price that is nearest, of a forecast for example.
func Near(x float64) Price { return Price(math.Round(x * priceUnit)) }

// OfMW is a quantity in MW as it was written, and whether it is one: it has at most three
// digits after the point.
func OfMW(x float64) (KW, bool) {
	n, ok := whole(x, mwDigits)
	return KW(n), ok && KW(n) <= most && KW(n) >= -most
}

// most is more than there is, and sums of millions of such fit.
const most KW = 1e12

// whole is x times a power of ten, where that is a whole number. Of a float64 that is the
// shortest decimal that reads as it.
func whole(x float64, digits int) (int64, bool) {
	before, after, _ := strings.Cut(strconv.FormatFloat(x, 'f', -1, 64), ".")
	if len(after) > digits {
		return 0, false
	}
	n, err := strconv.ParseInt(before+after+strings.Repeat("0", digits-len(after)), 10, 64)
	return n, err == nil && n < int64(anything) && n > -int64(anything)
}

// Float is a price in the currency.
func (p Price) Float() float64 { return float64(p) / priceUnit }

// String is a price in the currency, with the digits that it has.
func (p Price) String() string {
	switch {
	case p >= anything:
		return "any price to buy"
	case p <= -anything:
		return "any price to sell"
	}
	return decimal(int64(p), priceDigits)
}

// MW is a quantity in MW.
func (q KW) MW() float64 { return float64(q) / kWPerMW }

// String is a quantity in MW, with the digits that it has.
func (q KW) String() string { return decimal(int64(q), mwDigits) }

func decimal(n int64, digits int) string {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	s := fmt.Sprintf("%0*d", digits+1, n)
	return sign + strings.TrimSuffix(strings.TrimRight(s[:len(s)-digits]+"."+s[len(s)-digits:], "0"), ".")
}
