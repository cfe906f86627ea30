package pcs_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/twin/pcs"
)

// plain is a converter with a quadratic loss and no options, written out: what the
// options add must not change it by a bit.
type plain struct {
	p      *pcs.Params
	power  float64
	active pcs.Setpoint
	queue  [2]pcs.Setpoint
	queued int
}

func (c *plain) loss(ac float64) float64 {
	if ac == 0 {
		return c.p.StandbyW
	}
	l, x := c.side(ac), math.Abs(ac)
	return c.p.RatedW*l.P0 + x*(l.K1+x*(l.K2/c.p.RatedW))
}

func (c *plain) side(ac float64) pcs.Loss {
	if ac > 0 {
		return c.p.Charge
	}
	return c.p.Discharge
}

func (c *plain) ac(dc float64) float64 {
	x := dc / c.p.RatedW
	switch {
	case dc > 0:
		l := c.p.Charge
		b, k := 1-l.K1, x+l.P0
		return c.p.RatedW * 2 * k / (b + math.Sqrt(max(b*b-4*l.K2*k, 0)))
	case x < -c.p.Discharge.P0:
		l := c.p.Discharge
		b, k := 1+l.K1, -x-l.P0
		return -c.p.RatedW * 2 * k / (b + math.Sqrt(b*b+4*l.K2*k))
	}
	return dc + c.p.StandbyW
}

func (c *plain) accept(now time.Duration, power float64, until time.Duration) {
	sp := pcs.Setpoint{PowerW: power, From: now + c.p.Delay, Until: until}
	for c.queued > 0 && c.queue[c.queued-1].From >= sp.From {
		c.queued--
	}
	c.queued = min(c.queued, 1)
	c.queue[c.queued] = sp
	c.queued++
}

func (c *plain) advance(from, to time.Duration, lo, hi float64) (f pcs.Flow) {
	if c.queued == 0 && c.active.Until > to && c.power == c.active.PowerW && c.power >= lo && c.power <= hi {
		f.Steady = true
		c.hold((to - from).Seconds(), &f)
		return f
	}
	for t := from; ; {
		for c.queued > 0 && c.queue[0].From <= t {
			c.active = c.queue[0]
			c.queue[0] = c.queue[1]
			c.queued--
		}
		if c.active.Until <= t {
			c.active = pcs.Setpoint{Until: pcs.Never}
		}
		target := min(max(c.active.PowerW, lo), hi)
		f.Bound = target != c.active.PowerW
		if t >= to {
			return f
		}
		end := min(to, c.active.Until)
		if c.queued > 0 {
			end = min(end, c.queue[0].From)
		}
		c.ramp(target, (end - t).Seconds(), &f)
		t = end
	}
}

func (c *plain) ramp(target, dt float64, f *pcs.Flow) {
	if d := target - c.power; d != 0 {
		need := math.Abs(d) / c.p.RampWPerS
		reached := need <= dt
		next := target
		if !reached {
			need = dt
			next = c.power + math.Copysign(c.p.RampWPerS*dt, d)
		}
		if a, b := c.power, next; a*b < 0 {
			cut := need * a / (a - b)
			c.line(a, 0, cut, f)
			c.line(0, b, need-cut, f)
		} else {
			c.line(a, b, need, f)
		}
		c.power = next
		dt -= need
		if !reached || dt <= 0 {
			return
		}
	}
	c.hold(dt, f)
}

func (c *plain) hold(dt float64, f *pcs.Flow) {
	loss := c.loss(c.power) * dt
	switch {
	case c.power == 0:
		f.StandbyJ += loss
		return
	case c.power > 0:
		f.InJ += c.power * dt
	default:
		f.OutJ -= c.power * dt
	}
	f.LossJ += loss
}

func (c *plain) line(a, b, dt float64, f *pcs.Flow) {
	sum := a + b
	e := sum / 2 * dt
	if e > 0 {
		f.InJ += e
	} else {
		f.OutJ -= e
	}
	l := c.side(sum)
	square := (a*a + a*b + b*b) * (1.0 / 3)
	f.LossJ += dt * (c.p.RatedW*l.P0 + l.K1*math.Abs(sum)/2 + l.K2*square/c.p.RatedW)
}

func TestWithoutOptionsToTheBit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := plain{p: &converter, active: pcs.Setpoint{Until: pcs.Never}}
		s := rest()
		at := time.Duration(0)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "setpoint") {
				p := rapid.SampledFrom([]float64{0, 50e3, -50e3, 1e3, -99e3, 120e3}).Draw(t, "power")
				until := at + time.Duration(rapid.Int64Range(0, int64(5*time.Second)).Draw(t, "until"))
				converter.Accept(&s, at, p, until)
				c.accept(at, p, until)
			}
			to := at + time.Duration(rapid.Int64Range(1, int64(2*time.Second)).Draw(t, "dt"))
			lo, hi := -rapid.SampledFrom([]float64{0, 60e3, 100e3}).Draw(t, "lo"), rapid.SampledFrom([]float64{0, 30e3, 100e3}).Draw(t, "hi")
			var f pcs.Flow
			converter.Advance(&s, at, to, lo, hi, &f)
			g := c.advance(at, to, lo, hi)
			f.By, f.VarS, f.VA2S = g.By, g.VarS, g.VA2S // what a plain one does not know
			if f != g || s.PowerW != c.power {
				t.Fatalf("%+v at %g W, want %+v at %g W", f, s.PowerW, g, c.power)
			}
			at = to
			dc := rapid.Float64Range(-120e3, 120e3).Draw(t, "dc")
			if got, want := converter.AC(dc), c.ac(dc); got != want {
				t.Fatalf("AC(%g) = %g, want %g", dc, got, want)
			}
			if got, want := converter.LossW(dc), c.loss(dc); got != want {
				t.Fatalf("LossW(%g) = %g, want %g", dc, got, want)
			}
		}
	})
}
