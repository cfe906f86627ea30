// Package estimate tracks a cell from its readings: state of charge, resistance,
// capacity and the offset of the current sensor, each with its uncertainty. For a pack,
// divide its voltage by the cells in series and its current by those in parallel.
//
// # Filter
//
// The states are [z, v1, v2, h, b]: state of charge, the voltages of the RC pairs,
// hysteresis and b, what the current sensor reads too much. They move on by the
// equations of twin/cell with the current I - b, and the terminal voltage
//
//	V = U_a(z,T) + h*M(z) + v1 + v2 + R_0(z,T)*(I - b)
//
// is a line in all of them but z. So only z is sampled: the line is the one that fits
// V best over the spread of z (statistical linear regression over five Gauss–Hermite
// points; the sigma-point filter of van der Merwe 2004 and Plett 2006 with all but one
// dimension done in closed form). What the line leaves out counts as noise, so a knee
// of the curve within the spread does not feign certainty.
//
// The covariance is kept as U*D*Uᵀ (Bierman 1977, Thornton 1976): it stays symmetric
// and positive semidefinite by form.
//
// # Errors that last
//
// What the model is wrong by, some millivolts and a shift of the axis of its tables,
// lasts for half an hour. Taken for white noise it makes a filter certain of a wrong
// state within minutes; on the flat curve of LFP that is how filters get lost. An error
// of variance s^2 and correlation time tau tells as much about a constant in the time
// dt as white noise of variance s^2*2*tau/dt does, which is the noise the gain is worked
// out with. The innovation itself is judged against its own variance, with s^2 once.
//
// An innovation beyond the gate is taken in with the noise that would make it just as
// unlikely as the gate (Huber 1964); if that lasts, the state of charge is released.
//
// The offset b joins after an hour only. Before that the state of charge is not known
// well enough to tell the two apart. What it may have moved meanwhile counts as
// uncertainty of the state of charge.
//
// # Start
//
// The cell may have been at work: the slow RC pair starts at zero with the spread that a
// quarter of the current of one hour gives it. The first reading may move the state of
// charge across the knees of the curve, so the line of the measurement is made anew over
// what is believed after it (García-Fernández et al., Posterior linearization filter,
// IEEE Trans. Signal Processing 63, 2015). Once the cell has rested for minutes, how its
// voltage moves tells what the slow pair holds, whatever its level.
//
// # Parameters
//
// The resistance factor is a recursive least-squares estimate with forgetting on
// differences from reading to reading: how the innovation changes as the resistive
// voltage does. Slow errors of any kind drop out of a difference. Readings without
// a change count for nothing and are not forgotten by.
//
// The capacity factor is the charge that went between two states of charge over their
// distance, both told by the voltage alone where it is steep; weighted by the errors of
// numerator and denominator (Plett 2011). It does not use the filtered state of charge,
// which the capacity itself has gone into.
package estimate
