package settle_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"yunchu/platform/settle"
)

// sampled is a curve that has a row at each time.
func sampled(at []float64, f func(float64) float64) (c settle.Curve) {
	for _, t := range at {
		c.T, c.KW = append(c.T, t), append(c.KW, f(t))
	}
	return c
}

// every are times from 0 to an end.
func every(dt, end float64) (at []float64) {
	for i := 0; float64(i)*dt <= end+1e-9; i++ {
		at = append(at, float64(i)*dt)
	}
	return at
}

// TestRateIsThatOfTheRamp: whatever a command asks for, a ramp has its own rate. In Shanxi one
// above 60 MW a minute scores 0.1.
func TestRateIsThatOfTheRamp(t *testing.T) {
	t.Parallel()
	shanxi := shipped(t, "shanxi")
	for _, dt := range []float64{0.1, 1} {
		for _, perMin := range []float64{50e3, 60e3} {
			for _, target := range []float64{3e3, 5e3, -10e3, 50e3} {
				name := fmt.Sprintf("%g kW at %g kW a minute every %g s", target, perMin, dt)
				signal := settle.Curve{T: []float64{0, 10, 200}, KW: []float64{0, target, target}}
				ramp := func(t float64) float64 {
					return math.Copysign(min(max(t-15, 0)*perMin/60, math.Abs(target)), target)
				}
				list, err := shanxi.Counting.Adjustments(signal, sampled(every(dt, 200), ramp), 100e3)
				if err != nil || len(list) != 1 {
					t.Fatal(name, list, err)
				}
				near(t, name, list[0].RateKW, perMin, 0.25*perMin*dt) // where it ends within a row it is slower by so much
				if list[0].RateKW > perMin+1e-6 {
					t.Errorf("%s: %.9g is faster than it was", name, list[0].RateKW)
				}
				if k1 := shanxi.Parts(list[0])[0]; k1 < 1.9 {
					t.Errorf("%s: K1 = %g", name, k1)
				}
			}
		}
	}
}

// TestCommandHasItsOwnTime: a command is given in the row of its signal, whichever rows the
// response has, and a power holds until the next row.
func TestCommandHasItsOwnTime(t *testing.T) {
	t.Parallel()
	c := shipped(t, "north-china").Counting
	for _, tt := range []struct {
		name             string
		signal, response settle.Curve
		at, delay, error float64
	}{
		{
			"there in one row",
			settle.Curve{T: []float64{0, 10, 100}, KW: []float64{0, 50, 50}},
			settle.Curve{T: []float64{0, 12, 100}, KW: []float64{0, 50, 50}},
			10, 2, 0,
		},
		{
			"1 kW short for 48 of 88 s",
			settle.Curve{T: []float64{0, 10, 100}, KW: []float64{0, 50, 50}},
			settle.Curve{T: []float64{0, 12, 60, 100}, KW: []float64{0, 49, 50, 50}},
			10, 2, 100.0 * 48 / 88 / 100,
		},
		{
			"between two rows",
			settle.Curve{T: []float64{0, 19, 200}, KW: []float64{0, 50, 50}},
			settle.Curve{T: []float64{0, 10, 20, 200}, KW: []float64{0, 0, 50, 50}},
			19, 1, 0,
		},
		{
			"replaced before the next row",
			settle.Curve{T: []float64{0, 14, 64, 200}, KW: []float64{0, 50, 0, 0}},
			settle.Curve{T: []float64{0, 10, 20, 60, 70, 200}, KW: []float64{0, 0, 49, 50, 0, 0}},
			14, 6, 100.0 * 40 / 44 / 100,
		},
	} {
		list, err := c.Adjustments(tt.signal, tt.response, 100)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if a := list[0]; a.At != tt.at || a.Delay != tt.delay || math.Abs(a.Error-tt.error) > 1e-9 {
			t.Errorf("%s: %+v; want at %g s, %g s late, %g %% off", tt.name, a, tt.at, tt.delay, tt.error)
		}
		// The same curve with more rows is the same response.
		end := tt.response.T[len(tt.response.T)-1]
		for _, dt := range []float64{2, 1, 0.5} {
			if math.Mod(tt.at, dt) != 0 {
				continue
			}
			more, err := c.Adjustments(sampled(every(dt, end), tt.signal.At), sampled(every(dt, end), tt.response.At), 100)
			if err != nil || len(more) != len(list) {
				t.Errorf("%s every %g s: %+v, %v", tt.name, dt, more, err)
				continue
			}
			for i, a := range more {
				if b := list[i]; a.At != b.At || a.Delay != b.Delay || math.Abs(a.Error-b.Error) > 1e-9 || a.MovedKW != b.MovedKW {
					t.Errorf("%s every %g s: %+v; want %+v", tt.name, dt, a, b)
				}
			}
		}
	}
}

// TestJumpThatCreepsOn: who is there but for a little in one row has not the rate of that little.
func TestJumpThatCreepsOn(t *testing.T) {
	t.Parallel()
	jump := func(t float64) float64 {
		if t < 12 {
			return 0
		}
		return min(95+(t-12)/10, 100)
	}
	list, err := settle.Hunan.Counting.Adjustments(settle.Curve{T: []float64{0, 10}, KW: []float64{0, 100}}, sampled(every(1, 120), jump), 100)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "rate", list[0].Rate, 99.0/(52-11)*60, 1e-6)
}

// TestFarthestMove: mileage is what was moved, not what was asked for.
func TestFarthestMove(t *testing.T) {
	t.Parallel()
	var at, power []float64
	for s := range 121 {
		at = append(at, float64(s))
		power = append(power, min(max(float64(s)-2, 0)*100, 600)) // kW, of the 1,000 asked for
	}
	list, err := shipped(t, "hunan").Counting.Adjustments(sampled(at, func(float64) float64 { return 1000 }), settle.Curve{T: at, KW: power}, 1000)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	near(t, "moved", list[0].MovedKW, 600, 0)
	near(t, "delay", list[0].Delay, 3, 0)
}

// TestJitterIsNoCommand: a signal that trembles by less than what counts is one command, and
// one that creeps away from it is another when it is that far.
func TestJitterIsNoCommand(t *testing.T) {
	t.Parallel()
	c := shipped(t, "hunan").Counting
	var at, power []float64
	for s := range 301 { // 100 MW; 10 kW after 2 s of nothing, at 1 MW a second, then what is asked for
		at = append(at, float64(s))
		power = append(power, min(max(float64(s)-2, 0)*1000, 50e3))
	}
	still := func(float64) float64 { return 50e3 }
	want, err := c.Adjustments(sampled(at, still), settle.Curve{T: at, KW: power}, 100e3)
	if err != nil || len(want) != 1 {
		t.Fatal(want, err)
	}
	for name, by := range map[string]float64{"a watt": 0.001, "1.9 %": 1900} {
		jitter := func(t float64) float64 { return 50e3 + by*float64(int(t/4)%2) }
		got, err := c.Adjustments(sampled(at, jitter), settle.Curve{T: at, KW: power}, 100e3)
		if err != nil || len(got) != 1 {
			t.Errorf("a signal that trembles by %s: %d commands, %v", name, len(got), err)
			continue
		}
		near(t, name+": rate", got[0].Rate, want[0].Rate, 4) // 1.9 % may be there a little later or earlier
		near(t, name+": delay", got[0].Delay, want[0].Delay, 0)
		near(t, name+": target", got[0].TargetKW, 50e3, 0)
		near(t, name+": deviation", got[0].Error, want[0].Error+100*by/100e3/2, 0.1) // off by it half of the time
	}
	// 0.9 % a minute is more than 2 % in the third.
	creep := func(t float64) float64 { return 50e3 + 900*float64(int(t/60)) }
	got, err := c.Adjustments(sampled(at, creep), settle.Curve{T: at, KW: power}, 100e3)
	if err != nil || len(got) != 2 || got[1].At != 180 || got[1].TargetKW != 52.7e3 {
		t.Errorf("a signal that creeps: %+v, %v", got, err)
	}
	// More than what counts is a command, and voids one that did not hold.
	double := func(t float64) float64 {
		if t < 20 {
			return 30e3
		}
		return 50e3
	}
	got, err = c.Adjustments(sampled(at, double), settle.Curve{T: at, KW: power}, 100e3)
	if err != nil || len(got) != 1 || got[0].At != 20 {
		t.Errorf("a command that was replaced: %+v, %v", got, err)
	}
}

// TestPerfectResponse: who follows each command in the very sample of it has moved all the way without delay.
func TestPerfectResponse(t *testing.T) {
	var at, kw []float64
	steps := []float64{0, 20e3, -10e3, 30e3}
	signal := func(t float64) float64 { return steps[min(int(max(t, 0)/120), 3)] }
	for s := 0.0; s < 480; s++ {
		at, kw = append(at, s), append(kw, signal(s))
	}
	list, err := settle.Hunan.Counting.Adjustments(sampled(at, signal), settle.Curve{T: at, KW: kw}, 100e3)
	if err != nil || len(list) != 3 {
		t.Fatalf("%+v, %v", list, err)
	}
	for i, a := range list {
		if want := math.Abs(steps[i+1] - steps[i]); a.MovedKW != want || a.Delay > 1 || a.Error > 0.5 { // the sample of the next command is held against this one
			t.Errorf("command %d: %+v, want %g kW moved", i, a, want)
		}
	}
}

// TestAlreadyAtTarget: who is where the signal asks for has nothing to follow, and is told so; a command that was far and
// held too shortly is told as such.
func TestAlreadyAtTarget(t *testing.T) {
	t.Parallel()
	rule := shipped(t, "hunan")
	for _, tt := range []struct {
		name   string
		signal settle.Curve
		want   string
	}{
		{"steady", settle.Curve{T: []float64{0, 300}, KW: []float64{1000, 1000}}, "response already at target"},
		{"by less than counts", settle.Curve{T: []float64{0, 100, 300}, KW: []float64{1000, 1010, 1010}}, "response already at target"},
		{"not held", settle.Curve{T: []float64{0, 290, 300}, KW: []float64{1000, 0, 0}}, "no command moved more than 2 % of 1000 kW and held"},
	} {
		steady := sampled(every(1, 300), func(float64) float64 { return 1000 })
		_, err := rule.Judge(settle.Terms{RatedKW: 1000, Share: 1}, tt.signal, steady)
		if !errors.Is(err, settle.ErrNoData) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}
