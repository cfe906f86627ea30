//go:build !nosim

package shadow

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"yunchu/platform/device"
)

// The mean of the plan between two readings is that of its pieces, millisecond by
// millisecond.
func TestPlanBetweenReadings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p plan
		kw := rapid.Float64Range(-100, 100).Draw(t, "first")
		p.between(&device.Reading{At: 1000, Power: kw}, true)
		at, told := int64(1000), false
		for range rapid.IntRange(1, 5).Draw(t, "readings") {
			from, sum := at, 0.0
			for range rapid.IntRange(0, 4).Draw(t, "commands") {
				next := at + rapid.Int64Range(0, 400).Draw(t, "after")
				sum += kw * float64(next-at)
				at, told = next, true
				kw = rapid.Float64Range(-100, 100).Draw(t, "kw")
				p.told(&device.Ack{Verb: device.SetPower, Power: kw, At: at})
			}
			end := at + rapid.Int64Range(1, 1000).Draw(t, "until the reading")
			sum += kw * float64(end-at)
			at = end
			more, known := p.between(&device.Reading{At: at, Power: kw}, true)
			if known != told {
				t.Fatalf("known %v, commands %v", known, told)
			}
			if want := sum/float64(at-from) - kw; known && math.Abs(more-want) > 1e-9 {
				t.Fatalf("mean less end %g kW, want %g", more, want)
			}
		}
	})
}

// A setpoint that has expired, a release, or a device that does something else says
// nothing about the power between two readings.
func TestPlanThatDoesNotHold(t *testing.T) {
	told := func() plan {
		var p plan
		p.between(&device.Reading{At: 1000}, true)
		p.told(&device.Ack{Verb: device.SetPower, Power: 50, At: 1100, Until: 3000})
		return p
	}
	for _, tt := range []struct {
		name    string
		then    func(p *plan)
		at      int64
		follows bool
		want    bool
	}{
		{"in force", func(*plan) {}, 2000, true, true},
		{"expired", func(*plan) {}, 3000, true, false},
		{"released", func(p *plan) { p.told(&device.Ack{Verb: device.Release, At: 1500}) }, 2000, true, false},
		{"not followed", func(*plan) {}, 2000, false, false},
	} {
		p := told()
		tt.then(&p)
		if _, known := p.between(&device.Reading{At: tt.at, Power: 50}, tt.follows); known != tt.want {
			t.Errorf("%s: known %v, want %v", tt.name, known, tt.want)
		}
	}
}
