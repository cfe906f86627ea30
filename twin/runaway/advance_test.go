package runaway_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"yunchu/twin/runaway"
)

// At constant temperature the reactions have closed forms. That of the negative
// electrode is implicit: from u0 = c0/t0 to u1 it takes the reduced time k*t =
// exp(film/t0)*(integral of exp(u0-u)/u from u1 to u0), an exponential integral.
func TestConstantTemperature(t *testing.T) {
	p := config(t, "runaway-lco", volume)
	k := kinetics(t, "runaway-lco", volume)
	for _, tt := range []struct{ temp, seconds float64 }{{330, 1e6}, {400, 10}, {400, 1e4}, {450, 1}, {600, 1}, {900, 1}, {900, 1e6}} {
		s := k.Fresh(0)
		whole := k.LeftJ(&s)
		heat := k.Advance(&s, tt.seconds, tt.temp, tt.temp)
		rate := func(r runaway.Reaction) float64 { return r.A * math.Exp(-r.Ea/(p.GasConstant*tt.temp)) }
		odds := p.Positive.Initial / (1 - p.Positive.Initial) * math.Exp(min(700, rate(p.Positive)*tt.seconds))
		for _, c := range []struct {
			name      string
			got, want float64
		}{
			{"sei", s.SEI, 0.15 * math.Exp(-rate(p.SEI)*tt.seconds)},
			{"positive", s.Positive, odds / (1 + odds)},
			{"electrolyte", s.Electrolyte, math.Exp(-rate(p.Electrolyte) * tt.seconds)},
			{"lithium", s.Negative, lithium(rate(p.Negative) * tt.seconds)},
			{"film", s.Film + s.Negative, 0.783},
		} {
			if math.Abs(c.got-c.want) > 1e-6 {
				t.Errorf("%g s at %g K: %s is %.9g, want %.9g", tt.seconds, tt.temp, c.name, c.got, c.want)
			}
		}
		if off := math.Abs(whole - k.LeftJ(&s) - heat.ReactionJ); off > 1e-12*whole {
			t.Errorf("%g s at %g K: heat %g J, of %g J are left %g J", tt.seconds, tt.temp, heat.ReactionJ, whole, k.LeftJ(&s))
		}
	}
}

// lithium is what is left of 0.75 after a reduced time, by halving the range of
// ln u; the integral over ln u is by Simpson.
func lithium(reduced float64) float64 {
	const t0, n = 0.033, 4000
	v0 := math.Log(0.75 / t0)
	time := func(v1 float64) float64 {
		f := func(v float64) float64 { return math.Exp(math.Exp(v0) - math.Exp(v)) }
		h := (v0 - v1) / n
		sum := f(v0) + f(v1)
		for i := 1; i < n; i++ {
			sum += f(v1+float64(i)*h) * float64(2+2*(i%2))
		}
		return math.E * sum * h / 3
	}
	low, high := -60.0, v0
	for high-low > 1e-12 {
		if middle := (low + high) / 2; time(middle) > reduced {
			low = middle
		} else {
			high = middle
		}
	}
	return t0 * math.Exp(high)
}

// A path may be cut anywhere, however hot it is and however long the step.
func TestPathDoesNotDependOnCuts(t *testing.T) {
	k := kinetics(t, "runaway-lfp", 2.5e-3)
	rapid.Check(t, func(t *rapid.T) {
		t0 := rapid.Float64Range(290, 800).Draw(t, "t0")
		t1 := rapid.Float64Range(290, 800).Draw(t, "t1")
		dt := rapid.Float64Range(0.01, 1000).Draw(t, "dt")
		n := rapid.IntRange(2, 20).Draw(t, "parts")
		whole := k.Fresh(3e6)
		parts, all := whole, k.LeftJ(&whole)+3e6
		heat := k.Advance(&whole, dt, t0, t1)
		var sum runaway.Heat
		for i := range n {
			h := k.Advance(&parts, dt/float64(n), t0+(t1-t0)*float64(i)/float64(n), t0+(t1-t0)*float64(i+1)/float64(n))
			sum.ReactionJ += h.ReactionJ
			sum.ShortJ += h.ShortJ
			sum.VentedJ += h.VentedJ
		}
		off := math.Abs(heat.ReactionJ-sum.ReactionJ) + math.Abs(heat.ShortJ-sum.ShortJ) + math.Abs(heat.VentedJ-sum.VentedJ)
		if off > 2e-6*all || whole.ShortOhm != parts.ShortOhm || whole.Vented != parts.Vented {
			t.Fatalf("at once %+v (%+v), in %d parts %+v (%+v)", heat, whole, n, sum, parts)
		}
	})
}

// Coupled steps account for their heat, whatever comes from outside, and nothing
// turns negative or runs over.
func TestCoupledKeepsEnergy(t *testing.T) {
	const capacity = 5425.0
	k := kinetics(t, "runaway-lfp", 2.5e-3)
	rapid.Check(t, func(t *rapid.T) {
		s := k.Fresh(rapid.Float64Range(0, 4e6).Draw(t, "stored"))
		temp := rapid.Float64Range(280, 900).Draw(t, "temp")
		for range rapid.IntRange(1, 5).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "nail") {
				s.ShortOhm = 0.002
			}
			around := runaway.Surroundings{HeatW: rapid.Float64Range(-500, 5e3).Draw(t, "heat")}
			dt := rapid.OneOf(rapid.Just(0.0), rapid.Float64Range(1e-6, 300)).Draw(t, "dt")
			before, left, electric := temp, k.LeftJ(&s), s.ElectricalJ
			var heat runaway.Heat
			temp, heat = k.AdvanceCoupled(&s, dt, temp, capacity, around)
			moved := left + electric + math.Abs(around.HeatW*dt) + capacity // a kelvin: the temperature is rounded, too
			if off := capacity*(temp-before) - heat.CellJ() - around.HeatW*dt; math.Abs(off) > 1e-10*moved {
				t.Fatalf("%g J of %g J appear from nowhere", off, moved)
			}
			if off := left - k.LeftJ(&s) - heat.ReactionJ; math.Abs(off) > 1e-10*moved {
				t.Fatalf("reactions: %g J of %g J appear from nowhere", off, moved)
			}
			if off := electric - s.ElectricalJ - heat.ShortJ; math.Abs(off) > 1e-10*moved {
				t.Fatalf("short: %g J of %g J appear from nowhere", off, moved)
			}
			for _, v := range []float64{s.SEI, s.Negative, s.Positive, s.Electrolyte} {
				if !(v >= 0 && v <= 1) {
					t.Fatalf("%+v", s)
				}
			}
		}
	})
}

// inert is a cell without reactions, separator and vent.
func inert(t *testing.T) *runaway.Kinetics {
	t.Helper()
	cfg := config(t, "runaway-lfp", 2.5e-3)
	cfg.Separator, cfg.Vent = runaway.Separator{}, runaway.Vent{}
	for _, r := range []*runaway.Reaction{&cfg.SEI, &cfg.Negative, &cfg.Positive, &cfg.Electrolyte} {
		r.A = 0
	}
	k, err := runaway.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A cell without reactions warms by its short alone until the energy is gone.
func TestShort(t *testing.T) {
	const capacity, stored = 5425.0, 3e6
	k := inert(t)
	const ohm = 0.01
	watt := 3.2 * 3.2 / ohm
	s, temp := k.Fresh(stored), 300.0
	s.ShortOhm = ohm
	temp, heat := k.AdvanceCoupled(&s, 100, temp, capacity, runaway.Surroundings{})
	if want := 300 + 100*watt/capacity; math.Abs(temp-want) > 1e-9 || math.Abs(heat.ShortJ-100*watt) > 1e-6 {
		t.Errorf("%.9g K, %g J after 100 s of short, want %.9g K, %g J", temp, heat.ShortJ, want, 100*watt)
	}
	temp, _ = k.AdvanceCoupled(&s, 1e5, temp, capacity, runaway.Surroundings{})
	if want := 300 + 0.5*stored/capacity; math.Abs(temp-want) > 1e-9 || s.ElectricalJ != 0 {
		t.Errorf("%.9g K, %g J left in the end, want %.9g K, nothing", temp, s.ElectricalJ, want)
	}
}

// The separator fails and the vent opens where the temperature passes them, also in
// the middle of a step.
func TestSeparatorAndVent(t *testing.T) {
	const capacity = 5425.0
	k := kinetics(t, "runaway-lfp", 2.5e-3)
	s := k.Fresh(3e6)
	// 100 K in 100 s, past 160 degC and 180 degC.
	heat := k.Advance(&s, 100, 400, 500)
	watt := 3.2 * 3.2 / 0.001
	if want := (500 - 433.15) * watt; math.Abs(heat.ShortJ-want) > 1e-3 {
		t.Errorf("%g J of short, want %g J from 160 degC on", heat.ShortJ, want)
	}
	until := k.Fresh(3e6)
	before := k.Advance(&until, 53.15, 400, 453.15)
	if want := 0.2 * (heat.ReactionJ - before.ReactionJ); !s.Vented || math.Abs(heat.VentedJ-want) > 1e-3 {
		t.Errorf("%g J vented, want %g J, 0.2 of what came from 180 degC on", heat.VentedJ, want)
	}
	// Heated, the cell shorts at once when it gets to 160 degC: the time step does
	// not matter.
	var ends []float64
	for _, dt := range []float64{0.1, 1, 60} {
		s, temp := k.Fresh(3e6), 400.0
		for range int(math.Round(120 / dt)) {
			temp, _ = k.AdvanceCoupled(&s, dt, temp, capacity, runaway.Surroundings{HeatW: 2000})
		}
		ends = append(ends, temp)
		if s.ShortOhm != 0.001 {
			t.Errorf("no short at %g K", temp)
		}
	}
	for _, e := range ends {
		if math.Abs(e-ends[0]) > 1e-3 {
			t.Errorf("ends at %v K with steps of 0.1, 1 and 60 s", ends)
		}
	}
}

// A caller who steps temperatures himself at 1 s and gives the heat of a step to
// the next comes out close to the coupled solution while the cell heats slowly.
func TestHeatOfTheStepBefore(t *testing.T) {
	k := reactionsOnly(t, "runaway-lco")
	around := oven(423.15, 7.17)
	exact, _, exact500, _, _ := run(k, around, 1)
	body, none := inert(t), runaway.State{}
	s, temp, lagged, peak := k.Fresh(0), startK, 0.0, 0.0
	at500 := math.NaN()
	for at := 1.0; at <= 7200; at++ {
		with := around
		with.HeatW = lagged
		next, _ := body.AdvanceCoupled(&none, 1, temp, capacity, with)
		lagged = k.Advance(&s, 1, temp, next).CellJ()
		temp = next
		peak = max(peak, temp)
		if math.IsNaN(at500) && temp >= 500 {
			at500 = at
		}
	}
	t.Logf("500 K at %g s (coupled %.1f s), peak %.1f K (coupled %.1f K)", at500, exact500, peak, exact)
	if math.Abs(at500-exact500) > 10 || math.Abs(peak-exact) > 60 {
		t.Errorf("500 K at %g s, want %g s; peak %g K, want %g K", at500, exact500, peak, exact)
	}
}

func TestQuiet(t *testing.T) {
	k := kinetics(t, "runaway-lfp", 2.5e-3)
	s := k.Fresh(0)
	at := k.QuietK(0.1)
	if w := k.HeatW(&s, at); math.Abs(w-0.1) > 1e-6 {
		t.Errorf("%g W at %g K, want 0.1 W", w, at)
	}
	t.Logf("a fresh cell makes 0.1 W at %.1f K", at)
	// HeatW is what Advance gives, for a short time.
	s.ShortOhm, s.ElectricalJ = 0.01, 1e6
	was := s
	if got, want := k.Advance(&s, 1e-3, 420, 420).CellJ()/1e-3, k.HeatW(&was, 420); math.Abs(got/want-1) > 1e-4 {
		t.Errorf("%g W, but %g W in 1 ms", want, got)
	}
}

func TestNotANumber(t *testing.T) {
	k := kinetics(t, "runaway-lco", volume)
	s := k.Fresh(0)
	if got, _ := k.AdvanceCoupled(&s, 1, math.NaN(), capacity, runaway.Surroundings{}); !math.IsNaN(got) {
		t.Errorf("%g K from no number", got)
	}
	k.AdvanceCoupled(&s, 1, 300, capacity, runaway.Surroundings{HeatW: math.Inf(1)}) // returns
}

func TestNewRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*runaway.Params){
		"no volume":        func(p *runaway.Params) { p.Volume = 0 },
		"negative rate":    func(p *runaway.Params) { p.SEI.A = -1 },
		"overconverted":    func(p *runaway.Params) { p.Positive.Initial = 2 },
		"shareless short":  func(p *runaway.Params) { p.Short.Share = 2 },
		"separator no ohm": func(p *runaway.Params) { p.Separator.TempK = 400 },
		"vent":             func(p *runaway.Params) { p.Vent = runaway.Vent{TempK: 400, Share: 2} },
	} {
		p := config(t, "runaway-lco", volume)
		spoil(&p)
		if _, err := runaway.New(p); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestAdvanceAllocatesNothing(t *testing.T) {
	k := kinetics(t, "runaway-lfp", 2.5e-3)
	s := k.Fresh(3e6)
	if n := testing.AllocsPerRun(100, func() {
		k.Advance(&s, 1, 430, 440)
		k.AdvanceCoupled(&s, 1, 430, 5425, runaway.Surroundings{HeatW: 1e3})
	}); n != 0 {
		t.Errorf("%g allocations a step", n)
	}
}

// A cell whose reactions do next to nothing in a step takes a shorter way, and comes out
// where the integration does, through hours in which it slowly goes off.
func TestCreepIsTheIntegration(t *testing.T) {
	const capacity = 5425.0
	k := kinetics(t, "runaway-lfp", 2.5e-3)
	for _, tt := range []struct{ startK, heatW float64 }{{343.15, 0}, {345, 2}, {353, 0}, {360, -3}, {370, 0.5}, {385, 0}} {
		c, err := runaway.NewChain(k, capacity, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := []runaway.Cell{{State: k.Fresh(0), TempK: tt.startK}}
		around := []runaway.Surroundings{{HeatW: tt.heatW}}
		s, temp := k.Fresh(0), tt.startK
		off, sum, fresh := 0.0, 0.0, k.LeftJ(&s)
		var flow runaway.ChainFlow
		for range 4 * 3600 {
			var heat runaway.Heat
			temp, heat = k.AdvanceCoupled(&s, 1, temp, capacity, around[0])
			sum += heat.ReactionJ
			c.Step(want, around, 1, &flow)
			off = max(off, math.Abs(temp-want[0].TempK))
			if want[0].TempK > 420 {
				break // from here on both integrate, and a millisecond makes kelvins
			}
		}
		t.Logf("from %g K with %g W: %.3f K, off by %.2g K at most, %.2g J", tt.startK, tt.heatW, temp, off, math.Abs(fresh-k.LeftJ(&s)-sum))
		if off > 1e-3 {
			t.Errorf("from %g K with %g W: off by %g K", tt.startK, tt.heatW, off)
		}
		if lost := math.Abs(fresh - k.LeftJ(&s) - sum); lost > 1e-12*fresh*4*3600 {
			t.Errorf("from %g K with %g W: %g J are nowhere", tt.startK, tt.heatW, lost)
		}
	}
}

// All cells of a container at 80 degC are such.
func BenchmarkCreep(b *testing.B) {
	k := kinetics(b, "runaway-lfp", 2.5e-3)
	fresh := k.Fresh(0)
	for b.Loop() {
		s := fresh
		k.AdvanceCoupled(&s, 1, 353.15, 5425, runaway.Surroundings{})
	}
}
