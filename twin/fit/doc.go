// Package fit identifies cell parameters from laboratory records: the tables of
// open-circuit voltage from slow cycles, resistances, time constants and hysteresis
// from dynamic records, and a two-node thermal model from records with thermocouples.
//
// What is fitted is what runs: voltages are simulated with twin/cell, the equations
// the twin steps, and the result is a cell file (twin/params).
//
// # Open-circuit voltage
//
// A slow cycle gives a discharge and a charge branch over the charge moved, each
// over its own counter: the sensors of a slow and a fast record, and of the two
// directions, differ by half a per cent. With z the charge as a share of the largest
// swing of the slow cycles, or of the capacity if that is more,
//
//	U(z) = (U_ch + U_dch)/2    M(z) = (U_ch - U_dch)/2    E(z) = dU/dT by regression over temperatures
//
// M still holds the overpotential of the slow current, some millivolts of it, which on
// LFP cannot be told from hysteresis; nor can the rate of the hysteresis from the slower
// time constant. Both are fitted within bounds and their intervals say how loosely.
//
// # Dynamics
//
// The parameters are ln R_tot at the knots of the table, the split of R_tot, one
// activation energy for each part, two time constants, the rate of the hysteresis and
// the coulombic efficiency. They minimise
//
//	sum_k (v_k - V_k)^2/(s^2 tau_int/dt) + sum_j ((theta_j - mean_j)/sigma_j)^2
//
// by Levenberg–Marquardt (Marquardt 1963) within bounds, started from a separable
// least-squares fit (Golub and Pereyra 1973): for given time constants the
// resistances are a linear problem. s is the RMSE and tau_int the integral
// correlation time of the residuals: a second of an hour-long error is not a fresh
// measurement, and n readings count as n*dt/tau_int independent ones. The inverse
// of the normal matrix is then the covariance the intervals are taken from.
//
// No cell follows one Arrhenius line exactly. So that the line serves temperatures
// that were not fitted, every part of the resistance may leave it at every fitted
// temperature by a factor exp(d), d ~ N(0, 0.1^2), and the activation energies are
// drawn to those of a measured LFP cell, 15 +- 3 kJ/mol. The deviations d are not
// written to the file.
package fit
