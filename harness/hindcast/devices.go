package hindcast

import (
	"math"
	"slices"
	"time"

	"yunchu/harness/sheet"
	"yunchu/platform/device"
)

// What yunchu export writes of devices beside their values.
const (
	deviceColumn  = "device"
	instantColumn = "time"
	qualityColumn = "quality"
	gapColumn     = "gap_until"
)

// ofDevices tells a file of devices from one of a series.
func ofDevices(header []string) bool {
	return slices.Contains(header, deviceColumn) && slices.Contains(header, instantColumn)
}

// readDevices reads what yunchu export --step writes and adds up the devices by their times: what a fleet could give is the
// sum of what its devices could. One that has no good value at a time adds nothing to it.
func readDevices(path string, columns []string) (*sheet.Sheet, []time.Time, error) {
	s, err := sheet.Read(path, func(c string) bool { return slices.Contains(columns, c) }, deviceColumn, instantColumn, qualityColumn, gapColumn, "flags", "status", "gap_reason")
	if err != nil {
		return nil, nil, err
	}
	place := map[time.Time]int{}
	rows := make([]time.Time, len(s.Line)) // zero: a row that says nothing
	var times []time.Time
	line := map[time.Time]int{}
	for k, word := range s.Texts(instantColumn) {
		at, ok := sheet.Instant(word)
		if !ok {
			return nil, nil, s.At(k, []string{instantColumn}, "write it as 2020-01-31T13:00:00Z", "%q is no instant", word)
		}
		if gaps := s.Texts(gapColumn); gaps != nil && gaps[k] != "" {
			continue
		}
		if q := s.Texts(qualityColumn); q != nil && q[k] != "" && q[k] != device.Good.String() {
			continue
		}
		if rows[k] = at; line[at] == 0 {
			line[at], times = s.Line[k], append(times, at)
		}
	}
	if len(times) == 0 {
		return nil, nil, s.Fault(s.Line[0], 1, "", "no row of this file has a good reading")
	}
	slices.SortFunc(times, time.Time.Compare)
	lines := make([]int, len(times))
	for i, at := range times {
		place[at], lines[i] = i, line[at]
	}
	for i, column := range s.Column {
		if column == nil {
			continue
		}
		sum := make([]float64, len(times))
		for j := range sum {
			sum[j] = math.NaN()
		}
		for k, x := range column {
			if rows[k].IsZero() || math.IsNaN(x) {
				continue
			}
			if j := place[rows[k]]; math.IsNaN(sum[j]) {
				sum[j] = x
			} else {
				sum[j] += x
			}
		}
		s.Column[i] = sum
	}
	s.Line = lines
	return s, times, nil
}
