package dispatch

import (
	"slices"

	"yunchu/platform/device"
)

// Stack is the energy in a battery by how deep it lies, for the cost of depth of B. Xu et
// al., "Factoring the cycle aging cost of batteries participating in electricity markets",
// IEEE Trans. Power Systems 33 (2018) 2248: each step of depth holds energy of its own, what
// is taken comes from the shallowest step that has some, and what is put in goes to the
// shallowest step with room. For costs that do not fall with depth what taking has cost is
// then what the half cycles of rainflow counting cost that took it. Amounts are parts of
// the capacity.
type Stack struct {
	wear  device.Wear
	level []float64 // by step
}

// NewStack is a stack that holds x, 0..1, in its shallowest steps.
func NewStack(wear device.Wear, x float64) Stack {
	s := Stack{wear: wear, level: make([]float64, len(wear))}
	s.Fill(x)
	return s
}

// width is what step j can hold.
func (s *Stack) width(j int) float64 {
	if j == 0 {
		return s.wear[0].ToPercent / 100
	}
	return (s.wear[j].ToPercent - s.wear[j-1].ToPercent) / 100
}

// Fill puts x into the shallowest steps with room.
func (s *Stack) Fill(x float64) {
	for j := range s.level {
		part := min(x, s.width(j)-s.level[j])
		s.level[j] += part
		x -= part
	}
}

// Take takes x from the shallowest steps that have some, and returns what that costs for
// each kWh of capacity.
func (s *Stack) Take(x float64) (cost float64) {
	for j := range s.level {
		part := min(x, s.level[j])
		s.level[j] -= part
		x -= part
		cost += part * s.wear[j].CostPerKWh
	}
	return cost
}

// crumbs are what rounding leaves in a step.
const crumbs = 1e-9

// Next is the cost of what would be taken next, money per kWh; of an empty stack that of the
// deepest step.
func (s *Stack) Next() float64 {
	for j, x := range s.level {
		if x > crumbs {
			return s.wear[j].CostPerKWh
		}
	}
	return s.wear[len(s.wear)-1].CostPerKWh
}

// reversal is how far a state of charge must come back before it has turned: one step of
// those that are told in whole percents, and beyond what readings are noisy. What lies
// within is no half cycle, one beyond it counts whole.
const reversal = 0.01 * (1 + 1e-9)

// depth follows how deep a battery with known wear is used: its charge as a stack that
// discharging takes from, and the room above it as one that charging takes from. Each half
// cycle has half the cost of the cycle.
type depth struct {
	charge, room Stack
	soc          float64 // 0..1, where both stand: the furthest it has come since it turned
	way          int8    // 1 it rises, -1 it falls, 0 not known yet
}

// follow moves on to a state of charge, 0..1, and returns what a kWh more would cost now,
// taken in and given out.
func (d *depth) follow(wear device.Wear, soc float64) (in, out float64) {
	if !slices.Equal(d.charge.wear, wear) {
		*d = depth{charge: NewStack(wear, soc), room: NewStack(wear, 1-soc), soc: soc}
	}
	x := soc - d.soc
	switch {
	case x > 0 && (d.way > 0 || x > reversal):
		d.room.Take(x)
		d.charge.Fill(x)
		d.soc, d.way = soc, 1
	case x < 0 && (d.way < 0 || -x > reversal):
		d.charge.Take(-x)
		d.room.Fill(-x)
		d.soc, d.way = soc, -1
	}
	return d.room.Next() / 2, d.charge.Next() / 2
}
