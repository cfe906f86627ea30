package accept

import (
	"fmt"
	"math"

	"yunchu/harness/metric"
	"yunchu/platform/device"
)

// Some firmware reports the setpoint as its power. Such a device has every response time
// at once. What flows at the battery's terminals is measured by something else, mostly,
// and must have moved by then too.

// echoSlack is how much later the battery's power may move than the reported power, in s,
// beside what the distance of readings leaves open.
const echoSlack = 0.2

// Steps of one wire alone are looked at: parts of a device on several wires are read at
// different moments, and an emergency stop opens contactors.

// echoed says that the power of a step was seen in the reported power much earlier than in
// voltage times current of the battery: half of the way is compared, where the losses of
// the converter, which the battery's power is freed of, matter least. Empty: it was not, or
// nothing can be told.
func (r *Record) echoed(w *Window, t *trace) string {
	if t.ref || r.Parts || w.Kind != "step" && w.Kind != "transition" {
		return ""
	}
	dc := r.points(func(s *device.Reading) float64 { return s.Voltage * s.Current / 1000 })
	from, to := t.before(), mean(within(t.pts, t.b-1, t.b))
	was, is := mean(within(dc, t.a-1, t.a)), mean(within(dc, t.b-1, t.b))
	least := scaleShare * r.RatedKW
	if !(math.Abs(to-from) >= least) || !(math.Abs(is-was) >= least) || (to-from)*(is-was) < 0 { // NaN is not
		return ""
	}
	reported, err := metric.Step{T0: t.a, From: from, To: to}.Response(within(t.pts, t.a, t.b), 0.5)
	if err != nil {
		return ""
	}
	flowed, err := metric.Step{T0: t.a, From: was, To: is}.Response(within(dc, t.a, t.b), 0.5)
	if err != nil {
		return ""
	}
	late := flowed.Value - reported.Value
	if late <= max(echoSlack, finest*t.period)+renewed(within(dc, t.a, t.b))+t.late {
		return ""
	}
	return fmt.Sprintf("voltage and current of the battery move %.2g s later than the reported power, which may be the setpoint: only a reference can tell", late)
}

// renewed is how often a channel has a new value, at best: the least distance of two
// changes, in s. A management that measures once a second shows the power late, however
// often it is asked. 0 where it changes once or never.
func renewed(pts []metric.Point) float64 {
	least, last := math.Inf(1), math.NaN()
	for i := 1; i < len(pts); i++ {
		if pts[i].V == pts[i-1].V {
			continue
		}
		if d := pts[i].T - last; d < least { // NaN is not
			least = d
		}
		last = pts[i].T
	}
	if math.IsInf(least, 1) {
		return 0
	}
	return least
}
