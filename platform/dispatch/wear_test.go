package dispatch_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/dispatch"
)

var steps = device.Wear{{ToPercent: 10, CostPerKWh: 0.002}, {ToPercent: 30, CostPerKWh: 0.01}, {ToPercent: 60, CostPerKWh: 0.015}, {ToPercent: 100, CostPerKWh: 0.05}}

// whole is what a cycle of a depth, 0..1, costs for each kWh of capacity.
func whole(w device.Wear, depth float64) (cost float64) {
	from := 0.0
	for _, s := range w {
		cost += max(0, min(depth, s.ToPercent/100)-from) * s.CostPerKWh
		from = s.ToPercent / 100
	}
	return cost
}

// rainflow are the depths of the half cycles of a series, apart for those that fall and rise,
// by the stack of turning points (ASTM E1049-85, 5.4.4): a range that lies within both its
// neighbours is a cycle of its own, which is one half each way.
func rainflow(x []float64) (falls, rises []float64) {
	var p []float64
	for _, v := range x {
		if n := len(p); n >= 2 && (p[n-1]-p[n-2])*(v-p[n-1]) >= 0 {
			p = p[:n-1] // goes on
		}
		p = append(p, v)
		for len(p) >= 4 {
			n := len(p)
			inner, before, after := math.Abs(p[n-2]-p[n-3]), math.Abs(p[n-3]-p[n-4]), math.Abs(p[n-1]-p[n-2])
			if inner > before || inner > after {
				break
			}
			falls, rises = append(falls, inner), append(rises, inner)
			p = append(p[:n-3], p[n-1])
		}
	}
	for i := 1; i < len(p); i++ {
		if d := p[i] - p[i-1]; d > 0 {
			rises = append(rises, d)
		} else {
			falls = append(falls, -d)
		}
	}
	return falls, rises
}

// TestStackIsRainflow: what is taken from the stack of a battery's charge costs what rainflow
// counting makes of its discharging, and of its charging from the stack of its room.
func TestStackIsRainflow(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for trial := range 300 {
		soc := rng.Float64()
		x := []float64{soc}
		charge, room := dispatch.NewStack(steps, soc), dispatch.NewStack(steps, 1-soc)
		var out, in float64
		for range 2 + rng.IntN(60) {
			next := min(max(soc+0.3*rng.NormFloat64(), 0), 1)
			if d := next - soc; d > 0 {
				in += room.Take(d)
				charge.Fill(d)
			} else {
				out += charge.Take(-d)
				room.Fill(-d)
			}
			soc = next
			x = append(x, soc)
		}
		var wantOut, wantIn float64
		falls, rises := rainflow(x)
		for _, d := range falls {
			wantOut += whole(steps, d)
		}
		for _, d := range rises {
			wantIn += whole(steps, d)
		}
		if math.Abs(out-wantOut) > 1e-9 || math.Abs(in-wantIn) > 1e-9 {
			t.Fatalf("trial %d: discharging costs %.9g, charging %.9g; by rainflow counting %.9g and %.9g: %v", trial, out, in, wantOut, wantIn, x)
		}
	}
}

// TestNextIsTheSlope: what the next kWh costs is what taking a little does.
func TestNextIsTheSlope(t *testing.T) {
	s := dispatch.NewStack(steps, 0.8)
	for range 7 {
		next := s.Next()
		if cost := s.Take(1e-6) / 1e-6; math.Abs(cost-next) > 1e-6 {
			t.Errorf("the next kWh is said to cost %g and costs %g", next, cost)
		}
		s.Take(0.1)
	}
	empty := dispatch.NewStack(steps, 0)
	if got := empty.Next(); got != 0.05 {
		t.Errorf("of an empty stack the next kWh costs %g, want that of the deepest step", got)
	}
}

// TestCostTakesTurnsByDepth: of equal batteries one that has been used deep rests until the
// others have been as well.
func TestCostTakesTurnsByDepth(t *testing.T) {
	img := fleet(2, 70)
	for i := range img.Devices {
		img.Devices[i].Info.Wear = steps
	}
	p := planner(dispatch.Cost)
	decide(t, p, start, img, 0)
	see(&img.Devices[0], start, 50) // 20 % deep: in the step of 0.01
	d := decide(t, p, start, img, -80)
	if got := powers(&d, 2); !(got[1] < got[0]-20) {
		t.Errorf("%v kW: the battery that was used is to do less than the other", got)
	}
	see(&img.Devices[0], start, 62)   // charging it from there is a half cycle of its own
	d = decide(t, p, start, img, 100) // 10 % for the next 8 %, while the other has not been charged
	if got := powers(&d, 2); !(got[0] < got[1]-20) {
		t.Errorf("%v kW: the battery that was charged deep is to do less than the other", got)
	}
}

// TestWearAndNoise: equal batteries with known wear keep their shares while they are
// discharged through all steps but the last, though their states of charge are read with
// noise, in tenths or in whole percents; where converters may rest they take turns.
func TestWearAndNoise(t *testing.T) {
	const n, cycles = 4, 3600 // two hours
	for _, tt := range []struct {
		name      string
		sd, steps float64 // percent
		rest      bool
	}{
		{"noise", 0.02, 0, false},
		{"more noise", 0.1, 0, false},
		{"tenths", 0.02, 0.1, false},
		{"percents", 0.1, 1, false},
		{"noise, resting", 0.02, 0, true},
		{"tenths, resting", 0.02, 0.1, true},
		{"percents, resting", 0.1, 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			img := fleet(n, 70)
			lossy(img, func(int) device.Loss { return device.Loss{FixedKW: 1, PerKW: 0.01, PerKW2: 2e-4} })
			for i := range img.Devices {
				img.Devices[i].Info.Wear = steps
			}
			p := planner(dispatch.Cost)
			p.Settings.Rest = tt.rest
			socs, last := []float64{70, 70, 70, 70}, make([]float64, n)
			var moved float64
			starts := 0
			for k := range cycles {
				now := start.Add(time.Duration(k) * 2 * time.Second)
				for i := range socs {
					soc := socs[i] + tt.sd*rng.NormFloat64()
					if tt.steps > 0 {
						soc = math.Round(soc/tt.steps) * tt.steps
					}
					see(&img.Devices[i], now, soc)
				}
				d := decide(t, p, now, img, -100)
				for i, kw := range powers(&d, n) {
					socs[i] += kw * 2 / 3600 / 200 * 100
					if k > 0 {
						moved += math.Abs(kw - last[i])
						if (kw != 0) != (last[i] != 0) {
							starts++
						}
					}
					last[i] = kw
				}
			}
			moved /= n * (cycles - 1)
			t.Logf("a share of 25 kW moves %.3f kW a cycle, %d starts and stops of four in two hours, charge %.1f", moved, starts, socs)
			if moved > 0.3 || starts > 80 {
				t.Error("they flap")
			}
			if spread(socs) > 6 {
				t.Error("charge has come apart")
			}
		})
	}
}

// TestSmallReversals: a charge that comes back by less than a percent has not turned, one that
// comes back further has, and what came back counts whole.
func TestSmallReversals(t *testing.T) {
	img := fleet(2, 70)
	for i := range img.Devices {
		img.Devices[i].Info.Wear = steps
	}
	p := planner(dispatch.Cost)
	decide(t, p, start, img, -80)
	share := func(soc float64) float64 {
		see(&img.Devices[0], start, soc)
		d := decide(t, p, start, img, -80)
		return powers(&d, 2)[0]
	}
	deep := share(50)
	for range 20 {
		deep = share(50) // the previous setpoint's weight is gone
	}
	for range 20 {
		if up, down := share(50.9), share(50); !near(up, deep) || !near(down, deep) {
			t.Fatalf("%g and %g kW by what the charge is read with, was %g", up, down, deep)
		}
	}
	for range 20 {
		share(55)
	}
	if got := share(55); !(got < deep-20) {
		t.Errorf("%g kW after it was charged 5 %%, %g before", got, deep)
	}
}

// TestWearIsChecked: costs that fall with depth are none, nor are depths that do not rise.
func TestWearIsChecked(t *testing.T) {
	for _, w := range []device.Wear{
		{{ToPercent: 50, CostPerKWh: 0.1}, {ToPercent: 100, CostPerKWh: 0.05}},
		{{ToPercent: 50, CostPerKWh: 0.1}},
		{{ToPercent: 60, CostPerKWh: 0.1}, {ToPercent: 50, CostPerKWh: 0.2}},
		{{ToPercent: 100, CostPerKWh: math.NaN()}},
		make(device.Wear, 65),
	} {
		if w.Validate() == nil {
			t.Errorf("%v is taken", w)
		}
	}
	if err := steps.Validate(); err != nil {
		t.Error(err)
	}
}
