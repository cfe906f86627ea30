//go:build !nosim

package shadow_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"yunchu/harness/shadow"
	"yunchu/platform/device"
	"yunchu/twin/cell"
)

// broken is one thing that goes wrong, and what a shadow has to say about it.
type broken struct {
	name      string
	cause     shadow.Cause
	what      string
	low, high float64       // of the evidence
	within    time.Duration // of the fault
	back      time.Duration // after its end
	begin     func(b *bench)
	end       func(b *bench)
}

// sensor is a fault of the readings.
func sensor(name string, cause shadow.Cause, what string, low, high float64, within, back time.Duration, change func(r *device.Reading)) broken {
	return broken{
		name, cause, what, low, high, within, back,
		func(b *bench) { b.change = func(_ int, r *device.Reading) { change(r) } },
		func(b *bench) { b.change = nil },
	}
}

func scattered(b *bench, x cell.Scatter) { b.twins.Drift(0, x) }

func faults() []broken {
	var kept, frozen device.Reading
	flip := 0
	return []broken{
		{
			"resistance +20 %", shadow.Resistance, "resistance", 10, 30, 15 * time.Minute, 3 * time.Hour,
			func(b *bench) { scattered(b, cell.Scatter{Capacity: 1, Resistance: 1.2}) },
			func(b *bench) { scattered(b, cell.Nominal) },
		},
		{
			"resistance +50 %", shadow.Resistance, "resistance", 10, 60, 10 * time.Minute, 3 * time.Hour,
			func(b *bench) { scattered(b, cell.Scatter{Capacity: 1, Resistance: 1.5}) },
			func(b *bench) { scattered(b, cell.Nominal) },
		},
		{
			"capacity -10 %", shadow.CapacityOrLeak, "capacity", -13, -5, 3 * time.Hour, 12 * time.Hour,
			func(b *bench) { scattered(b, cell.Scatter{Capacity: 0.9, Resistance: 1}) },
			func(b *bench) { scattered(b, cell.Nominal) },
		},
		{
			"leak 0.5 A", shadow.CapacityOrLeak, "leak", 0.3, 0.7, 3 * time.Hour, 24 * time.Hour,
			func(b *bench) { b.twins.ShortCell(0, 3.3/0.5) },
			func(b *bench) { b.twins.ShortCell(0, 0) },
		},
		{
			"fans stop under load", shadow.Thermal, "temperature", 2, 3, 3 * time.Hour, 12 * time.Hour,
			func(b *bench) { b.heavy = true; b.twins.FailFan(0, true) },
			func(b *bench) { b.heavy = false; b.twins.FailFan(0, false) },
		},
		sensor("voltage +5 mV a cell", shadow.SensorOffset, "voltage", 3, 7, 3*time.Minute, 30*time.Minute, func(r *device.Reading) { r.Voltage += 1.2 }),
		sensor("voltage -5 mV a cell", shadow.SensorOffset, "voltage", -7, -3, 3*time.Minute, 30*time.Minute, func(r *device.Reading) { r.Voltage -= 1.2 }),
		sensor("voltage +50 V", shadow.SensorOffset, "voltage", 150, 250, time.Minute, 30*time.Minute, func(r *device.Reading) { r.Voltage += 50 }),
		sensor("current +5 A", shadow.SensorOffset, "current", 2.5, 6, 5*time.Minute, 30*time.Minute, func(r *device.Reading) { r.Current += 5 }),
		sensor("temperature +5 K", shadow.SensorOffset, "temperature", 4, 6, time.Minute, 30*time.Minute, func(r *device.Reading) { r.Temperature += 5 }),
		sensor("soc -5 %", shadow.SensorOffset, "soc", -6, -4, time.Minute, 30*time.Minute, func(r *device.Reading) { r.SoC -= 5 }),
		sensor("voltage scatters", shadow.SensorOffset, "voltage noise", 4, 12, 15*time.Minute, 30*time.Minute, func(r *device.Reading) {
			flip = 1 - flip
			r.Voltage += 3 * float64(2*flip-1)
		}),
		sensor("voltage stands still", shadow.Communication, "voltage stands still", 10, 1800, 30*time.Minute, time.Minute, func(r *device.Reading) {
			kept.Voltage = cmpOr(kept.Voltage, r.Voltage)
			r.Voltage = kept.Voltage
		}),
		sensor("soc stands still", shadow.Communication, "soc stands still", 10, 3600, time.Hour, time.Minute, func(r *device.Reading) {
			kept.SoC = cmpOr(kept.SoC, r.SoC)
			r.SoC = kept.SoC
		}),
		sensor("readings repeat", shadow.Communication, "frozen readings", 1, 60, time.Minute, time.Minute, func(r *device.Reading) {
			if frozen.At == 0 {
				frozen = *r
			}
			frozen.At, frozen.Arrived = r.At, r.Arrived
			*r = frozen
			r.Flags |= device.FlagFrozen
		}),
		sensor("delay 5 s", shadow.Communication, "delay", 2, 6, time.Minute, 5*time.Minute, func(r *device.Reading) { r.Arrived += 5000 }),
		{
			"setpoints without effect", shadow.Communication, "setpoint", -200, 200, 10 * time.Minute, 10 * time.Minute,
			func(b *bench) { b.deaf = true },
			func(b *bench) { b.deaf = false },
		},
		{
			"silence", shadow.Communication, "silence", 10, 12, time.Minute, time.Minute,
			func(b *bench) { b.lost = func(int) bool { return true } },
			func(b *bench) { b.lost = nil },
		},
	}
}

func cmpOr(a, b float64) float64 {
	if a != 0 {
		return a
	}
	return b
}

// TestNamesTheFault breaks one thing at a time in a unit under regulation. The first
// thing its shadow says has to be what it is, with evidence of the right size and soon;
// it says no more as long as the fault lasts, and it says so when it is over.
func TestNamesTheFault(t *testing.T) {
	seeds := uint64(5)
	if testing.Short() {
		seeds = 1 // one goroutine
	}
	for n := range faults() {
		var late []time.Duration
		name := faults()[n].name
		for seed := uint64(1); seed <= seeds; seed++ {
			f := faults()[n]
			b := newBench(t, 1, seed)
			b.steady = true
			b.passes(3*time.Hour, func(_ int, c shadow.Change) { t.Errorf("%s, seed %d: %s before the fault", name, seed, c.Finding) })

			var found []shadow.Change
			until := func(limit time.Duration, n int) time.Duration {
				from := b.now
				for b.now.Sub(from) < limit && len(found) < n {
					b.step(func(_ int, c shadow.Change) { found = append(found, c) })
				}
				return b.now.Sub(from)
			}
			f.begin(b)
			late = append(late, until(f.within, 1))
			if len(found) == 0 {
				t.Errorf("%s, seed %d: nothing found within %s", name, seed, f.within)
				continue
			}
			x := found[0].Finding
			if x.Cause != f.cause || x.What != f.what || !(x.Value >= f.low && x.Value <= f.high) {
				t.Errorf("%s, seed %d: found %s, want %s of %s, %g to %g", name, seed, x, f.cause, f.what, f.low, f.high)
			}
			if until(30*time.Minute, 2); len(found) > 1 {
				t.Errorf("%s, seed %d: also %s, over %v", name, seed, found[1].Finding, found[1].Over)
				continue
			}
			f.end(b)
			if until(f.back, 2); len(found) < 2 || !found[1].Over || found[1].Finding.What != f.what {
				t.Errorf("%s, seed %d: not over %s after its end: %v", name, seed, f.back, found[1:])
			}
		}
		slices.Sort(late)
		t.Logf("%-26s found after %6s (median), %6s (most) of %d", name, late[len(late)/2], late[len(late)-1], len(late))
	}
}

// A reading that is wrong once, or one that cannot be used, is no divergence.
func TestOneWrongReadingIsNone(t *testing.T) {
	b := newBench(t, 1, 3)
	b.steady = true
	b.passes(3*time.Hour, func(_ int, c shadow.Change) { t.Errorf("%s before", c.Finding) })
	n := 0
	b.change = func(_ int, r *device.Reading) {
		switch n++; {
		case n%97 == 0:
			r.Voltage *= 1.2
		case n%101 == 0:
			r.SoC += 20
		case n%103 == 0:
			r.Temperature += 30
		case n%107 == 0:
			r.Current += 60
		case n%109 == 0:
			r.Voltage, r.Current, r.Quality = 1e9, -1e9, device.Bad
		case n%113 == 0:
			*r = device.Reading{At: r.At, Arrived: r.Arrived, SoC: math.NaN(), Voltage: math.NaN(), Current: math.NaN(), Power: math.NaN(), Temperature: math.NaN()}
		}
	}
	b.passes(6*time.Hour, func(_ int, c shadow.Change) { t.Errorf("%s, over %v", c.Finding, c.Over) })
}

// A device may go away for an hour and come back elsewhere.
func TestGap(t *testing.T) {
	b := newBench(t, 1, 4)
	b.steady = true
	b.passes(3*time.Hour, func(_ int, c shadow.Change) { t.Errorf("%s before", c.Finding) })
	b.lost = func(int) bool { return true }
	var said []string
	note := func(_ int, c shadow.Change) { said = append(said, c.Finding.What) }
	b.passes(time.Hour, note)
	b.lost = nil
	b.passes(6*time.Hour, note)
	if want := []string{"silence", "silence"}; !slices.Equal(said, want) {
		t.Errorf("a gap of an hour makes %q, want %q", said, want)
	}
}

// Out of order are readings that come after newer ones.
func TestDisorder(t *testing.T) {
	b := newBench(t, 1, 5)
	b.passes(time.Hour, func(_ int, c shadow.Change) { t.Errorf("%s before", c.Finding) })
	s := b.shadows[0]
	var said []shadow.Change
	for range 300 {
		b.step(func(_ int, c shadow.Change) { said = append(said, c) })
		old := device.Empty()
		old.At, old.Arrived, old.Flags = b.now.UnixMilli()-1500, b.now.UnixMilli(), device.FlagOrder
		said = append(said, s.Step(&old)...)
	}
	if len(said) != 1 || said[0].Finding.What != "disorder" || said[0].Finding.Cause != shadow.Communication {
		t.Errorf("every reading twice, the second too late: %v, want one finding of disorder", said)
	}
}

func TestStepDoesNotAllocate(t *testing.T) {
	b := newBench(t, 1, 1)
	var last device.Reading
	b.change = func(_ int, r *device.Reading) { last = *r }
	b.passes(2*time.Hour, func(int, shadow.Change) {})
	n := testing.AllocsPerRun(1000, func() {
		last.At += 1000
		last.Arrived += 1000
		b.shadows[0].Step(&last)
	})
	if n != 0 {
		t.Errorf("a step allocates %g times", n)
	}
}

func BenchmarkStep(b *testing.B) {
	w := newBench(b, 1, 1)
	var last device.Reading
	w.change = func(_ int, r *device.Reading) { last = *r }
	w.passes(2*time.Hour, func(int, shadow.Change) {})
	b.ReportAllocs()
	n := 0.0
	for b.Loop() {
		n++
		last.At += 1000
		last.Arrived += 1000
		last.Current = math.Round(400*math.Sin(n/30)) / 10
		last.Voltage = 793 + math.Round(last.Current)/10
		w.shadows[0].Step(&last)
	}
}
