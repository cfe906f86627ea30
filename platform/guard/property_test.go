package guard_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/platform/device"
	"yunchu/platform/guard"
)

// onWire is whether the device of a slot is on a wire: the second half of them.
func onWire(s device.Slot) bool { return s >= devices/2 }

// registered draws what is known of a device and what people have set for it.
func registered(t *rapid.T, s device.Slot) guard.Envelope {
	i := device.Info{Kind: "sim", RatedKW: rapid.SampledFrom([]float64{100, 100, 60, 0}).Draw(t, "rated"), SoCMin: 10, SoCMax: 90}
	if onWire(s) {
		i.Kind, i.PollMS = "sunspec", 500
	}
	span := func(name string, windows ...device.Span) device.Span {
		return rapid.SampledFrom(append(windows, device.Span{})).Draw(t, name)
	}
	for _, l := range []*device.Limits{&i.Limits, &i.Narrowed} {
		*l = device.Limits{
			CapKW:       rapid.SampledFrom([]float64{0, 0, 30, 80}).Draw(t, "cap"),
			RampKWPerS:  rapid.SampledFrom([]float64{0, 0, 25}).Draw(t, "ramp"),
			SoC:         span("soc", device.Span{20, 80}, device.Span{0, 40}, device.Span{60, 100}),
			Voltage:     span("voltage", device.Span{600, 800}, device.Span{650, 700}),
			Temperature: span("temperature", device.Span{-20, 70}, device.Span{5, 45}, device.Span{-40, 0}),
		}
	}
	e := guard.EnvelopeOf(&i)
	e.PerSecond = rapid.SampledFrom([]int{1, 3, 20}).Draw(t, "per second")
	return e
}

// mostly draws what is usual, and in one of four cases anything.
func mostly(usual float64, any *rapid.Generator[float64]) *rapid.Generator[float64] {
	return rapid.Custom(func(t *rapid.T) float64 {
		if rapid.IntRange(0, 3).Draw(t, "usual") > 0 {
			return usual
		}
		return any.Draw(t, "any")
	})
}

// seen draws what a device may report: nearly always something that is believed, and most
// of it in the middle of all windows.
func seen(t *rapid.T, now int64) device.Reading {
	r := device.Empty()
	r.Slot = device.Slot(rapid.IntRange(0, devices).Draw(t, "slot")) // one too many
	r.At, r.Arrived = now, now
	if rapid.IntRange(0, 9).Draw(t, "out of order") == 0 {
		r.At += rapid.Int64Range(-5000, 300_000).Draw(t, "at")
	}
	r.SoC, r.Temperature = mostly(70, value(0, 100)).Draw(t, "soc"), mostly(25, value(-30, 80)).Draw(t, "temperature")
	r.Voltage = mostly(680, value(580, 820)).Draw(t, "voltage")
	r.MaxCharge = mostly(120, value(-10, 120)).Draw(t, "max charge")
	r.MaxDischarge = mostly(120, value(-10, 120)).Draw(t, "max discharge")
	if rapid.IntRange(0, 2).Draw(t, "tells windows") == 0 {
		edge := func(name string, usual ...float64) float64 {
			return rapid.OneOf(rapid.Just(math.NaN()), rapid.SampledFrom(usual), value(-50, 900)).Draw(t, name)
		}
		r.Own = &device.OwnWindows{
			SoC:         device.Span{edge("soc low", 10, 30, 75), edge("soc high", 90, 60)},
			Temperature: device.Span{edge("temperature low", -10, 10), edge("temperature high", 55, 20)},
			Voltage:     device.Span{edge("voltage low", 600, 640, 690), edge("voltage high", 800, 720, 670)},
		}
	}
	r.Quality = rapid.SampledFrom([]device.Quality{device.Good, device.Good, device.Good, device.Suspect, device.Bad}).Draw(t, "quality")
	if rapid.IntRange(0, 9).Draw(t, "flags") == 0 {
		r.Flags = rapid.SampledFrom([]device.Flags{
			device.FlagLocal, device.FlagMaster, device.FlagHeartbeat, device.FlagEStop, device.Flags(rapid.Uint16().Draw(t, "bits")),
		}).Draw(t, "which")
	}
	return r
}

// No sequence of commands, readings, refusals, registrations, silence and waiting takes an
// output out of the envelope: past the rating, a cap, a limit of the device, a window of
// charge, voltage or temperature, a hold, a lease, a rate, its own ramp or the fleet's, the
// right to act or the emergency stop. What is said of its windows is so.
func TestNoSequenceLeavesTheEnvelope(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, rapid.SampledFrom([]float64{0, 0, 1, 40, 500}).Draw(t, "ramp"))
		w.g.CommandsPerS = rapid.SampledFrom([]int{0, 4, 50}).Draw(t, "commands per second")
		w.g.Lease = rapid.SampledFrom([]time.Duration{0, 2 * time.Second, time.Hour}).Draw(t, "lease")
		w.g.PlannerLease = rapid.SampledFrom([]time.Duration{0, 5 * time.Second}).Draw(t, "lease of dispatch")
		for s := range device.Slot(devices) {
			if onWire(s) {
				e := guard.EnvelopeOf(&device.Info{Kind: "sunspec", PollMS: 500, RatedKW: 100})
				w.set(t, s, e, device.Inactive)
				w.itself(s)
			}
			r := reading(s, w.time())
			r.Voltage = 680
			w.see(r)
		}
		t.Repeat(map[string]func(*rapid.T){
			"commands": func(t *rapid.T) {
				cmds := rapid.SliceOfN(command(w.now), 1, 6).Draw(t, "commands")
				for i := range cmds {
					if cmds[i].Verb == device.Arm && onWire(cmds[i].Slot) { // the sign test has properties of its own
						cmds[i].Verb = device.Disarm
					}
				}
				w.check(t, cmds)
			},
			"reading": func(t *rapid.T) {
				r := seen(t, w.now)
				w.see(&r)
			},
			"arms itself": func(t *rapid.T) { w.itself(device.Slot(rapid.IntRange(devices/2, devices-1).Draw(t, "slot"))) },
			"registry": func(t *rapid.T) {
				s := device.Slot(rapid.IntRange(0, devices-1).Draw(t, "slot"))
				life := rapid.SampledFrom([]device.State{device.Active, device.Active, device.Inactive, device.Failed}).Draw(t, "life")
				w.set(t, s, registered(t, s), life)
			},
			"wait": func(t *rapid.T) {
				w.now += rapid.SampledFrom([]int64{1, 1, 10, 300, 999, 1000, 5000, 61_000}).Draw(t, "ms")
			},
			"tick": func(t *rapid.T) { w.tick(t) },
			"":     func(t *rapid.T) { w.kept(t) },
		})
	})
}

// Whoever sets limits, and in whatever order: what acts is no wider than any of them.
func TestTheTightestLimitActs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		span := func(name string, lo, hi float64) (s device.Span) {
			if rapid.Bool().Draw(t, name) {
				a, b := rapid.Float64Range(lo, hi).Draw(t, "a"), rapid.Float64Range(lo, hi).Draw(t, "b")
				s = device.Span{min(a, b), max(a, b)}
			}
			return s
		}
		bound := func(name string) float64 {
			return rapid.SampledFrom([]float64{0, 10, 20, 90, 150}).Draw(t, name)
		}
		limits := func() device.Limits {
			return device.Limits{
				CapKW: bound("cap"), RampKWPerS: bound("ramp"), SoC: span("soc", 0, 100),
				Voltage: span("voltage", 0, 900), Temperature: span("temperature", -40, 100),
			}
		}
		i := device.Info{
			RatedKW: 100, SoCMin: rapid.Float64Range(0, 20).Draw(t, "soc min"), SoCMax: rapid.SampledFrom([]float64{0, 80, 100}).Draw(t, "soc max"),
			VoltMin: bound("volt min"), VoltMax: bound("volt max") * 5, Limits: limits(), Narrowed: limits(),
		}
		e := guard.EnvelopeOf(&i)
		all := []device.Limits{i.Configured(), i.Narrowed, {SoC: device.Span{i.SoCMin, 100}}}
		if i.SoCMax > 0 {
			all = append(all, device.Limits{SoC: device.Span{0, i.SoCMax}})
		}
		for _, l := range all {
			wide := func(bound, least float64) bool { return least > 0 && (bound == 0 || bound > least) }
			if wide(e.CapKW, l.CapKW) || wide(e.RampKWPerS, l.RampKWPerS) {
				t.Fatalf("%+v of %+v: cap or ramp", e, l)
			}
			for _, x := range []struct {
				s        device.Span
				min, max float64
			}{{l.SoC, e.SoCMin, e.SoCMax}, {l.Voltage, e.VoltMin, e.VoltMax}, {l.Temperature, e.TempMin, e.TempMax}} {
				if x.s.Set() && (x.min < x.s[0] || x.max > x.s[1]) {
					t.Fatalf("[%v, %v] acts, %v is set", x.min, x.max, x.s)
				}
			}
		}
		if i.VoltMin > e.VoltMin || i.VoltMax > 0 && (e.VoltMax == 0 || e.VoltMax > i.VoltMax) {
			t.Fatalf("the device keeps to %v and %v V, what acts is %v and %v V", i.VoltMin, i.VoltMax, e.VoltMin, e.VoltMax)
		}
	})
}

// A clock that is set back must neither freeze a rate nor lift it.
func TestRatesWhenTheClockIsSetBack(t *testing.T) {
	for _, whose := range []string{"the device's", "the fleet's"} {
		g := plant(t, 1)
		if whose == "the fleet's" {
			g.CommandsPerS = 2
		} else {
			e := nameplate()
			e.PerSecond = 2
			set(t, g, 0, e, device.Active)
		}
		now, given := start, 0
		ask := func(want int) {
			t.Helper()
			given = 0
			for range 5 {
				if v := check(g, now, setPower(0, now, 10, device.Normal)); v.Code == "" {
					given++
				} else if v.Code != guard.CodeRate {
					t.Errorf("%+v", v)
				}
			}
			if given != want {
				t.Errorf("%s rate of 2 a second: %d of 5 given at %v, want %d", whose, given, now, want)
			}
		}
		ask(2)
		now = now.Add(-time.Hour)
		ask(0)
		now = now.Add(999 * time.Millisecond)
		ask(0)
		now = now.Add(time.Millisecond)
		ask(2)
		if v := check(g, now, setPower(0, now, 0, device.Normal)); v.Code != "" {
			t.Errorf("to 0: %+v", v)
		}
	}
}

// A window that somebody has set is not kept blindly: without the value there is no power.
func TestWindowNeedsItsValue(t *testing.T) {
	for _, l := range []device.Limits{
		{SoC: device.Span{20, 80}}, {Voltage: device.Span{600, 800}}, {Temperature: device.Span{5, 45}},
	} {
		g := &guard.Guard{}
		set(t, g, 0, guard.EnvelopeOf(&device.Info{Kind: "sim", RatedKW: 100, Narrowed: l}), device.Active)
		r := reading(0, start)
		r.SoC, r.Voltage, r.Temperature = 50, 700, 25
		g.Observe(r)
		if v := check(g, start, setPower(0, start, 50, device.Normal)); v.Code != "" {
			t.Fatalf("%+v: %+v", l, v)
		}
		r = reading(0, at(time.Second))
		r.SoC, r.Voltage, r.Temperature = math.NaN(), math.NaN(), math.NaN()
		g.Observe(r)
		if out := g.Tick(at(time.Second), nil); len(out) != 1 || out[0].Power != 0 {
			t.Errorf("%+v: the value is gone, and the corrections are %+v", l, out)
		}
		if v := check(g, at(2*time.Second), setPower(0, at(2*time.Second), 50, device.Normal)); v.Code != guard.CodeEnvelope {
			t.Errorf("%+v: %+v", l, v)
		}
	}
}
