package report

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"yunchu/harness/metric"
	"yunchu/harness/scenario"
)

// Source is where scores come from: a [metric.Collector].
type Source interface {
	Value(name, stat string) (v float64, unit string, n int64, ci [2]float64, err error)
	Resolution(name string) float64
	Note(name string) string
}

// Judge holds one metric against its limit. An empty stat is the default of the
// metric, an empty limit only reports. What could not be measured is not passed:
// it fails where the fleet is to blame (it did not recover) and is inconclusive
// otherwise. So is a limit finer than three steps of what it is measured with.
func Judge(src Source, name, stat, limit, requirement string) Score {
	if stat == "" {
		stat = metric.DefaultStat(name)
	}
	v, unit, n, ci, err := src.Value(name, stat)
	s := Score{Metric: name, Stat: stat, Value: v, Unit: unit, N: n, CI95: ci, Limit: limit, Requirement: requirement, Note: src.Note(name)}
	var l scenario.Limit
	if limit != "" {
		var bad error
		if l, bad = scenario.ParseLimit(limit); bad != nil {
			s.Inconclusive, s.Note = true, bad.Error()
			return s
		}
	}
	switch {
	case err != nil:
		s.Value = math.NaN()
		s.CI95 = [2]float64{math.NaN(), math.NaN()}
		s.Note = strings.TrimPrefix(err.Error(), name+" "+stat+": ") // the row names them already
		s.Inconclusive = !errors.Is(err, metric.ErrUnrecovered)
	case math.IsNaN(v):
		s.Inconclusive, s.Note = true, "no data"
	case limit == "":
		s.Pass = true
	case src.Resolution(name) > 0 && (l.Op == "<" || l.Op == "<=") && l.Value < 3*src.Resolution(name) && l.Holds(v):
		s.Inconclusive = true
		s.Note = fmt.Sprintf("sampled every %g %s, too coarse for this limit: it takes a third of it", src.Resolution(name), unit)
	default:
		s.Pass = l.Holds(v)
		if s.Pass && s.bounded() && !l.Proven(ci) {
			s.Note = join(s.Note, "the 95 % interval reaches beyond the limit")
		}
	}
	return s
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// Outcome is what the run itself has to say about its verdict.
type Outcome struct {
	Interrupted   bool // it was stopped before its end
	NotApplicable bool // what it tests is not there
}

// Decide is the verdict of a run. A failure outweighs a gap; a gap outweighs any
// number of passes; and a run in which nothing was judged has not passed.
func Decide(o Outcome, scores []Score, checks []Check) Verdict {
	switch {
	case o.Interrupted:
		return Interrupted
	case o.NotApplicable:
		return NotApplicable
	}
	judged, gap := 0, false
	for _, s := range scores {
		if s.Limit == "" { // reported, not judged
			gap = gap || s.state() != Passed
			continue
		}
		judged++
		switch s.state() {
		case Failed:
			return Failed
		case Inconclusive:
			gap = true
		}
	}
	for _, c := range checks {
		judged++
		switch c.state() {
		case Failed:
			return Failed
		case Inconclusive:
			gap = true
		}
	}
	if gap || judged == 0 {
		return Inconclusive
	}
	return Passed
}

// state is the verdict on one score. A number that is not there cannot have
// passed, whatever Pass says.
func (s Score) state() Verdict {
	switch {
	case s.Inconclusive, s.Pass && math.IsNaN(s.Value):
		return Inconclusive
	case s.Pass:
		return Passed
	}
	return Failed
}

func (c Check) state() Verdict {
	switch {
	case c.Inconclusive:
		return Inconclusive
	case c.Pass:
		return Passed
	}
	return Failed
}
