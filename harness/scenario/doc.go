// Package scenario reads the files people write for Yunchu: scenarios, rigs,
// configurations and traces (apiVersion yunchu/v1, described key by key in
// ../README.md).
//
// The reader is strict. It knows every key, its type, its unit and its range,
// opens the inputs a file names, and reports everything that is wrong at once
// as [Faults], each with file, line, column, the line itself and a hint. What
// it returns without an error can be run: defaults are filled in, series are
// loaded, globs match and events lie within the run. Commands turn [Faults]
// into exit code 2.
//
// Power follows the passive sign everywhere: positive into the device
// (charging, consuming), negative out of it. Percent is used for soc, kW and
// kWh for power and energy; a [Trace] speaks the plain SI of the cell models.
//
// The package imports nothing of ours. Names it cannot know by itself, such as
// the model sets, are asked for through [Options]. Reading takes no clock and
// no goroutine; equal files give equal values.
package scenario
