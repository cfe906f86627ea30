package trading

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"yunchu/harness/sheet"
	"yunchu/platform/market"
	"yunchu/platform/market/bid"
	"yunchu/platform/market/order"
	"yunchu/platform/market/risk"
	"yunchu/platform/plural"
)

// Strategies of bids.
const (
	PriceTaker = "price-taker"
	Quantile   = "quantile"
	Regulation = "regulation"
)

// Strategies are all there are.
var Strategies = []string{PriceTaker, Quantile, Regulation}

// Desk is what bids are made with.
type Desk struct {
	Market   string
	Strategy string
	Forecast string // prices that are expected
	Column   string // of energy in it
	Battery  risk.Battery
	Cost     float64           // of each MWh sold
	Calls    market.Regulation // what regulation calls
}

// BidOptions say what is bid.
type BidOptions struct {
	Desk
	Plan  string // or a plan, for a price taker
	Date  string // the delivery day, where the forecast has several
	Check CheckOptions
}

// BidResult is what is bid.
type BidResult struct {
	Strategy string      `json:"strategy"`
	Market   string      `json:"market"`
	From     time.Time   `json:"from"`
	To       time.Time   `json:"to"`
	Orders   int         `json:"orders"`
	Sure     int         `json:"at_any_price"`
	Buy      json.Number `json:"buy_mwh"`
	Sell     json.Number `json:"sell_mwh"`
	Risk     *Checked    `json:"risk,omitempty"`

	orders []order.Order
}

// Bid makes bids.
func Bid(ctx context.Context, o BidOptions) (*BidResult, error) {
	rules, err := Rules(o.Market)
	if err != nil {
		return nil, err
	}
	var orders []order.Order
	switch {
	case o.Plan != "" && o.Strategy != PriceTaker:
		return nil, fmt.Errorf("a plan is bid by --strategy %s: another one plans by itself", PriceTaker)
	case o.Plan != "":
		plan, err := readPlan(o.Plan)
		if err != nil {
			return nil, err
		}
		if orders, err = bid.Taker(plan, o.Battery.StoredKWh, o.Battery, rules); err != nil {
			return nil, fmt.Errorf("%s: %w", o.Plan, err)
		}
	case o.Forecast != "":
		f, err := o.forecast(rules, o.Forecast)
		if err != nil {
			return nil, err
		}
		from, to, err := f.day(rules, o.Date)
		if err != nil {
			return nil, err
		}
		if orders, err = o.desk(rules, f)(ctx, from, to, o.Battery.StoredKWh); err != nil {
			return nil, fmt.Errorf("%s: %w", o.Forecast, err)
		}
	default:
		return nil, errors.New("name what is to be bid, --plan FILE, or what is expected, --forecast FILE")
	}
	if len(orders) == 0 {
		return nil, errors.New("nothing is worth a bid: no price pays, or the least order of the market is more than the battery can do")
	}
	r := &BidResult{Strategy: o.Strategy, Market: rules.Name, Orders: len(orders), orders: orders}
	buy, sell := 0.0, 0.0
	for i := range orders {
		x := &orders[i]
		if r.From.IsZero() || x.At.Before(r.From) {
			r.From = x.At
		}
		length := rules.Terms(x.Product).Interval
		if end := x.At.Add(length); end.After(r.To) {
			r.To = end
		}
		if x.Limit.IsAny() {
			r.Sure++
		}
		switch {
		case x.Product != order.Energy:
		case x.Side == order.Buy:
			buy += x.KW.MW() * length.Hours()
		default:
			sell += x.KW.MW() * length.Hours()
		}
	}
	r.Buy, r.Sell = number(buy), number(sell)
	if o.Check.Limits != "" {
		if r.Risk, err = o.Check.check(rules, orders, nil); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// WriteCSV writes the bids.
func (r *BidResult) WriteCSV(w io.Writer) error { return order.WriteOrders(w, r.orders) }

// Print prints for people.
func (r *BidResult) Print(w io.Writer) {
	fmt.Fprintf(w, "%s, %d of them at any price, %s to %s: %s MWh to buy, %s MWh to sell\n", plural.Count(r.Orders, "order", "orders"), r.Sure, r.From.Format(time.RFC3339), r.To.Format(time.RFC3339), r.Buy, r.Sell)
	if r.Risk != nil {
		r.Risk.Print(w)
	}
}

// expected is a forecast, and of capacity where a strategy sells it.
type expected struct {
	*bid.Forecast
	sheet    *prices
	up, down []float64
}

// forecast reads prices that are expected: of energy in the column, in forecast, or in the middle
// of quantiles q05 …, and of capacity.
func (d *Desk) forecast(rules *order.Rules, path string) (*expected, error) {
	p, err := readPrices(path, func(c string) bool {
		_, is := level(c)
		return is || c == d.Column || c == "forecast" || c == regUpColumn || c == regDownColumn
	})
	if err != nil {
		return nil, err
	}
	f := &expected{Forecast: &bid.Forecast{At: p.at, Length: p.width}, sheet: p}
	middle := d.Column
	if slices.Contains(p.Header, "forecast") {
		middle = "forecast" // its other column may be what came, which nobody knew
	}
	i := slices.Index(p.Header, middle)
	if i < 0 {
		return nil, p.Fault(1, 1, "name it with --forecast-column; its columns are "+strings.Join(p.Header, ", "), "there is no column %s", middle)
	}
	if f.Price, err = p.Full(middle); err != nil {
		return nil, err
	}
	if d.Strategy == Quantile {
		var columns [][]float64
		for _, h := range p.Header {
			x, is := level(h)
			if !is {
				continue
			}
			column, err := p.Full(h)
			if err != nil {
				return nil, err
			}
			f.Levels, columns = append(f.Levels, x), append(columns, column)
		}
		for k := range f.Price {
			var row []float64
			for i, c := range columns {
				row = append(row, c[k])
				for j := range i {
					if (f.Levels[j]-f.Levels[i])*(columns[j][k]-c[k]) < 0 {
						return nil, p.At(k, nil, "the quantiles of a price rise with their levels", "q%02.0f is %v and q%02.0f %v", 100*f.Levels[j], columns[j][k], 100*f.Levels[i], c[k])
					}
				}
			}
			f.Quantile = append(f.Quantile, row)
		}
		if len(columns) == 0 {
			f.Levels, f.Quantile = nil, nil
		}
	}
	if d.Strategy == Regulation {
		if d.Calls.Up {
			if f.up, err = p.Full(regUpColumn); err != nil {
				return nil, err
			}
		}
		if d.Calls.Down {
			if f.down, err = p.Full(regDownColumn); err != nil {
				return nil, err
			}
		}
	}
	if t := rules.Terms(order.Energy); t == nil || f.Length%t.Interval != 0 {
		return nil, p.Fault(1, 1, "", "the rows are %v apart, which are no deliveries of %s", f.Length, rules.Name)
	}
	return f, nil
}

// level of a column of quantiles, 0..1.
func level(column string) (x float64, is bool) {
	if len(column) != 3 || column[0] != 'q' {
		return 0, false
	}
	n, err := strconv.Atoi(column[1:])
	return float64(n) / 100, err == nil && n > 0
}

// day are the deliveries of a day of the forecast, the only one where none is named.
func (f *expected) day(rules *order.Rules, date string) (from, to int, err error) {
	loc := rules.Location()
	if date == "" {
		date = f.At[0].In(loc).Format(time.DateOnly)
		if last := f.At[len(f.At)-1].In(loc).Format(time.DateOnly); last != date {
			return 0, 0, fmt.Errorf("the forecast is of %s to %s: name the day with --date", date, last)
		}
	} else if _, err := time.Parse(time.DateOnly, date); err != nil {
		return 0, 0, fmt.Errorf("--date %s: write it as 2017-01-31", date)
	}
	in := func(t time.Time) bool { return t.In(loc).Format(time.DateOnly) == date }
	from = slices.IndexFunc(f.At, in)
	if from < 0 {
		return 0, 0, f.sheet.Fault(1, 1, "", "there is nothing of %s", date)
	}
	for to = from; to < len(f.At) && in(f.At[to]); to++ {
		if to > from && f.At[to].Sub(f.At[to-1]) != f.Length {
			return 0, 0, f.sheet.At(to, clocks, "a day is bid whole", "%v after the row before", f.At[to].Sub(f.At[to-1]))
		}
	}
	return from, to, nil
}

// desk is the strategy, at a forecast.
func (d *Desk) desk(rules *order.Rules, f *expected) bid.Desk {
	switch d.Strategy {
	case Quantile:
		return bid.QuantileDesk(f.Forecast, d.Battery, d.Cost, rules)
	case Regulation:
		return bid.RegulationDesk(f.Forecast, f.up, f.down, d.Battery, d.Cost, d.Calls, rules)
	}
	return bid.TakerDesk(f.Forecast, d.Battery, d.Cost, rules)
}

// readPlan reads a plan: a power (charge_kw less discharge_kw, target_kw or power_kw, into the
// battery) and capacity. Rows of several sites at one time are added up.
func readPlan(path string) ([]bid.Interval, error) {
	adds := map[string]func(*bid.Interval, float64){
		"charge_kw":    func(p *bid.Interval, x float64) { p.KW += x },
		"discharge_kw": func(p *bid.Interval, x float64) { p.KW -= x },
		"reserve_kw":   func(p *bid.Interval, x float64) { p.Reserve += x },
	}
	for _, c := range []string{"regup_kw", "regup_charging_kw", "regup_discharging_kw"} {
		adds[c] = func(p *bid.Interval, x float64) { p.Up += x }
	}
	for _, c := range []string{"regdown_kw", "regdown_charging_kw", "regdown_discharging_kw"} {
		adds[c] = func(p *bid.Interval, x float64) { p.Down += x }
	}
	s, err := sheet.Read(path, func(c string) bool { return adds[c] != nil || c == "target_kw" || c == "power_kw" }, timeColumn)
	if err != nil {
		return nil, err
	}
	if !s.Has("charge_kw") || !s.Has("discharge_kw") {
		one := slices.IndexFunc(s.Header, func(h string) bool { return h == "target_kw" || h == "power_kw" })
		if one < 0 {
			return nil, s.Fault(1, 1, "its columns are "+strings.Join(s.Header, ", "), "a plan has charge_kw and discharge_kw, or target_kw")
		}
		adds[s.Header[one]] = func(p *bid.Interval, x float64) { p.KW += x }
	}
	words := s.Texts(timeColumn)
	if words == nil {
		return nil, s.Fault(1, 1, "its columns are "+strings.Join(s.Header, ", "), "there is no column %s", timeColumn)
	}
	var out []bid.Interval
	for k, word := range words {
		at, ok := sheet.Instant(word)
		if !ok {
			return nil, s.At(k, []string{timeColumn}, "write it as 2020-01-31T13:00:00Z", "%q is no instant", word)
		}
		i, there := slices.BinarySearchFunc(out, at, func(p bid.Interval, t time.Time) int { return p.At.Compare(t) })
		if !there {
			out = slices.Insert(out, i, bid.Interval{At: at})
		}
		for c, name := range s.Header {
			if add := adds[name]; add != nil {
				x := s.Column[c][k]
				if math.IsNaN(x) {
					return nil, s.At(k, []string{name}, "", "column %s has no value in this row", name)
				}
				add(&out[i], x)
			}
		}
	}
	for i := range out {
		out[i].KW = math.Round(out[i].KW*1e6) / 1e6 // mW: what a difference of decimals leaves behind is no power
	}
	return out, nil
}
