package dispatch_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/dispatch"
	"yunchu/platform/fleet/image"
)

// named is a fleet whose devices have the names.
func named(soc float64, names ...string) *image.Image {
	img := fleet(len(names), soc)
	for i, n := range names {
		img.Devices[i].Info.ID = device.ID(n)
	}
	return img
}

func limited(t testing.TB, s dispatch.Strategy, list ...dispatch.Limit) *dispatch.Planner {
	t.Helper()
	p := planner(s)
	if err := p.SetLimits(list); err != nil {
		t.Fatal(err)
	}
	return p
}

var (
	inf    = math.Inf(1)
	feeder = dispatch.Limit{Name: "feeder", Devices: "n-*", Import: 120, Export: 80, Within: "site"}
	site   = dispatch.Limit{Name: "site", Import: 250, Export: 200}
)

func TestLimits(t *testing.T) {
	now := start.Add(time.Second)
	told := func(d *image.Device, kw float64) {
		d.Told = image.Told{Verb: device.SetPower, Priority: device.Normal, Power: kw, At: now.UnixMilli(), Until: now.Add(time.Minute).UnixMilli()}
	}
	meter := func(img *image.Image, kw float64) {
		d := image.Device{Info: device.Info{ID: "meter", Slot: device.Slot(len(img.Devices)), State: device.Inactive}}
		r := device.Empty()
		r.At, r.Arrived, r.Power = now.UnixMilli(), now.UnixMilli(), kw
		d.Put(&r)
		img.Devices = append(img.Devices, d)
	}
	metered := feeder
	metered.Meter = "meter"
	loaded := feeder
	loaded.Load = func(time.Time) float64 { return 70 }
	for _, tt := range []struct {
		name   string
		limits []dispatch.Limit
		change func(img *image.Image)
		target float64
		want   []float64 // of n-1, n-2, s-1, s-2; NaN: told nothing
		short  float64
		reason string
		bounds string // name, limit, sum, kept
	}{
		{"not bound", []dispatch.Limit{feeder, site}, nil, 200, []float64{50, 50, 50, 50}, 0, "", ""},
		{"the feeder binds", []dispatch.Limit{feeder, site}, nil, -190, []float64{-40, -40, -55, -55}, 0, "", "[feeder -80 -80 true]"},
		{"the site binds too", []dispatch.Limit{feeder, site}, nil, 400, []float64{60, 60, 65, 65}, 150, "limit site binds at 250 kW; limit feeder binds at 120 kW", "[site 250 250 true feeder 120 120 true]"},
		{"another order", []dispatch.Limit{site, feeder}, nil, -190, []float64{-40, -40, -55, -55}, 0, "", "[feeder -80 -80 true]"},
		{"held counts", []dispatch.Limit{feeder, site}, func(img *image.Image) { told(&img.Devices[0], 100) }, 250, []float64{math.NaN(), 20, 65, 65}, 0, "", "[site 250 250 true feeder 120 120 true]"},
		{"held beyond: the other works against it", []dispatch.Limit{feeder, site}, func(img *image.Image) { told(&img.Devices[0], 150) }, 200, []float64{math.NaN(), -30, 40, 40}, 0, "", "[feeder 120 120 true]"},
		{"held too far beyond", []dispatch.Limit{feeder, site}, func(img *image.Image) { told(&img.Devices[0], 260) }, 250, []float64{math.NaN(), -100, 45, 45}, 0, "limit feeder of 120 kW cannot be kept: 160 kW", "[site 250 250 true feeder 120 160 false]"},
		{"held beyond, and the fleet discharges: the others take what is left", []dispatch.Limit{feeder, site}, func(img *image.Image) { told(&img.Devices[0], 170) }, 160, []float64{math.NaN(), -50, 20, 20}, 0, "", "[feeder 120 120 true]"},
		{"nothing is asked, and held is beyond", []dispatch.Limit{feeder, site}, func(img *image.Image) { told(&img.Devices[0], 170) }, 170, []float64{math.NaN(), -50, 25, 25}, 0, "", "[feeder 120 120 true]"},
		{"unreachable counts", []dispatch.Limit{feeder, site}, func(img *image.Image) {
			told(&img.Devices[0], 90)
			img.Devices[0].Good.At, img.Devices[0].Good.Arrived = 1, 1
		}, 220, []float64{math.NaN(), 30, 50, 50}, 0, "", "[feeder 120 120 true]"},
		{"other load", []dispatch.Limit{loaded, site}, nil, 180, []float64{25, 25, 65, 65}, 0, "", "[site 250 250 true feeder 120 120 true]"},
		{"other load takes from the site as well", []dispatch.Limit{loaded, site}, nil, -300, []float64{-67.5, -67.5, -67.5, -67.5}, -30, "limit site binds at -200 kW", "[site -200 -200 true]"},
		{"a meter", []dispatch.Limit{metered, site}, func(img *image.Image) {
			img.Devices[0].Good.Power, img.Devices[1].Good.Power = 20, 20
			meter(img, 110) // 70 of others
		}, 180, []float64{25, 25, 65, 65}, 0, "", "[site 250 250 true feeder 120 120 true]"},
		{"a meter that has said nothing: what flows behind it and around is not known", []dispatch.Limit{metered, site}, nil, -190, []float64{0, 0, 0, 0}, -190, "not known: only what relieves it is allowed", "[site -200 0 true feeder 120 0 true]"},
		{"one that is not ours to tell", []dispatch.Limit{feeder, site}, func(img *image.Image) {
			img.Devices[0].Info.State, img.Devices[0].Good.Power = device.Inactive, 100
		}, 200, []float64{math.NaN(), 20, 65, 65}, 50, "limit site binds at 250 kW; limit feeder binds at 120 kW", "[site 250 250 true feeder 120 120 true]"},
		{"what only measures does not flow", []dispatch.Limit{feeder, site}, func(img *image.Image) {
			meter(img, 90)
			meter(img, 90)
			img.Devices[4].Info.ID, img.Devices[5].Info.ID = "n-meter", "n-whole"
			img.Devices[5].Info.Kind, img.Devices[5].Info.RatedKW = "fused", 200
		}, 200, []float64{50, 50, 50, 50}, 0, "", ""},
		{"of a site", []dispatch.Limit{{Name: "joined", Edge: "east", Import: 30, Export: inf}}, func(img *image.Image) {
			img.Devices[0].Info.Edge, img.Devices[3].Info.Edge = "east", "west"
		}, 180, []float64{30, 50, 50, 50}, 0, "", "[joined 30 30 true]"},
		{"nothing may flow", []dispatch.Limit{{Name: "off", Devices: "s-*"}}, nil, -300, []float64{-100, -100, 0, 0}, -100, "limit off binds at", "[off 0 0 true]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			img := named(50, "n-1", "n-2", "s-1", "s-2")
			if tt.change != nil {
				tt.change(img)
			}
			d := decide(t, limited(t, dispatch.Proportional, tt.limits...), now, img, tt.target)
			got := powers(&d, len(img.Devices))
			for i, want := range tt.want {
				if math.IsNaN(want) != math.IsNaN(got[i]) || !math.IsNaN(want) && !near(got[i], want) {
					t.Errorf("told %v, want %v", got, tt.want)
					break
				}
			}
			if !near(d.Shortfall, tt.short) || !strings.Contains(d.Reason, tt.reason) || (tt.reason == "") != (d.Reason == "") {
				t.Errorf("%g kW short, %q; want %g, %q", d.Shortfall, d.Reason, tt.short, tt.reason)
			}
			var bounds []any
			for _, b := range d.Bounds {
				bounds = append(bounds, b.Name, b.KW, math.Round(1e6*b.SumKW)/1e6, b.Kept)
			}
			text := ""
			if bounds != nil {
				text = strings.ReplaceAll(fmt.Sprint(bounds), "-0 ", "0 ")
			}
			if text != tt.bounds {
				t.Errorf("bounds %s, want %s", text, tt.bounds)
			}
		})
	}
}

// TestPriceOfALimit: what a limit costs is what the fleet saves with a kW more of it.
func TestPriceOfALimit(t *testing.T) {
	cost := func(tier int, export float64) (money, price float64) {
		img := named(50, "n-1", "n-2", "s-1", "s-2")
		img.Devices[2].Info.Tier, img.Devices[3].Info.Tier = tier, tier
		l := feeder
		l.Export, l.Within = export, ""
		d := decide(t, limited(t, dispatch.Cost, l), start, img, -250)
		for _, kw := range powers(&d, 4) { // of strategy cost, see costs.go
			money += (2*0.1*0.035/100+0.0125*0.0630/0.0971*2/200)*kw*kw/2 + 0.0125*math.Abs(kw)
		}
		if len(d.Bounds) != 1 {
			t.Fatalf("bounds %+v", d.Bounds)
		}
		return money, d.Bounds[0].Price
	}
	for _, tier := range []int{0, 3} { // a tier is no money
		less, _ := cost(tier, 79.5)
		more, _ := cost(tier, 80.5)
		if _, price := cost(tier, 80); !near(less-more, price) || price <= 0 {
			t.Errorf("tier %d: a kW more saves %g, the price is %g", tier, less-more, price)
		}
	}
}

// TestCostsThatAreStraight: a device whose cost hardly bends does not stop the others.
func TestCostsThatAreStraight(t *testing.T) {
	for _, tier := range []int{0, device.MaxTier} {
		img := named(50, "n-1", "n-2", "s-1", "s-2")
		img.Devices[0].Info.Wear = device.Wear{{ToPercent: 50, CostPerKWh: 0}, {ToPercent: 100, CostPerKWh: 0.1}}
		img.Devices[0].Info.Loss = &device.Loss{FixedKW: 1, PerKW: 0.03, PerKW2: 1e-13}
		img.Devices[3].Info.Tier = tier
		d := decide(t, limited(t, dispatch.Cost, feeder, site), start, img, -170)
		if got := powers(&d, 4); !near(got[0], -80) || !near(got[2]+got[3], -90) || (tier > 0) != near(got[2], -90) {
			t.Errorf("tier %d: told %v, the cheapest shall have the 80 kW of its feeder", tier, got)
		}
	}
}

// TestRoundingBreaksNoLimit: what is held adds up to the limit, but for the last bit.
func TestRoundingBreaksNoLimit(t *testing.T) {
	img := named(50, "n-1", "n-2")
	for i, kw := range []float64{0.1, 0.2} {
		img.Devices[i].Told = image.Told{Verb: device.SetPower, Priority: device.Normal, Power: kw, At: start.UnixMilli(), Until: start.Add(time.Minute).UnixMilli()}
	}
	d := decide(t, limited(t, dispatch.Cost, dispatch.Limit{Name: "feeder", Devices: "n-*", Import: 0.3, Export: 10}), start, img, 0.3)
	for _, b := range d.Bounds {
		if !b.Kept {
			t.Errorf("%+v, %q", b, d.Reason)
		}
	}
}

func TestLimitsThatAreNone(t *testing.T) {
	for want, list := range map[string][]dispatch.Limit{
		"given twice":    {site, site},
		"not there":      {feeder},
		"in a circle":    {{Name: "a", Within: "b", Import: 1}, {Name: "b", Within: "a", Import: 1}},
		"no glob":        {{Name: "a", Devices: "[", Import: 1}},
		"not both":       {{Name: "a", Import: -1}},
		"name \"\" is n": {{Import: 1}},
	} {
		if err := dispatch.CheckLimits(list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", list, err, want)
		}
	}
}

// TestTiers: of each tier nothing is used while those before it could do more.
func TestTiers(t *testing.T) {
	for _, s := range dispatch.Strategies {
		for _, tt := range []struct {
			target float64
			want   [3]float64 // by tier 0, 1, 5
		}{{-150, [3]float64{-150, 0, 0}}, {150, [3]float64{150, 0, 0}}, {-250, [3]float64{-200, -50, 0}}, {450, [3]float64{200, 200, 50}}, {-900, [3]float64{-200, -200, -200}}} {
			img := fleet(6, 50)
			rng := rand.New(rand.NewPCG(1, 2))
			for i := range img.Devices {
				img.Devices[i].Info.Tier = []int{5, 0, 1}[i%3]
				see(&img.Devices[i], start, 30+40*rng.Float64())
			}
			d := decide(t, planner(s), start, img, tt.target)
			var got [3]float64
			for i, kw := range powers(&d, 6) {
				got[[]int{2, 0, 1}[i%3]] += kw
			}
			for k := range got {
				if !near(got[k], tt.want[k]) {
					t.Errorf("%s: %g kW are %v by tier, want %v", s, tt.target, got, tt.want)
					break
				}
			}
		}
	}
}

// BenchmarkDecideWithin: a decision for 100,000 devices of 1,000 sites on 20 feeders.
func BenchmarkDecideWithin(b *testing.B) {
	const n = 100_000
	var limits []dispatch.Limit
	for f := range 20 {
		limits = append(limits, dispatch.Limit{Name: fmt.Sprint("feeder-", f), Devices: "none", Import: 200_000, Export: 200_000})
	}
	for s := range 1000 {
		limits = append(limits, dispatch.Limit{Name: fmt.Sprint("site-", s), Devices: fmt.Sprintf("ess-%03d-*", s), Import: 4500, Export: 4500, Within: fmt.Sprint("feeder-", s%20)})
	}
	for _, tiers := range []int{1, 4} {
		b.Run(fmt.Sprintf("tiers-%d", tiers), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			img := fleet(n, 50)
			for i := range img.Devices {
				img.Devices[i].Info.ID = device.ID(fmt.Sprintf("ess-%03d-%d", i%1000, i))
				img.Devices[i].Info.Tier = i / 1000 % tiers
				img.Devices[i].Good.SoC = 20 + 60*rng.Float64()
			}
			p := limited(b, dispatch.SoCBalancing, limits...)
			var cmds []device.Command
			i, bound := 0, 0
			decide(b, p, start, img, 0) // finds the group of each device
			for b.Loop() {
				d, err := p.Decide(start, img, -float64(n)*(36+float64(i%10)), cmds[:0])
				if err != nil {
					b.Fatal(err)
				}
				cmds = d.Commands
				bound += len(d.Bounds)
				i++
			}
			b.ReportMetric(float64(bound)/float64(i), "limits/op")
		})
	}
}

// TestOverlap: a device behind two limits of which neither lies within the other is told of,
// once for the two, whenever it comes.
func TestOverlap(t *testing.T) {
	img := named(50, "n-1", "n-2", "b-1")
	p := limited(t, dispatch.Proportional,
		dispatch.Limit{Name: "all", Import: 500, Export: 500},
		dispatch.Limit{Name: "north", Devices: "n-*", Import: 50, Export: inf, Within: "all"},
		dispatch.Limit{Name: "ones", Devices: "*-1", Import: 50, Export: inf},
		dispatch.Limit{Name: "east", Edge: "east", Import: 50, Export: inf, Within: "all"},
	)
	check := func(want ...dispatch.Overlap) {
		t.Helper()
		if d := decide(t, p, start, img, 200); !slices.Equal(d.Overlaps, want) {
			t.Errorf("overlaps %v, want %v", d.Overlaps, want)
		}
	}
	check(dispatch.Overlap{Slot: 0, In: "north", Other: "ones"}, dispatch.Overlap{Slot: 2, In: "all", Other: "ones"})
	check()
	late := img.Devices[1]
	late.Info.ID, late.Info.Slot, late.Info.Edge = "n-3", 3, "east"
	img.Devices = append(img.Devices, late)
	check(dispatch.Overlap{Slot: 3, In: "north", Other: "east"})
	check()
}
