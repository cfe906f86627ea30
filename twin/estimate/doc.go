// Package estimate tracks a cell from its readings: state of charge, resistance,
// capacity and the offset of the current sensor, each with its uncertainty.
package estimate
