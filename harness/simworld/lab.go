//go:build !nosim

package simworld

import (
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"yunchu/harness/scenario"
	"yunchu/harness/sheet"
	"yunchu/twin/fit"
)

// lab is a laboratory record: readings of one cell at rising times.
type lab struct {
	path      string
	sheet     *sheet.Sheet
	row       []int     // of the sheet, of each reading
	t, i, v   []float64 // s, A, V
	in, out   []float64 // Ah counted since the start; nil: the file has no counters
	tempC     []float64 // degC; nil: the file has no temperature
	tempKnown float64   // degC of the whole record
	tempFrom  string    // where that is from
}

// Names of the columns of a record: those of cyclers, and those of our own traces.
var (
	timeColumn    = []string{"t_s"}
	currentColumn = []string{"I_A", "current_a"}
	voltageColumn = []string{"V_V", "voltage_v"}
	chargeColumn  = []string{"chgAh", "charge_ah"}
	givenColumn   = []string{"disAh", "discharge_ah"}
	tempColumn    = []string{"T_C", "temp_c"}
)

// readLab reads a record. Of rows with one time the last counts: cyclers write a row
// at the end of a step and one at the start of the next.
func readLab(path string) (*lab, error) {
	columns := slices.Concat(timeColumn, currentColumn, voltageColumn, chargeColumn, givenColumn, tempColumn)
	s, err := sheet.Read(path, func(c string) bool { return slices.Contains(columns, c) })
	if err != nil {
		return nil, err
	}
	l := &lab{path: path, sheet: s}
	for _, c := range []struct {
		to       *[]float64
		names    []string
		required bool
	}{
		{&l.t, timeColumn, true},
		{&l.i, currentColumn, true},
		{&l.v, voltageColumn, true},
		{&l.in, chargeColumn, false},
		{&l.out, givenColumn, false},
		{&l.tempC, tempColumn, false},
	} {
		if !c.required && !s.Has(c.names...) {
			continue
		}
		if *c.to, err = s.Full(c.names...); err != nil {
			return nil, err
		}
	}
	if l.in == nil || l.out == nil {
		l.in, l.out = nil, nil
	}
	return l, l.order(s)
}

// order drops rows that a row of the same time follows, and finds times that fall.
func (l *lab) order(s *sheet.Sheet) error {
	n := 0
	for k := range l.t {
		if n > 0 && l.t[k] < l.t[n-1] {
			return s.Fault(s.Line[k], 1, "sort the rows, or cut the file where the clock starts anew", "time %g s comes after %g s", l.t[k], l.t[n-1])
		}
		if n > 0 && l.t[k] == l.t[n-1] {
			n--
		}
		for _, c := range [][]float64{l.t, l.i, l.v, l.in, l.out, l.tempC} {
			if c != nil {
				c[n] = c[k]
			}
		}
		l.row = append(l.row[:n], k)
		n++
	}
	for _, c := range []*[]float64{&l.t, &l.i, &l.v, &l.in, &l.out, &l.tempC} {
		if *c != nil {
			*c = (*c)[:n]
		}
	}
	if n < 2 {
		return s.Fault(s.Line[0], 1, "", "the record has %d reading, want two or more", n)
	}
	return nil
}

// at is a fault of reading k in one of the columns.
func (l *lab) at(k int, column []string, hint, format string, args ...any) error {
	return l.sheet.At(l.row[k], column, hint, format, args...)
}

// chamber is a part of a name that tells a temperature: P25 and N05 are 25 and -5 degC,
// as the public UCCS records are named.
var chamber = regexp.MustCompile(`^[PN]\d{2}$`)

// chambers are the temperatures in degC that the name of a file or of a column tells,
// each once: of a123_dyn_P05_train.csv 5.
func chambers(name string) (c []float64) {
	name = strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
	for _, part := range strings.Split(name, "_")[1:] {
		if !chamber.MatchString(part) {
			continue
		}
		x, _ := strconv.ParseFloat(part[1:], 64) // two digits
		if part[0] == 'N' {
			x = -x
		}
		if !slices.Contains(c, x) {
			c = append(c, x)
		}
	}
	return c
}

// Temperatures in degC that a cell may have: those that its parameters hold for.
const coldestC, hottestC = -70.0, 125.0

func livable(degC float64) bool { return degC >= coldestC && degC <= hottestC }

// settle decides on the temperature of the record: the one given, the mean of its
// column, that of its name, the one of its surroundings if there is exactly one, or
// 25 degC.
func (l *lab) settle(given *float64, around ...float64) error {
	named := chambers(l.path)
	unclear := func(who string, c []float64) error {
		return scenario.Faults{{Path: l.path, Msg: fmt.Sprintf("its temperature is not clear: %s %s degC", who, list(c)), Hint: "give it with --temp-c"}}
	}
	switch {
	case given != nil:
		l.tempKnown, l.tempFrom = *given, "given"
		if !livable(*given) {
			return fmt.Errorf("--temp-c %g: want degC, %g..%g", *given, coldestC, hottestC)
		}
	case l.tempC != nil:
		var sum float64
		for k, c := range l.tempC {
			if !livable(c) {
				return l.at(k, tempColumn, "write degC, not K", "%g degC is no temperature of a cell", c)
			}
			sum += c
		}
		l.tempKnown, l.tempFrom = math.Round(100*sum/float64(len(l.tempC)))/100, "mean of its column"
	case len(named) > 1:
		return unclear("its name says", named)
	case len(named) == 1:
		l.tempKnown, l.tempFrom = named[0], "from the name of the file"
	case len(around) > 1:
		return unclear("neither a column nor its name tells it, and the open-circuit records are at", around)
	case len(around) == 1:
		l.tempKnown, l.tempFrom = around[0], "that of the open-circuit record"
	default:
		l.tempKnown, l.tempFrom = 25, "ASSUMPTION: nothing tells it"
	}
	return nil
}

func list(x []float64) string {
	text := make([]string, len(x))
	for k, v := range x {
		text[k] = strconv.FormatFloat(v, 'g', -1, 64)
	}
	return strings.Join(text, " and ")
}

// plausible finds readings that are no cell's of the capacity and of lowV to highV,
// which whose has: they are in another unit. A single voltage may be off, as a glitch.
func (l *lab) plausible(lowV, highV, capacityAh float64, whose string) error {
	const mostC = 100 // of the current that would empty the cell in an hour
	first, odd := 0, 0
	for k, v := range l.v {
		switch i := l.i[k]; {
		case math.Abs(i) > mostC*capacityAh:
			return l.at(k, currentColumn, "write A, above 0 on charge", "a current of %.4g A would move the %g Ah of the cell in %.2g s", i, capacityAh, 3600*capacityAh/math.Abs(i))
		case math.Abs(v) > 10*highV:
			return l.at(k, voltageColumn, "write the voltage of one cell in V, here and there", "a voltage of %.4g V, where %s has %.4g to %.4g V", v, whose, lowV, highV)
		case v < lowV/2 || v > 2*highV:
			if odd == 0 {
				first = k
			}
			odd++
		}
	}
	if 2*odd > len(l.v) {
		return l.at(first, voltageColumn, "write the voltage of one cell in V, here and there", "a voltage of %.4g V, and %d of %d readings like it, where %s has %.4g to %.4g V", l.v[first], odd, len(l.v), whose, lowV, highV)
	}
	return nil
}

// within finds where a state of charge that was counted leaves what a cell can hold by
// far.
func (l *lab) within(soc []float64, capacityAh float64) error {
	const slack = 0.2 // of a capacity or a start that is not quite right
	for k, z := range soc {
		if !(z >= -slack && z <= 1+slack) {
			return l.at(k, currentColumn, "check the sign of the current (above 0 charges), its unit, the start and the capacity",
				"counted from %.4g %% with %g Ah, the state of charge is %.4g %% here", 100*soc[0], capacityAh, 100*z)
		}
	}
	return nil
}

// full is how// full is how near to full, or to empty, a record that begins at rest is taken to
// begin there: the last per cent of the curve depends on how long the cell rested.
const full = 0.02

// begin is the state of charge and the hysteresis at the first reading by its
// voltage, if the cell rests there where its curve is steep.
func begin(o *fit.OpenCircuit, capacityAh, i, v, tempK, tRefK float64) (soc, hyst float64, ok bool) {
	if math.Abs(i) > capacityAh/50 {
		return 0, 0, false
	}
	soc, ok = o.SoCAt(v, 0, tempK, tRefK)
	switch {
	case !ok:
		return 0, 0, false
	case soc >= 1-full:
		return 1, 1, true
	case soc <= full:
		return 0, -1, true
	}
	return soc, 0, true
}

func (l *lab) String() string {
	return fmt.Sprintf("%s at %g degC (%s)", filepath.Base(l.path), l.tempKnown, l.tempFrom)
}
