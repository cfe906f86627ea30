// Package hindcast plays forecasts on a file of the past, and scores them.
package hindcast

import (
	"fmt"
	"math"
	"slices"
	"time"

	"yunchu/harness/sheet"
	"yunchu/platform/forecast"
)

// mostHole is the longest hole that is filled.
const mostHole = 3 * time.Hour

// data is a file as a series of whole days.
type data struct {
	series forecast.Series
	first  time.Time // the begin of its first day, by the clock of the days
	step   time.Duration
	came   [][]value // by day, in order of time
}

// value is what came at an instant. A day has one for each of its steps, but where a zone changes its
// clock: a step that no clock has shown has none, one that was shown twice has two.
type value struct {
	at     time.Time
	step   int     // of the day
	target float64 // NaN where it is missing
}

// wall is what a clock of the zone shows, written as UTC; without a zone it is the instant.
func wall(t time.Time, zone *time.Location) time.Time {
	if zone == nil {
		return t
	}
	y, m, d := t.In(zone).Date()
	h, min, s := t.In(zone).Clock()
	return time.Date(y, m, d, h, min, s, t.Nanosecond(), time.UTC)
}

// instants are those at which the clock of a zone shows this: none in spring's hour that is left out, two in autumn's. The
// clock is as far from UTC as a day before or a day after.
func instants(shown time.Time, zone *time.Location) (list []time.Time) {
	if zone == nil {
		return []time.Time{shown}
	}
	for _, beside := range []time.Duration{-26 * time.Hour, 26 * time.Hour} {
		_, offset := shown.Add(beside).In(zone).Zone()
		at := shown.Add(-time.Duration(offset) * time.Second).In(zone)
		if wall(at, zone).Equal(shown) && !slices.ContainsFunc(list, at.Equal) {
			list = append(list, at)
		}
	}
	return list
}

func read(path, timeColumn string, columns []string, zone *time.Location) (*sheet.Sheet, []time.Time, error) {
	if timeColumn == "" { // the first line says its name
		head, err := sheet.Read(path, func(string) bool { return false })
		if err != nil {
			return nil, nil, err
		}
		if columns != nil && ofDevices(head.Header) {
			s, times, err := readDevices(path, columns)
			for k := range times {
				if zone != nil {
					times[k] = times[k].In(zone)
				}
			}
			return s, times, err
		}
		timeColumn = head.Header[0]
	}
	if slices.Contains(columns, timeColumn) {
		s, err := sheet.Read(path, func(string) bool { return false })
		if err != nil {
			return nil, nil, err
		}
		return nil, nil, s.Fault(1, 1, "name the column of times with --time", "column %s is taken for the times", timeColumn)
	}
	s, err := sheet.Read(path, func(c string) bool {
		return c != timeColumn && (columns == nil || slices.Contains(columns, c))
	}, timeColumn)
	if err != nil {
		return nil, nil, err
	}
	times := s.Times
	if zone != nil {
		times = func(column string) ([]time.Time, error) { return s.InZone(column, zone) }
	}
	at, err := times(timeColumn)
	if err != nil {
		return nil, nil, err
	}
	return s, at, nil
}

// readData reads a file as whole days. Ahead, the last of them is the first day of which the target is
// not known to its end, and nothing of the target is there.
func readData(o Options, ahead bool) (*data, error) {
	s, times, err := read(o.Data, o.Time, append([]string{o.Target}, o.Exog...), o.Zone)
	if err != nil {
		return nil, err
	}
	column := func(name string) ([]float64, error) {
		if i := slices.Index(s.Header, name); i >= 0 {
			return s.Column[i], nil
		}
		return s.Full(name) // says what is there
	}
	if len(times) < 2 {
		return nil, s.Fault(s.Line[0], 1, "", "a single row is no series")
	}
	d := &data{step: times[1].Sub(times[0])}
	if d.step < time.Minute || 24*time.Hour%d.step != 0 {
		return nil, s.Fault(s.Line[1], 1, "the steps of a series are equal and divide a day", "%v after the row before", d.step)
	}
	// Whole days: from the first midnight to the last.
	perDay := int(24 * time.Hour / d.step)
	shown := make([]time.Time, len(times))
	for k, t := range times {
		shown[k] = wall(t, o.Zone)
	}
	d.first = shown[0].Truncate(24 * time.Hour)
	if d.first.Before(shown[0]) {
		d.first = d.first.Add(24 * time.Hour)
	}
	end := shown[len(times)-1].Add(d.step).Truncate(24 * time.Hour)
	known := math.MaxInt // steps of the target
	if ahead {
		target, err := column(o.Target)
		if err != nil {
			return nil, err
		}
		newest := len(target) - 1
		for newest > 0 && math.IsNaN(target[newest]) {
			newest--
		}
		begin := shown[newest].Add(d.step).Truncate(24 * time.Hour)
		known, end = int(begin.Sub(d.first)/d.step), begin.Add(24*time.Hour)
	}
	n := max(int(end.Sub(d.first)/d.step), 0)
	if n < perDay {
		return nil, s.Fault(s.Line[0], 1, "", "there is no whole day in the file")
	}
	place := make([][]int, n) // the rows of each step
	for k, t := range shown {
		at := t.Sub(d.first)
		if at < 0 || at >= time.Duration(n)*d.step {
			continue
		}
		if at%d.step != 0 {
			return nil, s.Fault(s.Line[k], 1, fmt.Sprintf("the first rows are %v apart; bring all to that grid", d.step), "this row is beside the grid of the others")
		}
		if hole := t.Sub(shown[max(k-1, 0)]) - d.step; hole > mostHole {
			return nil, s.Fault(s.Line[k], 1, fmt.Sprintf("write the missing rows; up to %v are filled", mostHole), "%v are missing before this row", hole)
		}
		place[at/d.step] = append(place[at/d.step], k)
	}
	fill := func(name string) ([]float64, error) {
		c, err := column(name)
		if err != nil {
			return nil, err
		}
		out := make([]float64, n)
		last, since, row := math.NaN(), 0, 0
		for i, rows := range place {
			if i >= known {
				if name == o.Target {
					out[i] = math.NaN()
					continue
				}
				if len(rows) == 0 && i >= int(shown[len(shown)-1].Sub(d.first)/d.step) {
					at := d.first.Add(time.Duration(i) * d.step)
					return nil, s.Fault(s.Line[len(s.Line)-1], 1, "write rows of that day with what is known of it, and leave "+o.Target+" empty in them",
						"%s is forecast, and after this row there is none of %s to say what column %s will be", at.Format(time.DateOnly), at.Format("15:04"), name)
				}
			}
			sum, there := 0.0, 0
			for _, k := range rows {
				row = k
				if !math.IsNaN(c[k]) {
					sum += c[k]
					there++
				}
			}
			if there > 0 {
				last, since = sum/float64(there), 0
			} else {
				since++
				if math.IsNaN(last) || time.Duration(since)*d.step > mostHole {
					return nil, s.At(row, []string{name}, fmt.Sprintf("write a value; up to %v are filled with the one before", mostHole), "column %s has no value in this row", name)
				}
			}
			out[i] = last
		}
		return out, nil
	}
	d.series = forecast.Series{PerDay: perDay, Weekday: int(d.first.Weekday())}
	if d.series.Target, err = fill(o.Target); err != nil {
		return nil, err
	}
	for _, name := range o.Exog {
		x, err := fill(name)
		if err != nil {
			return nil, err
		}
		d.series.Exog = append(d.series.Exog, x)
	}
	target, err := column(o.Target)
	if err != nil {
		return nil, err
	}
	d.came = make([][]value, n/perDay)
	for i, rows := range place {
		day := &d.came[i/perDay]
		for _, k := range rows {
			*day = append(*day, value{times[k], i % perDay, target[k]})
		}
		if len(rows) > 0 {
			continue
		}
		for _, at := range instants(d.first.Add(time.Duration(i)*d.step), o.Zone) {
			*day = append(*day, value{at, i % perDay, math.NaN()})
		}
	}
	for _, day := range d.came { // steps shorter than the hour that is shown twice
		slices.SortFunc(day, func(a, b value) int { return a.at.Compare(b.at) })
	}
	return d, nil
}

// other is a forecast of somebody else.
type other struct {
	name  string
	value map[int64]float64 // by instant, Unix
}

// on is what it says of an instant, NaN where it says nothing.
func (o other) on(_ int, v value) float64 {
	if x, ok := o.value[v.at.Unix()]; ok {
		return x
	}
	return math.NaN()
}

// readOthers reads columns of forecasts of days. Columns that say what came are left out.
func readOthers(o Options, days [][]value) ([]other, error) {
	s, times, err := read(o.Against, "", nil, o.Zone)
	if err != nil {
		return nil, err
	}
	wanted := map[int64]bool{}
	for _, day := range days {
		for _, v := range day {
			wanted[v.at.Unix()] = true
		}
	}
	var out []other
	for i, name := range s.Header {
		if s.Column[i] == nil || name == o.Target || name == "real" {
			continue
		}
		theirs := other{name, map[int64]float64{}}
		for k, t := range times {
			if wanted[t.Unix()] {
				theirs.value[t.Unix()] = s.Column[i][k]
			}
		}
		if len(theirs.value) == 0 {
			return nil, s.Fault(s.Line[0], 1, "", "no row of this file is on the days that are forecast")
		}
		out = append(out, theirs)
	}
	return out, nil
}
