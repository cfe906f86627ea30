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

// whole measures a metric of the test as a whole.
func (r *Record) whole(name string) (measured, error) {
	m := measured{n: len(r.Samples), period: r.Period.Seconds()}
	if len(r.Samples) == 0 && name != "gaps" && name != "silence_s" {
		return m, fmt.Errorf("there is no reading: %w", metric.ErrNoData)
	}
	switch name {
	case "age_ms":
		for i := range r.Samples {
			m.Value = max(m.Value, float64(r.Samples[i].Arrived-r.Samples[i].At))
		}
		m.Res = 1
	case "gaps", "silence_s":
		// From the beginning to the end: a device that has fallen silent for good has a gap
		// too, and so has one that goes on telling all but its power.
		times := []float64{0}
		for _, p := range r.power {
			times = append(times, p.T)
		}
		n, longest := metric.Gaps(append(times, r.at(r.End)), r.MaxAge.Seconds()+1e-9)
		m.Value, m.note = float64(n), fmt.Sprintf("longest silence %.3g s", longest)
		if name == "silence_s" {
			m.Value, m.Res, m.note, m.timed = longest, m.period, "", true
			m.pause = r.paused(0, math.Inf(1))
		}
		if why := r.offline(); why != "" && (n > 0 || name == "silence_s") {
			m.note = strings.TrimPrefix(m.note+"; "+why, "; ")
		}
	case "missing_channels":
		var missing []string
		for _, c := range []struct {
			name string
			of   func(*device.Reading) float64
		}{
			{"power", power},
			{"state of charge", func(s *device.Reading) float64 { return s.SoC }},
			{"voltage", func(s *device.Reading) float64 { return s.Voltage }},
			{"current", func(s *device.Reading) float64 { return s.Current }},
			{"temperature", func(s *device.Reading) float64 { return s.Temperature }},
		} {
			if r.missing(c.of) {
				missing = append(missing, c.name)
			}
		}
		m.Value, m.note = float64(len(missing)), strings.Join(missing, ", ")
	case "alarms":
		for i := range r.Samples {
			if r.Samples[i].Status == device.Fault {
				m.Value++
			}
		}
		for i := range r.Events {
			if r.Events[i].Severity == device.Critical {
				m.Value++
				m.note = r.Events[i].Text
			}
		}
	case "trips":
		if m.Value = float64(r.trips(0, math.Inf(1), nan)); m.Value > 0 {
			m.note = "it went to fault"
		}
	case "flat_s", "time_offset_ms":
		return r.aligned(name, m)
	case "frozen_channels":
		return r.frozen(m)
	default:
		return m, fmt.Errorf("metric %s of the test: %w", name, metric.ErrUnknown)
	}
	return m, nil
}

// missing reports whether a channel is never reported, or is not any more while others
// are: for longer than three times its longest pause before, and than a reading may be old.
func (r *Record) missing(of func(*device.Reading) float64) bool {
	pts := r.points(of)
	if len(pts) == 0 {
		return true
	}
	var times []float64
	for _, p := range pts {
		times = append(times, p.T)
	}
	_, longest := metric.Gaps(times, 0)
	return r.atMS(r.Samples[len(r.Samples)-1].At)-times[len(times)-1] > max(3*longest, r.MaxAge.Seconds())
}

// offline is what the device's silence was like, as the gateway told it last; empty: it
// has not said so.
func (r *Record) offline() string {
	text := r.Silent
	for i := range r.Events {
		if e := &r.Events[i]; e.Type == "offline" {
			text = e.Text
		}
	}
	_, why, _ := strings.Cut(text, " offline: ")
	return strings.ReplaceAll(why, "\n", "; ")
}

// aligned compares the device's clock and channel with the reference's.
func (r *Record) aligned(name string, m measured) (measured, error) {
	if len(r.Reference) == 0 {
		return m, errNoReference
	}
	own, ref := r.power, r.truth
	if name == "time_offset_ms" {
		period := max(r.RefPeriod.Seconds(), 0.001)
		raw := slices.Clone(ref)
		for i := range raw {
			raw[i].T += r.refOff // as its clock has it: that is what is asked for
		}
		o, err := metric.Offset(raw, own, period, 2)
		m.Measured = metric.Measured{Value: math.Abs(1000 * o.Value), Res: 1000 * (period + r.Period.Seconds())}
		m.timed = true
		return m, err
	}
	m.Value = metric.Flat(own, held(ref, own), 0.01*r.RatedKW, 3*(r.Period+r.RefPeriod).Seconds()/2)
	return m, nil
}

func spread(pts []metric.Point) float64 {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, p := range pts {
		lo, hi = min(lo, p.V), max(hi, p.V)
	}
	return max(hi-lo, 0)
}

// together measures a metric that belongs to all windows of a name.
func (r *Record) together(name string, ws []*Window) (measured, error) {
	m := measured{}
	for _, w := range ws {
		t := r.trace(w)
		m.n += len(t.in())
		for _, d := range r.doubtful(w, &t) {
			m.doubts = append(m.doubts, w.Label+": "+d)
		}
	}
	switch name {
	case "efficiency_percent", "efficiency_net_percent":
		return r.roundTrip(name, ws, m)
	case "hysteresis_percent":
		return r.hysteresis(ws, m)
	case "reversals":
		return r.reversals(ws, m)
	}
	return m, metric.ErrUnknown
}

// roundTrip pairs each charge with the discharge that follows.
func (r *Record) roundTrip(name string, ws []*Window, m measured) (measured, error) {
	var cycles []metric.Cycle
	var open *metric.Cycle
	for _, w := range ws {
		t := r.trace(w)
		in, out := metric.Energy(t.in())
		aux := r.auxiliary(&t)
		switch {
		case w.Kind == "charge":
			open = &metric.Cycle{Charged: in, AuxCharge: aux}
		case open != nil:
			open.Discharged, open.AuxDischarge = out, aux
			cycles = append(cycles, *open)
			open = nil
		}
	}
	net, gross, err := metric.RoundTrip(cycles)
	m.note = fmt.Sprintf("over %d cycles", len(cycles))
	m.Measured = scaled(gross, 100)
	m.Res += 200 * ws[0].apart
	if name == "efficiency_net_percent" {
		m.Measured = scaled(net, 100)
		if err == nil && math.IsNaN(net.Value) {
			return m, fmt.Errorf("nobody metered the auxiliaries: %w", errNoReference)
		}
	}
	return m, err
}

// auxiliary is the energy of the auxiliaries in a window, kWh; NaN where the bench does
// not know.
func (r *Record) auxiliary(t *trace) float64 {
	pts := within(r.reference(func(x *backend.Truth) float64 { return x.AuxKWh }), t.a, t.b)
	if len(pts) < 2 {
		return nan
	}
	return pts[len(pts)-1].V - pts[0].V
}

// hysteresis is the largest difference of the mean powers at one setpoint.
func (r *Record) hysteresis(ws []*Window, m measured) (measured, error) {
	type span struct{ lo, hi float64 }
	at := map[float64]*span{}
	pairs := 0
	for _, w := range ws {
		t := r.trace(w)
		v := mean(within(t.pts, t.a+w.After.Seconds(), t.b))
		if math.IsNaN(v) {
			continue
		}
		s, ok := at[w.ToKW]
		if !ok {
			at[w.ToKW] = &span{v, v}
			continue
		}
		pairs++
		s.lo, s.hi = min(s.lo, v), max(s.hi, v)
		m.Value = max(m.Value, 100*(s.hi-s.lo)/r.RatedKW)
	}
	m.Res = 100 * ws[0].apart
	if pairs == 0 {
		return m, fmt.Errorf("no setpoint was held twice: %w", metric.ErrNoData)
	}
	return m, nil
}

// reversals counts the setpoints at which the power went the other way than the setpoint,
// or did not move.
func (r *Record) reversals(ws []*Window, m measured) (measured, error) {
	steps := 0
	was, asked := nan, nan
	for _, w := range ws {
		t := r.trace(w)
		v := mean(within(t.pts, t.a+w.After.Seconds(), t.b))
		if d := (w.ToKW - asked) * (v - was); w.ToKW != asked && !math.IsNaN(d) {
			steps++
			if d <= 0 {
				m.Value++
			}
		}
		was, asked = v, w.ToKW
	}
	if steps == 0 {
		return m, fmt.Errorf("the setpoint has not changed: %w", metric.ErrNoData)
	}
	return m, nil
}
