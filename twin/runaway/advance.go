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
	if t1, heat, ok := k.creep(s, dt, t, capacity, &around); ok {
		return t1, heat
	}
	one := [1]body{{s: *s, t0: t, perJ: 1 / capacity, around: around}}
	heat, _ = k.alone(&one, dt)
	*s = one[0].s
	return one[0].t0, heat
}

// What a step of creep may do: warm the cell by so many kelvins, which changes the rates
// by less than 2e-4, and take the growth of the film so far, of which a midpoint leaves
// less than 1e-5.
const (
	creepK    = 1e-3
	creepFilm = 1e-2
)

// creep is AdvanceCoupled where next to nothing happens, as in most cells that are
// watched: what the reactions do at the temperature of the start, in closed form, at a
// tenth of the price. Where that is not all there is to the step, it says so and leaves
// s alone.
func (k *Kinetics) creep(s *State, dt, t, capacity float64, around *Surroundings) (t1 float64, heat Heat, ok bool) {
	if around.WPerK != 0 || around.RadiantK4 != 0 || k.shortW(s) != 0 {
		return 0, Heat{}, false
	}
	if short, vent := k.due(s, t+creepK); short || vent {
		return 0, Heat{}, false
	}
	var y, dy [reactions]float64
	k.rates(dy[:], y[:], s, t)
	y[negative] = dy[negative] * dt / 2
	rate := k.a[negative] * math.Exp(-k.eaR[negative]/t-s.Film/k.film)
	if !(rate*dt <= creepFilm) {
		return 0, Heat{}, false
	}
	y[negative] = rate * dt * (s.Negative/k.film - math.Log1p(y[negative]))
	for _, r := range [...]int{sei, positive, electrolyte} {
		y[r] = dy[r] * dt
	}
	var c [reactions]float64
	k.changes(&c, y[:], s)
	heat.ReactionJ = k.heatOf(&c)
	heat.VentedJ = (1 - k.kept(s)) * heat.ReactionJ
	warmed := (heat.CellJ() + around.HeatW*dt) / capacity
	if !(math.Abs(warmed) <= creepK) {
		return 0, Heat{}, false
	}
	k.apply(s, &c, y[:])
	return t + warmed, heat, true
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
