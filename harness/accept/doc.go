// Package accept is the acceptance suite: it does to one device what a procedure file
// says, records what the device reports meanwhile, and judges it.
//
// A twin in virtual time and a device on a wire are the same here: a plant with one
// device, commands over the bus and through the guard, readings and acknowledgements
// from the bus. [Bench] is what differs.
//
// The order of work is that of the files: [Compile] makes a procedure into a list of
// operations, a player does them (a pure state machine: what it sees goes in, what it
// wants done comes out), a session drives it on the scheduler of a plant, and [Judge]
// turns the record into verdicts. What was not measured, or not well, is inconclusive;
// nothing becomes a pass by default.
//
// Powers are kW and positive into the device throughout, whatever a file counts.
package accept
