//go:build !nosim

package shadow_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/harness/shadow"
	"yunchu/platform/device"
	"yunchu/twin/cell"
)

// TestNamesTheFault breaks one thing at a time in a unit under regulation, and holds
// what its shadow says first against what it is, and how soon.
func TestNamesTheFault(t *testing.T) {
	later := func(seconds int64) func(*device.Reading) {
		return func(r *device.Reading) { r.Arrived += 1000 * seconds }
	}
	for _, tt := range []struct {
		name   string
		cause  shadow.Cause
		what   string
		low    float64 // of the evidence
		high   float64
		within time.Duration
		twin   func(b *bench)
		sensor func(r *device.Reading)
	}{
		{"resistance +20 %", shadow.Resistance, "resistance", 8, 25, 15 * time.Minute, func(b *bench) { b.twins.Drift(0, cell.Scatter{Capacity: 1, Resistance: 1.2}) }, nil},
		{"resistance +50 %", shadow.Resistance, "resistance", 8, 60, 10 * time.Minute, func(b *bench) { b.twins.Drift(0, cell.Scatter{Capacity: 1, Resistance: 1.5}) }, nil},
		{"capacity -10 %", shadow.CapacityOrLeak, "capacity", -12, -5, 24 * time.Hour, func(b *bench) { b.twins.Drift(0, cell.Scatter{Capacity: 0.9, Resistance: 1}) }, nil},
		{"leak 0.5 A", shadow.CapacityOrLeak, "leak", 0.3, 0.7, 24 * time.Hour, func(b *bench) { b.twins.ShortCell(0, 3.3/0.5) }, nil},
		{"voltage +5 mV a cell", shadow.SensorOffset, "voltage", 3, 7, 3 * time.Minute, nil, func(r *device.Reading) { r.Voltage += 1.2 }},
		{"voltage -5 mV a cell", shadow.SensorOffset, "voltage", -7, -3, 3 * time.Minute, nil, func(r *device.Reading) { r.Voltage -= 1.2 }},
		{"voltage +50 V", shadow.SensorOffset, "voltage", 50, 300, 3 * time.Minute, nil, func(r *device.Reading) { r.Voltage += 50 }},
		{"current +5 A", shadow.SensorOffset, "current", 2, 6, 5 * time.Minute, nil, func(r *device.Reading) { r.Current += 5 }},
		{"temperature +5 K", shadow.SensorOffset, "temperature", 4, 6, 5 * time.Minute, nil, func(r *device.Reading) { r.Temperature += 5 }},
		{"soc -5 %", shadow.SensorOffset, "soc", -6, -4, 5 * time.Minute, nil, func(r *device.Reading) { r.SoC -= 5 }},
		{"fan failure", shadow.Thermal, "temperature", 2, 6, 8 * time.Hour, func(b *bench) { b.twins.FailFan(0, true) }, nil},
		{"delay 5 s", shadow.Communication, "delay", 2, 6, 5 * time.Minute, nil, later(5)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var late []time.Duration
			var line []string
			for seed := uint64(1); seed <= 5; seed++ {
				b := newBench(t, 1, seed)
				b.force = true
				b.heavy = strings.HasPrefix(tt.name, "fan")
				b.passes(3*time.Hour, func(_ int, c shadow.Change) { t.Errorf("seed %d: %s before the fault", seed, c.Finding) })
				if tt.twin != nil {
					tt.twin(b)
				}
				b.change = func(_ int, r *device.Reading) {
					if tt.sensor != nil {
						tt.sensor(r)
					}
				}
				from := b.now
				var found []shadow.Change
				for b.now.Sub(from) < tt.within && len(found) == 0 {
					b.step(func(_ int, c shadow.Change) { found = append(found, c) })
				}
				if len(found) == 0 {
					t.Errorf("seed %d: nothing found in %s", seed, tt.within)
					continue
				}
				f := found[0].Finding
				line = append(line, f.String())
				late = append(late, b.now.Sub(from))
				if f.Cause != tt.cause || f.What != tt.what || f.Value < tt.low || f.Value > tt.high {
					t.Errorf("seed %d: found %s, want %s of %s, %g to %g", seed, f, tt.cause, tt.what, tt.low, tt.high)
				}
				b.passes(time.Hour, func(_ int, c shadow.Change) { t.Errorf("seed %d: also %s over %v", seed, c.Finding, c.Over) })
			}
			slices.Sort(late)
			if len(late) > 0 {
				t.Logf("%s: median %s, at most %s: %s", tt.name, late[len(late)/2], late[len(late)-1], strings.Join(line, "; "))
			}
		})
	}
}
