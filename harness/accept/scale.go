package accept

import (
	"fmt"
	"math"
	"sort"
	"strings"
	"time"

	"yunchu/harness/report"
	"yunchu/platform/device"
)

// Scale is what is known of the scale of a device's power beyond what describes its
// registers. Setpoint and measured power may both be described with one wrong scale: then
// a device that does a tenth of what it is told seems to do all of it, and reading the
// setpoint back shows nothing either. So something else must agree with the power.
type Scale struct {
	// Verdict is Passed where something confirms the scale, Failed where something
	// contradicts it, Inconclusive where nothing tells; empty: no power was asked for.
	Verdict report.Verdict
	Text    string // in a sentence
}

// OnProfileAlone is what people are told of a power that nothing confirms.
const OnProfileAlone = "the power rests on the profile alone: nothing independent confirms its scale"

const contradicts = "the scale of the power is contradicted"

const (
	// scaleTolerance is by what factor power and evidence may differ: more than losses
	// at part load, a battery that has aged and a rounded rating come to together, and
	// less than any mistake in a scale, the smallest of which is the root of 3.
	scaleTolerance = 1.3
	// referenceTolerance is that of the bench's reference, which sees the same power: beside
	// by what it may be apart, more than readings of different moments come to in the mean.
	referenceTolerance = 1.1
	// scaleShare is the power in parts of the rating from which it is compared: below
	// it the losses of the converter are too large a part of it.
	scaleShare = 0.1
	// scaleSamples is how many readings must be compared at least.
	scaleSamples = 10
	// scaleSwing is by how much the state of charge must move, percent, and how many of
	// its own steps that must be.
	scaleSwing = 5.0
	scaleSteps = 10
)

// evidence compares the power with what should be the same.
type evidence struct {
	what        string
	power, same float64 // sums
	n           int
	of          string // what n counts
	least       int
	within      float64 // the factor
	apart       float64 // sum of what the two may be apart beside the factor
	own         bool    // the device's own word as well
}

func (e *evidence) add(power, same float64) {
	e.power, e.same, e.n = e.power+power, e.same+same, e.n+1
}

// verdict is what it says of the scale.
func (e *evidence) verdict() (report.Verdict, string) {
	if e.n < e.least {
		return report.Inconclusive, ""
	}
	share := e.same / e.power
	if lo, hi := (e.power-e.apart)/e.within, (e.power+e.apart)*e.within; e.same >= lo && e.same <= hi {
		return report.Passed, fmt.Sprintf("%s %.3g of it (%s: %d)", e.what, share, e.of, e.n)
	}
	return report.Failed, fmt.Sprintf("%s %.3g of it, farther apart than a factor of %g (%s: %d)", e.what, share, e.within, e.of, e.n)
}

// ScaleOf looks for what confirms the power's scale in all that was recorded of a device.
// metered: a meter measures its power apart from the converter that is told it.
func ScaleOf(tests []*TestResult, metered bool) Scale {
	list := []*evidence{
		{what: "the bench's reference shows", of: "readings", least: scaleSamples, within: referenceTolerance},
		{what: "voltage times current is", of: "readings", least: scaleSamples, within: scaleTolerance, own: true},
		{what: "the setpoint of the converter, apart from the meter, is", of: "setpoints", least: 1, within: scaleTolerance},
		{what: "the state of charge says, by the rated energy,", of: "spans of time", least: 1, within: scaleTolerance, own: true},
	}
	asked := false
	for _, t := range tests {
		if t.Record == nil {
			continue
		}
		asked = asked || t.Program.asksPower()
		t.Record.byReference(list[0])
		t.Record.byCurrent(list[1])
		if metered {
			t.Record.bySetpoint(list[2])
		}
		t.Record.byCharge(list[3])
	}
	if !asked {
		return Scale{}
	}
	var confirmed, contradicted []string
	own := true
	for _, e := range list {
		switch v, text := e.verdict(); v {
		case report.Passed:
			confirmed, own = append(confirmed, text), own && e.own
		case report.Failed:
			contradicted = append(contradicted, text)
		}
	}
	within := fmt.Sprintf("within a factor of %g", scaleTolerance)
	switch {
	case len(contradicted) > 0:
		return Scale{report.Failed, contradicts + ": " + strings.Join(contradicted, "; ") + ": a scale in the profile is wrong, or the rating"}
	case len(confirmed) > 0:
		text := "the scale of the power is confirmed " + within + ": " + strings.Join(confirmed, "; ")
		if own {
			text += "; all of that " + asItSays
		}
		return Scale{report.Passed, text}
	}
	return Scale{report.Inconclusive, fmt.Sprintf("%s %s: that takes voltage and current of the battery at %.0f %% of rated power or more, a meter, or a test that moves the charge by %.0f %% (T16)",
		OnProfileAlone, within, 100*scaleShare, scaleSwing)}
}

// steady hands out the readings that are good but for not matching voltage and current,
// and were not just asked to move.
func (r *Record) steady(do func(s *device.Reading)) {
	const doubts = device.FlagRange | device.FlagFrozen | device.FlagHeartbeat
	for i := range r.Samples {
		s := &r.Samples[i]
		if s.Flags&doubts != 0 || math.IsNaN(s.Power) {
			continue
		}
		t := r.atMS(s.At)
		i := sort.Search(len(r.Setpoints), func(i int) bool { return r.Setpoints[i].T > t }) - 1
		if i < 0 || t >= r.Setpoints[i].T+stepTime {
			do(s)
		}
	}
}

func (r *Record) byCurrent(e *evidence) {
	r.steady(func(s *device.Reading) {
		dc := math.Abs(s.Voltage * s.Current / 1000)
		if p := math.Abs(s.Power); max(p, dc) >= scaleShare*r.RatedKW { // NaN is not
			e.add(p, dc)
		}
	})
}

// byReference takes the reference's newest power at each reading.
func (r *Record) byReference(e *evidence) {
	longest := 2 * r.RefPeriod.Seconds()
	r.steady(func(s *device.Reading) {
		t := r.atMS(s.At)
		i := sort.Search(len(r.truth), func(i int) bool { return r.truth[i].T > t }) - 1
		if i < 0 || t-r.truth[i].T > longest {
			return
		}
		ref, p := math.Abs(r.truth[i].V), math.Abs(s.Power)
		if max(p, ref) >= scaleShare*r.RatedKW {
			e.add(p, ref)
			e.apart += r.Apart * r.RatedKW
		}
	})
}

// bySetpoint takes the power at the end of what was held.
func (r *Record) bySetpoint(e *evidence) {
	for _, w := range r.Windows {
		if w.Kind != "step" && w.Kind != "hold" || w.Skipped != "" || len(w.Doubts) > 0 || !(math.Abs(w.ToKW) >= scaleShare*r.RatedKW) {
			continue
		}
		end := r.at(w.End)
		if p := mean(within(r.power, end-1, end)); !math.IsNaN(p) {
			e.add(math.Abs(p), math.Abs(w.ToKW))
		}
	}
}

// byCharge holds the energy that the power comes to against what the state of charge
// says, over the largest swing of each unbroken stretch of readings.
func (r *Record) byCharge(e *evidence) {
	type at struct{ kwh, soc float64 }
	var here at
	var lo, hi at // where the counted energy was least and most
	step, last := math.Inf(1), (*device.Reading)(nil)
	end := func() {
		kwh, soc := hi.kwh-lo.kwh, (hi.soc-lo.soc)/100*r.RatedKWh
		if swing := 100 * max(kwh, math.Abs(soc)) / r.RatedKWh; swing >= max(scaleSwing, scaleSteps*step) {
			e.add(kwh, max(soc, 0))
		}
		last = nil
	}
	for i := range r.Samples {
		s := &r.Samples[i]
		switch {
		case math.IsNaN(s.Power) || math.IsNaN(s.SoC) || s.Flags&device.FlagRange != 0 || !(r.RatedKWh > 0):
			continue
		case last != nil && time.Duration(s.At-last.At)*time.Millisecond > max(r.MaxAge, 2*time.Second):
			end()
		}
		if last == nil {
			here = at{0, s.SoC}
			lo, hi, step = here, here, math.Inf(1)
		} else {
			here.kwh += (last.Power + s.Power) / 2 * float64(s.At-last.At) / 3.6e6
			here.soc = s.SoC
			if d := math.Abs(s.SoC - last.SoC); d > 0 {
				step = min(step, d)
			}
		}
		last = s
		if here.kwh < lo.kwh {
			lo = here
		}
		if here.kwh > hi.kwh {
			hi = here
		}
	}
	if last != nil {
		end()
	}
}

// doubt takes back what the tests of a device have passed with a power whose scale is not
// confirmed: they were done with another power than they say.
func (s *Scale) doubt(tests []*TestResult) {
	if s.Verdict != report.Failed && s.Verdict != report.Inconclusive {
		return
	}
	note := OnProfileAlone
	if s.Verdict == report.Failed {
		note = contradicts
	}
	for _, t := range tests {
		if t.Record == nil || !t.Program.asksPower() || t.Verdict != report.Passed && t.Verdict != report.Inconclusive {
			continue
		}
		for i := range t.Limits {
			j := &t.Limits[i]
			if j.Verdict != report.Passed || j.Limit.IsZero() {
				continue
			}
			j.Verdict = report.Inconclusive
			if j.Note != "" {
				j.Note = "; " + j.Note
			}
			j.Note = note + j.Note
		}
		t.Verdict = Verdict(t.Limits)
		switch {
		case t.Why == "":
			t.Why = s.Text
		case s.Verdict == report.Failed: // which may well be the reason of what else went wrong
			t.Why += "; " + s.Text
		}
	}
}
