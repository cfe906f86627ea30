package kernel

// Lanes is the number of strings side by side.
const Lanes = 8

// Row is one quantity of the eight cells of a slot, by lane.
type Row [Lanes]float64

// Slot is the eight cells at one place of eight strings. Its memory is what a
// checkpoint holds; the assembly knows it by offset.
type Slot struct {
	// State at the beginning of the step.
	Z  Row // state of charge, 0..1
	V1 Row // V across the first RC pair
	V2 Row // V across the second RC pair
	H  Row // hysteresis, -1..1
	T  Row // K

	// What differs from cell to cell.
	PerA  Row // 1/A, state of charge that one ampere takes out in a step
	Bleed Row // A that flow past the cell, out of its terminals: balancing, short, leak
	Heat  Row // W that something else makes in the cell

	// The piece of the tables the cell is on, see cell.Span: values at z = 0 and half
	// the slopes, which go with the sum of the states of charge at both ends of a step.
	// U is at 0 K: where it would be if E held down to there.
	From, To, U0, DU, M0, DM, E0, DE, R0, DR Row

	// The node of the Arrhenius factors.
	T0, InvT2  Row // K, 1/K^2: its temperature, and one over the square
	G0, G1, G2 Row // resistance over that of the table at the node: fraction, cell and Arrhenius factor

	// The step that was predicted, frozen at its middle.
	UM, US Row // V, ohm: mean open-circuit voltage = UM + US*i
	OV, RB Row // V, ohm: mean overpotential = OV + RB*i
	R1, R2 Row // ohm of the RC pairs
	TE     Row // V, temperature times entropic coefficient
	TM     Row // K

	Lost Row // W, heat to the outside in the middle of the last step

	InvQ Row // 1/(A*s), of the capacity; no sweep needs it
}

// Place is how the cells of one slot lose heat, in W/K.
type Place struct {
	Next    float64 // to the cells of the next slot, 0 at the end of a string
	Air     float64
	Coolant float64
}

// Drive is what a sweep is told and what it answers, by lane.
type Drive struct {
	I  Row // A, current of the step that is corrected
	Ip Row // A, expected current of the step that is predicted

	Air, Coolant   Row // K
	AirK, CoolantK Row // factors on the places' conductances: 0 for a stopped fan

	// Of the predicted step: the string's mean voltage is A + B*I.
	A Row // V
	B Row // ohm

	// Of the corrected step, sums over the string, in W.
	Stored    Row // into chemical energy, at the mean open-circuit voltage
	Over      Row // heat of overpotentials
	Entropic  Row // reversible heat
	Bled      Row // past the cells
	ToAir     Row // heat given to the air
	ToCoolant Row // heat given to the coolant

	// Of the corrected step: extremes over the string.
	VMin, VMax Row // V, means over the step
	TMin, TMax Row // K, at its end
	ZMin, ZMax Row // at its end

	// Of a sweep under way.
	AirT, CoolantT Row  // K, AirK*Air and CoolantK*Coolant
	Flow           Row  // W, from the slot before into the next one to be corrected
	Corrected      int  // slots that are at the end of the step
	Moved          bool // a cell was set: heat to the outside is to be worked out anew
}
