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
			},
			"wait": func(t *rapid.T) { w.now += rapid.Int64Range(0, 1500).Draw(t, "ms") },
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

// What goes towards 0 without a ramp counts in it: what the ramp bounds goes no further from
// where the power was a moment before, and not at all where that lies further already.
func TestWhatIsFreeCountsInTheRamp(t *testing.T) {
	stops := map[string]func(g *guard.Guard, now time.Time, kw float64){
		"expiry": func(*guard.Guard, time.Time, float64) {},
		"a setpoint of safety": func(g *guard.Guard, now time.Time, _ float64) {
			c := setPower(0, now, 0, device.Safety)
			c.Duration = 1
			check(g, now, c)
		},
		"the envelope": func(g *guard.Guard, now time.Time, kw float64) {
			r := reading(0, now)
			if r.SoC = 95; kw < 0 {
				r.SoC = 5
			}
			g.Observe(r)
			g.Tick(now, nil)
			r = reading(0, now.Add(time.Millisecond))
			g.Observe(r)
		},
	}
	for _, verb := range []device.Verb{device.Stop, device.Release, device.SetMode} {
		stops[verb.String()] = func(g *guard.Guard, now time.Time, _ float64) {
			c := setPower(0, now, 0, device.Normal)
			c.Verb, c.Mode, c.Duration = verb, device.StandbyMode, 1
			check(g, now, c)
			if c.Mode = device.Run; verb == device.SetMode {
				check(g, now, c)
			}
		}
	}
	const ramp = 10
	for name, stop := range stops {
		for _, whose := range []string{"the fleet's", "its own"} {
			for _, tt := range []struct{ held, asked, soon, later float64 }{
				{ramp, -ramp, 0, -ramp},
				{-ramp, ramp, 0, ramp},
				{ramp, ramp, ramp, ramp},
				{ramp / 2, -ramp, -ramp / 2, -ramp},
				{3 * ramp, -ramp, 0, -ramp}, // free went further than the ramp
				{3 * ramp, 3 * ramp, ramp, 2 * ramp},
			} {
				g, e := plant(t, 2), nameplate()
				if whose == "its own" {
					e.RampKWPerS = ramp
				} else {
					g.RampKWPerS = ramp
				}
				set(t, g, 0, e, device.Active)
				now := start
				hold := func(kw float64, ms int64) float64 {
					c := setPower(0, now, kw, device.Normal)
					c.Duration = ms
					return check(g, now, c).Power
				}
				for up := 0.0; up != tt.held; now = now.Add(time.Second) {
					up = hold(tt.held, 1100)
				}
				stop(g, now, tt.held)
				now = now.Add(100 * time.Millisecond)
				if kw := hold(tt.asked, 60_000); math.Abs(kw-tt.soon) > 1e-9 {
					t.Errorf("%s ramp of %v kW/s: %s ends %v kW, and then %v kW are asked for: %v kW, want %v kW", whose, ramp, name, tt.held, tt.asked, kw, tt.soon)
				}
				now = now.Add(time.Second)
				if kw := hold(tt.asked, 60_000); math.Abs(kw-tt.later) > 1e-9 {
					t.Errorf("%s ramp of %v kW/s: a second after %s: %v kW, want %v kW", whose, ramp, name, kw, tt.later)
				}
			}
		}
	}
}

// In a fleet it is the sum that counts: what one device is stopped at, another does not go
// beyond; what is asked of others at that moment may make up for it.
func TestStopOfOneBoundsTheOthers(t *testing.T) {
	for _, together := range []bool{false, true} {
		for _, tt := range []struct{ asked, want float64 }{{-10, 0}, {10, 10}, {30, 10}} {
			g := plant(t, 3)
			check(g, start, setPower(0, start, 10, device.Normal))
			g.RampKWPerS = 10
			now := at(5 * time.Second)
			c := setPower(0, now, 0, device.Normal)
			c.Verb = device.Stop
			cmds := []device.Command{c, setPower(1, now, tt.asked/2, device.Dispatch), setPower(2, now, tt.asked/2, device.Dispatch)}
			verdicts := make([]guard.Verdict, len(cmds))
			if together {
				g.Check(now, cmds, verdicts)
			} else {
				for i := range cmds {
					g.Check(now, cmds[i:i+1], verdicts[i:i+1])
				}
			}
			if kw := verdicts[1].Power + verdicts[2].Power; math.Abs(kw-tt.want) > 1e-9 {
				t.Errorf("together %v: one device is stopped at 10 kW, and of two others %v kW are asked for: %v kW, want %v kW", together, tt.asked, kw, tt.want)
			}
		}
	}
}

// A setpoint that the device has refused was asked: the sum is back where it was before, and
// has not gone further from where it might have been.
func TestRefusedSetpointInTheRamp(t *testing.T) {
	for _, tt := range []struct {
		status      device.AckStatus
		asked, want float64
	}{
		{device.Rejected, 10, 10}, {device.Rejected, -10, 0}, {device.Failure, 10, 0}, {device.Failure, -10, -10},
	} {
		g := plant(t, 2)
		g.RampKWPerS = 10
		c := setPower(0, start, 10, device.Dispatch)
		check(g, start, c)
		a := c.Answer(tt.status, start.UnixMilli(), "", "")
		g.Settle(device.Time(a.At), &a)
		if v := check(g, start, setPower(1, start, tt.asked, device.Dispatch)); math.Abs(v.Power-tt.want) > 1e-9 {
			t.Errorf("10 kW %v, then %v kW of another: %v kW, want %v kW", tt.status, tt.asked, v.Power, tt.want)
		}
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
		{0, 100, 10}, {0, -100, -10}, {50, 100, 60}, {50, -100, 0}, {5, -100, -5}, {50, 20, 20}, {-50, 0, 0}, {-50, 100, 0},
	} {
		for _, whose := range []string{"the fleet's", "its own"} {
			g, e := &guard.Guard{}, nameplate()
			if whose == "its own" {
				e.RampKWPerS = 10
			}
			if err := g.Set(0, nameplate(), device.Active); err != nil {
				t.Fatal(err)
			}
			check(g, start, setPower(0, start, tt.from, device.Normal)) // before there is a ramp
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
