package accept

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"yunchu/harness/metric"
	"yunchu/harness/report"
	"yunchu/harness/scenario"
)

// What a device says of its power is its own word. Where the bench has a reference, what
// was measured in that word is measured in the reference's too, by the same functions, and
// only who keeps a limit in both has kept it.

// byPower are the metrics of a measure that are made of power alone.
var byPower = map[string]bool{
	"dead_time_s": true, "response_time_s": true, "settling_time_s": true, "settled": true, "deviation_percent": true,
	"max_error_percent": true, "overshoot_percent": true, "slope_percent_per_s": true, "ramp_excess_percent": true,
	"ramp_lack_percent": true, "reached_percent": true, "transition_time_s": true, "zero_time_s": true,
	"exceeding_samples": true, "active_samples": true, "wrong_sign": true, "trips": true, "energy_percent": true,
	"efficiency_percent": true, "hysteresis_percent": true, "reversals": true, "rms_error_percent": true,
	"within_percent": true, "correlation": true, "lag_s": true, "pjm_score": true,
}

// apartPercent is by how much of the rated power the reference may be apart from the device, in
// percent, where the bench does not say so: what T01 allows. A bench whose reference also
// sees auxiliaries or a transformer says so by changing that limit of T01.
const apartPercent = 0.5

// apart are the procedure and its limit that say how far the reference may be apart.
const apartTest, apartLimit = "T01", "power_error_percent"

// apart is what the reference may differ from the device by, in parts of the rated power.
func apart(over ...map[string]Overrides) float64 {
	percent := apartPercent
	for _, o := range over {
		if l, ok := o[apartTest].Limits[apartLimit]; ok {
			percent = l.Value
		}
	}
	return percent / 100
}

// skew is by how far a reading of the reference that was asked for at sent and had come at
// received, and is at most period old, is outside of what these say of its time: below 0 its
// clock is behind.
func skew(at, sent, received time.Time, period time.Duration) time.Duration {
	switch {
	case at.After(received):
		return at.Sub(received)
	case at.Before(sent.Add(-period)):
		return at.Sub(sent.Add(-period))
	}
	return 0
}

// clock finds how far the reference's clock is off, in s: what most of its readings were.
func (r *Record) clock() {
	r.refOff = 0
	if len(r.Skews) == 0 {
		return
	}
	s := slices.Clone(r.Skews)
	slices.Sort(s)
	if r.refOff = s[len(s)/2].Seconds(); r.refOff != 0 {
		r.note(fmt.Sprintf("the clock of the reference, or what it takes, is %.3g s off: its readings are moved by that, and as uncertain", math.Abs(r.refOff)))
	}
}

// beside is a window as the reference sees it: with what it may be apart from the device in
// every band.
func (r *Record) beside(w *Window) *Window {
	v, m := *w, *w.Measure
	v.Measure, v.beside, v.apart = &m, true, r.Apart
	m.Reference = true
	m.Band, m.Zero, m.LimitKW = m.Band+r.Apart, m.Zero+r.Apart, m.LimitKW+r.Apart*r.RatedKW
	return &v
}

// share is the part of a step that must be gone, where the last of it may be missing to who
// looks from apart.
func (w *Window) share(s *metric.Step) float64 {
	whole := math.Abs(s.To - s.From)
	if w.apart == 0 || whole == 0 {
		return w.Share
	}
	return w.Share - w.apart*s.Rated/whole
}

// apartIn is what apart comes to in the unit of a metric, of a value of it.
func (r *Record) apartIn(name string, w *Window, s *metric.Step, value float64) float64 {
	kw := w.apart * r.RatedKW
	switch name {
	case "deviation_percent", "max_error_percent", "ramp_excess_percent", "ramp_lack_percent", "rms_error_percent":
		return 100 * w.apart
	case "overshoot_percent":
		return 100 * kw / math.Abs(s.To-s.From)
	case "slope_percent_per_s": // at both ends of the 80 % that it is taken from
		return 2 * value * kw / (0.8 * math.Abs(s.To-s.From))
	case "reached_percent":
		return 100 * kw / math.Abs(s.To)
	case "energy_percent":
		return 100 * kw * w.End.Sub(w.T0).Hours() / (r.RatedKWh * r.Usable)
	case "pjm_score":
		return 2 * w.apart
	}
	return 0
}

// ownAlone is told of a limit that was kept by the device's word, where the reference that is
// there cannot tell.
const ownAlone = "the device's own reading, which the reference cannot tell: "

// judge holds a limit against what the device says, and against what the reference shows. What
// the reference did not see, or not finely enough, is the device's word. What it saw and may not
// be judged, and is beyond the limit by more than it may be wrong, leaves nothing to pass.
func (r *Record) judge(l scenario.ProcedureLimit) Judged {
	j := r.judgeBy(l, func(w *Window) *Window { return w })
	j.SeenBy = r.seenBy(&l, j.Value, false)
	own := func(w *Window) bool { return w.Name == l.Measure && !w.Reference && w.Skipped == "" }
	if !byPower[l.Metric] || l.Limit.IsZero() || len(r.truth) == 0 || !slices.ContainsFunc(r.Windows, own) ||
		j.Verdict != report.Passed && j.Verdict != report.Inconclusive {
		return j
	}
	ref := r.judgeBy(l, r.beside)
	told := ref.Verdict == report.Passed || ref.Verdict == report.Failed || ref.contrary
	j.SeenBy = r.seenBy(&l, j.Value, told)
	switch {
	case ref.Verdict == report.Failed:
		j.Verdict = report.Failed
		j.Note = strings.TrimSuffix(fmt.Sprintf("device %s, reference %s; %s", j.shown(), ref.shown(), ref.Note), "; ")
	case ref.Verdict == report.Inconclusive && j.Verdict == report.Passed && ref.contrary:
		j.Verdict = report.Inconclusive
		j.Note = strings.TrimSuffix(fmt.Sprintf("device %s, reference %s; %s", j.shown(), ref.shown(), ref.Note), "; ")
	case ref.Verdict == report.Inconclusive && j.Verdict == report.Passed:
		j.Note = strings.TrimSuffix(ownAlone+strings.TrimSuffix(ref.shown()+", "+ref.Note, ", ")+"; "+j.Note, "; ")
	}
	return j
}
