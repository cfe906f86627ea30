package accept

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"yunchu/harness/backend"
	"yunchu/harness/metric"
	"yunchu/platform/device"
)

const (
	// flatFor is how long a channel that must have moved may go on with one value, s: longer
	// than any battery management takes to report.
	flatFor = 10.0
	// flatSteps is how many of the steps in which it is written a voltage must have moved, as
	// where a device is compared with its twin before it is armed.
	flatSteps = 3
	// leastSwing is the part of itself by which a battery's voltage moves at least when its
	// current moves by that of its rated power: less than half of what batteries of eight hours
	// and new cells do.
	leastSwing = 0.002
)

// frozen counts the channels that stand still while what must move them does: charge,
// temperature and voltage while those of the reference move further than the device rounds,
// and, whether there is a reference or not, the voltage while the current moves, and the
// current while the power does, by half of the rating or more.
func (r *Record) frozen(m measured) (measured, error) {
	still := map[string]bool{}
	told, doubt := false, ""
	tell := func(name string, is bool) {
		told = true
		if is && !still[name] {
			still[name] = true
			m.Value++
			m.note = strings.TrimPrefix(m.note+", "+name+" stands still", ", ")
		}
	}
	for _, c := range []struct {
		name string
		own  func(*device.Reading) float64
		ref  func(*backend.Truth) float64
		much float64
	}{
		{"state of charge", func(s *device.Reading) float64 { return s.SoC }, func(x *backend.Truth) float64 { return x.SoC }, 1},
		{"temperature", func(s *device.Reading) float64 { return s.Temperature }, func(x *backend.Truth) float64 { return x.TempC }, 1},
	} {
		if own := r.points(c.own); len(own) > 0 && spread(r.reference(c.ref)) >= c.much {
			tell(c.name, spread(own) == 0)
		}
	}

	volts := func(s *device.Reading) float64 { return s.Voltage }
	amps := func(s *device.Reading) float64 { return s.Current }
	flat := func(of, by func(*device.Reading) float64, moves float64) (judged, still bool) {
		var own, other []metric.Point
		for i := range r.Samples {
			if s := &r.Samples[i]; !math.IsNaN(of(s)) && !math.IsNaN(by(s)) {
				at := r.atMS(s.At)
				own, other = append(own, point(at, of(s))), append(other, point(at, by(s)))
			}
		}
		if spread(other) > moves {
			return true, metric.Flat(own, other, moves, stepTime) > flatFor
		}
		return false, false
	}
	own := r.points(volts)
	if v := math.Abs(mean(own)); v > 0 { // NaN is not
		rated, ref := r.RatedKW*1000/v, r.reference(func(x *backend.Truth) float64 { return x.DCVolt })
		voltage := func(step float64) (judged, still bool) {
			judged, still = flat(volts, amps, rated*max(0.5, flatSteps*step/(leastSwing*v)))
			if spread(ref) > flatSteps*step {
				judged, still = true, still || metric.Flat(own, held(ref, own), flatSteps*step, stepTime) > flatFor
			}
			return judged, still
		}
		step := r.step(own)
		judged, still := voltage(step)
		if still {
			at, coarse := coarser(own, step)
			if _, still = voltage(coarse); !still {
				doubt = fmt.Sprintf("the voltage stands at %.6g V: it stands still, or has come to be written in steps of %g V, and nobody says so; where it is, put compare: {voltage_step: %g} into its entry", at, coarse, coarse)
			}
		}
		if judged {
			tell("voltage", still)
		}
		if judged && still {
			m.note += fmt.Sprintf(" (in steps of %g V; if its firmware moves it in coarser ones, its entry must say so: compare: {voltage_step: …})", step)
		}
		if judged, still := flat(amps, power, r.RatedKW/2); judged {
			tell("current", still)
		}
	}
	if doubt != "" && m.Value == 0 { // what stands still for certain has failed
		m.doubts = append(m.doubts, doubt)
	}
	if !told {
		return m, fmt.Errorf("no channel had to move enough to tell, or %w", errNoReference)
	}
	return m, nil
}

// step is in which steps a voltage is written, V: as it is declared, or else as it looks over
// the whole test.
func (r *Record) step(own []metric.Point) float64 {
	switch {
	case r.VoltStep > 0:
		return r.VoltStep
	case slices.ContainsFunc(own, func(p metric.Point) bool { return p.V != math.Round(p.V) }):
		return 0.1
	}
	return 1
}

// coarser is the value at which a voltage that has moved stood the longest, and the step in which
// it may have come to be written meanwhile, where its scale is read with it, V: what it stands at
// tells by how much at most. One that has never moved has not become coarser.
func coarser(own []metric.Point, step float64) (at, coarse float64) {
	if spread(own) == 0 {
		return own[0].V, step
	}
	longest := 0.0
	for i := 0; i < len(own); {
		j := i
		for j < len(own) && own[j].V == own[i].V {
			j++
		}
		if d := own[j-1].T - own[i].T; d > longest {
			at, longest = own[i].V, d
		}
		i = j
	}
	for at != 0 && math.Abs(math.Remainder(at, 10*step)) < step/100 {
		step *= 10
	}
	return at, step
}

// held are the values of a reference at the times of others.
func held(ref, at []metric.Point) []metric.Point {
	out := make([]metric.Point, len(at))
	k := 0
	for i, p := range at {
		for k+1 < len(ref) && ref[k+1].T <= p.T+1e-9 {
			k++
		}
		out[i] = point(p.T, ref[k].V)
	}
	return out
}
