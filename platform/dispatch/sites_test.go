package dispatch_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/dispatch"
	"yunchu/platform/fleet/image"
)

func asked(kw float64) func(time.Time) float64 { return func(time.Time) float64 { return kw } }

// TestSitesHaveTargets: a site with a target of its own has that within all limits, and the
// others have the rest of the fleet's. Six devices of 100 kW, two on each of three sites.
func TestSitesHaveTargets(t *testing.T) {
	site := func(name string, target float64) dispatch.Limit {
		return dispatch.Limit{Name: name, Devices: name + "-*", Import: inf, Export: inf, Target: asked(target)}
	}
	within := func(around string, l dispatch.Limit) dispatch.Limit {
		l.Within = around
		return l
	}
	none := math.NaN()
	for _, tt := range []struct {
		name   string
		limits []dispatch.Limit
		change func(img *image.Image)
		target float64
		want   [3]float64 // of n, s, w
		short  float64
		reason string
	}{
		{"none has one", []dispatch.Limit{site("n", none)}, nil, -120, [3]float64{-40, -40, -40}, 0, ""},
		{"the others have the rest", []dispatch.Limit{site("n", -60)}, nil, -100, [3]float64{-60, -20, -20}, 0, ""},
		{"it has nothing to do", []dispatch.Limit{site("n", 0)}, nil, -100, [3]float64{0, -50, -50}, 0, ""},
		{"it goes against the fleet", []dispatch.Limit{site("n", 30)}, nil, -100, [3]float64{30, -65, -65}, 0, ""},
		{"the others go against it", []dispatch.Limit{site("n", -90)}, nil, -50, [3]float64{-90, 20, 20}, 0, ""},
		{"more than it can", []dispatch.Limit{site("n", -300)}, nil, -300, [3]float64{-200, -50, -50}, 0, "n is asked for -300 kW and has -200 kW"},
		{"all have one", []dispatch.Limit{site("n", -60), site("s", -20), site("w", 10)}, nil, -100, [3]float64{-60, -20, 10}, -30, "the fleet can give 70 kW"},
		{"held counts", []dispatch.Limit{site("n", -60)}, func(img *image.Image) {
			img.Devices[0].Told = image.Told{Verb: device.SetPower, Priority: device.Normal, Power: -20, At: 1, Until: math.MaxInt64}
		}, -100, [3]float64{-40, -20, -20}, 0, ""},
		{"its own limit goes before", []dispatch.Limit{{Name: "n", Devices: "n-*", Import: inf, Export: 50, Target: asked(-60)}}, nil, -110, [3]float64{-50, -30, -30}, 0, "n is asked for -60 kW and has -50 kW"},
		{"load that is not the fleet's is none of its target", []dispatch.Limit{{Name: "n", Devices: "n-*", Import: 100, Export: inf, Load: asked(30), Target: asked(60)}}, nil, 100, [3]float64{60, 20, 20}, 0, ""},
		{"the limit around two goes before, and both give way", []dispatch.Limit{within("all", site("n", -80)), within("all", site("s", -140)), {Name: "all", Devices: "[ns]-*", Import: inf, Export: 100}}, nil, -100, [3]float64{-80 * 100. / 220, -140 * 100. / 220, 0}, 0, "n is asked for"},
		{"one within another", []dispatch.Limit{within("all", site("n", -50)), {Name: "all", Devices: "[ns]-*", Import: inf, Export: inf, Target: asked(-80)}}, nil, -200, [3]float64{-50, -30, -120}, 0, ""},
		{"the inner one goes before the one around", []dispatch.Limit{within("all", site("n", -150)), {Name: "all", Devices: "n-*", Import: inf, Export: inf, Target: asked(-80)}}, nil, -200, [3]float64{-150, -25, -25}, 0, "all is asked for -80 kW and has -150 kW"},
		{"a limit around both", []dispatch.Limit{within("all", site("n", -150)), within("top", dispatch.Limit{Name: "all", Devices: "n-*", Import: inf, Export: inf, Target: asked(-180)}), {Name: "top", Devices: "n-*", Import: inf, Export: 90}}, nil, -200, [3]float64{-90, -55, -55}, 0, "n is asked for -150 kW and has -90 kW"},
	} {
		for _, strategy := range dispatch.Strategies {
			t.Run(fmt.Sprint(tt.name, "/", strategy), func(t *testing.T) {
				img := named(50, "n-1", "n-2", "s-1", "s-2", "w-1", "w-2")
				if tt.change != nil {
					tt.change(img)
				}
				d := decide(t, limited(t, strategy, tt.limits...), start.Add(time.Second), img, tt.target)
				var got [3]float64
				for i, kw := range powers(&d, 6) {
					if !math.IsNaN(kw) {
						got[i/2] += kw
					}
				}
				for i, want := range tt.want {
					if math.Abs(got[i]-want) > 1e-6 {
						t.Errorf("sites have %v, want %v", got, tt.want)
						break
					}
				}
				if math.Abs(d.Shortfall-tt.short) > 1e-6 || !strings.Contains(d.Reason, tt.reason) || tt.reason == "" && d.Reason != "" {
					t.Errorf("short of %g, want %g; reason %q, want %q", d.Shortfall, tt.short, d.Reason, tt.reason)
				}
			})
		}
	}
}

// TestTargetsWithinLimits: whatever sites are asked for, limits that can be kept without their
// targets are kept with them; where no limit around it binds, a site has what it is asked for as
// near as it can; and none goes beyond that.
func TestTargetsWithinLimits(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	bound, free := 0, 0
	for range 2000 {
		names := []string{"a-1", "a-2", "b-1", "b-2", "c-1", "c-2"}
		img := named(50, names...)
		kw := func() float64 { return math.Round(rng.Float64()*600 - 300) }
		list := []dispatch.Limit{
			{Name: "a", Devices: "a-*", Import: 200 * rng.Float64(), Export: 200 * rng.Float64(), Within: "ab", Target: asked(kw())},
			{Name: "b", Devices: "b-*", Import: 200 * rng.Float64(), Export: 200 * rng.Float64(), Within: "ab", Target: asked(kw())},
			{Name: "ab", Devices: "[ab]-*", Import: 300 * rng.Float64(), Export: 300 * rng.Float64(), Within: "all"},
			{Name: "all", Import: 400 * rng.Float64(), Export: 400 * rng.Float64()},
		}
		d := decide(t, limited(t, dispatch.Proportional, list...), start.Add(time.Second), img, kw())
		p := powers(&d, 6)
		sum := map[string]float64{"a": p[0] + p[1], "b": p[2] + p[3]}
		sum["ab"] = sum["a"] + sum["b"]
		sum["all"] = sum["ab"] + p[4] + p[5]
		for _, l := range list {
			if s := sum[l.Name]; s > l.Import+1e-6 || s < -l.Export-1e-6 {
				t.Fatalf("%s has %g kW of -%g to %g: %+v", l.Name, s, l.Export, l.Import, list)
			}
		}
		at := func(name string) bool {
			return math.Abs(sum[name]-list[3].Import) < 1e-6 || math.Abs(sum[name]+list[3].Export) < 1e-6
		}
		tight := at("all") || math.Abs(sum["ab"]-list[2].Import) < 1e-6 || math.Abs(sum["ab"]+list[2].Export) < 1e-6
		for _, l := range list[:2] {
			want := min(max(l.Target(start), -l.Export), l.Import)
			if tight {
				bound++
			} else if free++; math.Abs(sum[l.Name]-want) > 1e-6 {
				t.Fatalf("%s has %g kW, want %g: %+v, sums %v", l.Name, sum[l.Name], want, list, sum)
			}
			if math.Abs(sum[l.Name]) > math.Abs(want)+1e-6 && sum[l.Name]*want > 0 && !tight {
				t.Fatalf("%s goes beyond its target", l.Name)
			}
		}
	}
	if bound < 300 || free < 300 {
		t.Errorf("%d sites behind limits that bind, %d behind others: too few of one", bound, free)
	}
}
