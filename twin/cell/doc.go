// Package cell is the electrical model of one lithium-ion cell and the heat it
// makes: an equivalent circuit of open-circuit voltage, hysteresis with memory,
// an ohmic resistance and two RC pairs, all of them functions of state of charge
// and temperature.
//
// Signs are passive: current and power above zero charge the cell. Units are SI.
//
// The equations, with z the state of charge, x = (1/T - 1/Tref)/R and I the
// current through the cell:
//
//	U_a(z,T) = U(z) + (T - Tref)*E(z)             open-circuit voltage, E = dU/dT
//	R_k(z,T) = f_k*R_tot(z)*exp(Ea_k*x)           k = 0,1,2 (Arrhenius)
//	V        = U_a + h*M(z) + v1 + v2 + R_0*I
//	dz/dt    = I_e/(3600 Q), I_e = eta_c*I on charge, I on discharge
//	dv_k/dt  = (R_k*I - v_k)/tau_k                k = 1,2
//	dh/dt    = gamma/(3600 Q)*(I_e - |I_e|*h)     one-state hysteresis (Plett, Battery Management Systems I, 2015, §2.6)
//	q        = I*(V - U_a) + I*T*E                heat: overpotential and entropic (Bernardi et al. 1985)
//
// # Integration
//
// Over one step the current is constant, so z is linear in time; resistances, the
// hysteresis gap and the temperature are frozen at the middle of the step, where a
// predictor with the current at its start puts them. With that, RC pairs and h are
// exact exponentials, and the means over the step of U_a, h, v1 and v2 are closed
// forms (U_a as the integral of its table, kinks included). The result is second
// order in the step.
//
// In constant power the current of the step is the one whose power, taken with the
// mean voltage, is the power asked for. So the energy at the terminals is the
// energy asked for, and it equals the integral of U_a dq plus the heat of the
// overpotentials term by term: the balance closes at any step length.
//
// # Use
//
// The temperature belongs to the caller, who knows where the heat goes:
//
//	i := c.Current(p)                     // A at the start of the step
//	tMid := …                             // temperature half a step on, with heat c.Heat(i)
//	c.StepPower(p, i, tMid, tick, &flow)  // electrical state moves on
//	c.SetTemp(…)                          // temperature a step on, with heat flow.HeatW
package cell
