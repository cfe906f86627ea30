package runaway

import (
	"errors"
	"fmt"
	"math"
)

// The reactions.
const (
	sei = iota
	negative
	positive
	electrolyte
	reactions
)

// Params are the constants of a cell type.
type Params struct {
	GasConstant float64 // J/mol/K, as the source of the kinetics rounds it
	SEI         Reaction
	Negative    Reaction // its heat and initial value are those of intercalated lithium
	Positive    Reaction // its initial value is the degree of conversion, 0..1
	Electrolyte Reaction
	Film        float64 // initial and reference thickness t0 of the film
	Volume      float64 // m3 of active cell

	Short     Short     // zero: a short makes no heat
	Separator Separator // zero: stays whole
	Vent      Vent      // zero: never opens
}

// Reaction is one Arrhenius reaction.
type Reaction struct {
	A       float64 // 1/s
	Ea      float64 // J/mol
	HeatVol float64 // J/m3 for a change of 1: heat per mass times content
	Initial float64 // fraction
}

// Short is what an internal short of R ohm does: it makes Volt^2/R of heat until its
// share of the stored energy is gone.
type Short struct {
	Volt  float64 // V, of the cell meanwhile
	Share float64 // of the stored electrical energy, 0..1
}

// Separator is the temperature above which the separator leaves a short.
type Separator struct {
	TempK float64 // K
	Ohm   float64 // of that short
}

// Vent is a valve that opens once.
type Vent struct {
	TempK float64 // K
	Share float64 // of the reactions' heat that leaves with the gas from then on, 0..1
}

// Kinetics is a cell type ready to be stepped: immutable, shared by all cells.
type Kinetics struct {
	a, eaR  [reactions]float64 // 1/s, K
	joule   [reactions]float64 // J for a change of 1
	initial [reactions]float64
	film    float64
	short   Short
	sep     Separator
	vent    Vent
}

// New returns the kinetics of p, or all that is impossible about p.
func New(p Params) (*Kinetics, error) {
	var errs []error
	if !(p.GasConstant > 0 && p.Film > 0 && p.Volume > 0) {
		errs = append(errs, fmt.Errorf("gas constant %g, film %g or volume %g m3 is not above 0", p.GasConstant, p.Film, p.Volume))
	}
	k := &Kinetics{film: p.Film, short: p.Short, sep: p.Separator, vent: p.Vent}
	for i, r := range [reactions]Reaction{sei: p.SEI, negative: p.Negative, positive: p.Positive, electrolyte: p.Electrolyte} {
		if !(r.A >= 0 && r.Ea >= 0 && r.Initial >= 0) || math.IsNaN(r.HeatVol) {
			errs = append(errs, fmt.Errorf("reaction %d has a value below 0: %+v", i, r))
		}
		k.a[i], k.eaR[i], k.joule[i], k.initial[i] = r.A, r.Ea/p.GasConstant, r.HeatVol*p.Volume, r.Initial
	}
	if p.Positive.Initial > 1 {
		errs = append(errs, fmt.Errorf("conversion %g of the positive electrode is above 1", p.Positive.Initial))
	}
	if s := p.Short; !(s.Volt >= 0 && s.Share >= 0 && s.Share <= 1) {
		errs = append(errs, fmt.Errorf("short %+v is impossible", s))
	}
	if s := p.Separator; s != (Separator{}) && !(s.TempK > 0 && s.Ohm > 0) {
		errs = append(errs, fmt.Errorf("separator %+v is impossible", s))
	}
	if v := p.Vent; v != (Vent{}) && !(v.TempK > 0 && v.Share >= 0 && v.Share <= 1) {
		errs = append(errs, fmt.Errorf("vent %+v is impossible", v))
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("runaway kinetics: %w", errors.Join(errs...))
	}
	return k, nil
}

// State is all a cell remembers of it. It is a value: copy it to take a snapshot.
type State struct {
	SEI         float64 // fraction left
	Negative    float64 // fraction left
	Film        float64 // thickness, in the unit of Params.Film
	Positive    float64 // fraction converted, 0..1
	Electrolyte float64 // fraction left
	ElectricalJ float64 // electrical energy that a short can still turn into heat; set it anew when the charge changes
	ShortOhm    float64 // of the internal short, 0 without
	Vented      bool
}

// Fresh is a cell that has never been hot and holds storedJ of electrical energy.
func (k *Kinetics) Fresh(storedJ float64) State {
	return State{
		SEI:         k.initial[sei],
		Negative:    k.initial[negative],
		Film:        k.film,
		Positive:    k.initial[positive],
		Electrolyte: k.initial[electrolyte],
		ElectricalJ: storedJ * k.short.Share,
	}
}

// LeftJ is the heat in J that the reactions can still make.
func (k *Kinetics) LeftJ(s *State) float64 {
	return k.joule[sei]*s.SEI + k.joule[negative]*s.Negative + k.joule[positive]*(1-s.Positive) + k.joule[electrolyte]*s.Electrolyte
}

// Heat is what a cell made during a step.
type Heat struct {
	ReactionJ float64
	ShortJ    float64
	VentedJ   float64 // part of ReactionJ that left with the gas
}

// CellJ is the heat that went into the cell itself.
func (h Heat) CellJ() float64 { return h.ReactionJ + h.ShortJ - h.VentedJ }

// rates puts the derivatives of the reduced times y at t kelvin into dy.
func (k *Kinetics) rates(dy []float64, y []float64, s *State, t float64) {
	if !(t > 0) {
		clear(dy[:reactions]) // a stage of a step too long: the error will show it
		return
	}
	for r := range reactions {
		dy[r] = k.a[r] * math.Exp(-k.eaR[r]/t)
	}
	dy[negative] *= math.Exp(-s.Film/k.film) * (s.Negative/k.film - math.Log1p(y[negative]))
}

// changes puts into c how far the reactions have gone since s, when their reduced
// times are y.
func (k *Kinetics) changes(c *[reactions]float64, y []float64, s *State) {
	c[sei] = -s.SEI * math.Expm1(-y[sei])
	c[negative] = min(s.Negative, k.film*math.Log1p(y[negative]))
	// From logit(x) = logit(x0) + y, without loss for small and for large y.
	left := math.Exp(-y[positive])
	c[positive] = -s.Positive * (1 - s.Positive) * math.Expm1(-y[positive]) / (s.Positive + (1-s.Positive)*left)
	if s.Positive == 0 {
		c[positive] = 0
	}
	c[electrolyte] = -s.Electrolyte * math.Expm1(-y[electrolyte])
}

// heatOf is the heat in J of changes c.
func (k *Kinetics) heatOf(c *[reactions]float64) (q float64) {
	for r, v := range c {
		q += k.joule[r] * v
	}
	return q
}

// apply moves s on by the reduced times y.
func (k *Kinetics) apply(s *State, c *[reactions]float64, y []float64) {
	s.SEI *= math.Exp(-y[sei])
	s.Negative -= c[negative]
	s.Film += c[negative]
	s.Positive = min(1, s.Positive+c[positive])
	s.Electrolyte *= math.Exp(-y[electrolyte])
}

// due says what has yet to open in s at t kelvin: a short, the vent.
func (k *Kinetics) due(s *State, t float64) (short, vent bool) {
	short = k.sep.TempK > 0 && t >= k.sep.TempK && s.ShortOhm == 0
	vent = k.vent.TempK > 0 && t >= k.vent.TempK && !s.Vented
	return short, vent
}

// open opens in s what is due at t kelvin.
func (k *Kinetics) open(s *State, t float64) {
	short, vent := k.due(s, t)
	if short {
		s.ShortOhm = k.sep.Ohm
	}
	if vent {
		s.Vented = true
	}
}

// shortW is the heat of the short in W while there is energy for it to speak of.
func (k *Kinetics) shortW(s *State) float64 {
	if s.ShortOhm == 0 || s.ElectricalJ < 1e-9 {
		return 0
	}
	return k.short.Volt * k.short.Volt / s.ShortOhm
}

// kept is the share of the reactions' heat that stays in the cell.
func (k *Kinetics) kept(s *State) float64 {
	if s.Vented {
		return 1 - k.vent.Share
	}
	return 1
}
