package plan_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"yunchu/platform/market"
	"yunchu/platform/market/plan"
)

// day is a battery of 1 MW and 4 MWh alone at prices.
func day(prices []float64) plan.Portfolio {
	inf := math.Inf(1)
	return plan.Portfolio{
		Hours: 1, Intervals: len(prices), Weights: plan.Even,
		Sites: []plan.Site{{
			Name: "a", Outlook: plan.Outlook{Buy: prices}, ImportMW: inf, ExportMW: inf,
			Battery: plan.Battery{ChargeMW: 1, DischargeMW: 1, MWh: 4, Most: 4, In: 0.85, Out: 1, End: plan.End{Most: 0}},
		}},
	}
}

func wave(n int, seed uint64) []float64 {
	rng := rand.New(rand.NewPCG(seed, 3))
	out := make([]float64, n)
	for t := range out {
		out[t] = 40 + 25*math.Sin(4*math.Pi*float64(t)/float64(n)) + 10*rng.NormFloat64()
	}
	return out
}

// cases is how many random cases are tried of n: a third when short.
func cases(n uint64) uint64 {
	if testing.Short() {
		return (n + 2) / 3
	}
	return n
}

// oneSite leaves out a test when short: the plan of one site is made by one goroutine, of which the race detector
// can say nothing.
func oneSite(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("one site is planned by one goroutine")
	}
}

func solved(t *testing.T, p *plan.Portfolio) *plan.Plan {
	t.Helper()
	out, err := p.Best(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if gap := out.AtMost - out.Value; gap < -1e-6*(1+math.Abs(out.Value)) {
		t.Errorf("the bound %v is below the value %v", out.AtMost, out.Value)
	}
	return out
}

func near(t *testing.T, what string, got, want, relative float64) {
	t.Helper()
	if !(math.Abs(got-want) <= relative*(1+math.Abs(want))) {
		t.Errorf("%s: %.9g, want %.9g", what, got, want)
	}
}

// kept holds a plan against what it was made under, and its reasons and sums against each other.
func kept(t *testing.T, p *plan.Portfolio, got *plan.Plan) {
	t.Helper()
	const little = 3e-6
	for i := range p.Sites {
		b, s := &p.Sites[i].Battery, &got.Sites[i]
		for k := range p.Intervals {
			up, down, in, out := 0.0, 0.0, s.Charge[k], s.Discharge[k]
			for x, product := range p.Products {
				if product.Up {
					up += s.Offers[x][k]
				} else {
					down += s.Offers[x][k]
				}
			}
			if in > little && out > little {
				t.Errorf("site %d charges %v and discharges %v in interval %d", i, in, out, k)
			}
			if in > b.ChargeMW+little || out > b.DischargeMW+little || up > in-out+b.DischargeMW+little || down > out-in+b.ChargeMW+little {
				t.Errorf("site %d: %v in, %v out, %v up, %v down in interval %d", i, in, out, up, down, k)
			}
			if s.Stored[k] < b.Least-little || s.Stored[k] > b.Most+little {
				t.Errorf("site %d holds %v", i, s.Stored[k])
			}
			if len(p.Products) == 0 && b.MWh > 0 {
				near(t, "balance", s.Stored[k+1], s.Stored[k]+p.Hours*(b.In*in-out/b.Out), little)
			}
			if net := s.Net[k]; len(p.Products) == 0 && (net > p.Sites[i].ImportMW+little || -net > p.Sites[i].ExportMW+little) {
				t.Errorf("site %d takes %v in interval %d", i, net, k)
			}
			if s.Why[k] == "" && b.MWh > 0 {
				t.Errorf("interval %d has no reason", k)
			}
		}
	}
	for _, l := range p.Limits {
		for k := range p.Intervals {
			sum := 0.0
			for _, i := range l.Sites {
				sum += got.Sites[i].Net[k]
			}
			if sum > l.ImportMW+little || -sum > l.ExportMW+little {
				t.Errorf("%s carries %v in interval %d", l.Name, sum, k)
			}
		}
	}
	if p.Risk.Weight == 0 && p.Risk.Budget == 0 {
		near(t, "sum of what is earned", got.Totals.Sum(), got.Value, 1e-6)
	}
	m, err := p.Settle(t.Context(), got)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "settled", m.Sum(), got.Totals.Sum(), 1e-4) // what is left of limits counts at the price of a peak
}

// TestEqualsArbitrage: alone with prices of energy a battery earns what the exact recursion finds.
func TestEqualsArbitrage(t *testing.T) {
	for seed := range cases(8) {
		prices := wave(48, seed)
		p := day(prices)
		p.Hours = 0.5
		got := solved(t, &p)
		kept(t, &p, got)
		want, err := market.Best(t.Context(), market.Battery{PowerMW: 1, EnergyMWh: 4, Efficiency: 0.85}, market.Regulation{}, market.Prices{Hours: 0.5, Energy: prices})
		if err != nil {
			t.Fatal(err)
		}
		near(t, "value", got.Value, want.Value, 1e-6)
		near(t, "bound", got.AtMost, want.Value, 1e-6)
	}
}

// TestEqualsBacktest: with regulation it is the program of a backtest, as long as that does not charge
// and discharge at once; where it does, the backtest is a bound.
func TestEqualsBacktest(t *testing.T) {
	inf, same := math.Inf(1), 0
	for seed := range cases(12) {
		prices, up, down := wave(24, seed), wave(24, seed+100), wave(24, seed+200)
		for k := range up {
			up[k], down[k] = math.Abs(up[k]/4), math.Abs(down[k]/5)
		}
		p := day(prices)
		p.Sites[0].Battery.VariableCost = 2
		p.Balanced = true
		p.Products = []plan.Product{{Name: "regup", Up: true, Price: up, Called: 0.3, Hours: 1, MostMW: inf}, {Name: "regdown", Price: down, Called: 0.15, Hours: 1, MostMW: inf}}
		got := solved(t, &p)
		kept(t, &p, got)
		want, err := market.Best(t.Context(), market.Battery{PowerMW: 1, EnergyMWh: 4, Efficiency: 0.85, VariableCost: 2},
			market.Regulation{Up: true, Down: true, EnergyUp: 0.3, EnergyDown: 0.15, Hours: 1, Balanced: true}, market.Prices{Hours: 1, Energy: prices, RegUp: up, RegDown: down})
		if err != nil {
			t.Fatal(err)
		}
		both := false
		for k := range want.Charge {
			both = both || want.Charge[k] > 1e-6 && want.Discharge[k] > 1e-6
		}
		if !both {
			same++
			near(t, "value", got.Value, want.Value, 1e-6)
		} else if got.Value > want.AtMost+1e-6 || got.AtMost > want.AtMost+1e-4 {
			t.Errorf("%v, at most %v: more than %v", got.Value, got.AtMost, want.AtMost)
		}
	}
	if same < 3 {
		t.Errorf("only %d days were the same program", same)
	}
}

// exhaustive is the best that a battery that does one thing at a time can earn, by dynamic programming
// over what is stored in steps that all its full and partial moves are multiples of.
func exhaustive(b plan.Battery, h float64, prices []float64, step float64) float64 {
	levels := int(math.Round(b.Most/step)) + 1
	value := make([]float64, levels)
	for k := range value {
		value[k] = math.Inf(-1)
	}
	value[int(math.Round(b.End.Most/step))] = 0
	for _, price := range slices.Backward(prices) {
		before := make([]float64, levels)
		for from := range before {
			before[from] = math.Inf(-1)
			for to := range value {
				move := float64(to-from) * step
				earned := -price * move / b.In
				if move < 0 {
					earned = -price * move * b.Out
				}
				if move/b.In <= h*b.ChargeMW+1e-9 && -move*b.Out <= h*b.DischargeMW+1e-9 {
					before[from] = max(before[from], earned+value[to])
				}
			}
		}
		value = before
	}
	return value[int(math.Round(b.Start/step))]
}

// TestBelowZero: where prices are so low that wasting pays, the plan is the best of those that do one
// thing at a time, and proves it.
func TestBelowZero(t *testing.T) {
	oneSite(t)
	branched := 0
	for seed := range uint64(5) {
		prices := wave(36, seed)
		for k := range prices {
			prices[k] -= 30 + 3*float64(seed)
		}
		p := day(prices)
		p.Nodes = 2000
		b := &p.Sites[0].Battery
		b.In, b.Start, b.End = 0.8, 1, plan.End{Least: 1, Most: 1}
		got := solved(t, &p)
		kept(t, &p, got)
		want := exhaustive(*b, 1, prices, 0.2)
		near(t, "value", got.Value, want, 1e-6)
		near(t, "bound", got.AtMost, want, 1e-6)
		if got.Nodes > 1 {
			branched++
		}
	}
	if branched < 3 {
		t.Errorf("only %d of the days were hard", branched)
	}
}

// TestSellsForMore: a site that is paid more for export than it pays for import does not do both at once.
func TestSellsForMore(t *testing.T) {
	for seed := range cases(4) {
		p := day(wave(8, seed))
		s := &p.Sites[0]
		s.Load, s.PV, s.Curtail = []float64{0.5, 0.5, 0.5, 0.5, 0.5, 1, 1, 1}, []float64{0, 0.5, 1, 2, 1, 0, 0, 0}, true
		s.Sell = make([]float64, 8)
		for k := range s.Sell {
			s.Sell[k] = s.Buy[k] + 10
		}
		s.Battery.In, s.Battery.MWh, s.Battery.Most = 1, 2, 2
		got := solved(t, &p)
		kept(t, &p, got)
		// By dynamic programming over what is stored; moves of a quarter are enough for these numbers.
		const step = 0.25
		levels := 9
		value := make([]float64, levels)
		for k := range value {
			value[k] = math.Inf(-1)
		}
		value[0] = 0
		for k := 7; k >= 0; k-- {
			before := make([]float64, levels)
			for from := range before {
				before[from] = math.Inf(-1)
				for to := range value {
					if move := float64(to-from) * step; math.Abs(move) <= 1 {
						net := move + s.Load[k] - s.PV[k]
						earned := -s.Buy[k] * net
						if net < 0 {
							earned = -s.Sell[k] * net
						}
						before[from] = max(before[from], earned+value[to])
					}
				}
			}
			value = before
		}
		near(t, "value", got.Value, value[0], 1e-6)
		near(t, "bound", got.AtMost, value[0], 1e-6)
	}
}

// rainflow is the cost of all discharging half-cycles of a profile, cycles counted as ASTM E1049 does.
func rainflow(profile []float64, cost func(depth float64) float64) (total float64) {
	var turns []float64
	for k, x := range profile {
		for len(turns) >= 2 && (turns[len(turns)-1]-turns[len(turns)-2])*(x-turns[len(turns)-1]) >= 0 {
			turns = turns[:len(turns)-1]
		}
		if k == 0 || x != turns[len(turns)-1] {
			turns = append(turns, x)
		}
	}
	var stack []float64
	for _, x := range turns {
		stack = append(stack, x)
		for len(stack) >= 3 {
			n := len(stack)
			last, before := math.Abs(stack[n-1]-stack[n-2]), math.Abs(stack[n-2]-stack[n-3])
			if last < before {
				break
			}
			if n == 3 { // holds the begin: half a cycle
				if stack[1] < stack[0] {
					total += cost(before)
				}
				stack = stack[1:]
				continue
			}
			total += cost(before)
			stack = append(stack[:n-3], stack[n-1])
		}
	}
	for k := 1; k < len(stack); k++ {
		if stack[k] < stack[k-1] {
			total += cost(stack[k-1] - stack[k])
		}
	}
	return total
}

// TestWearIsRainflow: what depth-segmented wear costs is what rainflow counting finds of the profile,
// half a discharge at a time.
func TestWearIsRainflow(t *testing.T) {
	oneSite(t)
	for seed := range uint64(6) {
		p := day(wave(96, seed))
		p.Hours = 0.25
		b := &p.Sites[0].Battery
		b.In, b.Out, b.MWh, b.Most, b.Start = 0.95, 0.96, 2, 2, 0.7
		b.End = plan.End{Least: 0, Most: 2, Price: 30}
		for j := range 8 {
			x := float64(j+1) / 8
			b.Wear = append(b.Wear, plan.Segment{To: x, PerMWh: 1 + 12*x})
		}
		got := solved(t, &p)
		kept(t, &p, got)
		cost := func(mwh float64) (total float64) {
			from := 0.0
			for _, s := range b.Wear {
				total += s.PerMWh * min(max(mwh-from*b.MWh, 0), (s.To-from)*b.MWh)
				from = s.To
			}
			return total
		}
		want := rainflow(got.Sites[0].Stored, cost)
		if want < 1 {
			t.Errorf("hardly any wear: %v", want)
		}
		near(t, "wear", -got.Totals.Wear, want, 1e-6)
	}
}

// TestDemandCharge: the peak is held where a small case can be seen through.
func TestDemandCharge(t *testing.T) {
	p := day([]float64{20, 20, 20, 20})
	s := &p.Sites[0]
	s.Load = []float64{1, 1, 3, 1}
	s.Demand = []plan.Demand{{PerMW: 1000, SoFar: 0.5}}
	s.Battery.DischargeMW = 2
	s.Battery.In = 1
	got := solved(t, &p)
	kept(t, &p, got)
	near(t, "peak", got.Sites[0].Peaks[0], 5.0/3, 1e-5) // two hours charge what the third takes: 3 - 2x = 1 + x
	near(t, "demand", got.Totals.Demand, -1000*(5.0/3-0.5), 1e-5)
	s.Demand[0].SoFar = 2.5 // what is paid for already is not saved
	got = solved(t, &p)
	near(t, "demand", got.Totals.Demand, 0, 1e-6)
	s.Demand[0].Within = []bool{true, true, false, true} // nor is a peak outside of its hours
	s.Demand[0].SoFar = 0
	got = solved(t, &p)
	near(t, "peak", got.Sites[0].Peaks[0], 1, 1e-5)
}

// TestBelowZeroAtOnce: the search finds the best plan of the days below with the nodes that it takes by itself, also where
// all prices are alike and nothing says which interval is for charging.
func TestBelowZeroAtOnce(t *testing.T) {
	oneSite(t)
	flat := make([]float64, 24)
	for k := range flat {
		flat[k] = -50
	}
	for _, x := range []struct{ in, mwh, want float64 }{
		{0.5, 1, 400},           // charges twice and discharges, eight times: 8·50
		{0.9, 3, 50 * 11 / 9.0}, // by dynamic programming in steps of 0.1 MWh
	} {
		p := day(flat)
		b := &p.Sites[0].Battery
		b.In, b.Out, b.MWh, b.Least, b.Most, b.Start, b.End = x.in, 1, x.mwh, 0, x.mwh, 0, plan.End{}
		got := solved(t, &p)
		kept(t, &p, got)
		near(t, "value", got.Value, x.want, 1e-6)
		if got.AtMost < x.want-1e-6 {
			t.Errorf("the bound %v is below %v", got.AtMost, x.want)
		}
	}
	for seed := range uint64(5) {
		prices := wave(36, seed)
		for k := range prices {
			prices[k] -= 30 + 3*float64(seed)
		}
		p := day(prices)
		b := &p.Sites[0].Battery
		b.In, b.Start, b.End = 0.8, 1, plan.End{Least: 1, Most: 1}
		near(t, "value", solved(t, &p).Value, exhaustive(*b, 1, prices, 0.2), 1e-4)
	}
}

// TestImportFee: with a fee, what is bound at full power is the battery: the price is that of the market with the fee, and a
// kW more of power is worth what it adds.
func TestImportFee(t *testing.T) {
	worth := func(more float64) *plan.Plan {
		p := day([]float64{30, 20, 60, 25, 90, 70})
		s := &p.Sites[0]
		s.Sell = s.Buy
		s.Buy = make([]float64, len(s.Sell))
		for k, x := range s.Sell {
			s.Buy[k] = x + 15
		}
		s.Battery = plan.Battery{ChargeMW: 1 + more, DischargeMW: 1, MWh: 2, Most: 2, In: 0.9, Out: 1}
		return solved(t, &p)
	}
	got := worth(0)
	near(t, "value", got.Value, 82, 1e-6)
	for k, want := range []float64{45, 35, 60, 40, 90, 70} {
		near(t, "price", got.Sites[0].Price[k], want, 1e-5)
	}
	for _, b := range got.Bounds {
		if b.Name == "charge power" {
			near(t, "worth of charge power", b.Worth, (worth(0.001).Value-worth(-0.001).Value)/0.002, 1e-4)
			return
		}
	}
	t.Error("charge power does not bind")
}

// TestAbsurdIsRefused: what nobody consumes, and what no price deviates by, is told and not planned.
func TestAbsurdIsRefused(t *testing.T) {
	for want, set := range map[string]func(p *plan.Portfolio){
		"a load or PV of 1e+12 kW in interval 1, more than 1e+09":  func(p *plan.Portfolio) { p.Sites[0].Load = []float64{0, 1e9} },
		"a load or PV of -1e+12 kW in interval 0, more than 1e+09": func(p *plan.Portfolio) { p.Sites[0].PV = []float64{-1e9, 0} },
		"a deviation of -3 per MWh: prices go so far either way, 0 or more": func(p *plan.Portfolio) {
			p.Risk = plan.Risk{Budget: 1, Deviation: []float64{2, -3}}
		},
	} {
		p := day([]float64{10, 50})
		set(&p)
		if _, err := p.Best(t.Context()); !errors.Is(err, plan.ErrPortfolio) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
