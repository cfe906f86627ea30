package guard_test

import (
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/guard"
)

// On a wire an answer comes later than what is asked next.

func answer(g *guard.Guard, now time.Time, c device.Command, status device.AckStatus) {
	a := c.Answer(status, now.UnixMilli(), "", "")
	g.Settle(device.Time(a.At), &a)
}

// The answer to one correction is not that to the next.
func TestLateAnswerToACorrection(t *testing.T) {
	g := plant(t, 1)
	c := setPower(0, start, 80, device.Normal)
	c.Duration = time.Hour.Milliseconds()
	check(g, start, c)
	answer(g, start, c, device.Done)
	limit := func(s time.Duration, kw, temp float64) []guard.Correction {
		r := reading(0, at(s))
		r.MaxCharge, r.Temperature = kw, temp
		g.Observe(r)
		return g.Tick(at(s), nil)
	}
	one := limit(time.Second, 30, 25)
	two := limit(1100*time.Millisecond, 30, 70)
	if len(one) != 1 || len(two) != 1 || one[0].Power != 30 || two[0].Power != 0 {
		t.Fatalf("corrections %+v, %+v", one, two)
	}
	answer(g, at(1200*time.Millisecond), one[0].Command, device.Done)
	answer(g, at(1300*time.Millisecond), two[0].Command, device.Failure) // it may still run at 30 kW
	for s := 2 * time.Second; s < 5*time.Second; s += time.Second {
		if out := limit(s, 30, 70); len(out) > 0 {
			if out[0].Power != 0 || out[0].Attempt != 2 {
				t.Errorf("correction %+v", out[0])
			}
			return
		}
	}
	t.Error("a device that is too hot is left at what it may not have")
}

// What was asked and is not answered yet may be in force or not, when what came after it
// was refused.
func TestRefusalWhileAnotherAnswerIsOpen(t *testing.T) {
	for _, verb := range []device.Verb{device.Stop, device.SetPower} {
		g := plant(t, 1)
		c := setPower(0, start, 80, device.Normal)
		c.Duration = time.Hour.Milliseconds()
		check(g, start, c)
		answer(g, start, c, device.Done)
		stop, next := setPower(0, at(time.Second), 0, device.Normal), setPower(0, at(time.Second), 20, device.Normal)
		stop.Verb, stop.ID, next.ID = verb, "stop", "next"
		check(g, at(time.Second), stop)
		check(g, at(time.Second), next)
		answer(g, at(time.Second), stop, device.Expired) // overtaken: it was never sent
		answer(g, at(1100*time.Millisecond), next, device.Rejected)
		r := reading(0, at(2*time.Second))
		r.Temperature = 70
		g.Observe(r)
		if out := g.Tick(at(2*time.Second), nil); len(out) != 1 || out[0].Power != 0 {
			t.Errorf("%v: a device that is hot and may run at 80 kW: corrections %+v", verb, out)
		}
	}
}

// While a correction is on its way its repetitions keep their pace.
func TestCorrectionOnItsWayKeepsItsPace(t *testing.T) {
	g := plant(t, 1)
	check(g, start, setPower(0, start, 80, device.Normal))
	n := 0
	for s := time.Minute; s < 2*time.Minute; s += time.Second {
		out := g.Tick(at(s), nil)
		n += len(out)
		g.Tick(at(s+100*time.Millisecond), nil)
		settle(g, at(s+200*time.Millisecond), out, device.Failure)
	}
	if n > 7 {
		t.Errorf("%d corrections in a minute, want 1, 2, 4 … s between them", n)
	}
}
