package bid_test

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/platform/market"
	"yunchu/platform/market/bid"
	"yunchu/platform/market/order"
	"yunchu/platform/market/risk"
)

var begin = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func rules(t testing.TB, name string) *order.Rules {
	t.Helper()
	r, err := order.Shipped(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func hourly(order.Product) time.Duration { return time.Hour }

func instants(n int, step time.Duration) []time.Time {
	out := make([]time.Time, n)
	for k := range out {
		out[k] = begin.Add(time.Duration(k) * step)
	}
	return out
}

// TestTakerStaysWithin: whatever the plan, orders are whole lots, and all together they neither
// ask for what is not stored nor for room that is not there; a plan in whole lots is bid as it is.
func TestTakerStaysWithin(t *testing.T) {
	t.Parallel()
	r := rules(t, "day-ahead-hourly")
	rapid.Check(t, func(t *rapid.T) {
		b := risk.Battery{PowerKW: 1000, EnergyKWh: rapid.Float64Range(500, 4000).Draw(t, "kwh"), Efficiency: 0.85}
		plan := make([]bid.Interval, 24)
		stored := 0.0
		for k, at := range instants(24, time.Hour) {
			kw := rapid.Float64Range(-1000, 1000).Draw(t, "kw")
			kw = min(max(kw, -stored), (b.EnergyKWh-stored)/b.Efficiency)
			stored += max(kw, 0)*b.Efficiency - max(-kw, 0)
			plan[k] = bid.Interval{At: at, KW: kw}
		}
		orders, err := bid.Taker(plan, 0, b, r)
		if err != nil {
			t.Fatal(err)
		}
		for i := range orders {
			if wrong := r.Admit(&orders[i], time.Time{}); wrong != nil {
				t.Fatal(wrong)
			}
		}
		ranges, why := b.Envelope(&risk.Position{}, orders, hourly)
		if why != "" {
			t.Fatal(why)
		}
		if n := len(ranges); n > 0 && math.Abs(ranges[n-1].Low-stored) > 1000 {
			t.Fatalf("%v stored where the plan has %v", ranges[n-1].Low, stored)
		}
	})
	at := instants(3, time.Hour)
	orders, err := bid.Taker([]bid.Interval{{At: at[0], KW: 1000, Up: 250}, {At: at[1]}, {At: at[2], KW: -800}}, 0, risk.Battery{PowerKW: 1000, EnergyKWh: 900, Efficiency: 0.85}, rules(t, "day-ahead-96"))
	if err != nil {
		t.Fatal(err)
	}
	var bought, sold, up order.KW
	for _, o := range orders {
		switch {
		case o.Product == order.RegUp:
			up += o.KW
		case o.Side == order.Buy:
			bought += o.KW
		default:
			sold += o.KW
		}
	}
	if len(orders) != 4+1+4 || bought != 4000 || sold != 3200 || up != 200 {
		t.Errorf("of an hourly plan, by quarters: bought %v, sold %v, up %v in %d orders", bought, sold, up, len(orders))
	}
	if _, err := bid.Taker([]bid.Interval{{At: at[0]}, {At: at[0].Add(time.Minute)}}, 0, risk.Battery{}, r); err == nil {
		t.Error("a plan by the minute is bid by the hour")
	}
}

// TestTakerHoldsCapacity: whatever capacity a plan holds, the energy that is traded beside it
// leaves the power and the energy for it, and what cannot be held is not sold; of a plan that can be
// carried out next to nothing is left out.
func TestTakerHoldsCapacity(t *testing.T) {
	t.Parallel()
	r := rules(t, "day-ahead-96")
	length := func(p order.Product) time.Duration { return r.Terms(p).Interval }
	b := risk.Battery{PowerKW: 1000, EnergyKWh: 4000, Efficiency: 0.85, Hold: time.Hour, CalledUp: 0.3, CalledDown: 0.15}
	check := func(t require, plan []bid.Interval, b risk.Battery) (sold order.KW) {
		t.Helper()
		orders, err := bid.Taker(plan, b.StoredKWh, b, r)
		if err != nil {
			t.Fatal(err)
		}
		if _, why := b.Envelope(&risk.Position{}, orders, length); why != "" {
			t.Fatal(why)
		}
		for i := range orders {
			if wrong := r.Admit(&orders[i], time.Time{}); wrong != nil {
				t.Fatal(wrong)
			}
			if orders[i].Product != order.Energy {
				sold += orders[i].KW
			}
		}
		return sold
	}
	rapid.Check(t, func(t *rapid.T) {
		b := b
		b.StoredKWh = rapid.Float64Range(0, 4000).Draw(t, "stored")
		plan := make([]bid.Interval, 24)
		for k, at := range instants(24, time.Hour) {
			draw := rapid.Float64Range(-200, 1000)
			plan[k] = bid.Interval{At: at, KW: rapid.Float64Range(-1000, 1000).Draw(t, "kw"), Up: max(draw.Draw(t, "up"), 0), Down: max(draw.Draw(t, "down"), 0), Reserve: max(draw.Draw(t, "reserve"), 0)}
		}
		check(t, plan, b)
	})
	rng := rand.New(rand.NewPCG(3, 17))
	calls := market.Regulation{Up: true, Down: true, EnergyUp: 0.3, EnergyDown: 0.15, Hours: 1, Balanced: true}
	for range 5 {
		p := market.Prices{Hours: 1}
		for range 24 {
			p.Energy, p.RegUp, p.RegDown = append(p.Energy, 40+25*rng.NormFloat64()), append(p.RegUp, 20*rng.Float64()), append(p.RegDown, 20*rng.Float64())
		}
		best, err := market.Best(t.Context(), market.Battery{PowerMW: 1, EnergyMWh: 4, Efficiency: 0.85, VariableCost: 2}, calls, p)
		if err != nil {
			t.Fatal(err)
		}
		plan, planned := make([]bid.Interval, 24), 0.0
		for k, at := range instants(24, time.Hour) {
			plan[k] = bid.Interval{At: at, KW: 1000 * (best.Charge[k] - best.Discharge[k]), Up: 1000 * (best.UpCharge[k] + best.UpDischarge[k]), Down: 1000 * (best.DownCharge[k] + best.DownDischarge[k])}
			planned += plan[k].Up + plan[k].Down
		}
		if sold := float64(check(t, plan, b)); sold < 0.85*planned {
			t.Errorf("%v kW of capacity sold, of %v planned", sold, planned)
		}
	}
}

// require is what rapid and testing have in common.
type require interface {
	Helper()
	Fatal(args ...any)
}

// forecast of random days.
func forecast(rng *rand.Rand, n int) *bid.Forecast {
	f := &bid.Forecast{At: instants(n, time.Hour), Length: time.Hour, Levels: []float64{0.05, 0.5, 0.95}}
	for range n {
		p := 40 + 25*rng.NormFloat64()
		f.Price = append(f.Price, p)
		f.Quantile = append(f.Quantile, []float64{p - 20, p, p + 20})
	}
	return f
}

// TestQuantilesCoverEveryOutcome: of any part of the orders that is awarded, all can be
// delivered; the orders are the market's, and buys are cheaper than sales.
func TestQuantilesCoverEveryOutcome(t *testing.T) {
	t.Parallel()
	r := rules(t, "day-ahead-hourly")
	some := 0
	rapid.Check(t, func(t *rapid.T) {
		b := risk.Battery{PowerKW: 1000, EnergyKWh: rapid.Float64Range(400, 5000).Draw(t, "kwh"), Efficiency: rapid.Float64Range(0.5, 1).Draw(t, "efficiency")}
		b.StoredKWh = b.EnergyKWh * rapid.Float64Range(0, 1).Draw(t, "stored")
		f := forecast(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)), 24)
		orders, err := bid.Quantiles(f, b, rapid.Float64Range(0, 5).Draw(t, "cost"), r)
		if err != nil {
			t.Fatal(err)
		}
		if _, why := b.Envelope(&risk.Position{}, orders, hourly); why != "" {
			t.Fatal(why)
		}
		for i := range orders {
			if wrong := r.Admit(&orders[i], time.Time{}); wrong != nil {
				t.Fatal(wrong)
			}
		}
		some += len(orders)
	})
	if some < 100 {
		t.Errorf("only %d orders", some)
	}
}

// TestQuantilesSell: what is stored is offered for what it costs to buy again, and for no less.
func TestQuantilesSell(t *testing.T) {
	t.Parallel()
	f := &bid.Forecast{At: instants(4, time.Hour), Length: time.Hour, Price: []float64{20, 30, 60, 25}}
	b := risk.Battery{PowerKW: 1000, EnergyKWh: 1000, Efficiency: 0.8, StoredKWh: 1000}
	orders, err := bid.Quantiles(f, b, 0, rules(t, "day-ahead-hourly"))
	if err != nil || len(orders) != 1 || orders[0].Side != order.Sell || !orders[0].At.Equal(f.At[2]) {
		t.Fatalf("%v, %v", orders, err)
	}
	if orders[0].Limit != order.Near(20) {
		t.Errorf("limit %v", orders[0].Limit)
	}
}

// past of random prices, and a forecast of them that is off.
func past(t testing.TB, rng *rand.Rand, days int) (*bid.Past, *bid.Forecast) {
	f := forecast(rng, 24*days)
	p := &bid.Past{Rules: rules(t, "day-ahead-hourly"), At: f.At, Length: time.Hour}
	for _, x := range f.Price {
		p.Price = append(p.Price, math.Round(1e6*(x+10*rng.NormFloat64()))/1e6)
	}
	return p, f
}

// TestReplayKnowsPrices: whoever knows the prices and moves none of them earns the optimum, to
// the cent; who moves them earns less, and the less the steeper.
func TestReplayKnowsPrices(t *testing.T) {
	t.Parallel()
	p, f := past(t, rand.New(rand.NewPCG(7, 8)), 20)
	f.Price = p.Price
	b := risk.Battery{PowerKW: 1000, EnergyKWh: 4000, Efficiency: 1}
	best, err := market.Backtest(t.Context(), market.Battery{PowerMW: 1, EnergyMWh: 4, Efficiency: 1, VariableCost: 2}, market.Regulation{}, p.At, market.Prices{Hours: 1, Energy: p.Price}, market.Daily)
	if err != nil {
		t.Fatal(err)
	}
	last := math.Inf(1)
	for _, p.Slope = range []float64{0, 0.5, 2, 8} {
		days, err := bid.Replay(t.Context(), p, b, 2, bid.TakerDesk(f, b, 2, p.Rules))
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for k, d := range days {
			if p.Slope == 0 && math.Abs(d.Value()-best[k].Objective) > 1e-6 {
				t.Errorf("%s: %v, the optimum is %v", d.Date, d.Value(), best[k].Objective)
			}
			if d.Short != 0 || math.Abs(d.Stored) > 1e-9 {
				t.Errorf("%s: %v kWh short, %v left", d.Date, d.Short, d.Stored)
			}
			sum += d.Value()
		}
		if sum >= last {
			t.Errorf("with a slope of %v: %v after %v", p.Slope, sum, last)
		}
		last = sum
	}
}

// TestReplayLooksNotAhead: prices and forecasts of later days change no bid of an earlier one.
func TestReplayLooksNotAhead(t *testing.T) {
	t.Parallel()
	run := func(desk string, change bool) []bid.Day {
		p, f := past(t, rand.New(rand.NewPCG(9, 9)), 6)
		if change {
			for k := 24 * 3; k < len(p.Price); k++ {
				p.Price[k] += 33
				if k >= 24*4 { // the forecast of day 4 knows the prices of day 3
					f.Price[k] = 90 - f.Price[k]
					f.Quantile[k] = []float64{0, 10, 500}
				}
			}
		}
		b := risk.Battery{PowerKW: 1000, EnergyKWh: 2000, Efficiency: 0.9}
		d := bid.QuantileDesk(f, b, 1, p.Rules)
		if desk == "taker" {
			d = bid.TakerDesk(f, b, 1, p.Rules)
		}
		days, err := bid.Replay(t.Context(), p, b, 1, d)
		if err != nil {
			t.Fatal(err)
		}
		return days
	}
	for _, desk := range []string{"taker", "quantile"} {
		was, is := run(desk, false), run(desk, true)
		for k := range 4 { // the bids of day 3 were in before its prices came out
			if !reflect.DeepEqual(was[k].Orders, is[k].Orders) {
				t.Errorf("%s: the bids of day %d have changed", desk, k)
			}
		}
		if reflect.DeepEqual(was[5].Orders, is[5].Orders) || reflect.DeepEqual(was[3].Awards, is[3].Awards) {
			t.Errorf("%s: later prices changed nothing at all", desk)
		}
	}
}

// TestReplayRegulation: of what regulation and energy earn together the replay finds what the
// program said, up to lots of 1 kW.
func TestReplayRegulation(t *testing.T) {
	t.Parallel()
	p, f := past(t, rand.New(rand.NewPCG(5, 5)), 5)
	for i := range p.Rules.Products {
		p.Rules.Products[i].LotMW, p.Rules.Products[i].LeastMW = 0.001, 0
	}
	rng := rand.New(rand.NewPCG(1, 6))
	for range p.Price {
		p.RegUp, p.RegDown = append(p.RegUp, 10*rng.Float64()), append(p.RegDown, 10*rng.Float64())
	}
	f.Price = p.Price
	b := risk.Battery{PowerKW: 1000, EnergyKWh: 4000, Efficiency: 0.85, Hold: time.Hour, CalledUp: 0.3, CalledDown: 0.15}
	calls := market.Regulation{Up: true, Down: true, EnergyUp: 0.3, EnergyDown: 0.15, Hours: 1, Balanced: true}
	days, err := bid.Replay(t.Context(), p, b, 2, bid.RegulationDesk(f, p.RegUp, p.RegDown, b, 2, calls, p.Rules))
	if err != nil {
		t.Fatal(err)
	}
	best, err := market.Backtest(t.Context(), market.Battery{PowerMW: 1, EnergyMWh: 4, Efficiency: 0.85, VariableCost: 2}, calls, p.At, market.Prices{Hours: 1, Energy: p.Price, RegUp: p.RegUp, RegDown: p.RegDown}, market.Daily)
	if err != nil {
		t.Fatal(err)
	}
	for k, d := range days {
		b.StoredKWh = 0
		if k > 0 {
			b.StoredKWh = days[k-1].Stored
		}
		if _, why := b.Envelope(&risk.Position{}, d.Orders, hourly); why != "" || d.Short > 0 {
			t.Errorf("%s: %s, %v kWh short", d.Date, why, d.Short)
		}
		if d.Value() > best[k].AtMost+1 || d.Value() < best[k].Objective-5 {
			t.Errorf("%s: %v, the program says %v", d.Date, d.Value(), best[k].Objective)
		}
	}
}

// TestQuantilesOfALargeStore: what a day cannot fill nor empty is as good as without bounds; it takes
// no more work.
func TestQuantilesOfALargeStore(t *testing.T) {
	t.Parallel()
	r := rules(t, "day-ahead-hourly")
	f := forecast(rand.New(rand.NewPCG(4, 4)), 24)
	var want []order.Order
	for _, kwh := range []float64{2e5, 1e9} {
		got, err := bid.Quantiles(f, risk.Battery{PowerKW: 1000, EnergyKWh: kwh, Efficiency: 0.9, StoredKWh: kwh / 2}, 1, r)
		if err != nil || len(got) == 0 {
			t.Fatalf("%v kWh: %v, %v", kwh, got, err)
		}
		if want == nil {
			want = got
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%v kWh: %v\nwant %v", kwh, got, want)
		}
	}
	if got, err := bid.Quantiles(f, risk.Battery{PowerKW: 0.001, EnergyKWh: 1e9, Efficiency: 0.9, StoredKWh: 1e9}, 1, r); err != nil || len(got) != 0 {
		t.Errorf("a watt: %v, %v", got, err)
	}
}
