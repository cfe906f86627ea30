package dispatch_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/platform/device"
	"yunchu/platform/dispatch"
	"yunchu/platform/fleet/image"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// fleet is n active devices of 100 kW and 200 kWh at the given state of charge.
func fleet(n int, soc float64) *image.Image {
	img := &image.Image{Devices: make([]image.Device, n)}
	for i := range img.Devices {
		d := &img.Devices[i]
		d.Info = device.Info{
			ID: device.ID(fmt.Sprintf("ess-%d", i)), Slot: device.Slot(i), State: device.Active,
			RatedKW: 100, CapacityKWh: 200, SoCMin: 5, SoCMax: 95,
		}
		see(d, start, soc)
	}
	return img
}

// see gives a device a good reading of now.
func see(d *image.Device, now time.Time, soc float64) {
	r := device.Empty()
	r.Slot, r.At, r.Arrived, r.SoC, r.Status = d.Info.Slot, now.UnixMilli(), now.UnixMilli(), soc, device.Idle
	r.MaxCharge, r.MaxDischarge = 100, 100
	d.Put(&r)
}

func planner(s dispatch.Strategy) *dispatch.Planner {
	return &dispatch.Planner{Settings: dispatch.Settings{Every: 2 * time.Second, Strategy: s}}
}

func decide(t testing.TB, p *dispatch.Planner, now time.Time, img *image.Image, target float64) dispatch.Decision {
	t.Helper()
	d, err := p.Decide(now, img, target, nil)
	if err != nil {
		t.Fatalf("target %v kW: %v", target, err)
	}
	return d
}

// powers is what each device is told; NaN for one that is told nothing.
func powers(d *dispatch.Decision, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = math.NaN()
	}
	for _, c := range d.Commands {
		out[c.Slot] = c.Power
	}
	return out
}

func total(d *dispatch.Decision) (sum float64) {
	for _, c := range d.Commands {
		sum += c.Power
	}
	return sum
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-6*max(1, math.Abs(a), math.Abs(b)) }

func TestDecide(t *testing.T) {
	now := start.Add(time.Second)
	until := now.Add(time.Minute).UnixMilli()
	told := func(kw float64, p device.Priority) image.Told {
		return image.Told{Verb: device.SetPower, Priority: p, Power: kw, Until: until}
	}
	tests := []struct {
		name   string
		n      int
		change func(d []image.Device)
		target float64
		want   []float64 // told to each; NaN: nothing. nil: only the sum counts
		short  float64
		reason string
	}{
		{"target zero", 3, nil, 0, []float64{0, 0, 0}, 0, ""},
		{"charging", 3, nil, 150, []float64{50, 50, 50}, 0, ""},
		{"discharging", 3, nil, -150, []float64{-50, -50, -50}, 0, ""},
		{"all there is", 3, nil, 300, []float64{100, 100, 100}, 0, ""},
		{"more than there is", 3, nil, 400, []float64{100, 100, 100}, 100, "the fleet can take 300 kW"},
		{"more than there is, discharging", 3, nil, -400, []float64{-100, -100, -100}, -100, "the fleet can give 300 kW"},
		{"absurd", 3, nil, -1e300, []float64{-100, -100, -100}, -1e300, "the fleet can give 300 kW"},
		{"nobody", 0, nil, 100, nil, 100, "the fleet can take 0 kW"},
		{"nobody, nothing", 0, nil, 0, nil, 0, ""},
		{"by size", 2, func(d []image.Device) { d[1].Info.RatedKW, d[1].Good.MaxDischarge = 50, 50 }, -75, []float64{-50, -25}, 0, ""},
		{"cap", 2, func(d []image.Device) { d[0].Info.Limits.CapKW = 20 }, 120, []float64{20, 100}, 0, ""},
		{"limit of the device", 2, func(d []image.Device) { d[0].Good.MaxCharge = 30 }, 140, []float64{30, 100}, 10, "can take 130 kW; 1 of 2 devices limited, most by charge limit"},
		{"the other limit is no reason", 2, func(d []image.Device) { d[0].Good.MaxCharge = 30 }, -250, []float64{-100, -100}, -50, "the fleet can give 200 kW"},
		{"nonsense limit", 2, func(d []image.Device) { d[0].Good.MaxCharge = -30 }, 100, []float64{0, 100}, 0, ""},
		{"infinite limit", 2, func(d []image.Device) { d[0].Good.MaxCharge = math.Inf(1) }, 200, []float64{100, 100}, 0, ""},
		{"empty", 2, func(d []image.Device) { d[0].Good.SoC = 5 }, -150, []float64{0, -100}, -50, "1 of 2 devices limited, most by state of charge low"},
		{"empty may charge", 2, func(d []image.Device) { d[0].Good.SoC = 5 }, 200, []float64{100, 100}, 0, ""},
		{"full", 2, func(d []image.Device) { d[0].Good.SoC = 95 }, 150, []float64{0, 100}, 50, "most by state of charge high"},
		{"no window stated", 2, func(d []image.Device) { d[0].Info.SoCMin, d[0].Info.SoCMax, d[0].Good.SoC = 0, 0, 99 }, 200, []float64{100, 100}, 0, ""},
		{"fault", 2, func(d []image.Device) { d[0].Good.Status = device.Fault }, 150, []float64{math.NaN(), 100}, 50, "1 of 2 devices limited, most by fault"},
		{"standby", 2, func(d []image.Device) { d[0].Good.Status = device.Standby }, -50, []float64{math.NaN(), -50}, 0, ""},
		{"maintenance", 2, func(d []image.Device) { d[0].Good.Status = device.Maintenance }, -50, []float64{math.NaN(), -50}, 0, ""},
		{"inactive", 2, func(d []image.Device) { d[0].Info.State = device.Inactive }, -150, []float64{math.NaN(), -100}, -50, "the fleet can give 100 kW"},
		{"no rating", 2, func(d []image.Device) { d[0].Info.RatedKW = 0 }, -50, []float64{math.NaN(), -50}, 0, ""},
		{"rating is not a number", 2, func(d []image.Device) { d[0].Info.RatedKW = math.NaN() }, -50, []float64{math.NaN(), -50}, 0, ""},
		{"absurd rating", 2, func(d []image.Device) { d[0].Info.RatedKW = 1e300 }, -50, []float64{math.NaN(), -50}, 0, ""},
		{"absurd capacity", 2, func(d []image.Device) { d[0].Info.CapacityKWh, d[1].Info.CapacityKWh = 1e300, 5e-324 }, -50, []float64{-25, -25}, 0, ""},
		{"nothing reported", 2, func(d []image.Device) {
			r := device.Empty()
			r.At = start.UnixMilli()
			d[0].Good, d[1].Good = r, r
		}, -50, []float64{-25, -25}, 0, ""},

		{"held", 3, func(d []image.Device) { d[0].Told = told(60, device.Normal) }, 200, []float64{math.NaN(), 70, 70}, 0, ""},
		{"held against the fleet", 3, func(d []image.Device) { d[0].Told = told(60, device.Normal) }, -100, []float64{math.NaN(), -80, -80}, 0, ""},
		{"held beyond the target", 3, func(d []image.Device) { d[0].Told = told(60, device.High) }, 40, []float64{math.NaN(), -10, -10}, 0, ""},
		{"held, too little left", 2, func(d []image.Device) { d[0].Told = told(90, device.High) }, -50, []float64{math.NaN(), -100}, -40, "the fleet can give 100 kW; 1 held at 90 kW"},
		{"held above the target, too little left", 2, func(d []image.Device) { d[0].Told, d[1].Good.MaxDischarge = told(90, device.High), 10 }, 20, []float64{math.NaN(), -10}, -60, "the fleet can give 10 kW; 1 of 1 devices limited"},
		{"told by dispatch is not held", 2, func(d []image.Device) { d[0].Told = told(60, device.Dispatch) }, 100, []float64{50, 50}, 0, ""},
		{"hold that has ended", 2, func(d []image.Device) { d[0].Told = told(60, device.High); d[0].Told.Until = now.UnixMilli() }, 100, []float64{50, 50}, 0, ""},
		{"held at what is not a number", 2, func(d []image.Device) { d[0].Told = told(math.NaN(), device.High) }, 50, []float64{math.NaN(), 50}, 0, ""},
		{"all held", 1, func(d []image.Device) { d[0].Told = told(60, device.High) }, 100, nil, 40, "the fleet can take 0 kW; 1 held at 60 kW"},

		{"unreachable", 3, func(d []image.Device) { d[0].Good.At -= 3000 }, 150, []float64{math.NaN(), 75, 75}, 0, ""},
		{"just reachable", 3, func(d []image.Device) { d[0].Good.At -= 2000 }, 150, []float64{50, 50, 50}, 0, ""},
		{"unreachable but told", 3, func(d []image.Device) { d[0].Good.At -= 3000; d[0].Told = told(30, device.Dispatch) }, 150, []float64{math.NaN(), 60, 60}, 0, ""},
		{"never seen", 3, func(d []image.Device) { d[0].Good = device.Empty() }, 150, []float64{math.NaN(), 75, 75}, 0, ""},
		{"dead since a reading from the future", 3, func(d []image.Device) { d[0].Good.At += 240_000; d[0].Good.Arrived -= 3000 }, 150, []float64{math.NaN(), 75, 75}, 0, ""},
		{"all unreachable", 2, func(d []image.Device) { d[0].Good.At, d[1].Good.At = 1, 1 }, -10, nil, -10, "the fleet can give 0 kW; 2 unreachable"},
	}
	for _, s := range dispatch.Strategies {
		for _, tt := range tests {
			t.Run(string(s)+"/"+tt.name, func(t *testing.T) {
				img := fleet(tt.n, 50)
				if tt.change != nil {
					tt.change(img.Devices)
				}
				d := decide(t, planner(s), now, img, tt.target)
				if !near(d.Shortfall, tt.short) || !near(d.Planned+d.Shortfall, tt.target) && math.Abs(tt.target) < 1e100 {
					t.Errorf("planned %v kW, short of %v kW; want short of %v kW", d.Planned, d.Shortfall, tt.short)
				}
				if !strings.Contains(d.Reason, tt.reason) || (d.Reason == "") != (tt.reason == "") {
					t.Errorf("reason %q, want %q", d.Reason, tt.reason)
				}
				if sum := total(&d) + d.HeldPower + d.Assumed; !near(sum, d.Planned) {
					t.Errorf("commands, held and assumed power are %v kW, planned %v kW", sum, d.Planned)
				}
				exact := s == dispatch.Proportional || s == dispatch.SoCBalancing && !strings.Contains(tt.name, "by size") && !strings.Contains(tt.name, "empty") && !strings.Contains(tt.name, "full") && !strings.Contains(tt.name, "window")
				got := powers(&d, tt.n)
				for i, want := range tt.want {
					if math.IsNaN(want) != math.IsNaN(got[i]) || exact && !math.IsNaN(want) && !near(got[i], want) {
						t.Errorf("told %v, want %v", got, tt.want)
						break
					}
				}
			})
		}
	}
}

func TestCommandsAreComplete(t *testing.T) {
	img := fleet(3, 50)
	img.Devices[1].Good.MaxCharge = 10
	p := planner(dispatch.Proportional)
	var seq uint64
	for i := range 3 {
		now := start.Add(time.Duration(i) * time.Second)
		d := decide(t, p, now, img, 250)
		for _, c := range d.Commands {
			seq++
			want := device.Command{
				Slot: c.Slot, Seq: seq, Verb: device.SetPower, Priority: device.Dispatch, Power: c.Power,
				At: now.UnixMilli(), Duration: 6000, Until: now.UnixMilli() + 6000, Source: "dispatch",
			}
			if c.Slot == 1 {
				want.Reason = "charge limit"
			}
			if c != want {
				t.Errorf("%+v, want %+v", c, want)
			}
		}
	}
	if life := (dispatch.Settings{Every: time.Second}).Life(); life != 5*time.Second {
		t.Errorf("setpoints of a cycle of 1 s live %v, want 5 s", life)
	}
}

func TestTargetThatIsNoNumber(t *testing.T) {
	for _, target := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if d, err := planner(dispatch.Cost).Decide(start, fleet(2, 50), target, nil); err == nil || len(d.Commands) != 0 {
			t.Errorf("target %v: %d commands, %v; want an error", target, len(d.Commands), err)
		}
	}
}

var wild = []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1), 1e300, -1e300, 5e-324, -5}

// Whatever the image holds, a decision says numbers, within what each device can
// do, in one direction, and adds up.
func TestAnyImage(t *testing.T) {
	value := func(lo, hi float64) *rapid.Generator[float64] {
		return rapid.OneOf(rapid.SampledFrom(wild), rapid.Float64Range(lo, hi), rapid.Float64Range(lo, hi), rapid.Float64Range(lo, hi))
	}
	rapid.Check(t, func(t *rapid.T) {
		p := planner(rapid.SampledFrom(dispatch.Strategies).Draw(t, "strategy"))
		p.Settings.Risk, p.Settings.SoCSD = rapid.SampledFrom([]float64{0, 0.01}).Draw(t, "risk"), rapid.SampledFrom([]float64{0, 2}).Draw(t, "sd")
		p.Settings.SoHWeight, p.Settings.Rest = rapid.SampledFrom([]float64{0, 20}).Draw(t, "health counts"), rapid.Bool().Draw(t, "rest")
		n := rapid.IntRange(0, 12).Draw(t, "devices")
		img := fleet(n, 50)
		grouped := rapid.Bool().Draw(t, "grouped")
		if grouped {
			err := p.SetLimits([]dispatch.Limit{
				{Name: "in", Devices: "ess-[0-4]", Import: 200, Export: 100, Within: "out", Meter: "ess-11"}, {Name: "out", Import: 500, Export: math.Inf(1)},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		for i := range img.Devices {
			if rapid.Bool().Draw(t, "known") {
				img.Devices[i].Info.Use = device.Use{Tier: i % 3, Wear: steps, Loss: &device.Loss{FixedKW: 1, PerKW2: 1e-4}}
			}
		}
		for cycle := range rapid.IntRange(1, 4).Draw(t, "cycles") {
			now := start.Add(time.Duration(cycle) * 2 * time.Second)
			for i := range img.Devices {
				d := &img.Devices[i]
				d.Info.State = rapid.SampledFrom([]device.State{device.Active, device.Active, device.Active, device.Inactive}).Draw(t, "state")
				d.Info.RatedKW, d.Info.Limits.CapKW = value(0, 1000).Draw(t, "rated"), value(0, 1000).Draw(t, "cap")
				d.Info.CapacityKWh = value(0, 4000).Draw(t, "capacity")
				d.Info.SoCMin, d.Info.SoCMax = value(0, 20).Draw(t, "soc min"), value(80, 100).Draw(t, "soc max")
				see(d, now.Add(-time.Duration(rapid.IntRange(0, 4).Draw(t, "age"))*time.Second), value(0, 100).Draw(t, "soc"))
				d.Good.MaxCharge, d.Good.MaxDischarge = value(0, 1000).Draw(t, "take"), value(0, 1000).Draw(t, "give")
				d.Good.SoH = value(0, 100).Draw(t, "health")
				d.Good.Status = device.Status(rapid.IntRange(0, 7).Draw(t, "status"))
				d.Told = image.Told{
					Power: value(-100, 100).Draw(t, "told"), Priority: device.Priority(rapid.IntRange(0, 4).Draw(t, "priority")),
					Until: rapid.SampledFrom([]int64{0, now.UnixMilli() + 1000}).Draw(t, "until"),
				}
			}
			target := rapid.OneOf(rapid.Float64Range(-5000, 5000), rapid.SampledFrom([]float64{0, 1e300, -1e300})).Draw(t, "target")
			d, err := p.Decide(now, img, target, nil)
			if err != nil {
				t.Fatalf("no decision: %v", err)
			}
			free := target - d.HeldPower - d.Assumed
			for name, v := range map[string]float64{"planned": d.Planned, "shortfall": d.Shortfall, "take": d.AvailableCharge, "give": d.AvailableDischarge, "held": d.HeldPower, "assumed": d.Assumed} {
				if !device.Finite(v) {
					t.Fatalf("%s is %v", name, v)
				}
			}
			for _, c := range d.Commands {
				dev := &img.Devices[c.Slot]
				if !device.Finite(c.Power) || math.Abs(c.Power) > dev.Info.RatedKW || dev.Info.Limits.CapKW > 0 && math.Abs(c.Power) > dev.Info.Limits.CapKW {
					t.Fatalf("%v kW for a device of %v kW, cap %v kW", c.Power, dev.Info.RatedKW, dev.Info.Limits.CapKW)
				}
				if c.Power > 0 && c.Power > max(0, dev.Good.MaxCharge) || c.Power < 0 && -c.Power > max(0, dev.Good.MaxDischarge) {
					t.Fatalf("%v kW for a device that takes %v kW and gives %v kW", c.Power, dev.Good.MaxCharge, dev.Good.MaxDischarge)
				}
				if c.Power*free < 0 && !grouped {
					t.Fatalf("%v kW where the fleet moves %v kW", c.Power, free)
				}
			}
			if grouped {
				continue
			}
			if (d.Shortfall != 0) != (d.Reason != "") {
				t.Fatalf("short of %v kW, reason %q", d.Shortfall, d.Reason)
			}
			size := max(1, math.Abs(d.HeldPower), math.Abs(d.Assumed), d.AvailableCharge, d.AvailableDischarge)
			if free >= -d.AvailableDischarge && free <= d.AvailableCharge && math.Abs(d.Shortfall) > 1e-6*max(size, math.Abs(target)) {
				t.Fatalf("%v kW of %v to %v kW are possible, short of %v kW", free, -d.AvailableDischarge, d.AvailableCharge, d.Shortfall)
			}
		}
	})
}

func TestDeterministic(t *testing.T) {
	run := func() (out []device.Command) {
		rng := rand.New(rand.NewPCG(1, 2))
		img := fleet(100, 50)
		p := planner(dispatch.SoCBalancing)
		for i := range 20 {
			now := start.Add(time.Duration(i) * 2 * time.Second)
			for k := range img.Devices {
				see(&img.Devices[k], now, 20+60*rng.Float64())
			}
			out = append(out, decide(t, p, now, img, 4000*rng.NormFloat64()).Commands...)
		}
		return out
	}
	if !slices.Equal(run(), run()) {
		t.Error("the same images and targets give other commands")
	}
}

// Equal batteries whose readings are noisy share a steady target steadily.
func TestEqualBatteriesDoNotFlap(t *testing.T) {
	const n, cycles = 20, 500
	rng := rand.New(rand.NewPCG(3, 4))
	for _, s := range dispatch.Strategies {
		t.Run(string(s), func(t *testing.T) {
			img := fleet(n, 50)
			p := planner(s)
			last := make([]float64, n)
			var moved, turned, far float64
			for i := range cycles {
				now := start.Add(time.Duration(i) * 2 * time.Second)
				for k := range img.Devices {
					d := &img.Devices[k]
					see(d, now, 50+0.05*rng.NormFloat64())
					d.Good.MaxCharge, d.Good.MaxDischarge = 100-5*rng.Float64(), 100-5*rng.Float64()
				}
				d := decide(t, p, now, img, -600)
				for k, kw := range powers(&d, n) {
					if kw*last[k] < 0 {
						turned++
					}
					if i > 0 {
						moved += math.Abs(kw - last[k])
					}
					far = max(far, math.Abs(kw+30))
					last[k] = kw
				}
			}
			moved /= n * (cycles - 1)
			t.Logf("a share of 30 kW moves %.3f kW a cycle and is at most %.3f kW off", moved, far)
			if turned > 0 || moved > 1 || far > 3 {
				t.Errorf("%v changes of direction, shares move %.3f kW a cycle and are up to %.3f kW off", turned, moved, far)
			}
		})
	}
}

// A single device of unequal charge does not swing: noise of the state of charge
// must not be turned into power.
func TestPreviousSetpointsDamp(t *testing.T) {
	const n = 10
	swing := func(keep bool) (moved float64) {
		rng := rand.New(rand.NewPCG(5, 6))
		img := fleet(n, 50)
		p := planner(dispatch.SoCBalancing)
		last := make([]float64, n)
		for i := range 300 {
			now := start.Add(time.Duration(i) * 2 * time.Second)
			for k := range img.Devices {
				see(&img.Devices[k], now, 50+rng.NormFloat64())
			}
			if !keep {
				p = planner(dispatch.SoCBalancing)
			}
			d := decide(t, p, now, img, -300)
			for k, kw := range powers(&d, n) {
				if i > 0 {
					moved += math.Abs(kw - last[k])
				}
				last[k] = kw
			}
		}
		return moved
	}
	with, without := swing(true), swing(false)
	if with > 0.9*without {
		t.Errorf("shares move %.0f kW with the previous setpoints in mind, %.0f kW without", with, without)
	}
}

// closed runs a fleet of ideal batteries under a strategy.
func closed(t *testing.T, s dispatch.Strategy, socs []float64, hours float64, target func(h float64) float64) {
	img := fleet(len(socs), 50)
	p := planner(s)
	for i := 0; float64(i)*2/3600 < hours; i++ {
		now := start.Add(time.Duration(i) * 2 * time.Second)
		for k := range socs {
			see(&img.Devices[k], now, socs[k])
		}
		d := decide(t, p, now, img, target(float64(i)*2/3600))
		for k, kw := range powers(&d, len(socs)) {
			socs[k] += kw * 2 / 3600 / 200 * 100
		}
	}
}

func spread(v []float64) float64 { return slices.Max(v) - slices.Min(v) }

func TestSoCBalancingConverges(t *testing.T) {
	for _, tt := range []struct {
		name   string
		target func(h float64) float64
	}{
		{"one way", func(float64) float64 { return -100 }},
		{"to and fro", func(h float64) float64 { return 400 * math.Sin(2*math.Pi*h*2) }},
		{"charging", func(float64) float64 { return 100 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			socs := []float64{40, 45, 48, 50, 50, 52, 55, 60}
			last := spread(socs)
			for range 4 {
				closed(t, dispatch.SoCBalancing, socs, 0.5, tt.target)
				if s := spread(socs); s > last+1e-9 {
					t.Errorf("the spread grows from %.2f %% to %.2f %%: %v", last, s, socs)
				} else {
					last = s
				}
			}
			if last > 3 {
				t.Errorf("after two hours states of charge are still %.2f %% apart: %.1f", last, socs)
			}
			other := []float64{40, 45, 48, 50, 50, 52, 55, 60}
			if closed(t, dispatch.Proportional, other, 2, tt.target); spread(other) < 2*last {
				t.Errorf("proportional brings the spread to %.2f %%, balancing to %.2f %%", spread(other), last)
			}
		})
	}
}

func TestStrategies(t *testing.T) {
	t.Run("proportional follows what devices can do", func(t *testing.T) {
		img := fleet(2, 50)
		img.Devices[1].Good.MaxDischarge = 40
		d := decide(t, planner(dispatch.Proportional), start, img, -70)
		if got := powers(&d, 2); !near(got[0], -50) || !near(got[1], -20) {
			t.Errorf("told %v, want shares of 100 and 40", got)
		}
	})
	t.Run("soc-balancing lets the fuller one give more and take less", func(t *testing.T) {
		for _, target := range []float64{-100, 100} {
			img := fleet(2, 50)
			see(&img.Devices[1], start, 54)
			d := decide(t, planner(dispatch.SoCBalancing), start, img, target)
			if got := powers(&d, 2); !(got[0] > got[1]+1) {
				t.Errorf("target %v: the fuller one is told %v kW, the other %v kW", target, got[1], got[0])
			}
		}
	})
	t.Run("cost spares the smaller battery", func(t *testing.T) {
		for _, target := range []float64{-80, 80} {
			img := fleet(2, 50)
			img.Devices[1].Info.CapacityKWh = 100 // the same power is twice the rate
			d := decide(t, planner(dispatch.Cost), start, img, target)
			if got := powers(&d, 2); !(math.Abs(got[0]) > math.Abs(got[1])+1) || got[0]*target <= 0 {
				t.Errorf("target %v: the larger is told %v kW, the smaller %v kW", target, got[0], got[1])
			}
		}
	})
	t.Run("cost spreads losses", func(t *testing.T) {
		d := decide(t, planner(dispatch.Cost), start, fleet(4, 50), -200)
		for _, kw := range powers(&d, 4) {
			if !near(kw, -50) {
				t.Errorf("equal devices are told %v", powers(&d, 4))
			}
		}
	})
	if dispatch.Strategy("cheapest").Valid() || !dispatch.Cost.Valid() {
		t.Error("Valid() does not know the strategies")
	}
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		for _, s := range dispatch.Strategies {
			b.Run(fmt.Sprintf("%s/%d", s, n), func(b *testing.B) {
				rng := rand.New(rand.NewPCG(1, 2))
				img := fleet(n, 50)
				for i := range img.Devices {
					img.Devices[i].Good.SoC = 20 + 60*rng.Float64()
				}
				p := planner(s)
				var cmds []device.Command
				i := 0
				for b.Loop() {
					d, err := p.Decide(start, img, -float64(n)*(40+float64(i%10)), cmds[:0])
					if err != nil {
						b.Fatal(err)
					}
					cmds = d.Commands
					i++
				}
			})
		}
	}
}
