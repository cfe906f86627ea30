package accept

import (
	"math"

	"yunchu/harness/scenario"
)

// A device whose readings all lie by one factor agrees with itself: its power with its voltage
// and current, and both with its state of charge. No measurement of them finds that. So a report
// says of each limit who has seen what it is about.
const (
	byDevice    = "device" // its own word, which nothing independent confirms
	byReference = "reference"
	byBoth      = "device and reference" // and each of them is judged, or they are compared
	byBench     = "bench"                // the suite itself: what was answered, and when
)

// asItSays is what people are told of a limit that rests on the device's own word.
const asItSays = "as the device says of itself"

// benchSees are the metrics of what the suite sees itself.
var benchSees = map[string]bool{
	"ack_s": true, "exchange_ms": true, "exchange_error_percent": true, "frame_loss_percent": true, "gaps": true, "silence_s": true,
	"age_ms": true, "accepted": true, "not_refused": true, "settings_tried": true, "missing_channels": true,
}

// compares are those that hold the device against the reference.
var compares = map[string]bool{
	"power_error_percent": true, "reactive_error_percent": true, "soc_truth_error_percent": true, "temperature_error_c": true,
	"voltage_error_v": true, "time_offset_ms": true, "flat_s": true,
}

// seenBy says who has seen what a limit is about; empty: nobody has. told: the reference was
// judged by it as well, and could tell.
func (r *Record) seenBy(l *scenario.ProcedureLimit, value float64, told bool) string {
	switch {
	case math.IsNaN(value):
		return ""
	case benchSees[l.Metric]:
		return byBench
	case compares[l.Metric], told, l.Metric == "frozen_channels" && len(r.Reference) > 0:
		return byBoth
	}
	seen := byDevice
	for _, w := range r.Windows {
		if w.Name != l.Measure || w.Skipped != "" {
			continue
		}
		if !w.Reference || len(r.Reference) == 0 {
			return byDevice
		}
		seen = byReference
	}
	return seen
}

// own reports whether a limit rests on the device's word alone.
func (j *Judged) own() bool { return j.SeenBy == byDevice }
