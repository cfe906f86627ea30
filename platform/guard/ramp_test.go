package guard_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/platform/device"
	"yunchu/platform/guard"
)

// With nothing else going on, the sum itself keeps to the ramp, whatever the
// signs, sizes and moments of the commands.
func TestRampOverAnySecond(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, rapid.Float64Range(0.5, 200).Draw(t, "ramp"))
		w.steps = true
		t.Repeat(map[string]func(*rapid.T){
			"commands": func(t *rapid.T) {
				var cmds []device.Command
				for range rapid.IntRange(1, 8).Draw(t, "n") {
					c := setPower(device.Slot(rapid.IntRange(0, devices-1).Draw(t, "slot")), w.time(),
						rapid.Float64Range(-100, 100).Draw(t, "power"), device.Priority(rapid.IntRange(0, 3).Draw(t, "priority")))
					c.Duration = guard.DefaultLease.Milliseconds()
					cmds = append(cmds, c)
				}
				w.check(t, cmds)
				if w.fleet.free != 0 {
					t.Fatalf("%v kW moved that nothing bounds", w.fleet.free)
				}
			},
			"wait": func(t *rapid.T) { w.pass(rapid.Int64Range(0, 1500).Draw(t, "ms")) },
			"": func(t *rapid.T) {
				w.kept(t)
			},
		})
	})
}

// What the ramp takes off one cycle comes in the next ones: the target is reached.
func TestRampReachesTheTarget(t *testing.T) {
	g := plant(t, devices)
	g.RampKWPerS = 50
	verdicts := make([]guard.Verdict, devices)
	want := []float64{100, 80, -60, 90}
	var sum, total float64
	for _, kw := range want {
		total += kw
	}
	for i := range 10 {
		now := at(time.Duration(i) * time.Second)
		var cmds []device.Command
		for s, kw := range want {
			cmds = append(cmds, setPower(device.Slot(s), now, kw, device.Dispatch))
		}
		g.Check(now, cmds, verdicts)
		before := sum
		sum = 0
		for _, v := range verdicts {
			sum += v.Power
		}
		if step := sum - before; step < -1e-9 || step > 50+1e-9 {
			t.Errorf("second %d: the sum goes from %v to %v kW, ramp 50 kW/s", i, before, sum)
		}
		if full := min(total, 50*float64(i+1)); math.Abs(sum-full) > 1e-9 {
			t.Errorf("second %d: sum %v kW, want %v kW: the ramp is there to be used", i, sum, full)
		}
	}
}

// A batch that moves power from one device to another leaves the sum, and so the
// ramp, alone; and cutting one side must not turn the sum round.
func TestRampWithMixedSigns(t *testing.T) {
	tests := []struct {
		name       string
		from, to   []float64
		ramp, want float64 // change of the sum
	}{
		{"exchange", []float64{100, 0}, []float64{0, 100}, 10, 0},
		{"mostly exchange", []float64{90, 0}, []float64{0, 100}, 5, 5},
		{"mostly exchange, down", []float64{100, 0}, []float64{0, 90}, 5, -5},
		{"one way", []float64{0, 0}, []float64{50, 50}, 30, 30},
		{"small against large", []float64{40, 0}, []float64{0, 100}, 30, 30},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := plant(t, len(tt.from))
			verdicts := make([]guard.Verdict, len(tt.from))
			batch := func(kws []float64) []device.Command {
				var cmds []device.Command
				for s, kw := range kws {
					cmds = append(cmds, setPower(device.Slot(s), start, kw, device.Dispatch))
				}
				return cmds
			}
			g.Check(start, batch(tt.from), verdicts)
			g.RampKWPerS = tt.ramp
			g.Check(start, batch(tt.to), verdicts)
			change := 0.0
			for s, v := range verdicts {
				change += v.Power - tt.from[s]
			}
			if math.Abs(change-tt.want) > 1e-9 {
				t.Errorf("the sum changes by %v kW, want %v kW (%+v)", change, tt.want, verdicts)
			}
		})
	}
}

// Going to a safe state does not wait for the ramp.
func TestRampDoesNotDelaySafety(t *testing.T) {
	for _, verb := range []device.Verb{device.Stop, device.Release, device.SetMode, device.SetPower} {
		g := plant(t, 1)
		check(g, start, setPower(0, start, 100, device.Normal))
		g.RampKWPerS = 1
		c := setPower(0, start, 0, device.Normal)
		c.Verb = verb
		switch verb {
		case device.SetMode:
			c.Mode = device.StandbyMode
		case device.SetPower:
			c.Priority = device.Safety
		}
		if v := check(g, start, c); v.Power != 0 || v.Reduced || v.Code != "" {
			t.Errorf("%v: %+v, want 0 kW at once", verb, v)
		}
	}
}

// No priority takes power past a ramp, or past the rate, but towards 0.
func TestSafetyDoesNotPassTheRamp(t *testing.T) {
	for _, tt := range []struct{ from, to, want float64 }{
		{0, 100, 10}, {0, -100, -10}, {50, 100, 60}, {50, -100, -10}, {50, 20, 20}, {-50, 0, 0}, {-50, 100, 10},
	} {
		for _, whose := range []string{"the fleet's", "its own"} {
			g, e := &guard.Guard{}, nameplate()
			if whose == "its own" {
				e.RampKWPerS = 10
			}
			if err := g.Set(0, nameplate(), device.Active); err != nil {
				t.Fatal(err)
			}
			check(g, start, setPower(0, start, tt.from, device.Normal))
			if err := g.Set(0, e, device.Active); err != nil {
				t.Fatal(err)
			}
			if whose != "its own" {
				g.RampKWPerS = 10
			}
			if v := check(g, start, setPower(0, start, tt.to, device.Safety)); math.Abs(v.Power-tt.want) > 1e-9 {
				t.Errorf("%s ramp of 10 kW/s, from %v to %v kW: %+v, want %v kW", whose, tt.from, tt.to, v, tt.want)
			}
		}
	}
	g, e := &guard.Guard{}, nameplate()
	e.PerSecond = 2
	if err := g.Set(0, e, device.Active); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", "", guard.CodeRate} {
		if v := check(g, start, setPower(0, start, float64(10+i), device.Safety)); v.Code != want {
			t.Errorf("setpoint %d: %+v, want %q", i, v, want)
		}
	}
	if v := check(g, start, setPower(0, start, 5, device.Safety)); v.Code != "" {
		t.Errorf("towards 0: %+v", v)
	}
}

// A clock that is set back must neither freeze the ramp nor lift it.
func TestRampWhenTheClockIsSetBack(t *testing.T) {
	g := plant(t, 1)
	g.RampKWPerS = 10
	sum := 0.0
	for i, d := range []time.Duration{0, -time.Hour, -time.Hour + 500*time.Millisecond, -time.Hour + time.Second, -time.Hour + 2*time.Second} {
		want := []float64{10, 10, 10, 20, 30}[i]
		if v := check(g, at(d), setPower(0, at(d), 100, device.Dispatch)); math.Abs(v.Power-want) > 1e-9 {
			t.Errorf("at %v: %v kW after %v kW, want %v kW", d, v.Power, sum, want)
		} else {
			sum = v.Power
		}
	}
}
