package params

import (
	"errors"
	"fmt"
	"math"
)

// Fault is one thing wrong with a parameter file.
type Fault struct {
	File      string   // as given to the loader, empty for a set built in code
	Line, Col int      // 1-based, 0 when unknown
	Key       string   // dotted path of the key at fault
	Msg       string   // what is wrong, mostly with ", want " and what is right
	Source    string   // the line itself, empty when unknown
	Known     []string // of a key that nobody knows: those that may stand there
}

// Error is "file:line:col: key: message", without the parts that are unknown.
func (f *Fault) Error() string {
	msg := f.Msg
	if f.Key != "" {
		msg = f.Key + ": " + f.Msg
	}
	switch {
	case f.File == "":
		return msg
	case f.Line == 0:
		return f.File + ": " + msg
	}
	return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Col, msg)
}

// faults collects what Validate finds.
type faults []error

func (f *faults) add(key, format string, args ...any) {
	*f = append(*f, &Fault{Key: key, Msg: fmt.Sprintf(format, args...)})
}

func (f faults) join() error { return errors.Join(f...) }

// positive demands a finite number above zero.
func (f *faults) positive(key string, v float64) {
	if !positive(v) {
		f.add(key, "is %g, want a number above 0", v)
	}
}

// within demands a number of low..high: beyond that it is no battery's, and what is
// computed with it may leave the range of a float64.
func (f *faults) within(key string, v, low, high float64) {
	if !(v >= low && v <= high) {
		f.add(key, "is %g, want a number of %g..%g", v, low, high)
	}
}

func positive(v float64) bool    { return v > 0 && !math.IsInf(v, 0) }
func notNegative(v float64) bool { return v >= 0 && !math.IsInf(v, 0) }
func anyNumber(v float64) bool   { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// table demands soc strictly rising within 0..1 and as many values as entries.
func (f *faults) table(key, column string, soc, v []float64, ok func(float64) bool) {
	if len(soc) < 2 {
		f.add(key+".soc", "has %d entries, want at least 2", len(soc))
	}
	if len(soc) != len(v) {
		f.add(key+"."+column, "has %d entries, soc has %d", len(v), len(soc))
	}
	for i, z := range soc {
		if !(z >= 0 && z <= 1) {
			f.add(key+".soc", "entry %d is %g, want 0..1", i+1, z)
			break
		}
		if i > 0 && z <= soc[i-1] {
			f.add(key+".soc", "entry %d is %g after %g, want strictly rising", i+1, z, soc[i-1])
			break
		}
	}
	for i, x := range v {
		if !ok(x) {
			f.add(key+"."+column, "entry %d is %g, out of range", i+1, x)
			break
		}
	}
}
