package pcs

import "math"

// Transformer is the constant-voltage model of the step between converter and grid:
// the loss without load is always there, the loss under load goes with the square of
// the apparent power at the converter's side, and so does the reactive power of the
// leakage (IEC 60076-1).
type Transformer struct {
	RatedVA  float64 // VA
	NoLoadW  float64 // W, P0
	LoadW    float64 // W, Pk at rated apparent power
	NoLoadQ  float64 // var, of the magnetising current
	LeakageQ float64 // var at rated apparent power
}

// NewTransformer is that of a short-circuit voltage and a no-load current, both per
// unit; 0 leaves out the reactive power.
func NewTransformer(ratedVA, noLoadW, loadW, impedance, noLoad float64) Transformer {
	across := func(s, p float64) float64 { return math.Sqrt(max(s*s-p*p, 0)) }
	return Transformer{
		RatedVA: ratedVA, NoLoadW: noLoadW, LoadW: loadW,
		NoLoadQ:  across(noLoad*ratedVA, noLoadW),
		LeakageQ: across(impedance*ratedVA, loadW),
	}
}

// Grid is what the grid delivers, in W and var, when p and q are drawn at the
// converter's side.
func (t *Transformer) Grid(p, q float64) (gridP, gridQ float64) {
	x := (p*p + q*q) / (t.RatedVA * t.RatedVA)
	return p + t.NoLoadW + t.LoadW*x, q + t.NoLoadQ + t.LeakageQ*x
}

// Converter is the active power at the converter's side at which the grid delivers
// gridP watt, while q is drawn there.
func (t *Transformer) Converter(gridP, q float64) float64 {
	c := t.LoadW / (t.RatedVA * t.RatedVA)
	x := gridP - t.NoLoadW - c*q*q // p + c*p^2
	return 2 * x / (1 + math.Sqrt(max(1+4*c*x, 0)))
}

// LossW is what is lost at p and q.
func (t *Transformer) LossW(p, q float64) float64 {
	return t.NoLoadW + t.LoadW*(p*p+q*q)/(t.RatedVA*t.RatedVA)
}

// LossJ is what is lost in dt seconds through which the square of the apparent power
// has the integral va2s, as in Flow.VA2S: exact, whatever the power did meanwhile.
func (t *Transformer) LossJ(va2s, dt float64) float64 {
	return t.NoLoadW*dt + t.LoadW*va2s/(t.RatedVA*t.RatedVA)
}

// Loading is the apparent power over the rated one.
func (t *Transformer) Loading(p, q float64) float64 { return math.Hypot(p, q) / t.RatedVA }

// Auxiliary are the loads that a converter or a container feeds besides. The fans
// begin at a share of the rated load and are full on at it; their power goes with the
// cube of their speed (affinity laws), and the speed with the load.
type Auxiliary struct {
	RatedVA   float64 // VA
	ConstantW float64 // W: control, communication, lights
	FanW      float64 // W, full on
	FanFrom   float64 // share of RatedVA at which the fans begin, below 1
	PerLoad   float64 // W per VA
}

// W is what they draw at an apparent power of the converter, in W.
func (a *Auxiliary) W(va float64) float64 {
	x := min(max((va/a.RatedVA-a.FanFrom)/(1-a.FanFrom), 0), 1)
	return a.ConstantW + a.FanW*x*x*x + a.PerLoad*va
}
