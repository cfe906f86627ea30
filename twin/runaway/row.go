package runaway

import "math"

// Surroundings is where the heat of a cell comes from and goes to, beside its
// neighbours.
type Surroundings struct {
	HeatW     float64 // W into the cell, whatever its temperature
	EnvK      float64 // K
	WPerK     float64 // W/K to EnvK
	RadiantK4 float64 // W/K4, emissivity*sigma*area, against EnvK
}

// lossW is the heat in W that a cell of t kelvin gives to EnvK.
func (s *Surroundings) lossW(t float64) float64 {
	w := s.WPerK * (t - s.EnvK)
	if s.RadiantK4 > 0 {
		w += s.RadiantK4 * (t*t*t*t - s.EnvK*s.EnvK*s.EnvK*s.EnvK)
	}
	return w
}

// Per cell the unknowns are its reduced times and the heat in J that came in from
// outside; the last unknown of a row is the heat that all cells together gave to
// their surroundings. All are counted from the start of a stretch.
const (
	outside = reactions
	perCell = reactions + 1
)

// body is a cell during a stretch.
type body struct {
	s      State
	t0     float64 // K at its start
	perJ   float64 // K/J, 0 where the temperature is given
	drift  float64 // K/s, of a given temperature
	shortW float64
	kept   float64 // share of the reactions' heat that stays
	around Surroundings
}

// row is a number of bodies that are integrated together.
type row struct {
	k       *Kinetics
	body    []body
	joined  []float64    // W/K between i and i+1
	y       []float64    // the unknowns
	next, z []float64    // after a trial: by the fifth and by the fourth order
	stage   [7][]float64 // derivatives
	temp    []float64    // K, of the stage at work
}

// size is the number of unknowns of n cells, and memory what newRow needs for them.
func size(n int) int   { return n*perCell + 1 }
func memory(n int) int { return 10*size(n) + n }

// newRow cuts the vectors of a row from the caller's memory, so that a row of one
// can live on the stack.
func newRow(k *Kinetics, cells []body, joined, memory []float64) row {
	r := row{k: k, body: cells, joined: joined}
	n, m := len(cells), size(len(cells))
	for i := range r.stage {
		r.stage[i], memory = memory[:m], memory[m:]
	}
	r.y, r.next, r.z, r.temp = memory[:m], memory[m:2*m], memory[2*m:3*m], memory[3*m:3*m+n]
	return r
}

// temperature is that of a body with unknowns y a time after the start, and how
// far its reactions have gone.
func (r *row) temperature(b *body, y []float64, at float64, c *[reactions]float64) float64 {
	if b.perJ == 0 {
		return b.t0 + b.drift*at
	}
	r.k.changes(c, y, &b.s)
	return b.t0 + b.perJ*(b.kept*r.k.heatOf(c)+b.shortW*at+y[outside])
}

// derivative puts the rates of all unknowns y a time after the start into dy.
func (r *row) derivative(dy, y []float64, at float64) {
	var c [reactions]float64
	lost := 0.0
	for i := range r.body {
		b := &r.body[i]
		mine := y[i*perCell : (i+1)*perCell]
		t := r.temperature(b, mine, at, &c)
		r.temp[i] = t
		d := dy[i*perCell : (i+1)*perCell]
		r.k.rates(d, mine, &b.s, t)
		loss := b.around.lossW(t)
		lost += loss
		d[outside] = b.around.HeatW - loss
		if i > 0 {
			flow := r.joined[i-1] * (r.temp[i-1] - t)
			d[outside] += flow
			dy[(i-1)*perCell+outside] -= flow
		}
	}
	dy[len(dy)-1] = lost
}

// Per step, a temperature may be this far off, and a fraction that far.
const (
	temperatureTolerance = 1e-5 // K
	fractionTolerance    = 1e-7
)

// distance is how far the two solutions of a trial lie apart, in units of the
// tolerances, and not a number if they are not.
func (r *row) distance() (worst float64) {
	var c, d [reactions]float64
	for i := range r.body {
		b := &r.body[i]
		y, z := r.next[i*perCell:(i+1)*perCell], r.z[i*perCell:(i+1)*perCell]
		r.k.changes(&c, y, &b.s)
		r.k.changes(&d, z, &b.s)
		for k := range d {
			d[k] -= c[k]
			worst = max(worst, math.Abs(d[k])/fractionTolerance)
		}
		kelvin := b.perJ * (b.kept*r.k.heatOf(&d) + z[outside] - y[outside])
		worst = max(worst, math.Abs(kelvin)/temperatureTolerance)
	}
	return worst
}

// guess is a first step in s: what brings no cell further than 2 K, and no film to
// more than twice the reaction's own scale, beyond which ln(1+w) looks alike at all
// step lengths and two orders may agree by chance.
func (r *row) guess() float64 {
	fastest := 0.0 // K/s, or twice a w per s
	for i := range r.body {
		b := &r.body[i]
		d := r.stage[0][i*perCell : (i+1)*perCell]
		c := [reactions]float64{
			sei:         b.s.SEI * d[sei],
			negative:    r.k.film * d[negative],
			positive:    b.s.Positive * (1 - b.s.Positive) * d[positive],
			electrolyte: b.s.Electrolyte * d[electrolyte],
		}
		rate := b.drift + b.perJ*(b.kept*r.k.heatOf(&c)+b.shortW+d[outside])
		fastest = max(fastest, math.Abs(rate), 2*d[negative])
	}
	return 2 / fastest
}
