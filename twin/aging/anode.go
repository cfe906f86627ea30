package aging

import "math"

// Anode is the open-circuit potential of the graphite in V against lithium, with
// stoichiometry x linear in the state of charge:
//
//	U = Offset + ExpHeight*exp(-ExpRate*x) + sum StepHeight*tanh((x - StepCentre)/StepWidth)
//
// M. Safari, C. Delacourt, J. Electrochem. Soc. 158 (2011) A562.
type Anode struct {
	XEmpty     float64 // stoichiometry at state of charge 0
	XFull      float64 // at 1
	Offset     float64 // V
	ExpHeight  float64 // V
	ExpRate    float64
	StepHeight []float64 // V
	StepCentre []float64 // as many
	StepWidth  []float64 // as many, above 0
}

// Potential is U in V at a state of charge of 0..1.
func (a *Anode) Potential(soc float64) float64 {
	x := a.XEmpty + soc*(a.XFull-a.XEmpty)
	u := a.Offset + a.ExpHeight*math.Exp(-a.ExpRate*x)
	for i, h := range a.StepHeight {
		u += h * math.Tanh((x-a.StepCentre[i])/a.StepWidth[i])
	}
	return u
}
