package accept

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"yunchu/harness/metric"
	"yunchu/harness/report"
	"yunchu/harness/scenario"
)

// Judged is one limit of a test and what became of it.
type Judged struct {
	scenario.ProcedureLimit
	Value   float64 // NaN: not measured; +Inf: not reached while it was watched
	Res     float64 // the truth is no further than this from Value
	Unit    string
	N       int // samples behind it
	Verdict report.Verdict
	Note    string
	SeenBy  string // device, reference, both or bench; empty: nobody has seen it

	contrary bool // of one that is inconclusive: what was seen speaks against it all the same
}

// finest is how many times the distance of samples a limit in time must be, at least,
// to be told from it.
const finest = 3

// Judge holds a record against the limits of its procedure.
func Judge(p *scenario.Procedure, r *Record) []Judged {
	r.settle()
	out := make([]Judged, 0, len(p.Limits))
	for _, l := range p.Limits {
		out = append(out, r.judge(l))
	}
	return out
}

// judgeBy holds a limit against what a record shows, its windows as they are seen.
func (r *Record) judgeBy(l scenario.ProcedureLimit, see func(*Window) *Window) Judged {
	def, _ := scenario.FindTestMetric(l.Metric)
	j := Judged{ProcedureLimit: l, Unit: def.Unit, Value: nan, Res: nan}
	var ms []measured
	if l.Measure == "test" {
		m, err := r.whole(l.Metric)
		if !j.take(m, err) {
			return j
		}
		ms = append(ms, m)
	} else {
		var ws []*Window
		skipped := ""
		for _, w := range r.Windows {
			switch {
			case w.Name != l.Measure || !slices.Contains(def.Kinds, w.Kind):
			case w.Skipped != "":
				skipped = w.Skipped
			default:
				ws = append(ws, see(w))
			}
		}
		switch {
		case len(ws) == 0 && skipped != "" && r.Aborted == "":
			j.Verdict, j.Note = report.NotApplicable, skipped
			return j
		case len(ws) == 0:
			j.Verdict, j.Note = report.Inconclusive, "not measured"
			if r.Aborted != "" {
				j.Note += ": " + r.Aborted
			}
			return j
		}
		if joint(l.Metric) {
			m, err := r.together(l.Metric, ws)
			if !j.take(m, err) {
				return j
			}
			ms = append(ms, m)
			ws = nil
		}
		var sure []measured // the windows that nothing is wrong with
		gap := j
		for _, w := range ws {
			m, err := r.one(l.Metric, w)
			if one := j; !one.take(m, err) {
				if gap.Verdict == "" {
					one.Note = w.Label + ": " + one.Note
					gap = one
				}
				continue
			}
			switch {
			case len(m.doubts) == 0:
				sure = append(sure, m)
			case m.holes == len(m.doubts) && m.worsens:
				seen := m
				seen.doubts = nil
				sure = append(sure, seen)
			}
			doubts := make([]string, len(m.doubts))
			for i, d := range m.doubts {
				doubts[i] = w.Label + ": " + strings.TrimPrefix(d, w.Label+": ")
			}
			m.doubts = doubts
			ms = append(ms, m)
		}
		// The worst of several has failed whatever the others would have come to.
		if one := j; len(sure) > 0 && (l.Stat == "" || l.Stat == "worst") {
			if one.decide(combine(sure, l), r.Aborted); one.Verdict == report.Failed {
				return one
			}
		}
		if gap.Verdict != "" {
			if one := j; len(ms) > 0 {
				one.decide(combine(ms, l), r.Aborted)
				gap.contrary = gap.contrary || one.contrary
			}
			return gap
		}
	}
	j.decide(combine(ms, l), r.Aborted)
	return j
}

// joint are the metrics that belong to all windows of a name together.
func joint(name string) bool {
	return strings.HasPrefix(name, "efficiency") || name == "hysteresis_percent" || name == "reversals"
}

// take reports whether there is a value to go on with.
func (j *Judged) take(m measured, err error) bool {
	switch {
	case err == nil, errors.Is(err, metric.ErrNotReached) && math.IsInf(m.Value, 1):
		return true
	case errors.Is(err, errNoReference), errors.Is(err, errNoFrames), errors.Is(err, errNoState), errors.Is(err, errNoReactive):
		j.Verdict, j.Note = report.NotApplicable, err.Error()
	default:
		j.Verdict, j.Note, j.contrary = report.Inconclusive, err.Error(), errors.Is(err, metric.ErrNotReached)
	}
	j.N = m.n
	return false
}

// combine makes one value of several.
func combine(ms []measured, l scenario.ProcedureLimit) measured {
	out := ms[0]
	out.doubts = slices.Clone(out.doubts)
	sum := out.Value
	for _, m := range ms[1:] {
		if worse(l.Limit, m.Value, out.Value) {
			out.Measured, out.note, out.horizon, out.pause = m.Measured, m.note, m.horizon, m.pause
		}
		sum += m.Value
		out.n += m.n
		out.unlike = out.unlike || m.unlike
		out.period = max(out.period, m.period)
		out.doubts = append(out.doubts, m.doubts...)
	}
	n := float64(len(ms))
	switch l.Stat {
	case "mean":
		out.Value = sum / n
	case "sum":
		out.Value = sum
	case "p99": // of windows; a single one is its own
		v := make([]float64, len(ms))
		for i := range ms {
			v[i] = ms[i].Value
		}
		slices.Sort(v)
		out.Value = v[min(len(v)-1, int(0.99*n))]
	}
	if len(ms) > 1 && l.Stat != "sum" && out.note == "" {
		what := l.Stat
		if what == "" {
			what = "worst"
		}
		out.note = fmt.Sprintf("%s of %d", what, len(ms))
	}
	return out
}

// worse reports whether a value is farther on the wrong side of a limit than another.
func worse(l scenario.Limit, v, than float64) bool {
	switch l.Op {
	case ">", ">=":
		return v < than
	case "==":
		return math.Abs(v-l.Value) > math.Abs(than-l.Value)
	}
	return v > than
}

// decide is the verdict on a value. The order matters: a value that is beyond its limit
// by more than it may be wrong has failed, however coarse the samples are; of readings
// that may not be judged nothing is told; and what is left must hold.
func (j *Judged) decide(m measured, aborted string) {
	j.Value, j.Res, j.N, j.Note = m.Value, m.Res+j.inUnit(m.pause), m.n, m.note
	l := j.Limit
	add := func(why string) {
		if j.Note != "" {
			why += "; " + j.Note
		}
		j.Note = why
	}
	never := math.IsInf(m.Value, 1)
	beyond := !math.IsNaN(m.Value) && !l.IsZero() && !l.Holds(m.Value) && !l.Holds(m.Value-j.Res) && !l.Holds(m.Value+j.Res)
	j.contrary = m.unlike || beyond
	switch {
	case len(m.doubts) > 0:
		j.Verdict = report.Inconclusive
		more := ""
		if n := len(m.doubts) - 1; n > 0 {
			more = fmt.Sprintf(" (and %d more)", n)
		}
		add(m.doubts[0] + more)
	case math.IsNaN(m.Value):
		j.Verdict = report.Inconclusive
		add("no value")
	case l.IsZero() && never:
		j.Verdict = report.Inconclusive
		add(fmt.Sprintf("not within %.4g s", m.horizon))
	case l.IsZero():
		j.Verdict = report.Passed // reported, not judged
	case m.counts && l.Holds(m.Value) && l.Holds(float64(m.n)):
		j.Verdict = report.Inconclusive
		add(fmt.Sprintf("%d readings are too few to be beyond the limit", m.n))
	case never && (l.Op == "<" || l.Op == "<=") && l.Value+finest*j.inUnit(m.period) > j.inUnit(m.horizon):
		j.Verdict = report.Inconclusive
		add(fmt.Sprintf("not within %.4g s, and it was not watched for longer", m.horizon))
	case never:
		j.Verdict = report.Failed
		add(fmt.Sprintf("not within %.4g s", m.horizon))
	case beyond:
		j.Verdict = report.Failed
	case m.timed && (l.Op == "<" || l.Op == "<=") && l.Value < finest*j.inUnit(m.period):
		j.Verdict = report.Inconclusive
		add(fmt.Sprintf("sampled every %.3g s: a limit of less than %.3g s cannot be told", m.period, finest*m.period))
	case l.Holds(m.Value):
		j.Verdict = report.Passed
	case m.pause > 0:
		j.Verdict = report.Inconclusive
		add(fmt.Sprintf("it is beyond its limit, but the machine of the bench stood still for %.2g s meanwhile", m.pause))
	default:
		j.Verdict = report.Inconclusive
		add("it is as near to its limit as it may be wrong")
	}
	if aborted != "" {
		switch j.Verdict {
		case report.Passed:
			j.Verdict = report.Inconclusive
			add("the test was not done to its end: " + aborted)
		case report.Failed:
			add("the test was not done to its end: " + aborted)
		}
	}
}

// inUnit is a time, given in s, in the unit of the value.
func (j *Judged) inUnit(s float64) float64 {
	if j.Unit == "ms" {
		return 1000 * s
	}
	return s
}

// Verdict is what a test as a whole came to: a failure outweighs a gap, a gap outweighs
// any number of passes, and where nothing was judged nothing has passed.
func Verdict(list []Judged) report.Verdict {
	passed, gap := false, false
	for _, j := range list {
		switch j.Verdict {
		case report.Failed:
			return report.Failed
		case report.Inconclusive:
			gap = true
		case report.Passed:
			passed = passed || !j.Limit.IsZero()
		}
	}
	switch {
	case gap:
		return report.Inconclusive
	case passed:
		return report.Passed
	}
	for _, j := range list {
		if j.Verdict == report.Passed { // something was measured, and nothing judged
			return report.Inconclusive
		}
	}
	return report.NotApplicable
}
