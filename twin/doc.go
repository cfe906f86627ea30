// Package twin composes the physics of its children into things one can own: a
// storage unit, a fleet of them, and a module or one cell driven through a trace.
//
// A unit is one representative cell (twin/cell) times so many in series and
// parallel, warm or cold by what it makes and loses (twin/thermal), behind a power
// converter (twin/pcs), inside limits of voltage, state of charge and temperature.
// The limits bind inside a step: the unit delivers what is possible, says which
// limit bound, and no step ends outside them.
//
// Signs are passive: power and current above zero charge the unit. Units are SI.
// Nothing here reads a clock or draws from a shared source of randomness: time
// comes in as a parameter, and every unit has its own stream derived from the seed
// and its name, so that adding a unit does not change another. The same calls give
// the same bits.
//
// The books close by construction and are kept to be checked: what enters at the
// AC terminals is converter loss, standby, chemical energy and heat, to rounding,
// for every unit and step.
package twin
