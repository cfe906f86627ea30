// Package metric turns what happened in a run into the numbers a scenario is
// scored with, each with the sample size and, where one is honest, a 95 %
// confidence interval.
//
// A [Collector] is fed by the run while it goes: one [Sample] a step, and the
// single happenings (a command acknowledged, a reading visible, a fault ended)
// as they come. Recording allocates nothing and takes a few nanoseconds per
// value, so that every device in every step can be counted. Afterwards
// [Collector.Value] answers by the names scenario files use.
//
// The package keeps one rule above all others: a number that was not measured
// is never passed off as one. A metric without data is an error ([ErrNoData]),
// a fault the fleet did not recover from is another ([ErrUnrecovered]), and both
// come with NaN, which satisfies no [Limit].
//
// Signs and units are those of the project: power and energy are positive into
// the device (charging); kW, kWh, percent, degC; latencies in ms. Nothing here
// reads a clock, starts a goroutine or draws a random number.
package metric

import (
	"errors"

	"yunchu/platform/settle"
)

var (
	// ErrNoData says that nothing was recorded the metric could be computed from.
	ErrNoData = settle.ErrNoData
	// ErrUnrecovered says that at least one fault ended and the tracking error did
	// not come back into its band: a failure, not a gap in the data.
	ErrUnrecovered = errors.New("not recovered")
	// ErrUnknown says that there is no such metric, or no such stat of it.
	ErrUnknown = errors.New("unknown metric or stat")
)
