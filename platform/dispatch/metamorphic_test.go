package dispatch_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/dispatch"
	"yunchu/platform/fleet/image"
)

// anyFleet is a fleet of different devices in two feeders, tiers and depths of use, as it
// stands in cycle k.
type anyFleet struct {
	devices []image.Device
	target  []float64 // by cycle
	socs    [][]float64
}

func draw(seed uint64, tiers bool) *anyFleet {
	rng := rand.New(rand.NewPCG(seed, 9))
	f := &anyFleet{devices: make([]image.Device, 3+rng.IntN(8))}
	for i := range f.devices {
		d := &f.devices[i]
		d.Info = device.Info{ID: device.ID(fmt.Sprintf("%c-%d", "ns"[i%2], i)), State: device.Active, RatedKW: 40 + 80*rng.Float64(), SoCMin: 5, SoCMax: 95}
		d.Info.CapacityKWh = d.Info.RatedKW * (1 + 2*rng.Float64())
		d.Info.Wear = steps
		if tiers {
			d.Info.Tier = rng.IntN(3)
		}
	}
	var total float64
	for i := range f.devices {
		total += f.devices[i].Info.RatedKW
	}
	for range 5 {
		f.target = append(f.target, total*(2.4*rng.Float64()-1.2))
		var soc []float64
		for range f.devices {
			soc = append(soc, 4+92*rng.Float64())
		}
		f.socs = append(f.socs, soc)
	}
	return f
}

// play decides through all cycles and returns what each device is told in them, by id, and
// how much each cycle is short of.
func (f *anyFleet) play(t *testing.T, s dispatch.Strategy) (told map[device.ID][]float64, short []float64) {
	t.Helper()
	img := &image.Image{Devices: make([]image.Device, len(f.devices))}
	copy(img.Devices, f.devices)
	var rated float64
	for i := range img.Devices {
		img.Devices[i].Info.Slot = device.Slot(i)
		if img.Devices[i].Info.ID[0] == 'n' {
			rated += img.Devices[i].Info.RatedKW
		}
	}
	p := limited(t, s, dispatch.Limit{Name: "n", Devices: "n-*", Import: 0.55 * rated, Export: 0.65 * rated})
	told = map[device.ID][]float64{}
	for k, target := range f.target {
		now := start.Add(time.Duration(k) * 2 * time.Second)
		for i := range img.Devices {
			d := &img.Devices[i]
			see(d, now, f.socs[k][i])
			d.Good.MaxCharge, d.Good.MaxDischarge = 0.9*d.Info.RatedKW, d.Info.RatedKW
		}
		d := decide(t, p, now, img, target)
		short = append(short, d.Shortfall)
		for i, kw := range powers(&d, len(img.Devices)) {
			id := img.Devices[i].Info.ID
			told[id] = append(told[id], kw)
		}
	}
	return told, short
}

// each compares a fleet with a changed one, for every strategy, with and without tiers.
func each(t *testing.T, check func(t *testing.T, s dispatch.Strategy, f *anyFleet)) {
	for _, s := range dispatch.Strategies {
		t.Run(string(s), func(t *testing.T) {
			for seed := range uint64(40) {
				check(t, s, draw(seed, seed%2 == 1))
			}
		})
	}
}

func about(t *testing.T, what string, a, b []float64, scale float64) {
	t.Helper()
	for k := range a {
		if !(math.Abs(scale*a[k]-b[k]) <= 1e-5*max(1, math.Abs(b[k]))) {
			t.Fatalf("%s: %v, before %v", what, b, a)
		}
	}
}

// TestOrderDoesNotMatter: devices in another order, under other slots, do the same.
func TestOrderDoesNotMatter(t *testing.T) {
	each(t, func(t *testing.T, s dispatch.Strategy, f *anyFleet) {
		told, short := f.play(t, s)
		g := &anyFleet{target: f.target, devices: make([]image.Device, len(f.devices))}
		order := rand.New(rand.NewPCG(5, 6)).Perm(len(f.devices))
		for _, soc := range f.socs {
			g.socs = append(g.socs, make([]float64, len(soc)))
		}
		for i, k := range order {
			g.devices[k] = f.devices[i]
			for c := range f.socs {
				g.socs[c][k] = f.socs[c][i]
			}
		}
		again, shortAgain := g.play(t, s)
		for id := range told {
			about(t, string(id), told[id], again[id], 1)
		}
		about(t, "short", short, shortAgain, 1)
	})
}

// TestNamesDoNotMatter: devices that change their names within a feeder do what they did.
func TestNamesDoNotMatter(t *testing.T) {
	each(t, func(t *testing.T, s dispatch.Strategy, f *anyFleet) {
		told, _ := f.play(t, s)
		g := *f
		g.devices = append([]image.Device(nil), f.devices...)
		for i := range g.devices {
			g.devices[i].Info.ID = device.ID(fmt.Sprintf("%c-%d", f.devices[i].Info.ID[0], len(g.devices)-i))
		}
		again, _ := g.play(t, s)
		for i := range g.devices {
			about(t, string(f.devices[i].Info.ID), told[f.devices[i].Info.ID], again[g.devices[i].Info.ID], 1)
		}
	})
}

// TestScaleDoesNotMatter: a fleet ten times as large does ten times as much.
func TestScaleDoesNotMatter(t *testing.T) {
	each(t, func(t *testing.T, s dispatch.Strategy, f *anyFleet) {
		told, short := f.play(t, s)
		g := &anyFleet{socs: f.socs, devices: append([]image.Device(nil), f.devices...)}
		for _, kw := range f.target {
			g.target = append(g.target, 10*kw)
		}
		for i := range g.devices {
			g.devices[i].Info.RatedKW *= 10
			g.devices[i].Info.CapacityKWh *= 10
		}
		again, shortAgain := g.play(t, s)
		for id := range told {
			about(t, string(id), told[id], again[id], 10)
		}
		about(t, "short", short, shortAgain, 10)
	})
}

// TestHalvesAreTheWhole: a device that is split in two halves does with both what it did, and
// the others do what they did.
func TestHalvesAreTheWhole(t *testing.T) {
	each(t, func(t *testing.T, s dispatch.Strategy, f *anyFleet) {
		told, _ := f.play(t, s)
		g := &anyFleet{target: f.target, devices: append([]image.Device(nil), f.devices...)}
		half := &g.devices[0]
		half.Info.RatedKW /= 2
		half.Info.CapacityKWh /= 2
		other := *half
		other.Info.ID = "n-half"
		g.devices = append(g.devices, other)
		for _, soc := range f.socs {
			g.socs = append(g.socs, append(append([]float64(nil), soc...), soc[0]))
		}
		again, _ := g.play(t, s)
		for id := range told {
			now := again[id]
			if id == half.Info.ID {
				now = append([]float64(nil), now...)
				for k := range now {
					now[k] += again["n-half"][k]
				}
			}
			about(t, string(id), told[id], now, 1)
		}
	})
}

// TestMirror: what a fleet takes of a target it gives of the opposite one, where room is
// charge and charge is room.
func TestMirror(t *testing.T) {
	for _, s := range dispatch.Strategies {
		for seed := range uint64(20) {
			f := draw(seed, seed%2 == 1)
			n := len(f.devices)
			run := func(sign float64) (out []float64) {
				img := &image.Image{Devices: append([]image.Device(nil), f.devices...)}
				p := planner(s)
				for k, target := range f.target {
					now := start.Add(time.Duration(k) * 2 * time.Second)
					for i := range img.Devices {
						img.Devices[i].Info.Slot = device.Slot(i)
						soc := f.socs[k][i]
						if sign < 0 {
							soc = 100 - soc
						}
						see(&img.Devices[i], now, soc)
					}
					d := decide(t, p, now, img, sign*target)
					out = append(out, powers(&d, n)...)
				}
				return out
			}
			about(t, string(s), run(1), run(-1), -1)
		}
	}
}

// TestMoreDevicesAreNoLess: a device more never makes a shortfall larger.
func TestMoreDevicesAreNoLess(t *testing.T) {
	each(t, func(t *testing.T, s dispatch.Strategy, f *anyFleet) {
		_, short := f.play(t, s)
		g := &anyFleet{target: f.target, devices: append(append([]image.Device(nil), f.devices...), f.devices[1])}
		g.devices[len(f.devices)].Info.ID = "s-more"
		for _, soc := range f.socs {
			g.socs = append(g.socs, append(append([]float64(nil), soc...), 50))
		}
		_, again := g.play(t, s)
		for k := range short {
			if math.Abs(again[k]) > math.Abs(short[k])+1e-6 {
				t.Fatalf("%g kW short, before %g", again[k], short[k])
			}
		}
	})
}

// TestShortCycles: dispatch follows a regulation signal in cycles of a fifth of a second.
func TestShortCycles(t *testing.T) {
	for _, s := range dispatch.Strategies {
		img := fleet(8, 50)
		p := planner(s)
		p.Settings.Every = 200 * time.Millisecond
		for k := range 50 {
			now := start.Add(time.Duration(k) * p.Settings.Every)
			for i := range img.Devices {
				see(&img.Devices[i], now, 50)
			}
			target := 600 * math.Sin(float64(k)/3)
			if d := decide(t, p, now, img, target); d.Shortfall != 0 || !near(total(&d), target) {
				t.Fatalf("%s: %g kW of %g", s, total(&d), target)
			}
		}
	}
}
