// Package kernel steps many cells at once: the model of twin/cell for strings of
// cells in series, eight strings side by side.
//
// # Layout
//
// A Block holds eight strings of equal length, the lanes. A Slot is the eight cells
// at one place of those strings: every quantity is a row of eight numbers, one per
// lane, so one vector register holds it. Neighbours along a string are
// neighbouring slots, sums over a string are additions slot by slot, and no
// operation ever crosses lanes: whatever the width of the machine's vectors, every
// lane sees the same operations in the same order. All multiplications that feed
// an addition are fused explicitly. So the portable code, AVX2 and AVX-512 agree
// bit for bit.
//
// # Method
//
// The integration is that of twin/cell, a second-order exponential half-step
// midpoint, arranged for one pass over memory per step. A step has two halves:
//
//   - predict: with the current Ip expected for the step, put every cell half a step
//     on; freeze there resistances, half gap, entropic coefficient, temperature;
//     and write the mean terminal voltage over the step as a line in the current,
//     v = UM + OV + (US + RB)*i. The sums of both over the string come out.
//   - correct: with the current I that the caller works out from those sums (for
//     constant power, constant current, constant voltage, or shared among parallel
//     strings), move every cell to the end of the step.
//
// One sweep corrects a step and predicts the next one. Ip only places the middle of
// the step, so an error of first order in it is of second order in the result; when
// the input jumps, predict is run again with the right current.
//
// The mean of the open-circuit voltage over a step is the exact integral of its
// table, kinks included, and the heat of the overpotentials is taken with the same
// line, so that
//
//	sum i*v = sum i*Umean + sum i*over
//
// closes to rounding and the stored energy is a function of the state of charge.
//
// # Rare work
//
// A slot carries the straight piece of the tables its cells are on and the Arrhenius
// factors at the temperature T0 where they were last taken, with an expansion of second
// order around it: 2e-7 of a resistance at 0.3 K away, where they are taken anew. When
// a cell is about to leave its piece or is that far from T0, the sweep lists its slot and leaves it out; after the
// sweep portable Go code, the same for all kernels, replaces what the cell keeps, and
// the slots listed are predicted: once in half a minute for a cell at half its rated
// current.
//
// # Heat
//
// Every cell exchanges heat with its neighbours in the string, with the air and with
// a coolant, with conductances that depend on its place. The exchange is taken at the
// middle of the step, so what one cell loses the next one gets, to rounding.
package kernel
