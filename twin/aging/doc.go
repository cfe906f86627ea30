// Package aging is how a cell loses capacity and gains resistance: laws for the
// time that passes (calendar) and for its use (cycle), fitted to LFP cells, and
// what carries them through stress that never stands still.
//
// # Laws
//
// Every law is a sum of processes, each a power of time, charge or cycles x under
// constant stress s (temperature, state of charge, C-rate, depth):
//
//	loss = k(s)*x^p
//
// When the stress changes, a process goes on from the loss it has, as if it had
// been under the new stress all along: from the virtual x* = (loss/k)^(1/p) to
// k*(x* + dx)^p. In terms of the age u = loss^(1/p) that is
//
//	du = k(s)^(1/p)*dx,  loss = u^p
//
// so ages add up, the order and the cutting of steps do not matter, and nothing is
// divided by a loss or a k that may be 0. A State holds ages.
//
// # Cycles
//
// Laws that ask for depth are fed by Rainflow, which counts cycles of the state of
// charge as they close, by the rules of ASTM E1049-85 §5.4.4. Laws that count
// charge are integrated as it flows.
//
// # Use
//
//	m, err := aging.New(aging.Params{Calendar: …, Cycle: …, Scale: 1})
//	cell := m.Start(aging.State{})
//	cell.Advance(60, soc, tempK, cRate)  // every minute or so, with what held since
//	q, r = q0*cell.SoHQ(), r0*cell.SoHR()
//
// With Scale n an hour ages the cell like n hours of the same use: time counts n
// times for the calendar law, charge and each counted cycle n times for the cycle
// law. Since ages add up, that is what n times as long would do.
//
// Signs are passive: a C-rate above zero charges. Units are SI but for the C-rate
// (1/h) and where a law is written in other units. Losses are shares of what the
// new cell had.
package aging
