// Package runaway is the heat that a lithium-ion cell makes of itself when it gets
// too hot: four Arrhenius reactions, the short behind a molten separator, and how
// both spread along a row of cells.
//
// The kinetics are those of Hatchard et al. (J. Electrochem. Soc. 148 (2001) A755)
// with the electrolyte of Kim et al. (J. Power Sources 170 (2007) 476), x and c
// being fractions, t the thickness of the film on the negative electrode in units
// of its own:
//
//	k_r    = A_r*exp(-Ea_r/(R*T))
//	dc_sei = -k_sei*c_sei                     film decomposes
//	dc_neg = -k_neg*exp(-t/t0)*c_neg,  dt = -dc_neg    lithium in carbon meets electrolyte
//	dx_pos =  k_pos*x*(1-x)                   positive electrode, autocatalytic
//	dc_ele = -k_ele*c_ele                     electrolyte decomposes
//	Q      = V * sum H_r*W_r*|change|
//
// # Integration
//
// The reactions are not integrated in the fractions, where they are stiff (rates
// reach 1e9 times those of conduction, on what has long burnt away), but in their
// reduced times: s = integral of k dt. There each reaction is a closed form,
//
//	c_sei = c0*exp(-s),  x_pos = logistic in s,  c_neg = c0 - t0*ln(1+w),
//	dw/dt = k_neg*exp(-t/t0)*(c0/t0 - ln(1+w))
//
// with all values at the start of the step, and the temperature is the balance of
// energy itself, C*(T - T0) = Q(s) + heat from outside. So reactants never turn
// negative, the balance closes to rounding whatever the step, a stage of a step
// that is far too long is still bounded by the heat there is, and no fast decay
// limits a step any more: what is left is the growth of the runaway itself, which
// has to be resolved anyway, and conduction, which is slow. An explicit pair of
// fifth and fourth order (Dormand & Prince, J. Comput. Appl. Math. 6 (1980) 19) with
// control of the error in temperature and fractions is enough, and deterministic.
//
// # Use
//
// Signs: heat into a cell is above zero. Units are SI. Either the caller owns the
// temperature and asks what a cell released along its path,
//
//	heat := k.Advance(&s, dt, t0, t1)
//
// or, when the cell heats itself faster than the caller steps, the cell is stepped
// together with its temperature,
//
//	t, heat := k.AdvanceCoupled(&s, dt, t, capacity, surroundings)
//
// or a row of cells is a Chain.
package runaway
