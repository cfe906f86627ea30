// Package thermal is where the heat of cells goes. All of it is exact for inputs that
// are constant over a step, or go linearly from one value to another, whatever the
// length of the step.
//
// A Step is a lumped mass that is joined to its surroundings by conductances:
//
//	C*dT/dt = q + sum G_k*(T_k - T)
//	T(t)    = T_inf + (T(0) - T_inf)*exp(-G*t/C),  G = sum G_k,  T_inf = (sum G_k*T_k + q)/G
//
// A Network is any number of such masses that are also joined to each other, and a
// Chain is a row of cells as a network. Its Propagator of one step length is a pair
// of matrices.
//
// A Container is the network of batteries, air and walls, with an HVAC unit or a
// coolant loop and the controller of either; it finds the instants at which the
// controller switches inside the step. Its batteries are one node of it, or racks
// that are stepped elsewhere. In that case step the container first, with what the
// racks are expected to do, then the racks with the air and the coolant (mean over
// the step) that it returns, and take ContainerFlow.RacksJ out of them:
//
//	in.Racks0K, in.Racks1K = racks, racks + (heat*dt - flow.RacksJ)/capacity
//	c.Step(&state, &in, &flow)
//	racks += (heat*dt - flow.RacksJ) / capacity
//
// That is as good as one node up to steps of a minute.
package thermal

import "math"

// Path joins a node to surroundings that keep their temperature.
type Path struct {
	Conductance float64 // W/K
	TempK       float64 // K, of the surroundings
}

// Join returns the one path that equals all of paths together.
func Join(paths ...Path) Path {
	var sum Path
	for _, p := range paths {
		sum.Conductance += p.Conductance
		sum.TempK += p.Conductance * p.TempK
	}
	if sum.Conductance > 0 {
		sum.TempK /= sum.Conductance
	}
	return sum
}

// Step holds what a step of one length does to a node of one heat capacity with
// one conductance. Make it once and share it by all nodes alike.
type Step struct {
	keep float64 // part of the difference to the surroundings left after the step
	rise float64 // K per W of heat
}

// NewStep prepares steps of dt seconds for a heat capacity in J/K and a
// conductance in W/K, which may be 0.
func NewStep(capacity, conductance, dt float64) Step {
	x := conductance * dt / capacity
	if x == 0 {
		return Step{keep: 1, rise: dt / capacity}
	}
	gone := -math.Expm1(-x)
	return Step{keep: 1 - gone, rise: gone / conductance}
}

// Next is the temperature in K after a step that began at t with q watt of heat
// and surroundings at env.
func (s Step) Next(t, env, q float64) float64 {
	return env + (t-env)*s.keep + q*s.rise
}
