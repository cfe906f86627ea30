package bms

import (
	"slices"
	"time"
)

// Balance is how a string of cells is levelled: the fuller ones are bled through a
// resistor. Bleeding happens in the first Window of each Period, counted from time 0,
// so that the rest is left to measure undisturbed.
type Balance struct {
	Ohm    float64       // of the bleed resistor
	StartV float64       // V above the lowest cell: bleeding starts
	StopV  float64       // V above the lowest cell: it ends, below StartV
	MinV   float64       // V, a lower cell is not bled
	RestA  float64       // A, a discharge of no more counts as rest
	Period time.Duration // of the decision
	Window time.Duration // of bleeding in it, at most Period
}

// BalanceInput is what is known of the string. It holds for a whole step.
type BalanceInput struct {
	CellV    []float64 // V
	CurrentA float64   // A, > 0 charges
}

// BalanceState is what the levelling remembers besides the slice of its decisions.
type BalanceState struct {
	Decided time.Duration // the end of the period decided upon
}

// Step decides which cells to bleed and puts the conductance of each over the step
// from one instant to a later one, in S, into bleed: 1/Ohm times the share of the
// step. The decisions stand in on, as long as the cells, from one step to the next.
// Cells are bled while the string charges or rests.
func (b *Balance) Step(s *BalanceState, from, to time.Duration, in *BalanceInput, on []bool, bleed []float64) {
	clear(bleed)
	if in.CurrentA < -b.RestA {
		clear(on)
		return
	}
	perStep := 1 / (b.Ohm * (to - from).Seconds())
	for t := from; t < to; {
		begin := t - t%b.Period
		if t >= s.Decided {
			b.decide(in, on)
			s.Decided = begin + b.Period
		}
		end := min(to, begin+b.Period)
		if open := min(end, begin+b.Window); open > t {
			for i := range on {
				if on[i] {
					bleed[i] += (open - t).Seconds() * perStep
				}
			}
		}
		t = end
	}
}

// decide says which cells are bled in the next window.
func (b *Balance) decide(in *BalanceInput, on []bool) {
	low := slices.Min(in.CellV)
	for i, v := range in.CellV {
		on[i] = v >= b.MinV && (v-low > b.StartV || on[i] && v-low > b.StopV)
	}
}
