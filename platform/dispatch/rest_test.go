package dispatch_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/dispatch"
	"yunchu/platform/dispatch/alloc"
	"yunchu/platform/fleet/image"
)

func resting() *dispatch.Planner {
	p := planner(dispatch.Cost)
	p.Settings.Rest = true
	return p
}

// lossy gives each device a loss of its own, or all the same.
func lossy(img *image.Image, loss func(i int) device.Loss) {
	for i := range img.Devices {
		l := loss(i)
		img.Devices[i].Info.Loss = &l
	}
}

// lost is what the converters lose, kW, and what the whole costs, in money of strategy cost.
func lost(img *image.Image, kw []float64) (loss, money float64) {
	for i, p := range kw {
		if p != 0 {
			loss += img.Devices[i].Info.Loss.At(p)
			money += 0.0125*math.Abs(p) + 0.0125*0.0630/0.0971/capacityOf(img, i)*p*p
		}
	}
	return loss, money + 0.1*loss
}

func capacityOf(img *image.Image, i int) float64 { return img.Devices[i].Info.CapacityKWh }

// best is the least money over all sets of devices that may run, by the exact allocation.
func best(t *testing.T, img *image.Image, target float64) float64 {
	t.Helper()
	n := len(img.Devices)
	least := math.Inf(1)
	var s alloc.Solver
	for set := 1; set < 1<<n; set++ {
		var p alloc.Problem
		var of []int
		for i := range n {
			if set&(1<<i) == 0 {
				continue
			}
			l, sign := img.Devices[i].Info.Loss, 1.0
			lo, hi := 0.0, 100.0
			if target < 0 {
				sign, lo, hi = -1, -100, 0
			}
			p.A = append(p.A, 0.2*l.PerKW2+2*0.0125*0.0630/0.0971/capacityOf(img, i))
			p.B = append(p.B, sign*(0.0125+0.1*l.PerKW))
			p.R, p.Lo, p.Hi = append(p.R, 0), append(p.Lo, lo), append(p.Hi, hi)
			of = append(of, i)
		}
		x := make([]float64, len(of))
		r, err := s.Solve(p, target, x)
		if err != nil {
			t.Fatal(err)
		}
		if r.Shortfall != 0 {
			continue
		}
		kw := make([]float64, n)
		for k, i := range of {
			kw[i] = x[k]
		}
		_, money := lost(img, kw)
		for k, i := range of {
			if x[k] == 0 { // runs all the same
				money += 0.1 * img.Devices[i].Info.Loss.FixedKW
			}
		}
		least = min(least, money)
	}
	return least
}

// TestRestIsTheOptimum: of equal converters as many run as cost least, over all sets of them;
// of unequal ones the cost is near it.
func TestRestIsTheOptimum(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, equal := range []bool{true, false} {
		var far, sum, n float64
		for range 60 {
			img := fleet(2+rng.IntN(6), 50)
			one := device.Loss{FixedKW: 0.2 + 2*rng.Float64(), PerKW: 0.02 * rng.Float64(), PerKW2: 1e-4 + 3e-4*rng.Float64()}
			lossy(img, func(int) device.Loss {
				if equal {
					return one
				}
				return device.Loss{FixedKW: 0.2 + 2*rng.Float64(), PerKW: 0.02 * rng.Float64(), PerKW2: 1e-4 + 3e-4*rng.Float64()}
			})
			target := (2*rng.Float64() - 1) * 100 * float64(len(img.Devices))
			d := decide(t, resting(), start, img, target)
			if d.Shortfall != 0 {
				t.Fatalf("%g kW short of %g", d.Shortfall, target)
			}
			_, money := lost(img, powers(&d, len(img.Devices)))
			over := money/best(t, img, target) - 1
			if over < -1e-9 {
				t.Fatalf("%g is less than the least", money)
			}
			far, sum, n = max(far, over), sum+over, n+1
		}
		t.Logf("equal %v: %.3f %% above the least in the mean, at most %.3f %%", equal, 100*sum/n, 100*far)
		if equal && far > 0.005 || far > 0.03 {
			t.Errorf("equal %v: up to %.3f %% above the least", equal, 100*far)
		}
	}
}

// TestRestTakesTurns: batteries change places by their charge, not with every cycle, and a
// target that moves a little does not start and stop them.
func TestRestTakesTurns(t *testing.T) {
	for _, equal := range []bool{true, false} {
		rng := rand.New(rand.NewPCG(3, 4))
		img := fleet(6, 60)
		lossy(img, func(i int) device.Loss {
			if equal {
				i = 0
			}
			return device.Loss{FixedKW: 1 + 0.2*float64(i), PerKW: 0.01 + 0.001*float64(i%3), PerKW2: 2e-4 + 1e-5*float64(i)}
		})
		p := resting()
		last := make([]bool, 6)
		socs := []float64{60, 60, 60, 60, 60, 60}
		starts, hours := 0, 0.0
		for cycle := range 900 { // two hours
			now := start.Add(time.Duration(cycle) * 8 * time.Second)
			for i := range socs {
				see(&img.Devices[i], now, socs[i]+0.02*rng.NormFloat64())
			}
			d := decide(t, p, now, img, -130-12*rng.Float64())
			for i, kw := range powers(&d, 6) {
				socs[i] += kw * 8 / 3600 / 200 * 100
				if on := kw != 0; on != last[i] {
					last[i] = on
					starts++
				}
			}
			hours += 8.0 / 3600
		}
		t.Logf("equal %v: %d starts and stops of six in %.0f h, charge %.2f", equal, starts, hours, socs)
		if rate := float64(starts) / hours / 6; rate > 10 || rate < 0.3 {
			t.Errorf("%.1f starts and stops an hour of each", rate)
		}
		if equal && spread(socs) > 4 {
			t.Errorf("charge has come apart: %.1f", socs)
		}
	}
}

// TestRestAtALimit: a target that moves about what one feeder may give does not start and
// stop devices with it.
func TestRestAtALimit(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	img := named(50, "n-1", "n-2", "s-1", "s-2")
	lossy(img, func(int) device.Loss { return device.Loss{FixedKW: 1, PerKW: 0.01, PerKW2: 1e-4} })
	p := limited(t, dispatch.Cost, dispatch.Limit{Name: "n", Devices: "n-*", Import: inf, Export: 60})
	p.Settings.Rest = true
	last, starts := make([]float64, 4), 0
	for k := range 3600 { // two hours
		now := start.Add(time.Duration(k) * 2 * time.Second)
		for i, soc := range []float64{60, 60, 40, 40} {
			see(&img.Devices[i], now, soc)
		}
		d := decide(t, p, now, img, -60+rng.NormFloat64())
		if d.Shortfall != 0 {
			t.Fatalf("cycle %d: %g kW short", k, d.Shortfall)
		}
		for i, kw := range powers(&d, 4) {
			if (kw != 0) != (last[i] != 0) {
				starts++
			}
			last[i] = kw
		}
	}
	t.Logf("%d starts and stops of four in two hours", starts)
	if starts > 80 {
		t.Error("they flap")
	}
}

// TestRestByTier: devices of a tier do not rest for those of a later one, which rest while
// they are not needed.
func TestRestByTier(t *testing.T) {
	for _, tt := range []struct {
		kw   float64
		want []float64
	}{{-80, []float64{-40, -40, 0, 0}}, {-30, []float64{-30, 0, 0, 0}}, {-220, []float64{-100, -100, -20, 0}}, {220, []float64{100, 100, 20, 0}}} {
		img := fleet(4, 50)
		lossy(img, func(i int) device.Loss { return device.Loss{FixedKW: []float64{1, 1, 0.5, 0.5}[i], PerKW2: 4e-4} })
		for i := range img.Devices {
			img.Devices[i].Info.Tier = i / 2
		}
		d := decide(t, resting(), start, img, tt.kw)
		if got := powers(&d, 4); !slices.EqualFunc(got, tt.want, near) {
			t.Errorf("%g kW: %v, want %v", tt.kw, got, tt.want)
		}
	}
}

// TestRestBesideUnknownLoss: where the loss of some is not known, rest costs no more than
// when all run, theirs being what it is taken for.
func TestRestBesideUnknownLoss(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	saved := 0
	for trial := range 200 {
		img := fleet(2+rng.IntN(5), 50)
		lossy(img, func(int) device.Loss {
			return device.Loss{FixedKW: 0.5 * rng.Float64(), PerKW: 0.01 * rng.Float64(), PerKW2: 1e-6 + 4e-4*rng.Float64()}
		})
		known := rng.IntN(len(img.Devices))
		for i := range known {
			img.Devices[i].Info.Loss = nil
		}
		target := (2*rng.Float64() - 1) * 100 * float64(len(img.Devices))
		cost := func(p *dispatch.Planner) (sum float64) {
			d := decide(t, p, start, img, target)
			for i, kw := range powers(&d, len(img.Devices)) {
				if l := img.Devices[i].Info.Loss; l == nil {
					sum += 0.1 * 0.035 / 100 * kw * kw
				} else if kw != 0 {
					sum += 0.1 * l.At(kw)
				}
				sum += 0.0125*math.Abs(kw) + 0.0125*0.0630/0.0971/200*kw*kw
			}
			return sum
		}
		some, all := cost(resting()), cost(planner(dispatch.Cost))
		if some > all*(1+1e-3) {
			t.Errorf("trial %d: %g kW of %d, %d of unknown loss, cost %g, %g when all run", trial, target, len(img.Devices), known, some, all)
		}
		if some < all*(1-1e-3) {
			saved++
		}
	}
	if saved < 20 {
		t.Errorf("rest has saved something in %d of 200", saved)
	}
}

// TestRestGivesWay: where those that run are not enough for a limit, all do.
func TestRestGivesWay(t *testing.T) {
	img := named(50, "n-1", "n-2", "s-1", "s-2")
	lossy(img, func(int) device.Loss { return device.Loss{FixedKW: 20, PerKW2: 1e-4} })
	for i, soc := range []float64{60, 60, 40, 40} {
		see(&img.Devices[i], start, soc)
	}
	p := limited(t, dispatch.Cost, dispatch.Limit{Name: "n", Devices: "n-*", Import: inf, Export: 30})
	p.Settings.Rest = true
	d := decide(t, p, start, img, -90)
	if got := powers(&d, 4); d.Shortfall != 0 || got[0]+got[1] < -30-1e-9 {
		t.Errorf("%v kW, %g short", got, d.Shortfall)
	}
	if free := decide(t, resting(), start, img, -90); slices.Max(powers(&free, 4)) != 0 || free.Resting != 3 {
		t.Errorf("without the limit %v, %d rest; want one alone", powers(&free, 4), free.Resting)
	}
}

// TestStartsCost: a target that swings starts fewer converters where a start costs something, and
// one that was started runs for as long as it is to.
func TestStartsCost(t *testing.T) {
	run := func(cost float64, least time.Duration) (starts int, shortest time.Duration) {
		p := resting()
		p.Settings.Every, p.Settings.StartCost, p.Settings.RunFor = 10*time.Second, cost, least
		img := fleet(4, 50)
		lossy(img, func(int) device.Loss { return device.Loss{FixedKW: 0.5, PerKW: 0.005, PerKW2: 2e-4} })
		shortest = math.MaxInt64
		since := make([]time.Duration, 4) // when it was started; 0: it rests, or has run from the beginning
		on := make([]bool, 4)
		for at := time.Duration(0); at < 4*time.Hour; at += p.Settings.Every {
			target := -40.0
			if int(at.Minutes())/6%2 == 1 {
				target = -190
			}
			for i := range img.Devices {
				d := &img.Devices[i]
				d.Good.At, d.Good.Arrived = start.Add(at).UnixMilli(), start.Add(at).UnixMilli()
			}
			d := decide(t, p, start.Add(at), img, target)
			if math.Abs(d.Shortfall) > 1e-6 {
				t.Fatalf("at %v: short of %g kW", at, d.Shortfall)
			}
			for i, kw := range powers(&d, 4) {
				switch runs := kw != 0; {
				case runs && !on[i] && at > 0:
					starts++
					since[i] = at
				case !runs && on[i] && since[i] > 0:
					shortest = min(shortest, at-since[i])
				}
				on[i] = kw != 0
			}
		}
		return starts, shortest
	}
	free, _ := run(0, 0)
	dear, _ := run(0.5, 0)
	_, long := run(0, 15*time.Minute)
	if free < 20 || dear > free/4 {
		t.Errorf("%d starts where they cost nothing, %d where they do, want a quarter at most", free, dear)
	}
	if long < 15*time.Minute {
		t.Errorf("one ran for %v only, want 15 minutes", long)
	}
}
