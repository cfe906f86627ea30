package trading

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"time"

	"yunchu/platform/market"
	"yunchu/platform/market/bid"
	"yunchu/platform/market/order"
	"yunchu/platform/plural"
)

// ReplayOptions say which past is traded again.
type ReplayOptions struct {
	Desk
	Strategies  []string
	Prices      string  // that came
	PriceColumn string  // of energy in it
	Slope       float64 // what a MW besides moves the price by
	From, To    string  // dates; empty: all that is known
}

// Replayed is what strategies earned.
type Replayed struct {
	Market     string     `json:"market"`
	Currency   string     `json:"currency"`
	From       string     `json:"from"`
	To         string     `json:"to"`
	Days       int        `json:"days"`
	Perfect    float64    `json:"perfect_foresight"` // of energy, each day by itself, in no lots and at prices that nothing moves
	PerfectReg float64    `json:"perfect_foresight_regulation,omitempty"`
	Strategies []Earnings `json:"strategies"`

	days map[string][]bid.Day
}

// Earnings are those of a strategy.
type Earnings struct {
	Strategy string      `json:"strategy"`
	Earned   json.Number `json:"earned"` // of the awards, to the cent
	Called   float64     `json:"called"` // worth of energy that regulation calls on average
	Cost     float64     `json:"variable_cost"`
	Value    float64     `json:"value"`
	Ratio    float64     `json:"ratio"` // to perfect foresight
	Bought   json.Number `json:"bought_mwh"`
	Sold     json.Number `json:"sold_mwh"`
	Short    json.Number `json:"short_mwh"`  // of the awards that the battery could not do
	Left     json.Number `json:"left_mwh"`   // stored in the end, worth nothing here
	Losses   int         `json:"loss_days"`  // days with a value below 0
	Worst    float64     `json:"worst_day"`  // their least
	Orders   int         `json:"orders"`     // sent
	Bare     int         `json:"empty_days"` // days without an award
}

// Replay trades a past again, each strategy by itself.
func Replay(ctx context.Context, o ReplayOptions) (*Replayed, error) {
	rules, err := Rules(o.Market)
	if err != nil {
		return nil, err
	}
	regulation := slices.Contains(o.Strategies, Regulation)
	came, err := readPrices(o.Prices, func(c string) bool {
		return c == o.PriceColumn || regulation && (c == regUpColumn || c == regDownColumn)
	})
	if err != nil {
		return nil, err
	}
	names := []string{o.PriceColumn}
	if regulation {
		names = append(names, regUpColumn, regDownColumn)
	}
	columns := map[string][]float64{}
	for _, name := range names {
		if columns[name], err = came.column(name); err != nil {
			return nil, err
		}
	}
	o.Strategy = Quantile // reads the quantiles too
	if regulation && o.Forecast != "" {
		o.Calls.Up, o.Calls.Down = true, true
	}
	var f *expected
	if o.Forecast == "" {
		f = yesterday(came, columns, o.PriceColumn)
	} else if f, err = o.forecast(rules, o.Forecast); err != nil {
		return nil, err
	}
	t := rules.Terms(order.Energy)
	switch {
	case t == nil || f.Length%t.Interval != 0:
		return nil, fmt.Errorf("%s: the rows are %v apart, which are no deliveries of %s", o.Prices, f.Length, rules.Name)
	case regulation && f.Length != t.Interval:
		return nil, fmt.Errorf("regulation is replayed where energy is traded by the step of the prices, %v, and %s trades it by %v", f.Length, rules.Name, t.Interval)
	}
	f.Forecast = f.By(t.Interval)
	if regulation && f.up == nil {
		f.capacity(came, columns)
	}
	p := &bid.Past{Rules: rules, Length: f.Length, Slope: o.Slope}
	if err := o.past(p, f, came, columns); err != nil {
		return nil, err
	}
	out := &Replayed{Market: rules.Name, Currency: rules.Currency, days: map[string][]bid.Day{}}
	loc := rules.Location()
	at := make([]time.Time, len(p.At))
	for k := range at {
		at[k] = p.At[k].In(loc)
	}
	out.From, out.To = at[0].Format(time.DateOnly), at[len(at)-1].Format(time.DateOnly)
	battery := market.Battery{PowerMW: o.Battery.PowerKW / 1000, EnergyMWh: o.Battery.EnergyKWh / 1000, Efficiency: o.Battery.Efficiency, VariableCost: o.Cost}
	perfect := func(calls market.Regulation) (sum float64, days []market.Result, err error) {
		days, err = market.Backtest(ctx, battery, calls, at, market.Prices{Hours: p.Length.Hours(), Energy: p.Price, RegUp: p.RegUp, RegDown: p.RegDown}, market.Daily)
		for _, d := range days {
			sum += d.Objective
		}
		return sum, days, err
	}
	var best []market.Result
	if out.Perfect, best, err = perfect(market.Regulation{}); err != nil {
		return nil, err
	}
	out.Days = len(best)
	calls := o.Calls
	calls.Up, calls.Down = true, true
	if regulation {
		if out.PerfectReg, _, err = perfect(calls); err != nil {
			return nil, err
		}
	}
	for _, name := range o.Strategies {
		d := o.Desk
		d.Strategy = name
		best := out.Perfect
		if name == Regulation {
			best, d.Calls = out.PerfectReg, calls
			d.Battery.CalledUp, d.Battery.CalledDown = calls.EnergyUp, calls.EnergyDown
		}
		days, err := bid.Replay(ctx, p, d.Battery, o.Cost, d.desk(rules, f))
		if err != nil {
			return nil, err
		}
		out.days[name] = days
		out.Strategies = append(out.Strategies, earnings(name, days, best))
	}
	return out, nil
}

// past keeps of the forecast the days of which all prices are known, and of them those asked for.
func (o *ReplayOptions) past(p *bid.Past, f *expected, came *prices, columns map[string][]float64) error {
	loc := p.Rules.Location()
	kept := &bid.Forecast{Length: f.Length, Levels: f.Levels}
	var up, down []float64
	for from := 0; from < len(f.At); {
		begin, end := p.Rules.Begin(f.At[from])
		to := from
		whole := true
		for ; to < len(f.At) && f.At[to].Before(end); to++ {
			_, known := came.value(columns[o.PriceColumn], f.At[to])
			whole = whole && known && f.At[to].Sub(begin) == time.Duration(to-from)*f.Length
		}
		date := begin.In(loc).Format(time.DateOnly)
		whole = whole && time.Duration(to-from)*f.Length == end.Sub(begin)
		if whole && (o.From == "" || date >= o.From) && (o.To == "" || date <= o.To) {
			for k := from; k < to; k++ {
				x, _ := came.value(columns[o.PriceColumn], f.At[k])
				p.At, p.Price = append(p.At, f.At[k]), append(p.Price, x)
				kept.At, kept.Price = append(kept.At, f.At[k]), append(kept.Price, f.Price[k])
				if f.Quantile != nil {
					kept.Quantile = append(kept.Quantile, f.Quantile[k])
				}
				if f.up != nil {
					a, ok := came.value(columns[regUpColumn], f.At[k])
					b, also := came.value(columns[regDownColumn], f.At[k])
					if !ok || !also {
						return came.Fault(1, 1, "", "capacity has no price at %s", f.At[k].Format(time.RFC3339))
					}
					if math.IsNaN(f.up[k]) || math.IsNaN(f.down[k]) {
						return came.Fault(1, 1, "begin a day later: --from", "capacity has no price on the day before %s", f.At[k].Format(time.RFC3339))
					}
					p.RegUp, p.RegDown = append(p.RegUp, a), append(p.RegDown, b)
					up, down = append(up, f.up[k]), append(down, f.down[k])
				}
			}
		}
		from = to
	}
	if len(p.At) == 0 {
		return fmt.Errorf("no day of %s from %q to %q is known in full, with what was expected of it", o.Prices, o.From, o.To)
	}
	f.Forecast, f.up, f.down = kept, up, down
	return nil
}

// yesterday expects the prices of the day before.
func yesterday(came *prices, columns map[string][]float64, energy string) *expected {
	f := &expected{Forecast: &bid.Forecast{Length: came.width}}
	for _, at := range came.at {
		if x, ok := came.value(columns[energy], at.Add(-24*time.Hour)); ok {
			f.At, f.Price = append(f.At, at), append(f.Price, x)
		}
	}
	return f
}

// capacity expects the prices of capacity of the day before, NaN where there is none.
func (f *expected) capacity(came *prices, columns map[string][]float64) {
	for _, at := range f.At {
		up, ok := came.value(columns[regUpColumn], at.Add(-24*time.Hour))
		down, also := came.value(columns[regDownColumn], at.Add(-24*time.Hour))
		if !ok || !also {
			up, down = math.NaN(), math.NaN()
		}
		f.up, f.down = append(f.up, up), append(f.down, down)
	}
}

// earnings adds up the days of a strategy.
func earnings(name string, days []bid.Day, best float64) Earnings {
	e := Earnings{Strategy: name}
	sum, bought, sold, short := new(big.Rat), 0.0, 0.0, 0.0
	for i := range days {
		d := &days[i]
		sum.Add(sum, d.Earned)
		e.Called, e.Cost, e.Value = e.Called+d.Called, e.Cost+d.Cost, e.Value+d.Value()
		short += d.Short
		e.Orders += len(d.Orders)
		if d.Value() < 0 {
			e.Losses++
		}
		e.Worst = min(e.Worst, d.Value())
		traded := false
		for _, a := range d.Awards {
			traded = traded || a.KW > 0
			if a.Product != order.Energy {
				continue
			}
			if a.Side == order.Buy {
				bought += a.KW.MW() * a.Length.Hours()
			} else {
				sold += a.KW.MW() * a.Length.Hours()
			}
		}
		if !traded {
			e.Bare++
		}
	}
	e.Earned, e.Bought, e.Sold = json.Number(money(sum)), number(bought), number(sold)
	e.Short, e.Left = number(short/1000), number(days[len(days)-1].Stored/1000)
	if best > 0 {
		e.Ratio = e.Value / best
	}
	return e
}

// WriteCSV writes the awards of a strategy, the first one's.
func (r *Replayed) WriteCSV(w io.Writer) error {
	var all []order.Award
	for _, d := range r.days[r.Strategies[0].Strategy] {
		all = append(all, d.Awards...)
	}
	return order.WriteAwards(w, all)
}

// Print prints for people.
func (r *Replayed) Print(w io.Writer) {
	fmt.Fprintf(w, "%s, %s from %s to %s; perfect foresight %.2f %s\n", r.Market, plural.Count(r.Days, "day", "days"), r.From, r.To, r.Perfect, r.Currency)
	if r.PerfectReg > 0 {
		fmt.Fprintf(w, "with regulation %.2f %s\n", r.PerfectReg, r.Currency)
	}
	for _, e := range r.Strategies {
		fmt.Fprintf(w, "%-12s %12.2f %s, %.1f %% of it; bought %s, sold %s MWh; %s lost money, the worst %.2f; %s MWh short\n", e.Strategy, e.Value, r.Currency, 100*e.Ratio, e.Bought, e.Sold, plural.Count(e.Losses, "day", "days"), e.Worst, e.Short)
	}
}
