package guard_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/guard"
)

// settle tells the guard how corrections have ended.
func settle(g *guard.Guard, now time.Time, out []guard.Correction, status device.AckStatus) {
	for i := range out {
		a := out[i].Answer(status, now.UnixMilli(), "X", "")
		g.Settle(device.Time(a.At), &a)
	}
}

// A correction that did not get through is repeated until it does, ever more
// seldom, whether or not the device is heard of.
func TestFailedCorrectionIsRepeated(t *testing.T) {
	for _, tt := range []struct {
		name, why string
		hot       time.Duration // when the device becomes too hot; 0: never
		first     time.Duration // correction, in s
		fails     device.AckStatus
	}{
		{"expiry", "setpoint expired", 0, 60 * time.Second, device.Failure},
		{"expiry refused", "setpoint expired", 0, 60 * time.Second, device.Rejected},
		{"envelope", "temperature high", 10 * time.Second, 10 * time.Second, device.Failure},
		{"envelope refused", "temperature high", 10 * time.Second, 10 * time.Second, device.Rejected},
	} {
		for _, heard := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, heard %v", tt.name, heard), func(t *testing.T) {
				g := plant(t, 1)
				c := setPower(0, start, 80, device.Normal)
				if tt.hot != 0 {
					c.Duration = time.Hour.Milliseconds()
				}
				check(g, start, c)
				var got []time.Duration
				for s := time.Second; s < 250*time.Second; s += time.Second {
					if s == tt.hot || heard {
						r := reading(0, at(s))
						if tt.hot != 0 && s >= tt.hot {
							r.Temperature = 65
						}
						g.Observe(r)
					}
					out := g.Tick(at(s), nil)
					for _, c := range out {
						if got = append(got, s-tt.first); c.Power != 0 || c.Reason != tt.why || c.Attempt != len(got) {
							t.Errorf("correction %d: %+v", len(got), c)
						}
					}
					status := tt.fails
					if len(got) == 9 {
						status = device.Done
					}
					settle(g, at(s), out, status)
				}
				const s = time.Second
				if want := []time.Duration{0, s, 3 * s, 7 * s, 15 * s, 31 * s, 61 * s, 91 * s, 121 * s}; !slices.Equal(got, want) {
					t.Errorf("corrected at %v, want %v", got, want)
				}
			})
		}
	}
}

// What became narrower in the meantime does not wait for the next repetition.
func TestRepetitionDoesNotWaitForLess(t *testing.T) {
	g := plant(t, 1)
	check(g, start, setPower(0, start, 80, device.Normal))
	limit := []float64{50, 50, 50, 30, 40}
	want := []string{"50 1", "50 2", "", "30 3", ""}
	for i := range limit {
		now := at(time.Duration(i+1) * time.Second)
		r := reading(0, now)
		r.MaxCharge = limit[i]
		g.Observe(r)
		out := g.Tick(now, nil)
		got := ""
		for _, c := range out {
			got = fmt.Sprint(c.Power, " ", c.Attempt)
		}
		if got != want[i] {
			t.Errorf("second %d: corrected to %q, want %q", i+1, got, want[i])
		}
		settle(g, now, out, device.Failure)
	}
}

// A correction is over when somebody else has brought the device where it may be,
// and not when that failed as well.
func TestCommandEndsACorrection(t *testing.T) {
	for _, status := range []device.AckStatus{device.Done, device.Failure, device.Rejected} {
		g := plant(t, 1)
		check(g, start, setPower(0, start, 80, device.Normal))
		settle(g, at(time.Minute), g.Tick(at(time.Minute), nil), device.Failure)
		now := at(time.Minute + 100*time.Millisecond)
		c := setPower(0, now, 20, device.Dispatch)
		check(g, now, c)
		a := c.Answer(status, now.UnixMilli(), "", "")
		g.Settle(device.Time(a.At), &a)
		if out := g.Tick(at(time.Minute+time.Second), nil); (len(out) == 0) != (status == device.Done) {
			t.Errorf("%v: corrections %+v", status, out)
		} else if len(out) > 0 && (out[0].Power != 0 || out[0].Attempt != 2) {
			t.Errorf("%v: correction %+v, want the second to 0", status, out[0])
		}
	}
}

// A device that may run in either direction is watched in both.
func TestFailedCommandOfTheOtherSign(t *testing.T) {
	full := func(r *device.Reading) { r.SoC = 91 }
	empty := func(r *device.Reading) { r.SoC = 9 }
	for _, tt := range []struct {
		name         string
		agreed, lost float64 // kW
		see          func(*device.Reading)
		want         []float64
	}{
		{"charges perhaps, full", -60, 50, full, []float64{0}},
		{"charges perhaps, empty", -60, 50, empty, []float64{0}},
		{"discharges perhaps, empty", 60, -50, empty, []float64{0}},
		{"discharges perhaps with more, full", 20, -50, full, []float64{0}},
		{"device takes less", -60, 50, func(r *device.Reading) { r.MaxCharge = 40 }, []float64{0}},
		{"both allowed", -60, 50, func(r *device.Reading) { r.MaxCharge = 55 }, nil},
		{"same sign, less", 60, 50, func(r *device.Reading) { r.MaxCharge = 60 }, nil},
		{"same sign, more", 20, 50, func(r *device.Reading) { r.MaxCharge = 30 }, []float64{30}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := plant(t, 1)
			check(g, start, setPower(0, start, tt.agreed, device.Normal))
			c := setPower(0, start, tt.lost, device.Normal)
			check(g, start, c)
			a := c.Answer(device.Failure, start.UnixMilli(), "NO_ANSWER", "")
			g.Settle(device.Time(a.At), &a)
			r := reading(0, at(time.Second))
			tt.see(r)
			g.Observe(r)
			out := g.Tick(at(time.Second), nil)
			var got []float64
			for _, c := range out {
				got = append(got, c.Power)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("corrected to %v kW, want %v", got, tt.want)
			}
			settle(g, at(time.Second), out, device.Done)
			if out := g.Tick(at(2*time.Second), nil); len(out) != 0 {
				t.Errorf("corrected again after it was done: %+v", out)
			}
		})
	}
}
