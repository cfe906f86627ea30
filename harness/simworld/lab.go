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

	"yunchu/twin/fit"
)

// lab is a laboratory record: readings of one cell at rising times.
type lab struct {
	path      string
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
	s, err := readSheet(path, func(c string) bool { return slices.Contains(columns, c) })
	if err != nil {
		return nil, err
	}
	l := &lab{path: path}
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
		if !c.required && !s.has(c.names...) {
			continue
		}
		if *c.to, err = s.full(c.names...); err != nil {
			return nil, err
		}
	}
	if l.in == nil || l.out == nil {
		l.in, l.out = nil, nil
	}
	return l, l.order(s)
}

// order drops rows that a row of the same time follows, and finds times that fall.
func (l *lab) order(s *sheet) error {
	n := 0
	for k := range l.t {
		if n > 0 && l.t[k] < l.t[n-1] {
			return s.fault(s.line[k], 1, "sort the rows, or cut the file where the clock starts anew", "time %g s comes after %g s", l.t[k], l.t[n-1])
		}
		if n > 0 && l.t[k] == l.t[n-1] {
			n--
		}
		for _, c := range [][]float64{l.t, l.i, l.v, l.in, l.out, l.tempC} {
			if c != nil {
				c[n] = c[k]
			}
		}
		n++
	}
	for _, c := range []*[]float64{&l.t, &l.i, &l.v, &l.in, &l.out, &l.tempC} {
		if *c != nil {
			*c = (*c)[:n]
		}
	}
	if n < 2 {
		return s.fault(s.line[0], 1, "", "the record has %d reading, want two or more", n)
	}
	return nil
}

// chamber finds the temperature in the name of a record, in degC: P25 and N05 are 25
// and -5, as the public UCCS records are named.
var chamber = regexp.MustCompile(`_([PN])(\d{2})$`)

// settle decides on the temperature of the record: the one given, the mean of its
// column, that of its name, or 25 degC.
func (l *lab) settle(given *float64) {
	name := strings.TrimSuffix(filepath.Base(l.path), filepath.Ext(l.path))
	switch m := chamber.FindStringSubmatch(name); {
	case given != nil:
		l.tempKnown, l.tempFrom = *given, "given"
	case l.tempC != nil:
		var sum float64
		for _, c := range l.tempC {
			sum += c
		}
		l.tempKnown, l.tempFrom = math.Round(100*sum/float64(len(l.tempC)))/100, "mean of its column"
	case m != nil:
		l.tempKnown, _ = strconv.ParseFloat(m[2], 64) // two digits
		if m[1] == "N" {
			l.tempKnown = -l.tempKnown
		}
		l.tempFrom = "from the name of the file"
	default:
		l.tempKnown, l.tempFrom = 25, "ASSUMPTION: nothing tells it"
	}
}

// full is how near to full, or to empty, a record that begins at rest is taken to
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
