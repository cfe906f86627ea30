package dispatch_test

import (
	"fmt"
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

// TestLimitsComeFirst: limits before the target, both before tiers, and none of them at the
// price of devices that work against each other without need.
func TestLimitsComeFirst(t *testing.T) {
	hold := func(d *image.Device, kw float64) {
		d.Told = image.Told{Verb: device.SetPower, Priority: device.Normal, Power: kw, At: start.UnixMilli(), Until: start.Add(time.Minute).UnixMilli()}
	}
	for _, tt := range []struct {
		name   string
		limits []dispatch.Limit
		names  []string
		tiers  []int
		held   float64 // of the first
		target float64
		want   []float64 // of the others
	}{
		{
			"a later tier keeps the inner limit, so the first must not use up the outer one",
			[]dispatch.Limit{{Name: "feeder", Devices: "a-*", Export: 500, Within: "station"}, {Name: "station", Import: 500}},
			[]string{"a-held", "a-old", "b-1"},
			[]int{0, 1, 0},
			100, -200,
			[]float64{-100, 0},
		},
		{
			"a later tier keeps the limit, the first gives what is left",
			[]dispatch.Limit{{Name: "feeder", Devices: "a-*", Import: 50, Export: 500}},
			[]string{"a-held", "a-old", "b-1", "b-2"},
			[]int{0, 1, 0, 0},
			90, 0,
			[]float64{-40, -25, -25},
		},
		{
			"the inner group alone heals the outer one",
			[]dispatch.Limit{{Name: "in", Devices: "in-*", Import: inf, Within: "out"}, {Name: "out", Devices: "out-*", Import: inf, Export: 50}},
			[]string{"in-held", "in-1", "out-1"},
			[]int{0, 0, 0},
			-95, -14,
			[]float64{95, -14},
		},
		{
			"a group that has turned turns no further for the sake of charge",
			[]dispatch.Limit{{Name: "feeder", Devices: "a-*", Import: 50, Export: 500}},
			[]string{"a-held", "a-1", "b-1"},
			[]int{0, 0, 0},
			90, 110,
			[]float64{-40, 60},
		},
		{
			"where limits ask for more than the target, the others take it, the first tier first",
			[]dispatch.Limit{{Name: "feeder", Devices: "a-*", Import: inf, Export: 0}},
			[]string{"a-held", "a-1", "b-1", "b-2"},
			[]int{0, 0, 1, 0},
			-90, -120,
			[]float64{90, -20, -100},
		},
	} {
		for _, s := range dispatch.Strategies {
			img := named(50, tt.names...)
			for i, tier := range tt.tiers {
				img.Devices[i].Info.Tier = tier
			}
			hold(&img.Devices[0], tt.held)
			if s == dispatch.SoCBalancing {
				img.Devices[1].Good.SoC = 90
			}
			d := decide(t, limited(t, s, tt.limits...), start, img, tt.target)
			got := powers(&d, len(img.Devices))[1:]
			for i, want := range tt.want {
				if !near(got[i], want) {
					t.Errorf("%s, %s: told %v, want %v", tt.name, s, got, tt.want)
					break
				}
			}
		}
	}
}

// TestReasonOfATurnedDevice: what is said of a device is what limits it in its own direction.
func TestReasonOfATurnedDevice(t *testing.T) {
	img := named(50, "a-held", "a-1", "b-1")
	img.Devices[0].Told = image.Told{Verb: device.SetPower, Priority: device.Normal, Power: 90, At: start.UnixMilli(), Until: start.Add(time.Minute).UnixMilli()}
	img.Devices[1].Good.MaxCharge, img.Devices[1].Good.MaxDischarge = 30, 40
	d := decide(t, limited(t, dispatch.Proportional, dispatch.Limit{Name: "feeder", Devices: "a-*", Import: 50, Export: 500}), start, img, 110)
	if c := d.Commands[0]; !near(c.Power, -40) || c.Reason != "discharge limit" {
		t.Errorf("told %g kW, %q; want -40, discharge limit", c.Power, c.Reason)
	}
}

// grid is a fleet behind limits, as the tests see it: all with its number in the image or
// the list of limits.
type grid struct {
	img    *image.Image
	limits []dispatch.Limit
	up, of []int
	load   []float64 // by limit, kW
	fixed  []float64 // by device: what it has without us; NaN where we tell it
	lo, hi []float64 // by device
}

func drawGrid(rng *rand.Rand) *grid {
	n := 1 + rng.IntN(10)
	g := &grid{
		img: fleet(n, 50), limits: make([]dispatch.Limit, 1+rng.IntN(4)),
		of: make([]int, n), fixed: make([]float64, n), lo: make([]float64, n), hi: make([]float64, n),
	}
	kw := func() float64 { return []float64{0, 50, 120, 400, inf}[rng.IntN(5)] }
	for k := range g.limits {
		l := dispatch.Limit{Name: fmt.Sprint("g", k), Devices: fmt.Sprintf("*-g%d-*", k), Import: kw(), Export: kw()}
		up, load := -1, 0.0
		if k > 0 && rng.IntN(3) > 0 {
			up = rng.IntN(k)
			l.Within = fmt.Sprint("g", up)
		}
		if rng.IntN(3) == 0 {
			load = 300 * (rng.Float64() - 0.5)
			l.Load = func(time.Time) float64 { return load }
		}
		g.limits[k], g.up, g.load = l, append(g.up, up), append(g.load, load)
	}
	tiers := 1 + 2*rng.IntN(2)
	for i := range g.img.Devices {
		g.of[i] = rng.IntN(len(g.limits))
		info := &g.img.Devices[i].Info
		info.ID, info.Tier = device.ID(fmt.Sprintf("d%d-g%d-", i, g.of[i])), rng.IntN(tiers)
		if rng.IntN(4) > 0 {
			info.Loss = &device.Loss{FixedKW: 2 * rng.Float64(), PerKW2: 1e-4 + 1e-4*rng.Float64()}
		}
	}
	return g
}

// next is another moment of the grid: other readings, and others are held or out of reach.
func (g *grid) next(rng *rand.Rand, now time.Time) {
	for i := range g.img.Devices {
		d := &g.img.Devices[i]
		see(d, now, 10+80*rng.Float64())
		d.Good.MaxCharge, d.Good.MaxDischarge = 1+119*rng.Float64(), 1+119*rng.Float64()
		d.Told = image.Told{}
		g.fixed[i], g.lo[i], g.hi[i] = math.NaN(), -min(100, d.Good.MaxDischarge), min(100, d.Good.MaxCharge)
		switch rng.IntN(10) {
		case 0, 1: // held
			g.fixed[i] = 300 * (rng.Float64() - 0.5)
			d.Told = image.Told{Verb: device.SetPower, Priority: device.Normal, Power: g.fixed[i], At: now.UnixMilli(), Until: now.UnixMilli() + 9000}
		case 2: // out of reach
			g.fixed[i] = 200 * (rng.Float64() - 0.5)
			d.Told = image.Told{Verb: device.SetPower, Priority: device.Dispatch, Power: g.fixed[i], At: now.UnixMilli(), Until: now.UnixMilli() + 9000}
			d.Good.At, d.Good.Arrived = 1, 1
		}
	}
}

// sums are the powers of the limits where those told have x.
func (g *grid) sums(x []float64) []float64 {
	out := slices.Clone(g.load)
	for i, kw := range x {
		if math.IsNaN(kw) {
			kw = g.fixed[i]
		}
		out[g.of[i]] += kw
	}
	for k, kw := range slices.Backward(out) { // inner ones come later
		if g.up[k] >= 0 {
			out[g.up[k]] += kw
		}
	}
	return out
}

// best is what anybody could make of the target, with every device in whatever direction:
// how short that is, and which limits cannot be kept.
func (g *grid) best(t *testing.T, target float64) (short float64, broken []bool) {
	var (
		p    alloc.Problem
		tree alloc.Tree
		s    alloc.Nested
	)
	none := make([]float64, len(g.of))
	for i, kw := range g.fixed {
		if none[i] = math.NaN(); math.IsNaN(kw) {
			none[i] = 0
			p.A, p.B, p.R = append(p.A, 1), append(p.B, 0), append(p.R, 0)
			p.Lo, p.Hi = append(p.Lo, g.lo[i]), append(p.Hi, g.hi[i])
			tree.Of = append(tree.Of, int32(g.of[i]))
		} else {
			target -= kw
		}
	}
	fixed := g.sums(none)
	for k, l := range g.limits {
		tree.Groups = append(tree.Groups, alloc.Group{Parent: g.up[k], Lo: -l.Export - fixed[k], Hi: l.Import - fixed[k]})
	}
	w, err := s.Solve(p, tree, target, make([]float64, p.Len()))
	if err != nil {
		t.Fatal(err)
	}
	broken = make([]bool, len(g.limits))
	for _, k := range w.Beyond {
		broken[k] = true
	}
	return w.Shortfall, broken
}

// better is what could be moved from one device to another so that they work against each
// other less, or an earlier tier does it; "" if nothing. No limit gets worse by it.
func (g *grid) better(x []float64, tiers bool) string {
	const eps = 1e-6
	sum := g.sums(x)
	behind := func(i, k int) bool {
		for c := g.of[i]; c >= 0; c = g.up[c] {
			if c == k {
				return true
			}
		}
		return false
	}
	for i, more := range x {
		for j, less := range x {
			if i == j || math.IsNaN(more) || math.IsNaN(less) {
				continue
			}
			room := min(g.hi[i]-more, less-g.lo[j])
			for k, l := range g.limits {
				switch a, b := behind(i, k), behind(j, k); {
				case a && !b:
					room = min(room, l.Import-sum[k])
				case b && !a:
					room = min(room, sum[k]+l.Export)
				}
			}
			if room < 1e-4 {
				continue
			}
			a, b := &g.img.Devices[i].Info, &g.img.Devices[j].Info
			switch grows, shrinks := more > -eps, less > eps; {
			case !grows && shrinks:
				return fmt.Sprintf("%s and %s work against each other by %g kW", a.ID, b.ID, room)
			case tiers && grows && shrinks && a.Tier < b.Tier, tiers && !grows && !shrinks && b.Tier < a.Tier:
				return fmt.Sprintf("%s of tier %d and %s of tier %d could exchange %g kW", a.ID, a.Tier, b.ID, b.Tier, room)
			}
		}
	}
	return ""
}

// TestThePlanIsBest: whatever is held, drawn beside or out of reach, and whatever is asked,
// the plan keeps each limit that can be kept, is short of the target by no more than anybody
// would be, and then nothing can be moved between two devices so that they work against each
// other less or a later tier does less. As limits lie within each other, what no such move
// makes better nothing does.
func TestThePlanIsBest(t *testing.T) {
	broke, shorts, against := 0, 0, 0
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 5))
		g := drawGrid(rng)
		p := limited(t, dispatch.Strategies[rng.IntN(len(dispatch.Strategies))], g.limits...)
		p.Settings.Rest = rng.IntN(2) == 0
		for cycle := range 2 {
			now := start.Add(time.Duration(cycle) * 2 * time.Second)
			g.next(rng, now)
			target := []float64{200, 600, 1200}[rng.IntN(3)] * (rng.Float64() - 0.5)
			if rng.IntN(8) == 0 {
				target = 0
			}
			d := decide(t, p, now, g.img, target)
			fail := func(format string, args ...any) {
				t.Helper()
				t.Fatalf("seed %d, cycle %d, %s, target %g kW: %s", seed, cycle, p.Settings.Strategy, target, fmt.Sprintf(format, args...))
			}
			x := powers(&d, len(g.of))
			for i, kw := range x {
				if math.IsNaN(kw) != !math.IsNaN(g.fixed[i]) || kw < g.lo[i]-1e-9 || kw > g.hi[i]+1e-9 {
					fail("%g kW for %s of %g to %g", kw, g.img.Devices[i].Info.ID, g.lo[i], g.hi[i])
				}
			}
			short, broken := g.best(t, target)
			sum := g.sums(x)
			said := slices.Clone(broken)
			for _, b := range d.Bounds {
				k := slices.IndexFunc(g.limits, func(l dispatch.Limit) bool { return l.Name == b.Name })
				said[k] = !b.Kept
				if !near(b.SumKW, sum[k]) {
					fail("limit %s has %g kW, %g are told", b.Name, sum[k], b.SumKW)
				}
				if b.Price < 0 || !device.Finite(b.Price) {
					fail("limit %s has the price %g", b.Name, b.Price)
				}
			}
			for k, l := range g.limits {
				over := max(sum[k]-l.Import, -l.Export-sum[k])
				if said[k] != broken[k] || over > 1e-6 != broken[k] {
					fail("limit %s has %g kW, beyond it by %g: it cannot be kept: %v, said so: %v", l.Name, sum[k], over, broken[k], said[k])
				}
			}
			if !near(d.Shortfall, short) {
				fail("%g kW short, at best %g", d.Shortfall, short)
			}
			if what := g.better(x, true); what != "" {
				fail("%s: %v", what, x)
			}
			if bent := slices.Contains(broken, true); (d.Shortfall != 0 || bent) != (d.Reason != "") {
				fail("short of %g kW, a limit not kept: %v, reason %q", d.Shortfall, bent, d.Reason)
			}
			broke += count(slices.Contains(broken, true))
			shorts += count(short != 0)
			against += count(slices.ContainsFunc(x, func(kw float64) bool { return kw > 1e-6 }) && slices.ContainsFunc(x, func(kw float64) bool { return kw < -1e-6 }))
		}
	}
	if broke < 100 || shorts < 100 || against < 100 {
		t.Errorf("of 6000 plans %d cannot keep a limit, %d are short, in %d devices work against each other: too few to say something", broke, shorts, against)
	}
	t.Logf("%d cannot keep a limit, %d are short, in %d devices work against each other", broke, shorts, against)
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}
