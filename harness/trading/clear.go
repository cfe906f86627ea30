package trading

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"

	"yunchu/harness/scenario"
	"yunchu/platform/market/auction"
	"yunchu/platform/market/order"
	"yunchu/platform/plural"
)

// ClearOptions say what is cleared.
type ClearOptions struct {
	Market string
	Bids   string
	Others string  // bids of the others
	Prices string  // or prices that they come to by themselves
	Column string  // of energy in it
	Slope  float64 // and what a MW besides moves it by
	Demand float64 // MW of regulation, where the market ranks
	// Currency is what the prices are in; "": that of the market.
	Currency string
	Risk     CheckOptions
}

// Cleared is what a product of a delivery came to.
type Cleared struct {
	Time      time.Time     `json:"time"`
	Product   order.Product `json:"product"`
	Price     json.Number   `json:"price_per_mwh,omitempty"`
	Low       json.Number   `json:"low"`
	High      json.Number   `json:"high"`
	Volume    json.Number   `json:"volume_mw"`
	Curtailed json.Number   `json:"curtailed_mw,omitempty"`
	Awarded   json.Number   `json:"awarded_mw"` // ours, bought less sold
}

// ClearResult is a cleared market.
type ClearResult struct {
	Market   string      `json:"market"`
	Currency string      `json:"currency"`
	From     time.Time   `json:"from"`
	To       time.Time   `json:"to"`
	Earned   json.Number `json:"earned"` // of our awards, to the cent; below 0 is paid
	Bought   json.Number `json:"bought_mwh"`
	Sold     json.Number `json:"sold_mwh"`
	Unfilled json.Number `json:"unfilled_mwh"` // of our orders of energy
	Cleared  []Cleared   `json:"cleared"`
	Risk     *Checked    `json:"risk,omitempty"`
	NotShown int         `json:"-"`

	awards []order.Award
	books  []meeting
	rules  *order.Rules
}

// meeting is what met in one delivery of a product.
type meeting struct {
	at     time.Time
	terms  *order.Terms
	orders []order.Order
	ours   []bool
	result *auction.Result
}

// Clear clears the bids against those of others, for all deliveries of the days that are bid for.
func Clear(o ClearOptions) (*ClearResult, error) {
	rules, err := Rules(o.Market)
	if err != nil {
		return nil, err
	}
	if o.Currency != "" { // a name: nothing is converted
		own := *rules
		own.Currency = o.Currency
		rules = &own
	}
	ours, err := readBids(o.Bids, rules, time.Time{})
	if err != nil {
		return nil, err
	}
	out := &ClearResult{Market: rules.Name, Currency: rules.Currency, rules: rules}
	if rules.Ranking != nil {
		if o.Prices != "" || o.Slope != 0 {
			return nil, fmt.Errorf("%s ranks offers, which no price stands for: write those of the others to --others", rules.Name)
		}
		offers := []*bids{ours}
		if o.Others != "" {
			theirs, err := readOthers(o.Others, rules)
			if err != nil {
				return nil, err
			}
			offers = append(offers, theirs)
		}
		if err := out.rank(offers, o.Demand); err != nil {
			return nil, err
		}
		return out, out.sum(ours)
	}
	var theirs []order.Order
	var market *prices
	switch {
	case o.Demand != 0:
		return nil, fmt.Errorf("--demand-mw %v: %s ranks no offers", o.Demand, rules.Name)
	case o.Others != "" && o.Prices != "":
		return nil, fmt.Errorf("--others are orders, --prices what they come to: one of the two")
	case o.Others != "":
		b, err := readOthers(o.Others, rules)
		if err != nil {
			return nil, err
		}
		theirs = b.orders
	case o.Prices != "":
		if market, err = readPrices(o.Prices, func(c string) bool { return isPrice(c, o.Column) }); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("name the orders of the others, or their prices: --others FILE or --prices FILE")
	}
	days := map[int64]bool{}
	for i := range ours.orders {
		from, _ := rules.Begin(ours.orders[i].At)
		days[from.Unix()] = true
	}
	bidFor := func(at time.Time) bool { from, _ := rules.Begin(at); return days[from.Unix()] }
	for i := range rules.Products {
		t := &rules.Products[i]
		at := map[int64][]int{} // our orders by delivery
		for k := range ours.orders {
			if ours.orders[k].Product == t.Product {
				at[ours.orders[k].At.Unix()] = append(at[ours.orders[k].At.Unix()], k)
			}
		}
		if len(at) == 0 {
			continue
		}
		met := map[int64][]order.Order{}
		for _, x := range theirs {
			if x.Product == t.Product && bidFor(x.At) {
				met[x.At.Unix()] = append(met[x.At.Unix()], x)
			}
		}
		if market != nil {
			if met, err = o.residual(market, rules, t, ours, at, bidFor); err != nil {
				return nil, err
			}
		}
		for k, x := range ours.orders {
			if x.Product != t.Product || met[x.At.Unix()] != nil {
				continue
			}
			if market != nil {
				return nil, ours.At(k, []string{timeColumn}, fmt.Sprintf("its rows are from %s to %s; times without a zone are UTC", market.at[0].Format(time.RFC3339), market.at[len(market.at)-1].Format(time.RFC3339)),
					"%s has no price of this delivery of %s", o.Prices, t.Product)
			}
			return nil, ours.At(k, []string{timeColumn}, "times without a zone are UTC", "nobody else trades %s of this delivery", t.Product)
		}
		var times []int64
		for k := range met {
			times = append(times, k)
		}
		slices.Sort(times)
		for _, k := range times {
			b := meeting{at: time.Unix(k, 0).UTC(), terms: t}
			for _, i := range at[k] { // ours first: at equal limits they are the earlier ones
				b.orders, b.ours = append(b.orders, ours.orders[i]), append(b.ours, ours.orders[i].Party == "")
			}
			for _, x := range met[k] {
				b.orders, b.ours = append(b.orders, x), append(b.ours, false)
			}
			b.result = auction.Clear(b.orders, auction.RuleOf(rules, t))
			out.take(&b)
		}
	}
	if err := out.sum(ours); err != nil {
		return nil, err
	}
	if o.Risk.Limits != "" {
		o.Risk.Market, o.Risk.Bids = o.Market, o.Bids
		if out.Risk, err = Check(o.Risk); err != nil {
			return nil, err
		}
		out.Risk.Currency = rules.Currency
	}
	return out, nil
}

// Columns of prices of capacity, per MW and hour.
const (
	regUpColumn   = "regup_per_mw"
	regDownColumn = "regdown_per_mw"
	reserveColumn = "reserve_per_mw"
)

// columnOf is the column of prices of a product.
func columnOf(p order.Product, energy string) string {
	switch p {
	case order.RegUp:
		return regUpColumn
	case order.RegDown:
		return regDownColumn
	case order.Reserve:
		return reserveColumn
	}
	return energy
}

// isPrice tells the columns of prices.
func isPrice(column, energy string) bool {
	return slices.ContainsFunc(order.Products, func(p order.Product) bool { return columnOf(p, energy) == column })
}

// residual are the orders of others at known prices, by delivery.
func (o *ClearOptions) residual(market *prices, rules *order.Rules, t *order.Terms, ours *bids, at map[int64][]int, bidFor func(time.Time) bool) (map[int64][]order.Order, error) {
	name := columnOf(t.Product, o.Column)
	column, err := market.column(name)
	if err != nil {
		return nil, err
	}
	if err := market.tradedAs(rules, t, name, column, bidFor); err != nil {
		return nil, err
	}
	out := map[int64][]order.Order{}
	for k := range market.at {
		for d := time.Duration(0); d < market.width; d += t.Interval {
			begin := market.at[k].Add(d)
			x, ok := market.value(column, begin)
			if !ok || !bidFor(begin) {
				continue
			}
			sum := 2 * t.Lot()
			for _, i := range at[begin.Unix()] {
				sum += ours.orders[i].KW
			}
			slope := o.Slope
			if t.Product != order.Energy {
				slope = 0
			}
			out[begin.Unix()] = auction.Others(order.Near(x), order.Near(slope), t.Lot(), sum)
			for i := range out[begin.Unix()] {
				out[begin.Unix()][i].Product = t.Product
			}
		}
	}
	return out, nil
}

// tradedAs is an error where a market has no such prices of a product, of the days that matter.
func (p *prices) tradedAs(rules *order.Rules, t *order.Terms, name string, column []float64, matters func(time.Time) bool) error {
	if p.width%t.Interval != 0 {
		return p.Fault(1, 1, "", "the rows are %v apart, where %s is traded by %v", p.width, t.Product, t.Interval)
	}
	lo, hi := t.Bounds()
	for k, x := range column {
		if price := order.Near(x); !math.IsNaN(x) && (price < lo || price > hi) && matters(p.at[k]) {
			return p.At(k, []string{name}, "the rules of the market say floor and cap", "%s is outside of %s to %s of %s", price, lo, hi, rules.Name)
		}
	}
	return nil
}

// take books what a delivery came to.
func (r *ClearResult) take(b *meeting) {
	net := order.KW(0)
	for i := range b.orders {
		if !b.ours[i] {
			continue
		}
		if b.orders[i].Side == order.Buy {
			net += b.result.Fill[i]
		} else {
			net -= b.result.Fill[i]
		}
	}
	a := b.result.Award(b.terms, b.at, net)
	c := Cleared{
		Time: b.at, Product: a.Product, Low: json.Number(b.result.Low.String()), High: json.Number(b.result.High.String()),
		Volume: json.Number(b.result.Volume.String()), Awarded: json.Number(net.String()),
	}
	if b.result.Curtailed > 0 {
		c.Curtailed = json.Number(b.result.Curtailed.String())
	}
	if b.result.Traded {
		c.Price = json.Number(b.result.Price.String())
	}
	r.awards = append(r.awards, a)
	r.Cleared, r.books = append(r.Cleared, c), append(r.books, *b)
}

// readOthers reads orders of others; those of no party are not ours either.
func readOthers(path string, rules *order.Rules) (*bids, error) {
	b, err := readBids(path, rules, time.Time{})
	if err != nil {
		return nil, err
	}
	for i := range b.orders {
		if b.orders[i].Party == "" {
			b.orders[i].Party = "others"
		}
	}
	return b, nil
}

// rank clears a market that ranks offers of regulation: of several files, in their order, for the
// deliveries that are offered in the first.
func (r *ClearResult) rank(files []*bids, demand float64) error {
	kw, ok := order.OfMW(demand)
	if !ok || kw <= 0 {
		return fmt.Errorf("%s ranks offers: say how much it needs, as in --demand-mw 300", r.rules.Name)
	}
	type key struct {
		at      int64
		product order.Product
	}
	offers := map[key][]auction.Offer{}
	var keys []key
	for n, b := range files {
		if b.index == nil {
			return b.Fault(1, 1, "its columns are "+strings.Join(b.Header, ", "), "offers are ranked by the column %s", indexColumn)
		}
		for i := range b.orders {
			o := &b.orders[i]
			k := key{o.At.Unix(), o.Product}
			if offers[k] == nil {
				if n > 0 {
					continue
				}
				keys = append(keys, k)
			}
			lo, _ := r.rules.Terms(o.Product).Bounds()
			offers[k] = append(offers[k], auction.Offer{Party: o.Party, KW: o.KW, Price: max(o.Limit, lo), Index: b.index[i], Storage: b.storage == nil || b.storage[i]})
		}
	}
	slices.SortStableFunc(keys, func(a, b key) int { return int(a.at - b.at) })
	for _, k := range keys {
		x := auction.Rank(offers[k], kw, *r.rules.Ranking)
		a := order.Award{At: time.Unix(k.at, 0).UTC(), Length: r.rules.Terms(k.product).Interval, Product: k.product, Side: order.Sell, Price: x.Price}
		for i := range offers[k] {
			if offers[k][i].Party == "" {
				a.KW += x.Fill[i]
			}
		}
		c := Cleared{
			Time: a.At, Product: a.Product, Price: json.Number(x.Price.String()), Low: json.Number(x.Price.String()), High: json.Number(x.Price.String()),
			Volume: json.Number((kw - x.Short).String()), Awarded: json.Number((-a.KW).String()),
		}
		if x.Short == kw { // nobody is admitted
			a.Price, c.Price = order.Any(a.Side), ""
			low, high := r.rules.Terms(k.product).Bounds()
			c.Low, c.High = json.Number(low.String()), json.Number(high.String())
		}
		r.awards = append(r.awards, a)
		if x.Short > 0 {
			c.Curtailed = json.Number(x.Short.String())
		}
		r.Cleared = append(r.Cleared, c)
	}
	return nil
}

// sum adds up our awards.
func (r *ClearResult) sum(ours *bids) error {
	if len(r.Cleared) == 0 {
		return scenario.Faults{{Path: ours.Path, Msg: "there are no bids"}}
	}
	earned, bought, sold, asked := new(big.Rat), 0.0, 0.0, 0.0
	r.From = r.Cleared[0].Time
	for i := range r.awards {
		a := &r.awards[i]
		if r.rules.Ranking == nil { // of a ranking the price is that of mileage, which nobody knows yet
			earned.Add(earned, a.Earns())
		}
		if a.At.Before(r.From) {
			r.From = a.At
		}
		if end := a.At.Add(a.Length); end.After(r.To) {
			r.To = end
		}
		if a.Product != order.Energy {
			continue
		}
		if a.Side == order.Buy {
			bought += a.KW.MW() * a.Length.Hours()
		} else {
			sold += a.KW.MW() * a.Length.Hours()
		}
	}
	for i := range ours.orders {
		if o := &ours.orders[i]; o.Product == order.Energy && o.Party == "" {
			asked += o.KW.MW() * r.rules.Terms(o.Product).Interval.Hours()
		}
	}
	r.Earned = json.Number(money(earned))
	r.Bought, r.Sold, r.Unfilled = number(bought), number(sold), number(asked-bought-sold)
	return nil
}

// number is a float with no more digits than a kWh in MWh has.
func number(x float64) json.Number { return json.Number(trim(fmt.Sprintf("%.6f", x))) }

// WriteCSV writes our awards.
func (r *ClearResult) WriteCSV(w io.Writer) error { return order.WriteAwards(w, r.awards) }

// Print prints for people.
func (r *ClearResult) Print(w io.Writer) {
	fmt.Fprintf(w, "%s, %s to %s: %s cleared\n", r.Market, r.From.Format(time.RFC3339), r.To.Format(time.RFC3339), plural.Count(len(r.Cleared), "delivery", "deliveries"))
	fmt.Fprintf(w, "bought %s MWh, sold %s MWh, %s MWh of our orders not awarded\n", r.Bought, r.Sold, r.Unfilled)
	if r.rules.Ranking != nil {
		fmt.Fprintf(w, "the price is that of a MW of mileage: what it comes to is the bill's\n")
	} else {
		fmt.Fprintf(w, "earned %s %s\n", r.Earned, r.Currency)
	}
	for _, c := range r.Cleared {
		switch {
		case c.Price != "":
		case r.rules.Ranking != nil:
			fmt.Fprintf(w, "%s %s: no offer is admitted\n", c.Time.Format(time.RFC3339), c.Product)
		default:
			fmt.Fprintf(w, "%s %s: nobody agrees, %s is bid and %s asked\n", c.Time.Format(time.RFC3339), c.Product, c.Low, c.High)
		}
		if c.Curtailed != "" {
			fmt.Fprintf(w, "%s %s: %s MW curtailed\n", c.Time.Format(time.RFC3339), c.Product, c.Curtailed)
		}
	}
	if r.Risk != nil {
		r.Risk.Print(w)
	}
}
