package accept

import (
	"fmt"
	"math"
	"strings"

	"yunchu/harness/metric"
	"yunchu/platform/guard"
)

// signs counts readings whose power, or whose battery's current, has another sign than
// the setpoint. They begin with the device's acknowledgement: what it does while the
// setpoint is still on its way to it is the one before. A device that never had half of the
// power has shown no sign, and one of which the reference saw none has not had what it says.
func (r *Record) signs(w *Window, t *trace, m measured) (measured, error) {
	if w.Ack.IsZero() {
		return m, fmt.Errorf("no acknowledgement of the setpoint, so its sign was not seen: %w", metric.ErrNoData)
	}
	asked := math.Abs(w.ToKW)
	if !(asked > 0 && asked >= restShare*r.RatedKW) { // NaN is not
		return m, fmt.Errorf("a setpoint of %.3g kW has no sign that could be told from rest: %w", w.ToKW, metric.ErrNoData)
	}
	seen, half := 0, asked/2
	from := max(t.a, r.at(w.Ack)) + w.After.Seconds()
	if t.ref {
		pts, off := within(t.pts, from+t.late, t.last()), w.apart*r.RatedKW
		for _, p := range pts {
			if math.Abs(p.V) >= max(half, off) { // what is apart by more than it is has no sign
				seen++
				if p.V*w.ToKW < 0 {
					m.Value++
				}
			}
		}
		m.n = seen
		switch had := largest(pts); {
		case seen > 0:
		case len(pts) > 0 && had+off < half:
			m.premise(pts, t, fmt.Sprintf("the reference saw no more than %.3g kW of the %.3g kW that were asked for", had, asked))
		default:
			return m, fmt.Errorf("the reference saw no power of that size: %w", metric.ErrNoData)
		}
		return m, nil
	}
	for _, s := range r.samples(from, t.last()) {
		if math.Abs(s.Power) >= half {
			seen++
		}
		dc := s.Voltage * s.Current / 1000
		if math.Abs(s.Power) >= half && s.Power*w.ToKW < 0 || math.Abs(dc) >= half*2/3 && dc*w.ToKW < 0 {
			m.Value++
		}
	}
	for i := range r.Events {
		if e := &r.Events[i]; e.Type == "armed" && strings.Contains(e.Text, guard.OnProfileAlone) {
			m.doubts = append(m.doubts, "its voltage does not tell charging from discharging, so the directions "+guard.OnProfileAlone)
		}
	}
	if m.n = seen; seen == 0 {
		return m, fmt.Errorf("it did not follow the setpoint, so its sign was not seen: %w", metric.ErrNoData)
	}
	return m, nil
}
