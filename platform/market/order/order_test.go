package order_test

import (
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/platform/market/order"
)

// TestExact: a decimal is read as what it says and written as it was; what is finer than a price
// or a quantity can be is refused.
func TestExact(t *testing.T) {
	t.Parallel()
	for x, want := range map[float64]order.Price{33.310910: 33_310_910, -0.5: -500_000, 0.1: 100_000, 4000: 4_000_000_000, -500.000001: -500_000_001} {
		if p, ok := order.Of(x); !ok || p != want {
			t.Errorf("%v is %v, %v", x, p, ok)
		}
	}
	tenth := 0.1
	for _, x := range []float64{0.0000001, math.Inf(1), math.NaN(), 1e300, tenth + 2*tenth} {
		if p, ok := order.Of(x); ok {
			t.Errorf("%v is %v", x, p)
		}
	}
	if q, ok := order.OfMW(1.25); !ok || q != 1250 || q.String() != "1.25" || q.MW() != 1.25 {
		t.Errorf("1.25 MW is %v, %v", q, ok)
	}
	for _, x := range []float64{1e10, -1e10, 0.0001} {
		if q, ok := order.OfMW(x); ok {
			t.Errorf("%v MW is %v", x, q)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		p := order.Price(rapid.Int64Range(-1e12, 1e12).Draw(t, "p"))
		if back, ok := order.Of(p.Float()); !ok || back != p || order.Near(p.Float()) != p {
			t.Fatalf("%v is read as %v, %v", p, back, ok)
		}
	})
	// A third of a MWh at 0.01: no cent is lost on the way.
	a := order.Award{KW: 1000, Length: 20 * time.Minute, Price: 10_000, Side: order.Buy}
	if a.Earns().Cmp(big.NewRat(-1, 300)) != 0 {
		t.Errorf("it earns %v", a.Earns())
	}
}

// TestAdmit: an order that breaks a rule is told by the column that does.
func TestAdmit(t *testing.T) {
	t.Parallel()
	r, err := order.Shipped("day-ahead-96")
	if err != nil {
		t.Fatal(err)
	}
	midnight := time.Date(2026, 2, 28, 16, 0, 0, 0, time.UTC) // in Shanghai
	good := order.Order{At: midnight.Add(15 * time.Minute), Product: order.Energy, Side: order.Sell, KW: 500, Limit: 300_010_000}
	open := midnight.Add(-16 * time.Hour) // eight in the morning of the day before; nine is the end
	for _, tt := range []struct {
		column string
		change func(*order.Order)
		now    time.Time
	}{
		{"", func(*order.Order) {}, open},
		{"", func(o *order.Order) { o.Limit = order.Any(o.Side) }, open},
		{"", func(o *order.Order) { o.Product, o.At = order.RegUp, midnight }, time.Time{}},
		{"product", func(o *order.Order) { o.Product = "hydrogen" }, open},
		{"time", func(o *order.Order) { o.At = midnight.Add(time.Minute) }, open},
		{"time", func(o *order.Order) { o.Product = order.RegUp }, open}, // by the hour
		{"time", func(*order.Order) {}, open.Add(time.Hour)},
		{"side", func(o *order.Order) { o.Product, o.At, o.Side = order.Reserve, midnight, order.Buy }, open},
		{"quantity_mw", func(o *order.Order) { o.KW = 0 }, open},
		{"quantity_mw", func(o *order.Order) { o.KW = 550 }, open},
		{"price_per_mwh", func(o *order.Order) { o.Limit++ }, open},
		{"price_per_mwh", func(o *order.Order) { o.Limit = 1_500_010_000 }, open},
		{"price_per_mwh", func(o *order.Order) { o.Limit = -100_010_000 }, open},
	} {
		o := good
		tt.change(&o)
		got := ""
		if b := r.Admit(&o, tt.now); b != nil {
			got = b.Column
		}
		if got != tt.column {
			t.Errorf("%+v at %v: %q, want %q", o, tt.now, got, tt.column)
		}
	}
	buy := order.Order{Side: order.Buy, Product: order.Energy, Limit: 10}
	sell := order.Order{Side: order.Sell, Product: order.Energy, Limit: 10}
	dear := order.Order{Side: order.Sell, Product: order.Energy, Limit: 11}
	taker := order.Order{Side: order.Buy, Product: order.Energy, Limit: order.Any(order.Buy)}
	for _, tt := range []struct {
		curve []order.Order
		good  bool
	}{{nil, true}, {[]order.Order{buy, dear}, true}, {[]order.Order{buy, sell}, false}, {[]order.Order{taker}, true}, {[]order.Order{taker, dear}, false}, {make([]order.Order, 201), true}} {
		if len(tt.curve) > 2 {
			for i := range tt.curve {
				tt.curve[i] = buy
			}
			tt.good = false
		}
		if b := r.AdmitCurve(tt.curve); (b == nil) != tt.good {
			t.Errorf("a curve of %d: %v", len(tt.curve), b)
		}
	}
}

// TestDays: the days of a market have 23 and 25 hours when the clock is moved.
func TestDays(t *testing.T) {
	t.Parallel()
	r, err := order.Shipped("day-ahead-hourly")
	if err != nil {
		t.Fatal(err)
	}
	r.Zone = "Europe/Berlin"
	if wrong := r.Check(); len(wrong) > 0 {
		t.Fatal(wrong)
	}
	for date, hours := range map[string]float64{"2026-03-28": 24, "2026-03-29": 23, "2026-10-25": 25} {
		noon, _ := time.Parse("2006-01-02T15", date+"T12")
		from, to := r.Begin(noon)
		if to.Sub(from).Hours() != hours {
			t.Errorf("%s has %v", date, to.Sub(from))
		}
		last := order.Order{At: to.Add(-time.Hour), Product: order.Energy, KW: 100}
		if b := r.Admit(&last, time.Time{}); b != nil {
			t.Errorf("the last hour of %s: %v", date, b)
		}
	}
	summer := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	if c := r.Closes(summer); !c.Equal(time.Date(2026, 6, 30, 10, 0, 0, 0, time.UTC)) { // noon, two hours ahead
		t.Errorf("the book closes at %v", c)
	}
}

// TestCheck: what rules cannot mean is told by its key.
func TestCheck(t *testing.T) {
	t.Parallel()
	for key, change := range map[string]func(*order.Rules){
		"name":                   func(r *order.Rules) { r.Name = "" },
		"currency":               func(r *order.Rules) { r.Currency = "" },
		"time_zone":              func(r *order.Rules) { r.Zone = "Berlin" },
		"gate.at":                func(r *order.Rules) { r.Gate.At = "25:00" },
		"margin":                 func(r *order.Rules) { r.Margin = "luck" },
		"pricing":                func(r *order.Rules) { r.Pricing = "mine" },
		"products":               func(r *order.Rules) { r.Products = nil },
		"products[0].product":    func(r *order.Rules) { r.Products[0].Product = "x" },
		"products[1].product":    func(r *order.Rules) { r.Products[1].Product = r.Products[0].Product },
		"products[0].interval":   func(r *order.Rules) { r.Products[0].Interval = 7 * time.Minute },
		"products[0].tick":       func(r *order.Rules) { r.Products[0].Tick = 0 },
		"products[0].lot_mw":     func(r *order.Rules) { r.Products[0].LotMW = 0.0001 },
		"products[0].cap":        func(r *order.Rules) { r.Products[0].Cap = r.Products[0].Floor },
		"products[0].most_steps": func(r *order.Rules) { r.Products[0].Steps = 0 },
		"ranking.price":          func(r *order.Rules) { r.Ranking = &order.Ranking{} },
	} {
		r, err := order.Shipped("day-ahead-hourly")
		if err != nil {
			t.Fatal(err)
		}
		change(r)
		if wrong := r.Check(); len(wrong) != 1 || wrong[0].Key != key {
			t.Errorf("%s: %v", key, wrong)
		}
	}
	if _, err := order.Shipped("nowhere"); err == nil || !strings.Contains(err.Error(), "day-ahead-hourly") {
		t.Errorf("rules that are not there: %v", err)
	}
}
