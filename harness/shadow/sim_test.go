//go:build !nosim

package shadow_test

import (
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"yunchu/harness/shadow"
	"yunchu/hil/sim"
	"yunchu/platform/device"
	"yunchu/twin"
	"yunchu/twin/params"
)

// bench is a few twins with a shadow each. The twins differ from the model of their
// shadows by what units of one type differ, and the sensors are noisy.
type bench struct {
	t       testing.TB
	model   *params.Model
	twins   *twin.Fleet
	drivers []*sim.Fleet
	shadows []*shadow.Shadow
	rng     *rand.Rand
	now     time.Time
	every   time.Duration // between two readings
	start   time.Time
	noise   float64 // of the sensors, 1: as stated below
	ambient func(day float64) float64
	loads   []load
	steady  bool // regulation all the time
	heavy   bool // full power up and down
	deaf    bool // setpoints are acknowledged and have no effect
	frame   device.Readings
	change  func(i int, r *device.Reading) // faults of sensors and links
	lost    func(i int) bool               // readings that never come
}

// The noise of the sensors, one sigma, before the report is rounded as the driver
// rounds it: 0.1 V, 0.1 A, 0.01 K, 1 W, 0.01 %.
const (
	noiseV = 0.05 // V of the pack
	noiseA = 0.05 // A
	noiseK = 0.05 // K
)

func newBench(t testing.TB, units int, seed uint64) *bench {
	return newBenchOf(t, "ess-100kw-215kwh", units, seed)
}

func newBenchOf(t testing.TB, model string, units int, seed uint64) *bench {
	t.Helper()
	m, err := params.LoadModel(model)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	b := &bench{
		t: t, model: m, start: start, now: start, every: time.Second, noise: 1, rng: rand.New(rand.NewPCG(seed, 1)),
		ambient: func(day float64) float64 { return 298.15 - 6*math.Cos(2*math.Pi*day) },
	}
	ids := make([]string, units)
	for i := range ids {
		ids[i] = fmt.Sprintf("ess-%03d", i+1)
	}
	b.twins, err = twin.NewFleet(m, ids, twin.Options{
		Seed: seed, SoCMean: 50, SoCSpread: 15, CapacitySpread: 1, ResistanceSpread: 2, AmbientK: b.ambient(0), Start: start,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.drivers = sim.Fleets(b.twins)
	k, err := shadow.NewKind(m)
	if err != nil {
		t.Fatal(err)
	}
	for range units {
		s, err := k.Shadow(shadow.Options{AmbientK: b.ambient(0)})
		if err != nil {
			t.Fatal(err)
		}
		b.shadows = append(b.shadows, s)
	}
	b.loads = make([]load, units)
	return b
}

// load is what a unit is asked for: hours of regulation, of steady power and of rest.
type load struct {
	kind  int
	until time.Time
	kw    float64
}

func (b *bench) ask(i int) {
	l, u := &b.loads[i], b.model.RatedKW
	soc := b.twins.State(i).SoC
	if !b.now.Before(l.until) {
		l.kind = b.rng.IntN(4)
		if b.steady {
			l.kind = 0
		}
		l.until = b.now.Add(time.Duration(10+b.rng.IntN(170)) * time.Minute)
		l.kw = u * (2*b.rng.Float64() - 1)
	}
	if b.heavy {
		l.kind, l.until = 2, b.now.Add(time.Hour)
		if soc > 0.8 {
			l.kw = -u
		} else if soc < 0.2 || math.Abs(l.kw) < u {
			l.kw = u
		}
	}
	away := 1.5 * u * (0.5 - soc) // keeps away from both ends
	switch {
	case l.kind < 2: // regulation, a new setpoint every 4 s
		if b.now.Unix()%4 == 0 {
			l.kw = min(max(0.97*l.kw+0.03*away+0.12*u*b.rng.NormFloat64(), -u), u)
		}
	case l.kind == 2:
		if !b.heavy && l.kw*(0.5-soc) < 0 && math.Abs(soc-0.5) > 0.3 {
			l.kw = -l.kw
		}
	default:
		l.kw = 0
	}
	if b.now.Unix()%4 == 0 {
		if !b.deaf {
			b.twins.SetPower(i, b.now, 1e3*l.kw, time.Time{})
		}
		at := b.now.Add(b.twins.ResponseDelay(i)).UnixMilli()
		b.shadows[i].Expect(&device.Ack{Status: device.Done, Verb: device.SetPower, Power: l.kw, At: at})
	}
}

// step lets a second pass and calls seen with what the shadows say.
func (b *bench) step(seen func(i int, c shadow.Change)) {
	for i := range b.loads {
		b.ask(i)
	}
	b.now = b.now.Add(b.every)
	k := b.ambient(b.now.Sub(b.start).Hours() / 24)
	b.twins.SetAmbient(k)
	for _, d := range b.drivers {
		b.frame.Reset()
		if err := d.ReadAll(context.Background(), b.now, &b.frame); err != nil {
			b.t.Fatal(err)
		}
		var r device.Reading
		for row := range b.frame.Slot {
			b.frame.Row(row, &r)
			i := d.Index(int(r.Slot))
			round := func(v, steps float64) float64 { return math.Round(v*steps) / steps }
			r.Voltage = round(r.Voltage+b.noise*noiseV*b.rng.NormFloat64(), 10)
			r.Current = round(r.Current+b.noise*noiseA*b.rng.NormFloat64(), 10)
			r.Temperature = round(r.Temperature+b.noise*noiseK*b.rng.NormFloat64(), 100)
			if b.change != nil {
				b.change(i, &r)
			}
			b.shadows[i].SetAmbient(k)
			if b.lost == nil || !b.lost(i) {
				for _, c := range b.shadows[i].Step(&r) {
					seen(i, c)
				}
			}
			for _, c := range b.shadows[i].Tick(b.now.UnixMilli()) {
				seen(i, c)
			}
		}
	}
}

// passes lets so much time pass.
func (b *bench) passes(d time.Duration, seen func(i int, c shadow.Change)) {
	for end := b.now.Add(d); b.now.Before(end); {
		b.step(seen)
	}
}

var weeks = flag.Int("weeks", 8, "device-weeks without a fault that the false alarms are counted in")

// TestFaultFreeWeeks counts false alarms over units that are as different as units
// are, through weeks of regulation, steady power and rest under a daily swing of the
// air.
func TestFaultFreeWeeks(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine, and minutes long under the race detector")
	}
	const units = 4
	raised := 0
	for seed := uint64(1); int(seed)*units <= *weeks; seed++ {
		b := newBench(t, units, seed)
		b.passes(7*24*time.Hour, func(i int, c shadow.Change) {
			if !c.Over {
				raised++
				t.Errorf("seed %d unit %d at %s: %s", seed, i, time.Duration(c.At-b.start.UnixMilli())*time.Millisecond, c.Finding)
			}
		})
	}
	n := *weeks / units * units
	t.Logf("%d false alarms in %d device-weeks: %.3g a week, at most %.3g (95 %%, exact Poisson)", raised, n, float64(raised)/float64(n), poissonUpper(raised)/float64(n))
}

// poissonUpper is the upper end of the exact one-sided 95 % interval of the mean of a
// Poisson count: the mean at which a count of k or less has a probability of 5 %.
func poissonUpper(k int) float64 {
	lo, hi := 0.0, 10+5*float64(k)
	for range 100 {
		m := (lo + hi) / 2
		p, term := 0.0, math.Exp(-m)
		for i := range k + 1 {
			p += term
			term *= m / float64(i+1)
		}
		if p > 0.05 {
			lo = m
		} else {
			hi = m
		}
	}
	return lo
}
