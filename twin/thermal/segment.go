package thermal

import "math"

// segment is a stretch of a step without a switch, solved exactly: the heat inputs
// grow linearly, so every node is a sum of exponentials and a straight line.
type segment struct {
	tuned        *tuned
	ambient      float64        // K at its start
	ambientSlope float64        // K/s
	y, f, slope  [Nodes]float64 // amplitudes, their drive, and its growth per s
	bend         [Nodes]float64 // second derivative of the amplitudes at the start
}

// start puts the temperatures t (K) with the heats p (W) that grow by slope (W/s)
// into modes. From dy/dt = f - rate*y follows that the second derivative decays
// with the rate of its mode.
func (g *segment) start(t, p, slope *[Nodes]float64) {
	s := g.tuned.spectrum
	s.amplitudes(g.y[:], t[:])
	s.forcing(g.f[:], p[:])
	s.forcing(g.slope[:], slope[:])
	for k, rate := range s.rate {
		g.bend[k] = g.slope[k] - rate*(g.f[k]-rate*g.y[k])
	}
}

// at puts the temperatures a span later into t.
func (g *segment) at(t *[Nodes]float64, span float64) {
	var y [Nodes]float64
	g.modesAt(&y, span)
	g.tuned.spectrum.temperatures(t[:], y[:])
}

func (g *segment) modesAt(y *[Nodes]float64, span float64) {
	for k, rate := range g.tuned.spectrum.rate {
		e, phi1, phi2, _ := decay(rate * span)
		y[k] = e*g.y[k] + span*(phi1*g.f[k]+span*phi2*g.slope[k])
	}
}

// mean puts the mean temperatures over a span into t.
func (g *segment) mean(t *[Nodes]float64, span float64) {
	var y [Nodes]float64
	for k, rate := range g.tuned.spectrum.rate {
		_, phi1, phi2, phi3 := decay(rate * span)
		y[k] = phi1*g.y[k] + span*(phi2*g.f[k]+span*phi3*g.slope[k])
	}
	g.tuned.spectrum.temperatures(t[:], y[:])
}

// node is the temperature of one node at a time. It adds up in the order of at, so
// that both see the same bits.
func (g *segment) node(i int, at float64) (t float64) {
	var y [Nodes]float64
	g.modesAt(&y, at)
	s := g.tuned.spectrum
	for k, v := range s.from[i*s.n : (i+1)*s.n] {
		t += v * y[k]
	}
	return t
}

// bendBound is a bound on the second derivative of a node from a time on.
func (g *segment) bendBound(i int, from float64) (bound float64) {
	s := g.tuned.spectrum
	for k, v := range s.from[i*s.n : (i+1)*s.n] {
		bound += math.Abs(v*g.bend[k]) * math.Exp(-s.rate[k]*from)
	}
	return bound
}

const eventTolerance = 1e-8 // s

// first is the first time in from..to at which the guard is passed, if it is; at
// from it is not. It misses nothing that lasts: a stretch is ruled out only if the
// larger gap of its two ends and what the bend can add in between stay below zero,
// and is halved until that can be told or a switch is enclosed.
func (g *segment) first(w *guard, from, to float64) (float64, bool) {
	span := to - from
	gap := w.gap(g.node(w.node, to))
	highest := max(gap, w.gap(g.node(w.node, from))) + g.bendBound(w.node, from)*span*span/8
	switch {
	case !(highest >= 0): // also if it is not a number
		return to, false
	case span <= eventTolerance:
		return to, gap >= 0
	}
	middle := from + span/2
	if t, ok := g.first(w, from, middle); ok {
		return t, true
	}
	return g.first(w, middle, to)
}
