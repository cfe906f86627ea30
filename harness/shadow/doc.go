//go:build !nosim

// Package shadow runs a twin beside a live device, on the same readings and
// commands, and names what diverges from it: the resistance, a sensor (voltage,
// current, temperature, state of charge), the capacity or a leak, the heat, or the
// communication.
//
// A Shadow is a pure core for one device: readings and acknowledgements go in with
// their own times, findings come out. Its twin is driven by the measured current and
// temperature and held near the reported state of charge; it is never fitted to the
// measured voltage, so that a fault is not absorbed but stays in what is left,
//
//	r = V/series - V_twin(I, T, SoC)            [V per cell]
//
// Five channels look at what is left, each for its own causes, each with at most one
// finding at a time:
//
//   - voltage: a Kalman filter explains r by a level, the ohmic voltage R0*I and
//     R0 times the current through four low-passes, whose coefficients wander. The
//     coefficient of R0*I is the change of resistance. What the filter did not
//     foresee (the innovations) goes into a two-sided CUSUM, which finds a sensor
//     that is suddenly off, and into a mean of squares, which finds one that scatters.
//   - charge: the change of the reported state of charge against counted charge, by
//     regression on charge moved and time: capacity and leak.
//   - current: the measured current against what power and voltage say.
//   - thermal: the measured temperature against the heat balance of the twin.
//   - communication: silence, repeated readings, values that stand still while the
//     twin moves, delay, disorder, and setpoints that are taken and not followed.
//
// A finding is raised where its estimate is beyond what Tolerance allows, by more
// than its own uncertainty, for a while; it is cleared when it has been back within
// half of that for a while. In between it is not repeated. While the communication
// is blind or the current is wrong, the channels that rest on them are silent.
//
// A Runner follows devices on the bus, keeps a Shadow for each, and publishes what
// they find as events: "shadow-divergence" and "shadow-recovered".
package shadow
