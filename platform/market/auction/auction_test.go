package auction_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"yunchu/platform/market/auction"
	"yunchu/platform/market/lp"
	"yunchu/platform/market/order"
)

const unit = 1_000_000 // a whole of the currency

func rule(byTime bool, pricing string) auction.Rule {
	return auction.Rule{Floor: -500 * unit, Cap: 4000 * unit, Tick: unit / 100, Lot: 100, ByTime: byTime, Pricing: pricing}
}

func sell(kw order.KW, at float64) order.Order {
	return order.Order{Side: order.Sell, KW: kw, Limit: order.Near(at)}
}

func buy(kw order.KW, at float64) order.Order {
	return order.Order{Side: order.Buy, KW: kw, Limit: order.Near(at)}
}

// TestClear: small markets with their answers worked out by hand.
func TestClear(t *testing.T) {
	t.Parallel()
	anyBuy := order.Order{Side: order.Buy, KW: 500, Limit: order.Any(order.Buy)}
	anySell := order.Order{Side: order.Sell, KW: 500, Limit: order.Any(order.Sell)}
	for _, tt := range []struct {
		name      string
		orders    []order.Order
		byTime    bool
		pricing   string
		price     float64
		volume    order.KW
		fill      []order.KW
		curtailed order.KW
	}{
		{"a seller at the margin", []order.Order{buy(500, 50), sell(300, 10), sell(300, 20)}, false, "midpoint", 20, 500, []order.KW{500, 300, 200}, 0},
		{"several prices clear", []order.Order{buy(500, 50), sell(500, 20), sell(100, 40)}, false, "midpoint", 30, 500, []order.KW{500, 500, 0}, 0},
		{"the highest of them", []order.Order{buy(500, 50), sell(500, 20), sell(100, 40)}, false, "highest", 40, 500, []order.KW{500, 500, 0}, 0},
		{"the lowest of them", []order.Order{buy(500, 50), sell(500, 20), sell(100, 40)}, false, "lowest", 20, 500, []order.KW{500, 500, 0}, 0},
		{"pro rata in lots", []order.Order{buy(400, 50), sell(300, 20), sell(300, 20), sell(200, 20)}, false, "midpoint", 20, 400, []order.KW{400, 200, 100, 100}, 0},
		{"first come", []order.Order{buy(400, 50), sell(300, 20), sell(300, 20), sell(200, 20)}, true, "midpoint", 20, 400, []order.KW{400, 300, 100, 0}, 0},
		{"equal limits trade", []order.Order{buy(400, 20), sell(400, 20)}, false, "midpoint", 20, 400, []order.KW{400, 400}, 0},
		{"nobody agrees", []order.Order{buy(400, 20), sell(400, 21)}, false, "midpoint", 0, 0, []order.KW{0, 0}, 0},
		{"not enough is offered", []order.Order{anyBuy, anyBuy, sell(400, 20)}, false, "midpoint", 4000, 400, []order.KW{200, 200, 400}, 600},
		{"too much is offered", []order.Order{buy(400, 20), anySell, anySell}, true, "midpoint", -500, 400, []order.KW{400, 400, 0}, 600},
		{"nothing", nil, false, "midpoint", 0, 0, nil, 0},
	} {
		r := auction.Clear(tt.orders, rule(tt.byTime, tt.pricing))
		if r.Price != order.Near(tt.price) || r.Volume != tt.volume || r.Traded != (tt.volume > 0) || r.Curtailed != tt.curtailed {
			t.Errorf("%s: %+v", tt.name, r)
		}
		for i, q := range tt.fill {
			if r.Fill[i] != q {
				t.Errorf("%s: filled %v, want %v", tt.name, r.Fill, tt.fill)
				break
			}
		}
	}
}

// TestLargeQuantities: shares of what no network has are exact too.
func TestLargeQuantities(t *testing.T) {
	t.Parallel()
	const huge order.KW = 1e12
	orders := []order.Order{buy(huge, 50), sell(huge, 20), sell(huge, 20), sell(huge-100, 20)}
	r := auction.Clear(orders, rule(false, "midpoint"))
	if r.Volume != huge || r.Fill[1]+r.Fill[2]+r.Fill[3] != huge || r.Fill[1] < huge/3 || r.Fill[1] > huge/3+200 || r.Fill[3] > r.Fill[1] {
		t.Errorf("%+v", r)
	}
	if n := len(auction.Others(50*unit, unit, 100, huge)); n != 20_000 {
		t.Errorf("%d orders of others", n)
	}
}

// drawn is a market of a few prices, so that equal ones are frequent.
func drawn(t *rapid.T) []order.Order {
	n := rapid.IntRange(0, 14).Draw(t, "n")
	out := make([]order.Order, n)
	for i := range out {
		out[i] = order.Order{
			Side: order.Side(rapid.IntRange(0, 1).Draw(t, "side")), KW: order.KW(100 * rapid.IntRange(1, 9).Draw(t, "lots")),
			Limit: order.Price(rapid.IntRange(-3, 9).Draw(t, "price")) * 10 * unit,
		}
		if rapid.IntRange(0, 9).Draw(t, "any") == 0 {
			out[i].Limit = order.Any(out[i].Side)
		}
	}
	return out
}

// TestClearIsFair: as much is bought as sold, nobody trades at a worse price than the limit,
// nobody is left out who would trade at the price, and lots stay whole.
func TestClearIsFair(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		orders := drawn(t)
		r := auction.Clear(orders, rule(rapid.Bool().Draw(t, "by time"), rapid.SampledFrom([]string{"midpoint", "lowest", "highest"}).Draw(t, "pricing")))
		var sum [2]order.KW
		for i, o := range orders {
			sum[o.Side] += r.Fill[i]
			worse := o.Limit < r.Price
			if o.Side == order.Sell {
				worse = o.Limit > r.Price
			}
			switch {
			case r.Fill[i] < 0 || r.Fill[i] > o.KW || r.Fill[i]%100 != 0:
				t.Fatalf("order %d has %v of %v", i, r.Fill[i], o.KW)
			case r.Fill[i] > 0 && worse:
				t.Fatalf("order %d of limit %v trades at %v", i, o.Limit, r.Price)
			case r.Traded && r.Fill[i] < o.KW && !worse && o.Limit != r.Price && !o.Limit.IsAny():
				t.Fatalf("order %d of limit %v is left out at %v", i, o.Limit, r.Price)
			}
		}
		if sum[order.Buy] != r.Volume || sum[order.Sell] != r.Volume {
			t.Fatalf("bought %v, sold %v of %v", sum[order.Buy], sum[order.Sell], r.Volume)
		}
		if r.Traded && (r.Price < r.Low || r.Price > r.High) {
			t.Fatalf("%v is not from %v to %v", r.Price, r.Low, r.High)
		}
	})
}

// TestClearIsOptimal: the welfare is that of the linear program, and its dual is a price that
// clears.
func TestClearIsOptimal(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		var (
			orders []order.Order
			m      lp.Problem
			terms  []lp.Term
		)
		for range 40 {
			o := order.Order{Side: order.Side(rng.IntN(2)), KW: order.KW(100 * (1 + rng.IntN(50))), Limit: order.Near(float64(rng.IntN(8000)) / 100)}
			orders = append(orders, o)
			by := 1.0
			if o.Side == order.Sell {
				by = -1
			}
			terms = append(terms, lp.Term{Var: m.Var(0, o.KW.MW(), -by*o.Limit.Float()), By: by})
		}
		row := m.Row(0, 0, terms...)
		best, err := m.Solve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r := auction.Clear(orders, rule(false, "midpoint"))
		welfare := 0.0
		for i, o := range orders {
			welfare += terms[i].By * o.Limit.Float() * r.Fill[i].MW()
		}
		if math.Abs(welfare+best.Objective) > 1e-6*(1+math.Abs(welfare)) {
			t.Errorf("welfare %v, of the program %v", welfare, -best.Objective)
		}
		if y := -best.Y[row]; y < r.Low.Float()-1e-5 || y > r.High.Float()+1e-5 {
			t.Errorf("the dual is %v, prices that clear are %v to %v", y, r.Low, r.High)
		}
	}
}

// TestRank: Hunan's rule, worked out by hand: K_max is 1.5; the ranking prices are 6·1.5/1.5 =
// 6, 5·1.5/0.75 = 10, 7·1.5/1.2 = 8.75 and 9·1.5/1.35 = 10.
func TestRank(t *testing.T) {
	t.Parallel()
	rules, err := order.Shipped("hunan-regulation")
	if err != nil {
		t.Fatal(err)
	}
	offers := []auction.Offer{
		{Party: "a", KW: 100_000, Price: 6 * unit, Index: 1.5, Storage: true},
		{Party: "b", KW: 100_000, Price: 5 * unit, Index: 0.75},
		{Party: "slow", KW: 100_000, Price: 4 * unit, Index: 0.29},
		{Party: "small", KW: 9_900, Price: 4 * unit, Index: 1.2},
		{Party: "c", KW: 100_000, Price: 7 * unit, Index: 1.2, Storage: true},
		{Party: "d", KW: 100_000, Price: 9 * unit, Index: 1.35, Storage: true},
		{Party: "e", KW: 10_000, Price: 10 * unit, Index: 1},
	}
	r := auction.Rank(offers, 200_000, *rules.Ranking)
	// A unit has 40 MW at most, storage 80 MW: a and c take it all, of equal d and b the better
	// index comes first and finds nothing left.
	want := []order.KW{40_000, 40_000, 0, 0, 40_000, 0, 10_000}
	for i, q := range want {
		if r.Fill[i] != q {
			t.Errorf("%s has %v MW, want %v", offers[i].Party, r.Fill[i], q)
		}
	}
	if r.Price != 15*unit || r.Short != 70_000 || r.Ranking[4] != 8_750_000 || r.Ranking[2] != 0 {
		t.Errorf("%+v", r)
	}
	rules.Ranking.Price = "offer"
	if r := auction.Rank(offers, 200_000, *rules.Ranking); r.Price != 10*unit {
		t.Errorf("the highest offer is %v", r.Price)
	}
}

func BenchmarkClear(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	orders := make([]order.Order, 1000)
	for i := range orders {
		orders[i] = order.Order{Side: order.Side(rng.IntN(2)), KW: order.KW(100 * (1 + rng.IntN(50))), Limit: order.Near(float64(rng.IntN(8000)) / 100)}
	}
	r := rule(false, "midpoint")
	for b.Loop() {
		auction.Clear(orders, r)
	}
}

// TestClearOrderAndParts: in which order others came, and whether somebody bids in one order or in
// parts of it, changes neither price nor volume, nor what a party has in all but for lots at the
// margin.
func TestClearOrderAndParts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		orders := drawn(t)
		r := rule(false, "midpoint")
		whole := auction.Clear(orders, r)
		var parts []order.Order
		var owner []int
		for i, o := range orders {
			for o.KW > 0 {
				q := order.KW(100 * rapid.IntRange(1, int(o.KW/100)).Draw(t, "lots"))
				parts, owner = append(parts, order.Order{Side: o.Side, KW: q, Limit: o.Limit}), append(owner, i)
				o.KW -= q
			}
		}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		rng.Shuffle(len(parts), func(i, k int) {
			parts[i], parts[k], owner[i], owner[k] = parts[k], parts[i], owner[k], owner[i]
		})
		cut := auction.Clear(parts, r)
		if cut.Price != whole.Price || cut.Volume != whole.Volume || cut.Low != whole.Low || cut.High != whole.High || cut.Curtailed != whole.Curtailed {
			t.Fatalf("%+v\nin parts %+v", whole, cut)
		}
		got := make([]order.KW, len(orders))
		for k, q := range cut.Fill {
			got[owner[k]] += q
		}
		for i, o := range orders {
			margin := o.Limit == whole.Price || o.Limit == whole.Low || o.Limit == whole.High || o.Limit.IsAny()
			if got[i] != whole.Fill[i] && !margin {
				t.Fatalf("order %d has %v, in parts %v", i, whole.Fill[i], got[i])
			}
		}
	})
}

// TestRankKeepsShares: the demand is met or told to be short, storage and units keep to their
// shares, nobody who is not admitted has anything, and nobody is passed over who ranks better than
// the last that is awarded and has room left.
func TestRankKeepsShares(t *testing.T) {
	t.Parallel()
	rules, err := order.Shipped("hunan-regulation")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		offers := make([]auction.Offer, rapid.IntRange(0, 12).Draw(t, "n"))
		for i := range offers {
			offers[i] = auction.Offer{
				KW: order.KW(1000 * rapid.IntRange(5, 120).Draw(t, "mw")), Price: order.Price(rapid.IntRange(40, 150).Draw(t, "price")) * unit / 10,
				Index: float64(rapid.IntRange(10, 200).Draw(t, "k")) / 100, Storage: rapid.Bool().Draw(t, "storage"),
			}
		}
		demand := order.KW(1000 * rapid.IntRange(10, 600).Draw(t, "demand"))
		r := auction.Rank(offers, demand, *rules.Ranking)
		sum, storage, last := order.KW(0), order.KW(0), order.Price(0)
		for i, q := range r.Fill {
			sum += q
			if offers[i].Storage {
				storage += q
			}
			if q > 0 {
				last = max(last, r.Ranking[i])
			}
			if admitted := offers[i].Index >= 0.3 && offers[i].KW >= 10_000; q < 0 || q > offers[i].KW || 5*q > demand || q > 0 && !admitted || admitted != (r.Ranking[i] > 0) {
				t.Fatalf("offer %+v has %v of %v", offers[i], q, demand)
			}
		}
		if sum+r.Short != demand || 5*storage > 2*demand || r.Price != last {
			t.Fatalf("%v of %v, storage %v, paid %v, last %v", sum, demand, storage, r.Price, last)
		}
		for i, q := range r.Fill {
			full := q == offers[i].KW || 5*q == demand || offers[i].Storage && 5*storage == 2*demand
			if r.Ranking[i] > 0 && r.Ranking[i] < last && !full {
				t.Fatalf("offer %+v ranks at %v before %v and has %v", offers[i], r.Ranking[i], last, q)
			}
		}
	})
}
