package plan_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"yunchu/platform/market/plan"
)

// TestRollSells: capacity that always pays is sold in all intervals, however the plans follow on each other.
func TestRollSells(t *testing.T) {
	flat, price := make([]float64, 24), make([]float64, 24)
	for k := range price {
		flat[k], price[k] = 30, 5
	}
	p := day(flat)
	b := &p.Sites[0].Battery
	b.In, b.Out, b.VariableCost, b.Start, b.End = 1, 1, 1, 2, plan.End{Least: 2, Most: 2}
	p.Products = []plan.Product{{Name: "reserve", Up: true, Price: price, Hours: 1, MostMW: math.Inf(1)}}
	once := solved(t, &p)
	for _, r := range []plan.Rolling{{Every: 4, Horizon: 6}, {Every: 6, Horizon: 6}, {Every: 5, Horizon: 12}, {Every: 3, Horizon: 9}} {
		r.Known = r.Horizon
		again, err := plan.Roll(t.Context(), &p, &p, r)
		if err != nil {
			t.Fatal(err)
		}
		m, err := p.Settle(t.Context(), again)
		if err != nil {
			t.Fatal(err)
		}
		if m.Sum() < 0.95*once.Value || m.Sum() > once.AtMost+1e-5 { // the ends of horizons cost something
			t.Errorf("planned every %d of %d: %v of %v", r.Every, r.Horizon, m.Sum(), once.Value)
		}
	}
}

// capacity is a day of hours with energy and two products, as it is expected and as it comes: elsewhere, at random.
func capacity(n int, seed uint64) (expected, came plan.Portfolio) {
	rng := rand.New(rand.NewPCG(seed, 9))
	off := func(list []float64, by float64) []float64 {
		out := slices.Clone(list)
		for t := range out {
			out[t] += by * rng.NormFloat64()
		}
		return out
	}
	up, reserve := off(make([]float64, n), 4), off(make([]float64, n), 3)
	for t := range n {
		up[t], reserve[t] = math.Abs(up[t])+2, math.Abs(reserve[t])+1
	}
	at := func(energy, up, reserve []float64) plan.Portfolio {
		p := day(energy)
		b := &p.Sites[0].Battery
		b.VariableCost, b.Start, b.End = 1, 2, plan.End{Least: 2, Most: 2}
		p.Products = []plan.Product{
			{Name: "regup", Up: true, Price: up, Called: 0.2, Hours: 1, MostMW: math.Inf(1)},
			{Name: "reserve", Up: true, Price: reserve, Hours: 2, MostMW: math.Inf(1)},
		}
		return p
	}
	energy := wave(n, seed)
	return at(energy, up, reserve), at(off(energy, 15), off(up, 4), off(reserve, 4))
}

func rolled(t *testing.T, expected, came *plan.Portfolio, r plan.Rolling) *plan.Plan {
	t.Helper()
	out, err := plan.Roll(t.Context(), expected, came, r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestRollKnows: with all that comes known, planning again and again is planning with what comes, capacity as energy.
func TestRollKnows(t *testing.T) {
	for seed := range uint64(2) {
		expected, came := capacity(12, seed)
		best := solved(t, &came)
		m, err := came.Settle(t.Context(), rolled(t, &expected, &came, plan.Rolling{Every: 12, Horizon: 12, Known: 12}))
		if err != nil {
			t.Fatal(err)
		}
		near(t, "with all known", m.Sum(), best.Value, 1e-6)
	}
}

// TestRollForeseesNothing: what comes later than is known changes nothing of what has been done and sold until then.
func TestRollForeseesNothing(t *testing.T) {
	const n = 10
	for k, r := range []plan.Rolling{{Every: 1, Horizon: 6, Known: 1}, {Every: 2, Horizon: 5, Known: 4}, {Every: 3, Horizon: 6}, {Every: 4, Horizon: 10, Known: 6}} {
		r.Keep = 0.9
		expected, came := capacity(n, uint64(k))
		was := rolled(t, &expected, &came, r)
		for later := 0; later < n; later += 2 {
			_, other := capacity(n, uint64(100+later))
			for _, x := range [][2][]float64{
				{other.Sites[0].Buy, came.Sites[0].Buy}, {other.Products[0].Price, came.Products[0].Price}, {other.Products[1].Price, came.Products[1].Price},
			} {
				copy(x[0][:later], x[1])
			}
			is := rolled(t, &expected, &other, r)
			done, sold := 0, 0 // before these intervals all was decided before anything was other
			for from := 0; from < n && from+r.Known <= later; from += r.Every {
				if done = min(n, from+r.Every); sold < done {
					sold = min(n, from+r.Horizon)
				}
			}
			a, b := &was.Sites[0], &is.Sites[0]
			for name, x := range map[string][2][]float64{
				"charge": {a.Charge[:done], b.Charge[:done]}, "discharge": {a.Discharge[:done], b.Discharge[:done]}, "stored": {a.Stored[:done+1], b.Stored[:done+1]},
				"regup": {a.Offers[0][:done], b.Offers[0][:done]}, "reserve": {a.Offers[1][:done], b.Offers[1][:done]},
				"regup sold": {was.Sold[0][:sold], is.Sold[0][:sold]}, "reserve sold": {was.Sold[1][:sold], is.Sold[1][:sold]},
			} {
				if !slices.Equal(x[0], x[1]) {
					t.Errorf("%+v: what comes from interval %d on changes %s before it: %v, was %v", r, later, name, x[1], x[0])
				}
			}
			if !slices.Equal(a.Why[:done], b.Why[:done]) {
				t.Errorf("%+v: what comes from interval %d on changes reasons before it", r, later)
			}
		}
		if _, other := capacity(n, 200); slices.Equal(rolled(t, &expected, &other, r).Sites[0].Charge, was.Sites[0].Charge) && r.Known > 0 {
			t.Errorf("%+v: what comes changes nothing at all", r)
		}
	}
}

// TestRollKeeps: what has been sold is kept by the plans that follow, whatever comes, and energy is moved around it; what is
// not kept is paid for.
func TestRollKeeps(t *testing.T) {
	for seed := range uint64(3) {
		expected, came := capacity(12, seed)
		r := plan.Rolling{Every: 1, Horizon: 12, Known: 2, Keep: 0.9}
		p := rolled(t, &expected, &came, r)
		for k := range p.Sold {
			for h, sold := range p.Sold[k] {
				near(t, expected.Products[k].Name, p.Sites[0].Offers[k][h], sold, 1e-6)
			}
		}
		if once := rolled(t, &expected, &came, plan.Rolling{Every: 12, Horizon: 12, Known: 2, Keep: 0.9}); slices.Equal(once.Sites[0].Charge, p.Sites[0].Charge) {
			t.Error("energy is as it was planned at first, whatever came")
		}
		kept, err := came.Settle(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		p.Sold[0][3] += 0.1
		broken, err := came.Settle(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "0.1 MW that were sold and not kept", kept.Products-broken.Products, 0.1*10*(1+slices.Max(came.Products[0].Price)), 1e-6)
	}
}
