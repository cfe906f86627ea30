package trading

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"yunchu/platform/market/order"
	"yunchu/platform/market/risk"
	"yunchu/platform/plural"
)

// CheckOptions say what bids are checked against.
type CheckOptions struct {
	Market    string
	Bids      string
	Limits    string
	Held      []string // awards that are held already
	History   string   // prices of past days, each a scenario
	Column    string   // of energy in it
	Days      int      // how many of the last of them
	Scenarios string   // or a file with a column for each scenario of the price of energy
	Errors    string   // or forecasts of past days and of the delivery's, with the prices that came in Column
	Now       time.Time
}

// Checked is what a check says.
type Checked struct {
	Limits     string         `json:"limits"`
	Kept       bool           `json:"kept"`
	Breaches   []BrokenLimit  `json:"breaches,omitempty"`
	Currency   string         `json:"currency"`
	Scenarios  int            `json:"scenarios"`
	Expected   float64        `json:"expected"` // earned, mean of the scenarios
	VaR        float64        `json:"var"`      // losses: below 0 even then something is earned
	CVaR       float64        `json:"cvar"`
	Confidence float64        `json:"confidence"`
	Stored     []StoredRange  `json:"stored,omitempty"`
	Position   []PositionLine `json:"position"`

	earned []float64 // by scenario, sorted
}

// BrokenLimit is a limit that would be broken, and the line of the order that does.
type BrokenLimit struct {
	risk.Breach
	Line int `json:"line,omitempty"`
}

// StoredRange is what a battery may hold, whatever is awarded.
type StoredRange struct {
	Time time.Time `json:"time"`
	Low  float64   `json:"low_kwh"`
	High float64   `json:"high_kwh"`
}

// PositionLine is what is held and asked for in a delivery; bought less sold for what is held.
type PositionLine struct {
	Time    time.Time     `json:"time"`
	Product order.Product `json:"product"`
	Held    json.Number   `json:"held_mw"`
	Buy     json.Number   `json:"buy_mw"`
	Sell    json.Number   `json:"sell_mw"`
}

// Check looks at bids before they are sent.
func Check(o CheckOptions) (*Checked, error) {
	rules, err := Rules(o.Market)
	if err != nil {
		return nil, err
	}
	b, err := readBids(o.Bids, rules, o.Now)
	if err != nil {
		return nil, err
	}
	return o.check(rules, b.orders, b.Line)
}

// check looks at orders; lines are those of their file, nil where there is none.
func (o *CheckOptions) check(rules *order.Rules, orders []order.Order, lines []int) (*Checked, error) {
	limits, err := LoadLimits(o.Limits)
	if err != nil {
		return nil, err
	}
	var held risk.Position
	if len(o.Held) > 0 {
		awards, err := readAwards(o.Held)
		if err != nil {
			return nil, err
		}
		for _, a := range awards {
			held.Add(risk.DayAhead, a.At, a.Product, a.Side, a.KW)
		}
	}
	losses, err := o.losses(rules, orders)
	if err != nil {
		return nil, err
	}
	if losses == nil && (limits.VaR > 0 || limits.CVaR > 0) {
		return nil, fmt.Errorf("%s limits what is at risk: give past prices or scenarios, --history FILE or --scenarios FILE", o.Limits)
	}
	r := limits.Trade(rules, &held, orders, losses)
	out := &Checked{
		Limits: limits.Name, Kept: len(r.Breaches) == 0, Currency: rules.Currency,
		Scenarios: r.Scenarios, Expected: r.Expected, VaR: r.VaR, CVaR: r.CVaR, Confidence: limits.Confidence, Position: []PositionLine{},
	}
	for _, b := range r.Breaches {
		broken := BrokenLimit{Breach: b}
		if lines != nil && b.Order >= 0 {
			broken.Line = lines[b.Order]
		}
		out.Breaches = append(out.Breaches, broken)
	}
	for _, s := range r.Ranges {
		out.Stored = append(out.Stored, StoredRange{s.At, s.Low, s.High})
	}
	for _, l := range losses {
		out.earned = append(out.earned, -l)
	}
	slices.Sort(out.earned)
	out.position(&held, orders)
	return out, nil
}

// position lists what is held and asked for, by time.
func (c *Checked) position(held *risk.Position, orders []order.Order) {
	var asked [2]risk.Position
	all := risk.Position{}
	for _, o := range orders {
		asked[o.Side].Add(risk.DayAhead, o.At, o.Product, order.Buy, o.KW)
		all.Add(risk.DayAhead, o.At, o.Product, o.Side, o.KW)
	}
	for _, l := range held.Lines() {
		all.Add(risk.DayAhead, l.At, l.Product, order.Buy, 0)
	}
	for _, l := range all.Lines() {
		c.Position = append(c.Position, PositionLine{
			l.At, l.Product, json.Number(held.Net(l.At, l.Product).String()),
			json.Number(asked[order.Buy].Net(l.At, l.Product).String()), json.Number(asked[order.Sell].Net(l.At, l.Product).String()),
		})
	}
}

// losses of the orders in each scenario, nil where there are none.
func (o *CheckOptions) losses(rules *order.Rules, orders []order.Order) ([]float64, error) {
	switch {
	case o.History != "" && o.Scenarios != "", o.History != "" && o.Errors != "", o.Scenarios != "" && o.Errors != "":
		return nil, fmt.Errorf("--history, --scenarios and --errors are scenarios each: one of them")
	case len(orders) == 0:
		return nil, nil
	case o.History != "":
		return o.historic(rules, orders)
	case o.Scenarios != "":
		return o.scenarios(rules, orders)
	case o.Errors != "":
		return o.errors(rules, orders)
	}
	return nil, nil
}

func hours(rules *order.Rules) func(order.Product) float64 {
	return func(p order.Product) float64 { return rules.Terms(p).Interval.Hours() }
}

// historic are the losses had past days come again: days of the file that ended before the
// deliveries begin, the last ones, those left out that lack a price.
func (o *CheckOptions) historic(rules *order.Rules, orders []order.Order) ([]float64, error) {
	p, err := readPrices(o.History, func(c string) bool { return isPrice(c, o.Column) })
	if err != nil {
		return nil, err
	}
	of := map[order.Product][]float64{}
	for i := range orders {
		if of[orders[i].Product] != nil {
			continue
		}
		if of[orders[i].Product], err = p.column(columnOf(orders[i].Product, o.Column)); err != nil {
			return nil, err
		}
	}
	out, base := o.past(rules, orders, p, func(product order.Product, at time.Time, shift time.Duration) (float64, bool) {
		return p.value(of[product], at.Add(-shift))
	})
	if len(out) == 0 {
		return nil, p.Fault(1, 1, "a day is a scenario where it has a price for every delivery that is bid for", "there is no whole day before %s", base.Format(time.DateOnly))
	}
	return out, nil
}

// past are the losses of the orders at the prices of each whole day that ended before their
// deliveries begin, the last ones; shift is by how much it lies before.
func (o *CheckOptions) past(rules *order.Rules, orders []order.Order, p *prices, price func(order.Product, time.Time, time.Duration) (float64, bool)) (out []float64, base time.Time) {
	first := orders[0].At
	for i := range orders {
		if orders[i].At.Before(first) {
			first = orders[i].At
		}
	}
	base, _ = rules.Begin(first)
	day, _ := rules.Begin(base.Add(-time.Minute))
	for !day.Before(p.at[0]) && (o.Days <= 0 || len(out) < o.Days) {
		shift := base.Sub(day)
		sum, ok := risk.Earned(orders, hours(rules), func(product order.Product, at time.Time) (order.Price, bool) {
			x, ok := price(product, at, shift)
			return order.Near(x), ok && at.Add(-shift).Before(base)
		})
		if ok {
			out = append(out, 0-sum)
		}
		day, _ = rules.Begin(day.Add(-time.Minute))
	}
	return out, base
}

// errors are the losses had the forecast of the deliveries been off as those of past days were,
// each of them a whole day.
func (o *CheckOptions) errors(rules *order.Rules, orders []order.Order) ([]float64, error) {
	p, err := readPrices(o.Errors, func(c string) bool { return c == "forecast" || c == o.Column })
	if err != nil {
		return nil, err
	}
	expected, err := p.column("forecast")
	if err != nil {
		return nil, err
	}
	came, err := p.column(o.Column)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(orders, func(x order.Order) bool { return x.Product != order.Energy }) {
		return nil, fmt.Errorf("%s has forecasts of energy alone: give --history for bids of capacity", o.Errors)
	}
	out, base := o.past(rules, orders, p, func(_ order.Product, at time.Time, shift time.Duration) (float64, bool) {
		now, a := p.value(expected, at)
		then, b := p.value(expected, at.Add(-shift))
		real, c := p.value(came, at.Add(-shift))
		return now + real - then, a && b && c
	})
	if len(out) == 0 {
		return nil, p.Fault(1, 1, "it needs the forecast of the delivery, and forecasts with the prices that came of days before", "there is no whole day before %s", base.Format(time.DateOnly))
	}
	return out, nil
}

// scenarios are the losses at the prices of each column of a file: those of quantiles, where it has some, or all that are not
// known as something else. Capacity has the price of its own column in each of them.
func (o *CheckOptions) scenarios(rules *order.Rules, orders []order.Order) (out []float64, err error) {
	capacity := []string{regUpColumn, regDownColumn, reserveColumn}
	no := append([]string{"forecast", "energy_per_mwh", "export_per_mwh", "carbon_t_per_mwh", "short_per_mwh", "long_per_mwh", o.Column}, clocks...)
	p, err := readPrices(o.Scenarios, func(c string) bool { return !slices.Contains(no, c) })
	if err != nil {
		return nil, err
	}
	of := map[order.Product][]float64{}
	for i := range orders {
		if x := orders[i].Product; x != order.Energy && of[x] == nil {
			if of[x], err = p.column(columnOf(x, "")); err != nil {
				return nil, err
			}
		}
	}
	isLevel := func(name string) bool { _, is := level(name); return is }
	quantiles := slices.ContainsFunc(p.Header, isLevel)
	for k, column := range p.Column {
		if column == nil || slices.Contains(capacity, p.Header[k]) || quantiles && !isLevel(p.Header[k]) {
			continue
		}
		sum, ok := risk.Earned(orders, hours(rules), func(product order.Product, at time.Time) (order.Price, bool) {
			prices := column
			if product != order.Energy {
				prices = of[product]
			}
			x, ok := p.value(prices, at)
			return order.Near(x), ok
		})
		if !ok {
			return nil, p.Fault(1, 1, "", "scenario %s has no price for one of the deliveries that are bid for", p.Header[k])
		}
		out = append(out, 0-sum)
	}
	return out, nil
}

// Print prints for people.
func (c *Checked) Print(w io.Writer) {
	for _, b := range c.Breaches {
		if b.Line > 0 {
			fmt.Fprintf(w, "line %d: %s\n", b.Line, b.Msg)
		} else {
			fmt.Fprintln(w, b.Msg)
		}
	}
	if c.Kept {
		fmt.Fprintf(w, "limits %s are kept\n", c.Limits)
	}
	if c.Scenarios > 0 {
		fmt.Fprintf(w, "%s: %.2f %s expected; at %v VaR %.2f, CVaR %.2f (losses)\n", plural.Count(c.Scenarios, "scenario", "scenarios"), c.Expected, c.Currency, c.Confidence, c.VaR, c.CVaR)
	}
	if n := len(c.Stored); n > 0 {
		low, high := c.Stored[0].Low, c.Stored[0].High
		for _, s := range c.Stored {
			low, high = min(low, s.Low), max(high, s.High)
		}
		fmt.Fprintf(w, "whatever is awarded, from %.6g to %.6g kWh are stored\n", low, high)
	}
}
