package aging_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/twin/aging"
	"yunchu/twin/params"
)

// use is what a cell went through for a while.
type use struct{ seconds, soc, tempK, cRate float64 }

func uses(t *rapid.T) []use {
	out := make([]use, rapid.IntRange(1, 40).Draw(t, "n"))
	for i := range out {
		out[i] = use{
			seconds: rapid.Float64Range(1, 1e6).Draw(t, "s"), soc: rapid.Float64Range(0, 1).Draw(t, "soc"),
			tempK: rapid.Float64Range(260, 330).Draw(t, "K"), cRate: rapid.Float64Range(-1, 1).Draw(t, "C"),
		}
	}
	return out
}

func (u use) on(c *aging.Cell) { c.Advance(u.seconds, u.soc, u.tempK, u.cRate) }

// parts are the four losses of a cell.
func parts(c *aging.Cell) [4]float64 {
	calendar, cycle := c.Losses()
	return [4]float64{calendar.Q, calendar.R, cycle.Q, cycle.R}
}

func same(t interface{ Fatalf(string, ...any) }, what string, got, want [4]float64, tolerance float64) {
	for i := range got {
		if !near(got[i], want[i], tolerance*math.Max(want[i], 1e-6)) {
			t.Fatalf("%s: calendar Q, R, cycle Q, R are %v, want %v", what, got, want)
		}
	}
}

func eachSet(t *testing.T, f func(t *testing.T, set string)) {
	for _, set := range params.AgingSets() {
		t.Run(set, func(t *testing.T) { f(t, set) })
	}
}

// What holds may be cut anywhere: time and charge.
func TestCuttingStepsChangesNothing(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		m := load(t, set, 1)
		rapid.Check(t, func(t *rapid.T) {
			whole, cut := m.Start(aging.State{}), m.Start(aging.State{})
			for _, u := range uses(t) {
				whole.Advance(u.seconds, u.soc, u.tempK, u.cRate)
				cuts := rapid.IntRange(1, 50).Draw(t, "cuts")
				for range cuts {
					cut.Advance(u.seconds/float64(cuts), u.soc, u.tempK, u.cRate)
				}
			}
			a, b := parts(&whole), parts(&cut)
			if set == "sony-naumann" || set == "blast-lfp250" { // cycles: see below
				a, b = [4]float64{a[0], a[1]}, [4]float64{b[0], b[1]}
			}
			same(t, "cut", b, a, 1e-12)
		})
	})
}

// What moves evenly may be cut anywhere: cycles, with their rates and temperatures.
func TestCuttingRampsChangesNoCycle(t *testing.T) {
	for _, set := range []string{"sony-naumann", "blast-lfp250"} {
		m := load(t, set, 1)
		rapid.Check(t, func(t *rapid.T) {
			whole, cut := m.Start(aging.State{}), m.Start(aging.State{})
			const steps = 1 << 10 // cut in powers of two: all states of charge are exact
			from := 0.5
			whole.Advance(1, from, 300, 0)
			cut.Advance(1, from, 300, 0)
			for _, u := range uses(t) {
				u.soc = float64(rapid.IntRange(0, steps).Draw(t, "step")) / steps
				whole.Advance(u.seconds, u.soc, u.tempK, u.cRate)
				cuts := rapid.SampledFrom([]int{1, 2, 8, 32}).Draw(t, "cuts")
				for i := range cuts {
					cut.Advance(u.seconds/float64(cuts), from+(u.soc-from)*float64(i+1)/float64(cuts), u.tempK, u.cRate)
				}
				from = u.soc
			}
			whole.Flush()
			cut.Flush()
			a, b := parts(&whole), parts(&cut)
			same(t, "cut", [4]float64{2: b[2], 3: b[3]}, [4]float64{2: a[2], 3: a[3]}, 1e-12)
		})
	}
}

// The rule of virtual time to the letter: on from x* = (y/k)^(1/p).
func TestAgesAreVirtualTime(t *testing.T) {
	m := load(t, "blast-lfp250", 1)
	set, err := params.LoadAging("blast-lfp250")
	if err != nil {
		t.Fatal(err)
	}
	law := set.Calendar.BLAST2019
	p := law.Exponent
	rapid.Check(t, func(t *rapid.T) {
		c := m.Start(aging.State{})
		var y float64
		for _, u := range uses(t) {
			c.Advance(u.seconds, u.soc, u.tempK, 0)
			k := law.Ref * math.Exp(law.TempK/u.tempK) * math.Exp(law.AnodeKPer*m.Stress(u.soc, u.tempK, 0).AnodeV/u.tempK)
			y += k*math.Pow(math.Pow(y/k, 1/p)+u.seconds/day, p) - y
		}
		if calendar, _ := c.Losses(); !near(calendar.Q, y, 1e-12*y) {
			t.Fatalf("loss %.17g, by the rule %.17g", calendar.Q, y)
		}
	})
}

// A law that gives no loss, or a negative one, leaves what was lost as it was.
func TestNoGrowth(t *testing.T) {
	laws := aging.Params{Scale: 1, Cycle: &aging.Naumann2020{QRateOffset: 1, QRateSlope: -1, QDepthOffset: 1, QExponent: 0.5, RExponent: 1}}
	m, err := aging.New(laws)
	if err != nil {
		t.Fatal(err)
	}
	c := swing(m, 10, 0.5, 0.5, 25)
	before := c.SoHQ()
	for _, rate := range []float64{1, 2} { // k = 0, k < 0
		for range 10 {
			c.Advance(3600, 0.5, 300, rate)
			c.Advance(3600, 0, 300, -rate)
		}
		c.Flush()
		if c.SoHQ() != before || !(before < 1) {
			t.Errorf("SoHQ is %g after cycles at %g C, want %g as before", c.SoHQ(), rate, before)
		}
	}
}

func TestNoTimeNoAgeing(t *testing.T) {
	m := load(t, "sony-naumann", 1)
	c := swing(m, 3, 0.5, 0.5, 25)
	before := c.State()
	c.Advance(0, 1, 320, 1)
	c.Advance(-1, 0, 320, 1)
	if c.State() != before {
		t.Error("no time has passed, but the state has changed")
	}
}

// Whatever the order of the same uses, the calendar loss is the same: ages add up.
func TestOrderDoesNotMatterAtRest(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		m := load(t, set, 1)
		rapid.Check(t, func(t *rapid.T) {
			list := uses(t)
			c, shuffled := m.Start(aging.State{}), m.Start(aging.State{})
			for _, u := range list {
				u.cRate = 0
				u.on(&c)
			}
			for _, u := range rapid.Permutation(list).Draw(t, "order") {
				u.cRate = 0
				u.on(&shuffled)
			}
			a, b := parts(&c), parts(&shuffled)
			same(t, "shuffled", [4]float64{b[0], b[1]}, [4]float64{a[0], a[1]}, 1e-12)
		})
	})
}

func TestLossesOnlyGrow(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		m := load(t, set, 1)
		rapid.Check(t, func(t *rapid.T) {
			c := m.Start(aging.State{})
			before := parts(&c)
			for _, u := range uses(t) {
				u.on(&c)
				now := parts(&c)
				for i := range now {
					if !(now[i] >= before[i]*(1-1e-13)) { // rounding of sum and power
						t.Fatalf("losses went from %v to %v", before, now)
					}
				}
				calendar, cycle := c.Losses()
				if c.SoHQ() != 1-calendar.Q-cycle.Q || c.SoHR() != 1+calendar.R+cycle.R {
					t.Fatalf("SoHQ %g, SoHR %g do not fit losses %v", c.SoHQ(), c.SoHR(), now)
				}
				before = now
			}
		})
	})
}

// One hour at scale n is n hours: exactly so for days that begin and end at a turning
// point, and within n open swings for days that do not.
func TestScaleIsTime(t *testing.T) {
	const n, days = 12, 30
	eachSet(t, func(t *testing.T, set string) {
		for _, start := range []int{0, 1} { // hour of the day: at the turn, on the way up
			fast, slow := load(t, set, n).Start(aging.State{}), load(t, set, 1).Start(aging.State{})
			run := func(c *aging.Cell, days int) {
				u := daily(start * 60)
				c.Advance(1e-6, u.soc, u.tempK, 0)
				for minute := range days * 1440 {
					u := daily(start*60 + minute + 1)
					c.Advance(60, u.soc, u.tempK, u.cRate)
				}
				c.Flush()
			}
			run(&fast, days)
			run(&slow, n*days)
			tolerance := 1e-9 // the first microsecond counts n times
			if start > 0 {
				tolerance = 1.0 / days
			}
			same(t, "scaled", parts(&fast), parts(&slow), tolerance)
		}
	})
}

// daily is a day of one full cycle between 0.125 and 0.875 at C/4: charging 0 to 3 h,
// discharging 12 to 15 h, at rest in between. The temperature follows the charge.
func daily(minute int) use {
	const low, high, ramp = 0.125, 0.875, 180
	m := minute % 1440
	u := use{seconds: 60, tempK: 298.15}
	switch {
	case m > 0 && m <= ramp:
		u.soc, u.cRate, u.tempK = low+(high-low)*float64(m)/ramp, 0.25, 303.15
	case m > ramp && m <= 720:
		u.soc = high
	case m > 720 && m <= 720+ramp:
		u.soc, u.cRate, u.tempK = high-(high-low)*float64(m-720)/ramp, -0.25, 303.15
	default:
		u.soc = low
	}
	return u
}

// A year of daily cycles minute by minute against closed forms.
func TestYearOfDailyCycles(t *testing.T) {
	set, err := params.LoadAging("sony-naumann")
	if err != nil {
		t.Fatal(err)
	}
	c := load(t, "sony-naumann", 1).Start(aging.State{})
	begin := time.Now()
	for minute := range 365 * 1440 {
		u := daily(minute)
		c.Advance(u.seconds, u.soc, u.tempK, u.cRate)
	}
	took := time.Since(begin)
	c.Advance(1e-9, daily(1440).soc, 298.15, 0) // the last trough
	c.Flush()
	t.Logf("a year at 1 min in %v: SoHQ %.6f, SoHR %.6f", took, c.SoHQ(), c.SoHR())
	if took > time.Second {
		t.Errorf("a year took %v, want less than a second", took)
	}

	calendar, cycle := c.Losses()
	n := set.Calendar.Naumann2018
	q, r := sampledDay(n)
	w := worst{t: t}
	w.check("calendar Q", calendar.Q, math.Sqrt(365*q))
	w.check("calendar R", calendar.R, 365*r)
	y := set.Cycle.Naumann2020
	const depth, rate, fec = 0.75, 0.25, 365 * 0.75
	w.check("cycle Q", cycle.Q, (y.QRateSlope*rate+y.QRateOffset)*(y.QDepthSlope*cube(depth-y.QDepthCentre)+y.QDepthOffset)*math.Sqrt(fec)/100)
	w.check("cycle R", cycle.R, (y.RRateSlope*rate+y.RRateOffset)*(y.RDepthSlope*cube(depth-y.RDepthCentre)+y.RDepthOffset)*fec/100)
	w.report("a year at 1 min against the closed forms of its samples")

	q, r = integratedDay(n)
	offQ, offR := calendar.Q/math.Sqrt(365*q)-1, calendar.R/(365*r)-1
	t.Logf("against the integral over the ramps, which the samples cut into 180 steps: calendar Q %.1e, R %.1e", offQ, offR)
	if math.Abs(offQ) > 5e-6 || math.Abs(offR) > 5e-6 {
		t.Errorf("calendar Q, R are off by %g, %g of the integral", offQ, offR)
	}
}

func square(x float64) float64 { return x * x }

func cube(x float64) float64 { return x * x * x }

func arrhenius(n *params.Naumann2018, ea, tempK float64) float64 {
	return math.Exp(-ea / n.GasConstant * (1/tempK - 1/n.TRefK))
}

// sampledDay is the sum over the minutes of a day of (kT*kS)^2*dt for capacity and of
// kT*kS*dt for resistance.
func sampledDay(n *params.Naumann2018) (q, r float64) {
	for minute := range 1440 {
		u := daily(minute)
		kq := n.QRef * arrhenius(n, n.QActivation, u.tempK) * (n.QSoCSlope*cube(u.soc-0.5) + n.QSoCOffset)
		q += kq * kq * u.seconds
		r += n.RRef * arrhenius(n, n.RActivation, u.tempK) * (n.RSoCSlope*square(u.soc-0.5) + n.RSoCOffset) * u.seconds
	}
	return q, r
}

// integratedDay is the same with the state of charge moving evenly between minutes:
// polynomials in u = soc - 1/2, integrated.
func integratedDay(n *params.Naumann2018) (q, r float64) {
	a, b := n.QSoCSlope, n.QSoCOffset
	squares := func(u float64) float64 { return a*a*math.Pow(u, 7)/7 + a*b*math.Pow(u, 4)/2 + b*b*u } // of (a*u^3 + b)^2
	values := func(u float64) float64 { return n.RSoCSlope*u*u*u/3 + n.RSoCOffset*u }
	at := func(u float64) (q, r float64) { return square(a*u*u*u + b), n.RSoCSlope*u*u + n.RSoCOffset }
	const u, ramps, rests = 0.375, 6 * 3600.0, 9 * 3600.0 // s a day, rests at either end
	qHigh, rHigh := at(u)
	qLow, rLow := at(-u)
	kq, kr := arrhenius(n, n.QActivation, 303.15), arrhenius(n, n.RActivation, 303.15)
	q = n.QRef * n.QRef * (ramps*kq*kq*(squares(u)-squares(-u))/(2*u) + rests*(qHigh+qLow))
	r = n.RRef * (ramps*kr*(values(u)-values(-u))/(2*u) + rests*(rHigh+rLow))
	return q, r
}

// A cell goes on bit by bit from its state, also through JSON.
func TestCheckpoint(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		m := load(t, set, 3)
		rapid.Check(t, func(t *rapid.T) {
			list := uses(t)
			c := m.Start(aging.State{})
			half := len(list) / 2
			for _, u := range list[:half] {
				u.on(&c)
			}
			text, err := json.Marshal(c.State())
			if err != nil {
				t.Fatal(err)
			}
			var s aging.State
			if err := json.Unmarshal(text, &s); err != nil {
				t.Fatal(err)
			}
			again := m.Start(s)
			for _, u := range list[half:] {
				u.on(&c)
				u.on(&again)
			}
			if again.State() != c.State() {
				t.Fatal("the restored cell went another way")
			}
		})
	})
}

// Beyond its bound a temperature ages a cell no faster, by time and by use.
func TestHotIsBounded(t *testing.T) {
	for _, name := range []string{"sony-naumann", "sony-schimpe", "a123-wang", "blast-lfp250"} {
		set, err := params.LoadAging(name)
		if err != nil {
			t.Fatal(err)
		}
		p := laws(set)
		p.MaxK = set.TMaxK
		m, err := aging.New(p)
		if err != nil {
			t.Fatal(err)
		}
		old := func(tempK float64) (x aging.Loss) {
			c := m.Start(aging.State{})
			for n := range 1000 {
				c.Advance(60, 0.5+0.3*math.Sin(float64(n)/30), tempK, 0.6*math.Cos(float64(n)/30))
			}
			calendar, cycle := c.Losses()
			return calendar.Plus(cycle)
		}
		if old(900) != old(p.MaxK) || old(p.MaxK).Q <= old(p.MaxK-10).Q {
			t.Errorf("%s: %v at 900 K, %v at %g K", name, old(900), old(p.MaxK), p.MaxK)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, p := range []aging.Params{
		{},
		{Scale: -1},
		{Scale: math.NaN()},
		{Scale: math.Inf(1)},
		{Scale: 1, MaxK: -1},
		{Scale: 1, Throughput: &aging.Wang2011{}, Cycle: &aging.Naumann2020{}},
	} {
		if _, err := aging.New(p); err == nil {
			t.Errorf("no error for %+v", p)
		}
	}
}

func TestWithoutLawsNothingAges(t *testing.T) {
	m, err := aging.New(aging.Params{Scale: 1})
	if err != nil {
		t.Fatal(err)
	}
	c := swing(m, 100, 0.9, 1, 45)
	if c.SoHQ() != 1 || c.SoHR() != 1 {
		t.Errorf("SoHQ %g, SoHR %g, want 1 and 1", c.SoHQ(), c.SoHR())
	}
}

func TestAdvanceDoesNotAllocate(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		c := load(t, set, 1).Start(aging.State{})
		minute := 0
		if n := testing.AllocsPerRun(3000, func() {
			minute++
			u := daily(minute)
			c.Advance(u.seconds, u.soc, u.tempK, u.cRate)
			c.SoHQ()
		}); n != 0 {
			t.Errorf("%g allocations in a step", n)
		}
	})
}

func BenchmarkAdvance(b *testing.B) {
	for _, set := range params.AgingSets() {
		b.Run(set, func(b *testing.B) {
			c := load(b, set, 1).Start(aging.State{})
			minute := 0
			b.ReportAllocs()
			for b.Loop() {
				minute++
				u := daily(minute)
				c.Advance(u.seconds, u.soc, u.tempK, u.cRate)
			}
		})
	}
}
