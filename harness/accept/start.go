package accept

import (
	"fmt"
	"math"

	"yunchu/harness/metric"
)

// fromStart are the metrics that count from the power that a step begins with.
var fromStart = map[string]bool{
	"dead_time_s": true, "response_time_s": true, "overshoot_percent": true, "slope_percent_per_s": true,
	"ramp_excess_percent": true, "ramp_lack_percent": true,
}

// beginning is what is to be said of the power that a step begins with; unlike: it was seen, and
// there was nothing to be done.
type beginning struct {
	note, doubt string
	unlike      bool
}

// before is the mean power of the second before the window; NaN of none.
func (t *trace) before() float64 { return mean(within(t.pts, t.a-1, t.a)) }

// stepOf is the step of a window as the metrics define it. Where nothing was seen of the power in
// the second before it, what was seen last holds for as long as a reading may be old, unless
// another setpoint has come since; and after that nobody knows from where it began: what was
// asked for before is put there, and doubted.
func (r *Record) stepOf(w *Window, t *trace) (metric.Step, beginning) {
	s, x := metric.Step{T0: t.a, From: t.before(), To: w.ToKW, Rated: r.RatedKW, Latency: t.late}, beginning{}
	asked := within(r.Setpoints, 0, t.a-1e-3)
	since := 0.0 // of what the setpoint before has made
	if n := len(asked); n > 0 {
		since = asked[n-1].T + t.late
	}
	seen := within(t.pts, max(since, t.a-r.MaxAge.Seconds()-t.period), t.a)
	switch n := len(seen); {
	case !math.IsNaN(s.From):
	case n > 0:
		s.From = seen[n-1].V
		x.note = fmt.Sprintf("its start is what it had %.3g s before", t.a-seen[n-1].T)
	default:
		s.From = last(asked)
		x.doubt = "nothing was seen of its power right before the step: its start is not known"
	}
	if whole, off := math.Abs(w.ToKW-last(asked)), w.apart*r.RatedKW; w.Kind == "step" || w.Kind == "ramp" {
		if math.Abs(w.ToKW-s.From)+off < whole/2 {
			x.unlike = t.ref && len(seen) > 0
			x.doubt = fmt.Sprintf("it had %.3g kW already before it was asked for %.3g kW: nothing had to be done", s.From, w.ToKW)
		}
	}
	switch w.Kind {
	case "frequency":
		s.To = s.From + w.ResponseKW
	case "zero":
		s.To = 0
	}
	return s, x
}
