package settle

import (
	"fmt"
	"math"
	"slices"
	"time"

	"yunchu/platform/device"
)

// Sample is a reading of a meter or of a device.
type Sample struct {
	At      int64   // ms UTC
	KW      float64 // into the device
	Quality device.Quality
	Flags   device.Flags
	Row     int  // of its file
	Gap     bool // no reading: from here on readings are missing until the next one
}

// SimulatedError says that readings are of no real battery, and which is the first.
type SimulatedError struct{ Row int }

func (e *SimulatedError) Error() string {
	return "a simulated reading is not billed: no real battery stands behind it"
}

// Refuse is an error where one of the samples is simulated.
func Refuse(samples []Sample) error {
	if i := slices.IndexFunc(samples, func(s Sample) bool { return s.Flags&device.FlagSimulated != 0 }); i >= 0 {
		return &SimulatedError{samples[i].Row}
	}
	return nil
}

// Meter integrates the good readings of one device over intervals of step: trapezoids
// between readings that are no further apart than gap. An interval of which less than
// coveragePercent is known has NaN. The others say from and to which row they were read and
// which part of them is known, 0..1: for the rest of it the mean power of that part is taken.
func Meter(samples []Sample, from, to time.Time, step, gap time.Duration, coveragePercent float64) (energy []float64, rows [][2]int, known []float64, err error) {
	n := int(to.Sub(from) / step)
	if n < 1 {
		return nil, nil, nil, fmt.Errorf("from %s to %s there is no interval of %v: %w", from.Format(time.RFC3339), to.Format(time.RFC3339), step, ErrNoData)
	}
	energy, rows = make([]float64, n), make([][2]int, n)
	known = make([]float64, n) // in ms, until the end
	begin, ms := from.UnixMilli(), step.Milliseconds()
	var last *Sample
	for i := range samples {
		s := &samples[i]
		if s.Gap {
			last = nil
			continue
		}
		if s.Quality != device.Good || math.IsNaN(s.KW) {
			continue
		}
		if last != nil && s.At > last.At && s.At-last.At <= gap.Milliseconds() {
			slope := (s.KW - last.KW) / float64(s.At-last.At)
			for a := max(last.At, begin); a < min(s.At, begin+int64(n)*ms); {
				k := (a - begin) / ms
				z := min(s.At, begin+(k+1)*ms)
				mid := last.KW + slope*(float64(a+z)/2-float64(last.At))
				energy[k] += mid * float64(z-a) / 3.6e6
				known[k] += float64(z - a)
				if rows[k][0] == 0 {
					rows[k][0] = last.Row
				}
				rows[k][1] = s.Row
				a = z
			}
		}
		last = s
	}
	for k := range energy {
		if known[k] == 0 || known[k] < coveragePercent/100*float64(ms) {
			energy[k] = math.NaN()
			continue
		}
		known[k] /= float64(ms)
		energy[k] /= known[k]
		energy[k] = math.Round(energy[k]*1e6) / 1e6 // mWh: what a sum of products leaves behind is no reading
	}
	return energy, rows, known, nil
}
