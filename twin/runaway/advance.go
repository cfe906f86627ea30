package runaway

import "math"

// Advance moves s on by dt seconds along a temperature that goes linearly from t0
// to t1 kelvin, and returns the heat that the cell made. It is for callers who step
// the temperatures of cells with a kernel of their own, and give the heat to the
// cell in their next step: fine as long as that heats it by less than a kelvin or
// so per step (HeatW says how fast), and AdvanceCoupled beyond. It allocates nothing.
func (k *Kinetics) Advance(s *State, dt, t0, t1 float64) Heat {
	if !(dt > 0) {
		return Heat{}
	}
	one := [1]body{{s: *s, t0: t0, drift: (t1 - t0) / dt}}
	heat, _ := k.alone(&one, dt)
	*s = one[0].s
	return heat
}

// AdvanceCoupled moves s on by dt seconds together with the temperature of its
// cell, which is at t kelvin, has a heat capacity in J/K, and exchanges heat with
// around. It returns the temperature after dt and the heat that the cell made; what
// it took from around is capacity*(t1 - t) - heat.CellJ(). It allocates nothing.
func (k *Kinetics) AdvanceCoupled(s *State, dt, t, capacity float64, around Surroundings) (t1 float64, heat Heat) {
	if !(dt > 0) {
		return t, Heat{}
	}
	one := [1]body{{s: *s, t0: t, perJ: 1 / capacity, around: around}}
	heat, _ = k.alone(&one, dt)
	*s = one[0].s
	return one[0].t0, heat
}

// alone advances a row of one.
func (k *Kinetics) alone(one *[1]body, dt float64) (Heat, float64) {
	const unknowns = perCell + 1
	var memory [10*unknowns + 1]float64
	r := newRow(k, one[:], nil, memory[:])
	return r.advance(dt)
}

// HeatW is the power in W at which s heats its cell at t kelvin.
func (k *Kinetics) HeatW(s *State, t float64) float64 {
	rate := func(r int) float64 { return k.joule[r] * k.a[r] * math.Exp(-k.eaR[r]/t) }
	q := rate(sei)*s.SEI +
		rate(negative)*s.Negative*math.Exp(-s.Film/k.film) +
		rate(positive)*s.Positive*(1-s.Positive) +
		rate(electrolyte)*s.Electrolyte
	return k.kept(s)*q + k.shortW(s)
}

// QuietK is the temperature in K up to which a fresh cell makes less than w watt,
// between 200 K and 1000 K: a fleet needs to step only those cells that are or were
// hotter. At most w watt per cell is left out by that.
func (k *Kinetics) QuietK(w float64) float64 {
	s := k.Fresh(0)
	low, high := 200.0, 1000.0
	for high-low > 1e-6 {
		if middle := (low + high) / 2; k.HeatW(&s, middle) < w {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}
