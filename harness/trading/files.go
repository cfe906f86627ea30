// Package trading reads what a desk trades with from files (rules of markets, limits, plans,
// forecasts, bids, awards) and writes what comes of it. The rules are those of platform/market.
package trading

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"os"
	"slices"
	"strings"
	"time"

	"yunchu/harness/scenario"
	"yunchu/harness/sheet"
	"yunchu/hil/strict"
	"yunchu/platform/market"
	"yunchu/platform/market/order"
	"yunchu/platform/market/risk"
)

// Columns of the files.
const (
	timeColumn     = "time"
	minutesColumn  = "minutes"
	productColumn  = "product"
	sideColumn     = "side"
	partyColumn    = "party"
	quantityColumn = "quantity_mw"
	priceColumn    = "price_per_mwh"
	indexColumn    = "index_k"
	storageColumn  = "storage"
)

// Kinds of files.
const (
	RulesKind  = order.Kind
	LimitsKind = risk.Kind
)

// MarketRules and Limits are what such files hold.
type (
	MarketRules = order.Rules
	Limits      = risk.Limits
)

// mostFaults bounds what is told of one file.
const mostFaults = 20

// read reads a YAML file, whose check says what else is wrong with it.
func read(path, want string, into any, kind *string, check func() []order.Wrong) error {
	src, err := os.ReadFile(path)
	if err != nil {
		if reason, ok := errors.AsType[*os.PathError](err); ok {
			err = reason.Err
		}
		return scenario.Faults{{Path: path, Msg: err.Error()}}
	}
	f := strict.Read(path, src, into)
	if f.IsKind(*kind, want) && f.Formed() {
		for _, w := range check() {
			f.Wrong(w.Key, w.Hint, "%s", w.Msg)
		}
	}
	return f.Err()
}

// LoadRules reads a file of the rules of a market.
func LoadRules(path string) (*order.Rules, error) {
	r := order.NewRules()
	return r, read(path, order.Kind, r, &r.Kind, r.Check)
}

// LoadLimits reads a file of limits.
func LoadLimits(path string) (*risk.Limits, error) {
	l := risk.NewLimits()
	return l, read(path, risk.Kind, l, &l.Kind, l.Check)
}

// Rules are those that ship with a name, or those of a file.
func Rules(name string) (*order.Rules, error) {
	if strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") || strings.ContainsAny(name, `/\`) {
		return LoadRules(name)
	}
	return order.Shipped(name)
}

// RuleText is the file of rules that ship.
func RuleText(name string) ([]byte, error) { return order.RuleText(name) }

// ListRules lists the rules that ship.
func ListRules(w io.Writer) error {
	for _, name := range order.RuleNames() {
		r, err := order.Shipped(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%-20s %-11s %s\n", name, r.Standing, r.Title)
	}
	return nil
}

// bids are the orders of a file, in its order.
type bids struct {
	*sheet.Sheet
	orders  []order.Order
	index   []float64 // of a unit that regulates, where the file says so
	storage []bool
}

// readBids reads orders, and refuses those that the market would, each with its line. now is
// when they are sent; of zero the gate is not looked at.
func readBids(path string, r *order.Rules, now time.Time) (*bids, error) {
	numbers := []string{quantityColumn, priceColumn, indexColumn, storageColumn}
	s, err := sheet.Read(path, func(c string) bool { return slices.Contains(numbers, c) }, timeColumn, productColumn, sideColumn, partyColumn)
	if err != nil {
		return nil, err
	}
	for _, c := range []string{timeColumn, productColumn, sideColumn} {
		if s.Texts(c) == nil {
			return nil, s.Fault(1, 1, "its columns are "+strings.Join(s.Header, ", "), "there is no column %s", c)
		}
	}
	quantity, err := s.Full(quantityColumn)
	if err != nil {
		return nil, err
	}
	if !s.Has(priceColumn) {
		return nil, s.Fault(1, 1, "an empty field of it takes every price", "there is no column %s", priceColumn)
	}
	b := &bids{Sheet: s}
	var faults scenario.Faults
	wrong := func(k int, column, hint, format string, args ...any) {
		if f, ok := errors.AsType[scenario.Faults](s.At(k, []string{column}, hint, format, args...)); ok && len(faults) < mostFaults {
			faults = append(faults, f...)
		}
	}
	price := s.Column[slices.Index(s.Header, priceColumn)]
	party := s.Texts(partyColumn)
	type key struct {
		at      int64
		product order.Product
		party   string
	}
	curves := map[key][]order.Order{}
	for k := range s.Line {
		var o order.Order
		var ok bool
		if o.At, ok = sheet.Instant(s.Texts(timeColumn)[k]); !ok {
			wrong(k, timeColumn, "write it as 2020-01-31T13:00:00Z, or with a zone as 2020-01-31T14:00:00+01:00", "%q is no instant", s.Texts(timeColumn)[k])
			continue
		}
		o.Product = order.Product(s.Texts(productColumn)[k])
		switch side := s.Texts(sideColumn)[k]; side {
		case "buy":
		case "sell":
			o.Side = order.Sell
		default:
			wrong(k, sideColumn, "write buy or sell", "%q is no side", side)
			continue
		}
		if party != nil {
			o.Party = party[k]
		}
		if o.KW, ok = order.OfMW(quantity[k]); !ok {
			wrong(k, quantityColumn, "the smallest part is 0.001 MW", "%v MW is finer than a kW", quantity[k])
			continue
		}
		o.Limit = order.Any(o.Side)
		if !math.IsNaN(price[k]) {
			if o.Limit, ok = order.Of(price[k]); !ok {
				wrong(k, priceColumn, "six digits after the point are the most", "%v is no price", price[k])
				continue
			}
		}
		if b := r.Admit(&o, now); b != nil && (o.Party == "" || b.Column != sideColumn) { // the market buys capacity
			wrong(k, b.Column, b.Hint, "%s", b.Msg)
			continue
		}
		c := key{o.At.Unix(), o.Product, o.Party}
		if o.Party == "" {
			curves[c] = append(curves[c], o)
			if b := r.AdmitCurve(curves[c]); b != nil {
				wrong(k, b.Column, b.Hint, "%s", b.Msg)
			}
		}
		b.orders = append(b.orders, o)
		if i := slices.Index(s.Header, indexColumn); i >= 0 {
			b.index = append(b.index, s.Column[i][k])
		}
		if i := slices.Index(s.Header, storageColumn); i >= 0 {
			b.storage = append(b.storage, s.Column[i][k] > 0)
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return b, nil
}

func trim(s string) string {
	if !strings.Contains(s, ".") {
		return s
	}
	s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	if s == "-0" {
		return "0"
	}
	return s
}

// awardFiles are the files of awards that have been read, to find one that is in two of them.
type awardFiles map[order.Award]string

// readAwards reads awards, of several files as one.
func readAwards(paths []string) ([]order.Award, error) { return awardFiles{}.read(paths) }

// read reads awards, of several files as one. In a file there is one of each [order.Award.Part]; two
// files may both have one, as of two markets, but not of the same quantity.
func (f awardFiles) read(paths []string) (out []order.Award, err error) {
	for _, path := range paths {
		seen, inFile := order.Seen{}, len(out)
		numbers := []string{minutesColumn, quantityColumn, priceColumn}
		s, err := sheet.Read(path, func(c string) bool { return slices.Contains(numbers, c) }, timeColumn, productColumn, sideColumn, order.TradeColumn)
		if err != nil {
			return nil, err
		}
		for _, c := range []string{timeColumn, productColumn, sideColumn} {
			if s.Texts(c) == nil {
				return nil, s.Fault(1, 1, "its columns are "+strings.Join(s.Header, ", "), "there is no column %s", c)
			}
		}
		var columns [3][]float64
		for i, name := range numbers[:2] {
			if columns[i], err = s.Full(name); err != nil {
				return nil, err
			}
		}
		if !s.Has(priceColumn) {
			return nil, s.Fault(1, 1, "its columns are "+strings.Join(s.Header, ", "), "there is no column %s", priceColumn)
		}
		columns[2] = s.Column[slices.Index(s.Header, priceColumn)]
		for k := range s.Line {
			a := order.Award{Product: order.Product(s.Texts(productColumn)[k]), Length: time.Duration(columns[0][k] * float64(time.Minute))}
			var ok [3]bool
			a.At, ok[0] = sheet.Instant(s.Texts(timeColumn)[k])
			a.KW, ok[1] = order.OfMW(columns[1][k])
			a.Price, ok[2] = order.Of(columns[2][k])
			if math.IsNaN(columns[2][k]) {
				if a.KW != 0 {
					return nil, s.At(k, []string{priceColumn}, "only of 0 MW there may be none", "column %s has no value in this row", priceColumn)
				}
				a.Price, ok[2] = order.Any(order.Buy), true
			}
			switch s.Texts(sideColumn)[k] {
			case "sell":
				a.Side = order.Sell
			case "buy":
			case "":
				if a.KW != 0 {
					return nil, s.At(k, []string{sideColumn}, "write buy or sell", "%s MW on no side", a.KW)
				}
			default:
				return nil, s.At(k, []string{sideColumn}, "write buy or sell, or leave it empty where nothing is awarded", "%q is no side", s.Texts(sideColumn)[k])
			}
			for i, c := range []string{timeColumn, quantityColumn, priceColumn} {
				if !ok[i] || i == 1 && a.KW < 0 {
					return nil, s.At(k, []string{c}, "", "this is none of an award")
				}
			}
			if x := columns[0][k]; x != math.Trunc(x) || x <= 0 || x > order.MostMinutes {
				return nil, s.At(k, []string{minutesColumn}, "as in 15 or 60", "a delivery of %v minutes", x)
			}
			if !slices.Contains(order.Products, a.Product) {
				return nil, s.At(k, []string{productColumn}, "write energy, regup, regdown or reserve", "%q is no product", a.Product)
			}
			if trades := s.Texts(order.TradeColumn); trades != nil {
				a.Trade = trades[k]
			}
			if err := seen.Add(&a); err != nil {
				return nil, s.At(k, []string{timeColumn}, onceHint, "%v", err)
			}
			if other, there := f[whole(a)]; there && a.KW != 0 { // nothing may be awarded twice
				return nil, s.At(k, []string{timeColumn}, onceHint, "the same award of %s is in %s", a.Product, other)
			}
			out = append(out, a)
		}
		for _, a := range out[inFile:] {
			f[whole(a)] = path
		}
	}
	slices.SortStableFunc(out, func(a, b order.Award) int { return a.At.Compare(b.At) })
	return out, nil
}

// onceHint says how awards are told apart.
const onceHint = "an auction has one row for each product and delivery; what is not the same, as trades, has different words in a column " + order.TradeColumn

// whole is an award to compare: in one zone.
func whole(a order.Award) order.Award {
	a.At = a.At.UTC()
	return a
}

// prices are columns of a file by time, each row holding until the next.
type prices struct {
	*sheet.Sheet
	at    []time.Time
	width time.Duration
}

// clocks are the names that a column of times has.
var clocks = []string{timeColumn, "Date"}

// readPrices reads columns of a file. Rows are equally far apart, or multiples of it.
func readPrices(path string, want func(column string) bool) (*prices, error) {
	s, err := sheet.Read(path, want, clocks...)
	if err != nil {
		return nil, err
	}
	clock := timeColumn
	if s.Texts(clock) == nil && s.Texts("Date") != nil {
		clock = "Date"
	}
	p := &prices{Sheet: s}
	if p.at, err = s.Times(clock); err != nil {
		return nil, err
	}
	if len(p.at) < 2 {
		return nil, scenario.Faults{{Path: path, Msg: "one row does not say how long an interval is"}}
	}
	p.width = p.at[1].Sub(p.at[0])
	for k := 2; k < len(p.at); k++ {
		p.width = min(p.width, p.at[k].Sub(p.at[k-1]))
	}
	for k := 1; k < len(p.at); k++ {
		if p.at[k].Sub(p.at[k-1])%p.width != 0 {
			return nil, s.At(k, []string{clock}, "intervals are equally long", "%v after the row before, where others are %v apart", p.at[k].Sub(p.at[k-1]), p.width)
		}
	}
	for i, column := range s.Column {
		for k, x := range column {
			if math.Abs(x) > market.MostPrice {
				return nil, s.At(k, s.Header[i:i+1], "it is per MWh, or per MW and hour", "%v is no price of a market: %v is the most", x, float64(market.MostPrice))
			}
		}
	}
	return p, nil
}

// value of a column at an instant; not ok where no row holds then, or its field is empty.
func (p *prices) value(column []float64, at time.Time) (x float64, ok bool) {
	i, there := slices.BinarySearchFunc(p.at, at, time.Time.Compare)
	if !there {
		i--
	}
	if i < 0 || !at.Before(p.at[i].Add(p.width)) || math.IsNaN(column[i]) {
		return 0, false
	}
	return column[i], true
}

// column of a name; a fault where there is none.
func (p *prices) column(name string) ([]float64, error) {
	i := slices.Index(p.Header, name)
	if i < 0 {
		return nil, p.Fault(1, 1, "its columns are "+strings.Join(p.Header, ", "), "there is no column %s", name)
	}
	return p.Column[i], nil
}

// money is an exact amount to the cent, rounded as a bill is: a half away from 0.
func money(x *big.Rat) string { return x.FloatString(2) }

// earned is what awards come to, exactly.
func earned(awards []order.Award) *big.Rat {
	sum := new(big.Rat)
	for i := range awards {
		sum.Add(sum, awards[i].Earns())
	}
	return sum
}
