package accept

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"yunchu/harness/backend"
	"yunchu/harness/metric"
	"yunchu/platform/device"
	"yunchu/platform/ingest"
	"yunchu/platform/settle"
)

// measured is what one window, or all windows of a name together, came to.
type measured struct {
	metric.Measured
	n       int      // samples behind it
	timed   bool     // a time that is seen in samples: their distance bounds what can be told
	period  float64  // s, of those samples
	horizon float64  // s: how long was watched, of what was not reached
	pause   float64  // s that this machine stood still, by which a time may look longer than it is
	counts  bool     // it counts n samples, and could not be more
	doubts  []string // why it may not be judged
	holes   int      // of these: that the reference showed nothing for too long
	worsens bool     // what it showed meanwhile could only have made it worse
	unlike  bool     // the reference did not show what the device must have had to be judged at all
	note    string
}

// premise doubts what is judged since what it rests on was not seen in these points. That the
// reference shows it not to be so is more than that it cannot tell.
func (m *measured) premise(seen []metric.Point, t *trace, why string) {
	m.doubts = append(m.doubts, why)
	m.unlike = m.unlike || t.ref && len(seen) > 0
}

// onlyWorse are the metrics that samples between others cannot make better by more than they
// say that they may be wrong.
var onlyWorse = map[string]bool{
	"max_error_percent": true, "wrong_sign": true, "zero_time_s": true, "exceeding_samples": true, "active_samples": true, "trips": true,
}

// counted counts the points of which something holds.
func (m *measured) counted(pts []metric.Point, holds func(kw float64) bool) {
	m.counts, m.n = true, len(pts)
	for _, p := range pts {
		if holds(p.V) {
			m.Value++
		}
	}
}

// inTime are the metrics that say when something was so.
var inTime = map[string]bool{
	"dead_time_s": true, "response_time_s": true, "settling_time_s": true, "settled": true, "transition_time_s": true, "zero_time_s": true,
}

// errNoReference: the metric compares with an instrument that the bench does not have.
var errNoReference = errors.New("the bench has no reference to compare with")

// trace is the power that a window is judged by.
type trace struct {
	pts    []metric.Point // over the whole test
	period float64        // s
	late   float64        // s, how long a reading may have been on its way
	a, b   float64        // the window, s
	ref    bool
}

// trace chooses between the device's readings and the bench's reference.
func (r *Record) trace(w *Window) trace {
	t := trace{a: r.at(w.T0), b: r.at(w.End)}
	if w.Reference && len(r.Reference) > 0 {
		t.pts, t.ref = r.truth, true
		t.period = spacing(within(t.pts, t.a, t.b), r.RefPeriod.Seconds())
		t.late = math.Abs(r.refOff)
		if w.beside { // who asks it is told what it showed last
			t.late += t.period
		}
		return t
	}
	t.pts = r.power
	t.period = spacing(within(t.pts, t.a, t.b), r.Period.Seconds())
	for _, s := range r.samples(t.a, t.b) {
		t.late = max(t.late, float64(s.Arrived-s.At)/1000)
	}
	return t
}

// spacing is the usual distance of points, at least what was asked for.
func spacing(pts []metric.Point, least float64) float64 {
	if len(pts) < 3 {
		return least
	}
	d := make([]float64, len(pts)-1)
	for i := range d {
		d[i] = pts[i+1].T - pts[i].T
	}
	slices.Sort(d)
	return max(least, d[len(d)/2])
}

// last is up to when a reading is of the window for certain: its time is in whole
// milliseconds, rounded down, and a window ends with the next setpoint.
func (t *trace) last() float64 { return t.b - 0.001 }

// after is from when on readings are of what a window has come to for certain.
func (t *trace) after(w *Window) float64 {
	from := t.a + w.After.Seconds()
	if t.ref {
		from += t.late
	}
	return from
}

func (t *trace) in() []metric.Point { return within(t.pts, t.a, t.b) }

// stepTime is how long after a setpoint, or what else a step of the test begins with (a
// limit, a change of the grid), power and current may be of different moments, because no
// device measures all it reports at once.
const stepTime = 1.0 // s

// moving reports whether all that is doubtful about a reading is that power and current
// do not match while the power has just been asked to move.
func (r *Record) moving(s *device.Reading) bool {
	apart := device.FlagLogic
	if r.Parts { // nor has the current turned when the status has, on another wire
		apart |= device.FlagSign
	}
	if f := s.Flags &^ device.FlagSimulated; f == 0 || f&^apart != 0 {
		return false
	}
	at := r.at(device.Time(s.At))
	after := func(t float64) bool { return at >= t && at < t+stepTime }
	return slices.ContainsFunc(r.Setpoints, func(p metric.Point) bool { return after(p.T) }) ||
		slices.ContainsFunc(r.Windows, func(w *Window) bool { return after(r.at(w.T0)) })
}

// doubtful says what is wrong with the samples of a window: none, some that are not
// good, or a silence longer than a reading may be old.
func (r *Record) doubtful(w *Window, t *trace) (why []string) {
	why = append(why, w.Doubts...)
	pts := t.in()
	if len(pts) == 0 {
		return append(why, "there is no sample in it")
	}
	last, longest := t.a, 0.0
	for _, p := range pts {
		longest, last = max(longest, p.T-last), p.T
	}
	longest = max(longest, t.b-last)
	if limit := r.MaxAge.Seconds(); longest > limit+t.period+1e-9 {
		why = append(why, fmt.Sprintf("no reading for %.3g s, at most %.3g s is allowed%s", longest, limit, r.tooSlow(longest)))
	}
	if t.ref {
		return why
	}
	bad, flags, values := 0, device.Flags(0), ""
	for _, s := range r.samples(t.a, t.b) {
		if s.Quality != device.Good && !r.moving(&s) {
			bad++
			flags |= s.Flags
			if p := ingest.Impossible(r.RatedKW, &s); p != 0 {
				values = ": " + s.Told(p)
			}
		}
	}
	if bad > 0 {
		why = append(why, fmt.Sprintf("%d of %d readings are not good (%s%s)", bad, len(pts), flags, values))
	}
	return why
}

// tooSlow says what to set for a device whose readings take long, "" for one that is quick. A
// silence of three periods is allowed.
func (r *Record) tooSlow(silence float64) string {
	var took []int64
	for i := range r.Samples {
		took = append(took, r.Samples[i].Arrived-r.Samples[i].At)
	}
	slices.Sort(took)
	if len(took) == 0 || len(r.Exchanges) == 0 { // one that reports by itself is not asked
		return ""
	}
	each := float64(took[len(took)/2]) / 1000
	if each < r.MaxAge.Seconds()/5 {
		return ""
	}
	return fmt.Sprintf(": the device is slow, a reading of it takes %.2g s and it is not read while it is told something; "+
		"read it less often (--poll %.1fs, or poll in its entry), or make its line faster", each, math.Ceil(2*silence/3)/2)
}

// lookAt says where to look for what makes the newest reading one that is not good.
func (r *Record) lookAt() string {
	flags := device.Flags(0)
	if n := len(r.Samples); n > 0 {
		flags = r.Samples[n-1].Flags
	}
	switch {
	case flags&device.FlagRange != 0:
		return "look at address, table, type, word_order, scale, not_implemented and valid of that point in the profile"
	case flags&device.FlagLogic != 0:
		return "look at scale, unit and positive of power, voltage and current in the profile"
	case flags&device.FlagHeartbeat != 0:
		return "look at heartbeat in the profile, and whether a gateway in front of the device repeats old values"
	case flags&device.FlagFrozen != 0:
		return "all its values stand still: look whether a gateway in front of the device repeats old ones"
	}
	return "look at the address of the device and at the addresses and not_implemented of its points in the profile"
}

// one measures a metric of one window.
func (r *Record) one(name string, w *Window) (measured, error) {
	t := r.trace(w)
	m := measured{period: t.period, horizon: t.b - t.a, n: len(t.in()), doubts: r.doubtful(w, &t)}
	if t.ref {
		m.holes, m.worsens = len(m.doubts)-len(w.Doubts), onlyWorse[name]
	}
	if w.Reference && !t.ref {
		m.note = "no reference on this bench: the device's own readings are judged"
	}
	s, began := r.stepOf(w, &t)
	if fromStart[name] || w.Kind == "frequency" {
		if began.doubt != "" {
			m.doubts, m.unlike = append(m.doubts, began.doubt), began.unlike
		} else if began.note != "" {
			m.note = strings.TrimPrefix(m.note+"; "+began.note, "; ")
		}
	}
	own := t
	if !t.ref && inTime[name] {
		t.pts = r.heard // by then it was so, whenever within the exchange it was measured
	}
	pts := within(t.pts, t.a-1, t.b)
	var err error
	pc := 100 / r.RatedKW
	switch name {
	case "dead_time_s":
		m.timed = true
		m.Measured, err = s.Dead(pts, w.Dead)
	case "response_time_s":
		m.timed = true
		m.Measured, err = s.Response(pts, w.share(&s))
	case "settling_time_s":
		m.timed = true
		m.Measured, err = s.Settling(within(pts, t.a, t.last()), w.Band, w.Settle.Seconds())
	case "settled":
		_, err = s.Settling(within(pts, t.a, t.last()), w.Band, w.Settle.Seconds())
		if m.Value = 1; errors.Is(err, metric.ErrNotReached) {
			m.Value, err = 0, nil
		}
	case "deviation_percent":
		from := t.a + w.After.Seconds()
		if w.Kind != "hold" {
			var settled metric.Measured
			if settled, err = s.Settling(within(pts, t.a, t.last()), w.Band, w.Settle.Seconds()); errors.Is(err, metric.ErrNotReached) {
				m.note, err = "it has not settled: the second half of the step is taken", nil
				settled.Value = (t.b - t.a) / 2
			}
			from = t.a + settled.Value - 1e-6
		}
		if err == nil {
			m.Measured, err = s.Deviation(pts, from)
			m.Measured = scaled(m.Measured, 100)
		}
	case "max_error_percent":
		if w.Kind == "tracking" {
			return r.following(name, w, &t, m)
		}
		later := within(pts, t.after(w), t.last())
		if len(later) == 0 {
			err = metric.ErrNoData
		}
		for _, p := range later {
			m.Value = max(m.Value, math.Abs(p.V-s.To)*pc)
		}
		m.n = len(later)
	case "overshoot_percent":
		m.Measured, err = s.Overshoot(pts)
		m.Measured = scaled(m.Measured, 100)
	case "slope_percent_per_s":
		m.Measured, err = s.Ramp(pts)
		if errors.Is(err, metric.ErrNotReached) && w.apart > 0 { // all but what it may be apart by is no contradiction
			if _, short := s.Response(pts, 0.9+w.share(&s)-w.Share); short == nil {
				err = fmt.Errorf("it ends below 90 %% of the step by no more than it may be apart: %w", metric.ErrNoData)
			}
		}
		m.Measured = scaled(m.Measured, pc)
	case "ramp_excess_percent":
		m.Measured, _, err = s.RampBand(pts, w.RateKWPerS, rampAccuracy*r.RatedKW, rampSlack)
		m.Measured = scaled(m.Measured, 100)
	case "ramp_lack_percent":
		_, m.Measured, err = s.RampBand(pts, w.RateKWPerS, rampAccuracy*r.RatedKW, rampSlack)
		m.Measured = scaled(m.Measured, 100)
	case "reached_percent":
		m.Value, err = share(within(pts, t.b-1, t.b), s.To)
	case "transition_time_s":
		m.timed = true
		s.From = last(within(r.Setpoints, 0, t.a-1e-6))
		m.Measured, err = s.Transition(within(t.pts, t.a-10, t.b), w.share(&s))
	case "zero_time_s":
		m.timed = true
		m.Measured, err = s.Zero(pts, w.Zero)
		// What it still has was not taken away, however little it had.
		was, asked := within(own.pts, t.a-max(1, 2*t.period), t.a), math.Abs(valueAt(r.Setpoints, t.a-1e-3))
		if had := largest(was); err == nil && asked > w.Zero*r.RatedKW && had+w.apart*r.RatedKW < asked/2 {
			why := fmt.Sprintf("it had %.3g kW of the %.3g kW that are taken away", had, asked)
			if len(was) == 0 {
				why = fmt.Sprintf("nothing was read of the %.3g kW that are taken away", asked)
			}
			m.premise(was, &t, why)
		}
	case "unstopped":
		return r.unstopped(&t, m)
	case "ack_s":
		if w.Ack.IsZero() {
			err = fmt.Errorf("no acknowledgement: %w", metric.ErrNoData)
		}
		m.Value, m.Res, m.doubts = w.Ack.Sub(w.T0).Seconds(), 0.001, w.Doubts
	case "exceeding_samples":
		m.counted(within(pts, t.after(w), t.last()), func(kw float64) bool {
			return math.Abs(kw) > w.LimitKW+limitSlack*r.RatedKW
		})
		off, was := w.apart*r.RatedKW, within(own.pts, 0, t.b)
		if had := largest(was); had+2*off < w.LimitKW-limitSlack*r.RatedKW {
			m.premise(was, &t, fmt.Sprintf("it has had no more than %.3g kW, and not shown that it keeps a limit of %.3g kW", had, w.LimitKW-off))
		}
		// One that has gone to rest keeps every limit.
		under := within(own.pts, t.after(w), t.last())
		if had, some := largest(under), 0.02*r.RatedKW; w.LimitKW-off > 2*some && had+off <= some {
			m.premise(under, &t, fmt.Sprintf("it had %.3g kW under a limit of %.3g kW: it was at rest, and not limited", had, w.LimitKW-off))
		}
	case "active_samples":
		m.counted(within(pts, t.after(w), t.last()), func(kw float64) bool { return math.Abs(kw) > w.Zero*r.RatedKW })
	case "wrong_sign":
		return r.signs(w, &t, m)
	case "power_error_percent":
		return r.compared(w, &t, m)
	case "reactive_error_percent":
		return r.reactive(w, &t, m)
	case "trips":
		from := t.a + settleTrip
		if w.ToKW == valueAt(r.Setpoints, t.a-1e-3) && !r.letGo(t.a-1e-3) { // it has that power already
			from = t.a + stepTime
		}
		m.counts, m.n = true, len(r.samples(from, t.last()))
		m.Value = float64(r.trips(from, t.last(), w.ToKW))
		if t.ref {
			seen := within(t.pts, from+t.late, t.last())
			m.Value, m.n = float64(r.lost(seen, w.ToKW)), len(seen)
		}
	case "energy_kwh", "energy_percent", "duration_s", "soc_error_percent", "soc_truth_error_percent", "temperature_error_c", "voltage_error_v":
		return r.charged(name, w, &t, m)
	case "rms_error_percent", "within_percent", "correlation", "lag_s", "pjm_score", "k", "k1", "k2", "k3", "kp", "kp1", "kp2", "kp3":
		return r.following(name, w, &t, m)
	case "accepted":
		m.Value, m.n, m.doubts = float64(w.Accepted), w.Tried, w.Doubts
	case "mismatches", "settings_tried", "exchange_ms", "exchange_error_percent", "frame_loss_percent", "not_refused", "changed":
		return r.exchanged(name, w)
	default:
		err = fmt.Errorf("metric %s of a measure of kind %s: %w", name, w.Kind, metric.ErrUnknown)
	}
	if errors.Is(err, metric.ErrNoData) && w.Reference && !t.ref {
		err = fmt.Errorf("no reference on this bench sees it while it is not read: give the rig a backend: %w", err)
	}
	if name == "deviation_percent" {
		m.Value = math.Abs(m.Value)
	}
	if w.apart > 0 && err == nil {
		m.Res += r.apartIn(name, w, &s, m.Value)
	}
	if m.timed {
		m.pause = r.paused(t.a, t.b)
		if why := r.echoed(w, &own); why != "" {
			m.doubts = append(m.doubts, why)
		}
	}
	return m, err
}

// What the test programs of UL 1741 SA and of the inverter protocols allow: the accuracy
// of a ramp, in parts of rated power a second; how far below it; and how far above a
// limit of power.
const (
	rampAccuracy = 0.002
	rampSlack    = 0.05
	limitSlack   = 0.05
)

func scaled(m metric.Measured, by float64) metric.Measured {
	return metric.Measured{Value: m.Value * by, Res: m.Res * by}
}

func last(pts []metric.Point) float64 {
	if len(pts) == 0 {
		return 0
	}
	return pts[len(pts)-1].V
}

// largest is the largest power in either direction, 0 of none.
func largest(pts []metric.Point) (kw float64) {
	for _, p := range pts {
		kw = max(kw, math.Abs(p.V))
	}
	return kw
}

func mean(pts []metric.Point) float64 {
	sum := 0.0
	for _, p := range pts {
		sum += p.V
	}
	return sum / float64(len(pts)) // NaN of none
}

// share is the mean of points in percent of what was asked for.
func share(pts []metric.Point, of float64) (float64, error) {
	if len(pts) == 0 || of == 0 {
		return nan, metric.ErrNoData
	}
	return 100 * mean(pts) / of, nil
}

// compared is the difference of the device's mean power from the reference's.
func (r *Record) compared(w *Window, t *trace, m measured) (measured, error) {
	if len(r.Reference) == 0 {
		return m, errNoReference
	}
	own := within(r.power, t.a+w.After.Seconds(), t.b)
	ref := within(r.truth, t.a+w.After.Seconds(), t.b)
	if len(own) == 0 || len(ref) == 0 {
		return m, metric.ErrNoData
	}
	m.Value, m.n = 100*math.Abs(mean(own)-mean(ref))/r.RatedKW, len(own)
	return m, nil
}

// reactive is compared of the reactive power. Where none flows a device that always shows none
// is right as well: that is not judged.
func (r *Record) reactive(w *Window, t *trace, m measured) (measured, error) {
	if len(r.Reference) == 0 {
		return m, errNoReference
	}
	if len(r.Reactive) == 0 {
		return m, fmt.Errorf("%w: it reports none", errNoReactive)
	}
	own := within(r.Reactive, t.a+w.After.Seconds(), t.b)
	ref := within(r.reference(trueReactive), t.a+w.After.Seconds(), t.b)
	if len(own) == 0 || len(ref) == 0 {
		return m, metric.ErrNoData
	}
	shown, is := mean(own), mean(ref)
	m.Value, m.n = 100*math.Abs(shown-is)/r.RatedKW, len(own)
	if some := reactiveShare * r.RatedKW; max(math.Abs(shown), math.Abs(is)) < some {
		return m, fmt.Errorf("%w: it shows %.3g kvar, the reference %.3g kvar; the suite asks for none, and at %.3g kvar it would be judged", errNoReactive, shown, is, some)
	}
	m.note = fmt.Sprintf("%.4g kvar, the reference %.4g kvar", shown, is)
	return m, nil
}

// errNoReactive: there is no reactive power to compare.
var errNoReactive = errors.New("no reactive power")

// reactiveShare is how much of the rated power must flow as reactive power to say how it is
// measured.
const reactiveShare = 0.05

func trueReactive(t *backend.Truth) float64 { return t.ReactiveKvar }

// trips counts how often the device went to fault, or lost a power that it was still
// asked for.
func (r *Record) trips(a, b, toKW float64) (n int) {
	was := false
	for _, s := range r.samples(a, b) {
		is := s.Status == device.Fault || !math.IsNaN(toKW) && math.Abs(toKW) > restShare*r.RatedKW && math.Abs(s.Power) < math.Abs(toKW)/10
		if is && !was {
			n++
		}
		was = is
	}
	return n
}

// lost counts how often a power that was asked for was not there.
func (r *Record) lost(pts []metric.Point, toKW float64) (n int) {
	if !(math.Abs(toKW) > restShare*r.RatedKW) { // NaN is not
		return 0
	}
	was := false
	for _, p := range pts {
		is := math.Abs(p.V) < math.Abs(toKW)/10
		if is && !was {
			n++
		}
		was = is
	}
	return n
}

// letGo reports whether the setpoint that came last before t is not in force any more then.
func (r *Record) letGo(t float64) bool {
	set := within(r.Setpoints, 0, t)
	return len(set) > 0 && slices.ContainsFunc(r.Let, func(at float64) bool { return at >= set[len(set)-1].T && at <= t })
}

// settleTrip is how long a device may take to have the power that it is asked for, s.
const settleTrip = 3

// charged measures a charge or a discharge.
func (r *Record) charged(name string, w *Window, t *trace, m measured) (measured, error) {
	in, out := metric.Energy(t.in())
	kwh := in
	if w.Kind == "discharge" {
		kwh = out
	}
	switch name {
	case "energy_kwh":
		m.Value = kwh
	case "energy_percent":
		if !(r.RatedKWh > 0) {
			return m, fmt.Errorf("the rated energy is not known: %w", metric.ErrNoData)
		}
		m.Value = 100 * kwh / (r.RatedKWh * r.Usable)
		if r.Usable < 1 {
			m.note = fmt.Sprintf("of the %.4g kWh in the window of charge that the device states", r.RatedKWh*r.Usable)
		}
	case "duration_s":
		m.Value, m.Res = t.b-t.a, t.period
	case "soc_error_percent":
		soc := within(r.points(func(s *device.Reading) float64 { return s.SoC }), t.a, t.b)
		amps := within(r.points(func(s *device.Reading) float64 { return s.Current }), t.a, t.b)
		var err error
		m.Measured, err = metric.Counted(soc, amps)
		if len(soc) == 0 || !(r.RatedKWh > 0) {
			return m, err
		}
		// The count is fitted to the report at both ends. A report that stands, or is wrong by
		// more than cells can have aged, would fit as well.
		moved, due := soc[len(soc)-1].V-soc[0].V, 100*kwh/r.RatedKWh
		if w.Kind == "discharge" {
			moved = -moved
		}
		if due > 0 && (moved < due/2 || moved > 2*due) {
			m.Value, m.Res = math.Abs(moved-due), 0
			m.note, err = fmt.Sprintf("the reported charge moves by %.3g %%, the energy by %.3g %% of the rated", moved, due), nil
		}
		return m, err
	case "soc_truth_error_percent":
		return r.against(t, m, func(s *device.Reading) float64 { return s.SoC }, func(x *backend.Truth) float64 { return x.SoC })
	case "voltage_error_v":
		return r.against(t, m, func(s *device.Reading) float64 { return s.Voltage }, func(x *backend.Truth) float64 { return x.DCVolt })
	case "temperature_error_c":
		return r.against(t, m, func(s *device.Reading) float64 { return s.Temperature }, func(x *backend.Truth) float64 { return x.TempC })
	}
	return m, nil
}

// against is the largest difference of a channel from the reference's.
func (r *Record) against(t *trace, m measured, own func(*device.Reading) float64, ref func(*backend.Truth) float64) (measured, error) {
	if len(r.Reference) == 0 {
		return m, errNoReference
	}
	a, b := within(r.points(own), t.a, t.b), within(r.reference(ref), t.a, t.b)
	if len(a) == 0 || len(b) == 0 {
		return m, metric.ErrNoData
	}
	k := 0
	for _, p := range a {
		for k+1 < len(b) && b[k+1].T <= p.T+1e-9 {
			k++
		}
		m.Value = max(m.Value, math.Abs(p.V-b[k].V))
	}
	return m, nil
}

// curve is that of points.
func curve(pts []metric.Point) (c settle.Curve) {
	for _, p := range pts {
		c.T, c.KW = append(c.T, p.T), append(c.KW, p.V)
	}
	return c
}

// following scores how a signal was followed.
func (r *Record) following(name string, w *Window, t *trace, m measured) (measured, error) {
	pts := t.in()
	signal := func(at float64) float64 { return valueAt(r.Setpoints, at) }
	switch name {
	case "pjm_score":
		n := int((t.b - t.a) / 10)
		if n < 1 {
			return m, metric.ErrNoData
		}
		x, y := make([]float64, n), metric.Resample(pts, t.a, 10, n)
		for i := range x {
			x[i], y[i] = signal(t.a+10*float64(i)+1e-6)/r.RatedKW, y[i]/r.RatedKW
		}
		s, _, err := settle.PJMScore(x, y, settle.Rolling)
		m.Value = s.Score
		return m, err
	case "k", "k1", "k2", "k3", "kp", "kp1", "kp2", "kp3": // both count the same commands
		list, err := settle.Hunan.Counting.Adjustments(curve(append([]metric.Point{{T: math.Inf(-1)}}, r.Setpoints...)), curve(within(t.pts, t.a-1, t.b)), r.RatedKW)
		rule := settle.Hunan
		if strings.HasPrefix(name, "kp") {
			rule = settle.NorthChina
		}
		of := rule.K
		if part := strings.IndexByte("123", name[len(name)-1]); part >= 0 {
			of = func(a settle.Adjustment) float64 { return rule.Parts(a)[part] }
		}
		m.Value, m.n = settle.Mean(list, of), len(list)
		return m, err
	}
	f, err := metric.Follow(pts, signal, r.RatedKW, metric.FollowBand+w.apart, max(t.period, 0.05), mostLag)
	switch name {
	case "rms_error_percent":
		m.Value = 100 * f.RMSE
	case "max_error_percent":
		m.Value = 100 * f.Max
	case "within_percent":
		m.Value = 100 * f.Within
	case "correlation":
		m.Value = f.Correlation
	case "lag_s":
		m.timed, m.Measured = true, f.Lag
	}
	return m, err
}

// mostLag is how far behind its signal a device is looked for, s.
const mostLag = 20

// valueAt is the setpoint in force at t.
func valueAt(set []metric.Point, t float64) float64 {
	lo, hi := 0, len(set)
	for lo < hi {
		if mid := (lo + hi) / 2; set[mid].T <= t {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return 0
	}
	return set[lo-1].V
}
