package bid

import (
	"context"
	"fmt"
	"math"
	"math/big"
	"time"

	"yunchu/platform/market"
	"yunchu/platform/market/auction"
	"yunchu/platform/market/order"
	"yunchu/platform/market/risk"
)

// Past are the prices that a market came to, of consecutive deliveries, and how far it moves.
type Past struct {
	Rules          *order.Rules
	At             []time.Time
	Length         time.Duration
	Price          []float64 // of energy, per MWh
	RegUp, RegDown []float64 // per MW and hour; nil: not traded
	Slope          float64   // what a MW that is sold or bought besides moves the price by, per MWh
}

// Desk bids for a day, from what it knows by then: stored is what the battery will hold at its
// begin, kWh. from and to are the deliveries of the day.
type Desk func(ctx context.Context, from, to int, stored float64) ([]order.Order, error)

// Day is what a day came to.
type Day struct {
	Date   string
	Orders []order.Order
	Awards []order.Award // one for each product and delivery, nothing awarded included
	Earned *big.Rat      // exact, of the awards
	Cost   float64       // variable cost of what was sold
	// Called is what energy that regulation calls on average is worth.
	Called float64
	Stored float64 // at the end, kWh
	// Short is what of the awards the battery could not do, kWh.
	Short float64
}

// Value is what the day is worth.
func (d *Day) Value() float64 {
	x, _ := d.Earned.Float64()
	return x - d.Cost + d.Called
}

// Replay lets a desk bid day after day. Each delivery is cleared as an auction with the orders of
// all others, who clear at the known price by themselves (see [auction.Others]); capacity is paid
// its known price. The battery begins with what it has stored, and ends each day where the awards
// leave it.
func Replay(ctx context.Context, p *Past, b risk.Battery, variableCost float64, desk Desk) ([]Day, error) {
	var out []Day
	stored := b.StoredKWh
	for from := 0; from < len(p.At); {
		_, end := p.Rules.Begin(p.At[from])
		to := from + 1
		for to < len(p.At) && p.At[to].Before(end) {
			to++
		}
		orders, err := desk(ctx, from, to, stored)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.At[from].Format(time.DateOnly), err)
		}
		d := Day{Date: p.At[from].In(p.Rules.Location()).Format(time.DateOnly), Orders: orders, Earned: new(big.Rat)}
		for k := from; k < to; k++ {
			stored = p.clear(&d, k, orders, b, variableCost, stored)
		}
		d.Stored = stored
		out = append(out, d)
		from = to
	}
	return out, nil
}

// clear clears delivery k, and returns what is stored after it.
func (p *Past) clear(d *Day, k int, orders []order.Order, b risk.Battery, variableCost, stored float64) float64 {
	t := p.Rules.Terms(order.Energy)
	rule := auction.RuleOf(p.Rules, t)
	var ours []order.Order
	sum, up, down := order.KW(0), 0.0, 0.0
	for i := range orders {
		if !orders[i].At.Equal(p.At[k]) {
			continue
		}
		switch orders[i].Product {
		case order.Energy:
			ours = append(ours, orders[i])
			sum += orders[i].KW
		case order.RegUp:
			up += float64(orders[i].KW)
			d.award(p, k, order.RegUp, order.Sell, orders[i].KW, p.RegUp[k])
		case order.RegDown:
			down += float64(orders[i].KW)
			d.award(p, k, order.RegDown, order.Sell, orders[i].KW, p.RegDown[k])
		}
	}
	lot := t.Lot()
	price := order.Near(p.Price[k])
	rule.Floor, rule.Cap = min(rule.Floor, price), max(rule.Cap, price) // it was what it was
	others := auction.Others(price, order.Near(p.Slope), lot, sum+2*lot)
	n := len(ours)
	r := auction.Clear(append(ours, others...), rule)
	bought := order.KW(0)
	for i := range n {
		if ours[i].Side == order.Buy {
			bought += r.Fill[i]
		} else {
			bought -= r.Fill[i]
		}
	}
	net := float64(bought)
	a := r.Award(t, p.At[k], bought)
	d.Awards = append(d.Awards, a)
	d.Earned.Add(d.Earned, a.Earns())

	hours := p.Length.Hours()
	m := b.Moves(net, up, down)
	d.Called += r.Price.Float() * m.Given / 1000 * hours
	d.Cost += variableCost * m.Out / 1000 * hours
	stored += hours * b.Stores(m)
	if off := max(-stored, stored-b.EnergyKWh); off > slack {
		d.Short += off
		stored = math.Min(math.Max(stored, 0), b.EnergyKWh)
	}
	return stored
}

// slack is what rounding may leave, kWh.
const slack = 1e-6

func (d *Day) award(p *Past, k int, product order.Product, side order.Side, kw order.KW, price float64) {
	a := order.Award{At: p.At[k], Length: p.Length, Product: product, Side: side, KW: kw, Price: order.Near(price)}
	d.Awards = append(d.Awards, a)
	d.Earned.Add(d.Earned, a.Earns())
}

// Part is the forecast of the deliveries from, to, the last one left out.
func (f *Forecast) Part(from, to int) *Forecast {
	out := &Forecast{At: f.At[from:to], Length: f.Length, Price: f.Price[from:to], Levels: f.Levels}
	if f.Quantile != nil {
		out.Quantile = f.Quantile[from:to]
	}
	return out
}

// By is the forecast by shorter deliveries, which divide its own: each has the price of the one that it
// is a part of.
func (f *Forecast) By(length time.Duration) *Forecast {
	if length >= f.Length {
		return f
	}
	out := &Forecast{Length: length, Levels: f.Levels}
	for k, at := range f.At {
		for d := time.Duration(0); d < f.Length; d += length {
			out.At, out.Price = append(out.At, at.Add(d)), append(out.Price, f.Price[k])
			if f.Quantile != nil {
				out.Quantile = append(out.Quantile, f.Quantile[k])
			}
		}
	}
	return out
}

// TakerDesk bids, each day, the plan that is best at the middle of a forecast, at any price: from
// empty to empty, up to what lots leave.
func TakerDesk(f *Forecast, b risk.Battery, variableCost float64, r *order.Rules) Desk {
	return func(ctx context.Context, from, to int, stored float64) ([]order.Order, error) {
		return plannedDay(ctx, f, nil, nil, from, to, stored, b, variableCost, market.Regulation{}, r)
	}
}

// RegulationDesk plans energy and regulation together, each day, at forecasts of all their
// prices, and bids both at any price.
func RegulationDesk(f *Forecast, up, down []float64, b risk.Battery, variableCost float64, calls market.Regulation, r *order.Rules) Desk {
	return func(ctx context.Context, from, to int, stored float64) ([]order.Order, error) {
		return plannedDay(ctx, f, up, down, from, to, stored, b, variableCost, calls, r)
	}
}

func plannedDay(ctx context.Context, f *Forecast, up, down []float64, from, to int, stored float64, b risk.Battery, variableCost float64, calls market.Regulation, r *order.Rules) ([]order.Order, error) {
	prices := market.Prices{Hours: f.Length.Hours(), Energy: f.Price[from:to]}
	if calls.Up {
		prices.RegUp = up[from:to]
	}
	if calls.Down {
		prices.RegDown = down[from:to]
	}
	plan, err := market.Best(ctx, market.Battery{PowerMW: b.PowerKW / 1000, EnergyMWh: b.EnergyKWh / 1000, Efficiency: b.Efficiency, VariableCost: variableCost}, calls, prices)
	if err != nil {
		return nil, err
	}
	list := make([]Interval, to-from)
	for k := range list {
		list[k] = Interval{
			At: f.At[from+k], KW: clean(plan.Charge[k] - plan.Discharge[k]),
			Up: clean(plan.UpCharge[k] + plan.UpDischarge[k]), Down: clean(plan.DownCharge[k] + plan.DownDischarge[k]),
		}
	}
	b.StoredKWh = stored
	if calls.Up || calls.Down {
		target := make([]float64, len(plan.Stored))
		for k, mwh := range plan.Stored {
			target[k] = mwh * 1000
		}
		b.Hold, b.CalledUp, b.CalledDown = time.Duration(calls.Hours*float64(time.Hour)), calls.EnergyUp, calls.EnergyDown
		return joint(list, target, b, r)
	}
	return Taker(list, 0, b, r)
}

// clean is a power in kW, of MW; what a solver leaves behind is none.
func clean(mw float64) float64 { return math.Round(mw*1e6) / 1e3 }

// QuantileDesk bids, each day, by [Quantiles].
func QuantileDesk(f *Forecast, b risk.Battery, variableCost float64, r *order.Rules) Desk {
	return func(_ context.Context, from, to int, stored float64) ([]order.Order, error) {
		b := b
		b.StoredKWh = stored
		return Quantiles(f.Part(from, to), b, variableCost, r)
	}
}
