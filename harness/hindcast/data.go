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
	first  time.Time // the begin of its first day
	step   time.Duration
	filled []bool // of the target
}

func read(path, timeColumn string, columns []string) (*sheet.Sheet, []time.Time, error) {
	if timeColumn == "" { // the first line says its name
		head, err := sheet.Read(path, func(string) bool { return false })
		if err != nil {
			return nil, nil, err
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
	times, err := s.Times(timeColumn)
	return s, times, err
}

func readData(o Options) (*data, error) {
	s, times, err := read(o.Data, o.Time, append([]string{o.Target}, o.Exog...))
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
	d.first = times[0].Truncate(24 * time.Hour)
	if d.first.Before(times[0]) {
		d.first = d.first.Add(24 * time.Hour)
	}
	end := times[len(times)-1].Add(d.step).Truncate(24 * time.Hour)
	n := max(int(end.Sub(d.first)/d.step), 0)
	if n < perDay {
		return nil, s.Fault(s.Line[0], 1, "", "there is no whole day in the file")
	}
	place := make([]int, n) // the row of each step, or −1
	for i := range place {
		place[i] = -1
	}
	for k, t := range times {
		at := t.Sub(d.first)
		if at < 0 || at >= time.Duration(n)*d.step {
			continue
		}
		if at%d.step != 0 {
			return nil, s.Fault(s.Line[k], 1, fmt.Sprintf("the first rows are %v apart; bring all to that grid", d.step), "this row is beside the grid of the others")
		}
		if hole := t.Sub(times[max(k-1, 0)]) - d.step; hole > mostHole {
			return nil, s.Fault(s.Line[k], 1, fmt.Sprintf("write the missing rows; up to %v are filled", mostHole), "%v are missing before this row", hole)
		}
		place[at/d.step] = k
	}
	fill := func(name string) (out []float64, filled []bool, err error) {
		c, err := column(name)
		if err != nil {
			return nil, nil, err
		}
		out, filled = make([]float64, n), make([]bool, n)
		last, since := math.NaN(), 0
		for i, k := range place {
			if k >= 0 && !math.IsNaN(c[k]) {
				last, since = c[k], 0
			} else {
				since++
				filled[i] = true
				if math.IsNaN(last) || time.Duration(since)*d.step > mostHole {
					row := max(k, 0)
					for j := i; k < 0 && j >= 0; j-- {
						row = max(row, place[j])
					}
					return nil, nil, s.At(row, []string{name}, fmt.Sprintf("write a value; up to %v are filled with the one before", mostHole), "column %s has no value in this row", name)
				}
			}
			out[i] = last
		}
		return out, filled, nil
	}
	d.series = forecast.Series{PerDay: perDay, Weekday: int(d.first.Weekday())}
	if d.series.Target, d.filled, err = fill(o.Target); err != nil {
		return nil, err
	}
	for _, name := range o.Exog {
		x, _, err := fill(name)
		if err != nil {
			return nil, err
		}
		d.series.Exog = append(d.series.Exog, x)
	}
	return d, nil
}

// other is a forecast of somebody else.
type other struct {
	name  string
	value []float64 // by step of the days that are scored, NaN where it says nothing
}

// readOthers reads columns of forecasts for n steps from an instant. Columns that say what came
// are left out.
func readOthers(path, target string, from time.Time, step time.Duration, n int) ([]other, error) {
	s, times, err := read(path, "", nil)
	if err != nil {
		return nil, err
	}
	var out []other
	for i, name := range s.Header {
		if s.Column[i] == nil || name == target || name == "real" {
			continue
		}
		o := other{name, make([]float64, n)}
		some := 0
		for k := range o.value {
			o.value[k] = math.NaN()
		}
		for k, t := range times {
			if at := t.Sub(from); at >= 0 && at < time.Duration(n)*step && at%step == 0 {
				o.value[at/step] = s.Column[i][k]
				some++
			}
		}
		if some == 0 {
			return nil, s.Fault(s.Line[0], 1, "", "no row of this file is on the days that are forecast")
		}
		out = append(out, o)
	}
	return out, nil
}
