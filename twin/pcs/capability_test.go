package pcs_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/twin/pcs"
)

var able = pcs.Capability{
	SVA: 110e3, ChargeW: 100e3, DischargeW: 90e3, AbsorbVar: 80e3, InjectVar: 70e3,
	DCVolt: []float64{600, 700}, Share: []float64{0.5, 1},
	AirFullToK: 318.15, AirMaxK: 338.15,
}

func TestCapability(t *testing.T) {
	for _, tt := range []struct {
		name    string
		request pcs.Request
		qFirst  bool
		want    pcs.Delivered
	}{
		{name: "inside", request: pcs.Request{PowerW: 50e3, QVar: -50e3}, want: pcs.Delivered{PowerW: 50e3, QVar: -50e3}},
		{name: "charging", request: pcs.Request{PowerW: 105e3}, want: pcs.Delivered{PowerW: 100e3, PowerBy: pcs.BoundP}},
		{name: "discharging", request: pcs.Request{PowerW: -105e3}, want: pcs.Delivered{PowerW: -90e3, PowerBy: pcs.BoundP}},
		{name: "absorbing", request: pcs.Request{QVar: 90e3}, want: pcs.Delivered{QVar: 80e3, QBy: pcs.BoundQ}},
		{name: "injecting", request: pcs.Request{QVar: -90e3}, want: pcs.Delivered{QVar: -70e3, QBy: pcs.BoundQ}},
		{name: "P first", request: pcs.Request{PowerW: 88e3, QVar: 80e3}, want: pcs.Delivered{PowerW: 88e3, QVar: 66e3, QBy: pcs.BoundS}},
		{name: "Q first", request: pcs.Request{PowerW: 100e3, QVar: 66e3}, qFirst: true, want: pcs.Delivered{PowerW: 88e3, QVar: 66e3, PowerBy: pcs.BoundS}},
		{name: "range", request: pcs.Request{PowerW: 50e3, HighW: 20e3}, want: pcs.Delivered{PowerW: 20e3, PowerBy: pcs.BoundRange}},
		{name: "low voltage", request: pcs.Request{PowerW: 90e3, DCVolt: 650}, want: pcs.Delivered{PowerW: 75e3, PowerBy: pcs.BoundVolt}},
		{name: "hot air", request: pcs.Request{PowerW: 90e3, AirK: 328.15}, want: pcs.Delivered{PowerW: 55e3, PowerBy: pcs.BoundAir}},
		{name: "too hot", request: pcs.Request{PowerW: 90e3, QVar: 5e3, AirK: 350}, want: pcs.Delivered{PowerBy: pcs.BoundAir, QBy: pcs.BoundAir}},
	} {
		c, r := able, tt.request
		c.QFirst = tt.qFirst
		r.LowW = -1e9
		if r.HighW == 0 {
			r.HighW = 1e9
		}
		got := c.Limit(r)
		if !(math.Abs(got.PowerW-tt.want.PowerW) <= 1e-6) || !(math.Abs(got.QVar-tt.want.QVar) <= 1e-6) || got.PowerBy != tt.want.PowerBy || got.QBy != tt.want.QBy {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func drawRequest(t *rapid.T) pcs.Request {
	return pcs.Request{
		PowerW: rapid.Float64Range(-200e3, 200e3).Draw(t, "p"), QVar: rapid.Float64Range(-200e3, 200e3).Draw(t, "q"),
		LowW: -rapid.SampledFrom([]float64{0, 30e3, 1e9}).Draw(t, "low"), HighW: rapid.SampledFrom([]float64{0, 30e3, 1e9}).Draw(t, "high"),
		DCVolt: rapid.SampledFrom([]float64{0, 500, 660, 700, 800}).Draw(t, "v"),
		AirK:   rapid.SampledFrom([]float64{0, 300, 320, 330, 340}).Draw(t, "air"),
	}
}

// What is delivered lies inside every limit, towards what was asked for, and asked
// for again it is delivered whole; so is all that lies between two such powers.
func TestCapabilityIsConvex(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, r := able, drawRequest(t)
		c.QFirst = rapid.Bool().Draw(t, "Q first")
		d := c.Limit(r)
		if math.Hypot(d.PowerW, d.QVar) > c.SVA*(1+1e-15) || d.PowerW > min(c.ChargeW, r.HighW) || d.PowerW < max(-c.DischargeW, r.LowW) || d.QVar > c.AbsorbVar || d.QVar < -c.InjectVar {
			t.Fatalf("%+v of %+v is outside", d, r)
		}
		if math.Abs(d.PowerW) > math.Abs(r.PowerW) || math.Abs(d.QVar) > math.Abs(r.QVar) || d.PowerW*r.PowerW < 0 || d.QVar*r.QVar < 0 {
			t.Fatalf("%+v of %+v is beyond it", d, r)
		}
		if cut := d.PowerW != r.PowerW || d.QVar != r.QVar; cut != (d.PowerBy != pcs.BoundNone || d.QBy != pcs.BoundNone) {
			t.Fatalf("%+v of %+v names no limit, or one that does not bind", d, r)
		}
		other := drawRequest(t)
		r2 := r
		r2.PowerW, r2.QVar = other.PowerW, other.QVar
		d2, x := c.Limit(r2), rapid.Float64Range(0, 1).Draw(t, "between")
		between := r
		between.PowerW, between.QVar = d.PowerW+x*(d2.PowerW-d.PowerW), d.QVar+x*(d2.QVar-d.QVar)
		if b := c.Limit(between); !(math.Abs(b.PowerW-between.PowerW) <= 1e-6) || !(math.Abs(b.QVar-between.QVar) <= 1e-6) {
			t.Fatalf("%+v lies between two that are delivered, but only %+v is", between, b)
		}
	})
}

// On its way from one power to another a converter is inside its limits throughout.
func TestWayIsInside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := sleeper()
		p.Rest = pcs.Rest{}
		s := rest()
		var f pcs.Flow
		var now time.Duration
		for range 4 {
			p.AcceptPQ(&s, now, rapid.Float64Range(-150e3, 150e3).Draw(t, "p"), rapid.Float64Range(-90e3, 90e3).Draw(t, "q"), pcs.Never)
			for range 30 {
				before := s
				p.Advance(&s, now, now+20*time.Millisecond, -100e3, 100e3, &f)
				now += 20 * time.Millisecond
				if math.Hypot(s.PowerW, s.QVar) > 110e3*(1+1e-12) || s.QVar > 60e3 || s.QVar < -50e3 || s.PowerW < -90e3 {
					t.Fatalf("%g W and %g var on the way", s.PowerW, s.QVar)
				}
				if d := max(math.Abs(s.PowerW-before.PowerW), math.Abs(s.QVar-before.QVar)); !(d <= 250e3*0.02*(1+1e-9)) {
					t.Fatalf("%g W in 20 ms at 250 kW/s", d)
				}
			}
		}
		if f.Bound != (f.By != pcs.BoundNone) {
			t.Fatalf("%+v", f)
		}
	})
}

// A limit that narrows takes a steady power with it.
func TestNarrowingLimit(t *testing.T) {
	p := converter
	p.Capability = &able
	s := rest()
	var f pcs.Flow
	p.Accept(&s, 0, 90e3, pcs.Never)
	s.DCVolt = 700
	p.Advance(&s, 0, time.Second, -100e3, 100e3, &f)
	if s.PowerW != 90e3 || f.Bound {
		t.Fatalf("%g W, bound by %v", s.PowerW, f.By)
	}
	s.DCVolt = 650
	p.Advance(&s, time.Second, 2*time.Second, -100e3, 100e3, &f)
	if !(math.Abs(s.PowerW-75e3) <= 1e-9) || f.By != pcs.BoundVolt || f.Steady {
		t.Errorf("%g W, bound by %v, steady %v", s.PowerW, f.By, f.Steady)
	}
}

// Without a capability there is no reactive power, and the flow says so.
func TestNoReactivePowerWithoutCapability(t *testing.T) {
	s := rest()
	var f pcs.Flow
	converter.AcceptPQ(&s, 0, 20e3, 10e3, pcs.Never)
	converter.Advance(&s, 0, time.Second, -100e3, 100e3, &f)
	if s.PowerW != 20e3 || s.QVar != 0 || f.By != pcs.BoundQ {
		t.Errorf("%g W and %g var, bound %v", s.PowerW, s.QVar, f.By)
	}
}
