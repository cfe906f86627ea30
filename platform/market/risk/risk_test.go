package risk_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/platform/market/lp"
	"yunchu/platform/market/order"
	"yunchu/platform/market/risk"
)

var day = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func at(hour int) time.Time { return day.Add(time.Duration(hour) * time.Hour) }

func hourly(order.Product) time.Duration { return time.Hour }

// TestTail: the published formula minimises ζ + E[(loss − ζ)+]/(1 − α) over ζ, and that is what
// the linear program of Rockafellar and Uryasev finds.
func TestTail(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for _, confidence := range []float64{0, 0.5, 0.9, 0.95, 0.99} {
		losses := make([]float64, 37)
		for i := range losses {
			losses[i] = math.Round(rng.NormFloat64() * 100)
		}
		var m lp.Problem
		zeta := m.Var(-1e4, 1e4, 1)
		for _, l := range losses {
			z := m.Var(0, math.Inf(1), 1/((1-confidence)*float64(len(losses))))
			m.Row(l, math.Inf(1), lp.Term{Var: z, By: 1}, lp.Term{Var: zeta, By: 1})
		}
		s, err := m.Solve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		v, c, err := risk.Tail(losses, confidence)
		if err != nil || math.Abs(c-s.Objective) > 1e-5 || v > c+1e-9 || !slices.Contains(losses, v) {
			t.Errorf("at %v: VaR %v, CVaR %v, of the program %v, %v", confidence, v, c, s.Objective, err)
		}
	}
	if v, c, _ := risk.Tail([]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 0.75); v != 8 || math.Abs(c-9.2) > 1e-12 {
		t.Errorf("1 to 10 at 0.75: %v and %v, want 8 and 9.2", v, c) // (0.5·8 + 9 + 10)/2.5
	}
	if _, _, err := risk.Tail(nil, 0.95); err == nil {
		t.Error("a risk without scenarios")
	}
}

// TestEnvelopeHoldsEveryOutcome: whatever part of orders trades, the battery stays within the
// envelope; and both of its ends are reached by one of the outcomes.
func TestEnvelopeHoldsEveryOutcome(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := risk.Battery{PowerKW: 1000, EnergyKWh: 1e6, Efficiency: 0.85, StoredKWh: 5e5}
		orders := make([]order.Order, rapid.IntRange(1, 9).Draw(t, "n"))
		for i := range orders {
			side := order.Side(rapid.IntRange(0, 1).Draw(t, "side"))
			orders[i] = order.Order{At: at(rapid.IntRange(0, 3).Draw(t, "hour")), Product: order.Energy, Side: side, KW: order.KW(rapid.IntRange(1, 900).Draw(t, "kw"))}
			if rapid.Bool().Draw(t, "sure") {
				orders[i].Limit = order.Any(side)
			}
		}
		ranges, _ := b.Envelope(&risk.Position{}, orders, hourly)
		last := ranges[len(ranges)-1]
		lowest, highest := math.Inf(1), math.Inf(-1)
		for outcome := range 1 << len(orders) {
			net := map[int64]float64{}
			possible := true
			for i, o := range orders {
				if outcome>>i&1 == 0 {
					possible = possible && !o.Limit.IsAny()
					continue
				}
				kw := float64(o.KW)
				if o.Side == order.Sell {
					kw = -kw
				}
				net[o.At.Unix()] += kw
			}
			if !possible {
				continue
			}
			stored := b.StoredKWh
			for _, kw := range net {
				stored += max(kw, 0)*b.Efficiency - max(-kw, 0)
			}
			lowest, highest = min(lowest, stored), max(highest, stored)
		}
		if math.Abs(lowest-last.Low) > 1e-6 || math.Abs(highest-last.High) > 1e-6 {
			t.Fatalf("outcomes end from %v to %v, the envelope says %v to %v", lowest, highest, last.Low, last.High)
		}
	})
}

// TestTrade: each limit is broken by its name, with its number and by the order that does it.
func TestTrade(t *testing.T) {
	t.Parallel()
	rules, err := order.Shipped("day-ahead-hourly")
	if err != nil {
		t.Fatal(err)
	}
	buy := func(hour int, kw order.KW, limit float64) order.Order {
		return order.Order{At: at(hour), Product: order.Energy, Side: order.Buy, KW: kw, Limit: order.Near(limit)}
	}
	sell := func(hour int, kw order.KW, limit float64) order.Order {
		o := buy(hour, kw, limit)
		o.Side = order.Sell
		return o
	}
	sure := func(o order.Order) order.Order { o.Limit = order.Any(o.Side); return o }
	battery := func() *risk.Battery {
		return &risk.Battery{PowerKW: 1000, EnergyKWh: 2000, Efficiency: 0.8, Hold: time.Hour}
	}
	fifty := 50.0
	var held risk.Position
	held.Add(risk.DayAhead, at(3), order.Energy, order.Buy, 700)
	for _, tt := range []struct {
		name   string
		limits risk.Limits
		orders []order.Order
		losses []float64
		want   string // limit:order:value
	}{
		{"all is well", risk.Limits{SoC: "all", Battery: battery(), OrderMW: 1, DayMWh: 4}, []order.Order{sure(buy(0, 1000, 0)), sell(1, 800, 60)}, nil, ""},
		{"one order", risk.Limits{SoC: "off", OrderMW: 1}, []order.Order{buy(0, 1000, 1), buy(1, 1100, 1)}, nil, "order_mw:1:1.1"},
		{"a delivery, with what is held", risk.Limits{SoC: "off", PositionMW: 1}, []order.Order{buy(3, 200, 1), buy(3, 200, 1), buy(3, 200, 1)}, nil, "position_mw:1:1.1"},
		{"a day, with what is held", risk.Limits{SoC: "off", DayMWh: 2}, []order.Order{buy(0, 1000, 1), sell(1, 400, 1)}, nil, "day_mwh:1:2.1"},
		{"credit", risk.Limits{SoC: "off", Spend: 100}, []order.Order{buy(0, 1000, 50), buy(1, 1000, 60)}, nil, "spend:1:110"},
		{"any price costs the cap", risk.Limits{SoC: "off", Spend: 100}, []order.Order{sure(buy(0, 1000, 0))}, nil, "spend:0:4000"},
		{"too dear", risk.Limits{SoC: "off", BuyAtMost: &fifty}, []order.Order{buy(0, 100, 50), buy(0, 100, 50.01)}, nil, "buy_at_most:1:50.01"},
		{"too cheap", risk.Limits{SoC: "off", SellAtLeast: &fifty}, []order.Order{sell(0, 100, 49.99)}, nil, "sell_at_least:0:49.99"},
		{"a sale that nothing is stored for", risk.Limits{SoC: "all", Battery: battery()}, []order.Order{buy(0, 1000, 30), sell(1, 800, 60)}, nil, "soc:-1:0"},
		{"all at once it would be", risk.Limits{SoC: "awarded", Battery: battery()}, []order.Order{buy(0, 1000, 30), sell(1, 800, 60)}, nil, ""},
		{"no room where nothing is sold", risk.Limits{SoC: "all", Battery: battery()}, []order.Order{sure(buy(0, 1000, 0)), sell(1, 800, 60), sure(buy(2, 1000, 0)), sure(buy(4, 1000, 0))}, nil, "soc:-1:0"},
		{"more power than there is", risk.Limits{SoC: "all", Battery: battery()}, []order.Order{buy(0, 1100, 1)}, nil, "soc:-1:0"},
		{"capacity that is empty", risk.Limits{SoC: "all", Battery: battery()}, []order.Order{{At: at(0), Product: order.RegUp, Side: order.Sell, KW: 100}}, nil, "soc:-1:0"},
		{"VaR", risk.Limits{SoC: "off", Confidence: 0.5, VaR: 10}, nil, []float64{1, 20, 30, 2}, ""},
		{"CVaR", risk.Limits{SoC: "off", Confidence: 0.5, CVaR: 24}, nil, []float64{1, 20, 30, 2}, "cvar:-1:25"},
	} {
		r := tt.limits.Trade(rules, &held, tt.orders, tt.losses)
		got := ""
		if len(r.Breaches) > 0 {
			b := r.Breaches[0]
			got = b.Limit + ":" + itoa(b.Order) + ":" + ftoa(b.Value)
			if len(r.Breaches) > 1 || !strings.HasPrefix(b.Msg, b.Limit) {
				t.Errorf("%s: %v", tt.name, r.Breaches)
			}
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestPosition: what was traded at the gates adds up, and what was not delivered is open.
func TestPosition(t *testing.T) {
	t.Parallel()
	var p risk.Position
	p.Add(risk.DayAhead, at(1), order.Energy, order.Sell, 500)
	p.Add(risk.Intraday, at(1), order.Energy, order.Buy, 200)
	p.Add(risk.DayAhead, at(0), order.Energy, order.Buy, 100)
	p.Add(risk.Delivered, at(1), order.Energy, order.Sell, 250)
	lines := p.Lines()
	if len(lines) != 2 || !lines[0].At.Equal(at(0)) || lines[1].Net() != -300 || lines[1].Open() != -50 || p.Net(at(1), order.Energy) != -300 || p.Net(at(1), order.RegUp) != 0 {
		t.Errorf("%+v", lines)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

func ftoa(x float64) string { return strconv.FormatFloat(x, 'g', 6, 64) }
